/* The grammar of plan names and the rules of legality. Knows nothing of emitted text. */
#include "kernels/plan.h"

#include "kernels/codebook.h"
#include "kernels/coop.h"
#include "kernels/tile_mma.h"
#include "kernels/layout.h"
#include "kernels/plan_space.h"
#include "kernels/quantized.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const dialect_names[IQT_DIALECTS] = { "host", "glsl", "cuda", "hip" };
/* What a launch covers, and the operation. */
static const char *const op_names[IQT_COVERS * IQT_OPS] = {
    "matvec", "gated", "routed_matvec", "routed_gated", "set_matvec", "set_gated",
};
static const char *const lookup_names[IQT_LOOKUPS] = { "none", "sel", "shmem", "perm",
                                                       "arith" };
static const char *const reduce_names[IQT_REDUCES] = { "none", "shmem", "subgroup" };
static const char *const compute_names[IQT_COMPUTES] = { "i8", "dot", "mma", "f16",
                                                         "f32" };
static const char *const layout_names[] = { "native", "packed" };

const char *iqt_dialect_name(enum iqt_dialect d)
{
    return dialect_names[d];
}

const char *iqt_compute_name(enum iqt_compute c)
{
    return compute_names[c];
}

const struct iqt_activations *iqt_compute_activations(enum iqt_compute c)
{
    static const struct iqt_activations of[IQT_COMPUTES] = {
        [IQT_COMPUTE_I8] = { IQT_HELPER_QUANTIZE, 1 },
        [IQT_COMPUTE_DOT] = { IQT_HELPER_QUANTIZE, 1 },
        [IQT_COMPUTE_MMA] = { IQT_HELPER_QUANTIZE, 1 },
        [IQT_COMPUTE_F16] = { IQT_HELPER_HALVE, 2 },
        [IQT_COMPUTE_F32] = { IQT_HELPERS, sizeof(float) },
    };

    return &of[c];
}

enum iqt_compute iqt_compute_default(const struct iqt_format *f)
{
    return f->decode == IQT_DECODE_FLOAT ? IQT_COMPUTE_F32 : IQT_COMPUTE_I8;
}

enum iqt_compute iqt_compute_of(const struct iqt_limits *limits,
                                const struct iqt_format *f, enum iqt_dialect d)
{
    const enum iqt_compute usual = iqt_compute_default(f);

    return limits && limits->dot4 && d == IQT_DIALECT_GLSL && usual == IQT_COMPUTE_I8
               ? IQT_COMPUTE_DOT
               : usual;
}

static bool find_name(const char *const *names, size_t count, const char *name,
                      uint32_t *out)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (uint32_t)i;
            return true;
        }
    return false;
}

bool iqt_dialect_find(const char *name, enum iqt_dialect *out)
{
    uint32_t i;

    if (!find_name(dialect_names, IQT_DIALECTS, name, &i))
        return false;
    *out = (enum iqt_dialect)i;
    return true;
}

void iqt_plan_name(const struct iqt_plan *p, char out[IQT_PLAN_NAME_BYTES])
{
    snprintf(out, IQT_PLAN_NAME_BYTES,
             "%s.%s.%s.n%u.g%u.r%u.t%u.s%u.v%u.u%u.k%u.%s.%s.%s.%s",
             op_names[p->covers * IQT_OPS + p->op], p->format->name,
             dialect_names[p->dialect], p->n, p->rows_group, p->rows_thread, p->threads,
             p->span, p->vec, p->unroll, p->split, iqt_layout_name(p->layout),
             compute_names[p->compute], lookup_names[p->lookup], reduce_names[p->reduce]);
}

