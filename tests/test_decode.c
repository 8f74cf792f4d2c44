/* Reference decode against the golden files, bit for bit, and against the published
 * checksums of rows that anybody can make. Any folder of files in the golden layout will
 * do: IQT_TEST_DATA names the folder that has golden/ in it. */
#include "tests/check.h"
#include "tests/crc32.h"
#include "kernels/interleave.h"

#include <iqtile/gguf.h>

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROW = 1 << 16 };

static glob_t files; /* golden/ and golden/other/ */

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b);
}

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* ---- Golden files ---- */

/* A tensor's rows, decoded here and there. */
struct pair {
    struct iqt_gguf_tensor q, deq;
    size_t k, rows, row_bytes;
    uint8_t *apart; /* the data of q, when its rows were interleaved */
};

/* From here on the tensor is one of the base type. */
static void take_apart(struct pair *p)
{
    p->apart = malloc(p->q.bytes);
    if (p->apart == NULL)
        abort();
    if (iqt_rows_separate(p->q.format, p->rows, p->k, p->q.data, p->apart) != IQT_OK)
        check_fail("%s", iqt_last_error());
    p->q.format = iqt_format_base(p->q.format);
    p->q.data = p->apart;
}

static bool find_pair(const struct iqt_gguf *g, const struct iqt_gguf_tensor *q,
                      struct pair *out)
{
    const int stem = (int)q->name_bytes - 2;
    struct pair p = { .q = *q, .k = (size_t)q->ne[0], .rows = (size_t)iqt_gguf_rows(q) };
    char name[256];

    snprintf(name, sizeof name, "%.*s.deq", stem, q->name);
    if (q->format == NULL || q->data == NULL) {
        check_fail("%.*s: no format or no data", (int)q->name_bytes, q->name);
        return false;
    }
    if (iqt_gguf_tensor_find(g, name, &p.deq) != IQT_OK ||
        iqt_format_row_bytes(q->format, p.k, &p.row_bytes) != IQT_OK) {
        check_fail("%s: %s", name, iqt_last_error());
        return false;
    }
    if (p.deq.data == NULL || p.deq.bytes != 4 * p.k * p.rows || p.k > MAX_ROW) {
        check_fail("%s: %llu bytes for %zu rows of %zu", name,
                   (unsigned long long)p.deq.bytes, p.rows, p.k);
        return false;
    }
    *out = p;
    return true;
}

static void check_row(const struct pair *p, size_t r, const char *what, const float *got,
                      const float *want)
{
    for (size_t i = 0; i < p->k; i++) {
        if (!same_bits(got[i], want[i])) {
            check_fail("%.*s row %zu weight %zu: %s gives %08x, expected %08x",
                       (int)p->q.name_bytes, p->q.name, r, i, what, bits_of(got[i]),
                       bits_of(want[i]));
            return;
        }
    }
}

static void decode(const struct iqt_format *f, const void *row, size_t k,
                   enum iqt_decode_mode mode, float *out)
{
    if (iqt_decode_row(f, row, k, mode, out) != IQT_OK)
        check_fail("%s", iqt_last_error());
}

static void check_reference(const struct pair *p)
{
    static float got[MAX_ROW], want[MAX_ROW];

    for (size_t r = 0; r < p->rows; r++) {
        memcpy(want, (const uint8_t *)p->deq.data + 4 * r * p->k, 4 * p->k);
        decode(p->q.format, (const uint8_t *)p->q.data + r * p->row_bytes, p->k,
               IQT_DECODE_REFERENCE, got);
        check_row(p, r, "reference decode", got, want);
    }
}

