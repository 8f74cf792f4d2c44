/* Chooses between the two packed layouts. */
#include "kernels/packer.h"

void iqt_packer_init(struct iqt_packer *p, const struct iqt_format *f, enum iqt_dialect d)
{
    iqt_packing_init(&p->packing, f);
    p->rows = iqt_tile_init(&p->tile, f, d) ? IQT_TILE_ROWS : 1;
}

uint32_t iqt_layout_rows(const struct iqt_format *f, enum iqt_dialect d,
                         enum iqt_layout layout)
{
    return layout == IQT_LAYOUT_PACKED && iqt_tile_family_of(f, d) != IQT_TILE_NONE
               ? IQT_TILE_ROWS
               : 1;
}

static size_t packed_row(const struct iqt_packer *p, size_t k)
{
    return iqt_layout_row_bytes(p->packing.format, IQT_LAYOUT_PACKED, k);
}

void iqt_packer_pack(const struct iqt_packer *p, size_t k, size_t rows,
                     const uint8_t *native, uint8_t *packed)
{
    if (p->rows == 1)
        iqt_pack_rows(&p->packing, k, rows, native, packed);
    else
        iqt_tile_pack(&p->tile, k, rows, packed_row(p, k), native, packed);
}

void iqt_packer_unpack(const struct iqt_packer *p, size_t k, size_t rows,
                       const uint8_t *packed, uint8_t *native)
{
    if (p->rows == 1)
        iqt_unpack_rows(&p->packing, k, rows, packed, native);
    else
        iqt_tile_unpack(&p->tile, k, rows, packed_row(p, k), packed, native);
}
