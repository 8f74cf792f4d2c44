/* One column of a trellis on CUDA's matrix units: each lane keeps a tile of its own, as without them, and the unit
 * adds what four rows' states are worth. Layout of the fragments: docs/kernels.md.
 *
 *     A  lane 4 quad + part: masked states of its own tile's rows 0, 1 (then 2, 3), two weights of each
 *     B  column 2 part: x of span part, each byte four times, in part's k; all else is zero
 *     C  lane 4 quad + part: its own rows' sums in c0 and c2 */
#include "codegen/emit_mma.h"

#include "codegen/emit_call.h"
#include "codegen/emit_gpu.h"

#include <assert.h>
#include <string.h>

enum { R = IQT_TILE_ROWS };

static bool magnitudes(const struct iqt_tile *t)
{
    return t->format->trellis->magnitude;
}

/* Words of x of a span in shared memory: each byte repeated, or as they are. */
static uint32_t x_words(const struct iqt_tile *t)
{
    return IQT_TILE_SPAN / (magnitudes(t) ? 4u : 1u);
}

/* Words of a warp's x in shared memory. A second column's lie four banks further. */
static uint32_t column_words(const struct iqt_tile *t)
{
    return 4 * x_words(t) + 4;
}

static uint32_t warp_words(const struct iqt_emit *e, const struct iqt_tile *t)
{
    return e->plan->n == 1 ? 4 * x_words(t) : (2 * column_words(t) + 31) / 32 * 32;
}

/* ---- Functions ---- */

static void emit_scale_values(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "%s float scale_of[16];", e->spell->shared);
    iqt_emit_line(e, "%s float scale_values[16] = {", e->spell->constant);
    for (uint32_t i = 0; i < 16; i++)
        iqt_emit_line(e, "    %d.0f,", t->format->scale.table[i]);
    iqt_emit_line(e, "};");
}

void iqt_emit_mma_one_functions(struct iqt_emit *e, const struct iqt_tile *t)
{
    const uint32_t warps = iqt_plan_threads(e->plan) / 32u, words = x_words(t);

    iqt_emit_line(e, "#define CHUNKS (T / 4u) // warps that share rows");
    iqt_emit_line(e, "#define SYNC_WARP __syncwarp()");
    iqt_emit_line(e, "%s float w_sums[%u * N];", e->spell->shared, 32 * warps);
    if (e->plan->op == IQT_OP_GATED)
        iqt_emit_line(e, "%s float gate_sums[%u * N];", e->spell->shared, 32 * warps);
    iqt_emit_line(e, "#define X_WORDS %uu // of a span", words);
    iqt_emit_line(e, "%s uvec4 x_shared[%u]; // of all warps; zeros", e->spell->shared,
                  warps * warp_words(e, t) / 4 + 2 + words / 4);
    if (t->format->scale.table)
        emit_scale_values(e, t);
    iqt_emit_mma_primitives(e);
}

/* ---- Before the loop ---- */

/* Powers of the multiplier stay in registers, as tables do, unless nothing is added to a product: then
 * instructions have them. */
static void emit_powers(struct iqt_emit *e, const struct iqt_tile *tile)
{
    const struct iqt_trellis *t = tile->format->trellis;
    const bool known = iqt_mma_one_whole_seeds(tile);
    uint32_t power = 1;

    iqt_emit_line(e, "uint power[%u];", t->group);
    for (uint32_t n = 0; n < t->group; n++) {
        power *= t->multiplier;
        iqt_emit_line(e, "power[%u] = 0x%08xu%s;", n, power, known ? "" : " ^ zero");
    }
}

