/* The loop of an mma kernel for AMD: copies of tiles, which lane has what of a matrix, sums. What the codes
 * mean is in emit_mfma_values.c; the matrix units, in emit_mfma_unit.c; who copies what, in kernels/tile_mma.h.
 *
 * A block's 32 weights are four parts of eight. Which of them a lane has, of which row, and of which groups its
 * sums are, depends on the unit; k may be permuted as long as A and B agree. */
#include "codegen/emit_mma.h"

#include "codegen/emit_call.h"
#include "codegen/emit_gpu.h"

enum { R = IQT_TILE_ROWS };

void iqt_emit_mfma_threads(struct iqt_emit *e)
{
    const bool more = iqt_emit_covers_more(e->plan);

    if (more)
        iqt_emit_call_begin(e);
    iqt_emit_line(e, "uint wave = __builtin_amdgcn_readfirstlane(THREAD / WAVE), lane = "
                     "THREAD %% WAVE;");
    iqt_emit_line(e, "uint part = lane / 16u, quad = QUAD, column = lane %% 16u;");
    /* Lanes side by side copy tiles of the same group of each set. */
    iqt_emit_line(
        e, "uint own_set = lane / LANES %% SETS, own_group = lane / LANES / SETS;");
    iqt_emit_line(
        e, "uint first_row = %s * G, first = first_row + (own_set * 4u + own_group) * R;",
        more ? "group" : "GROUP");
}

/* ---- Copies ---- */

/* A byte of each row that a decoder takes: a block's shift bit, or the rests of 13-bit seeds. */
static bool has_bytes(const struct iqt_tile *t, const struct iqt_mma_values *v)
{
    return v->shift_byte || t->family == IQT_TILE_KT1;
}

/* The lane's own tile: codes as they are, scales of four rows for each block, shift bits; codes in pieces, because
 * tiles are an odd number of them apart. */
static void emit_copy(struct iqt_emit *e, const struct iqt_tile *t,
                      const struct iqt_mma_values *v)
{
    const struct iqt_mfma_shape s = iqt_mfma_shape_of(e->plan, IQT_MFMA_WAVE);

    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint j = 0u; j < %uu; j++)", 2 * t->words);
    iqt_emit_line(e, "uvec2 c = { q[2u * j], q[2u * j + 1u] };");
    if (s.gap)
        iqt_emit_line(e, "*(uvec2 *)(put + 8u * j + j / %uu * %uu) = c;", t->words,
                      s.gap);
    else
        iqt_emit_line(e, "*(uvec2 *)(put + 8u * j) = c;");
    iqt_emit_close(e);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint b = 0u; b < %uu; b++)", t->blocks);
    iqt_emit_line(e, "vec4 c = { own[b], own[%uu + b], own[%uu + b], own[%uu + b] };",
                  t->blocks, 2u * t->blocks, 3u * t->blocks);
    iqt_emit_line(e, "*(vec4 *)(put_scales + 16u * LANES * b) = c;");
    iqt_emit_close(e);
    if (!has_bytes(t, v))
        return;
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint j = 0u; j < %uu; j++)",
                  t->family == IQT_TILE_KT1 ? 1 : t->blocks / 2);
    iqt_emit_line(e, "uvec2 c = { %s };",
                  t->family == IQT_TILE_KT1 ? "PERM(e[0], e[1], 0x06040200u), 0u"
                                            : "shifts[2u * j], shifts[2u * j + 1u]");
    iqt_emit_line(e, "*(uvec2 *)(put + %uu + 8u * j) = c;", s.shifts_at);
    iqt_emit_close(e);
}

/* Superblocks behind the last one are copies of it that nobody reads. */
static void emit_own_tile(struct iqt_emit *e, const struct iqt_tile *t,
                          const struct iqt_mma_values *v)
{
    const char *p = e->prefix;

    iqt_emit_line(e, "uint own_super = u + lane %% LANES / 4u;");
    iqt_emit_line(e, "own_super = own_super < supers ? own_super : supers - 1u;");
    iqt_emit_line(
        e,
        "const uchar *%s_codes = %s_bytes + p.%s_base + tile + own_super * %uu + "
        "lane %% 4u * 16u;",
        p, p, p, 64u * t->words);
    iqt_emit_line(e,
                  "const uchar *%s_record = %s_bytes + p.%s_base + tile + supers * %uu + "
                  "own_super * %uu;",
                  p, p, p, 64u * t->words, t->record_bytes);
    iqt_emit_line(e, "(void)%s_record;", p);
    iqt_emit_tile_codes(e, t, NULL);
    iqt_emit_mma_own(e, t, v);
    emit_copy(e, t, v);
}