/* What compute uses: the reference of a row whose scale was multiplied by the gain. */
static void check_compute(const struct pair *p)
{
    static float got[MAX_ROW], want[MAX_ROW];
    const struct iqt_format *f = p->q.format;
    uint8_t *row = malloc(p->row_bytes);

    if (row == NULL)
        abort();
    for (size_t r = 0; r < p->rows; r++) {
        const uint8_t *bytes = (const uint8_t *)p->q.data + r * p->row_bytes;

        memcpy(row, bytes, p->row_bytes);
        if (f->gain != 1.0f) {
            const float scale = iqt_read_f32(row) * f->gain;

            memcpy(row, &scale, sizeof scale);
        }
        decode(f, row, p->k, IQT_DECODE_REFERENCE, want);
        decode(f, bytes, p->k, IQT_DECODE_COMPUTE, got);
        check_row(p, r, "compute decode", got, want);
    }
    free(row);
}

static bool is_quantized(const struct iqt_gguf_tensor *t)
{
    return t->name_bytes > 2 && memcmp(t->name + t->name_bytes - 2, ".q", 2) == 0;
}

static void check_tensors(const struct iqt_gguf *g)
{
    for (size_t t = 0; t < iqt_gguf_tensor_count(g); t++) {
        const struct iqt_gguf_tensor q = iqt_gguf_tensor_at(g, t);
        struct pair p;

        if (!is_quantized(&q) || !find_pair(g, &q, &p))
            continue;
        if (q.format->base_type != 0)
            take_apart(&p);
        check_reference(&p);
        /* iq6_k computes with integers that the reference leaves unrounded: see the rows.
         */
        if (strcmp(q.format->name, "iq6_k") != 0)
            check_compute(&p);
        free(p.apart);
    }
}

static void test_file(const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    struct iqt_gguf *g;

    if (!check_begin("golden.%.*s", (int)(strlen(name) - 5), name))
        return;
    if (iqt_gguf_open(path, &g) != IQT_OK) {
        check_fail("%s", iqt_last_error());
    } else {
        check_tensors(g);
        iqt_gguf_close(g);
    }
    check_end();
}

static bool has_format(const char *path, const struct iqt_format *f)
{
    struct iqt_gguf *g;
    bool found = false;

    if (iqt_gguf_open(path, &g) != IQT_OK)
        return false; /* reported by test_file() */
    for (size_t t = 0; !found && t < iqt_gguf_tensor_count(g); t++) {
        const struct iqt_gguf_tensor q = iqt_gguf_tensor_at(g, t);

        found = is_quantized(&q) && q.format == f;
    }
    iqt_gguf_close(g);
    return found;
}

/* Every entry of the table has a golden tensor: no decoder goes untested, and an empty
 * folder fails. */
static void test_covered(const struct iqt_format *f)
{
    bool found = false;

    if (!check_begin("covered.%s", f->name))
        return;
    for (size_t i = 0; !found && i < files.gl_pathc; i++)
        found = has_format(files.gl_pathv[i], f);
    check_true(found, "no golden tensor below %s", check_data());
    check_end();
}

static void find_files(const char *folder, int flags)
{
    char pattern[4096];

    snprintf(pattern, sizeof pattern, "%s/%s/*.gguf", check_data(), folder);
    glob(pattern, flags, NULL, &files); /* what is missing fails in test_covered() */
}

/* ---- Rows made by a published recipe: 512 weights ---- */

enum { RECIPE_K = 512, RECIPE_BYTES = 512 };

