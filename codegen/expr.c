/* Expressions that read fields: from loaded vectors, or from memory beside them. The text is in
 * the common subset of GLSL and C++. Knows places, not whole kernels. */
#include "codegen/emit.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct expr {
    char *out;
    size_t bytes;
};

static void put(struct expr *x, const char *fmt, ...) IQT_PRINTF(2, 3);
static void put(struct expr *x, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    const int n = vsnprintf(x->out + x->bytes, IQT_EXPR_BYTES - x->bytes, fmt, args);
    va_end(args);
    assert(n >= 0 && x->bytes + (size_t)n < IQT_EXPR_BYTES);
    x->bytes += (size_t)n;
}

/* Sum over the part number's bits of that bit times its stride; byte or bit share of each. */
struct part_offset {
    char text[96]; /* "" when 0 */
    uint32_t most; /* largest value */
};

static struct part_offset part_offset(const struct iqt_emit *e,
                                      const struct iqt_plane *plane, bool bytes)
{
    struct part_offset o = { "", 0 };
    uint32_t stride[IQT_INDEX_BITS], bits = 0;
    bool doubling = true;

    while (1u << bits < e->places->parts) {
        const uint32_t s = iqt_place_part_stride(e->places, plane, bits);

        stride[bits] = bytes ? s / 8 : s % 8;
        doubling = doubling && (bits == 0 || stride[bits] == 2 * stride[bits - 1]);
        o.most += stride[bits++];
    }
    if (o.most == 0)
        return o;
    if (doubling) {
        snprintf(o.text, sizeof(o.text), " + part * %uu", stride[0]);
        return o;
    }
    for (uint32_t j = 0; j < bits; j++) {
        const size_t at = strlen(o.text);

        if (stride[j])
            snprintf(o.text + at, sizeof(o.text) - at, " + (part >> %u & 1u) * %uu", j,
                     stride[j]);
    }
    return o;
}

static void put_vec_word(const struct iqt_emit *e, struct expr *x, struct iqt_place place,
                         bool gray)
{
    put(x, gray ? "degray(q[r * V + %uu].%c)" : "q[r * V + %uu].%c", place.number,
        "xyzw"[place.bit / 32]);
    (void)e;
}

/* Whether every part's byte offset keeps addresses aligned. */
static bool keeps_aligned(const struct iqt_emit *e, const struct iqt_plane *plane,
                          uint32_t bytes)
{
    for (uint32_t j = 0; 1u << j < e->places->parts; j++)
        if (iqt_place_part_stride(e->places, plane, j) / 8 % bytes != 0)
            return false;
    return true;
}

/* The smallest container, 8, 16 or 32 bits, that holds the field at an address that accessors of
 * this alignment can read; 0 when it crosses them all. GLSL reads words, whatever it wants of them: a
 * whole one needs no shift that only the address tells, and fields share it. */
static uint32_t container(const struct iqt_emit *e, const struct iqt_plane *plane,
                          struct iqt_place place, uint32_t most)
{
    const uint32_t align = iqt_place_alignment(e->places);

    const bool words = e->plan->dialect == IQT_DIALECT_GLSL && align == 4 &&
                       keeps_aligned(e, plane, align);

    for (uint32_t unit = words ? 32 : 8; unit <= 32; unit *= 2)
        if (place.bit % unit + plane->width + most <= unit &&
            keeps_aligned(e, plane, unit / 8 < align ? unit / 8 : align))
            return unit;
    return 0;
}

/* A field that lies across containers is put together from bytes. */
static uint32_t put_bytes(const struct iqt_emit *e, struct expr *x,
                          const struct iqt_plane *plane, struct iqt_place place,
                          const char *part, uint32_t most)
{
    const uint32_t shift = place.bit % 8, bytes = (shift + plane->width + most + 7) / 8;

    put(x, "(");
    for (uint32_t b = 0; b < bytes; b++)
        put(x, b ? " | %s_u8(at[r] + %uu%s) << %u" : "%s_u8(at[r] + %uu%s)", e->prefix,
            place.bit / 8 + b, part, 8 * b);
    put(x, ")");
    return shift;
}

/* Bits of a field outside vectors. */
static void put_memory_bits(const struct iqt_emit *e, struct expr *x,
                            const struct iqt_plane *plane, struct iqt_place place)
{
    const struct part_offset byte = part_offset(e, plane, true),
                             bit = part_offset(e, plane, false);
    const uint32_t unit = container(e, plane, place, bit.most);
    uint32_t shift;

    if (unit == 0) {
        shift = put_bytes(e, x, plane, place, byte.text, bit.most);
    } else {
        put(x, "%s_u%u(at[r] + %uu%s)", e->prefix, unit, place.bit / unit * (unit / 8),
            byte.text);
        shift = place.bit % unit;
    }
    if (bit.text[0])
        put(x, " >> (%uu%s)", shift, bit.text);
    else if (shift)
        put(x, " >> %u", shift);
    if (plane->width != unit)
        put(x, " & %uu", (1u << plane->width) - 1u);
}

