/* The words of a tile that a lane of an mma kernel loads, by family. Knows nothing of texts. */
#include "kernels/tile_mma.h"

#include "kernels/layout.h"

#define SAME(n)         \
    {                   \
        IQT_MMA_SAME, n \
    }
#define SAME_HALF(n)         \
    {                        \
        IQT_MMA_SAME_HALF, n \
    }
#define WORD(n)         \
    {                   \
        IQT_MMA_WORD, n \
    }
#define PAIR(n)         \
    {                   \
        IQT_MMA_PAIR, n \
    }
#define HALF(n)         \
    {                   \
        IQT_MMA_HALF, n \
    }

/* CUDA's: blocks of 32, then blocks of 16. */
static const struct iqt_mma_lane lanes[2][IQT_TILE_KT4 + 1] = {
    {
        [IQT_TILE_Q2] = { 2, IQT_MMA_X_NIBBLE, { HALF(0), HALF(2) } },
        [IQT_TILE_Q3] = { 2, IQT_MMA_X_EIGHT, { WORD(0), WORD(4) } },
        [IQT_TILE_Q4] = { 2, IQT_MMA_X_EIGHT, { WORD(0), WORD(4) } },
        [IQT_TILE_Q4_GRAY] = { 2, IQT_MMA_X_FOURS, { WORD(0), WORD(4) } },
        [IQT_TILE_Q5] = { 4, IQT_MMA_X_EIGHT, { WORD(0), WORD(4), SAME(8), SAME(9) } },
        [IQT_TILE_PAIRS] = { 3, IQT_MMA_X_EIGHT, { HALF(0), HALF(2), SAME_HALF(4) } },
        [IQT_TILE_KT1] = { 3,
                           IQT_MMA_X_EIGHT,
                           { PAIR(0), { IQT_MMA_ENDS, 0 }, SAME(1) } },
        [IQT_TILE_KT2] = { 2, IQT_MMA_X_EIGHT, { HALF(0), HALF(2) } },
        [IQT_TILE_KT3] = { 4, IQT_MMA_X_EIGHT, { HALF(0), HALF(2), SAME(4), SAME(5) } },
        [IQT_TILE_KT4] = { 2, IQT_MMA_X_EIGHT, { WORD(0), WORD(4) } },
    },
    {
        [IQT_TILE_Q2] = { 4,
                          IQT_MMA_X_FOURS,
                          { SAME_HALF(0), SAME_HALF(1), SAME_HALF(2), SAME_HALF(3) } },
        [IQT_TILE_Q3] = { 4, IQT_MMA_X_FOURS, { HALF(0), HALF(2), HALF(4), HALF(6) } },
        [IQT_TILE_Q4] = { 4, IQT_MMA_X_FOURS, { HALF(0), HALF(2), HALF(4), HALF(6) } },
        [IQT_TILE_Q6] = { 4, IQT_MMA_X_FOURS, { WORD(0), WORD(6), PAIR(4), PAIR(10) } },
        [IQT_TILE_Q5] = { 6,
                          IQT_MMA_X_FOURS,
                          { HALF(0), HALF(2), HALF(4), HALF(6), SAME_HALF(8),
                            SAME_HALF(9) } },
    },
};

/* HIP's: where it can be eight weights in a row, so that blocks of 16 have lanes of their own. */
static const struct iqt_mma_lane hip_lanes[IQT_TILE_KT4 + 1] = {
    [IQT_TILE_Q2] = { 2, IQT_MMA_X_EIGHT, { PAIR(0), PAIR(2) } },
    [IQT_TILE_Q3] = { 4, IQT_MMA_X_EIGHT, { PAIR(0), PAIR(2), SAME(4), SAME(5) } },
    [IQT_TILE_Q4] = { 2, IQT_MMA_X_EIGHT, { WORD(0), WORD(4) } },
    [IQT_TILE_Q4_GRAY] = { 2, IQT_MMA_X_FOURS, { WORD(0), WORD(4) } },
    [IQT_TILE_Q5] = { 4, IQT_MMA_X_EIGHT, { WORD(0), WORD(4), SAME(8), SAME(9) } },
    [IQT_TILE_Q6] = { 4, IQT_MMA_X_FOURS, { WORD(0), WORD(6), PAIR(4), PAIR(10) } },
    [IQT_TILE_PAIRS] = { 3, IQT_MMA_X_EIGHT, { PAIR(0), PAIR(2), SAME(4) } },
    [IQT_TILE_KT1] = { 3, IQT_MMA_X_EIGHT, { PAIR(0), { IQT_MMA_ENDS, 0 }, SAME(1) } },
    [IQT_TILE_KT2] = { 2, IQT_MMA_X_EIGHT, { PAIR(0), PAIR(2) } },
    [IQT_TILE_KT3] = { 4, IQT_MMA_X_EIGHT, { PAIR(0), PAIR(2), SAME(4), SAME(5) } },
    [IQT_TILE_KT4] = { 2, IQT_MMA_X_EIGHT, { WORD(0), WORD(4) } },
};

