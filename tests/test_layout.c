/* Packed rows and tiles: lossless for every format, of the documented size; packed rows are a
 * permutation of bits. */
#include "kernels/packer.h"
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 3 };

struct rows {
    const struct iqt_format *f;
    struct iqt_packing packing;
    size_t k, native_bytes, packed_bytes; /* of a row */
    uint8_t *native, *packed, *back;
};

static void rows_make(struct rows *r, const struct iqt_format *f, size_t k)
{
    r->f = f;
    r->k = k;
    iqt_packing_init(&r->packing, f);
    r->native_bytes = iqt_layout_row_bytes(f, IQT_LAYOUT_NATIVE, k);
    r->packed_bytes = iqt_layout_row_bytes(f, IQT_LAYOUT_PACKED, k);
    r->native = malloc(ROWS * r->native_bytes);
    r->packed = malloc(ROWS * r->packed_bytes);
    r->back = malloc(ROWS * r->native_bytes);
    check_rand_bytes(r->native, ROWS * r->native_bytes);
}

static void rows_free(struct rows *r)
{
    free(r->native);
    free(r->packed);
    free(r->back);
}

static uint32_t count_bits(const uint8_t *data, size_t bytes)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < bytes; i++)
        for (uint32_t b = 0; b < 8; b++)
            bits += data[i] >> b & 1u;
    return bits;
}

static void check_lossless(const struct iqt_format *f, size_t k)
{
    struct rows r;

    if (!check_begin("lossless.%s.k%zu", f->name, k))
        return;
    rows_make(&r, f, k);
    memset(r.packed, 0xff, ROWS * r.packed_bytes); /* pad bytes must be written */
    iqt_pack_rows(&r.packing, k, ROWS, r.native, r.packed);
    iqt_unpack_rows(&r.packing, k, ROWS, r.packed, r.back);
    check_true(memcmp(r.native, r.back, ROWS * r.native_bytes) == 0,
               "unpacked bytes differ from the packed ones' source");
    check_true(count_bits(r.native, ROWS * r.native_bytes) ==
                   count_bits(r.packed, ROWS * r.packed_bytes),
               "packing changed the number of set bits: not a permutation");
    check_true(r.packed_bytes % IQT_VEC_BYTES == 0 &&
                   r.packed_bytes - r.native_bytes < IQT_VEC_BYTES,
               "packed row of %zu bytes for %zu native ones", r.packed_bytes,
               r.native_bytes);
    rows_free(&r);
    check_end();
}

/* Every single bit of a row moves to one place of its own. */
static void check_bijective(const struct iqt_format *f)
{
    const size_t k = f->superblock;
    struct rows r;

    if (!check_begin("bijective.%s", f->name))
        return;
    rows_make(&r, f, k);
    uint8_t *seen = calloc(1, r.packed_bytes);
    for (size_t bit = 0; bit < r.native_bytes * 8; bit++) {
        memset(r.native, 0, r.native_bytes);
        r.native[bit / 8] = (uint8_t)(1u << (bit % 8));
        iqt_pack_rows(&r.packing, k, 1, r.native, r.packed);
        check_true(count_bits(r.packed, r.packed_bytes) == 1, "bit %zu became %u bits",
                   bit, count_bits(r.packed, r.packed_bytes));
        for (size_t i = 0; i < r.packed_bytes; i++) {
            check_true((seen[i] & r.packed[i]) == 0, "bit %zu shares a place, byte %zu",
                       bit, i);
            seen[i] |= r.packed[i];
        }
    }
    free(seen);
    rows_free(&r);
    check_end();
}

/* All bits of the codes that can be loaded as vectors are: only what no vector can hold is left
 * beside them. Of 32 weights, that is a plane of less than four bits. */