/* ---- A span ---- */

/* All parts of a block that the lane has. `own` is the part's number. */
static void open_parts(struct iqt_emit *e)
{
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint j = 0u; j < PARTS; j++)");
    iqt_emit_line(e, "uint own = part + j * NEXT_PART;");
}

/* Halves have products of their own. Where a product is a whole block deep, the other half of B is zero. */
static void emit_halves(struct iqt_emit *e, const struct iqt_mma_lane *lane)
{
    iqt_emit_open(e, "if (PARTS == 1u)");
    if (lane->x == IQT_MMA_X_EIGHT) {
        iqt_emit_line(e, "uint upper = 0u - part / 2u;");
        iqt_emit_line(e, "x[b][2] = x[b][0] & upper; x[b][3] = x[b][1] & upper;");
        iqt_emit_line(e, "x[b][0] &= ~upper; x[b][1] &= ~upper;");
    } else {
        iqt_emit_line(e, "x[b][3] = x[b][1]; x[b][1] = x[b][2] = 0u;");
    }
    iqt_emit_close(e);
}

/* x of the lane's weights in a block, two words a part. */
static void emit_x(struct iqt_emit *e, const struct iqt_tile *t,
                   const struct iqt_mma_lane *lane)
{
    const bool eight = lane->x == IQT_MMA_X_EIGHT;

    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint j = 0u; j < X_PARTS; j++)");
    iqt_emit_line(e, "uint own = X_PART + j * X_NEXT;");
    iqt_emit_line(e, "const uchar *xc = xq + 256u * s + 64u * i + 32u * b + %uu * own;",
                  eight ? 8u : 4u);
    if (eight)
        iqt_emit_line(e, "uvec2 two = *(const uvec2 *)xc; uint x0 = two.x, x1 = two.y;");
    else
        iqt_emit_line(e, "uint x0 = *(const uint *)xc, x1 = *(const uint *)(xc + 16u);");
    if (t->family == IQT_TILE_PAIRS) {
        iqt_emit_line(e, "uint even = PERM(x0, x1, 0x06040200u);");
        iqt_emit_line(e, "x1 = PERM(x0, x1, 0x07050301u); x0 = even;");
    }
    iqt_emit_line(e, "x[b][2u * j] = x0; x[b][2u * j + 1u] = x1;");
    iqt_emit_close(e);
    if (iqt_tile_halves(t) == 2)
        emit_halves(e, lane);
}

static void emit_columns(struct iqt_emit *e, const struct iqt_tile *t,
                         const struct iqt_mma_lane *lane)
{
    iqt_emit_line(e, "uint x[2][X_WORDS];");
    iqt_emit_line(e, "uvec4 xs_two = *(const uvec4 *)(xs + 8u * s + 2u * i);");
    iqt_emit_line(
        e,
        "asm volatile(\"\" :: \"v\"(xs_two.y), \"v\"(xs_two.w)); // one load, not two");
    iqt_emit_line(e, "float dx[2] = { FLOAT_OF(xs_two.x), FLOAT_OF(xs_two.z) };");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint b = 0u; b < 2u; b++)");
    emit_x(e, t, lane);
    iqt_emit_close(e);
}

/* Words of the lane's row, of both blocks. */
static void emit_words(struct iqt_emit *e, const struct iqt_mma_lane *lane)
{
    static const char *const places[IQT_MMA_PLACES] = {
        [IQT_MMA_SAME] = "",
        [IQT_MMA_WORD] = " + 4u * own",
        [IQT_MMA_PAIR] = " + own / 2u * 4u",
        [IQT_MMA_ENDS] = " + (own == 2u ? 0u : 8u)",
    };

    iqt_emit_line(e, "uint q[PARTS][%u];", lane->loads);
    open_parts(e);
    iqt_emit_line(e, "(void)own;");
    for (uint32_t i = 0; i < lane->loads; i++)
        iqt_emit_line(e, "q[j][%u] = *(const uint *)(own_row%s + at + %uu);", i,
                      places[lane->load[i].place], 4u * lane->load[i].word);
    iqt_emit_close(e);
}

