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

/* A field of one weight as a scalar: every plane from the smallest container. */
static void scalar_field(const struct iqt_emit *e, const struct iqt_field *f, uint32_t i,
                         struct iqt_buf *out)
{
    for (uint32_t n = 0; n < IQT_MAX_PLANES && f->plane[n].width; n++) {
        const struct iqt_plane *plane = &f->plane[n];
        struct iqt_place place = iqt_place_of(e->places, plane, i);
        const uint32_t shift = place.bit % 8;
        const uint32_t bytes = (shift + plane->width + 7) / 8,
                       load = bytes > 2 ? 4 : bytes;
        char where[64];

        /* Wide containers start early enough to end inside the superblock. */
        const uint32_t byte = place.bit / 8, last = iqt_place_base_bytes(e->places);
        const uint32_t back =
            !place.in_vec && byte + load > last ? byte + load - last : 0;
        place.bit -= 8 * back;
        address(e, place, where);
        iqt_buf_printf(out, "%s(u%u(%s) >> %u & 0x%xu) << %u", n ? " | " : "", 8 * load,
                       where, shift + 8 * back,
                       plane->width < 32 ? (1u << plane->width) - 1 : ~0u, plane->to);
    }
}

void iqt_emit_host_scalar(struct iqt_emit *e, const char *left, const struct iqt_field *f,
                          uint32_t i, const char *right)
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
        iqt_emit_host_scalar(e, left, f, weight, ");");
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
        iqt_emit_host_scalar(e, left, &f->code, i + g * t->group, ");");
        snprintf(left, sizeof(left), "seed[%u] += %uu * (", g, t->shift_add);
        if (t->shift_add)
            iqt_emit_host_scalar(e, left, &f->shift, i + g * t->group, ");");
    }
    iqt_emit_line(e, "v32 value = trellis(seed, %u, power, 0x%08xu, %d);", t->group,
                  t->mask, t->centre);
    if (t->magnitude) {
        emit_codes(e, &f->sign, i, 1, "sign");
        iqt_emit_line(e, "value = magnitude(value, sign);");
    }
}

static void emit_fours(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;

    iqt_emit_line(e, "uint32_t four[8];");
    for (uint32_t word = 0; word < 8; word++) {
        char left[64];

        snprintf(left, sizeof(left), "four[%u] = fours[", word);
        iqt_emit_host_scalar(e, left, &f->code, i + 4 * word, "];");
    }
    emit_codes(e, &f->sign, i, 1, "sign");
    iqt_emit_line(e, "v32 value = magnitude(load32((const uint8_t *)four), sign);");
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
        iqt_emit_line(e, "v32 value = lut_pairs(code, table, table_odd);");
    else
        iqt_emit_line(e, "v32 value = lut%u(code, table);",
                      c->count < 16 ? 16 : c->count);
    if (iqt_host_has_shifts(e))
        iqt_emit_line(e, "value = add_spread(value, shift[r], %u, %u);", i / f->block,
                      (i + 16) / f->block);
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

void iqt_emit_host_block(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    const uint32_t first = i / f->block, second = (i + 16) / f->block;

    iqt_emit_line(e, "{ // weights %u .. %u", i, i + 31);
    e->indent++;
    iqt_emit_line(e, "v32 v[R];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (int r = 0; r < R; r++)");
    if (f->decode == IQT_DECODE_TRELLIS)
        emit_trellis(e, i);
    else if (f->decode == IQT_DECODE_CODEBOOK)
        emit_codebook(e, i);
    else
        emit_linear(e, i);
    iqt_emit_line(e, "v[r] = value;");
    iqt_emit_close(e);
    iqt_emit_open(e, "for (uint32_t c = 0; c < COLS; c++)");
    iqt_emit_line(e, "const v32 x = load32(xq + c * k + %u);", i);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (int r = 0; r < R; r++)");
    iqt_emit_line(e,
                  "sum[r][c][%u] = fma_i(spread(factor[r][c][%u], %u, %u), dot(v[r], x), "
                  "sum[r][c][%u]);",
                  i / 32 % 2, first / 8, first % 8, second % 8, i / 32 % 2);
    if (iqt_has_min(f)) {
        iqt_emit_line(e, "const struct iqt_xs *s = xs + c * (k / 32) + %u;", i / 32);
        iqt_emit_line(e,
                      "below[r][c] += s->d * (least[r][%u] * (float)s->sum[0] + "
                      "least[r][%u] * (float)s->sum[1]);",
                      first, second);
    }
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
