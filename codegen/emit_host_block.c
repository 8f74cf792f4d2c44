/* Blocks of the host dialect: 32 weights in one vector of int8 lanes. Decides what to load and in which
 * order; the operations are spelled in prelude_host*.h. */
#include "codegen/emit_host.h"

#include <assert.h>
#include <stdio.h>

void iqt_host_address(const struct iqt_emit *e, struct iqt_place place, char out[64])
{
    const uint32_t vecs = e->places->packing.vecs;

    if (place.in_vec)
        snprintf(out, 64, "vec[r] + 16 * (%u * units + %u) + %u", place.number % vecs,
                 place.number / vecs, place.bit / 8);
    else
        snprintf(out, 64, "at[r] + %u", place.bit / 8);
}

/* Bits on top of a vector's elements, from the element of `place` on. */
static void scalar_tops(const struct iqt_emit *e, const struct iqt_plane *plane,
                        struct iqt_place place, struct iqt_buf *out)
{
    const uint32_t element = place.bit / 16;
    char where[64];

    place.bit = 0;
    iqt_host_address(e, place, where);
    iqt_buf_printf(out, "(word_bits(%s, 15) >> %u & 0x%xu) << %u", where, element,
                   (1u << plane->width) - 1, plane->to);
}

/* A field of one weight as a scalar: every plane from the smallest container. */
static void scalar_field(const struct iqt_emit *e, const struct iqt_field *f, uint32_t i,
                         struct iqt_buf *out)
{
    for (uint32_t n = 0; n < IQT_MAX_PLANES && f->plane[n].width; n++) {
        iqt_buf_printf(out, "%s", n ? " | " : "");
        const struct iqt_plane joined = iqt_place_joined(e->places, f, i, &n);
        const struct iqt_plane *plane = &joined;
        struct iqt_place place = iqt_place_of(e->places, plane, i);
        const uint32_t shift = place.bit % 8;
        const uint32_t bytes = (shift + plane->width + 7) / 8,
                       load = bytes > 2 ? 4 : bytes;
        char where[64];

        if (iqt_place_is_apart(e->places, plane)) {
            scalar_tops(e, plane, place, out);
            continue;
        }

        /* Wide containers start early enough to end inside the superblock. */
        const uint32_t byte = place.bit / 8, last = iqt_place_base_bytes(e->places);
        const uint32_t back =
            !place.in_vec && byte + load > last ? byte + load - last : 0;
        place.bit -= 8 * back;
        iqt_host_address(e, place, where);
        iqt_buf_printf(out, "(u%u(%s) >> %u & 0x%xu) << %u", 8 * load, where,
                       shift + 8 * back,
                       plane->width < 32 ? (1u << plane->width) - 1 : ~0u, plane->to);
    }
}

/* Whether the bits of a field are the lowest bits of the last of eight 16-bit words; then where the words are. */
static bool is_word_bits(const struct iqt_emit *e, const struct iqt_field *f, uint32_t i,
                         char where[64])
{
    const uint32_t width = iqt_field_width(f), skipped = 16 * (8 - width);
    struct iqt_place first = iqt_place_of(e->places, &f->plane[0], i);

    if (width < 2 || width > 8 || first.bit % 8 != 0 || first.bit < skipped ||
        iqt_place_is_apart(e->places, &f->plane[0]))
        return false;
    for (uint32_t n = 0; n < width; n++) {
        const struct iqt_place place = iqt_place_of(e->places, &f->plane[n], i);

        if (f->plane[n].width != 1 || f->plane[n].to != n ||
            place.in_vec != first.in_vec || place.number != first.number ||
            place.bit != first.bit + 16 * n)
            return false;
    }
    first.bit -= skipped;
    iqt_host_address(e, first, where);
    return true;
}

