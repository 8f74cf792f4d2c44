/* Which plans exist: enumeration, the default, what the library embeds. */
#include "kernels/plan_space.h"

#include "kernels/coop.h"
#include "kernels/layout.h"
#include "kernels/tile_mma.h"

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
    const bool before = iqt_error_mute(true);
    const enum iqt_status status = l->unit ? iqt_plan_check_unit(plan, l->limits, l->unit)
                                           : iqt_plan_check(plan, l->limits);

    iqt_error_mute(before);
    if (status != IQT_OK)
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

/* Warps that share rows. CUDA's have 32 of them, AMD's waves 16 to as many as they have lanes. */
static void add_mma(struct listing *l, struct iqt_plan plan)
{
    static const uint16_t waves[] = { 1, 2, 4, 8 };
    const bool hip = plan.dialect == IQT_DIALECT_HIP;
    const uint32_t device = l->limits ? l->limits->subgroup_min : 0,
                   wave =
                       hip && device == 0 ? IQT_MFMA_WAVE : iqt_mma_wave(&plan, device);

    plan.compute = IQT_COMPUTE_MMA;
    plan.rows_thread = IQT_TILE_ROWS;
    plan.span = IQT_TILE_SPAN;
    plan.lookup =
        plan.format->decode == IQT_DECODE_CODEBOOK ? IQT_LOOKUP_PERM : IQT_LOOKUP_NONE;
    plan.reduce = IQT_REDUCE_SHMEM;
    for (uint32_t sets = 1; sets <= (hip ? 4u : 1u); sets *= 2)
        for (size_t w = 0; w < IQT_COUNT(waves); w++) {
            plan.rows_group = (uint16_t)(sets * iqt_mma_rows(plan.dialect));
            plan.threads = (uint16_t)(waves[w] * iqt_mma_threads(&plan, wave));
            add(l, &plan);
        }
}

/* Cooperative matrices, where a device has them. */
static void add_coop(struct listing *l, struct iqt_plan plan)
{
    static const uint16_t rows[] = { 16, 32, 64 }, threads[] = { 2, 4, 8, 16 },
                          spans[] = { 32, 64, 128, 256 };

    if (l->limits == NULL || !l->limits->mma || !iqt_coop_has(plan.format))
        return;
    plan.compute = IQT_COMPUTE_MMA;
    plan.rows_thread = 1;
    plan.reduce = IQT_REDUCE_SHMEM;
    for (size_t g = 0; g < IQT_COUNT(rows); g++)
        for (size_t t = 0; t < IQT_COUNT(threads); t++)
            for (size_t s = 0; s < IQT_COUNT(spans); s++)
                for (uint32_t lookup = 0; lookup < IQT_LOOKUPS; lookup++) {
                    plan.rows_group = rows[g];
                    plan.threads = threads[t];
                    plan.span = spans[s];
                    plan.lookup = (enum iqt_lookup)lookup;
                    add(l, &plan);
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
        .split = 1,
        .compute = iqt_compute_of(limits, f, d),
    };

    iqt_packing_init(&packing, f);
    l.unit = packing.unit;
    if (d == IQT_DIALECT_HOST) {
        add_host(&l, plan);
        return l.count;
    }
    plan.vec = layout == IQT_LAYOUT_PACKED ? 16 : (uint8_t)iqt_plan_native_vec(f);
    add_gpu(&l, plan);
    if (layout == IQT_LAYOUT_PACKED && iqt_mma_lane_of(f, d))
        add_mma(&l, plan);
    if (d == IQT_DIALECT_GLSL)
        add_coop(&l, plan);
    return l.count;
}

/* A matrix below 4 rows a unit leaves them empty; up to 64 row-parts a unit leave room for tuning. */
uint64_t iqt_plan_split_rows(const struct iqt_limits *limits)
{
    return limits ? 64 * (uint64_t)limits->compute_units : 0;
}

bool iqt_plan_short(const struct iqt_plan *p, const struct iqt_limits *limits, size_t m)
{
    return p->split == 1 || m <= iqt_plan_split_rows(limits) / p->split;
}

