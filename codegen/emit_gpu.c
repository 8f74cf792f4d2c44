/* Skeleton of a GPU kernel: threads, loop over spans, reduction, epilogue. Writes the common subset of
 * GLSL and C++; how a block's weights are decoded is in emit_block.c. */
#include "codegen/emit_gpu.h"

#include "codegen/emit_block.h"
#include "codegen/emit_call.h"
#include "codegen/emit_coop.h"
#include "codegen/emit_lanes.h"
#include "codegen/emit_mma.h"
#include "codegen/emit_tile.h"

#include <assert.h>
#include <stdio.h>

/* Whether shuffles leave sums in all threads of a row. */
static bool spreads(const struct iqt_plan *p)
{
    return p->reduce == IQT_REDUCE_SUBGROUP && !iqt_plan_shares(p);
}

static void emit_constants(struct iqt_emit *e)
{
    const struct iqt_plan *p = e->plan;

    iqt_emit_line(e, "#define N %uu // columns", iqt_plan_columns(p));
    iqt_emit_line(e, "#define G %uu // rows of a workgroup", p->rows_group);
    iqt_emit_line(e, "#define R %uu // rows of a thread group", p->rows_thread);
    iqt_emit_line(e, "#define T %uu // threads of a row", p->threads);
    iqt_emit_line(e, "#define S %uu // weights of a span", p->span);
    if (e->places->vecs)
        iqt_emit_line(e, "#define V %uu // vectors of a span", e->places->vecs);
    if (spreads(e->plan))
        iqt_emit_line(
            e, "#define EACH ((R * N + T - 1u) / T) // sums that a thread finishes");
}

/* reduce(x, tid): the sum over the threads of a row, valid in its first thread. The tree and the
 * shuffles add the same pairs, so both give the same bits. */
static void emit_reduce(struct iqt_emit *e)
{
    switch (iqt_plan_shares(e->plan) ? IQT_REDUCE_NONE : e->plan->reduce) {
    case IQT_REDUCE_NONE:
        iqt_emit_line(e, "#define reduce(x, tid) (x)");
        return;
    case IQT_REDUCE_SUBGROUP:
        iqt_emit_open(e, "%sfloat reduce(float x, uint tid)", e->spell->function);
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (uint off = T / 2u; off > 0u; off /= 2u)");
        iqt_emit_line(e, "    x += SHUFFLE_XOR(x, off);");
        iqt_emit_line(e, "return x;");
        iqt_emit_close(e);
        return;
    default:
        iqt_emit_line(e, "%s float tree[%u];", e->spell->shared,
                      iqt_plan_threads(e->plan));
        iqt_emit_open(e, "%sfloat reduce(float x, uint tid)", e->spell->function);
        iqt_emit_line(e, "BARRIER; // earlier results have been read");
        iqt_emit_line(e, "tree[tid] = x;");
        iqt_emit_open(e, "for (uint off = T / 2u; off > 0u; off /= 2u)");
        iqt_emit_line(e, "BARRIER;");
        iqt_emit_line(e, "if (tid %% T < off)");
        iqt_emit_line(e, "    tree[tid] += tree[tid + off];");
        iqt_emit_close(e);
        iqt_emit_line(e, "return tree[tid];");
        iqt_emit_close(e);
    }
}

/* Byte positions inside a row that depend on k. */
void iqt_emit_geometry(struct iqt_emit *e)
{
    const struct iqt_packing *packing = &e->places->packing;

    iqt_emit_line(e, "uint spans = p.k / S;");
    if (e->plan->layout == IQT_LAYOUT_NATIVE)
        return;
    iqt_emit_line(e, "uint units = p.k / %uu;", packing->unit);
    iqt_emit_line(e, "uint side = %uu * units;", IQT_VEC_BYTES * packing->vecs);
    if (packing->format->row_head)
        iqt_emit_line(e, "uint head = side + p.k / %uu * %uu;",
                      packing->format->superblock, packing->side_bytes);
}

static void emit_row_at(struct iqt_emit *e)
{
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint r = 0u; r < R; r++)");
    iqt_emit_line(
        e,
        "    %s_row[r] = p.%s_base + (first + r < p.rows ? first + r : p.rows - 1u) * "
        "p.row_bytes;",
        e->prefix, e->prefix);
}

static void emit_rows(struct iqt_emit *e)
{
    iqt_emit_line(e, "uint %s_row[R];", e->prefix);
    iqt_emit_line(e, "float %s_sum[R * N];", e->prefix);
    emit_row_at(e);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < R * N; i++)");
    iqt_emit_line(e, "    %s_sum[i] = 0.0f;", e->prefix);
}