static void emit_shared(struct iqt_emit *e, const struct iqt_tile *t)
{
    const uint32_t warps = iqt_plan_threads(e->plan) / 32u;

    iqt_emit_line(e, "uint *zeros = (uint *)x_shared + %uu + 8u;",
                  warps * warp_words(e, t));
    for (uint32_t i = 0; i < x_words(t); i += 32 * warps) {
        iqt_emit_line(e, "if (THREAD + %uu < X_WORDS)", i);
        iqt_emit_line(e, "    zeros[THREAD + %uu] = 0u;", i);
    }
    if (t->format->scale.table) {
        iqt_emit_line(e, "if (THREAD < 16u)");
        iqt_emit_line(e, "    scale_of[THREAD] = scale_values[THREAD];");
        iqt_emit_line(e, "uint scales = (uint)__cvta_generic_to_shared(scale_of);");
    }
    iqt_emit_line(e, "BARRIER;");
    iqt_emit_line(e, "uint quad = THREAD / 4u %% 8u;");
    iqt_emit_line(e, "uint *x_warp = (uint *)x_shared + %uu * warp;", warp_words(e, t));
    if (e->plan->n == 1)
        iqt_emit_line(
            e, "const uvec4 *x_span = (const uvec4 *)(quad == 2u * part ? x_warp + "
               "X_WORDS * part : zeros);");
    else
        iqt_emit_line(
            e,
            "const uvec4 *x_span = (const uvec4 *)(quad / 2u == part ? x_warp + "
            "%uu * (quad %% 2u) + X_WORDS * part : zeros);",
            column_words(t));
    if (e->plan->n == 2) /* a column that is not there is the first one */
        iqt_emit_line(e, "uint second = p.cols > 1u ? 1u : 0u;");
}

/* Four words that the compiler neither knows nor knows to be equal: what a product adds to is not copied. */
static void emit_four(struct iqt_emit *e, const char *name, uint32_t value)
{
    iqt_emit_line(e, "uint %s[4];", name);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < 4u; i++)");
    iqt_emit_line(e, "    %s[i] = 0x%08xu ^ FROM_LANE(zero, i);", name, value);
}

/* A tile's fields are one load. */
static void emit_start(struct iqt_emit *e, const struct iqt_tile *t)
{
    const char *p = e->prefix;

    iqt_emit_line(
        e,
        "const uchar *%s_codes = %s_bytes + p.%s_base + tile + chunk * %uu + 16u "
        "* part;",
        p, p, p, 64u * t->words);
    iqt_emit_line(
        e,
        "const uchar *%s_record = %s_bytes + p.%s_base + tile + p.k / 256u * %uu + "
        "chunk * %uu + part * %uu;",
        p, p, p, 64u * t->words, t->record_bytes, t->loads ? t->load[0].stride : 0u);
    iqt_emit_line(e, "const uint lane = 0u; // its place is in the pointer");
    iqt_emit_line(e, "(void)%s_record; (void)lane;", p);
    emit_four(e, "base", magnitudes(t) ? 0x0202u : 0x4b400000u);
    if (magnitudes(t)) {
        iqt_emit_line(e, "uint ones[4];");
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (uint i = 0u; i < 4u; i++)");
        iqt_emit_line(e, "    ones[i] = quad != 2u * part + i %% 2u ? 0u : i < 2u ? "
                         "0x01010101u : 0xffffffffu;");
    }
    emit_powers(e, t);
    iqt_emit_line(e, "float sum[R * N];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < R * N; i++)");
    iqt_emit_line(e, "    sum[i] = 0.0f;");
}

/* ---- The loop ---- */

/* A lane has eight of the warp's 256 x of a column. Words of x of a span: first the even ones, then the odd. */
static void emit_repeated(struct iqt_emit *e, uint32_t c, uint32_t at)
{
    iqt_emit_scope(e);
    iqt_emit_line(e,
                  "uint *put = x_warp + %uu + THREAD %% 32u / 8u * X_WORDS + THREAD %% "
                  "8u * 4u;",
                  at);
    iqt_emit_line(e, "uvec4 even, odd;");
    for (uint32_t i = 0; i < 4; i++)
        iqt_emit_line(e, "even.%c = REPEAT(own%u.x, %uu); odd.%c = REPEAT(own%u.y, %uu);",
                      "xyzw"[i], c, i, "xyzw"[i], c, i);
    iqt_emit_line(e, "*(uvec4 *)put = even; *(uvec4 *)(put + 32) = odd;");
    iqt_emit_close(e);
}

