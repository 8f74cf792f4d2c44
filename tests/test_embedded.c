/* What the library embeds: PTX of every default plan, for the oldest architecture, and SPIR-V, made of
 * the very text that the generator writes today. */
#include "codegen/codegen.h"
#include "runtime/embedded.h"
#include "tests/check.h"

#include <stdio.h>
#include <string.h>

static const struct iqt_embedded_image *find(const char *name)
{
    for (const struct iqt_embedded_image *e = iqt_embedded_ptx; e->plan != NULL; e++)
        if (strcmp(e->plan, name) == 0)
            return e;
    return NULL;
}

static void check_ptx(const struct iqt_embedded_image *e, const char *symbol,
                      uint64_t hash)
{
    struct iqt_buf text = { 0 };
    char entry[IQT_PLAN_NAME_BYTES + 16];

    check_true(e->text_hash == hash, "%s: made of another text", e->plan);
    if (iqt_embedded_unpack(e, &text) != IQT_OK) {
        check_fail("%s: %s", e->plan, iqt_last_error());
        return;
    }
    snprintf(entry, sizeof entry, ".entry %s(", symbol);
    check_true(text.data[text.bytes - 1] == '\0', "%s: no NUL at the end", e->plan);
    check_true(strstr(text.data, ".target sm_75") != NULL, "%s: not for sm_75", e->plan);
    check_true(strstr(text.data, entry) != NULL, "%s: no %s", e->plan, entry);
    iqt_buf_free(&text);
}

/* The default of any n has to be there, and that of routed experts (n 0): no compiler is needed at run
 * time. */
static void check_default(const struct iqt_format *f, enum iqt_op op, uint32_t n,
                          enum iqt_layout layout)
{
    struct iqt_plan plan = iqt_plan_default(f, IQT_DIALECT_CUDA, op, n ? n : 1, layout);
    char name[IQT_PLAN_NAME_BYTES], symbol[IQT_PLAN_NAME_BYTES];
    const struct iqt_embedded_image *e;
    uint64_t hash = 0;

    if (n == 0)
        plan.covers = IQT_COVERS_ROUTED;
    iqt_plan_name(&plan, name);
    iqt_kernel_symbol(&plan, symbol);
    check_true(iqt_text_hash(&plan, &hash) == IQT_OK, "%s: %s", name, iqt_last_error());
    e = find(name);
    if (e == NULL)
        check_fail("%s is not embedded", name);
    else
        check_ptx(e, symbol, hash);
}

static void check_format(const struct iqt_format *f)
{
    if (!check_begin("ptx.%s", f->name))
        return;
    if (iqt_embedded_ptx->plan == NULL)
        check_skip("nvrtc", "no NVRTC when this was built");
    else
        for (uint32_t op = 0; op < IQT_OPS; op++)
            for (uint32_t n = 0; n <= IQT_MAX_COLS; n++)
                for (uint32_t layout = 0; layout < 2; layout++)
                    check_default(f, (enum iqt_op)op, n, (enum iqt_layout)layout);
    check_end();
}

/* The search for seeds rounds as the CPU does; its instructions are not to be fused by the driver either. */
static void check_unfused(const struct iqt_embedded_image *e)
{
    struct iqt_buf text = { 0 };

    if (iqt_embedded_unpack(e, &text) != IQT_OK)
        check_fail("%s: %s", e->plan, iqt_last_error());
    else
        check_true(strstr(text.data, "fma.") == NULL &&
                       strstr(text.data, "mul.rn.f32") != NULL &&
                       strstr(text.data, "add.f32") == NULL &&
                       strstr(text.data, "mul.f32") == NULL,
                   "%s: sums that may be fused", e->plan);
    iqt_buf_free(&text);
}

static void check_helper(enum iqt_helper h)
{
    const char *name = iqt_helper_name(h);
    const struct iqt_embedded_image *e = find(name);
    struct iqt_buf text = { 0 };

    if (!check_begin("ptx.%s", name))
        return;
    if (iqt_embedded_ptx->plan == NULL)
        check_skip("nvrtc", "no NVRTC when this was built");
    else if (e == NULL || iqt_emit_helper(h, IQT_DIALECT_CUDA, &text) != IQT_OK)
        check_fail("%s is not embedded", name);
    else
        check_ptx(e, name, iqt_hash(text.data, text.bytes, 0));
    if (e != NULL && (h == IQT_HELPER_FIND4 || h == IQT_HELPER_FIND8))
        check_unfused(e);
    iqt_buf_free(&text);
    check_end();
}

static void check_spirv(void)
{
    if (!check_begin("spirv"))
        return;
    if (iqt_embedded_spirv->plan == NULL)
        check_skip("glslc", "no glslc when this was built");
    for (const struct iqt_embedded_image *e = iqt_embedded_spirv; e->plan != NULL; e++) {
        struct iqt_buf words = { 0 };
        struct iqt_plan plan;
        uint64_t hash = e->text_hash;

        if (iqt_plan_parse(e->plan, &plan) == IQT_OK)
            check_true(iqt_text_hash(&plan, &hash) == IQT_OK && hash == e->text_hash,
                       "%s: made of another text", e->plan);
        if (iqt_embedded_unpack(e, &words) != IQT_OK)
            check_fail("%s: %s", e->plan, iqt_last_error());
        else
            check_true(words.bytes > 20 && words.bytes % 4 == 0 &&
                           iqt_read_u32(words.data) == 0x07230203,
                       "%s: %zu bytes that are no SPIR-V", e->plan, words.bytes);
        iqt_buf_free(&words);
    }
    check_end();
}

/* What does not unpack is an error, not a kernel. */
static void check_damaged(void)
{
    static const uint32_t noise[] = { 0x12345678, 0x9abcdef0 };
    const struct iqt_embedded_image bad = { "bad", 0, noise, sizeof noise, 100 };
    struct iqt_buf text = { 0 };

    if (!check_begin("ptx.damaged"))
        return;
    check_true(iqt_embedded_unpack(&bad, &text) == IQT_ERR_FORMAT && text.bytes == 0,
               "noise was unpacked to %zu bytes", text.bytes);
    iqt_buf_free(&text);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
        check_format(f);
    for (uint32_t h = 0; h < IQT_HELPERS; h++)
        check_helper(h);
    check_spirv();
    check_damaged();
    return check_done();
}