void iqt_emit_host_scalar(struct iqt_emit *e, const char *left, const struct iqt_field *f,
                          uint32_t i, const char *right)
{
    struct iqt_buf b = { 0 };
    char where[64];

    if (is_word_bits(e, f, i, where))
        iqt_buf_printf(&b, "word_bits(%s, 0) >> %u", where, 8 - iqt_field_width(f));
    else
        scalar_field(e, f, i, &b);
    iqt_emit_line(e, "%s%s%s", left, iqt_buf_text(&b), right);
    iqt_buf_free(&b);
}

/* Sixteen elements in consecutive bytes at one shift. */
static bool is_run(const struct iqt_emit *e, const struct iqt_plane *plane, uint32_t i,
                   uint32_t weights)
{
    const struct iqt_place first = iqt_place_of(e->places, plane, i);

    for (uint32_t j = 1; j < 16; j++) {
        const struct iqt_place place = iqt_place_of(e->places, plane, i + j * weights);

        if (place.in_vec != first.in_vec || place.number != first.number ||
            place.bit != first.bit + 8 * j)
            return false;
    }
    return first.bit % 8 + plane->width <= 8;
}

/* 16 lanes of a vector are a part. Pairs: both parts of a half have the same codes. */
static uint32_t first_of_part(uint32_t i, uint32_t weights, uint32_t part)
{
    return weights == 2 ? i + part / 2 * 32 : i + 16 * part;
}

static bool same_vector(struct iqt_place a, struct iqt_place b, uint32_t bytes_apart)
{
    return a.in_vec == b.in_vec && a.number == b.number &&
           a.bit / 8 + bytes_apart == b.bit / 8;
}

/* The bytes of two parts. */
static void emit_pair(const struct iqt_emit *e, const struct iqt_place *p,
                      struct iqt_buf *out)
{
    char a[64], b[64];

    iqt_host_address(e, p[0], a);
    iqt_host_address(e, p[1], b);
    if (same_vector(p[0], p[1], 0))
        iqt_buf_printf(out, "load16(%s)", a);
    else if (same_vector(p[0], p[1], 16))
        iqt_buf_printf(out, "load32(%s)", a);
    else
        iqt_buf_printf(out, "load16_16(%s, %s)", a, b);
}

static void emit_parts(const struct iqt_emit *e, const struct iqt_place p[4],
                       struct iqt_buf *out)
{
    bool same = true, run = true;
    char first[64];

    if (e->lanes == 32) {
        emit_pair(e, p, out);
        return;
    }
    for (uint32_t n = 1; n < 4; n++) {
        same = same && same_vector(p[0], p[n], 0);
        run = run && same_vector(p[0], p[n], 16 * n);
    }
    iqt_host_address(e, p[0], first);
    if (same || run) {
        iqt_buf_printf(out, same ? "quarters(%s)" : "load64(%s)", first);
        return;
    }
    if (same_vector(p[0], p[1], 0) && same_vector(p[2], p[3], 0)) {
        char second[64];

        iqt_host_address(e, p[2], second);
        iqt_buf_printf(out, "halves(%s, %s)", first, second);
        return;
    }
    iqt_buf_printf(out, "join(");
    emit_pair(e, p, out);
    iqt_buf_printf(out, ", ");
    emit_pair(e, p + 2, out);
    iqt_buf_printf(out, ")");
}

/* What is above the codes does not matter to a wide table: it is not masked. */
static bool is_loose(const struct iqt_emit *e, const struct iqt_field *f)
{
    const struct iqt_format *format = e->plan->format;

    return e->lanes == 64 && format->decode == IQT_DECODE_CODEBOOK &&
           format->codebook->dim < 4 && f == &format->code;
}

/* One plane of all lanes (pairs: 16 codes in both parts of a half) as an expression; false when its bits
 * have no such order. Loose: at its place among the bits of the code, others beside it. */
static bool vector_plane(const struct iqt_emit *e, const struct iqt_field *f,
                         const struct iqt_plane *plane, uint32_t i, uint32_t weights,
                         struct iqt_buf *out)
{
    const bool gray = e->plan->format->gray && f == &e->plan->format->code;
    const bool loose = is_loose(e, f);
    const uint32_t parts = e->lanes / 16;
    struct iqt_place p[4];