bool iqt_plan_may_split(const struct iqt_plan *p, const struct iqt_limits *limits,
                        size_t m, size_t k)
{
    /* A thread without a span of its own helps nobody. */
    return iqt_plan_short(p, limits, m) && k / p->span / p->threads >= p->split &&
           iqt_plan_check(p, limits) == IQT_OK;
}

/* What every Vulkan device has (its minimum limits), without subgroup operations. */
static const struct iqt_limits minimum_limits = {
    .subgroup_min = 1,
    .subgroup_max = 1,
    .max_threads = 128,
    .shared_bytes = 16384,
};

/* Host kernels loop over their columns at run time. */
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
static bool sums_fit(const struct iqt_plan *p, bool software)
{
    const uint32_t most = p->dialect == IQT_DIALECT_HOST ? 2 : software ? 16 : 8;

    /* Decoded words stay in registers, loads of native rows, too; states of a trellis are used at once. */
    const uint32_t room =
        (p->layout == IQT_LAYOUT_NATIVE ? 128u : 256u) / (p->n > 1 ? 2u : 1u);
    const bool states = p->format->decode == IQT_DECODE_TRELLIS && p->n == 1 &&
                        p->layout == IQT_LAYOUT_PACKED;

    if (p->compute == IQT_COMPUTE_DOT && !states && p->rows_thread > 1 &&
        p->rows_thread * p->span > room)
        return false;
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
        .split = 1,
        .layout = IQT_LAYOUT_PACKED,
        .compute = IQT_COMPUTE_I8,
        .lookup = f->decode == IQT_DECODE_CODEBOOK ? IQT_LOOKUP_PERM : IQT_LOOKUP_NONE,
        .reduce = IQT_REDUCE_SUBGROUP,
    };
}

struct iqt_plan iqt_plan_divisible(const struct iqt_plan *p)
{
    static const struct iqt_limits dot = { .dot4 = true };

    if (iqt_plan_is_coop(p))
        return iqt_plan_default_for(&dot, p->format, p->dialect, p->op, p->n, p->layout);
    return p->compute == IQT_COMPUTE_MMA
               ? tile_default(p->format, p->dialect, p->op, p->n)
               : *p;
}

struct iqt_plan iqt_plan_split(const struct iqt_plan *p, const struct iqt_limits *limits,
                               size_t m, size_t k)
{
    const struct iqt_plan parts = iqt_plan_divisible(p);
    const uint32_t units = limits ? limits->compute_units : 0;
    const bool few = p->n <= 2 && iqt_plan_groups(p, (uint32_t)m) < units;
    struct iqt_plan one = parts, best = few ? parts : *p;
    double least;

    one.n = 1;
    one.op = IQT_OP_MATVEC;
    least = iqt_plan_cost(&one, limits, m, k);
    for (uint32_t split = 2; split <= IQT_PLAN_MOST_SPLIT; split *= 2) {
        one.split = (uint8_t)split;
        if (!iqt_plan_may_split(&one, limits, m, k))
            continue;
        const double cost = iqt_plan_cost(&one, limits, m, k);

        if (cost < least) {
            least = cost;
            best = parts;
            best.split = (uint8_t)split;
        }
    }
    return best;
}

/* CUDA's units take eight columns; AMD's nobody has timed. With four, decoders that share no work are longer than dot products. */
static bool mma_is_shorter(const struct iqt_format *f, enum iqt_dialect d, enum iqt_op op,
                           uint32_t n)
{
    const enum iqt_tile_family family = iqt_tile_family_of(f, d);
    const bool short_one =
        family == IQT_TILE_Q3 || (f->block == 16 && family != IQT_TILE_Q4);

    /* Two registers too few. */
    if (family == IQT_TILE_PAIRS && op == IQT_OP_GATED && n > IQT_MMA_COLUMNS)
        return false;
    return d == IQT_DIALECT_CUDA && iqt_mma_lane_of(f, d) != NULL &&
           n >= (short_one ? 8 : 4);
}

