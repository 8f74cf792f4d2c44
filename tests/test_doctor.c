/* Every defect that the doctor knows, one named check each, on files that have it and nothing
 * else; and things that look odd and are no defects. */
#include "io/gguf_file.h"
#include "kernels/format.h"
#include "tests/check.h"
#include "tests/gguf_make.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    F32 = 0,
    F16 = 1,
    Q8_0 = 8,
    Q5_K = 13,
    BF16 = 30,
    IQ2_K = 137,
    IQ4_KS = 144,
    IQ2_KS = 145
};

/* ---- What the doctor said ---- */

enum { MAX_HEARD = 8 };

struct heard {
    size_t count;
    struct {
        char tensor[200], text[600];
        uint64_t offset;
    } defect[MAX_HEARD];
};

static void hear(void *user, const struct iqt_gguf_defect *d)
{
    struct heard *h = user;

    if (h->count < MAX_HEARD) {
        snprintf(h->defect[h->count].tensor, sizeof h->defect[0].tensor, "%s", d->tensor);
        snprintf(h->defect[h->count].text, sizeof h->defect[0].text, "%s", d->text);
        h->defect[h->count].offset = d->offset;
    }
    h->count++;
}

/* Examines and frees m. */
static struct heard examine(struct make *m)
{
    struct heard h = { 0 };
    struct iqt_gguf *g;

    if (iqt_gguf_open_memory(m->b.data, m->b.bytes, &g) != IQT_OK) {
        check_fail("cannot open: %s", iqt_last_error());
    } else {
        const size_t count = iqt_gguf_doctor(g, hear, &h);

        check_true(count == h.count, "%zu defects returned, %zu told", count, h.count);
        iqt_gguf_close(g);
    }
    make_free(m);
    return h;
}

static void expect(const struct heard *h, size_t count)
{
    check_true(h->count == count, "%zu defects, expected %zu", h->count, count);
    for (size_t i = 0; i < h->count && i < MAX_HEARD && h->count != count; i++)
        check_fail("heard of %s: %s", h->defect[i].tensor, h->defect[i].text);
}

/* Defect i is of this tensor, at this offset, and says word. */
static void expect_defect(const struct heard *h, size_t i, const char *tensor,
                          uint64_t offset, const char *word)
{
    if (i >= h->count || i >= MAX_HEARD) {
        check_fail("no defect %zu of %s: %s", i, tensor, word);
        return;
    }
    check_true(strcmp(h->defect[i].tensor, tensor) == 0, "tensor %s, expected %s",
               h->defect[i].tensor, tensor);
    check_true(h->defect[i].offset == offset, "byte %llu, expected %llu",
               (unsigned long long)h->defect[i].offset, (unsigned long long)offset);
    check_true(strstr(h->defect[i].text, word) != NULL, "\"%s\" does not say \"%s\"",
               h->defect[i].text, word);
}

/* A file of these tensors without keys. */
static void make_file(struct make *m, const struct make_tensor *t, size_t count,
                      size_t bytes)
{
    make_start(m, 3, count, 0);
    make_tensors(m, t, count, 32);
    make_data(m, 32, bytes);
}

/* The same, examined; *data is where its data section starts. */
static struct heard examine_file(const struct make_tensor *t, size_t count, size_t bytes,
                                 size_t *data)
{
    struct make m = { 0 };

    make_file(&m, t, count, bytes);
    *data = m.data;
    return examine(&m);
}

enum { HEADER = 24 }; /* bytes before the first entry of the tensor table */

/* ---- Room ---- */

/* What writers that know no row headers make: here 64 x 4 bytes short. */
static void test_headless(void)
{
    static const struct make_tensor t[] = {
        { "blk.0.w", IQ4_KS, 2, { 256, 64 }, 136 * 64, MAKE_AUTO },
        { "blk.1.w", IQ4_KS, 2, { 256, 64 }, 136 * 64, MAKE_AUTO },
    };
    size_t data;

    if (!check_begin("doctor.headless"))
        return;
    const struct heard h = examine_file(t, 2, 2 * 136 * 64, &data);

    expect(&h, 2);
    expect_defect(
        &h, 0, "blk.1.w", data + 136 * 64,
        "needs 8960 bytes, 8704 are left in the file: 256 bytes short: written without "
        "row headers (64 x 4 bytes)?");
    expect_defect(
        &h, 1, "blk.0.w", data,
        "overlaps blk.1.w at byte 8832 after 8704: 256 bytes short: written without row "
        "headers (64 x 4 bytes)?");
    check_end();
}

