/* Kernels on cooperative matrices. No device here has these, so the matrices are emulated: the rest of the text,
 * every load, barrier and sum of it, is what a device with them gets. */
#include "tests/coop_emulated.h"
#include "tests/vulkan_case.h"

#include "codegen/codegen.h"
#include "kernels/coop.h"

enum { MOST = 512, K = 1280 };

/* What the emulation and, planted, a fault make of a text. */
struct edit {
    const char *from, *to; /* NULL: no fault */
    bool found;
};

static enum iqt_status replace(struct iqt_buf *text, const char *from, const char *to)
{
    const char *at = strstr(iqt_buf_text(text), from);
    struct iqt_buf out = { 0 };

    if (at == NULL)
        return iqt_fail(IQT_ERR_ARG, "the text has no '%.60s'", from);
    iqt_buf_append(&out, text->data, (size_t)(at - text->data));
    iqt_buf_printf(&out, "%s%s", to, at + strlen(from));
    iqt_buf_free(text);
    *text = out;
    return iqt_buf_check(text);
}

static enum iqt_status emulate(void *user, struct iqt_buf *text)
{
    const struct edit *edit = user;

    if (strstr(iqt_buf_text(text), iqt_coop_types) == NULL)
        return IQT_OK; /* a helper */
    if (edit->from != NULL)
        IQT_TRY(replace(text, edit->from, edit->to));
    return replace(text, iqt_coop_types, coop_emulated);
}

/* ---- Products ---- */

static size_t list(const struct bench *b, const struct iqt_format *f, enum iqt_op op,
                   uint32_t n, enum iqt_layout layout, struct iqt_plan out[MOST])
{
    static struct iqt_plan all[4096];
    struct iqt_limits limits = b->limits;
    size_t count, found = 0;

    limits.mma = true;
    count =
        iqt_plan_list(f, IQT_DIALECT_GLSL, op, n, layout, &limits, all, IQT_COUNT(all));
    for (size_t i = 0; i < count && i < IQT_COUNT(all) && found < MOST; i++)
        if (iqt_plan_is_coop(&all[i]))
            out[found++] = all[i];
    return found;
}

/* y of a product of cols columns; false: it was not made. */
static bool multiply(const struct bench *b, const struct iqt_plan *plan, uint32_t cols,
                     struct problem *p)
{
    struct iqt_kernel *kernel = NULL;
    bool made;

    *p = (struct problem){ .format = plan->format,
                           .layout = plan->layout,
                           .m = ROWS,
                           .k = iqt_round_up(K, plan->format->superblock),
                           .n = cols };
    made = ok(vulkan->build(b->hw, plan, &kernel), "build") &&
           ok(problem_make(p, b), "make") &&
           ok(problem_run(p, b, b->stream, plan, kernel, NULL), "run");
    vulkan->drop(b->hw, kernel);
    return made;
}

static void check_plan(const struct bench *b, const struct iqt_plan *plan, uint32_t depth)
{
    struct edit none = { NULL };
    char name[IQT_PLAN_NAME_BYTES];
    struct problem p;

    iqt_plan_name(plan, name);
    if (!check_begin("coop.%s.depth%u.%s", b->info.spec, depth, name))
        return;
    b->hw->edit = emulate;
    b->hw->edit_user = &none;
    b->hw->gpu.depth = depth;
    if (multiply(b, plan, plan->n - check_rand() % 2, &p))
        problem_compare(&p, plan);
    problem_free(&p, b->hw);
    check_end();
}

/* A drawn plan of each layout and operation; columns and depth are spread over formats. */
static void check_format(const struct bench *b, const struct iqt_format *f)
{
    static struct iqt_plan plans[MOST];
    const bool all = getenv("IQT_ALL") != NULL;
    const uint64_t seed = check_seed() + (uint64_t)(f - iqt_formats);

    for (uint32_t i = 0; i < 2 * IQT_OPS; i++) {
        const uint32_t n = IQT_COOP_COLUMNS + (uint32_t)(seed * 5 + i * 7) % 15;
        const size_t count = list(b, f, i / 2, n, (enum iqt_layout)(i % 2), plans);

        if (count == 0 || (!all && (seed + i) % 4 != 0))
            continue;
        check_plan(b, &plans[check_rand() % count], (seed / 4 + i) % 2 ? 32 : 16);
    }
}

int main(int argc, char **argv)
{
    struct found found;

    check_init(argc, argv);
    found_scan(&found);
    if (check_begin("scan")) {
        found_any(&found);
        check_end();
    }
    for (uint32_t i = 0; i < found.count; i++) {
        struct bench b;

        if (bench_open(&b, i, "") != IQT_OK)
            continue;
        for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
            if (iqt_coop_has(f))
                check_format(&b, f);
        bench_close(&b);
    }
    return check_done();
}
