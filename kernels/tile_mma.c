/* The words of a tile that a lane of an mma kernel loads, by family. Knows nothing of texts. */
#include "kernels/tile_mma.h"

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
#define HALF(n)         \
    {                   \
        IQT_MMA_HALF, n \
    }

/* Blocks of 32, then blocks of 16. */
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
                           { { IQT_MMA_PAIR, 0 }, { IQT_MMA_ENDS, 0 }, SAME(1) } },
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
        [IQT_TILE_Q6] = { 4,
                          IQT_MMA_X_FOURS,
                          { WORD(0),
                            WORD(6),
                            { IQT_MMA_PAIR, 4 },
                            { IQT_MMA_PAIR, 10 } } },
        [IQT_TILE_Q5] = { 6,
                          IQT_MMA_X_FOURS,
                          { HALF(0), HALF(2), HALF(4), HALF(6), SAME_HALF(8),
                            SAME_HALF(9) } },
    },
};

const struct iqt_mma_lane *iqt_mma_lane_of(const struct iqt_format *f, enum iqt_dialect d)
{
    const enum iqt_tile_family family = iqt_tile_family_of(f, d);
    const struct iqt_mma_lane *lane;

    if (d != IQT_DIALECT_CUDA || family == IQT_TILE_NONE)
        return NULL;
    lane = &lanes[f->block == 16][family];
    return lane->loads ? lane : NULL;
}

bool iqt_tile_scales_in_words(enum iqt_tile_family family)
{
    return family == IQT_TILE_Q4_GRAY || family == IQT_TILE_KT4;
}

uint32_t iqt_mma_least_columns(const struct iqt_format *f)
{
    return f->trellis && !f->trellis->magnitude ? 1 : 4;
}

static uint32_t column_tiles(const struct iqt_plan *p)
{
    return (p->n + IQT_MMA_COLUMNS - 1u) / IQT_MMA_COLUMNS;
}

uint32_t iqt_mma_sums(const struct iqt_plan *p)
{
    return IQT_TILE_ROWS * (p->n == 1 ? 1 : 2 * column_tiles(p));
}

/* For the sums of a workgroup's lanes, of one matrix. */
static uint32_t parts_bytes(const struct iqt_plan *p)
{
    return iqt_mma_sums(p) * 4 * iqt_plan_threads(p);
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
    const uint32_t warps = iqt_plan_threads(p) / 32, parts = parts_bytes(p);
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
    /* Of a block eight bytes of x in one column, and the scales of two, or of the only one. */
    return bytes + column_tiles(p) * BLOCKS * (8 + (p->n == 1 ? 1 : 2) * 4);
}
