/* Looks for NaN and infinity in the float scales of quantized tensors and in float tensors.
 * Where scales lie comes from the format table; types outside of it are not looked at. */
#include "io/gguf_doctor.h"
#include "kernels/interleave.h"

enum { SHOWN = 3 }; /* defects of one tensor that are told one by one */

/* The exponent is all ones. */
static const struct {
    const char *name;
    uint8_t bytes;
    uint32_t mask;
} floats[] = {
    [IQT_F16] = { "f16", 2, 0x7c00 },
    [IQT_BF16] = { "bf16", 2, 0x7f80 },
    [IQT_F32] = { "f32", 4, 0x7f800000 },
};

static uint32_t bits_of(enum iqt_float type, const uint8_t *p)
{
    return floats[type].bytes == 2 ? iqt_read_u16(p) : iqt_read_u32(p);
}

static bool is_finite(enum iqt_float type, const uint8_t *p)
{
    return (bits_of(type, p) & floats[type].mask) != floats[type].mask;
}

struct scan {
    struct iqt_gguf_report *r;
    struct iqt_gguf_tensor t;
    struct iqt_gguf_size size;
    uint64_t bad;
};

static void found(struct scan *s, const char *what, enum iqt_float type, const uint8_t *p,
                  uint64_t row, uint64_t column)
{
    const uint64_t offset = (uint64_t)(p - s->r->g->files[s->t.file].data);

    if (++s->bad <= SHOWN)
        iqt_gguf_report(s->r, &s->t, offset,
                        "%s of row %llu, column %llu is not finite: %s bits %0*x", what,
                        (unsigned long long)row, (unsigned long long)column,
                        floats[type].name, floats[type].bytes * 2, bits_of(type, p));
}

/* ---- Float tensors ---- */

/* Whether a chunk has a non-finite element: no branch inside, so that it runs at the speed of
 * memory; the place is only looked for when there is one. */
static bool chunk_is_finite(enum iqt_float type, const uint8_t *p, size_t count)
{
    const uint32_t mask = floats[type].mask;
    uint32_t bad = 0;

    if (floats[type].bytes == 2) {
        for (size_t i = 0; i < count; i++)
            bad |= (iqt_read_u16(p + 2 * i) & mask) == mask;
    } else {
        for (size_t i = 0; i < count; i++)
            bad |= (iqt_read_u32(p + 4 * i) & mask) == mask;
    }
    return bad == 0;
}

static void scan_floats(struct scan *s)
{
    enum { CHUNK = 4096 };
    const enum iqt_float type = s->t.format->element;
    const uint64_t bytes = floats[type].bytes, count = s->t.bytes / bytes;
    const uint8_t *data = s->t.data;

    for (uint64_t first = 0; first < count; first += CHUNK) {
        const uint64_t end = count - first < CHUNK ? count : first + CHUNK;

        if (chunk_is_finite(type, data + first * bytes, (size_t)(end - first)))
            continue;
        for (uint64_t i = first; i < end; i++) {
            if (!is_finite(type, data + i * bytes))
                found(s, "element", type, data + i * bytes, i / s->t.ne[0],
                      i % s->t.ne[0]);
        }
    }
}

/* ---- Scales ---- */

/* Where a row's scalar for a column is. */
static const uint8_t *scalar_at(const struct scan *s, const struct iqt_scalar *scalar,
                                uint64_t row, uint64_t column)
{
    const struct iqt_format *f = s->t.format;
    const uint64_t unit = f->base_type != 0 ? IQT_UNIT_ROWS : 1, in_unit = row % unit;
    const uint8_t *begin =
        (const uint8_t *)s->t.data + (row - in_unit) * s->size.row_bytes;

    if (scalar->at == IQT_AT_ROW)
        return begin + in_unit * f->row_head + scalar->byte;
    /* A unit begins with the scalars of its rows. */
    return begin + unit * (f->row_head + column / f->superblock * f->bytes) +
           (unit == 1 ? scalar->byte : in_unit * floats[scalar->type].bytes);
}

static void scan_scalar(struct scan *s, const struct iqt_scalar *scalar, const char *what)
{
    const uint64_t step = scalar->at == IQT_AT_ROW ? s->t.ne[0] : s->t.format->superblock;

    for (uint64_t i = 0; i < s->size.rows; i++)
        for (uint64_t column = 0; column < s->t.ne[0]; column += step) {
            const uint8_t *p = scalar_at(s, scalar, i, column);

            if (!is_finite(scalar->type, p))
                found(s, what, scalar->type, p, i, column);
        }
}

static void scan_tensor(struct iqt_gguf_report *r, const struct iqt_gguf_tensor *t)
{
    const struct iqt_format *f = iqt_format_base(t->format);
    struct scan s = { .r = r, .t = *t, .size = iqt_gguf_size_of(t) };

    if (f->decode == IQT_DECODE_FLOAT)
        scan_floats(&s);
    if (f->super.at != IQT_AT_NONE)
        scan_scalar(&s, &f->super, "scale");
    if (f->super_min.at != IQT_AT_NONE)
        scan_scalar(&s, &f->super_min, "scale of the minima");
    if (s.bad > SHOWN)
        iqt_gguf_report(r, t,
                        (uint64_t)((const uint8_t *)t->data - r->g->files[t->file].data),
                        "%llu numbers are not finite in all", (unsigned long long)s.bad);
}

void iqt_gguf_check_values(struct iqt_gguf_report *r)
{
    /* Sound tensors do not share bytes. Where a hostile file lets many tensors claim the same
     * ones the overlap is reported already, and the work stays linear in the size of the file. */
    uint64_t budget = 0;

    for (size_t i = 0; i < r->g->file_count; i++)
        budget += 2 * r->g->files[i].bytes;
    for (size_t i = 0; i < r->g->tensor_count; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(r->g, i);

        if (t.data == NULL || t.format == NULL || t.bytes > budget)
            continue;
        budget -= t.bytes;
        scan_tensor(r, &t);
    }
}