static void emit_x(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "SYNC_WARP; // the last ones have been read");
    for (uint32_t c = 0; c < e->plan->n; c++) {
        if (!magnitudes(t))
            emit_repeated(e, c, c * column_words(t));
        else if (e->plan->n == 1)
            iqt_emit_line(e,
                          "*(uvec2 *)((uint *)x_shared + thread_again() * 2u) = own0;");
        else
            iqt_emit_line(e, "*(uvec2 *)(x_warp + %uu + THREAD %% 32u * 2u) = own%u;",
                          c * column_words(t), c);
    }
    iqt_emit_line(e, "SYNC_WARP;");
}

static void emit_x_loads(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "uvec2 own0 = ((const uvec2 *)xq4)[32u * u + %s %% 32u];",
                  magnitudes(t) ? "thread_again()" : "THREAD");
    if (e->plan->n == 2)
        iqt_emit_line(e,
                      "uvec2 own1 = ((const uvec2 *)xq4)[second * (p.k / 8u) + 32u * u + "
                      "THREAD %% 32u];");
}

static void emit_x_scales(struct iqt_emit *e)
{
    iqt_emit_line(e, "uvec4 xs[N];");
    iqt_emit_line(e, "xs[0] = ((const uvec4 *)xs2)[4u * u + part];");
    if (e->plan->n == 2)
        iqt_emit_line(
            e, "xs[1] = ((const uvec4 *)xs2)[second * (p.k / 64u) + 4u * u + part];");
}

/* A dot product takes the code of four bits out of a byte. */
static void emit_table_scale(struct iqt_emit *e, const struct iqt_tile *t)
{
    assert(t->scale_bits == 4 && t->scale_bit[0] % 8 == 0 && t->scale_bit[1] % 8 == 4);
    iqt_emit_line(e, "uint at = %uu * r + scale_at[b];", t->row_bits);
    iqt_emit_line(e, "uint codes = e[at / 32u] >> at %% 8u & 0x0f0f0f0fu;");
    iqt_emit_line(
        e,
        "own_scale[r] = float_at(dot4(codes, 4u << at %% 32u / 8u * 8u, int(scales)));");
}

/* What seeds take besides their words: rests of 13-bit seeds, the shift bit on top of 15. */
static void emit_rests(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "uint rest[R];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint r = 0u; r < R; r++)");
    if (t->family == IQT_TILE_KT4)
        iqt_emit_line(e, "    rest[r] = q[%uu * r + 4u * b] & 0x8000u;", t->words);
    else if (t->family == IQT_TILE_KT1)
        iqt_emit_line(e, "    rest[r] = bits(e, %uu * r);", t->row_bits);
    else
        iqt_emit_line(e, "    rest[r] = 0u;");
}

static void emit_scales(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "float own_scale[R];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    if (t->family == IQT_TILE_KT4) {
        iqt_emit_line(e, "const uint *w = q + %uu * r + 4u * b;", t->words);
        iqt_emit_line(e,
                      "uint f = LOP3(0x00018000u, w[0], w[1] << 2, 0xca); // a ? b : c");
        iqt_emit_line(e, "f = LOP3(0x00078000u, f, w[2] << 4, 0xca);");
        iqt_emit_line(e, "f = LOP3(0x001f8000u, f, w[3] << 6, 0xca);");
        iqt_emit_line(e, "own_scale[r] = scale(f, 16u, t);");
    } else if (t->format->scale.table) {
        emit_table_scale(e, t);
    } else {
        iqt_emit_line(e, "own_scale[r] = scale(bits(e, %uu * r), scale_at[b], t);",
                      t->row_bits);
    }
    iqt_emit_close(e);
}

static void emit_block(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint b = 0u; b < 2u; b++)");
    iqt_emit_line(e, "float dx[N], mean[N];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < N; i++)");
    iqt_emit_line(e, "dx[i] = FLOAT_OF(b == 0u ? xs[i].x : xs[i].z);");
    iqt_emit_line(
        e, "mean[i] = FLOAT_OF(dot2(b == 0u ? xs[i].y : xs[i].w, 0x%04xu, 0x4b400000u));",
        magnitudes(t) ? 0xffffu : 0x0101u * (uint32_t)t->format->trellis->centre);
    iqt_emit_close(e);
    emit_rests(e, t);
    iqt_emit_line(e, "int c[8];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < 8u; i++)");
    iqt_emit_line(e, "    c[i] = int(base[i %% 4u]);");
    iqt_emit_mma_one_products(e, t);
    emit_scales(e, t);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < R * N; i++)");
    iqt_emit_line(
        e,
        "    sum[i] = FMA(own_scale[i / N] * dx[i %% N], FLOAT_OF((uint)c[i / N * "
        "2u + i %% N]%s) - mean[i %% N], sum[i]);",
        magnitudes(t) ? " + 0x4b3ffdfeu" : "");
    iqt_emit_close(e);
}