static void check_sides(const struct iqt_format *f)
{
    struct iqt_packing p;

    if (!check_begin("sides.%s", f->name))
        return;
    iqt_packing_init(&p, f);
    const uint32_t vec_bytes = (uint32_t)p.vecs * IQT_VEC_BYTES * f->superblock / p.unit;
    check_true(vec_bytes + p.side_bytes == f->bytes, "%u vector and %u side bytes of %u",
               vec_bytes, p.side_bytes, f->bytes);
    check_true(vec_bytes * 4 >= f->bytes * (f->superblock < 128 ? 2u : 3u),
               "only %u of %u bytes are vectors", vec_bytes, f->bytes);
    check_end();
}

/* Whole seeds side by side, with bit n of the block's fields, its shift bit and then its scale, on top of
 * element n. Returns whether the format is packed like that. */
static bool check_topped(const struct iqt_format *f)
{
    struct rows r;

    if (!check_begin("topped.%s", f->name))
        return false;
    rows_make(&r, f, f->superblock);
    const bool topped = iqt_packing_is_topped(&r.packing);
    const uint8_t *block = r.native + f->row_head;
    iqt_pack_rows(&r.packing, r.k, 1, r.native, r.packed);
    for (uint32_t i = 0; topped && i < f->superblock; i += f->trellis->group) {
        const uint32_t units = f->superblock / r.packing.unit, unit = i / r.packing.unit;
        const uint32_t vector = i % r.packing.unit / f->block;
        const uint32_t n = i % f->block / f->trellis->group;
        const uint32_t top = iqt_field_get(&f->shift, block, i) |
                             iqt_field_get(&f->scale.raw, block, i) << 1;
        const uint32_t want = iqt_field_get(&f->code, block, i) | (top >> n & 1u) << 15;
        const uint32_t got = iqt_read_u16(
            r.packed + IQT_VEC_BYTES * (vector * units + unit) + (size_t)2 * n);

        check_true(got == want, "the element of weight %u is 0x%04x, expected 0x%04x", i,
                   got, want);
    }
    check_true(!topped || r.packing.side_bytes == 0, "%u bytes are left beside vectors",
               r.packing.side_bytes);
    rows_free(&r);
    check_end();
    return topped;
}

/* ---- Tiles ---- */

enum { MOST_ROWS = 9 };

struct group_case {
    struct iqt_packer packer;
    size_t k, native_bytes, packed_bytes; /* of a row */
    uint8_t *native, *packed, *again, *back;
};

static void group_make(struct group_case *g, const struct iqt_format *f,
                       enum iqt_dialect d, size_t k)
{
    const size_t rows = iqt_round_up(MOST_ROWS, IQT_TILE_ROWS);

    iqt_packer_init(&g->packer, f, d);
    g->k = k;
    g->native_bytes = iqt_layout_row_bytes(f, IQT_LAYOUT_NATIVE, k);
    g->packed_bytes = iqt_layout_row_bytes(f, IQT_LAYOUT_PACKED, k);
    g->native = malloc(rows * g->native_bytes);
    g->packed = malloc(rows * g->packed_bytes);
    g->again = malloc(rows * g->packed_bytes);
    g->back = malloc(rows * g->native_bytes);
    check_rand_bytes(g->native, rows * g->native_bytes);
}

static void group_free(struct group_case *g)
{
    free(g->native);
    free(g->packed);
    free(g->again);
    free(g->back);
}

/* Rows that are not there have codes of zero, and no byte depends on what memory held. */
static void check_padding(struct group_case *g, size_t rows)
{
    const size_t all = iqt_round_up(rows, IQT_TILE_ROWS) * g->packed_bytes;

    memset(g->again, 0x55, all);
    iqt_packer_pack(&g->packer, g->k, rows, g->native, g->again);
    check_true(memcmp(g->packed, g->again, all) == 0,
               "%zu rows: padding depends on what was there", rows);
    if (rows % IQT_TILE_ROWS == 0)
        return;
    for (size_t row = rows % IQT_TILE_ROWS; row < IQT_TILE_ROWS; row++) {
        const size_t from = all - IQT_TILE_ROWS * g->packed_bytes;
        const size_t words = g->packer.tile.words;
        size_t set = 0;

        for (size_t v = 0; v < g->k / 256 * 4 * words * 4; v++) {
            const size_t superblock = v / (16 * words), word = v / 4 % (4 * words);

            if (word / words == row)
                for (size_t b = 0; b < 4; b++)
                    set += g->again[from + superblock * 64 * words + 64 * (word / 4) +
                                    16 * (v % 4) + 4 * (word % 4) + b] != 0;
        }
        check_true(set == 0, "%zu rows: %zu bytes of codes in row %zu of the last group",
                   rows, set, row);
    }
}

