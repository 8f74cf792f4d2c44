/* The terms of a plan that is not compiled. */
#include "tuner/estimate.h"

#include "kernels/quantized.h"
#include "kernels/tile.h"
#include "kernels/coop.h"
#include "kernels/tile_mma.h"

#include <math.h>
#include <string.h>

/* Of tiles: a weight of one column in blocks of 32, and what each further column adds. Counted by `iqtile
 * stats --format all` for sm_90 and gfx942, -n 1 and 8 (docs/kernels.md). */
static const struct family {
    double slots, column;
} families[][2] = {
    /* NVIDIA, AMD */
    [IQT_TILE_NONE] = { { 0, 0 }, { 0, 0 } },
    [IQT_TILE_Q2] = { { 1.20, 0.46 }, { 1.38, 0.20 } },
    [IQT_TILE_Q3] = { { 1.34, 0.45 }, { 1.83, 0.23 } },
    [IQT_TILE_Q4] = { { 1.79, 0.50 }, { 2.05, 0.23 } },
    [IQT_TILE_Q4_GRAY] = { { 2.63, 0.54 }, { 2.84, 0.25 } },
    [IQT_TILE_Q5] = { { 3.52, 0.47 }, { 3.77, 0.23 } },
    [IQT_TILE_Q6] = { { 4.45, 0.40 }, { 4.54, 0.20 } },
    [IQT_TILE_PAIRS] = { { 2.97, 0.46 }, { 3.06, 0.23 } },
    [IQT_TILE_KT1] = { { 4.14, 0.58 }, { 5.35, 0.51 } },
    [IQT_TILE_KT2] = { { 4.14, 0.58 }, { 5.10, 0.50 } },
    [IQT_TILE_KT3] = { { 5.73, 0.88 }, { 6.85, 0.78 } },
    [IQT_TILE_KT4] = { { 4.27, 0.58 }, { 5.72, 0.50 } },
};
/* The second scale of 32 weights in blocks of 16; of iq2_k's single column on NVIDIA, an integer. */
static const struct family half_blocks[2] = { { 0.34, 0.09 }, { 0.46, 0.10 } };
static const double half_of_integers = 0.10;

/* On NVIDIA's matrix units: a weight of eight columns, what eight more add, and the products of either, which take
 * longer on some targets (iqt_gpu_tensor()). `iqtile stats --target sm_90 --format all`, -n 8 and 16. */
static const struct {
    double slots, column, products;
} on_mma[] = {
    [IQT_TILE_Q2] = { 2.33, 0.92, 0.0625 },
    [IQT_TILE_Q3] = { 2.55, 1.11, 0.125 },
    [IQT_TILE_Q4] = { 2.75, 1.25, 0.1875 },
    [IQT_TILE_Q4_GRAY] = { 3.44, 1.34, 0.1875 },
    [IQT_TILE_Q5] = { 4.17, 1.83, 0.3125 },
    [IQT_TILE_Q6] = { 5.15, 1.00, 0.0625 },
    [IQT_TILE_PAIRS] = { 3.55, 1.45, 0.3125 },
    [IQT_TILE_KT1] = { 4.71, 1.59, 0.3125 },
    [IQT_TILE_KT2] = { 4.15, 1.33, 0.3125 },
    [IQT_TILE_KT3] = { 6.62, 1.05, 0.125 },
    [IQT_TILE_KT4] = { 4.86, 1.36, 0.3125 },
};
static const struct family half_on_mma = { 1.50, 0.80 };
/* A single column of a trellis: -n 1. */
static const struct {
    double slots, products;
} one_on_mma[] = {
    /* a second one adds nothing to the products */
    [IQT_TILE_KT1] = { 2.91, 0.25 },
    [IQT_TILE_KT2] = { 2.79, 0.25 },
    [IQT_TILE_KT3] = { 4.39, 0.50 },
    [IQT_TILE_KT4] = { 3.25, 0.25 },
};
static const double two_on_mma = 0.17;

/* On AMD's, whose products have sixteen columns whatever n, by generation: `iqtile stats --target T`, plans
 * matvec.FORMAT.hip.n16.G.s64.v16.u1.k1.packed.mma.L.shmem, of blocks of 16 the second scale besides. Q4: with and
 * without shift bits. */
