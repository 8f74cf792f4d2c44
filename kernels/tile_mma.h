/* Tiles on matrix units (CUDA's mma.sync, AMD's mfma and wmma): which words of a tile a lane loads.
 *
 * CUDA. A warp takes 32 rows: its quads, four lanes each, have a group of four rows each. The lanes of a
 * quad share a span; lane `part` has a quarter of each of its blocks, eight weights of 32 or four
 * of each 16, for all four rows. So the words it wants depend on `part`, a few bytes of each vector.
 *
 * A warp therefore copies the codes of a superblock, or of two spans of it, to shared memory: each lane whole
 * vectors, as all other kernels of tiles load them. Vector j of span i of quad g is put at
 * step * j + 128 * i + 16 * (g ^ 2 i) of the warp's bytes: eight lanes store to all banks, and so do
 * the eight quads that read a vector each.
 *
 * HIP. A product has 16 rows and 16 columns. Of 16 m rows of a workgroup each of its waves takes as many tiles
 * at a time as it has lanes: of 64, 16 / m tiles side by side of each of its 4 m groups of rows, 4 / m
 * superblocks; of 32, two superblocks of 16 rows (with 32 rows registers would be spilled). A lane copies
 * its tile's codes to shared memory as they are, with its shift bits, and its block scales to another place. Then it
 * reads, for each set of four groups, what its row of A has in its quarters of a block, one of four with mfma,
 * two with wmma; sums of a group's rows come back together. Codes are put in pieces of eight bytes, which sixteen
 * lanes store to all banks; 32 lanes read a word of the 16 rows of a set, or two side by side, from as many banks. */
#ifndef IQT_KERNELS_TILE_MMA_H
#define IQT_KERNELS_TILE_MMA_H

#include "kernels/tile.h"

enum {
    IQT_MMA_LANES = 4,
    IQT_MMA_QUADS = 8,
    IQT_MMA_LOADS = 6,
    IQT_MMA_COLUMNS = 8,
    IQT_MMA_SHARED = 49152, /* most of static shared memory */
    IQT_MFMA_ROWS = 16,     /* of a product, and its columns */
    IQT_MFMA_WAVE = 64,
    IQT_WMMA_WAVE = 32,
    IQT_MFMA_SHARED = 65536
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

/* Which bytes of a block of x go with the two value words of a lane. Eight are of one half of a block, fours
 * of both. */
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
/* Fewer are not worth the unit: but for states of a trellis, whose four bytes CUDA's adds besides. */
uint32_t iqt_mma_least_columns(const struct iqt_format *f, enum iqt_dialect d);
/* CUDA: of one column or two of a trellis each lane keeps a tile of its own (emit_mma_one.c). */
bool iqt_mma_keeps_tiles(const struct iqt_plan *p);
/* Lanes of the waves that a plan is for: the device's, or 0 where none is known. Then 64 on HIP, where threads
 * of the rows fill that. */
uint32_t iqt_mma_wave(const struct iqt_plan *p, uint32_t device);
/* Sums of a lane of one matrix. CUDA: of four rows, two of each eight columns, of a single column one. HIP: of
 * one column, four rows of each set, eight in a wave of 32. */
uint32_t iqt_mma_sums(const struct iqt_plan *p, uint32_t wave);
/* Rows of a workgroup: multiples of so many, up to; threads that a row has at least. */
uint32_t iqt_mma_rows(enum iqt_dialect d);
uint32_t iqt_mma_most_rows(enum iqt_dialect d, uint32_t wave);
uint32_t iqt_mma_threads(const struct iqt_plan *p, uint32_t wave);
/* Shared memory of a workgroup, and the most that it may have. */
uint32_t iqt_mma_shared(const struct iqt_plan *p, uint32_t wave);
uint32_t iqt_mma_most_shared(enum iqt_dialect d);
/* Whether rows, threads and shared memory are right for such waves. */
bool iqt_mma_fits_wave(const struct iqt_plan *p, uint32_t wave);
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
/* HIP: the sets, a wave's lanes with tiles of one group of rows, waves that share rows. A wave's bytes: the tiles'
 * codes, and in each from `shifts_at` on a byte for each shift bit (of 13-bit seeds, their rests): bytes to the next
 * tile, from a set's first group to the second one, to the third one, to the next set's, to the next wave's; between
 * two rows of a tile and the other two. From `scales_at` on scales, four rows of a block of a tile together, `scales`
 * bytes to the next group's. */
struct iqt_mfma_shape {
    uint32_t sets, lanes, waves;
    uint32_t step, group, pair, set, wave;
    uint32_t gap, shifts_at;
    uint32_t scales_at, scales;
};
struct iqt_mfma_shape iqt_mfma_shape_of(const struct iqt_plan *p, uint32_t wave);
/* Bytes that a lane loads for a superblock of four rows. */
double iqt_mma_lane_bytes(const struct iqt_plan *p);

#endif