/* The padding after the bare rows hides a part of what is missing. */
static void test_headless_padded(void)
{
    static const struct make_tensor t[] = {
        { "a",
          IQ2_KS,
          2,
          { 256, 33 },
          70 * 33,
          MAKE_AUTO }, /* 2310, padded 2336, needs 2376 */
        { "b", F32, 1, { 64 }, 256, MAKE_AUTO },
    };
    size_t data;

    if (!check_begin("doctor.headless_padded"))
        return;
    const struct heard h = examine_file(t, 2, 2336 + 256, &data);

    expect(&h, 1);
    expect_defect(&h, 0, "a", data,
                  "40 bytes short: written without row headers (33 x 2 bytes)?");
    check_end();
}

static void test_overlap(void)
{
    static const struct make_tensor t[] = {
        { "late", F32, 1, { 16 }, 64, 96 },
        { "large", F32, 1, { 64 }, 256, 0 },
        { "inner", F32, 1, { 8 }, 32, 32 },
        { "after", F32, 1, { 8 }, 32, 256 },
    };
    size_t data;

    if (!check_begin("doctor.overlap"))
        return;
    const struct heard h = examine_file(t, 4, 288, &data);

    expect(&h, 2); /* both, although inner ends before late starts */
    expect_defect(&h, 0, "large", data, "overlaps inner");
    expect_defect(&h, 1, "large", data, "overlaps late");
    check_true(strstr(h.defect[0].text, "headers") == NULL, "%s", h.defect[0].text);
    check_end();
}

static void test_same_offset(void)
{
    static const struct make_tensor t[] = {
        { "a", F32, 1, { 8 }, 32, 0 },
        { "b", F32, 1, { 8 }, 32, 0 },
    };
    size_t data;

    if (!check_begin("doctor.same_offset"))
        return;
    const struct heard h = examine_file(t, 2, 32, &data);

    expect(&h, 1);
    expect_defect(&h, 0, "a", data, "overlaps b");
    check_end();
}

/* With row headers, but not as short as without them. */
static void test_short(void)
{
    static const struct make_tensor t = { "a", IQ4_KS, 2, { 256, 64 }, 8960, 0 };
    size_t data;

    if (!check_begin("doctor.short"))
        return;
    const struct heard h = examine_file(&t, 1, 8860, &data);

    expect(&h, 1);
    expect_defect(&h, 0, "a", data,
                  "needs 8960 bytes, 8860 are left in the file: 100 bytes short");
    check_true(strstr(h.defect[0].text, "headers") == NULL, "%s", h.defect[0].text);
    check_end();
}

static void test_outside(void)
{
    static const uint64_t offsets[] = { 1024, 1ull << 40, UINT64_MAX - 31 };

    if (!check_begin("doctor.outside"))
        return;
    for (size_t i = 0; i < IQT_COUNT(offsets); i++) {
        const struct make_tensor t = { "a", F32, 1, { 8 }, 32, offsets[i] };
        struct make m = { 0 };
        uint64_t begin = UINT64_MAX;

        make_file(&m, &t, 1, 64);
        iqt_add(m.data, offsets[i], &begin);
        const struct heard h = examine(&m);

        expect(&h, 1);
        expect_defect(&h, 0, "a", begin, "is outside of the file");
    }
    check_end();
}

static void test_misaligned(void)
{
    static const struct make_tensor t = { "a", F32, 1, { 8 }, 32, 36 };
    size_t data;

    if (!check_begin("doctor.misaligned"))
        return;
    const struct heard h = examine_file(&t, 1, 128, &data);

    expect(&h, 1);
    expect_defect(&h, 0, "a", data + 36,
                  "offset is 36, expected a multiple of the alignment 32");
    check_end();
}

/* ---- Entries ---- */

static void test_entry(const char *name, const struct make_tensor *t, const char *word)
{
    struct make m = { 0 };

    if (!check_begin("doctor.%s", name))
        return;
    make_file(&m, t, 1, 4096);
    const struct heard h = examine(&m);

    expect(&h, 1);
    expect_defect(&h, 0, t->name, HEADER, word);
    check_end();
}