static const struct {
    const char *name;
    uint16_t bytes;
    uint32_t crc_in, crc_out; /* of the row and of the reference decode */
    uint32_t weight[6];       /* bits of weights 0, 17, 100, 255, 300, 511 */
} recipes[] = {
    // clang-format off
    { "iq2_ks",  142, 0xe53cbcbd, 0x1e3367bd,
      { 0xbead4a80, 0x3ee29c80, 0x80000000, 0xbd3ff400, 0xbe354a00, 0x3eb54a00 } },
    { "iq2_k",   152, 0xe40180ae, 0x6c0a296d,
      { 0x3eaaa000, 0xbecff300, 0xbbaaa000, 0x80000000, 0x3f77f080, 0x00000000 } },
    { "iq2_kl",  174, 0x982e81db, 0x93479b23,
      { 0x407bf040, 0x3f1ff600, 0xbd154c00, 0x403cf430, 0x400bf740, 0x3f954c00 } },
    { "iq3_ks",  206, 0x47963a9d, 0x13e54e2b,
      { 0x3f17f680, 0xbe1ff600, 0x3ea7f580, 0x3d2aa000, 0xbe9ff600, 0xbf7a9b00 } },
    { "iq3_k",   220, 0xcc701491, 0x96a18695,
      { 0xbe3a9f00, 0xc018f670, 0x3efd4580, 0xbf1ea0c0, 0x3fba9f00, 0xbf81f7e0 } },
    { "iq4_kss", 260, 0x7399d363, 0x944dffc8,
      { 0xbcdd2f1b, 0xbf2ccccd, 0x40a3ae15, 0xc1500000, 0xc088cccd, 0x3f845a1d } },
    { "iq4_ks",  276, 0xb65b49a9, 0x0728dc82,
      { 0xbd178d50, 0xc085cac1, 0xbebf7cee, 0xbe47ae15, 0xc078a3d8, 0x4087851f } },
    { "iq4_k",   288, 0x48c34c0a, 0xda798ec0,
      { 0xc096a140, 0x3f9bf640, 0xc0b474b8, 0x4142f3d0, 0xc13f9eb0, 0x4026a040 } },
    { "iq5_ks",  340, 0xa3a65715, 0x059da878,
      { 0x401f6c8c, 0x40075c29, 0xc0848313, 0xc12b5c29, 0xc16bdf3c, 0x3eba5e36 } },
    { "iq5_k",   352, 0xebc7270e, 0xac95dc82,
      { 0xc08b4ca0, 0x410177e8, 0x3f1ff600, 0x4090a1a0, 0x3fbe9ec0, 0x4027f580 } },
    { "iq6_k",   424, 0x56d756b2, 0xc1003696,
      { 0xc14bb7d4, 0xc02195d4, 0xc0d26ddf, 0x42050d18, 0xbda2f57b, 0xc237c113 } },
    { "iq1_kt",  116, 0xd9d4dc6b, 0x7ca12c08,
      { 0x401f1aa0, 0xc08d0625, 0x80000000, 0xc06bb646, 0x4010a3d8, 0x3d54fdf4 } },
    { "iq2_kt",  140, 0xc7cd6069, 0x70f20a1a,
      { 0xbf800000, 0xbe666667, 0x4010a3d8, 0x3fcb8520, 0x3c23d70b, 0x3be56042 } },
    { "iq3_kt",  204, 0xf410ac79, 0xf720a8a1,
      { 0x3e0f5c2a, 0xbe6b8520, 0xbc23d70b, 0x3e872b03, 0x80000000, 0xbe4ac084 } },
    { "iq4_kt",  260, 0x534dec7e, 0x575f588a,
      { 0x3f6b8520, 0x3e24dd30, 0x3d2c0832, 0x3ed3f7d0, 0xbf347ae2, 0x3f74fdf4 } },
    // clang-format on
};

/* Bytes of a congruential sequence that starts at the type number; scales overwritten. */
static void make_row(const struct iqt_format *f, uint8_t *row, size_t bytes)
{
    uint32_t x = f->gguf_type;

    for (size_t i = 0; i < bytes; i++) {
        x = x * 1664525u + 1013904223u;
        row[i] = (uint8_t)(x >> 24);
    }
    if (f->row_head == 4)
        memcpy(row, "\x6f\x12\x83\x3a", 4);
    else if (f->row_head == 2)
        memcpy(row, "\x55\x1d", 2);
    for (size_t at = 0; f->row_head == 0 && at < bytes; at += bytes / 2)
        memcpy(row + at, "\x55\x1d", 2); /* both superblocks begin with their scale */
}