/* A single column wastes seven eighths of the products, but takes a trellis's states as they are. Only devices that say
 * so: what is embedded is PTX for Turing, whose products are quarters. */
static bool one_is_shorter(const struct iqt_limits *device, const struct iqt_format *f,
                           enum iqt_dialect d)
{
    return device && d == IQT_DIALECT_CUDA && f->trellis &&
           f->bytes * 8u / f->superblock <= device->mma_one;
}

/* Eight warps share 32 rows. */
static struct iqt_plan mma_default(struct iqt_plan plan)
{
    plan.compute = IQT_COMPUTE_MMA;
    plan.rows_group = IQT_MMA_QUADS * IQT_TILE_ROWS;
    plan.reduce = IQT_REDUCE_SHMEM;
    return plan;
}

struct iqt_plan iqt_plan_default(const struct iqt_format *f, enum iqt_dialect d,
                                 enum iqt_op op, uint32_t n, enum iqt_layout layout)
{
    return iqt_plan_default_for(NULL, f, d, op, n, layout);
}

/* Drivers that are software: lanes of a vector with rows of their own, two or more each, are 1.3 to 1.7 times as fast
 * as threads that share rows (docs/kernels.md). With many columns lavapipe compiles such a kernel for minutes. */
static bool whole_rows(const struct iqt_limits *device, enum iqt_dialect d, uint32_t n)
{
    return device && device->software && d == IQT_DIALECT_GLSL && n <= 4;
}

/* Subgroups load activations once and look tables up in registers. Eight lanes: of no other number does LLVM know a
 * permute, so lavapipe makes loops and compiles a kernel for half a minute. */
static bool shares_lanes(const struct iqt_limits *device, const struct iqt_format *f,
                         enum iqt_layout layout)
{
    return layout == IQT_LAYOUT_PACKED && iqt_compute_default(f) == IQT_COMPUTE_I8 &&
           device->subgroup_ops && device->subgroup_min == IQT_PLAN_SHARING_LANES;
}

/* Two rows and, where the format allows it, as many weights as eight lanes load activations at once. */
static bool is_whole(const struct iqt_plan *p, bool shares)
{
    enum { LOADED = 16 * IQT_PLAN_SHARING_LANES };
    struct iqt_packing packing;

    if (p->threads != 1 || p->rows_thread == 1 || iqt_plan_shares(p) != shares)
        return false;
    iqt_packing_init(&packing, p->format);
    const uint32_t least = packing.unit > LOADED ? packing.unit : LOADED;

    return !shares ||
           (p->rows_thread == 2 &&
            p->span == (least < p->format->superblock ? least : p->format->superblock));
}

/* Of a CPU, 0: any. Two rows with one column, where a packed row is one stream and there is little to do beside its scales
 * (docs/cpu.md). */
static uint32_t host_rows(const struct iqt_format *f, enum iqt_dialect d, uint32_t n,
                          enum iqt_layout layout)
{
    struct iqt_packing packing;

    if (d != IQT_DIALECT_HOST || layout != IQT_LAYOUT_PACKED || n > 1 ||
        f->decode != IQT_DECODE_CODEBOOK)
        return 0;
    iqt_packing_init(&packing, f);
    return packing.vecs == 1 && (f->block == 16 || iqt_field_width(&f->code) == 2) ? 2
                                                                                   : 0;
}

/* Only the way to compute and whole rows follow the device: the rest holds everywhere. */
struct iqt_plan iqt_plan_default_for(const struct iqt_limits *device,
                                     const struct iqt_format *f, enum iqt_dialect d,
                                     enum iqt_op op, uint32_t n, enum iqt_layout layout)
{
    if (layout == IQT_LAYOUT_PACKED && iqt_tile_family_of(f, d) != IQT_TILE_NONE) {
        const struct iqt_plan plan = tile_default(f, d, op, tile_n(n));
        const bool mma =
            (device == NULL || device->mma) && mma_is_shorter(f, d, op, plan.n);
        return mma || (plan.n <= 2 && one_is_shorter(device, f, d)) ? mma_default(plan)
                                                                    : plan;
    }

