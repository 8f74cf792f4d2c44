/* Packed rows: lossless for every format, a permutation of bits, of the documented size. */
#include "kernels/layout.h"
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
 * beside them. */
static void check_sides(const struct iqt_format *f)
{
    struct iqt_packing p;

    if (!check_begin("sides.%s", f->name))
        return;
    iqt_packing_init(&p, f);
    const uint32_t vec_bytes = (uint32_t)p.vecs * IQT_VEC_BYTES * f->superblock / p.unit;
    check_true(vec_bytes + p.side_bytes == f->bytes, "%u vector and %u side bytes of %u",
               vec_bytes, p.side_bytes, f->bytes);
    check_true(vec_bytes * 4 >= f->bytes * 3u, "only %u of %u bytes are vectors",
               vec_bytes, f->bytes);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    for (const struct iqt_format *f = iqt_formats; f->name; f++) {
        check_lossless(f, f->superblock);
        check_lossless(f, f->superblock * 7u);
        check_bijective(f);
        check_sides(f);
    }
    return check_done();
}