const struct iqt_mma_lane *iqt_mma_lane_of(const struct iqt_format *f, enum iqt_dialect d)
{
    const enum iqt_tile_family family = iqt_tile_family_of(f, d);
    const struct iqt_mma_lane *lane;

    if (family == IQT_TILE_NONE)
        return NULL;
    lane = d == IQT_DIALECT_HIP ? &hip_lanes[family] : &lanes[f->block == 16][family];
    return lane->loads ? lane : NULL;
}

bool iqt_tile_scales_in_words(enum iqt_tile_family family)
{
    return family == IQT_TILE_Q4_GRAY || family == IQT_TILE_KT4;
}

uint32_t iqt_mma_least_columns(const struct iqt_format *f, enum iqt_dialect d)
{
    if (d == IQT_DIALECT_HIP)
        return 2;
    return f->trellis ? 1 : 4;
}

uint32_t iqt_mma_rows(enum iqt_dialect d)
{
    return d == IQT_DIALECT_HIP ? IQT_MFMA_ROWS : IQT_MMA_QUADS * IQT_TILE_ROWS;
}

uint32_t iqt_mma_most_rows(enum iqt_dialect d, uint32_t wave)
{
    if (d != IQT_DIALECT_HIP)
        return 1024;
    return wave == IQT_MFMA_WAVE   ? 4 * IQT_MFMA_ROWS
           : wave == IQT_WMMA_WAVE ? IQT_MFMA_ROWS
                                   : 0;
}

uint32_t iqt_mma_wave(const struct iqt_plan *p, uint32_t device)
{
    if (p->dialect != IQT_DIALECT_HIP)
        return 32;
    if (device != 0)
        return device;
    return iqt_plan_threads(p) >= IQT_MFMA_WAVE ? IQT_MFMA_WAVE : IQT_WMMA_WAVE;
}

uint32_t iqt_mma_threads(const struct iqt_plan *p, uint32_t wave)
{
    return p->dialect == IQT_DIALECT_HIP ? iqt_mfma_shape_of(p, wave).lanes
                                         : IQT_MMA_LANES;
}

bool iqt_mma_keeps_tiles(const struct iqt_plan *p)
{
    return p->compute == IQT_COMPUTE_MMA && p->dialect == IQT_DIALECT_CUDA && p->n <= 2 &&
           p->format->trellis != NULL;
}

static uint32_t column_tiles(const struct iqt_plan *p)
{
    return (p->n + IQT_MMA_COLUMNS - 1u) / IQT_MMA_COLUMNS;
}

uint32_t iqt_mma_sums(const struct iqt_plan *p, uint32_t wave)
{
    if (p->dialect == IQT_DIALECT_HIP) /* 16 x 16 of a wave */
        return IQT_MFMA_ROWS * IQT_MFMA_ROWS / wave * iqt_mfma_shape_of(p, wave).sets;
    return iqt_mma_keeps_tiles(p) ? p->n : IQT_TILE_ROWS * 2 * column_tiles(p);
}

/* For the sums of a workgroup's lanes, of one matrix. */
static uint32_t parts_bytes(const struct iqt_plan *p, uint32_t wave)
{
    return iqt_mma_sums(p, wave) * 4 * iqt_plan_threads(p);
}

uint32_t iqt_mma_staged_words(const struct iqt_tile *t)
{
    return t->family == IQT_TILE_Q3 ? 8 : t->words;
}

