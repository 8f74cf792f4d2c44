/* Packed rows of a format in a dialect: rows of their own (layout.h) or tiles of four (tile.h). */
#ifndef IQT_KERNELS_PACKER_H
#define IQT_KERNELS_PACKER_H

#include "kernels/layout.h"
#include "kernels/tile.h"

struct iqt_packer {
    uint32_t rows; /* that are stored together: 1 or IQT_TILE_ROWS */
    struct iqt_packing packing;
    struct iqt_tile tile; /* used when rows is not 1 */
};

void iqt_packer_init(struct iqt_packer *p, const struct iqt_format *f,
                     enum iqt_dialect d);

/* Rows that are stored together in a layout. A part of a matrix begins at a multiple of it, and its
 * memory is a multiple of it times iqt_layout_row_bytes(). */
uint32_t iqt_layout_rows(const struct iqt_format *f, enum iqt_dialect d,
                         enum iqt_layout layout);

/* rows GGUF rows to packed rows and back. packed: rows rounded up to p->rows; rows that are not there
 * and padding become 0. */
void iqt_packer_pack(const struct iqt_packer *p, size_t k, size_t rows,
                     const uint8_t *native, uint8_t *packed);
void iqt_packer_unpack(const struct iqt_packer *p, size_t k, size_t rows,
                       const uint8_t *packed, uint8_t *native);

#endif