static const struct amd_unit {
    const char *target;
    double half, slots[IQT_TILE_KT4 + 1];
} amd_units[] = {
    { "gfx9", /* gfx942, g32.r4.t8 */
      2.6,
      { [IQT_TILE_Q2] = 2.89,
        [IQT_TILE_Q3] = 4.11,
        [IQT_TILE_Q4] = 4.20,
        [IQT_TILE_Q4_GRAY] = 5.23,
        [IQT_TILE_Q5] = 6.62,
        [IQT_TILE_Q6] = 5.60,
        [IQT_TILE_PAIRS] = 5.02,
        [IQT_TILE_KT1] = 7.11,
        [IQT_TILE_KT2] = 6.55,
        [IQT_TILE_KT3] = 8.70,
        [IQT_TILE_KT4] = 7.52 } },
    { "gfx12", /* gfx1201, g16.r4.t8 */
      1.6,
      { [IQT_TILE_Q2] = 3.39,
        [IQT_TILE_Q3] = 3.97,
        [IQT_TILE_Q4] = 4.44,
        [IQT_TILE_Q4_GRAY] = 5.10,
        [IQT_TILE_Q5] = 6.38,
        [IQT_TILE_Q6] = 6.10,
        [IQT_TILE_PAIRS] = 5.25,
        [IQT_TILE_KT1] = 7.52,
        [IQT_TILE_KT2] = 7.24,
        [IQT_TILE_KT3] = 9.90,
        [IQT_TILE_KT4] = 8.22 } },
    { "", /* gfx1100, g16.r4.t8 */
      1.6,
      { [IQT_TILE_Q2] = 7.45,
        [IQT_TILE_Q3] = 8.02,
        [IQT_TILE_Q4] = 8.25,
        [IQT_TILE_Q4_GRAY] = 9.16,
        [IQT_TILE_Q5] = 10.28,
        [IQT_TILE_Q6] = 10.19,
        [IQT_TILE_PAIRS] = 9.51,
        [IQT_TILE_KT1] = 11.34,
        [IQT_TILE_KT2] = 11.09,
        [IQT_TILE_KT3] = 13.94,
        [IQT_TILE_KT4] = 12.09 } },
};

/* What a weight and column of float products costs beyond int8 ones: a conversion to float and a multiply-add in
 * place of a quarter of a dot product, of float16 another conversion. Means of n1 and n4 of four formats, native
 * rows, `iqtile stats --target sm_90|gfx942|gfx1100 --plan NAME` of each kind (docs/kernels.md). */
static const double of_floats[IQT_COMPUTES][2] = {
    /* NVIDIA, AMD */
    [IQT_COMPUTE_F16] = { 3.6, 6.5 },
    [IQT_COMPUTE_F32] = { 2.8, 4.4 },
};

/* What is not known without a compiler: threads that fit a unit, instructions of a thread outside of the
 * loop, and for each sum and step of the reduction; how often the last part of a split waits for memory. */
enum { RESIDENT_THREADS = 1024, ONCE = 60, A_STEP = 5, WAITS = 3 };

static bool nvidia(enum iqt_gpu_kind kind)
{
    return kind == IQT_GPU_NVIDIA_HBM || kind == IQT_GPU_NVIDIA_GDDR;
}

static const struct amd_unit *amd_unit_of(const char *target)
{
    const struct amd_unit *u = amd_units;

    while (strncmp(target, u->target, strlen(u->target)) != 0)
        u++;
    return u;
}

static double slots_on_mma(const char *target, const struct iqt_plan *p)
{
    const enum iqt_tile_family family = iqt_tile_family_of(p->format, p->dialect);
    const double half = p->format->block == 16 ? 1 : 0;

    if (p->dialect == IQT_DIALECT_HIP)
        return amd_unit_of(target)->slots[family] + half * amd_unit_of(target)->half;
    const double product = iqt_gpu_tensor(target)->slots;
    const double eights = (p->n + IQT_MMA_COLUMNS - 1) / IQT_MMA_COLUMNS;

    if (iqt_mma_keeps_tiles(p))
        return fmax(one_on_mma[family].slots + (p->n - 1) * two_on_mma,
                    one_on_mma[family].products * product);
    return fmax(on_mma[family].slots + half * half_on_mma.slots +
                    (eights - 1) * (on_mma[family].column + half * half_on_mma.column),
                on_mma[family].products * eights * product);
}