/* The tokens of a name in order: one letter and a number, or a word of a list. */
struct token {
    const char *what;
    char letter; /* 0: a word */
    const char *const *words;
    size_t count;
};
static const struct token tokens[] = {
    { "operation", 0, op_names, IQT_COUNT(op_names) },
    { "format", 0, NULL, 0 },
    { "dialect", 0, dialect_names, IQT_DIALECTS },
    { "columns", 'n', NULL, IQT_MAX_COLS },
    { "rows per workgroup", 'g', NULL, 1024 },
    { "rows per thread group", 'r', NULL, 16 },
    { "threads per row", 't', NULL, 1024 },
    { "span", 's', NULL, 256 },
    { "load bytes", 'v', NULL, 64 },
    { "unroll", 'u', NULL, 16 },
    { "split over k", 'k', NULL, 16 },
    { "layout", 0, layout_names, 2 },
    { "compute kind", 0, compute_names, IQT_COMPUTES },
    { "lookup", 0, lookup_names, IQT_LOOKUPS },
    { "reduction", 0, reduce_names, IQT_REDUCES },
};

static enum iqt_status bad_token(const char *name, const struct token *t,
                                 const char *found)
{
    struct iqt_buf expected = { 0 };

    if (t->letter)
        iqt_buf_printf(&expected, "%c1 to %c%zu", t->letter, t->letter, t->count);
    else if (t->words == NULL)
        iqt_buf_printf(&expected, "a format's name");
    for (size_t i = 0; t->letter == 0 && i < t->count; i++)
        iqt_buf_printf(&expected, "%s%s", i ? ", " : "", t->words[i]);
    const enum iqt_status status =
        iqt_fail(IQT_ERR_ARG, "plan name '%s': %s is '%s', expected %s", name, t->what,
                 found, iqt_buf_text(&expected));
    iqt_buf_free(&expected);
    return status;
}

static bool read_number(const struct token *t, const char *text, uint32_t *out)
{
    char *end;

    if (text[0] != t->letter || text[1] < '0' || text[1] > '9')
        return false;
    const unsigned long value = strtoul(text + 1, &end, 10);
    if (*end != 0 || value == 0 || value > t->count)
        return false;
    *out = (uint32_t)value;
    return true;
}

enum iqt_status iqt_plan_parse(const char *name, struct iqt_plan *out)
{
    char copy[IQT_PLAN_NAME_BYTES], *rest = copy;
    uint32_t value[IQT_COUNT(tokens)] = { 0 };
    const struct iqt_format *format = NULL;

    if (strlen(name) >= sizeof(copy))
        return iqt_fail(IQT_ERR_ARG, "plan name of %zu characters, at most %zu",
                        strlen(name), sizeof(copy) - 1);
    strcpy(copy, name);
    for (size_t i = 0; i < IQT_COUNT(tokens); i++) {
        const struct token *t = &tokens[i];
        const char *found = strsep(&rest, ".");
        bool ok;

        if (found == NULL)
            return bad_token(name, t, "missing");
        if (t->letter)
            ok = read_number(t, found, &value[i]);
        else if (t->words == NULL)
            ok = (format = iqt_format_find(found)) != NULL && format->base_type == 0;
        else
            ok = find_name(t->words, t->count, found, &value[i]);
        if (!ok)
            return bad_token(name, t, found);
    }
    if (rest != NULL)
        return iqt_fail(IQT_ERR_ARG, "plan name '%s': '%s' after the reduction", name,
                        rest);
    *out = (struct iqt_plan){
        .op = (enum iqt_op)(value[0] % IQT_OPS),
        .covers = (enum iqt_covers)(value[0] / IQT_OPS),
        .format = format,
        .dialect = (enum iqt_dialect)value[2],
        .n = (uint8_t)value[3],
        .rows_group = (uint16_t)value[4],
        .rows_thread = (uint16_t)value[5],
        .threads = (uint16_t)value[6],
        .span = (uint16_t)value[7],
        .vec = (uint8_t)value[8],
        .unroll = (uint8_t)value[9],
        .split = (uint8_t)value[10],
        .layout = (enum iqt_layout)value[11],
        .compute = (enum iqt_compute)value[12],
        .lookup = (enum iqt_lookup)value[13],
        .reduce = (enum iqt_reduce)value[14],
    };
    return IQT_OK;
}