void iqt_emit_rows_only(struct iqt_emit *e)
{
    iqt_emit_line(e, "uint %s_row[R];", e->prefix);
    emit_row_at(e);
}

/* Loads the vectors of a span, for each row. */
static void emit_vectors(struct iqt_emit *e)
{
    const struct iqt_packing *packing = &e->places->packing;
    const uint32_t units = e->plan->span / packing->unit;

    if (e->places->vecs == 0)
        return;
    iqt_emit_line(e, "uvec4 q[R * V];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    for (uint32_t v = 0; v < e->places->vecs; v++)
        iqt_emit_line(
            e,
            "q[r * V + %uu] = %s_vec(%s_row[r] + 16u * (%uu * units + u * %uu + %uu));",
            v, e->prefix, e->prefix, v % packing->vecs, units, v / packing->vecs);
    iqt_emit_close(e);
}

void iqt_emit_span(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;
    const bool packed = e->plan->layout == IQT_LAYOUT_PACKED;

    emit_vectors(e);
    if (iqt_plan_shares(e->plan))
        iqt_emit_lanes_load(e);
    if (e->places->parts > 1)
        iqt_emit_line(e, "uint part = u %% %uu;", e->places->parts);
    iqt_emit_line(e, "uint at[R];");
    for (uint32_t s = 0; s < e->places->superblocks; s++) {
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (uint r = 0u; r < R; r++)");
        if (packed)
            iqt_emit_line(e, "    at[r] = %s_row[r] + side + (u * S / %uu + %uu) * %uu;",
                          e->prefix, f->superblock, s, iqt_place_base_bytes(e->places));
        else
            iqt_emit_line(e, "    at[r] = %s_row[r] + %uu + (u * S / %uu + %uu) * %uu;",
                          e->prefix, f->row_head, f->superblock, s,
                          iqt_place_base_bytes(e->places));
        iqt_emit_superblock(e, s);
    }
}

static void emit_spans(struct iqt_emit *e)
{
    emit_rows(e);
    iqt_emit_open(e, "for (uint u = %s; u < spans; u += %s)",
                  iqt_emit_first_span(e->plan), iqt_emit_span_step(e->plan));
    iqt_emit_span(e);
    iqt_emit_close(e);
}

static uint32_t prefixes(const struct iqt_emit *e)
{
    return e->plan->op == IQT_OP_GATED ? 2 : 1;
}
static const char *const prefix_of[] = { "w", "gate" };

/* The part's sums of row r of the thread group, column c: the values are named by matrix and `end`. */
static void emit_partials(struct iqt_emit *e, const char *end)
{
    for (uint32_t i = 0; i < prefixes(e); i++) {
        char value[32];

        snprintf(value, sizeof value, "%s%s", prefix_of[i], end);
        iqt_emit_partial(e, i, "tid / T * R + r", value);
    }
}

/* The first thread of a row group has all its sums and writes them one after the other. */
static void emit_epilogue_first(struct iqt_emit *e)
{
    const bool split = e->plan->split > 1;
    char row[32];

    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    if (!split)
        iqt_emit_line(
            e, "uint row = first + r - p.skip; // wraps in front of the first row");
    for (uint32_t i = 0; i < prefixes(e) && !split; i++) {
        e->prefix = prefix_of[i];
        snprintf(row, sizeof row, "%s_row[r]", e->prefix);
        iqt_emit_row_factor(e, row);
    }
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < N; i++)");
    for (uint32_t i = 0; i < prefixes(e); i++)
        iqt_emit_line(e, "float %s_total = reduce(%s_sum[r * N + i], tid);", prefix_of[i],
                      prefix_of[i]);
    iqt_emit_line(e, "uint c = %si;",
                  iqt_plan_columns(e->plan) < e->plan->n ? "sweep + " : "");
    if (split) {
        iqt_emit_open(e, "if (lane == 0u && c < p.cols)");
        emit_partials(e, "_total");
    } else {
        iqt_emit_open(e, "if (lane == 0u && row < p.rows && c < p.cols)");
        iqt_emit_store(e);
    }
    iqt_emit_close(e);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

/* Shuffles leave each sum in all threads: sum i is finished by thread i % T, all at the same time. One
 * thread would work off up to 64 of them, in a text 64 times as long. */
static void emit_spread(struct iqt_emit *e)
{
    const char *p = e->prefix;

    iqt_emit_line(e, "float %s_mine[EACH];", p);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < R * N; i++)");
    iqt_emit_line(e, "float total = reduce(%s_sum[i], tid);", p);
    iqt_emit_line(
        e, "%s_mine[i / T] = i %% T == 0u || lane == i %% T ? total : %s_mine[i / T];", p,
        p);
    iqt_emit_close(e);
}