/* Bytes of the lane's row, as its decoder takes them. Where a part's two words are of two halves, both. */
static void emit_shifts(struct iqt_emit *e, const struct iqt_tile *t,
                        const struct iqt_mma_values *v, const struct iqt_mma_lane *lane)
{
    const bool halves = iqt_tile_halves(t) == 2,
               both = lane->x != IQT_MMA_X_EIGHT && halves;

    iqt_emit_line(e, "uint bits[2] = { 0u, 0u };");
    if (t->family == IQT_TILE_KT1)
        iqt_emit_line(e, "bits[0] = own_shifts[at];");
    for (uint32_t h = 0; v->shift_byte && h < (both ? 2u : 1u); h++) {
        iqt_emit_line(e, "bits[%u] = own_shifts[at + %uu * b + %uu%s];", h,
                      4u * iqt_tile_halves(t), 4u * h,
                      halves && !both ? " + own / 2u * 4u" : "");
        if (t->family == IQT_TILE_Q6) /* 0x65fb, one more in a shifted block, twice */
            iqt_emit_line(e, "bits[%u] = PERM(bits[%u], 0x65656565u, 0x04000400u);", h,
                          h);
        else if (t->format->trellis) /* the seed's bit 15 */
            iqt_emit_line(e, "bits[%u] = bits[%u] << 8;", h, h);
        else if (!v->adds_shift)
            iqt_emit_line(e, "bits[%u] = REPEAT(bits[%u], 0u);", h, h);
    }
}

/* The unit adds to 1.5 * 2^23 as an integer: the bits of a float that is as much larger. */
static void emit_products(struct iqt_emit *e, const struct iqt_tile *t,
                          const struct iqt_mma_values *v)
{
    const uint32_t halves = iqt_tile_halves(t);

    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint h = 0u; h < %uu; h++)", halves);
    iqt_emit_line(e, "ivec c = magic;");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint j = 0u; j < TERMS; j++)");
    iqt_emit_line(e, "    c = products(c, v + j, TERMS, x[b], h);");
    if (v->adds_shift) {
        iqt_emit_line(e, "if (!LIFTED)");
        iqt_emit_line(e, "    c = products(c, shift, 1u, x[b], h);");
    }
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint d = 0u; d < QUADS; d++)");
    iqt_emit_line(
        e,
        "uint from = (4u * m + d) * SCALES_STEP + 16u * (LANES * (%uu * b + h) + 4u * s + i);",
        halves);
    iqt_emit_line(e, "vec4 four = *(const vec4 *)(scales + from);");
    iqt_emit_line(e, "float scale[R] = { four.x, four.y, four.z, four.w };");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    iqt_emit_line(e, "float whole = FLOAT_OF((uint)c[R * d + r]) - 12582912.0f;");
    iqt_emit_line(e, "uint to = (QUADS * m + d) * R + r;");
    iqt_emit_line(e, "%s_sum[to] = FMA(scale[r] * dx[b], whole, %s_sum[to]);", e->prefix,
                  e->prefix);
    iqt_emit_close(e);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

/* The shift is one more product, or in the values. */
static void emit_own_table(struct iqt_emit *e, const struct iqt_mma_values *v)
{
    if (!v->adds_shift)
        return;
    iqt_emit_line(e, "shift[2u * j] = shift[2u * j + 1u] = REPEAT(bits[0], 0u);");
    iqt_emit_line(e, "uint own_t[TABLE];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint w = 0u; w < TABLE; w++)");
    iqt_emit_line(e, "    own_t[w] = LIFTED && bits[0] != 0u ? lifted[w] : t[w];");
}

static void emit_set(struct iqt_emit *e, const struct iqt_tile *t,
                     const struct iqt_mma_values *v, const struct iqt_mma_lane *lane)
{
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint m = 0u; m < SETS; m++)");
    iqt_emit_line(e, "if (PARTS > 1u || SETS > 1u)");
    iqt_emit_line(
        e, "    asm volatile(\"\" ::: \"memory\"); // this span's loads stay here");
    iqt_emit_line(e, "uint at = m * SET_STEP + (4u * s + i) * STEP;");
    emit_words(e, lane);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint b = 0u; b < 2u; b++)");
    iqt_emit_line(e, "uint v[2u * TERMS * PARTS];");
    if (v->adds_shift)
        iqt_emit_line(e, "uint shift[2u * PARTS];");
    open_parts(e);
    emit_shifts(e, t, v, lane);
    emit_own_table(e, v);
    iqt_emit_line(e, "values(q[j], b, own, bits, 0u, %s, v + 2u * TERMS * j);",
                  v->adds_shift ? "own_t" : "t");
    iqt_emit_close(e);
    emit_products(e, t, v);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

/* ---- The loop ---- */

