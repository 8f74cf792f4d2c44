/* Which plans exist: enumeration, the cost estimate, the default, what the library embeds. */
#include "kernels/plan_space.h"

#include "kernels/layout.h"
#include "kernels/tile.h"

#include <math.h>

const uint8_t iqt_plan_embedded_n[] = { 1, 4, 16, 0 };

/* The candidate values of each parameter. */
static const uint16_t rows_thread_values[] = { 1, 2, 4 };
static const uint16_t groups_values[] = { 1, 4, 16 }; /* thread groups per workgroup */
static const uint16_t threads_values[] = { 1, 4, 8, 16, 32 };
static const uint16_t span_values[] = { 32, 64, 128, 256 };

struct listing {
    const struct iqt_limits *limits;
    struct iqt_plan *out;
    size_t cap, count;
    uint32_t unit; /* of the format's packed layout; 0: not known */
};

static void add(struct listing *l, const struct iqt_plan *plan)
{
    if ((l->unit ? iqt_plan_check_unit(plan, l->limits, l->unit)
                 : iqt_plan_check(plan, l->limits)) != IQT_OK)
        return;
    if (l->count < l->cap)
        l->out[l->count] = *plan;
    l->count++;
}

static void add_reductions(struct listing *l, struct iqt_plan plan)
{
    for (uint32_t lookup = 0; lookup < IQT_LOOKUPS; lookup++)
        for (uint32_t reduce = 0; reduce < IQT_REDUCES; reduce++) {
            plan.lookup = (enum iqt_lookup)lookup;
            plan.reduce = (enum iqt_reduce)reduce;
            add(l, &plan);
        }
}

static void add_gpu(struct listing *l, struct iqt_plan plan)
{
    for (size_t r = 0; r < IQT_COUNT(rows_thread_values); r++)
        for (size_t t = 0; t < IQT_COUNT(threads_values); t++)
            for (size_t g = 0; g < IQT_COUNT(groups_values); g++)
                for (size_t s = 0; s < IQT_COUNT(span_values); s++) {
                    plan.rows_thread = rows_thread_values[r];
                    plan.rows_group = (uint16_t)(plan.rows_thread * groups_values[g]);
                    plan.threads = threads_values[t];
                    plan.span = span_values[s];
                    add_reductions(l, plan);
                }
}

static void add_host(struct listing *l, struct iqt_plan plan)
{
    plan.threads = 1;
    plan.span = plan.format->superblock;
    plan.vec = 32;
    for (size_t r = 0; r < IQT_COUNT(rows_thread_values); r++) {
        plan.rows_thread = plan.rows_group = rows_thread_values[r];
        add_reductions(l, plan);
    }
}

size_t iqt_plan_list(const struct iqt_format *f, enum iqt_dialect d, enum iqt_op op,
                     uint32_t n, enum iqt_layout layout, const struct iqt_limits *limits,
                     struct iqt_plan *out, size_t cap)
{
    struct listing l = { .limits = limits, .out = out, .cap = cap };
    struct iqt_packing packing;
    struct iqt_plan plan = {
        .format = f,
        .dialect = d,
        .op = op,
        .n = (uint8_t)n,
        .layout = layout,
        .unroll = 1,
    };

    iqt_packing_init(&packing, f);
    l.unit = packing.unit;
    if (d == IQT_DIALECT_HOST) {
        add_host(&l, plan);
        return l.count;
    }
    plan.vec = layout == IQT_LAYOUT_PACKED ? 16 : (uint8_t)iqt_plan_native_vec(f);
    add_gpu(&l, plan);
    return l.count;
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
        return 6.0 / c->dim;
    case IQT_LOOKUP_PERM:
        return 0.5 + c->count / 16.0 * c->dim;
    default:
        return p->format->decode == IQT_DECODE_TRELLIS ? 5.0 : 1.0;
    }
}

static uint32_t code_planes(const struct iqt_format *f)
{
    uint32_t n = 0;

    while (n < IQT_MAX_PLANES && f->code.plane[n].width)
        n++;
    return n;
}

/* Operations of one thread for one row of k weights, all columns. */
static double row_operations(const struct iqt_plan *p, size_t k)
{
    const double load = p->layout == IQT_LAYOUT_PACKED ? 0.1 : 0.5;
    const double decode = lookup_cost(p) + code_planes(p->format) * (0.5 + load);
    const double scales = 24.0 / p->format->block;
    const double columns = p->n * (0.5 + 10.0 / 32.0 / p->rows_thread);
    /* A span keeps its loads in flight together; longer ones also share their addresses. */
    const double span = 16.0 / p->span;

    return (decode + scales + columns + span) * (double)k;
}

double iqt_plan_cost(const struct iqt_plan *p, const struct iqt_limits *limits, size_t m,
                     size_t k)
{
    const uint32_t units = limits && limits->compute_units ? limits->compute_units : 16;
    const double spans = ceil((double)k / p->span), passes = ceil(spans / p->threads);
    const double idle =
        passes * p->threads / spans; /* threads that wait at the row's end */
    const double per_step = p->reduce == IQT_REDUCE_SHMEM ? 24.0 : 8.0;
    const double steps = p->threads > 1 ? log2(p->threads) : 0;
    const double reduction = steps * per_step * p->n * p->threads;
    const double threads = iqt_plan_threads(p);
    /* Short matrices leave compute units empty; too small workgroups cost a launch each. */
    const double groups = iqt_plan_groups(p, (uint32_t)m);
    const double empty = ceil(groups / units) * units / groups;
    const double warp = threads < 32 ? 32.0 / threads : 1.0;
    const double registers =
        1.0 + p->n * p->rows_thread / 96.0 + p->rows_thread * p->span / 4096.0;

    return (double)m * (row_operations(p, k) * idle + reduction) * empty * registers *
           (0.75 + 0.25 * warp);
}