bool iqt_plan_is_asked_for(const struct iqt_plan *p)
{
    return iqt_plan_multiplies_floats(p) && p->compute != iqt_compute_default(p->format);
}

bool iqt_compute_find_floats(const char *name, enum iqt_compute *out)
{
    uint32_t i;

    if (!find_name(compute_names + IQT_COMPUTE_F16, IQT_COMPUTES - IQT_COMPUTE_F16, name,
                   &i))
        return false;
    *out = (enum iqt_compute)(IQT_COMPUTE_F16 + i);
    return true;
}

bool iqt_plan_shared_scales(const struct iqt_plan *p)
{
    return iqt_plan_has_dot(p) && p->format->scale.table;
}

uint32_t iqt_plan_native_vec(const struct iqt_format *f)
{
    return f->row_head % 4 == 0 && f->bytes % 4 == 0 ? 4
           : f->row_head % 2 || f->bytes % 2         ? 1
                                                     : 2;
}

bool iqt_plan_lookup_ok(const struct iqt_format *f, enum iqt_dialect d,
                        enum iqt_lookup lookup)
{
    if (f->decode != IQT_DECODE_CODEBOOK)
        return lookup == IQT_LOOKUP_NONE;
    switch (lookup) {
    case IQT_LOOKUP_SEL: /* past 16 entries only software devices have them faster than a table */
        return d != IQT_DIALECT_HOST && f->codebook->dim == 1 &&
               f->codebook->count <= (d == IQT_DIALECT_GLSL ? 64 : 16);
    case IQT_LOOKUP_SHMEM:
        return d != IQT_DIALECT_HOST || f->codebook->dim == 4;
    case IQT_LOOKUP_PERM: /* fours are too many for registers */
        return f->codebook->dim < 4;
    case IQT_LOOKUP_ARITH:
        return d == IQT_DIALECT_GLSL && f->codebook == &iqt_codebook_q2;
    default:
        return false;
    }
}

