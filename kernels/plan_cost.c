/* The cost estimate of a plan: rough operations, what a workgroup does besides, what stays idle. */
#include "kernels/coop.h"
#include "kernels/tile_mma.h"

#include <math.h>

/* Hidden beside a dot product instruction. A Vulkan device without one may be software, which
 * loads lane by lane: five times the time of selects of 16 entries on lavapipe. */
static double shared_cost(const struct iqt_plan *p)
{
    if (p->dialect != IQT_DIALECT_GLSL)
        return 6.0;
    return iqt_plan_has_dot(p) ? 3.0 : 20.0;
}

/* Operations per weight of a table lookup, by method. A select tree grows with the table, a
 * permute handles 8 entries of 4 weights at once, a shared table is one load per weight. */
static double lookup_cost(const struct iqt_plan *p)
{
    const struct iqt_codebook *c = p->format->codebook;

    switch (p->lookup) {
    case IQT_LOOKUP_SEL:
        return 2.0 + c->count / 4.0;
    case IQT_LOOKUP_SHMEM:
        return shared_cost(p) / c->dim;
    case IQT_LOOKUP_ARITH:
        return 1.25;
    case IQT_LOOKUP_PERM:
        return 0.5 + c->count / 16.0 * c->dim;
    default:
        if (p->format->decode != IQT_DECODE_TRELLIS)
            return 1.0;
        /* Rows share the activations that a dot product of states repeats (emit_block.c). */
        return p->compute == IQT_COMPUTE_DOT && !p->format->trellis->magnitude &&
                       p->n == 1
                   ? 4.0 + 3.0 / p->rows_thread
                   : 5.0;
    }
}

static uint32_t code_planes(const struct iqt_format *f)
{
    uint32_t n = 0;

    while (n < IQT_MAX_PLANES && f->code.plane[n].width)
        n++;
    return n;
}

double iqt_plan_operations(const struct iqt_plan *p)
{
    const double load = p->layout == IQT_LAYOUT_PACKED ? 0.1 : 0.5;
    const double decode = lookup_cost(p) + code_planes(p->format) * (0.5 + load);
    const double scales = 24.0 / p->format->block;
    const double eights = p->dialect == IQT_DIALECT_HIP || p->dialect == IQT_DIALECT_GLSL
                              ? 2.0
                              : ceil(p->n / (double)IQT_MMA_COLUMNS);
    const bool plain =
        p->dialect != IQT_DIALECT_GLSL || p->format->decode == IQT_DECODE_FLOAT;
    const double x =
        plain ? 10.0 : 30.0; /* loads of activations; of floats 4 rows would spill */
    const double columns = p->compute == IQT_COMPUTE_MMA
                               ? 0.5 + eights * 24.0 / p->format->block
                               : p->n * (0.5 + x / 32.0 / p->rows_thread);
    /* A span keeps its loads in flight together; longer ones also share their addresses. */
    const double span = 16.0 / p->span;

    return decode + scales + columns + span;
}

double iqt_plan_cost(const struct iqt_plan *p, const struct iqt_limits *limits, size_t m,
                     size_t k)
{
    const uint32_t units = limits && limits->compute_units ? limits->compute_units : 16,
                   wave = limits ? limits->subgroup_min : 0;
    const double spans = ceil((double)k / p->span),
                 passes = ceil(spans / (p->threads * p->split));
    const double idle =
        passes * p->threads * p->split / spans; /* threads that wait at the row's end */
    const double per_step = p->reduce == IQT_REDUCE_SHMEM ? 24.0 : 8.0;
    const double steps = p->threads > 1 ? log2(p->threads) : 0;
    const double reduction =
        iqt_plan_is_coop(p) ? per_step * p->n * p->rows_group / IQT_COOP_SIDE
        : p->compute == IQT_COMPUTE_MMA
            ? per_step * p->n * p->threads / iqt_mma_threads(p, iqt_mma_wave(p, wave))
            : steps * per_step * p->n * p->threads;
    const double threads = iqt_plan_threads(p);
    /* Parts are written, and read again by one workgroup that waits for all. */
    const double parts = p->split > 1 ? 4.0 * p->n * p->split + 256.0 : 0;
    /* Short matrices leave compute units empty; too small workgroups cost a launch each. */
    const double groups = iqt_plan_groups(p, (uint32_t)m);
    const double empty = ceil(groups / units) * units / groups;
    const double warp = threads < 32 ? 32.0 / threads : 1.0;
    const double sums = p->compute == IQT_COMPUTE_MMA ? p->n : p->n * p->rows_thread;
    /* Software devices have few registers: rows of 128 weights side by side cost lavapipe a third. */
    const double room = iqt_plan_has_dot(p)              ? 8192.0
                        : p->dialect == IQT_DIALECT_GLSL ? 2048.0
                                                         : 4096.0;
    const double registers = 1.0 + sums / 96.0 + p->rows_thread * p->span / room;

    return (double)m * (iqt_plan_operations(p) * (double)k * idle + reduction + parts) *
           empty * registers * (0.75 + 0.25 * warp);
}
