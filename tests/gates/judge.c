/* Compiles one kernel for one target and judges what it uses: nothing spilled, nothing in private
 * memory, a workgroup fits the registers and the shared memory. */
#include "tests/gates/gates.h"

#include "codegen/codegen.h"
#include "runtime/compile.h"
#include "runtime/embedded.h"

#include <stdlib.h>
#include <string.h>

static const char radv[] = "radv:";

/* Mesa's name of the GPU, or NULL. */
static const char *radv_gpu(const struct gate_target *t)
{
    const size_t length = sizeof radv - 1;

    return strncmp(t->name, radv, length) == 0 ? t->name + length : NULL;
}

/* ---- SPIR-V ---- */

/* The embedded words where there are some, else as they are made. -O takes up to 30 times as long to
 * unroll what the driver's compiler unrolls anyway. */
static enum iqt_status get_spirv(const struct gate_kernel *k, const struct iqt_buf *text,
                                 struct iqt_buf *out)
{
    char *argv[] = { "glslc",
                     "--target-env=vulkan1.1",
                     "-O0",
                     "-Werror",
                     "-fshader-stage=compute",
                     "-o",
                     "-",
                     "-",
                     NULL };
    struct iqt_process p;
    enum iqt_status status = IQT_OK;

    for (const struct iqt_embedded_image *e = iqt_embedded_spirv; e->plan != NULL; e++)
        if (e->text_hash == k->hash)
            return iqt_embedded_unpack(e, out);
    IQT_TRY(iqt_process_run(argv, text->data, text->bytes, &p));
    if (p.exit_code != 0)
        status = iqt_fail(IQT_ERR_COMPILE, "glslc: %.700s", iqt_buf_text(&p.log));
    else
        iqt_buf_append(out, p.out.data, p.out.bytes);
    iqt_process_free(&p);
    return status == IQT_OK ? iqt_buf_check(out) : status;
}

static enum iqt_status validate(const struct iqt_buf *spirv)
{
    char *argv[] = { "spirv-val", "--target-env", "vulkan1.1", "-", NULL };
    struct iqt_process p;
    enum iqt_status status = IQT_OK;

    IQT_TRY(iqt_process_run(argv, spirv->data, spirv->bytes, &p));
    if (p.exit_code != 0)
        status = iqt_fail(IQT_ERR_COMPILE, "spirv-val: %.600s%.100s",
                          iqt_buf_text(&p.log), iqt_buf_text(&p.out));
    iqt_process_free(&p);
    return status;
}

static enum iqt_status use_spirv(const struct gate_kernel *k, const struct gate_target *t,
                                 const struct iqt_buf *spirv, struct iqt_binary_info *out)
{
    const char *gpu = radv_gpu(t);
    uint32_t *word;
    enum iqt_status status;

    if (gpu == NULL)
        return validate(spirv);
    word = malloc(spirv->bytes);
    if (word == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu bytes", spirv->bytes);
    memcpy(word, spirv->data, spirv->bytes);
    status = gate_radv(gpu, k, word, spirv->bytes / sizeof *word, out);
    free(word);
    return status;
}

/* ---- Compilers ---- */

/* glslc and spirv-val. */
static enum iqt_status probe_spirv(char compiler[GATE_COMPILER])
{
    static const char *const programs[] = { "glslc", "spirv-val" };
    uint64_t hash = 0;

    for (size_t i = 0; i < IQT_COUNT(programs); i++) {
        char *argv[] = { (char *)programs[i], "--version", NULL };
        struct iqt_process p;

        IQT_TRY(iqt_process_run(argv, "", 0, &p));
        hash = iqt_hash(p.out.data, p.out.bytes, hash);
        if (p.exit_code != 0)
            hash = 0;
        iqt_process_free(&p);
        if (hash == 0)
            return iqt_fail(IQT_ERR_UNSUPPORTED, "%s does not run", programs[i]);
    }
    snprintf(compiler, GATE_COMPILER, "glslc and spirv-val %016llx",
             (unsigned long long)hash);
    return IQT_OK;
}

enum iqt_status gate_probe(const struct gate_target *t, char compiler[GATE_COMPILER])
{
    static const char empty[] = "extern \"C\" __attribute__((global)) void k() {}\n";
    struct iqt_buf out = { 0 };
    struct iqt_target target;
    enum iqt_status status;

    *compiler = '\0';
    if (radv_gpu(t) != NULL)
        return gate_radv_name(radv_gpu(t), compiler);
    if (t->dialect == IQT_DIALECT_GLSL)
        return probe_spirv(compiler);
    IQT_TRY(iqt_target_parse(t->name, &target));
    status = iqt_compile(&target, empty, &out);
    if (status == IQT_OK)
        snprintf(compiler, GATE_COMPILER, "%s", iqt_compiler_name(t->dialect));
    iqt_buf_free(&out);
    return status;
}

static enum iqt_status compile(const struct gate_kernel *k, const struct gate_target *t,
                               struct iqt_binary_info *out)
{
    struct iqt_buf text = { 0 }, image = { 0 };
    struct iqt_target target;
    enum iqt_status status = gate_emit(k, &text);

    if (status != IQT_OK) {
    } else if (t->dialect == IQT_DIALECT_GLSL) {
        status = get_spirv(k, &text, &image);
        if (status == IQT_OK)
            status = use_spirv(k, t, &image, out);
    } else {
        status = iqt_target_parse(t->name, &target);
        if (status == IQT_OK)
            status = iqt_compile(&target, iqt_buf_text(&text), &image);
        if (status == IQT_OK)
            status = iqt_binary_info(image.data, image.bytes, out);
    }
    iqt_buf_free(&text);
    iqt_buf_free(&image);
    return status;
}

void gate_compile(const struct gate_kernel *k, const struct gate_target *t,
                  struct gate_result *out)
{
    out->compiled = compile(k, t, &out->info) == IQT_OK;
    if (out->compiled)
        gate_judge(k, t, out);
    else
        snprintf(out->message, sizeof out->message, "%s", iqt_last_error());
}

/* ---- Judging ---- */

/* Registers of a thread that a workgroup of so many threads may have. */
static uint32_t most_registers(const struct gate_target *t, uint32_t threads)
{
    const uint32_t waves = (threads + t->wave - 1) / t->wave;
    const uint32_t of_simd = (waves + GATE_SIMDS - 1) / GATE_SIMDS;
    const uint32_t share = t->file / of_simd / t->granule * t->granule;

    return share < t->most_registers ? share : t->most_registers;
}

void gate_judge(const struct gate_kernel *k, const struct gate_target *t,
                struct gate_result *r)
{
    const uint32_t threads = k->plan.format != NULL ? iqt_plan_threads(&k->plan)
                                                    : iqt_helper_threads(k->helper);
    const struct iqt_binary_info *i = &r->info;
    uint32_t most;

    *r->message = '\0';
    if (t->wave == 0)
        return;
    most = most_registers(t, threads);
    r->spills = i->spills != 0 || i->stack_bytes != 0;
    if (r->spills)
        snprintf(
            r->message, sizeof r->message,
            "spills: %u registers, %u bytes of private memory a thread (%u registers)",
            i->spills, i->stack_bytes, i->registers);
    else if (i->registers == 0 || i->registers > most)
        snprintf(r->message, sizeof r->message,
                 "%u registers; a workgroup of %u threads allows 1 .. %u", i->registers,
                 threads, most);
    else if (i->shared_bytes > t->most_shared)
        snprintf(r->message, sizeof r->message, "%u bytes of shared memory, at most %u",
                 i->shared_bytes, t->most_shared);
}