/* What every Vulkan device has (its minimum limits), without subgroup operations. */
static const struct iqt_limits minimum_limits = {
    .subgroup_min = 1,
    .subgroup_max = 1,
    .max_threads = 128,
    .shared_bytes = 16384,
};

/* Host kernels loop over their columns at run time: one of many columns serves them all. */
static uint32_t embedded_n(enum iqt_dialect d, uint32_t n)
{
    uint32_t i = 0;

    while (iqt_plan_embedded_n[i] < n ||
           (d == IQT_DIALECT_HOST && n > 1 && iqt_plan_embedded_n[i + 1]))
        i++;
    return iqt_plan_embedded_n[i];
}

/* Rows side by side share loads of x; with many columns their sums would no longer fit the registers.
 * Host kernels are embedded or do not exist. */
static bool sums_fit(const struct iqt_plan *p)
{
    const uint32_t most = p->dialect == IQT_DIALECT_HOST ? 2 : 8;

    return p->rows_thread == 1 || p->rows_thread * p->n <= most;
}

static uint32_t tile_n(uint32_t n)
{
    uint32_t up = 1;

    while (up < n)
        up *= 2;
    return up;
}

/* Tiles: a warp a group of rows, four warps a workgroup; what the counts of docs/kernels.md are of. */
static struct iqt_plan tile_default(const struct iqt_format *f, enum iqt_dialect d,
                                    enum iqt_op op, uint32_t n)
{
    return (struct iqt_plan){
        .format = f,
        .dialect = d,
        .op = op,
        .n = (uint8_t)n,
        .rows_group = 4 * IQT_TILE_ROWS,
        .rows_thread = IQT_TILE_ROWS,
        .threads = 32,
        .span = IQT_TILE_SPAN,
        .vec = 16,
        .unroll = 1,
        .layout = IQT_LAYOUT_PACKED,
        .lookup = f->decode == IQT_DECODE_CODEBOOK ? IQT_LOOKUP_PERM : IQT_LOOKUP_NONE,
        .reduce = IQT_REDUCE_SUBGROUP,
    };
}

struct iqt_plan iqt_plan_default(const struct iqt_format *f, enum iqt_dialect d,
                                 enum iqt_op op, uint32_t n, enum iqt_layout layout)
{
    if (layout == IQT_LAYOUT_PACKED && iqt_tile_family_of(f, d) != IQT_TILE_NONE)
        return tile_default(f, d, op, tile_n(n));

    enum { MOST = 1024, SIZE = 4096 };
    struct iqt_plan plans[MOST], best = { 0 };
    double best_cost = INFINITY;
    const size_t total =
        iqt_plan_list(f, d, op, embedded_n(d, n), layout, &minimum_limits, plans, MOST);

    for (size_t i = 0; i < total && i < MOST; i++) {
        const double cost = iqt_plan_cost(&plans[i], &minimum_limits, SIZE, SIZE);

        /* The row length must not matter: every legal k is a multiple of a superblock. */
        if (cost < best_cost && plans[i].span <= f->superblock && sums_fit(&plans[i])) {
            best_cost = cost;
            best = plans[i];
        }
    }
    return best;
}

static void embed_host(struct listing *l, const struct iqt_format *f,
                       enum iqt_layout layout)
{
    struct iqt_plan plans[8];

    for (uint32_t i = 0; iqt_plan_embedded_n[i]; i++) {
        const uint32_t n = iqt_plan_embedded_n[i];

        if (n != embedded_n(IQT_DIALECT_HOST, n))
            continue;
        const size_t total =
            iqt_plan_list(f, IQT_DIALECT_HOST, IQT_OP_MATVEC, n, layout, NULL, plans, 8);

        for (size_t p = 0; p < total; p++)
            if (sums_fit(&plans[p]))
                add(l, &plans[p]);
        const struct iqt_plan gated =
            iqt_plan_default(f, IQT_DIALECT_HOST, IQT_OP_GATED, n, layout);
        add(l, &gated);
    }
}

/* Every default plan that a call can ask for: a device without a compiler has no other. */
static void embed_defaults(struct listing *l, const struct iqt_format *f,
                           enum iqt_dialect d, enum iqt_layout layout)
{
    for (uint32_t op = 0; op < IQT_OPS; op++)
        for (uint32_t n = 1, have = 0; n <= IQT_MAX_COLS; n++) {
            const struct iqt_plan plan =
                iqt_plan_default(f, d, (enum iqt_op)op, n, layout);

            if (plan.n != have)
                add(l, &plan);
            have = plan.n;
        }
}

size_t iqt_plan_embedded(enum iqt_dialect d, struct iqt_plan *out, size_t cap)
{
    struct listing l = { .out = out, .cap = cap };

    for (const struct iqt_format *f = iqt_formats; f->name; f++)
        for (uint32_t layout = 0; layout < 2; layout++)
            if (d == IQT_DIALECT_HOST)
                embed_host(&l, f, (enum iqt_layout)layout);
            else
                embed_defaults(&l, f, d, (enum iqt_layout)layout);
    return l.count;
}