    enum { MOST = 1024, SIZE = 4096 };
    struct iqt_limits limits = minimum_limits;
    struct iqt_plan plans[MOST], best = { 0 };
    double best_cost = INFINITY;

    const bool whole = whole_rows(device, d, embedded_n(d, n));
    const uint32_t rows = host_rows(f, d, n, layout);

    const bool shares = whole && shares_lanes(device, f, layout);

    limits.dot4 = device && device->dot4;
    limits.software = limits.subgroup_ops = shares;
    if (shares)
        limits.subgroup_min = limits.subgroup_max = IQT_PLAN_SHARING_LANES;
    const size_t total =
        iqt_plan_list(f, d, op, embedded_n(d, n), layout, &limits, plans, MOST);

    for (size_t i = 0; i < total && i < MOST; i++) {
        const double cost = iqt_plan_cost(&plans[i], &limits, SIZE, SIZE);

        /* The row length must not matter: every legal k is a multiple of a superblock. */
        if (cost < best_cost && plans[i].span <= f->superblock &&
            sums_fit(&plans[i], whole) && (rows == 0 || plans[i].rows_thread == rows) &&
            (!whole || is_whole(&plans[i], shares))) {
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
            if (sums_fit(&plans[p], false))
                add(l, &plans[p]);
        const struct iqt_plan gated =
            iqt_plan_default(f, IQT_DIALECT_HOST, IQT_OP_GATED, n, layout);
        add(l, &gated);
    }
}

static void embed_routed(struct listing *l, const struct iqt_limits *limits,
                         const struct iqt_format *f, enum iqt_dialect d, enum iqt_op op,
                         enum iqt_layout layout)
{
    struct iqt_plan plan = iqt_plan_default_for(limits, f, d, op, 1, layout);

    plan.covers = IQT_COVERS_ROUTED;
    add(l, &plan);
}

/* What a device without a compiler has. */
static void embed_defaults(struct listing *l, const struct iqt_limits *limits,
                           const struct iqt_format *f, enum iqt_dialect d,
                           enum iqt_layout layout)
{
    for (uint32_t op = 0; op < IQT_OPS; op++) {
        embed_routed(l, limits, f, d, (enum iqt_op)op, layout);
        for (uint32_t n = 1, have = 0; n <= IQT_MAX_COLS; n++) {
            const struct iqt_plan plan =
                iqt_plan_default_for(limits, f, d, (enum iqt_op)op, n, layout);

            /* Where software has no plan of its own, that of others is listed. */
            if (plan.n != have && !(limits && limits->software && plan.threads > 1))
                add(l, &plan);
            have = plan.n;
        }
    }
}

static void embed_gpu(struct listing *l, const struct iqt_format *f, enum iqt_dialect d,
                      enum iqt_layout layout)
{
    static const struct iqt_limits dot = { .dot4 = true }, software = {
        .software = true,
        .subgroup_ops = true,
        .subgroup_min = IQT_PLAN_SHARING_LANES,
        .subgroup_max = IQT_PLAN_SHARING_LANES,
    };

    embed_defaults(l, NULL, f, d, layout);
    if (d == IQT_DIALECT_GLSL)
        embed_defaults(l, &software, f, d, layout);
    if (iqt_compute_of(&dot, f, d) != iqt_compute_default(f))
        embed_defaults(l, &dot, f, d, layout);
}

size_t iqt_plan_embedded(enum iqt_dialect d, struct iqt_plan *out, size_t cap)
{
    struct listing l = { .out = out, .cap = cap };

    for (const struct iqt_format *f = iqt_formats; f->name; f++)
        for (uint32_t layout = 0; layout < 2; layout++)
            if (d == IQT_DIALECT_HOST)
                embed_host(&l, f, (enum iqt_layout)layout);
            else
                embed_gpu(&l, f, d, (enum iqt_layout)layout);
    return l.count;
}
