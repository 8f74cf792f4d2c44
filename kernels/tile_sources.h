/* Where the bits of a format's elements are in a superblock of 256 weights, as tiles see them. */
#ifndef IQT_KERNELS_TILE_SOURCES_H
#define IQT_KERNELS_TILE_SOURCES_H

#include "kernels/tile.h"

struct iqt_tile_elements {
    uint32_t count, planes;
    struct {
        uint8_t width, to; /* bits [to, to + width) of the value */
        uint16_t bit[256]; /* of each element, in the superblock */
    } plane[IQT_MAX_PLANES + 1];
};

void iqt_tile_sources(const struct iqt_tile *t,
                      struct iqt_tile_elements s[IQT_TILE_SOURCES]);

#endif
