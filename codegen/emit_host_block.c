/* Blocks of the host dialect: 32 weights in one vector of int8 lanes. Decides what to load and in which
 * order; the operations are spelled in prelude_host*.h. */
#include "codegen/emit_host.h"

#include <assert.h>
#include <stdio.h>

/* Address of the byte that holds a place. */
static void address(const struct iqt_emit *e, struct iqt_place place, char out[64])
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
    address(e, place, where);
    iqt_buf_printf(out, "(tops(%s) >> %u & 0x%xu) << %u", where, element,
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
        address(e, place, where);
        iqt_buf_printf(out, "(u%u(%s) >> %u & 0x%xu) << %u", 8 * load, where,
                       shift + 8 * back,
                       plane->width < 32 ? (1u << plane->width) - 1 : ~0u, plane->to);
    }
}

static void emit_scalar_line(struct iqt_emit *e, const char *left,
                             const struct iqt_field *f, uint32_t i, const char *right)
{
    struct iqt_buf b = { 0 };

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

/* One plane of 32 lanes (or 16 pair codes in both halves) as an expression; false when its bits
 * have no such order. */
static bool vector_plane(const struct iqt_emit *e, const struct iqt_plane *plane,
                         uint32_t i, uint32_t weights, bool gray, struct iqt_buf *out)
{
    const uint32_t second = weights == 2 ? i : i + 16;
    char a[64], b[64];

    if (!is_run(e, plane, i, weights) || !is_run(e, plane, second, weights))
        return false;
    const struct iqt_place low = iqt_place_of(e->places, plane, i);
    const struct iqt_place high = iqt_place_of(e->places, plane, second);
    const bool same = low.in_vec == high.in_vec && low.number == high.number;
    address(e, low, a);
    address(e, high, b);
    iqt_buf_printf(out, "field(%s", gray ? "degray(" : "");
    if (same && low.bit / 8 == high.bit / 8)
        iqt_buf_printf(out, "load16(%s)", a);
    else if (same && low.bit / 8 + 16 == high.bit / 8)
        iqt_buf_printf(out, "load32(%s)", a);
    else
        iqt_buf_printf(out, "load16_16(%s, %s)", a, b);
    iqt_buf_printf(out, "%s, %u, %u, %u, %u)", gray ? ")" : "", low.bit % 8, high.bit % 8,
                   (1u << plane->width) - 1, plane->to);
    return true;
}

/* Codes whose bits lie in no vector's order are gathered one by one. */
static void emit_gather(struct iqt_emit *e, const struct iqt_field *f, uint32_t i,
                        uint32_t weights, const char *name)
{
    iqt_emit_line(e, "uint8_t %s_lane[32];", name);
    for (uint32_t lane = 0; lane < 32; lane++) {
        char left[64];
        const uint32_t weight = weights == 2 ? i + lane % 16 * 2 : i + lane;

        snprintf(left, sizeof(left), "%s_lane[%u] = (uint8_t)(", name, lane);
        emit_scalar_line(e, left, f, weight, ");");
    }
    iqt_emit_line(e, "v32 %s = load32(%s_lane);", name, name);
}

/* v32 <name>: the codes of 32 weights, or of 16 pairs twice. */
static void emit_codes(struct iqt_emit *e, const struct iqt_field *f, uint32_t i,
                       uint32_t weights, const char *name)
{
    const bool gray = e->plan->format->gray && f == &e->plan->format->code;
    struct iqt_buf b = { 0 };
    bool ok = true;

    for (uint32_t n = 0; ok && n < IQT_MAX_PLANES && f->plane[n].width; n++) {
        struct iqt_buf one = { 0 };

        ok = vector_plane(e, &f->plane[n], i, weights, gray, &one);
        if (n == 0)
            iqt_buf_printf(&b, "%s", iqt_buf_text(&one));
        else {
            struct iqt_buf both = { 0 };
            iqt_buf_printf(&both, "either(%s, %s)", iqt_buf_text(&b), iqt_buf_text(&one));
            iqt_buf_free(&b);
            b = both;
        }
        iqt_buf_free(&one);
    }
    assert(ok || !gray);
    if (ok)
        iqt_emit_line(e, "v32 %s = %s;", name, iqt_buf_text(&b));
    else
        emit_gather(e, f, i, weights, name);
    iqt_buf_free(&b);
}

static void emit_trellis(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    const struct iqt_trellis *t = f->trellis;

    iqt_emit_line(e, "uint32_t seed[%u];", 32u / t->group);
    for (uint32_t g = 0; g < 32u / t->group; g++) {
        char left[64];

        snprintf(left, sizeof(left), "seed[%u] = %uu + (", g, t->seed_add);
        emit_scalar_line(e, left, &f->code, i + g * t->group, ");");
        snprintf(left, sizeof(left), "seed[%u] += %uu * (", g, t->shift_add);
        if (t->shift_add)
            emit_scalar_line(e, left, &f->shift, i + g * t->group, ");");
    }
    iqt_emit_line(e, "v32 value = trellis(seed, %u, power, 0x%08xu, %d);", t->group,
                  t->mask, t->centre);
    if (t->magnitude) {
        emit_codes(e, &f->sign, i, 1, "sign");
        iqt_emit_line(e, "value = magnitude(value, sign);");
    }
}

/* Shift bits of the two halves of 32 weights, as shift0 and shift1. */
static void emit_shifts(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;

    emit_scalar_line(e, "const uint32_t shift0 = ", &f->shift, i, ";");
    if (f->block == 16)
        emit_scalar_line(e, "const uint32_t shift1 = ", &f->shift, i + 16, ";");
}

static void emit_fours(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;

    iqt_emit_line(e, "uint32_t four[8];");
    for (uint32_t word = 0; word < 8; word++) {
        char left[64];

        snprintf(left, sizeof(left), "four[%u] = fours[", word);
        emit_scalar_line(e, left, &f->code, i + 4 * word, "];");
    }
    emit_codes(e, &f->sign, i, 1, "sign");
    iqt_emit_line(e, "v32 value = magnitude(load32((const uint8_t *)four), sign);");
}

static void emit_codebook(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    const struct iqt_codebook *c = f->codebook;
    const bool shifts = !iqt_field_empty(&f->shift);

    if (c->dim == 4) {
        emit_fours(e, i);
        return;
    }
    emit_codes(e, &f->code, i, c->dim, "code");
    if (shifts)
        emit_shifts(e, i);
    if (c->dim == 2) {
        iqt_emit_line(e, "v32 value = lut_pairs(code, table, table_odd);");
        return;
    }
    if (c->count <=
        16) { /* the shift bit picks one of two tables: no arithmetic, no branch */
        iqt_emit_line(e, !shifts ? "v32 value = lut16(code, table);"
                         : f->block == 32
                             ? "v32 value = lut16(code, table + 16 * shift0);"
                             : "v32 value = lut16_16(code, table + 16 * shift0, "
                               "table + 16 * shift1);");
        return;
    }
    iqt_emit_line(e, "v32 value = lut%u(code, table);", c->count);
    if (shifts)
        iqt_emit_line(e,
                      "value = add_halves(value, (int)shift0 * %d, (int)shift%d * %d);",
                      c->shift, f->block == 16, c->shift);
}

static void emit_linear(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;

    emit_codes(e, &f->code, i, 1, "value");
    if (f->code_signed && f->code_signed < 8) {
        const int sign = 1 << (f->code_signed - 1);

        iqt_emit_line(e, "value = add_bytes(xor_bytes(value, %d), %d);", sign, -sign);
    }
    if (f->code_add)
        iqt_emit_line(e, "value = add_bytes(value, %d);", f->code_add);
}

static void emit_int_scale(struct iqt_emit *e, const char *name,
                           const struct iqt_scale *s, uint32_t i)
{
    struct iqt_buf raw = { 0 }, sign = { 0 };

    if (iqt_field_empty(&s->raw)) {
        iqt_emit_line(e, "int %s = %d;", name, s->add);
        return;
    }
    scalar_field(e, &s->raw, i, &raw);
    if (s->table)
        iqt_emit_line(e, "int %s = scale_table[%s];", name, iqt_buf_text(&raw));
    else if (s->is_signed)
        iqt_emit_line(e, "int %s = ((int)(%s) ^ %d) - %d;", name, iqt_buf_text(&raw),
                      1 << (s->is_signed - 1), 1 << (s->is_signed - 1));
    else
        iqt_emit_line(e, "int %s = (int)(%s);", name, iqt_buf_text(&raw));
    if (!s->table && (s->mul != 1 || s->add))
        iqt_emit_line(e, "%s = %s * %d + %d;", name, name, s->mul, s->add);
    if (!iqt_field_empty(&s->negative)) {
        scalar_field(e, &s->negative, i, &sign);
        /* a branch on random bits would be mispredicted every other time */
        iqt_emit_line(e, "%s = (%s ^ -(int)(%s)) + (int)(%s);", name, name,
                      iqt_buf_text(&sign), iqt_buf_text(&sign));
    }
    iqt_buf_free(&raw);
    iqt_buf_free(&sign);
}

/* factor[r]: block scale times float scale, for each lane. */
static void emit_factor(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;

    if (iqt_field_empty(&f->scale.raw)) {
        iqt_emit_line(e, "factor[r] = set_f(d[r]);");
        return;
    }
    emit_int_scale(e, "scale0", &f->scale, i);
    if (f->block == 32) {
        iqt_emit_line(e, "factor[r] = set_f(d[r] * (float)scale0);");
        return;
    }
    emit_int_scale(e, "scale1", &f->scale, i + 16);
    iqt_emit_line(e, "factor[r] = halves_f(d[r] * (float)scale0, d[r] * (float)scale1);");
}

static void emit_minimum(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;

    emit_int_scale(e, "least0", &f->min, i);
    iqt_emit_line(e, "least[r][0] = dmin[r] * (float)least0;");
    if (f->block == 16) {
        emit_int_scale(e, "least1", &f->min, i + 16);
        iqt_emit_line(e, "least[r][1] = dmin[r] * (float)least1;");
    } else {
        iqt_emit_line(e, "least[r][1] = least[r][0];");
    }
}

void iqt_emit_host_block(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    const bool min = iqt_has_min(f);

    iqt_emit_line(e, "{ // weights %u .. %u", i, i + 31);
    e->indent++;
    iqt_emit_line(e, "v32 v[R];");
    iqt_emit_line(e, "v8f factor[R];");
    if (min)
        iqt_emit_line(e, "float least[R][2];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (int r = 0; r < R; r++)");
    if (f->decode == IQT_DECODE_TRELLIS)
        emit_trellis(e, i);
    else if (f->decode == IQT_DECODE_CODEBOOK)
        emit_codebook(e, i);
    else
        emit_linear(e, i);
    iqt_emit_line(e, "v[r] = value;");
    emit_factor(e, i);
    if (min)
        emit_minimum(e, i);
    iqt_emit_close(e);
    iqt_emit_open(e, "for (uint32_t c = 0; c < COLS; c++)");
    iqt_emit_line(e, "const struct iqt_xs *s = xs + c * (k / 32) + %u;", i / 32);
    iqt_emit_line(e, "const v32 x = load32(xq + c * k + %u);", i);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (int r = 0; r < R; r++)");
    iqt_emit_line(
        e,
        "sum[r][c][%u] = fma_i(mul_f(factor[r], set_f(s->d)), dot(v[r], x), sum[r][c][%u]);",
        i / 32 % 2, i / 32 % 2);
    if (min)
        iqt_emit_line(e, "below[r][c] += s->d * (least[r][0] * (float)s->sum[0] + "
                         "least[r][1] * (float)s->sum[1]);");
    iqt_emit_close(e);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

/* Eight float weights; packed vectors hold eight halves or four singles. */
void iqt_emit_host_floats(struct iqt_emit *e, uint32_t i)
{
    static const char *const load[] = { "load_f16", "load_bf16", "load_f32" };
    const struct iqt_format *f = e->plan->format;
    char a[64], b[64];

    address(e, iqt_place_of(e->places, &f->code.plane[0], i), a);
    address(e, iqt_place_of(e->places, &f->code.plane[0], i + 4), b);
    iqt_emit_open(e, "for (uint32_t c = 0; c < COLS; c++)");
    iqt_emit_line(e, "const uint8_t *x = xq + 4 * (c * k + %u);", i);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (int r = 0; r < R; r++)");
    iqt_emit_line(
        e, "    sum[r][c][%u] = fma_f(%s(%s, %s), load_f32(x, x + 16), sum[r][c][%u]);",
        i / 8 % 2, load[f->element], a, b, i / 8 % 2);
    iqt_emit_close(e);
}