static void put_bits(const struct iqt_emit *e, struct expr *x,
                     const struct iqt_plane *plane, uint32_t i, bool gray)
{
    const struct iqt_place place = iqt_place_of(e->places, plane, i);

    put(x, "(");
    if (!place.in_vec) {
        put_memory_bits(e, x, plane, place);
    } else if (iqt_place_is_apart(e->places, plane)) {
        put(x, "tops(q[r * V + %uu]) >> %u & %uu", place.number, place.bit / 16,
            (1u << plane->width) - 1u);
    } else {
        put_vec_word(e, x, place, gray);
        if (place.bit % 32)
            put(x, " >> %u", place.bit % 32);
        if (plane->width < 32)
            put(x, " & %uu", (1u << plane->width) - 1u);
    }
    put(x, ")");
}

/* Codes of gray formats are read from decoded words; their scales from the raw ones. */
static bool is_gray(const struct iqt_emit *e, const struct iqt_field *f)
{
    return e->plan->format->gray && f == &e->plan->format->code;
}

/* GLSL: bits of a word that are known go straight to their place, at most a shift and a mask; a compiler
 * makes one instruction of the mask and the OR. Returns false where a shift is found at run time. */
static bool put_in_place(const struct iqt_emit *e, struct expr *x,
                         const struct iqt_plane *plane, uint32_t i, bool gray)
{
    const struct iqt_place place = iqt_place_of(e->places, plane, i);
    const uint32_t from = place.bit % 32, to = plane->to;

    if (e->plan->dialect != IQT_DIALECT_GLSL || plane->width == 32)
        return false;
    if (!place.in_vec &&
        (part_offset(e, plane, false).most != 0 || container(e, plane, place, 0) != 32))
        return false;
    put(x, "(");
    if (place.in_vec)
        put_vec_word(e, x, place, gray);
    else
        put(x, "%s_u32(at[r] + %uu%s)", e->prefix, place.bit / 32 * 4,
            part_offset(e, plane, true).text);
    if (from != to)
        put(x, " %s %u", from > to ? ">>" : "<<", from > to ? from - to : to - from);
    put(x, " & %uu)", ((1u << plane->width) - 1u) << to);
    return true;
}

void iqt_expr_field(const struct iqt_emit *e, const struct iqt_field *f, uint32_t i,
                    char out[IQT_EXPR_BYTES])
{
    struct expr x = { out, 0 };

    for (uint32_t n = 0; n < IQT_MAX_PLANES && f->plane[n].width; n++) {
        put(&x, n ? " | " : "");
        const struct iqt_plane plane = iqt_place_joined(e->places, f, i, &n);

        if (plane.to && put_in_place(e, &x, &plane, i, is_gray(e, f)))
            continue;
        put_bits(e, &x, &plane, i, is_gray(e, f));
        if (plane.to)
            put(&x, " << %u", plane.to);
    }
}

uint32_t iqt_expr_low_byte(const struct iqt_emit *e, const struct iqt_field *f,
                           uint32_t i, char out[IQT_EXPR_BYTES])
{
    const struct iqt_place place = iqt_place_of(e->places, &f->plane[0], i);
    const uint32_t at = place.bit % 32;
    struct expr x = { out, 0 };

    if (!place.in_vec || f->plane[0].width < 8 || at < 8 || at > 16)
        return 0;
    put_vec_word(e, &x, place, false);
    put(&x, " & 0x%xu", 0xffu << at);
    return at;
}

/* Whether four elements sit in one word, one per byte, at the same shift. */
static bool in_one_word(const struct iqt_emit *e, const struct iqt_plane *plane,
                        uint32_t i, uint32_t weights)
{
    const struct iqt_place first = iqt_place_of(e->places, plane, i);

    for (uint32_t j = 1; j < 4; j++) {
        const struct iqt_place place = iqt_place_of(e->places, plane, i + j * weights);

        if (place.in_vec != first.in_vec || place.number != first.number ||
            place.bit != first.bit + 8 * j)
            return false;
    }
    if (first.in_vec)
        return first.bit % 8 + plane->width <= 8 && first.bit % 32 < 8;
    const uint32_t align = iqt_place_alignment(e->places);
    return first.bit % 8 + plane->width + part_offset(e, plane, false).most <= 8 &&
           first.bit / 8 % align == 0 && keeps_aligned(e, plane, align);
}