static bool power_of_two(uint32_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

/* One rule per entry: what must hold, in the words of the message. */
#define RULE(cond, ...)                                        \
    do {                                                       \
        if (!(cond))                                           \
            return iqt_fail(IQT_ERR_UNSUPPORTED, __VA_ARGS__); \
    } while (0)

static enum iqt_status check_host(const struct iqt_plan *p)
{
    const uint32_t span = p->format->superblock;

    RULE(p->threads == 1 && p->reduce == IQT_REDUCE_NONE,
         "host plans have one thread per row (t1, reduction none), not t%u", p->threads);
    RULE(p->span == span && p->vec == 32 && p->unroll == 1,
         "host plans of %s have s%u.v32.u1, not s%u.v%u.u%u", p->format->name, span,
         p->span, p->vec, p->unroll);
    RULE(p->rows_group == p->rows_thread && p->rows_thread <= 2 &&
             power_of_two(p->rows_thread),
         "host plans have g = r in 1, 2, not g%u.r%u", p->rows_group, p->rows_thread);
    return IQT_OK;
}

static enum iqt_status check_tile(const struct iqt_plan *p)
{
    const uint32_t least = iqt_plan_takes_lanes(p) ? 8 : 4;

    RULE(p->rows_thread == IQT_TILE_ROWS && p->span == IQT_TILE_SPAN &&
             p->threads >= least,
         "packed rows of %s in dialect %s are tiles: expected r%u, s%u and t%u or more",
         p->format->name, dialect_names[p->dialect], IQT_TILE_ROWS, IQT_TILE_SPAN, least);
    RULE(p->lookup == IQT_LOOKUP_PERM || p->lookup == IQT_LOOKUP_NONE,
         "tiles of %s are decoded by permutes, not by lookup %s", p->format->name,
         lookup_names[p->lookup]);
    return IQT_OK;
}

static enum iqt_status check_mma(const struct iqt_plan *p, uint32_t wave)
{
    RULE(p->layout == IQT_LAYOUT_PACKED && iqt_mma_lane_of(p->format, p->dialect),
         "compute kind mma does not go with %s in dialect %s, layout %s", p->format->name,
         dialect_names[p->dialect], iqt_layout_name(p->layout));
    RULE(p->covers != IQT_COVERS_ROUTED, "routed plans have no compute kind mma");
    RULE(p->n >= iqt_mma_least_columns(p->format, p->dialect),
         "n%u: compute kind mma is for %u columns or more of %s", p->n,
         iqt_mma_least_columns(p->format, p->dialect), p->format->name);
    RULE(p->rows_group % iqt_mma_rows(p->dialect) == 0,
         "g%u: compute kind mma has g%u or multiples", p->rows_group,
         iqt_mma_rows(p->dialect));
    RULE(p->rows_group <= iqt_mma_most_rows(p->dialect, wave),
         "g%u: compute kind mma has up to g%u in waves of %u, which have all rows",
         p->rows_group, iqt_mma_most_rows(p->dialect, wave), wave);
    RULE(p->threads >= iqt_mma_threads(p, wave),
         "g%u.t%u: compute kind mma has t%u or multiples in waves of %u", p->rows_group,
         p->threads, iqt_mma_threads(p, wave), wave);
    RULE(p->reduce == IQT_REDUCE_SHMEM,
         "compute kind mma adds in shared memory, not by %s", reduce_names[p->reduce]);
    RULE(iqt_mma_shared(p, wave) <= iqt_mma_most_shared(p->dialect),
         "%u bytes of shared memory, compute kind mma has at most %u",
         iqt_mma_shared(p, wave), iqt_mma_most_shared(p->dialect));
    return IQT_OK;
}

/* Lanes of a device's waves; 0: no device is asked about. */
static uint32_t wave_of(const struct iqt_limits *l)
{
    return l ? l->subgroup_min : 0;
}

/* Lookups and operations that only these plans have, and what they do not have. */
static enum iqt_status check_sharing(const struct iqt_plan *p)
{
    const bool shares = iqt_plan_shares(p);

    RULE(!shares || p->compute == IQT_COMPUTE_I8,
         "t1 with subgroups: expected compute kind i8, not %s",
         compute_names[p->compute]);
    RULE(!shares || iqt_plan_threads(p) >= IQT_PLAN_SHARING_LANES,
         "g%u.r%u with subgroups: %u threads, expected %d or more", p->rows_group,
         p->rows_thread, iqt_plan_threads(p), IQT_PLAN_SHARING_LANES);
    RULE(!shares || p->format->decode != IQT_DECODE_CODEBOOK ||
             p->lookup == IQT_LOOKUP_ARITH ||
             (p->lookup == IQT_LOOKUP_PERM) == (p->format->codebook->dim < 4),
         "t1 with subgroups: lookup %s, expected %s", lookup_names[p->lookup],
         p->format->codebook->dim < 4 ? "perm" : "shmem");
    RULE(shares || p->lookup != IQT_LOOKUP_PERM,
         "lookup perm is for t1 with subgroups in dialect glsl");
    return IQT_OK;
}

static enum iqt_status check_gpu(const struct iqt_plan *p, const struct iqt_limits *l,
                                 uint32_t unit)
{
    const uint32_t groups = p->rows_thread ? p->rows_group / p->rows_thread : 0;
    const uint32_t sums =
        iqt_plan_columns(p) * p->rows_thread * (p->op == IQT_OP_GATED ? 2 : 1);

    const uint32_t vec =
        p->layout == IQT_LAYOUT_PACKED ? 16 : iqt_plan_native_vec(p->format);
    RULE(power_of_two(p->rows_thread) && p->rows_thread <= 4, "r%u: expected 1, 2 or 4",
         p->rows_thread);
    RULE(power_of_two(groups) && p->rows_group % p->rows_thread == 0,
         "g%u: expected r%u times a power of two", p->rows_group, p->rows_thread);
    RULE(power_of_two(p->threads) && p->threads <= 64,
         "t%u: expected a power of two up to 64", p->threads);
    RULE(power_of_two(p->span) && p->span >= 32 && p->span <= 256,
         "s%u: expected a power of two from 32 to 256", p->span);
    if (iqt_plan_is_tile(p))
        IQT_TRY(check_tile(p));
    RULE(iqt_plan_is_tile(p) || p->layout == IQT_LAYOUT_NATIVE || p->span >= unit,
         "s%u: the packed unit of %s is %u weights", p->span, p->format->name, unit);
    RULE(p->vec == vec, "v%u: %s rows in layout %s are loaded by v%u", p->vec,
         p->format->name, iqt_layout_name(p->layout), vec);
    RULE(p->unroll == 1 || p->unroll == 2, "u%u: expected 1 or 2", p->unroll);
    if (iqt_plan_is_coop(p))
        IQT_TRY(iqt_coop_check(p, wave_of(l)));
    else if (p->compute == IQT_COMPUTE_MMA)
        IQT_TRY(check_mma(p, iqt_mma_wave(p, wave_of(l))));
    RULE(sums <= 64 || p->compute == IQT_COMPUTE_MMA,
         "n%u.r%u: %u sums per thread, at most 64", p->n, p->rows_thread, sums);
    RULE((p->threads == 1) == (p->reduce == IQT_REDUCE_NONE) || iqt_plan_shares(p),
         "t%u with reduction %s: 'none' goes with t1", p->threads,
         reduce_names[p->reduce]);
    return p->dialect == IQT_DIALECT_GLSL ? check_sharing(p) : IQT_OK;
}

/* Sums of all threads on their way, and what matrix units read codes from. */
static uint32_t reduction_bytes(const struct iqt_plan *p, const struct iqt_limits *l)
{
    if (iqt_plan_is_coop(p))
        return iqt_coop_of(p).bytes;
    if (p->compute == IQT_COMPUTE_MMA)
        return iqt_mma_shared(p, iqt_mma_wave(p, wave_of(l)));
    return p->reduce == IQT_REDUCE_SHMEM ? 4 * iqt_plan_threads(p) : 0;
}

static enum iqt_status check_limits(const struct iqt_plan *p, const struct iqt_limits *l)
{
    const uint32_t threads = iqt_plan_threads(p);
    const uint32_t table =
        p->lookup != IQT_LOOKUP_SHMEM
            ? 0
            : 4u * p->format->codebook->count * (iqt_coop_shifts_in_table(p) ? 2u : 1u);
    const uint32_t scales = iqt_plan_shared_scales(p) ? 4 * 16 : 0;
    const uint32_t shared = reduction_bytes(p, l) + table + scales;

    RULE(threads <= l->max_threads, "%u threads per workgroup, the device allows %u",
         threads, l->max_threads);
    RULE(shared <= l->shared_bytes, "%u bytes of shared memory, the device has %u",
         shared, l->shared_bytes);
    RULE(p->compute != IQT_COMPUTE_MMA || l->mma,
         "compute kind mma: the device has no %s",
         p->dialect == IQT_DIALECT_GLSL
             ? "cooperative matrices of 16 x 16 int8, 16 or 32 deep, in a subgroup"
             : "int8 matrix unit");
    RULE(p->compute != IQT_COMPUTE_DOT || l->dot4,
         "compute kind dot: the device has no integer dot product instruction");
    RULE(p->reduce != IQT_REDUCE_SUBGROUP ||
             (l->subgroup_ops && p->threads <= l->subgroup_min),
         "t%u with subgroup reduction: the device's subgroups have %u threads%s",
         p->threads, l->subgroup_min, l->subgroup_ops ? "" : " and no shuffle");
    RULE(!iqt_plan_shares(p) ||
             (l->software && l->subgroup_min == IQT_PLAN_SHARING_LANES),
         "t1 with subgroups is for software devices with %d threads in one",
         IQT_PLAN_SHARING_LANES);
    return IQT_OK;
}

static enum iqt_status check_covers(const struct iqt_plan *p)
{
    const bool cxx = iqt_dialect_is_cxx(p->dialect);

    RULE(power_of_two(p->split) && p->split <= IQT_PLAN_MOST_SPLIT,
         "k%u: expected a power of two up to %d", p->split, IQT_PLAN_MOST_SPLIT);
    RULE(p->split == 1 || p->rows_group <= IQT_PLAN_SPLIT_GROUP,
         "k%u with g%u: expected g%d or less", p->split, p->rows_group,
         IQT_PLAN_SPLIT_GROUP);
    RULE((p->split == 1 && p->covers == IQT_COVERS_ONE) || p->dialect != IQT_DIALECT_HOST,
         "host plans cover one matrix and have k1, not k%u", p->split);
    RULE(p->covers != IQT_COVERS_ROUTED || (p->n == 1 && p->split == 1),
         "routed plans have n1 and k1, not n%u and k%u", p->n, p->split);
    RULE(p->covers != IQT_COVERS_SET || cxx || p->split == 1,
         "dialect %s has plans for sets with k1, not k%u", dialect_names[p->dialect],
         p->split);
    return IQT_OK;
}

static bool compute_ok(const struct iqt_plan *p)
{
    const enum iqt_compute usual = iqt_compute_default(p->format);

    switch (p->compute) {
    case IQT_COMPUTE_DOT:
        return usual == IQT_COMPUTE_I8 && p->dialect == IQT_DIALECT_GLSL;
    case IQT_COMPUTE_MMA: /* check_mma() and iqt_coop_check() say where */
        return usual == IQT_COMPUTE_I8 && p->dialect != IQT_DIALECT_HOST && p->split == 1;
    case IQT_COMPUTE_F16: /* float formats have the activations as they are for as much */
    case IQT_COMPUTE_F32:
        return p->compute == usual ||
               (usual == IQT_COMPUTE_I8 && p->dialect != IQT_DIALECT_HOST &&
                p->covers == IQT_COVERS_ONE && !iqt_plan_is_tile(p));
    default:
        return p->compute == usual;
    }
}

enum iqt_status iqt_plan_check_unit(const struct iqt_plan *p,
                                    const struct iqt_limits *limits, uint32_t unit)
{
    RULE(p->n >= 1 && p->n <= IQT_MAX_COLS, "n%u: expected 1 to %u", p->n, IQT_MAX_COLS);
    RULE(iqt_plan_lookup_ok(p->format, p->dialect, p->lookup),
         "lookup %s does not go with %s in dialect %s", lookup_names[p->lookup],
         p->format->name, dialect_names[p->dialect]);
    IQT_TRY(check_covers(p));
    RULE(compute_ok(p), "compute kind %s does not go with %s in dialect %s, k%u",
         compute_names[p->compute], p->format->name, dialect_names[p->dialect], p->split);
    if (p->dialect == IQT_DIALECT_HOST)
        return check_host(p);
    IQT_TRY(check_gpu(p, limits, unit));
    RULE(iqt_plan_threads(p) <= 1024, "%u threads per workgroup, at most 1024",
         iqt_plan_threads(p));
    return limits ? check_limits(p, limits) : IQT_OK;
}

enum iqt_status iqt_plan_check(const struct iqt_plan *p, const struct iqt_limits *limits)
{
    struct iqt_packing packing;

    iqt_packing_init(&packing, p->format);
    return iqt_plan_check_unit(p, limits, packing.unit);
}
