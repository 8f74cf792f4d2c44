/* Plans for cooperative matrices: rules and shared memory. Knows nothing of text or devices. */
#include "kernels/coop.h"

#include "kernels/codebook.h"

bool iqt_coop_has(const struct iqt_format *f)
{
    const struct iqt_codebook *c = f->codebook;

    if (iqt_compute_default(f) != IQT_COMPUTE_I8)
        return false;
    if (f->decode != IQT_DECODE_CODEBOOK || iqt_field_empty(&f->shift))
        return true;
    for (uint32_t i = 0; i < (uint32_t)c->count * c->dim; i++)
        if (c->value[i] + c->shift > INT8_MAX || c->value[i] + c->shift < INT8_MIN)
            return false;
    return true;
}

bool iqt_coop_shifts_in_table(const struct iqt_plan *p)
{
    return iqt_plan_is_coop(p) && p->lookup == IQT_LOOKUP_SHMEM &&
           p->format->codebook->dim == 1 && !iqt_field_empty(&p->format->shift) &&
           p->format->codebook->count <= 16;
}

struct iqt_coop iqt_coop_of(const struct iqt_plan *p)
{
    const uint32_t blocks = p->span / 32u, chunk = blocks * p->threads,
                   least = iqt_has_min(p->format) ? 1 : 0,
                   sums = p->rows_group * (IQT_COOP_SIDE / 4u) *
                          (p->op == IQT_OP_GATED ? 2u : 1u);
    struct iqt_coop c = { .halves = 32u / p->format->block };

    c.row_kinds = 1 + least;
    c.column_kinds = 1 + least * c.halves;
    c.span = blocks * 2 * p->rows_group + (p->threads < 8 ? 8u / p->threads : 1u);
    c.block = c.halves == 2 ? 50 : 34;
    c.a = c.span * p->threads > sums ? c.span * p->threads : sums;
    c.b = c.block * chunk;
    c.rows = chunk * c.halves * c.row_kinds * p->rows_group / 4u;
    c.columns = chunk * c.column_kinds * IQT_COOP_SIDE / 4u;
    c.bytes = 16 * (c.a + c.b + c.rows + c.columns);
    return c;
}

/* One rule per entry: what must hold, in the words of the message. */
#define RULE(cond, ...)                                        \
    do {                                                       \
        if (!(cond))                                           \
            return iqt_fail(IQT_ERR_UNSUPPORTED, __VA_ARGS__); \
    } while (0)

enum iqt_status iqt_coop_check(const struct iqt_plan *p, uint32_t subgroup)
{
    const uint32_t threads = iqt_plan_threads(p);

    RULE(iqt_coop_has(p->format), "weights of %s are not int8 with their shift",
         p->format->name);
    RULE(p->covers != IQT_COVERS_ROUTED, "routed plans have no compute kind mma");
    RULE(p->n >= IQT_COOP_COLUMNS, "n%u: compute kind mma is for %u columns or more",
         p->n, IQT_COOP_COLUMNS);
    RULE(p->rows_group % IQT_COOP_SIDE == 0 && p->rows_group <= IQT_COOP_MOST_ROWS,
         "g%u: compute kind mma has g%u or multiples, up to g%u", p->rows_group,
         IQT_COOP_SIDE, IQT_COOP_MOST_ROWS);
    RULE(p->threads >= 2 && p->reduce == IQT_REDUCE_SHMEM,
         "t%u: compute kind mma has t2 or more and adds in shared memory", p->threads);
    RULE(p->unroll == 1, "u%u: compute kind mma has u1", p->unroll);
    RULE(threads % IQT_COOP_LEAST_THREADS == 0 &&
             (subgroup == 0 || threads % subgroup == 0),
         "%u threads per workgroup: compute kind mma has multiples of %u and of the "
         "device's subgroups of %u",
         threads, IQT_COOP_LEAST_THREADS, subgroup);
    return IQT_OK;
}
