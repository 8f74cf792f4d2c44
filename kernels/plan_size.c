/* What the parameters of a plan amount to: threads, workgroups, columns of a pass, bytes. */
#include "kernels/plan.h"

#include "kernels/coop.h"
#include "kernels/tile_mma.h"
#include "kernels/quantized.h"

uint32_t iqt_plan_threads(const struct iqt_plan *p)
{
    return (uint32_t)p->threads * p->rows_group / p->rows_thread;
}

uint32_t iqt_plan_row_groups(const struct iqt_plan *p, uint32_t rows)
{
    return (uint32_t)(((uint64_t)rows + p->rows_group - 1) / p->rows_group);
}

uint32_t iqt_plan_groups(const struct iqt_plan *p, uint32_t rows)
{
    return iqt_plan_row_groups(p, rows) * p->split;
}

uint64_t iqt_plan_partials(const struct iqt_plan *p, uint32_t rows, uint32_t cols)
{
    return (uint64_t)iqt_plan_groups(p, rows) * p->rows_group *
           (p->op == IQT_OP_GATED ? 2 : 1) * cols;
}

bool iqt_plan_is_tile(const struct iqt_plan *p)
{
    return p->layout == IQT_LAYOUT_PACKED &&
           iqt_tile_family_of(p->format, p->dialect) != IQT_TILE_NONE;
}

bool iqt_plan_takes_lanes(const struct iqt_plan *p)
{
    return iqt_plan_is_tile(p) && p->compute != IQT_COMPUTE_MMA;
}

uint32_t iqt_plan_columns(const struct iqt_plan *p)
{
    const bool hip = p->dialect == IQT_DIALECT_HIP;
    /* AMD's value words are twice as many; a gate has pointers of its own. */
    const bool wide =
        hip ? p->format->decode == IQT_DECODE_CODEBOOK : p->op == IQT_OP_GATED;
    const uint32_t most = wide || (hip && p->n > 8) ? 4 : 8;

    if (p->compute == IQT_COMPUTE_MMA)
        return p->n;
    return iqt_plan_is_tile(p) && p->n > most ? most : p->n;
}

uint32_t iqt_plan_weights_per_iteration(const struct iqt_plan *p)
{
    return (uint32_t)p->span * p->rows_thread;
}

double iqt_plan_bytes_per_iteration(const struct iqt_plan *p)
{
    const struct iqt_format *f = p->format;
    const double weights = (double)iqt_plan_weights_per_iteration(p) * f->bytes;
    const double scale = iqt_plan_takes_floats(p) ? 0 : sizeof(float);
    const double x =
        iqt_compute_activations(p->compute)->bytes + scale / (double)IQT_X_BLOCK;

    if (iqt_plan_is_coop(p)) /* threads share the columns */
        return weights / f->superblock +
               (double)p->n * p->span * x * p->rows_thread / p->rows_group;
    if (p->compute == IQT_COMPUTE_MMA)
        return iqt_mma_lane_bytes(p);
    return weights / f->superblock + (double)iqt_plan_columns(p) * p->span * x;
}

bool iqt_plan_fits(const struct iqt_plan *p, size_t k)
{
    return k % p->span == 0 && k % 32 == 0;
}