static void emit_epilogue_spread(struct iqt_emit *e, const struct iqt_tile *tile)
{
    char row[128];

    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint j = 0u; j < EACH; j++)");
    iqt_emit_line(e, "uint i = lane + j * T, r = i / N, c = %si %% N;",
                  iqt_plan_columns(e->plan) < e->plan->n ? "sweep + " : "");
    if (e->plan->split > 1) {
        iqt_emit_open(e, "if (i < R * N && c < p.cols)");
        emit_partials(e, "_mine[j]");
        iqt_emit_close(e);
        iqt_emit_close(e);
        return;
    }
    iqt_emit_line(e, "uint row = first + r - p.skip; // wraps in front of the first row");
    iqt_emit_open(e, "if (i < R * N && row < p.rows && c < p.cols)");
    for (uint32_t i = 0; i < prefixes(e); i++) {
        e->prefix = prefix_of[i];
        if (tile)
            snprintf(row, sizeof row, "p.%s_base + tile + r * %uu", e->prefix,
                     e->plan->format->row_head);
        else
            snprintf(row, sizeof row, "p.%s_base + row * p.row_bytes", e->prefix);
        iqt_emit_row_factor(e, row);
        iqt_emit_line(e, "float %s_total = %s_mine[j];", e->prefix, e->prefix);
    }
    iqt_emit_store(e);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

void iqt_emit_parts(struct iqt_emit *e, const char *group, const char *of,
                    const char *lane)
{
    char row[128];

    iqt_emit_open(e, "if (row < p.rows && c < p.cols)");
    for (uint32_t i = 0; i < prefixes(e); i++) {
        e->prefix = prefix_of[i];
        snprintf(row, sizeof row, "p.%s_base + %s + r * %uu", e->prefix, group,
                 e->plan->format->row_head);
        iqt_emit_row_factor(e, row);
        iqt_emit_line(e, "float %s_total = 0.0f;", e->prefix);
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (uint j = 0u; j < CHUNKS; j++)");
        iqt_emit_line(e, "    %s_total += %s_parts[%s][i][%s];", e->prefix, e->prefix, of,
                      lane);
    }
    iqt_emit_store(e);
    iqt_emit_close(e);
}

/* The sums of one matrix, whichever way its rows are stored. Spread at once: the other matrix's take
 * their registers. */
static void emit_sums(struct iqt_emit *e, const char *prefix, const struct iqt_tile *tile,
                      const struct iqt_tile_values *values)
{
    e->prefix = prefix;
    if (tile)
        iqt_emit_tile_spans(e, tile, values);
    else
        emit_spans(e);
    if (spreads(e->plan))
        emit_spread(e);
}

static void emit_sweep(struct iqt_emit *e, const struct iqt_tile *tile,
                       const struct iqt_tile_values *values)
{
    emit_sums(e, "w", tile, values);
    if (e->plan->op == IQT_OP_GATED)
        emit_sums(e, "gate", tile, values);
    if (spreads(e->plan))
        emit_epilogue_spread(e, tile);
    else
        emit_epilogue_first(e);
}

/* Matrix units are of two kinds. */
static const struct unit {
    void (*values)(struct iqt_emit *, const struct iqt_tile *, struct iqt_mma_values *);
    void (*functions)(struct iqt_emit *, const struct iqt_tile *);
    void (*threads)(struct iqt_emit *);
    void (*spans)(struct iqt_emit *, const struct iqt_tile *,
                  const struct iqt_mma_values *);
    void (*finish)(struct iqt_emit *);
} units[] = {
    [IQT_DIALECT_CUDA] = { iqt_emit_mma_values, iqt_emit_mma_functions,
                           iqt_emit_mma_threads, iqt_emit_mma_spans,
                           iqt_emit_mma_finish },
    [IQT_DIALECT_HIP] = { iqt_emit_mfma_values, iqt_emit_mfma_functions,
                          iqt_emit_mfma_threads, iqt_emit_mfma_spans,
                          iqt_emit_mfma_finish },
}, one_column = { iqt_emit_mma_one_values, iqt_emit_mma_one_functions, iqt_emit_mma_threads,
                  iqt_emit_mma_one_spans, iqt_emit_mma_one_finish };

