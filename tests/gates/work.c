/* Which kernels the gates compile, and for which targets. Knows no compiler. */
#include "tests/gates/gates.h"

#include "codegen/codegen.h"

#include <stdlib.h>
#include <string.h>

/* NVIDIA: 64 K registers a multiprocessor. AMD: per SIMD; RDNA in units of one wave of its width,
 * a workgroup on the four SIMDs of a workgroup processor. Shared memory that a kernel may declare; cubins count in
 * 1024 bytes that the driver has of it from sm_80 on. */
#define NVIDIA(name, reference)                                                      \
    {                                                                                \
        name, IQT_DIALECT_CUDA, "nvrtc", 32, 512, 8, 255, 49 * 1024, reference, NULL \
    }
#define AMD(name, wave, file, granule, most, reference)                                 \
    {                                                                                   \
        name, IQT_DIALECT_HIP, "hip", wave, file, granule, most, 65536, reference, NULL \
    }
#define RADV(name, wave, file, granule, reference, excused)                      \
    {                                                                            \
        "radv:" name, IQT_DIALECT_GLSL, "radv", wave, file, granule, 256, 65536, \
            reference, excused                                                   \
    }

const struct gate_target gate_targets[GATE_TARGETS] = {
    NVIDIA("sm_75", false),
    NVIDIA("sm_80", false),
    NVIDIA("sm_86", false),
    NVIDIA("sm_89", false),
    NVIDIA("sm_90", true),
    NVIDIA("sm_100", false),
    NVIDIA("sm_120", false),
    AMD("gfx906", 64, 256, 4, 256, false),
    AMD("gfx90a", 64, 512, 8, 512, false),
    AMD("gfx942", 64, 512, 8, 512, true),
    AMD("gfx1030", 32, 1024, 16, 256, false),
    AMD("gfx1100", 32, 1536, 24, 256, false),
    AMD("gfx1201", 32, 1536, 24, 256, false),
    { "spirv", IQT_DIALECT_GLSL, "glslc", 0, 0, 0, 0, 0, false, NULL },
    RADV("vega20", 64, 256, 4, false, NULL),
    RADV("navi21", 64, 512, 8, true, NULL),
    /* navi31 in newer Mesa. Mesa 22.3.6 stops at 132, rarely 144 registers on RDNA3, where RDNA2 goes
     * to 256, and spills for it. */
    RADV("gfx1100", 64, 768, 12, false, "Mesa 22."),
};

static const uint32_t columns[] = { 1, 2, 4, 8, 16 };

enum iqt_status gate_emit(const struct gate_kernel *k, struct iqt_buf *out)
{
    if (k->plan.format == NULL)
        IQT_TRY(iqt_emit_helper(k->helper, k->plan.dialect, out));
    else
        IQT_TRY(iqt_emit_kernel(&k->plan, out));
    return iqt_buf_check(out);
}

static bool known(const struct gate_kernels *k, uint64_t hash)
{
    for (size_t i = 0; i < k->count; i++)
        if (k->kernel[i].hash == hash)
            return true;
    return false;
}

static enum iqt_status append(struct gate_kernels *k, const struct gate_kernel *kernel)
{
    if (k->count == k->capacity) {
        const size_t capacity = k->capacity ? 2 * k->capacity : 256;
        struct gate_kernel *grown = realloc(k->kernel, capacity * sizeof *grown);

        if (grown == NULL)
            return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu kernels", capacity);
        k->kernel = grown;
        k->capacity = capacity;
    }
    k->kernel[k->count++] = *kernel;
    return IQT_OK;
}

/* Unless a kernel of the same text is there. */
static enum iqt_status add(struct gate_kernels *k, struct gate_kernel *kernel)
{
    struct iqt_buf text = { 0 };
    enum iqt_status status = gate_emit(kernel, &text);

    if (status == IQT_OK) {
        kernel->hash = iqt_hash(text.data, text.bytes, 0);
        if (!known(k, kernel->hash))
            status = append(k, kernel);
    }
    iqt_buf_free(&text);
    return status;
}

enum iqt_status gate_add(struct gate_kernels *k, const struct iqt_plan *plan,
                         bool sampled)
{
    struct gate_kernel kernel = { .plan = *plan, .sampled = sampled };

    iqt_plan_name(plan, kernel.name);
    return add(k, &kernel);
}

static enum iqt_status add_helpers(struct gate_kernels *k, enum iqt_dialect d)
{
    for (uint32_t h = 0; h < IQT_HELPERS; h++) {
        struct gate_kernel kernel = { .plan = { .dialect = d }, .helper = h };

        snprintf(kernel.name, sizeof kernel.name, "%s.%s", iqt_helper_name(h),
                 iqt_dialect_name(d));
        IQT_TRY(add(k, &kernel));
    }
    return IQT_OK;
}