static void emit_start(struct iqt_emit *e, const struct iqt_tile *t,
                       const struct iqt_mma_values *v)
{
    const struct iqt_mfma_shape s = iqt_mfma_shape_of(e->plan, IQT_MFMA_WAVE);

    iqt_emit_line(e, "uint supers = p.k / 256u;");
    iqt_emit_line(
        e, "uint c = column < p.cols ? column : p.cols - 1u; // or the last one again");
    iqt_emit_line(e, "const uchar *xq = (const uchar *)(xq4 + c * (p.k / 16u)) + wave * "
                     "SUPERS * 256u;");
    iqt_emit_line(e, "const uvec2 *xs = xs2 + c * (p.k / 32u) + wave * SUPERS * 8u;");
    iqt_emit_line(e, "uchar *copies = (uchar *)stage + wave * WAVE_STEP;");
    iqt_emit_line(e, "uchar *all_scales = copies + SCALES_AT;");
    iqt_emit_line(
        e, "uchar *put_scales = all_scales + (own_set * 4u + own_group) * SCALES_STEP + "
           "lane %% LANES * 16u;");
    iqt_emit_line(e, "uchar *put = copies + own_set * SET_STEP + GROUP_AT(own_group) + "
                     "lane %% LANES * STEP;");
    iqt_emit_line(e, "const uchar *own_tile = copies + GROUP_AT(OWN_GROUP);");
    iqt_emit_line(e, "const uchar *own_row = own_tile + OWN_ROW * %uu;", 4u * t->words);
    if (s.gap)
        iqt_emit_line(e, "own_row += OWN_ROW / 2u * %uu;", s.gap);
    iqt_emit_line(e, "const uchar *scales = all_scales + quad * SCALES_STEP;");
    if (has_bytes(t, v))
        iqt_emit_line(e, "const uchar *own_shifts = own_tile + %uu + OWN_ROW;",
                      s.shifts_at);
    iqt_emit_line(e, "const ivec magic = (ivec){ 0 } + 0x4b400000;");
}

void iqt_emit_mfma_spans(struct iqt_emit *e, const struct iqt_tile *t,
                         const struct iqt_mma_values *v)
{
    const struct iqt_mma_lane *lane = iqt_mma_lane_of(t->format, e->plan->dialect);

    iqt_emit_line(e, "float %s_sum[EACH];", e->prefix);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < EACH; i++)");
    iqt_emit_line(e, "    %s_sum[i] = 0.0f;", e->prefix);
    iqt_emit_scope(e);
    emit_start(e, t, v);
    iqt_emit_open(e, "for (uint u = wave * SUPERS; u < supers; u += CHUNKS * SUPERS)");
    emit_own_tile(e, t, v);
    iqt_emit_line(e, "SYNC_WAVE;");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint s = 0u; s < SUPERS; s++)");
    iqt_emit_line(e, "if (s > 0u && u + s >= supers) // all lanes");
    iqt_emit_line(e, "    break;");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < 4u; i++)");
    emit_columns(e, t, lane);
    emit_set(e, t, v, lane);
    iqt_emit_close(e);
    iqt_emit_close(e);
    iqt_emit_line(e, "xq += CHUNKS * SUPERS * 256u;");
    iqt_emit_line(e, "xs += CHUNKS * SUPERS * 8u;");
    iqt_emit_line(e, "SYNC_WAVE; // before the next copies");
    iqt_emit_close(e);
    iqt_emit_close(e);
}

/* ---- Sums ---- */

void iqt_emit_mfma_finish(struct iqt_emit *e)
{
    iqt_emit_line(e, "BARRIER; // the sums take the place of all waves' copies");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < EACH; i++)");
    iqt_emit_line(e, "w_parts[wave][i][lane] = w_sum[i];");
    if (e->plan->op == IQT_OP_GATED)
        iqt_emit_line(e, "gate_parts[wave][i][lane] = gate_sum[i];");
    iqt_emit_close(e);
    iqt_emit_line(e, "BARRIER;");
    iqt_emit_open(e, "for (uint i = wave; i < EACH; i += CHUNKS)");
    iqt_emit_line(e, "uint r = i %% R, c = column, group = quad + i / R %% QUADS;");
    iqt_emit_line(e, "uint own = first_row + i / R / QUADS * 16u + group * R;");
    iqt_emit_line(e, "uint row = own + r - p.skip; // wraps in front of the first row");
    iqt_emit_parts(e, "own * p.row_bytes", "j", "lane");
    iqt_emit_close(e);
}