static const struct unit *unit_of(const struct iqt_plan *p)
{
    return iqt_mma_keeps_tiles(p) ? &one_column : &units[p->dialect];
}

static void emit_mma_body(struct iqt_emit *e, const struct iqt_tile *tile,
                          const struct iqt_mma_values *values)
{
    const struct unit *unit = unit_of(e->plan);

    unit->threads(e);
    iqt_emit_tile_table(e, tile);
    iqt_emit_tile_geometry(e, tile);
    for (uint32_t i = 0; i < prefixes(e); i++) {
        e->prefix = prefix_of[i];
        unit->spans(e, tile, values);
    }
    unit->finish(e);
}

static void emit_body(struct iqt_emit *e, const struct iqt_tile *tile,
                      const struct iqt_tile_values *values)
{
    const bool more = iqt_emit_covers_more(e->plan);

    if (more)
        iqt_emit_call_begin(e);
    iqt_emit_line(e, "uint tid = THREAD, lane = tid %% T, first = %s * G + tid / T * R;",
                  more ? "group" : "GROUP");
    if (tile) {
        iqt_emit_tile_table(e, tile);
        iqt_emit_tile_geometry(e, tile);
    } else {
        iqt_emit_lookup_fill(e);
        iqt_emit_geometry(e);
    }
    if (iqt_plan_columns(e->plan) == e->plan->n) {
        emit_sweep(e, tile, values);
    } else {
        iqt_emit_open(e, "for (uint sweep = 0u; sweep < p.cols; sweep += N)");
        emit_sweep(e, tile, values);
        iqt_emit_line(e, "xq4 += N * (%s);", iqt_emit_x_vectors(e->plan));
        iqt_emit_line(e, "xs2 += N * (p.k / 32u);");
        iqt_emit_close(e);
    }
    if (e->plan->split > 1)
        iqt_emit_combine(e, tile);
}

/* Functions that turn codes into values. */
static void emit_decoder(struct iqt_emit *e, const struct iqt_tile *tile,
                         struct iqt_tile_values *values)
{
    if (!tile) {
        iqt_emit_lookup(e);
        return;
    }
    iqt_buf_printf(e->out, "%s", e->spell->tiles);
    iqt_emit_tile_values(e, tile, values);
    iqt_emit_line(e, "#define W %uu // words of a block's values",
                  values->states ? 32u : 8u * values->parts);
    iqt_emit_tile_functions(e, tile, values);
}

static void emit_mma_decoder(struct iqt_emit *e, const struct iqt_tile *tile,
                             struct iqt_mma_values *values)
{
    iqt_buf_printf(e->out, "%s", e->spell->tiles);
    unit_of(e->plan)->values(e, tile, values);
    iqt_emit_tile_functions(e, tile, NULL);
    unit_of(e->plan)->functions(e, tile);
}

void iqt_emit_gpu(struct iqt_emit *e)
{
    char symbol[IQT_PLAN_NAME_BYTES];
    const bool mma = e->plan->compute == IQT_COMPUTE_MMA;
    struct iqt_tile_values values = { 0 };
    struct iqt_mma_values quarters = { 0 };
    struct iqt_tile storage;
    const struct iqt_tile *tile =
        e->plan->layout == IQT_LAYOUT_PACKED &&
                iqt_tile_init(&storage, e->plan->format, e->plan->dialect)
            ? &storage
            : NULL;

    e->spell = iqt_spelling_of(e->plan->dialect);
    iqt_kernel_symbol(e->plan, symbol);
    iqt_buf_printf(e->out, "%s%s", e->spell->prelude, iqt_spelling_sums(e->plan));
    if (spreads(e->plan))
        iqt_buf_printf(e->out, "%s", e->spell->subgroup);
    emit_constants(e);
    if (iqt_emit_covers_more(e->plan))
        iqt_emit_call_types(e);
    iqt_emit_interface(e);
    if (iqt_plan_is_coop(e->plan)) {
        iqt_emit_coop_begin(e);
        iqt_emit_lookup(e);
        iqt_emit_coop_functions(e);
    } else if (mma) {
        emit_mma_decoder(e, tile, &quarters);
    } else {
        emit_decoder(e, tile, &values);
        emit_reduce(e);
    }
    iqt_emit_activation(e);
    iqt_emit_entry(e, symbol, "Params", iqt_plan_threads(e->plan));
    if (iqt_plan_is_coop(e->plan))
        iqt_emit_coop_body(e);
    else if (mma)
        emit_mma_body(e, tile, &quarters);
    else
        emit_body(e, tile, &values);
    iqt_emit_close(e);
}
