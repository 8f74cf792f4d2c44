/* The words of a tile that a lane of an mma kernel loads, by family. Knows nothing of texts. */
#include "kernels/tile_mma.h"

#include "kernels/layout.h"

#include <assert.h>

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

/* Copies are in pieces of eight bytes; all banks hold sixteen. */
enum { PIECE = 8, PIECES = 16 };

/* The least number from `least` on that is `is` modulo `of`. */
static uint32_t up_to(uint32_t least, uint32_t is, uint32_t of)
{
    return least + (of + is - least % of) % of;
}

/* Whether lanes that read a set's sixteen rows do not meet in a bank: of rows of five words they read one at a time, of
 * three the first and the last, of others two side by side. group, pair: pieces to the second and third group. */
static bool rows_apart(const struct iqt_mfma_shape *s, uint32_t words, uint32_t group,
                       uint32_t pair)
{
    const uint64_t reads = words == 5 ? 1 : words == 3 ? 5 : 3;
    uint32_t used = 0;

    for (uint32_t i = 0; i < 16; i++) {
        const uint32_t r = i % 4, g = i / 4;
        const uint32_t at =
            words * r + r / 2 * s->gap / 4 + 2 * (g % 2 * group + g / 2 * pair);
        const uint64_t shifted = reads << at % 32;
        const uint32_t own = (uint32_t)(shifted | shifted >> 32);

        if (used & own)
            return false;
        used |= own;
    }
    return true;
}

/* Where groups begin whose tiles fill so many pieces, as close as can be. In waves of 32, two of them are stored at a
 * time: they fill what the other leaves. */
static void place_groups(struct iqt_mfma_shape *s, uint32_t words, uint32_t tiles,
                         uint32_t wave)
{
    const bool odd = s->step % (2 * PIECE) != 0;
    uint32_t least = ~0u;

    for (uint32_t g = tiles; g < tiles + PIECES; g++) {
        if (wave == IQT_WMMA_WAVE && (odd ? g % PIECES != 8 : g % 2 == 0))
            continue;
        for (uint32_t p = g + tiles; p < g + tiles + PIECES && p + g < least; p++)
            if (rows_apart(s, words, g, p)) {
                least = p + g;
                s->group = PIECE * g;
                s->pair = PIECE * p;
            }
    }
    assert(least != ~0u);
}

/* Sixteen lanes store side by side. Tiles of a group are an odd number of pieces apart, and the groups whose lanes are
 * neighbours, the same of each set, the part of sixteen that those leave. (Rows of eight words: in waves of 32 every
 * other piece.) */
static void place_copies(struct iqt_mfma_shape *s, uint32_t pieces, uint32_t words,
                         uint32_t wave)
{
    const uint32_t step =
        wave == IQT_WMMA_WAVE && words == 8 ? up_to(pieces, 2, 4) : up_to(pieces, 1, 2);
    const uint32_t tiles = step * s->lanes;

    s->step = PIECE * step;
    place_groups(s, words, tiles, wave);
    s->set = s->pair + s->group + PIECE * tiles;
    if (s->sets > 1)
        s->set = PIECE * up_to(s->set / PIECE, PIECES / s->sets, PIECES);
    s->scales_at = up_to((s->sets > 1 ? s->sets : 1) * s->set, 0, IQT_VEC_BYTES);
}

struct iqt_mfma_shape iqt_mfma_shape_of(const struct iqt_plan *p, uint32_t wave)
{
    const uint32_t groups = p->rows_group / IQT_TILE_ROWS;
    struct iqt_tile tile;
    struct iqt_mfma_shape s = { .sets = p->rows_group / IQT_MFMA_ROWS,
                                .lanes = groups ? wave / groups : 0 };
    uint32_t bytes;

    iqt_tile_init(&tile, p->format, p->dialect);
    bytes = tile.family == IQT_TILE_KT1          ? PIECE
            : iqt_field_empty(&p->format->shift) ? 0
                                                 : 4u * tile.blocks;
    s.waves = s.lanes ? p->threads / s.lanes : 0;
    s.gap = tile.words == 3 ? PIECE : 0;
    /* A vector more: lanes of two groups read at once. */
    s.scales = IQT_VEC_BYTES * (tile.blocks * s.lanes + 1);
    s.shifts_at = IQT_VEC_BYTES * tile.words + s.gap;
    place_copies(&s, (s.shifts_at + bytes) / PIECE, tile.words, wave);
    s.wave = s.scales_at + s.scales * groups;
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