    for (uint32_t n = 0; n < parts; n++) {
        const uint32_t first = first_of_part(i, weights, n);

        if (!is_run(e, plane, first, weights))
            return false;
        p[n] = iqt_place_of(e->places, plane, first);
    }
    iqt_buf_printf(out, "%s(%s", loose ? "turn" : "field", gray ? "degray(" : "");
    emit_parts(e, p, out);
    iqt_buf_printf(out, "%s, ", gray ? ")" : "");
    for (uint32_t n = 0; n < parts; n++)
        iqt_buf_printf(out, "%d%s", (int)(p[n].bit % 8) - (loose ? plane->to : 0),
                       n + 1 < parts ? ", " : "");
    if (!loose)
        iqt_buf_printf(out, ", %u, %u", (1u << plane->width) - 1, plane->to);
    iqt_buf_printf(out, ")");
    return true;
}

/* Codes whose bits lie in no vector's order are gathered one by one. */
static void emit_gather(struct iqt_emit *e, const struct iqt_field *f, uint32_t i,
                        uint32_t weights, const char *name)
{
    iqt_emit_line(e, "uint8_t %s_lane[%u];", name, e->lanes);
    for (uint32_t lane = 0; lane < e->lanes; lane++) {
        char left[64];
        const uint32_t weight =
            first_of_part(i, weights, lane / 16) + lane % 16 * weights;

        snprintf(left, sizeof(left), "%s_lane[%u] = (uint8_t)(", name, lane);
        iqt_emit_host_scalar(e, left, f, weight, ");");
    }
    iqt_emit_line(e, "vbytes %s = load%u(%s_lane);", name, e->lanes, name);
}

/* vbytes <name>: the codes of all weights of a vector, or of 16 pairs twice. */
static void emit_codes(struct iqt_emit *e, const struct iqt_field *f, uint32_t i,
                       uint32_t weights, const char *name)
{
    struct iqt_buf b = { 0 };
    bool ok = true;

    for (uint32_t n = 0; ok && n < IQT_MAX_PLANES && f->plane[n].width; n++) {
        struct iqt_buf one = { 0 };

        ok = vector_plane(e, f, &f->plane[n], i, weights, &one);
        if (n == 0)
            iqt_buf_printf(&b, "%s", iqt_buf_text(&one));
        else {
            struct iqt_buf both = { 0 };
            iqt_buf_printf(&both, "%s(%s, %s", is_loose(e, f) ? "choose" : "either",
                           iqt_buf_text(&b), iqt_buf_text(&one));
            if (is_loose(e, f))
                iqt_buf_printf(&both, ", %u",
                               ((1u << f->plane[n].width) - 1) << f->plane[n].to);
            iqt_buf_printf(&both, ")");
            iqt_buf_free(&b);
            b = both;
        }
        iqt_buf_free(&one);
    }
    assert(ok || !e->plan->format->gray);
    if (ok)
        iqt_emit_line(e, "vbytes %s = %s;", name, iqt_buf_text(&b));
    else
        emit_gather(e, f, i, weights, name);
    iqt_buf_free(&b);
}

/* seed: what the states of each group begin with. */
static void emit_seeds(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    const struct iqt_trellis *t = f->trellis;

    iqt_emit_line(e, "uint32_t seed[%u];", e->lanes / t->group);
    for (uint32_t g = 0; g < e->lanes / t->group; g++) {
        char left[64];

        snprintf(left, sizeof(left), "seed[%u] = %uu + (", g, t->seed_add);
        iqt_emit_host_scalar(e, left, &f->code, i + g * t->group, ");");
        snprintf(left, sizeof(left), "seed[%u] += %uu * (", g, t->shift_add);
        if (t->shift_add)
            iqt_emit_host_scalar(e, left, &f->shift, i + g * t->group, ");");
    }
}