bool iqt_mma_stages_spans(const struct iqt_tile *t)
{
    return t->family == IQT_TILE_Q3 || iqt_tile_scales_in_words(t->family);
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

struct iqt_mma_stage iqt_mma_stage_of(const struct iqt_plan *p)
{
    static const struct iqt_mma_stage ways[] = { { 4, 512, 0, 0 }, { 2, 320, 0, 0 } };
    const uint32_t warps = iqt_plan_threads(p) / 32, parts = parts_bytes(p, 32);
    struct iqt_tile tile;
    struct iqt_mma_stage s = { 0 };

    iqt_tile_init(&tile, p->format, p->dialect);
    for (size_t i = 0; i < IQT_COUNT(ways); i++) {
        /* Two spans: a load has two vectors of each. */
        if (i > 0 && (tile.words % 2 || iqt_mma_stages_spans(&tile)))
            break;
        s = ways[i];
        s.bytes = s.step * iqt_mma_staged_words(&tile) * warps;
        if (p->op == IQT_OP_GATED)
            s.bytes = larger(s.bytes, parts);
        s.shared = s.bytes + parts;
        if (s.shared <= IQT_MMA_SHARED)
            break;
    }
    return s;
}

/* An odd number of vectors: lanes that copy tiles side by side store to all banks. One more for each group: the lanes
 * that read what four of them have in one place do not meet in a bank. */
struct iqt_mfma_shape iqt_mfma_shape_of(const struct iqt_plan *p, uint32_t wave)
{
    const uint32_t groups = p->rows_group / IQT_TILE_ROWS;
    struct iqt_tile tile;
    struct iqt_mfma_shape s = { .sets = p->rows_group / IQT_MFMA_ROWS,
                                .lanes = groups ? wave / groups : 0 };
    bool bytes;

    iqt_tile_init(&tile, p->format, p->dialect);
    bytes = tile.family == IQT_TILE_KT1 || !iqt_field_empty(&p->format->shift);
    s.waves = s.lanes ? p->threads / s.lanes : 0;
    s.scales_at = IQT_VEC_BYTES * tile.words;
    s.shifts_at = s.scales_at + IQT_VEC_BYTES * tile.blocks;
    s.step = IQT_VEC_BYTES * ((tile.words + tile.blocks + (bytes ? 1u : 0u)) | 1u);
    s.group = s.step * s.lanes + IQT_VEC_BYTES;
    s.wave = s.group * groups;
    return s;
}

/* The sums take the place of the tiles. */
static uint32_t mfma_shared(const struct iqt_plan *p, uint32_t wave)
{
    const uint32_t matrices = p->op == IQT_OP_GATED ? 2 : 1;
    const struct iqt_mfma_shape s = iqt_mfma_shape_of(p, wave);

    return larger(s.wave * s.waves, parts_bytes(p, wave) * matrices);
}

uint32_t iqt_mma_shared(const struct iqt_plan *p, uint32_t wave)
{
    return p->dialect == IQT_DIALECT_HIP ? mfma_shared(p, wave)
                                         : iqt_mma_stage_of(p).shared;
}

bool iqt_mma_fits_wave(const struct iqt_plan *p, uint32_t wave)
{
    return p->rows_group <= iqt_mma_most_rows(p->dialect, wave) &&
           p->threads >= iqt_mma_threads(p, wave) &&
           iqt_mma_shared(p, wave) <= iqt_mma_most_shared(p->dialect);
}

uint32_t iqt_mma_most_shared(enum iqt_dialect d)
{
    return d == IQT_DIALECT_HIP ? IQT_MFMA_SHARED : IQT_MMA_SHARED;
}

double iqt_mma_lane_bytes(const struct iqt_plan *p)
{
    enum { BLOCKS = 256 / 32 };
    const struct iqt_format *f = p->format;
    struct iqt_tile tile;
    uint32_t bytes;

    iqt_tile_init(&tile, f, p->dialect);
    bytes = IQT_TILE_ROWS * 4u * tile.words;
    for (uint32_t i = 0; i < tile.loads; i++)
        bytes += tile.load[i].bytes;
    if (f->super.at == IQT_AT_SUPERBLOCK)
        bytes += 2 * IQT_TILE_ROWS;
    /* Of a block eight bytes of x in one column, and the scales of two, or of the only one. On HIP a wave has
     * blocks of x for each set; least is what RDNA4's does, sixteen bytes and two scales in half as many lanes. */
    if (p->dialect == IQT_DIALECT_HIP)
        return bytes + (double)BLOCKS * IQT_MFMA_ROWS / p->rows_group * 2 * (16 + 8);
    if (iqt_mma_keeps_tiles(p)) /* a warp has 256 x of a column, a lane two blocks */
        return bytes + p->n * (8 + 2 * 8);
    return bytes + column_tiles(p) * BLOCKS * (8 + 2 * 4);
}