static void check_tiles(const struct iqt_format *f, enum iqt_dialect d, size_t k)
{
    struct group_case g;

    if (!check_begin("tiles.%s.%s.k%zu", f->name, iqt_dialect_name(d), k))
        return;
    group_make(&g, f, d, k);
    check_true(g.packer.rows == IQT_TILE_ROWS &&
                   iqt_layout_rows(f, d, IQT_LAYOUT_PACKED) == IQT_TILE_ROWS &&
                   iqt_layout_rows(f, d, IQT_LAYOUT_NATIVE) == 1,
               "%u rows are stored together", g.packer.rows);
    for (size_t rows = 1; rows <= MOST_ROWS; rows++) {
        memset(g.packed, 0xff, iqt_round_up(rows, IQT_TILE_ROWS) * g.packed_bytes);
        memset(g.back, 0xff, (rows + 1) * g.native_bytes);
        iqt_packer_pack(&g.packer, k, rows, g.native, g.packed);
        iqt_packer_unpack(&g.packer, k, rows, g.packed, g.back);
        check_true(memcmp(g.native, g.back, rows * g.native_bytes) == 0,
                   "%zu rows are not the same after unpacking", rows);
        check_true(g.back[rows * g.native_bytes] == 0xff, "a row too many was unpacked");
        check_padding(&g, rows);
        check_rand_bytes(g.native, (MOST_ROWS + 1) * g.native_bytes);
    }
    group_free(&g);
    check_end();
}

/* A part of a matrix that begins with a group is what it is alone: uploads and devices cut there. */
static void check_parts(const struct iqt_format *f, enum iqt_dialect d)
{
    enum { K = 512 };
    struct group_case g;

    if (!check_begin("parts.%s.%s", f->name, iqt_dialect_name(d)))
        return;
    group_make(&g, f, d, K);
    iqt_packer_pack(&g.packer, K, MOST_ROWS, g.native, g.packed);
    for (size_t from = 0; from < MOST_ROWS; from += IQT_TILE_ROWS) {
        const size_t rows = MOST_ROWS - from;

        iqt_packer_pack(&g.packer, K, rows, g.native + from * g.native_bytes, g.again);
        check_true(memcmp(g.packed + from * g.packed_bytes, g.again,
                          iqt_round_up(rows, IQT_TILE_ROWS) * g.packed_bytes) == 0,
                   "rows from %zu on are packed in another way alone", from);
    }
    group_free(&g);
    check_end();
}

static void check_dialect(const struct iqt_format *f, enum iqt_dialect d)
{
    if (iqt_tile_family_of(f, d) == IQT_TILE_NONE)
        return;
    for (size_t k = 256; k <= 768; k += 256)
        check_tiles(f, d, k);
    check_parts(f, d);
}

int main(int argc, char **argv)
{
    uint32_t topped = 0;

    check_init(argc, argv);
    for (const struct iqt_format *f = iqt_formats; f->name; f++) {
        check_lossless(f, f->superblock);
        check_lossless(f, f->superblock * 7u);
        check_bijective(f);
        check_sides(f);
        topped += check_topped(f);
        check_dialect(f, IQT_DIALECT_CUDA);
        check_dialect(f, IQT_DIALECT_HIP);
    }
    if (check_begin("topped")) {
        check_true(topped == 1, "%u formats have 15 bits a seed", topped);
        check_end();
    }
    return check_done();
}
