/* Looking formats up, sizes of rows, decoding rows. Knows the table's vocabulary but no
 * format by name. */
#include "kernels/format.h"

#include "kernels/interleave.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

const struct iqt_format *iqt_format_at(size_t i)
{
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        if (i-- == 0)
            return f;
    }
    return NULL;
}

static const struct iqt_format *const tables[] = { iqt_formats, iqt_interleaved };

const struct iqt_format *iqt_format_find(const char *name)
{
    for (size_t t = 0; t < IQT_COUNT(tables) && name != NULL; t++)
        for (const struct iqt_format *f = tables[t]; f->name != NULL; f++)
            if (strcasecmp(f->name, name) == 0)
                return f;
    return NULL;
}

const struct iqt_format *iqt_format_of_type(uint32_t gguf_type)
{
    for (size_t t = 0; t < IQT_COUNT(tables); t++)
        for (const struct iqt_format *f = tables[t]; f->name != NULL; f++)
            if (f->gguf_type == gguf_type)
                return f;
    return NULL;
}

const struct iqt_format *iqt_format_base(const struct iqt_format *f)
{
    return f == NULL || f->base_type == 0 ? f : iqt_format_of_type(f->base_type);
}

const char *iqt_format_name(const struct iqt_format *f)
{
    return f == NULL ? "unknown" : f->name;
}

static size_t element_bytes(const struct iqt_format *f)
{
    return f->bytes / f->superblock;
}

enum iqt_status iqt_format_row_bytes(const struct iqt_format *f, size_t k, size_t *bytes)
{
    uint64_t body, total;

    if (f == NULL || bytes == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_format_row_bytes: format or output is NULL");
    if (k == 0 || k % f->granule != 0)
        return iqt_fail(IQT_ERR_SHAPE, "rows of %zu weights: %s needs a multiple of %u",
                        k, f->name, f->granule);
    if (f->granule == 1 ? !iqt_mul(k, element_bytes(f), &body)
                        : !iqt_mul(k / f->superblock, f->bytes, &body))
        goto overflow;
    if (!iqt_add(body, f->row_head, &total) || total > SIZE_MAX)
        goto overflow;
    *bytes = (size_t)total;
    return IQT_OK;

overflow:
    return iqt_fail(IQT_ERR_SHAPE, "rows of %zu weights of %s exceed the address space",
                    k, f->name);
}

uint32_t iqt_field_get(const struct iqt_field *f, const uint8_t *block, uint32_t i)
{
    uint32_t value = 0;

    for (const struct iqt_plane *p = f->plane; p < f->plane + IQT_MAX_PLANES; p++) {
        const uint32_t first = iqt_plane_bit(p, i);

        for (uint32_t n = 0; n < p->width; n++) {
            const uint32_t at = first + n;

            value |= (block[at / 8] >> at % 8 & 1u) << (p->to + n);
        }
    }
    return value;
}

void iqt_field_set(const struct iqt_field *f, uint8_t *block, uint32_t i, uint32_t value)
{
    for (const struct iqt_plane *p = f->plane; p < f->plane + IQT_MAX_PLANES; p++) {
        const uint32_t first = iqt_plane_bit(p, i);

        for (uint32_t n = 0; n < p->width; n++) {
            const uint32_t at = first + n, mask = 1u << at % 8;

            block[at / 8] = (uint8_t)((block[at / 8] & ~mask) |
                                      (value >> (p->to + n) & 1u) << at % 8);
        }
    }
}

static float row_scale(const struct iqt_format *f, const uint8_t *row,
                       enum iqt_decode_mode mode)
{
    const uint8_t *at = row + f->super.byte;
    float d;

    if (f->super.at != IQT_AT_ROW)
        return 0.0f;
    d = f->super.type == IQT_F16 ? iqt_f16_to_f32(iqt_read_u16(at)) : iqt_read_f32(at);
    return mode == IQT_DECODE_COMPUTE ? d * f->gain : d;
}

void iqt_decode_part(const struct iqt_format *f, const uint8_t *row, size_t begin,
                     size_t count, enum iqt_decode_mode mode, float *out)
{
    const uint8_t *block = row + f->row_head + begin / f->superblock * f->bytes;
    uint8_t padded[128] = { 0 };
    float weights[32];

    assert(begin % f->superblock == 0 && count <= f->superblock);
    if (count == f->superblock) {
        f->decode_ref(block, row_scale(f, row, mode), mode, out);
        return;
    }
    /* The end of a float row: the decoder takes whole superblocks. */
    assert(f->granule == 1 && f->bytes <= sizeof padded && f->superblock <= 32);
    memcpy(padded, block, count * element_bytes(f));
    f->decode_ref(padded, 0.0f, mode, weights);
    memcpy(out, weights, count * sizeof *out);
}

enum iqt_status iqt_decode_row(const struct iqt_format *f, const void *row, size_t k,
                               enum iqt_decode_mode mode, float *out)
{
    size_t bytes;

    if (f == NULL || row == NULL || out == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_decode_row: format, row or output is NULL");
    if (mode != IQT_DECODE_COMPUTE && mode != IQT_DECODE_REFERENCE)
        return iqt_fail(IQT_ERR_ARG,
                        "iqt_decode_row: mode %d is neither compute nor reference",
                        (int)mode);
    IQT_TRY(iqt_format_row_bytes(f, k, &bytes));
    if (f->base_type != 0)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "the rows of %s are interleaved by four: take them apart with "
                        "iqt_rows_separate()",
                        f->name);
    for (size_t i = 0; i < k; i += f->superblock) {
        const size_t left = k - i;

        iqt_decode_part(f, row, i, left < f->superblock ? left : f->superblock, mode,
                        out + i);
    }
    return IQT_OK;
}
