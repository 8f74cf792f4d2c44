/* Tiles on matrix units (CUDA's mma.sync): which words of a tile a lane loads.
 *
 * A warp takes 32 rows: its quads, four lanes each, have a group of four rows each. The lanes of a
 * quad share a span; lane `part` has a quarter of each of its blocks, eight weights of 32 or four
 * of each 16, for all four rows. So the words it wants depend on `part`, a few bytes of each vector.
 *
 * A warp therefore copies the codes of a superblock, or of two spans of it, to shared memory: each lane whole
 * vectors, as all other kernels of tiles load them. Vector j of span i of quad g is put at
 * step * j + 128 * i + 16 * (g ^ 2 i) of the warp's bytes: eight lanes store to all banks, and so do
 * the eight quads that read a vector each. */
#ifndef IQT_KERNELS_TILE_MMA_H
#define IQT_KERNELS_TILE_MMA_H

#include "kernels/tile.h"

enum {
    IQT_MMA_LANES = 4,
    IQT_MMA_QUADS = 8,
    IQT_MMA_LOADS = 6,
    IQT_MMA_COLUMNS = 8,
    IQT_MMA_SHARED = 49152 /* most of static shared memory */
};

/* From which word n of a row's span on a lane counts. */
enum iqt_mma_place {
    IQT_MMA_SAME,      /* word n: all lanes load the same */
    IQT_MMA_SAME_HALF, /* 16 bits: half part % 2 of word n */
    IQT_MMA_WORD,      /* word n + part */
    IQT_MMA_HALF,      /* 16 bits: half part % 2 of word n + part / 2 */
    IQT_MMA_PAIR,      /* word n + part / 2 */
    IQT_MMA_ENDS,      /* word n, or n + 2 unless part is 2 */
    IQT_MMA_PLACES,
};

/* Which bytes of a block of x go with the two value words of a lane. */
enum iqt_mma_x {
    IQT_MMA_X_EIGHT,  /* 8 part .. 8 part + 7 */
    IQT_MMA_X_FOURS,  /* 4 part .. and 16 + 4 part .. */
    IQT_MMA_X_NIBBLE, /* 16 (part / 2) + 4 (part % 2) .. and eight behind */
};

struct iqt_mma_lane {
    uint8_t loads, x;
    struct {
        uint8_t place, word;
    } load[IQT_MMA_LOADS];
};

/* NULL: the format has no kernel of this kind. */
const struct iqt_mma_lane *iqt_mma_lane_of(const struct iqt_format *f,
                                           enum iqt_dialect d);
/* Fewer are not worth the unit: but for states of a trellis, whose four bytes it adds besides. */
uint32_t iqt_mma_least_columns(const struct iqt_format *f);
/* Sums of a lane of one matrix: of four rows, two of each eight columns, of a single column one. */
uint32_t iqt_mma_sums(const struct iqt_plan *p);
/* Whether block scales lie between the codes, so that a lane loads a span's codes for them. */
bool iqt_tile_scales_in_words(enum iqt_tile_family family);
/* Copying to shared memory. Sums of the lanes are in shared memory, too; of a gated product, those of the
 * second matrix take the place of the codes. */
struct iqt_mma_stage {
    uint32_t spans, step;   /* at once, bytes between vectors */
    uint32_t bytes, shared; /* for the codes of a workgroup, and with the sums */
};
struct iqt_mma_stage iqt_mma_stage_of(const struct iqt_plan *p);
/* Words of a row and span in the copy: of 3 bits, the codes that three words have in their top bits become a
 * fourth one. */
uint32_t iqt_mma_staged_words(const struct iqt_tile *t);
/* Whether a lane must see its own span whole, for this or for scales between the codes. */
bool iqt_mma_stages_spans(const struct iqt_tile *t);
/* Bytes that a lane loads for a superblock of four rows. */
double iqt_mma_lane_bytes(const struct iqt_plan *p);

#endif
