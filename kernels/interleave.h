/* Types whose rows come in units of four. A unit is as long as four rows of the base type: the four row
 * headers, then for each superblock the four float scales and the planes of the table, which take in
 * the row's number as two more index bits. Nothing computes with them: they are taken apart first. */
#ifndef IQT_KERNELS_INTERLEAVE_H
#define IQT_KERNELS_INTERLEAVE_H

#include "kernels/format.h"

enum { IQT_UNIT_ROWS = 4, IQT_UNIT_BITS = IQT_INDEX_BITS + 2 };

/* Where a unit keeps plane `plane` of one of the base type's fields. */
struct iqt_unit_plane {
    uint16_t field; /* offset in struct iqt_format; 0 ends a list */
    uint8_t plane;
    uint16_t bit; /* address for weight 0 of row 0 */
    uint16_t stride
        [IQT_UNIT_BITS]; /* per bit of the weight's index, then of the row's number */
};

extern const struct iqt_format iqt_interleaved[]; /* ends with name NULL */

/* One row of a matrix in its base type: copied to `out` when rows are interleaved, else where it is.
 * rows: of the whole matrix, whose number of rows suits the type. */
const uint8_t *iqt_row_apart(const struct iqt_format *f, size_t k, const uint8_t *rows,
                             size_t row, uint8_t *out);

#endif