static void put_word(const struct iqt_emit *e, struct expr *x,
                     const struct iqt_plane *plane, uint32_t i, bool gray)
{
    const struct iqt_place place = iqt_place_of(e->places, plane, i);
    const uint32_t mask = ((1u << plane->width) - 1u) * 0x01010101u << plane->to;
    const uint32_t shift = place.bit % 8, to = plane->to;
    struct part_offset bit = { "", 0 };

    put(x, "(");
    if (place.in_vec) {
        put_vec_word(e, x, place, gray);
    } else {
        bit = part_offset(e, plane, false);
        put(x, gray ? "degray(%s_u32(at[r] + %uu%s))" : "%s_u32(at[r] + %uu%s)",
            e->prefix, place.bit / 8, part_offset(e, plane, true).text);
    }
    if (bit.text[0])
        put(x, " >> (%uu%s)%s", shift, bit.text, to ? " << " : "");
    if (bit.text[0] && to)
        put(x, "%u", to);
    if (bit.text[0] == 0 && shift > to)
        put(x, " >> %u", shift - to);
    if (bit.text[0] == 0 && shift < to)
        put(x, " << %u", to - shift);
    if (plane->width < 8 || bit.text[0])
        put(x, " & 0x%08xu", mask);
    put(x, ")");
}

void iqt_expr_codes(const struct iqt_emit *e, const struct iqt_field *f, uint32_t i,
                    uint32_t weights, char out[IQT_EXPR_BYTES])
{
    struct expr x = { out, 0 };
    const bool gray = is_gray(e, f);

    for (uint32_t n = 0; n < IQT_MAX_PLANES && f->plane[n].width; n++) {
        const struct iqt_plane *plane = &f->plane[n];

        put(&x, n ? " | " : "");
        if (in_one_word(e, plane, i, weights)) {
            put_word(e, &x, plane, i, gray);
            continue;
        }
        for (uint32_t j = 0; j < 4; j++) {
            put(&x, j ? " | " : "");
            put_bits(e, &x, plane, i + j * weights, gray);
            put(&x, " << %u", 8 * j + plane->to);
        }
    }
}

void iqt_expr_tops(const struct iqt_emit *e, const struct iqt_field *f, uint32_t i,
                   char out[IQT_EXPR_BYTES])
{
    const struct iqt_place place = iqt_place_of(e->places, &f->plane[0], i);
    struct expr x = { out, 0 };

    if (place.in_vec && in_one_word(e, &f->plane[0], i, 1)) {
        put_vec_word(e, &x, place, false);
        put(&x, " << %u", 7 - place.bit % 8);
        return;
    }
    char codes[IQT_EXPR_BYTES];

    iqt_expr_codes(e, f, i, 1, codes);
    put(&x, "(%s) << 7", codes);
}

void iqt_expr_scale(const struct iqt_emit *e, const struct iqt_scale *s, uint32_t i,
                    char out[IQT_EXPR_BYTES])
{
    char raw[IQT_EXPR_BYTES], negative[IQT_EXPR_BYTES];
    struct expr x = { out, 0 };

    if (iqt_field_empty(&s->raw)) {
        put(&x, "%d", s->add);
        return;
    }
    iqt_expr_field(e, &s->raw, i, raw);
    if (!iqt_field_empty(&s->negative)) {
        iqt_expr_field(e, &s->negative, i, negative);
        struct iqt_scale plain = *s;
        char value[IQT_EXPR_BYTES];
        memset(&plain.negative, 0, sizeof(plain.negative));
        iqt_expr_scale(e, &plain, i, value);
        if (iqt_plan_shares(e->plan)) /* branches that load cost both ways */
            put(&x, "(%s) * (1 - 2 * int(%s))", value, negative);
        else
            put(&x, "(%s) != 0u ? -(%s) : (%s)", negative, value, value);
        return;
    }
    if (s->table) {
        put(&x, "scale_value(%s)", raw);
        return;
    }
    if (s->is_signed)
        put(&x, "int((%s) << %u) >> %u", raw, 32 - s->is_signed, 32 - s->is_signed);
    else
        put(&x, "int(%s)", raw);
    if (s->mul != 1)
        put(&x, " * %d", s->mul);
    if (s->add)
        put(&x, " %c %d", s->add < 0 ? '-' : '+', s->add < 0 ? -s->add : s->add);
}

void iqt_expr_scalar(const struct iqt_emit *e, const struct iqt_scalar *s, uint32_t i,
                     char out[IQT_EXPR_BYTES])
{
    static const char *const spelling[] = {
        [IQT_F16] = "F16(%s_u16(at[r] + %uu))",
        [IQT_BF16] = "FLOAT_OF(%s_u16(at[r] + %uu) << 16)",
        [IQT_F32] = "FLOAT_OF(%s_u32(at[r] + %uu))",
    };
    const struct iqt_place place = iqt_place_of_byte(e->places, s->byte, i);

    assert(!place.in_vec);
    snprintf(out, IQT_EXPR_BYTES, spelling[s->type], e->prefix, place.bit / 8);
}