double iqt_estimate_slots(enum iqt_gpu_kind kind, const char *target,
                          const struct iqt_plan *plan)
{
    const uint32_t vendor = nvidia(kind) ? 0 : 1;
    const enum iqt_tile_family family =
        plan->layout == IQT_LAYOUT_PACKED && plan->compute == IQT_COMPUTE_I8
            ? iqt_tile_family_of(plan->format, plan->dialect)
            : IQT_TILE_NONE;
    const struct family *f = &families[family][vendor], *more = &half_blocks[vendor];
    const double half = plan->format->block == 16 ? 1 : 0;

    if (iqt_plan_is_coop(plan))
        return iqt_plan_operations(plan);
    if (plan->compute == IQT_COMPUTE_MMA)
        return slots_on_mma(target, plan);
    if (iqt_plan_is_asked_for(plan))
        return iqt_plan_operations(plan) + plan->n * of_floats[plan->compute][vendor];
    if (family == IQT_TILE_NONE)
        return iqt_plan_operations(plan);
    if (family == IQT_TILE_Q2 && vendor == 0 && half > 0 && plan->n == 1)
        return f->slots + half_of_integers;
    return f->slots + half * more->slots +
           (plan->n - 1.0) * (f->column + half * more->column);
}

/* A thread's share of a row's weights, its idle turns and what it does once. */
static double whole_slots(const struct iqt_gpu *gpu, const struct iqt_plan *plan,
                          uint64_t k)
{
    const double threads = (double)plan->threads * plan->split;
    const double share = (double)plan->rows_thread * (double)k / threads;
    const double turns = ceil((double)k / plan->span / threads);
    const double steps = plan->threads > 1 ? log2(plan->threads) : 0;
    const double once = ONCE + A_STEP * steps * plan->rows_thread * plan->n;

    return (turns * plan->span * plan->rows_thread *
                iqt_estimate_slots(gpu->kind, gpu->target, plan) +
            once) /
           share;
}

void iqt_estimate_product(const struct iqt_plan *plan,
                          const struct iqt_predict_product *p, struct iqt_model_input *in)
{
    const enum iqt_compute kind = plan != NULL ? plan->compute : IQT_COMPUTE_I8;
    const struct iqt_activations *a = iqt_compute_activations(kind);
    const double scale = a->made_by == IQT_HELPERS ? 0 : sizeof(float);
    const double x = p->n * (double)p->k * (a->bytes + scale / (double)IQT_X_BLOCK);

    *in = (struct iqt_model_input){
        .bytes = p->weight_bytes + x + p->n * sizeof(float) * (double)p->m,
        .weights = (double)p->m * (double)p->k,
    };
    if (plan != NULL)
        in->groups = iqt_plan_groups(plan, (uint32_t)p->m);
}

/* AMD's kernels on matrix units have copies of tiles in shared memory, which few workgroups fit. */
static double groups_of_unit(const struct iqt_plan *plan)
{
    const double most = RESIDENT_THREADS / (double)iqt_plan_threads(plan);

    if (plan->compute != IQT_COMPUTE_MMA || plan->dialect != IQT_DIALECT_HIP)
        return most;
    return fmin(most, IQT_MFMA_SHARED / iqt_mma_shared(plan, iqt_mma_wave(plan, 0)));
}

void iqt_estimate(const struct iqt_gpu *gpu, const struct iqt_plan *plan,
                  const struct iqt_predict_product *product, struct iqt_prediction *out)
{
    struct iqt_model_input in;

    iqt_estimate_product(plan, product, &in);
    in.slots = whole_slots(gpu, plan, product->k);
    in.groups_unit = groups_of_unit(plan);
    in.iterations = ceil((double)product->k / plan->span / plan->threads / plan->split) +
                    (plan->split > 1 ? WAITS : 0);
    iqt_model_predict(gpu, &in, out);
}