/* Float16 activations of one column, every fourth format: nobody's default, but what a caller would name first. */
static enum iqt_status add_halves(struct gate_kernels *k, enum iqt_dialect d)
{
    for (size_t i = 0; iqt_formats[i].name != NULL; i++) {
        const struct iqt_plan plan = iqt_plan_of_floats(
            iqt_plan_default(&iqt_formats[i], d, IQT_OP_MATVEC, 1, IQT_LAYOUT_NATIVE),
            IQT_COMPUTE_F16);

        if (i % 4 == 0 && iqt_plan_check(&plan, NULL) == IQT_OK)
            IQT_TRY(gate_add(k, &plan, false));
    }
    return IQT_OK;
}

enum iqt_status gate_add_defaults(struct gate_kernels *k, enum iqt_dialect d)
{
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
        for (uint32_t op = 0; op < IQT_OPS; op++)
            for (uint32_t layout = 0; layout < 2; layout++)
                for (size_t n = 0; n < 2 * IQT_COUNT(columns); n++) {
                    const struct iqt_limits limits = { .dot4 = n % 2,
                                                       .mma = n % 2,
                                                       .mma_one = n % 2 * 4 };
                    const struct iqt_plan plan =
                        iqt_plan_default_for(&limits, f, d, (enum iqt_op)op,
                                             columns[n / 2], (enum iqt_layout)layout);

                    IQT_TRY(gate_add(k, &plan, false)); /* once if they are the same */
                }
    IQT_TRY(add_halves(k, d));
    return add_helpers(k, d);
}

/* ---- Sampling ---- */

/* splitmix64 */
uint64_t gate_random(uint64_t seed, uint64_t number)
{
    uint64_t z = seed * 0xd1342543de82ef95u + (number + 1) * 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static const struct iqt_format *draw_format(uint64_t random)
{
    size_t count = 0;

    while (iqt_formats[count].name != NULL)
        count++;
    return &iqt_formats[random % count];
}

/* What a list of plans leaves out: float activations, one plan in five of those that may have them; sets, routed
 * experts, k split over workgroups. */
static void vary(struct iqt_plan *plan, uint64_t kind, uint64_t covers, uint64_t split)
{
    static const enum iqt_compute floats[] = { IQT_COMPUTE_F16, IQT_COMPUTE_F32 };
    struct iqt_plan other = *plan;

    if (kind % 5 == 0)
        other.compute = floats[kind / 5 % IQT_COUNT(floats)];
    if (iqt_plan_check(&other, NULL) == IQT_OK)
        *plan = other;
    other = *plan;

    other.covers = (enum iqt_covers)(covers % (2 * IQT_COVERS) % IQT_COVERS);
    other.split = (uint8_t)(1u << split % 5);
    if (other.covers == IQT_COVERS_ROUTED)
        other.n = other.split = 1;
    if (other.covers == IQT_COVERS_SET && other.dialect == IQT_DIALECT_GLSL)
        other.split = 1;
    if (iqt_plan_check(&other, NULL) == IQT_OK)
        *plan = other;
}

/* One of the legal plans of drawn format, op, n and layout: uniform over all plans, the formats with
 * many would crowd out the others. */
static enum iqt_status add_drawn(struct gate_kernels *k, enum iqt_dialect d,
                                 uint64_t seed)
{
    const struct iqt_format *f = draw_format(gate_random(seed, 0));
    const enum iqt_op op = (enum iqt_op)(gate_random(seed, 1) % IQT_OPS);
    const uint32_t n = 1 + gate_random(seed, 2) % IQT_MAX_COLS;
    const enum iqt_layout layout = (enum iqt_layout)(gate_random(seed, 3) % 2);
    const size_t count = iqt_plan_list(f, d, op, n, layout, NULL, NULL, 0);
    struct iqt_plan *plans = calloc(count + 1, sizeof *plans);
    enum iqt_status status = IQT_OK;

    if (plans == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu plans", count);
    iqt_plan_list(f, d, op, n, layout, NULL, plans, count);
    if (count > 0) {
        const struct iqt_limits limits = { .dot4 = gate_random(seed, 7) % 2 };
        struct iqt_plan plan = plans[gate_random(seed, 4) % count];

        if (d == IQT_DIALECT_GLSL && !iqt_plan_shares(&plan))
            plan.compute = iqt_compute_of(&limits, f, d);
        vary(&plan, gate_random(seed, 8), gate_random(seed, 5), gate_random(seed, 6));
        status = gate_add(k, &plan, true);
    }
    free(plans);
    return status;
}

enum iqt_status gate_add_sampled(struct gate_kernels *k, enum iqt_dialect d,
                                 uint64_t seed)
{
    static const enum iqt_dialect dialects[] = { IQT_DIALECT_CUDA, IQT_DIALECT_HIP,
                                                 IQT_DIALECT_GLSL };

    for (uint32_t i = 0; i < GATE_SAMPLED; i++)
        if (dialects[i % IQT_COUNT(dialects)] == d)
            IQT_TRY(add_drawn(k, d, gate_random(seed, i)));
    return IQT_OK;
}