static void test_entries(void)
{
    const struct make_tensor unknown = { "a", 9999, 1, { 8 }, 32, 0 };
    const struct make_tensor row = { "a", IQ4_KS, 2, { 100, 2 }, 32, 0 };
    const struct make_tensor foreign_row = { "a", 22, 1, { 128 }, 68, 0 };
    const struct make_tensor unit = { "a", 339, 2, { 256, 6 }, 32, 0 };
    const struct make_tensor scalar = { "a", F32, 0, { 0 }, 4, 0 };
    const struct make_tensor zero = { "a", F32, 2, { 8, 0 }, 32, 0 };
    const struct make_tensor no_row = { "a", F32, 1, { 0 }, 32, 0 };
    const struct make_tensor rows = { "a", F32, 3, { 1, 1ull << 32, 1ull << 32 }, 4, 0 };
    const struct make_tensor large = { "a", IQ4_KS, 2, { 1ull << 62, 16 }, 4, 0 };

    test_entry("unknown_type", &unknown, "unknown type 9999");
    test_entry("row_length", &row,
               "has rows of 100, expected a multiple of 256 for iq4_ks");
    test_entry("row_length.foreign", &foreign_row,
               "expected a multiple of 256 for iq2_s");
    test_entry("unit_rows", &unit, "has 6 rows, expected a multiple of 4");
    test_entry("no_dimensions", &scalar, "has 0 dimensions");
    test_entry("zero_dimension", &zero, "is 8 x 0 x 1 x 1: a dimension is 0");
    test_entry("zero_row", &no_row, "is 0 x 1 x 1 x 1: a dimension is 0");
    test_entry("too_large.rows", &rows, "more bytes than 64 bits can count");
    test_entry("too_large.bytes", &large, "more bytes than 64 bits can count");
}

static void test_duplicates(void)
{
    static const struct make_tensor t[] = {
        { "twice", F32, 1, { 8 }, 32, MAKE_AUTO },
        { "once", F32, 1, { 8 }, 32, MAKE_AUTO },
        { "twice", F32, 1, { 8 }, 32, MAKE_AUTO },
        { "twice+", F32, 1, { 8 }, 32, MAKE_AUTO },
    };
    struct make m = { 0 };

    if (!check_begin("doctor.duplicate_tensor"))
        return;
    make_file(&m, t, 4, 128);
    const struct heard h = examine(&m);

    expect(&h, 1);
    expect_defect(&h, 0, "twice", HEADER + (8 + 5 + 24) + (8 + 4 + 24),
                  "duplicate name: tensors 0 and 2");
    check_end();
}

static void test_duplicate_key(void)
{
    struct make m = { 0 };

    if (!check_begin("doctor.duplicate_key"))
        return;
    make_start(&m, 3, 0, 3);
    make_key_number(&m, "k", IQT_GGUF_U8, 1);
    make_key_number(&m, "other", IQT_GGUF_U8, 1);
    make_key_number(&m, "k", IQT_GGUF_U8, 2);
    const struct heard h = examine(&m);

    expect(&h, 1);
    expect_defect(&h, 0, "", HEADER + (8 + 1 + 5) + (8 + 5 + 5),
                  "duplicate key k: keys 0 and 2");
    check_end();
}

static void test_escaped(void)
{
    static const struct make_tensor t = { "\x1b[2J\n\xff", 9999, 1, { 8 }, 32, 0 };
    struct make m = { 0 };

    if (!check_begin("doctor.escaped_name"))
        return;
    make_file(&m, &t, 1, 64);
    const struct heard h = examine(&m);

    expect(&h, 1);
    expect_defect(&h, 0, "\\x1b[2J\\n\\xff", HEADER, "unknown type");
    check_end();
}

/* ---- Values ---- */

/* Writes value at a byte of the tensor's data, and expects one defect there. */
static void test_value(const char *name, const struct make_tensor *t, size_t at,
                       uint32_t value, uint32_t bytes, const char *word)
{
    struct make m = { 0 };
    size_t data;

    if (!check_begin("doctor.not_finite.%s", name))
        return;
    make_file(&m, t, 1, (size_t)t->bytes);
    data = m.data;
    for (uint32_t i = 0; i < bytes; i++)
        m.b.data[data + at + i] = (char)(value >> 8 * i);
    const struct heard h = examine(&m);

    expect(&h, 1);
    expect_defect(&h, 0, t->name, data + at, word);
    check_end();
}