/* Lane part of a quad gets the sums of row part. */
static void emit_rows(struct iqt_emit *e)
{
    iqt_emit_line(e, "bool odd = part %% 2u != 0u, upper = part / 2u != 0u;");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < N; i++)");
    for (uint32_t h = 0; h < 2; h++) {
        iqt_emit_line(e, "float low%u = sum[%uu * N + i], high%u = sum[%uu * N + i];", h,
                      2 * h, h, 2 * h + 1);
        iqt_emit_line(e, "float keep%u = odd ? high%u : low%u;", h, h, h);
        iqt_emit_line(e, "keep%u += SHUFFLE_XOR(odd ? low%u : high%u, 1u);", h, h, h);
    }
    iqt_emit_line(e, "float total = upper ? keep1 : keep0;");
    iqt_emit_line(e, "total += SHUFFLE_XOR(upper ? keep0 : keep1, 2u);");
    iqt_emit_line(e, "%s_sums[%uu * i + thread_again()] = total;", e->prefix,
                  iqt_plan_threads(e->plan));
    iqt_emit_close(e);
}

void iqt_emit_mma_one_spans(struct iqt_emit *e, const struct iqt_tile *t,
                            const struct iqt_mma_values *v)
{
    (void)v;
    if (strcmp(e->prefix, "w") == 0) /* a gated product's other matrix has it, too */
        emit_shared(e, t);
    iqt_emit_scope(e);
    emit_start(e, t);
    iqt_emit_open(e, "for (uint u = chunk; u < p.k / 256u; u += CHUNKS)");
    emit_x_loads(e, t);
    iqt_emit_tile_codes(e, t, NULL);
    iqt_emit_tile_record(e, t);
    emit_x_scales(e);
    emit_x(e, t);
    emit_block(e, t);
    iqt_emit_line(e, "%s_codes += CHUNKS * %uu;", e->prefix, 64u * t->words);
    iqt_emit_line(e, "%s_record += CHUNKS * %uu;", e->prefix, t->record_bytes);
    iqt_emit_close(e);
    emit_rows(e);
    iqt_emit_close(e);
}

/* A warp of those that share rows adds their sums of a column. Which thread it is need not have stayed in registers. */
void iqt_emit_mma_one_finish(struct iqt_emit *e)
{
    iqt_emit_line(e, "BARRIER;");
    iqt_emit_line(e, "uint thread = thread_again();");
    iqt_emit_line(e, "uint c = thread / 32u %% CHUNKS, own = thread - 32u * c;");
    iqt_emit_line(e, "if (c >= N)");
    iqt_emit_line(e, "    return;");
    iqt_emit_line(e, "uint r = thread %% 4u, i = 0u;");
    iqt_emit_line(
        e, "first = %s * G + (thread / 32u / CHUNKS * 8u + thread / 4u %% 8u) * R;",
        iqt_emit_covers_more(e->plan) ? "group" : "GROUP");
    iqt_emit_line(e, "tile = (first / R < last ? first / R : last) * R * p.row_bytes;");
    iqt_emit_line(e, "uint row = first + r - p.skip; // wraps in front of the first row");
    if (e->plan->n == 1)
        iqt_emit_scope(e);
    else
        iqt_emit_open(e, "for (; c < N; c += CHUNKS)");
    for (uint32_t m = 0; m < (e->plan->op == IQT_OP_GATED ? 2u : 1u); m++) {
        const char *name = m ? "gate" : "w";

        iqt_emit_line(
            e,
            "const float (*%s_parts)[1][32] = (const float (*)[1][32])(%s_sums + "
            "%uu * c + own);",
            name, name, iqt_plan_threads(e->plan));
    }
    iqt_emit_parts(e, "tile", "j", "0");
    iqt_emit_close(e);
}
