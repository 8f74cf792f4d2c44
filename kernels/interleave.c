/* Takes interleaved rows apart and puts them together: bits change places, none is lost. */
#include "kernels/interleave.h"

#include <assert.h>
#include <string.h>

enum { MOST_MOVES = 1024 };

/* Bits that stay together: they cross no byte on either side. */
struct move {
    uint16_t base, unit; /* bit addresses in a superblock, of row 0 */
    uint8_t bits, row;   /* row: from one row of the unit to the next */
};

/* Everything about a superblock of a unit but its float scale. */
struct moves {
    const struct iqt_format *base;
    size_t count;
    struct move move[MOST_MOVES];
};

static const struct iqt_plane *plane_of(const struct iqt_format *base,
                                        const struct iqt_unit_plane *u)
{
    const struct iqt_field *field =
        (const struct iqt_field *)((const char *)base + u->field);

    return &field->plane[u->plane];
}

/* Blocks have one field for many weights: the first of them speaks for all. */
static bool is_first(const struct iqt_plane *p, uint32_t i)
{
    for (uint32_t j = 0; j < IQT_INDEX_BITS; j++)
        if ((i >> j & 1u) && p->stride[j] == 0)
            return false;
    return true;
}

static void list_moves(const struct iqt_format *f, struct moves *m)
{
    m->base = iqt_format_base(f);
    m->count = 0;
    for (const struct iqt_unit_plane *u = f->unit; u->field != 0; u++) {
        const struct iqt_plane *p = plane_of(m->base, u);

        assert(u->stride[9] == 2 * u->stride[8]);
        for (uint32_t i = 0; i < m->base->superblock; i++) {
            uint32_t unit = u->bit;

            if (!is_first(p, i))
                continue;
            for (uint32_t j = 0; j < IQT_INDEX_BITS; j++)
                unit += (i >> j & 1u) * u->stride[j];
            assert(m->count < MOST_MOVES);
            m->move[m->count++] =
                (struct move){ (uint16_t)iqt_plane_bit(p, i), (uint16_t)unit, p->width,
                               (uint8_t)u->stride[8] };
        }
    }
}

static void move_bits(const uint8_t *from, uint32_t at, uint8_t *to, uint32_t bit,
                      uint32_t bits)
{
    const uint32_t mask = (1u << bits) - 1;

    to[bit / 8] |= (uint8_t)((from[at / 8] >> at % 8 & mask) << bit % 8);
}

static size_t scalar_bytes(enum iqt_float type)
{
    return type == IQT_F32 ? 4 : 2;
}

/* Row r of a unit, either way; what is written to was zero. */
static void copy_row(const struct moves *m, size_t k, uint8_t *unit, size_t r,
                     uint8_t *row, bool apart)
{
    const struct iqt_format *f = m->base;
    const size_t scale = f->super.at == IQT_AT_ROW ? 0 : scalar_bytes(f->super.type);

    memcpy(apart ? row : unit + r * f->row_head, apart ? unit + r * f->row_head : row,
           f->row_head);
    row += f->row_head;
    unit += (size_t)IQT_UNIT_ROWS * f->row_head;
    for (size_t s = 0; s < k / f->superblock; s++) {
        memcpy(apart ? row + f->super.byte : unit + r * scale,
               apart ? unit + r * scale : row + f->super.byte, scale);
        for (size_t n = 0; n < m->count; n++) {
            const struct move *v = &m->move[n];
            const uint32_t at = v->unit + (uint32_t)r * v->row;

            if (apart)
                move_bits(unit, at, row, v->base, v->bits);
            else
                move_bits(row, v->base, unit, at, v->bits);
        }
        row += f->bytes;
        unit += (size_t)IQT_UNIT_ROWS * f->bytes;
    }
}

const uint8_t *iqt_row_apart(const struct iqt_format *f, size_t k, const uint8_t *rows,
                             size_t row, uint8_t *out)
{
    const size_t bytes = f->row_head + k / f->superblock * f->bytes;
    const size_t in_unit = row % IQT_UNIT_ROWS;
    struct moves m;

    if (f->base_type == 0)
        return rows + row * (f->granule == 1 ? k * f->bytes / f->superblock : bytes);
    list_moves(f, &m);
    memset(out, 0, bytes);
    copy_row(&m, k, (uint8_t *)(uintptr_t)(rows + (row - in_unit) * bytes), in_unit, out,
             true);
    return out;
}

static enum iqt_status check(const char *call, const struct iqt_format *f, size_t rows,
                             size_t k, const void *from, const void *to, size_t *bytes)
{
    if (f == NULL || from == NULL || to == NULL)
        return iqt_fail(IQT_ERR_ARG, "%s: format, rows or output is NULL", call);
    IQT_TRY(iqt_format_row_bytes(f, k, bytes));
    if (f->base_type == 0)
        return iqt_fail(IQT_ERR_ARG, "%s: the rows of %s are not interleaved", call,
                        f->name);
    if (rows == 0 || rows % IQT_UNIT_ROWS != 0)
        return iqt_fail(IQT_ERR_SHAPE, "%zu rows of %s: expected a multiple of %d", rows,
                        f->name, IQT_UNIT_ROWS);
    return IQT_OK;
}

static void copy_rows(const struct iqt_format *f, size_t rows, size_t k, size_t bytes,
                      uint8_t *units, uint8_t *apart, bool to_apart)
{
    struct moves m;

    list_moves(f, &m);
    memset(to_apart ? apart : units, 0, rows * bytes);
    for (size_t r = 0; r < rows; r++)
        copy_row(&m, k, units + (r - r % IQT_UNIT_ROWS) * bytes, r % IQT_UNIT_ROWS,
                 apart + r * bytes, to_apart);
}

enum iqt_status iqt_rows_separate(const struct iqt_format *f, size_t rows, size_t k,
                                  const void *from, void *to)
{
    size_t bytes;

    IQT_TRY(check("iqt_rows_separate", f, rows, k, from, to, &bytes));
    copy_rows(f, rows, k, bytes, (uint8_t *)(uintptr_t)from, to, true);
    return IQT_OK;
}

enum iqt_status iqt_rows_interleave(const struct iqt_format *f, size_t rows, size_t k,
                                    const void *from, void *to)
{
    size_t bytes;

    IQT_TRY(check("iqt_rows_interleave", f, rows, k, from, to, &bytes));
    copy_rows(f, rows, k, bytes, to, (uint8_t *)(uintptr_t)from, false);
    return IQT_OK;
}