static void test_values(void)
{
    const struct make_tensor ks = { "a", IQ4_KS, 2, { 512, 3 }, 3 * 276, 0 };
    const struct make_tensor ks2 = { "a", IQ2_KS, 2, { 512, 3 }, 3 * 142, 0 };
    const struct make_tensor k2 = { "a", IQ2_K, 2, { 512, 2 }, 304, 0 };
    const struct make_tensor q8 = { "a", Q8_0, 1, { 96 }, 102, 0 };
    const struct make_tensor q5 = { "a", Q5_K, 1, { 512 }, 352, 0 };
    const struct make_tensor f32 = { "a", F32, 2, { 100, 100 }, 40000, 0 };
    const struct make_tensor f16 = { "a", F16, 2, { 3, 7 }, 42, 0 };
    const struct make_tensor bf16 = { "a", BF16, 2, { 3, 7 }, 42, 0 };

    test_value("row_f32", &ks, 2 * 276, 0x7fc00000, 4,
               "scale of row 2, column 0 is not finite: f32 bits 7fc00000");
    test_value("row_f16", &ks2, 142, 0xfc00, 2, "scale of row 1, column 0 is not finite");
    test_value("superblock_f16", &k2, 3 * 76, 0x7c00, 2,
               "scale of row 1, column 256 is not finite: f16 bits 7c00");
    test_value("block_f16", &q8, 68, 0x7e01, 2,
               "scale of row 0, column 64 is not finite");
    test_value("minimum", &q5, 176 + 2, 0x7fff, 2,
               "scale of the minima of row 0, column 256");
    test_value("f32", &f32, 4 * 5107, 0xff800000, 4,
               "element of row 51, column 7 is not finite");
    test_value("f16", &f16, 40, 0x7c01, 2, "element of row 6, column 2 is not finite");
    test_value("bf16", &bf16, 0, 0x7f80, 2, "element of row 0, column 0 is not finite");
}

/* Finite extremes next to what is not finite are no defects, nor are NaN bits in codes. */
static void test_finite(void)
{
    static const struct make_tensor t[] = {
        { "a", F32, 1, { 2 }, 8, MAKE_AUTO },
        { "b", F16, 1, { 2 }, 4, MAKE_AUTO },
        { "c", IQ2_K, 1, { 256 }, 76, MAKE_AUTO },
    };
    struct make m = { 0 };

    if (!check_begin("doctor.finite"))
        return;
    make_file(&m, t, 3, 64 + 76);
    memcpy(m.b.data + m.data, "\xff\xff\x7f\x7f\xff\xff\x7f\xff", 8); /* +-FLT_MAX */
    memcpy(m.b.data + m.data + 32, "\xff\x7b\xff\xfb", 4);            /* +-65504 */
    memset(m.b.data + m.data + 64 + 2, 0xff, 74);
    const struct heard h = examine(&m);

    expect(&h, 0);
    check_end();
}

static void test_many(void)
{
    static const struct make_tensor t = { "a", F32, 1, { 50 }, 200, 0 };
    struct make m = { 0 };
    size_t data;

    if (!check_begin("doctor.not_finite.many"))
        return;
    make_file(&m, &t, 1, 200);
    data = m.data;
    memset(m.b.data + data, 0xff, 200);
    const struct heard h = examine(&m);

    expect(&h, 4);
    expect_defect(&h, 2, "a", data + 8, "element of row 0, column 2");
    expect_defect(&h, 3, "a", data, "50 numbers are not finite in all");
    check_end();
}

/* Many tensors that claim the same bytes must not make the work quadratic. */
static void test_linear(void)
{
    enum { COUNT = 200, WEIGHTS = 4096 };
    static struct make_tensor t[COUNT];
    static char names[COUNT][8];
    struct make m = { 0 };

    if (!check_begin("doctor.linear"))
        return;
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "%zu", i);
        t[i] = (struct make_tensor){ names[i], F32, 1, { WEIGHTS }, WEIGHTS * 4, 0 };
    }
    make_file(&m, t, COUNT, WEIGHTS * 4);
    memset(m.b.data + m.data, 0xff, WEIGHTS * 4);
    const struct heard h = examine(&m);

    check_true(
        h.count >= COUNT - 1 + 4 && h.count < COUNT - 1 + 4 * 4,
        "%zu defects: %d overlaps and four for each tensor that was read, at most three",
        h.count, COUNT - 1);
    check_end();
}

/* ---- Odd, but sound ---- */

static void test_sound(void)
{
    static const struct make_tensor t[] = {
        { "second", F32, 1, { 5 }, 20, 1024 }, /* out of order, with gaps */
        { "first", IQ4_KS, 2, { 256, 64 }, 64 * 4 + 136 * 64, 2048 },
        { "r4", 344, 2, { 256, 4 }, 4 * 140, 0 },
    };
    struct make m = { 0 };

    if (!check_begin("doctor.sound"))
        return;
    make_file(&m, t, 3, 2048 + 64 * 140 + 1000);
    const struct heard h = examine(&m);

    expect(&h, 0);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    test_headless();
    test_headless_padded();
    test_overlap();
    test_same_offset();
    test_short();
    test_outside();
    test_misaligned();
    test_entries();
    test_duplicates();
    test_duplicate_key();
    test_escaped();
    test_values();
    test_finite();
    test_many();
    test_linear();
    test_sound();
    return check_done();
}