static void test_recipe(size_t n)
{
    static const size_t at[6] = { 0, 17, 100, 255, 300, 511 };
    const struct iqt_format *f = iqt_format_find(recipes[n].name);
    uint8_t row[RECIPE_BYTES];
    float out[RECIPE_K];

    if (!check_begin("recipe.%s", recipes[n].name))
        return;
    make_row(f, row, recipes[n].bytes);
    check_true(crc32(row, recipes[n].bytes) == recipes[n].crc_in, "the row has crc %08x",
               crc32(row, recipes[n].bytes));
    decode(f, row, RECIPE_K, IQT_DECODE_REFERENCE, out);
    for (size_t i = 0; i < IQT_COUNT(at); i++)
        check_true(bits_of(out[at[i]]) == recipes[n].weight[i],
                   "weight %zu is %08x, expected %08x", at[i], bits_of(out[at[i]]),
                   recipes[n].weight[i]);
    check_true(crc32(out, sizeof out) == recipes[n].crc_out, "crc %08x, expected %08x",
               crc32(out, sizeof out), recipes[n].crc_out);
    check_end();
}

static void test_iq6_k_compute(void)
{
    uint8_t row[424];
    float out[RECIPE_K];

    if (!check_begin("recipe.iq6_k.compute"))
        return;
    make_row(iqt_format_find("iq6_k"), row, sizeof row);
    decode(iqt_format_find("iq6_k"), row, RECIPE_K, IQT_DECODE_COMPUTE, out);
    check_true(crc32(out, sizeof out) == 0x77180f00, "crc %08x, expected 77180f00",
               crc32(out, sizeof out));
    check_end();
}

/* ---- The same for units of four interleaved rows ---- */

static const struct {
    const char *name;
    uint32_t crc_in, crc_out;
} unit_recipes[] = {
    { "iq2_k_r4", 0x04574495, 0x67325202 },  { "iq3_k_r4", 0x68628044, 0x046ea58b },
    { "iq4_k_r4", 0x4f97bbd4, 0x771e33b4 },  { "iq5_k_r4", 0xc99f91f5, 0x1202a7ae },
    { "iq4_ks_r4", 0xd0df9f59, 0xb8c75c2a }, { "iq5_ks_r4", 0xdc923f8c, 0xd77d8171 },
};

static void make_unit(const struct iqt_format *f, uint8_t *unit, size_t bytes)
{
    uint32_t x = f->gguf_type;

    for (size_t i = 0; i < bytes; i++) {
        x = x * 1664525u + 1013904223u;
        unit[i] = (uint8_t)(x >> 24);
    }
    for (uint32_t k = 0; k < 4; k++) {
        const uint32_t head = 0x3a83126fu + 0x10000u * k;
        const uint16_t scale = (uint16_t)(0x1d55 + k);

        if (f->row_head == 4)
            memcpy(unit + 4 * (size_t)k, &head, sizeof head);
        for (size_t at = 0; f->row_head == 0 && at < bytes; at += bytes / 2)
            memcpy(unit + at + 2 * (size_t)k, &scale, sizeof scale);
    }
}

static void test_unit_recipe(size_t n)
{
    const struct iqt_format *f = iqt_format_find(unit_recipes[n].name);
    static float out[4 * RECIPE_K];
    uint8_t unit[4 * RECIPE_BYTES], rows[sizeof unit], again[sizeof unit];
    size_t bytes = 0;

    if (!check_begin("recipe.%s", unit_recipes[n].name))
        return;
    check_true(f != NULL && iqt_format_row_bytes(f, RECIPE_K, &bytes) == IQT_OK &&
                   4 * bytes <= sizeof unit,
               "rows of %zu bytes", bytes);
    make_unit(f, unit, 4 * bytes);
    check_true(crc32(unit, 4 * bytes) == unit_recipes[n].crc_in, "the unit has crc %08x",
               crc32(unit, 4 * bytes));
    if (iqt_rows_separate(f, 4, RECIPE_K, unit, rows) != IQT_OK ||
        iqt_rows_interleave(f, 4, RECIPE_K, rows, again) != IQT_OK)
        check_fail("%s", iqt_last_error());
    for (size_t r = 0; r < 4; r++)
        decode(iqt_format_base(f), rows + r * bytes, RECIPE_K, IQT_DECODE_REFERENCE,
               out + r * RECIPE_K);
    check_true(crc32(out, sizeof out) == unit_recipes[n].crc_out,
               "crc %08x, expected %08x", crc32(out, sizeof out),
               unit_recipes[n].crc_out);
    check_true(memcmp(unit, again, 4 * bytes) == 0,
               "putting together gives another unit");
    check_end();
}