/* The same, all at once. */
static void emit_wide_seeds(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    const struct iqt_trellis *t = f->trellis;
    const struct iqt_lanes groups = { i, t->group, e->lanes / t->group, false };

    iqt_emit_host_lanes(e, "seed", &f->code, groups);
    iqt_emit_line(e, "seed = add_i(seed, set_i(%u));", t->seed_add);
    if (t->shift_add) {
        iqt_emit_host_lanes(e, "second", &f->shift, groups);
        iqt_emit_line(e, "seed = add_i(seed, mul_i(second, %u));", t->shift_add);
    }
}

static void emit_trellis(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    const struct iqt_trellis *t = f->trellis;

    if (e->lanes == 32)
        emit_seeds(e, i);
    else
        emit_wide_seeds(e, i);
    iqt_emit_line(e, "vbytes value = trellis(seed, %u, power, 0x%08xu, %d%s);", t->group,
                  t->mask, t->centre, t->magnitude ? "" : " - BIAS");
    if (t->magnitude) {
        emit_codes(e, &f->sign, i, 1, "sign");
        iqt_emit_line(e, "value = add_bytes(magnitude(value, sign), BIAS);");
    }
}

/* text, then the block of each part, counted from that of weight `from`, then the end. */
static void emit_blocks_of_parts(struct iqt_emit *e, const char *text, uint32_t i,
                                 uint32_t from, const char *end)
{
    const uint32_t block = e->plan->format->block;
    struct iqt_buf b = { 0 };

    for (uint32_t n = 0; n < e->lanes / 16; n++)
        iqt_buf_printf(&b, ", %u", (i + 16 * n) / block - from / block);
    iqt_emit_line(e, "%s%s%s", text, iqt_buf_text(&b), end);
    iqt_buf_free(&b);
}

static void emit_fours(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;

    iqt_emit_line(e, "uint32_t four[%u];", e->lanes / 4);
    for (uint32_t word = 0; word < e->lanes / 4; word++) {
        char left[64];

        snprintf(left, sizeof(left), "four[%u] = fours[", word);
        iqt_emit_host_scalar(e, left, &f->code, i + 4 * word, "];");
    }
    emit_codes(e, &f->sign, i, 1, "sign");
    iqt_emit_line(e, "vbytes value = magnitude(load%u((const uint8_t *)four), sign);",
                  e->lanes);
    iqt_emit_line(e, "value = add_bytes(value, BIAS);");
}

static void emit_codebook(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    const struct iqt_codebook *c = f->codebook;

    if (c->dim == 4) {
        emit_fours(e, i);
        return;
    }
    emit_codes(e, &f->code, i, c->dim, "code");
    if (c->dim == 2)
        iqt_emit_line(e, "vbytes value = lut_pairs(code, table, table_odd);");
    else
        iqt_emit_line(e, "vbytes value = lut%u(code, table);",
                      e->lanes == 64  ? 64
                      : c->count < 16 ? 16
                                      : c->count);
}

static void emit_linear(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;

    emit_codes(e, &f->code, i, 1, "value");
    if (f->code_signed && f->code_signed < 8) {
        const int sign = 1 << (f->code_signed - 1);

        iqt_emit_line(e, "value = add_bytes(xor_bytes(value, %d), %d);", sign, -sign);
    }
    iqt_emit_line(e, "value = add_bytes(value, BIAS + %d);", f->code_add);
}

/* vfloats by: the scales of a vector's blocks, from a lane each. */
static void emit_spread(struct iqt_emit *e, const char *name, const char *lanes,
                        uint32_t i)
{
    const uint32_t block = e->plan->format->block, group = e->lanes / 4;
    const uint32_t first = i / block / group;
    char text[96];

    snprintf(text, sizeof(text), "%s = spread(%s[%u]", name, lanes, first);
    emit_blocks_of_parts(e, text, i, first * group * block, ");");
}

