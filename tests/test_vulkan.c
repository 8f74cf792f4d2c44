/* Kernels on Vulkan: every format, both layouts, on every device and at every subgroup size that a
 * software device offers, against the exact model. The validation layer is on and must be silent. */
#include "tests/vulkan_case.h"

#include <sys/wait.h>

enum { MAX_LISTED = 4096 };

/* The first listed plan that adds up with shuffles and whose workgroup is a multiple of threads;
 * false when there is none. */
static bool find_shuffled(const struct bench *b, const struct iqt_format *f,
                          uint32_t threads, struct iqt_plan *out)
{
    static struct iqt_plan list[MAX_LISTED];
    const size_t count = iqt_plan_list(f, IQT_DIALECT_GLSL, IQT_OP_MATVEC, 1,
                                       IQT_LAYOUT_PACKED, &b->limits, list, MAX_LISTED);

    for (size_t i = 0; i < count && i < MAX_LISTED; i++) {
        if (list[i].reduce == IQT_REDUCE_SUBGROUP && list[i].threads > 1 &&
            iqt_plan_threads(&list[i]) % threads == 0) {
            *out = list[i];
            return true;
        }
    }
    return false;
}

static void check_plan(const struct bench *b, const struct iqt_plan *plan)
{
    char name[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(plan, name);
    if (!check_begin("kernel.%s.%s", b->info.spec, name))
        return;
    run_plan(b, plan, ROWS, COLS, NULL);
    check_end();
}

/* Kernels with the dot product instruction are right wherever it can be executed, fast or not. Every
 * sixth format, drawn by the seed. */
static void check_dot(const struct bench *b, const struct iqt_format *f)
{
    static const struct iqt_limits limits = { .dot4 = true };
    const enum iqt_layout layout = b->limits.subgroup_max % 3 == 1; /* 4, 16: packed */
    struct iqt_plan plan;

    if (!check_draws((uint64_t)(f - iqt_formats), 6) || !b->hw->gpu.has.dot_product ||
        iqt_compute_of(&limits, f, IQT_DIALECT_GLSL) != IQT_COMPUTE_DOT)
        return;
    plan = iqt_plan_default_for(&limits, f, IQT_DIALECT_GLSL, IQT_OP_MATVEC, 1, layout);
    check_plan(b, &plan);
    if (f->decode == IQT_DECODE_TRELLIS) { /* several columns have words of their own */
        plan =
            iqt_plan_default_for(&limits, f, IQT_DIALECT_GLSL, IQT_OP_MATVEC, 4, layout);
        check_plan(b, &plan);
    }
}

static void check_format(const struct bench *b, const struct iqt_format *f)
{
    struct iqt_plan plan;

    for (int layout = 0; layout < 2; layout++) {
        plan = iqt_plan_default(f, IQT_DIALECT_GLSL, IQT_OP_MATVEC, 1,
                                (enum iqt_layout)layout);
        check_plan(b, &plan);
    }
    plan = iqt_plan_default(f, IQT_DIALECT_GLSL, IQT_OP_MATVEC, 4, IQT_LAYOUT_PACKED);
    check_plan(b, &plan);
    plan = iqt_plan_default(f, IQT_DIALECT_GLSL, IQT_OP_GATED, 1, IQT_LAYOUT_PACKED);
    check_plan(b, &plan);
    if (find_shuffled(b, f, b->limits.subgroup_max, &plan)) /* full subgroups */
        check_plan(b, &plan);
    for (uint32_t n = 1; n <= 4; n += 3) { /* what the device itself would choose */
        plan = iqt_plan_default_for(&b->limits, f, IQT_DIALECT_GLSL, IQT_OP_MATVEC, n,
                                    IQT_LAYOUT_PACKED);
        if (iqt_plan_shares(&plan))
            check_plan(b, &plan);
    }
    check_dot(b, f);
}

/* Where full subgroups with shuffle exist, the plan space has to use them. */
static void check_shuffle(const struct bench *b)
{
    struct iqt_plan plan = any_plan();

    if (!check_begin("shuffle.%s", b->info.spec))
        return;
    check_true(find_shuffled(b, plan.format, 1, &plan) ==
                   (b->limits.subgroup_ops && b->limits.subgroup_min > 1),
               "subgroup_ops is %d, but plans with shuffles are %slisted",
               b->limits.subgroup_ops, b->limits.subgroup_ops ? "not " : "");
    check_end();
}

/* More workgroups than one dimension of a dispatch may have. */
static void check_many_groups(const struct bench *b)
{
    struct iqt_plan plan = iqt_plan_default(iqt_format_find("q8_0"), IQT_DIALECT_GLSL,
                                            IQT_OP_MATVEC, 1, IQT_LAYOUT_NATIVE);

    if (!check_begin("many_groups.%s", b->info.spec))
        return;
    plan.rows_group = plan.rows_thread = 1;
    if (ok(iqt_plan_check(&plan, NULL), "one row a workgroup"))
        run_plan(b, &plan, 2 * 65535 + 3, 32, NULL);
    check_end();
}

/* A mistake planted on purpose is reported, so silence means something. */
static void check_validation(const struct bench *b)
{
    const uint32_t before = atomic_load(&b->hw->vk->messages);
    const VkFenceCreateInfo wrong = {
        .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO,
        .flags = 0x40000000,
    };
    VkFence fence = VK_NULL_HANDLE;

    if (!check_begin("validation.%s", b->info.spec))
        return;
    check_true(before == 0, "%u messages of the validation layer, see above", before);
    fprintf(stderr, "planted error, a message about VkFenceCreateInfo must follow:\n");
    b->hw->fn.CreateFence(b->hw->device, &wrong, NULL, &fence);
    check_true(atomic_load(&b->hw->vk->messages) > before,
               "the validation layer did not see a planted error");
    b->hw->fn.DestroyFence(b->hw->device, fence, NULL);
    check_end();
}

static void check_device(const struct found *found, uint32_t index)
{
    struct bench b;
    const enum iqt_status status = bench_open(&b, index, "");

    if (check_begin("open.vulkan:%u", index)) {
        ok(status, "open");
        check_end();
    }
    if (status == IQT_OK) {
        /* Software devices compile for a second per kernel. */
        for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
            if (check_draws((uint64_t)(f - iqt_formats), 4))
                check_format(&b, f);
        check_shuffle(&b);
        check_many_groups(&b);
        if (found->validated)
            check_validation(&b);
    }
    bench_close(&b);
}

/* Mesa's software device takes its subgroup size from the environment, once a process. */
static void check_other_lanes(const char *program)
{
    static const char *const widths[] = { "128", "512" };

    if (getenv("LP_NATIVE_VECTOR_WIDTH") != NULL)
        return;
    for (size_t i = 0; i < IQT_COUNT(widths); i++) {
        struct iqt_buf command = { 0 };
        int result;

        if (!check_begin("lanes.%s", widths[i]))
            continue;
        iqt_buf_printf(&command, "LP_NATIVE_VECTOR_WIDTH=%s '%s' --seed %llu", widths[i],
                       program, (unsigned long long)check_seed());
        fflush(stdout);
        result = system(iqt_buf_text(&command));
        check_true(WIFEXITED(result) && WEXITSTATUS(result) == 0, "%s: wait status %#x",
                   iqt_buf_text(&command), (unsigned)result);
        iqt_buf_free(&command);
        check_end();
    }
}

static bool has_software(const struct found *found)
{
    for (uint32_t i = 0; i < found->count; i++) {
        if (strcmp(found->info[i].arch, "llvmpipe") == 0)
            return true;
    }
    return false;
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
    for (uint32_t i = 0; i < found.count; i++)
        check_device(&found, i);
    if (has_software(&found))
        check_other_lanes(argv[0]);
    return check_done();
}