/* What table and base type both say, and that every bit has a place of its own: taking random rows apart
 * and putting them together gives the same bytes, both ways. */
static void test_interleaved(const struct iqt_format *f)
{
    enum { K = 768, ROWS = 8 };
    const struct iqt_format *base = iqt_format_base(f);
    uint8_t *random, *there, *back;
    size_t bytes = 0;

    if (!check_begin("interleaved.%s", f->name))
        return;
    check_true(base != f && base != NULL && base->base_type == 0 &&
                   f->bytes == base->bytes && f->superblock == base->superblock &&
                   f->row_head == base->row_head && f->granule == base->granule,
               "its sizes are not those of type %u", f->base_type);
    check_true(iqt_format_find(f->name) == f && iqt_format_of_type(f->gguf_type) == f,
               "not found by name or type");
    check_true(iqt_foreign_of_type(f->gguf_type) == NULL, "also a foreign type");
    check_true(iqt_format_row_bytes(f, K, &bytes) == IQT_OK, "%s", iqt_last_error());
    random = malloc(ROWS * bytes);
    there = malloc(ROWS * bytes);
    back = malloc(ROWS * bytes);
    if (random == NULL || there == NULL || back == NULL)
        abort();
    check_rand_bytes(random, ROWS * bytes);
    check_true(iqt_rows_interleave(f, ROWS, K, random, there) == IQT_OK &&
                   iqt_rows_separate(f, ROWS, K, there, back) == IQT_OK &&
                   memcmp(random, back, ROWS * bytes) == 0,
               "rows differ after interleaving and separating");
    for (size_t r = 0; r < ROWS; r++)
        check_true(
            memcmp(iqt_row_apart(f, K, there, r, back), random + r * bytes, bytes) == 0,
            "row %zu alone differs", r);
    check_true(iqt_rows_separate(f, ROWS, K, random, there) == IQT_OK &&
                   iqt_rows_interleave(f, ROWS, K, there, back) == IQT_OK &&
                   memcmp(random, back, ROWS * bytes) == 0,
               "rows differ after separating and interleaving");
    check_true(iqt_rows_separate(f, 6, K, random, there) == IQT_ERR_SHAPE,
               "six rows were accepted");
    check_true(iqt_rows_separate(base, 4, K, random, there) == IQT_ERR_ARG,
               "rows that stand alone were accepted");
    check_true(iqt_decode_row(f, random, K, IQT_DECODE_COMPUTE, (float *)(void *)there) ==
                   IQT_ERR_UNSUPPORTED,
               "one row of four was decoded");
    free(random);
    free(there);
    free(back);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    find_files("golden", 0);
    find_files("golden/other", GLOB_APPEND);
    for (size_t i = 0; i < files.gl_pathc; i++)
        test_file(files.gl_pathv[i]);
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
        test_covered(f);
    for (size_t n = 0; n < IQT_COUNT(recipes); n++)
        test_recipe(n);
    test_iq6_k_compute();
    for (size_t n = 0; n < IQT_COUNT(unit_recipes); n++)
        test_unit_recipe(n);
    for (const struct iqt_format *f = iqt_interleaved; f->name != NULL; f++)
        test_interleaved(f);
    globfree(&files);
    return check_done();
}