static void emit_weights(struct iqt_emit *e, uint32_t i)
{
    const enum iqt_decode decode = e->plan->format->decode;

    if (decode == IQT_DECODE_TRELLIS)
        emit_trellis(e, i);
    else if (decode == IQT_DECODE_CODEBOOK)
        emit_codebook(e, i);
    else
        emit_linear(e, i);
}

/* One column: scales of weights and of x are multiplied for a superblock at once. */
static void emit_one_column(struct iqt_emit *e, uint32_t i)
{
    const uint32_t chain = i / e->lanes % iqt_host_chains(e);

    iqt_emit_line(e, "const vbytes x = load%u(xq + %u);", e->lanes, i);
    iqt_emit_line(e, "const vints from = start(starts + %u);", i / 4);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (int r = 0; r < R; r++)");
    emit_weights(e, i);
    emit_spread(e, "const vfloats by", "factor[r]", i);
    iqt_emit_line(e, "const vints products = dot(value, x, from);");
    iqt_emit_line(e, "sum[r][0][%u] = fma_i(by, products, sum[r][0][%u]);", chain, chain);
}

/* Many columns: all that depends on weights alone comes before them. */
static void emit_columns(struct iqt_emit *e, uint32_t i)
{
    const uint32_t chain = i / e->lanes % iqt_host_chains(e);

    iqt_emit_line(e, "vbytes v[R];");
    iqt_emit_line(e, "vints from[R];");
    iqt_emit_line(e, "vfloats by[R];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (int r = 0; r < R; r++)");
    emit_weights(e, i);
    iqt_emit_line(e, "v[r] = value;");
    iqt_emit_line(e, "from[r] = start_many(value);");
    emit_spread(e, "by[r]", "scale[r]", i);
    iqt_emit_close(e);
    iqt_emit_open(e, "for (uint32_t c = 0; c < COLS; c++)");
    iqt_emit_line(e, "const vbytes x = load%u(xq + c * k + %u);", e->lanes, i);
    iqt_emit_line(e, "const vfloats dx = load_dx(xs + c * (k / 32) + %u);", i / 32);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (int r = 0; r < R; r++)");
    iqt_emit_line(e, "const vints products = dot_many(v[r], x, from[r]);");
    iqt_emit_line(e, "sum[r][c][%u] = fma_i(mul_f(by[r], dx), products, sum[r][c][%u]);",
                  chain, chain);
}

void iqt_emit_host_block(struct iqt_emit *e, uint32_t i)
{
    const bool one = e->plan->n == 1;

    iqt_emit_line(e, "{ // weights %u .. %u", i, i + e->lanes - 1);
    e->indent++;
    if (one)
        emit_one_column(e, i);
    else
        emit_columns(e, i);
    iqt_emit_close(e);
    if (!one)
        iqt_emit_close(e);
    iqt_emit_close(e);
}

/* Eight float weights; packed vectors hold eight halves or four singles. */
void iqt_emit_host_floats(struct iqt_emit *e, uint32_t i)
{
    static const char *const load[] = { "load_f16", "load_bf16", "load_f32" };
    const struct iqt_format *f = e->plan->format;
    char a[64], b[64];

    iqt_host_address(e, iqt_place_of(e->places, &f->code.plane[0], i), a);
    iqt_host_address(e, iqt_place_of(e->places, &f->code.plane[0], i + 4), b);
    iqt_emit_open(e, "for (uint32_t c = 0; c < COLS; c++)");
    iqt_emit_line(e, "const uint8_t *x = xq + 4 * (c * k + %u);", i);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (int r = 0; r < R; r++)");
    iqt_emit_line(
        e, "    sum[r][c][%u] = fma_f(%s(%s, %s), load_f32(x, x + 16), sum[r][c][%u]);",
        i / 8 % 2, load[f->element], a, b, i / 8 % 2);
    iqt_emit_close(e);
}
