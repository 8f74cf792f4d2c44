/* The format table against facts that were not derived from it: published sizes, type
 * numbers and checksums, and the hand-written decoders, which never look at it. */
#include "tests/check.h"
#include "tests/crc32.h"
#include "kernels/codebook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SUPERBLOCK = 256, MAX_BYTES = 512 };

/* ---- Facts ---- */

static const struct {
    const char *name;
    uint32_t type;
    uint16_t head, bytes, weights;
} sizes[] = {
    { "iq1_kt", 158, 4, 56, 256 },   { "iq2_kt", 153, 4, 68, 256 },
    { "iq2_ks", 145, 2, 70, 256 },   { "iq2_k", 137, 0, 76, 256 },
    { "iq2_kl", 157, 2, 86, 256 },   { "iq3_kt", 154, 4, 100, 256 },
    { "iq3_ks", 156, 2, 102, 256 },  { "iq3_k", 138, 0, 110, 256 },
    { "iq4_kss", 146, 4, 128, 256 }, { "iq4_kt", 155, 4, 128, 256 },
    { "iq4_ks", 144, 4, 136, 256 },  { "iq4_k", 139, 0, 144, 256 },
    { "iq5_ks", 152, 4, 168, 256 },  { "iq5_k", 140, 0, 176, 256 },
    { "iq6_k", 141, 0, 212, 256 },   { "q8_0", 8, 0, 34, 32 },
    { "q6_k", 14, 0, 210, 256 },     { "q5_k", 13, 0, 176, 256 },
    { "f16", 1, 0, 2, 1 },           { "bf16", 30, 0, 2, 1 },
    { "f32", 0, 0, 4, 1 },           { "q4_k", 12, 0, 144, 256 },
    { "q3_k", 11, 0, 110, 256 },     { "q2_k", 10, 0, 84, 256 },
    { "iq4_xs", 23, 0, 136, 256 },   { "iq3_s", 21, 0, 110, 256 },
    { "q6_0", 133, 0, 26, 32 },      { "q5_0", 6, 0, 22, 32 },
    { "q5_1", 7, 0, 24, 32 },        { "q4_0", 2, 0, 18, 32 },
    { "q4_1", 3, 0, 20, 32 },        { "iq4_nl", 20, 0, 18, 32 },
};

static void test_sizes(void)
{
    size_t known = 0;

    for (size_t i = 0; i < IQT_COUNT(sizes); i++) {
        const struct iqt_format *f = iqt_format_find(sizes[i].name);

        if (!check_begin("size.%s", sizes[i].name))
            continue;
        check_true(f != NULL, "not in the table");
        for (size_t n = 1; f != NULL && n <= 56; n += 5) {
            const size_t want = sizes[i].head + n * sizes[i].bytes;
            size_t bytes = 0;

            check_true(iqt_format_row_bytes(f, n * sizes[i].weights, &bytes) == IQT_OK &&
                           bytes == want,
                       "row of %zu weights: %zu bytes, expected %zu",
                       n * sizes[i].weights, bytes, want);
        }
        check_true(f == iqt_format_of_type(sizes[i].type), "type %u is another format",
                   sizes[i].type);
        check_end();
    }
    while (iqt_format_at(known) != NULL)
        known++;
    if (check_begin("size.all")) {
        check_true(known == IQT_COUNT(sizes), "%zu formats in the table, %zu in the test",
                   known, IQT_COUNT(sizes));
        check_end();
    }
}

static void test_codebooks(void)
{
    static const struct {
        const struct iqt_codebook *book;
        uint32_t crc; /* of the base half and the shifted half, or of the pairs */
    } books[] = {
        { &iqt_codebook_q2, 0x035f991e },    { &iqt_codebook_q3, 0xe2ba317e },
        { &iqt_codebook_q4, 0x367d0727 },    { &iqt_codebook_q5, 0x9997ada9 },
        { &iqt_codebook_q6, 0x716afcf4 },    { &iqt_codebook_p2, 0x84edeeb3 },
        { &iqt_codebook_fours, 0xf576e4f3 },
    };

    for (size_t i = 0; i < IQT_COUNT(books); i++) {
        const struct iqt_codebook *b = books[i].book;
        int8_t image[2048];
        size_t bytes = 0;

        if (!check_begin("codebook.%s", b->name))
            continue;
        for (int half = 0; half < (b->dim == 1 ? 2 : 1); half++) {
            for (size_t v = 0; v < (size_t)b->count * b->dim; v++)
                image[bytes++] = (int8_t)(b->value[v] + half * b->shift);
        }
        check_true(crc32(image, bytes) == books[i].crc, "crc %08x, expected %08x",
                   crc32(image, bytes), books[i].crc);
        check_end();
    }
}

static void test_type_numbers(void)
{
    if (!check_begin("types.unique"))
        return;
    for (size_t i = 0; iqt_format_at(i) != NULL; i++) {
        const struct iqt_format *a = iqt_format_at(i);

        check_true(iqt_format_of_type(a->gguf_type) == a, "%s: type %u is taken", a->name,
                   a->gguf_type);
        check_true(iqt_format_find(a->name) == a, "%s: name is taken", a->name);
        check_true(iqt_foreign_of_type(a->gguf_type) == NULL, "%s: also a foreign type",
                   a->name);
    }
    check_end();
}

/* Foreign interleaved types hold the bits of their base type in another order. */
static void test_foreign(void)
{
    unsigned interleaved = 0;

    if (!check_begin("types.foreign"))
        return;
    for (uint32_t type = 0; type < 1000; type++) {
        const struct iqt_foreign_type *t = iqt_foreign_of_type(type);
        char base[32];

        if (t == NULL)
            continue;
        check_true(t->gguf_type == type, "type %u answers to %u", t->gguf_type, type);
        check_true(t->superblock > 0 && t->bytes > 0, "%s has no size", t->name);
        snprintf(base, sizeof base, "%s", t->name);
        if (strstr(base, "_r4") != NULL)
            *strstr(base, "_r4") = '\0';

        const struct iqt_format *f = iqt_format_find(base);

        if (f == NULL)
            continue;
        interleaved++;
        check_true(t->bytes == f->bytes && t->superblock == f->superblock &&
                       t->row_head == f->row_head,
                   "%s: %u bytes a superblock and %u a row, %s has %u and %u", t->name,
                   t->bytes, t->row_head, f->name, f->bytes, f->row_head);
    }
    check_true(interleaved == 9, "%u interleaved forms of our formats, expected 9",
               interleaved);
    check_end();
}

static void test_lookup(void)
{
    const struct iqt_format *f = iqt_format_find("IQ4_KS");
    size_t bytes = 7;

    if (!check_begin("lookup"))
        return;
    check_true(f != NULL && strcmp(iqt_format_name(f), "iq4_ks") == 0,
               "IQ4_KS not found");
    check_true(iqt_format_find("iq4") == NULL, "a prefix is not a name");
    check_true(iqt_format_find("") == NULL && iqt_format_find(NULL) == NULL,
               "nothing is not a name");
    check_true(iqt_format_of_type(4) == NULL, "type 4 was removed from ggml");
    check_true(iqt_format_at((size_t)-1) == NULL, "past the end");
    check_true(iqt_format_row_bytes(f, 0, &bytes) == IQT_ERR_SHAPE, "k = 0 was accepted");
    check_true(iqt_format_row_bytes(f, 255, &bytes) == IQT_ERR_SHAPE,
               "k = 255 was accepted");
    check_true(iqt_format_row_bytes(f, 257, &bytes) == IQT_ERR_SHAPE,
               "k = 257 was accepted");
    check_true(iqt_format_row_bytes(NULL, 256, &bytes) == IQT_ERR_ARG,
               "NULL was accepted");
    f = iqt_format_find("f32");
    check_true(iqt_format_row_bytes(f, SIZE_MAX / 2, &bytes) == IQT_ERR_SHAPE,
               "a row of %zu floats was accepted", SIZE_MAX / 2);
    check_true(bytes == 7, "a failing call wrote its output");
    check_end();
}

/* ---- The shape of the table: every bit of a superblock belongs to exactly one field
 * ---- */

static void claim_field(const struct iqt_format *f, const struct iqt_field *field,
                        const char *name, const char **owner)
{
    for (int p = 0; p < IQT_MAX_PLANES && field->plane[p].width != 0; p++) {
        bool mine[8 * MAX_BYTES] = { false };

        for (uint32_t i = 0; i < f->superblock; i++) {
            const uint32_t first = iqt_plane_bit(&field->plane[p], i);

            for (uint32_t bit = first; bit < first + field->plane[p].width; bit++) {
                if (bit >= 8u * f->bytes) {
                    check_fail("%s reads bit %u of %u", name, bit, 8u * f->bytes);
                    return;
                }
                /* The words of gray formats have a bit of their own each, for the scale.
                 */
                if (owner[bit] != NULL && !mine[bit] && !f->gray)
                    check_fail("bit %u belongs to %s and %s", bit, owner[bit], name);
                owner[bit] = name;
                mine[bit] = true;
            }
        }
    }
}

static void claim_scalar(const struct iqt_scalar *s, const char *name, const char **owner)
{
    const uint32_t bits = s->type == IQT_F32 ? 32 : 16;

    for (uint32_t bit = 8u * s->byte;
         s->at == IQT_AT_SUPERBLOCK && bit < 8u * s->byte + bits; bit++) {
        if (owner[bit] != NULL)
            check_fail("bit %u belongs to %s and %s", bit, owner[bit], name);
        owner[bit] = name;
    }
}

static void test_cover(const struct iqt_format *f)
{
    const char *owner[8 * MAX_BYTES] = { NULL };

    if (!check_begin("cover.%s", f->name))
        return;
    claim_field(f, &f->code, "code", owner);
    claim_field(f, &f->sign, "sign", owner);
    claim_field(f, &f->shift, "shift", owner);
    claim_field(f, &f->scale.raw, "scale", owner);
    claim_field(f, &f->scale.negative, "negative", owner);
    claim_field(f, &f->min.raw, "min", owner);
    claim_scalar(&f->super, "super", owner);
    claim_scalar(&f->super_min, "super_min", owner);
    for (uint32_t bit = 0; bit < 8u * f->bytes; bit++)
        check_true(owner[bit] != NULL, "bit %u belongs to no field", bit);
    check_true((f->row_head != 0) == (f->super.at == IQT_AT_ROW),
               "row header without use");
    check_true(f->gain == 1.0f || f->super.at == IQT_AT_ROW,
               "gain %g goes with a row header only", (double)f->gain);
    check_end();
}

/* ---- The table's weights against the hand-written decoder's ---- */

/* empty: what a scale without a field is. */
static int32_t scale_of(const struct iqt_scale *s, const uint8_t *block, uint32_t i,
                        int32_t empty)
{
    uint32_t raw;
    int32_t value;

    if (iqt_field_empty(&s->raw))
        return empty;
    raw = iqt_field_get(&s->raw, block, i);
    value = (int32_t)raw;
    if (s->is_signed != 0 && raw >> (s->is_signed - 1) & 1)
        value -= (int32_t)(1u << s->is_signed);
    value = s->table != NULL ? s->table[raw] : value * s->mul + s->add;
    if (!iqt_field_empty(&s->negative) && iqt_field_get(&s->negative, block, i))
        value = -value;
    return value;
}

static float scalar_of(const struct iqt_scalar *s, const uint8_t *block, float head)
{
    if (s->at == IQT_AT_ROW)
        return head;
    return s->type == IQT_F16 ? iqt_f16_to_f32(iqt_read_u16(block + s->byte))
                              : iqt_read_f32(block + s->byte);
}

static uint32_t shift_of(const struct iqt_format *f, const uint8_t *block, uint32_t i)
{
    return iqt_field_empty(&f->shift) ? 0 : iqt_field_get(&f->shift, block, i);
}

static int32_t trellis_value(const struct iqt_trellis *t, uint32_t seed, uint32_t n)
{
    uint32_t state = seed;

    for (uint32_t step = 0; step <= n; step++)
        state *= t->multiplier;
    state &= t->mask;

    const int32_t v = (int32_t)((state & 255) + (state >> 8 & 255) + (state >> 16 & 255) +
                                (state >> 24)) -
                      t->centre;

    return t->magnitude ? abs(v) : v;
}

/* codes: the block, or its gray-decoded image. */
static int32_t value_of(const struct iqt_format *f, const uint8_t *block,
                        const uint8_t *codes, uint32_t i)
{
    const uint32_t code = iqt_field_get(&f->code, codes, i);
    const uint32_t shift = shift_of(f, block, i);

    if (f->decode == IQT_DECODE_CODEBOOK) {
        const struct iqt_codebook *b = f->codebook;

        return b->value[code * b->dim + i % b->dim] + (shift ? b->shift : 0);
    }
    if (f->decode == IQT_DECODE_TRELLIS) {
        const struct iqt_trellis *t = f->trellis;

        return trellis_value(t, code + t->seed_add + (shift ? t->shift_add : 0),
                             i % t->group);
    }

    const uint32_t top = f->code_signed != 0 ? 1u << (f->code_signed - 1) : 0;

    return (int32_t)(code ^ top) - (int32_t)top + f->code_add;
}

static float float_of(const struct iqt_format *f, uint32_t code)
{
    if (f->element == IQT_F16)
        return iqt_f16_to_f32((uint16_t)code);
    if (f->element == IQT_BF16)
        code <<= 16;
    return iqt_read_f32(&(uint8_t[4]){ (uint8_t)code, (uint8_t)(code >> 8),
                                       (uint8_t)(code >> 16), (uint8_t)(code >> 24) });
}

static void decode_by_table(const struct iqt_format *f, const uint8_t *block, float head,
                            float *out)
{
    uint8_t codes[MAX_BYTES];

    memcpy(codes, block, f->bytes);
    for (uint32_t n = 0; f->gray && n < f->bytes; n += 2) {
        const uint32_t v = iqt_read_u16(block + n) & 0xfffeu;

        codes[n] = (uint8_t)(v ^ v >> 1);
        codes[n + 1] = (uint8_t)((v ^ v >> 1) >> 8);
    }
    for (uint32_t i = 0; i < f->superblock; i++) {
        if (f->decode == IQT_DECODE_FLOAT) {
            out[i] = float_of(f, iqt_field_get(&f->code, block, i));
            continue;
        }

        const float dl =
            scalar_of(&f->super, block, head) * (float)scale_of(&f->scale, block, i, 1);
        const float product = dl * (float)value_of(f, block, codes, i);

        out[i] = product;
        if (!iqt_field_empty(&f->sign) && iqt_field_get(&f->sign, block, i))
            out[i] = -product;
        if (iqt_has_min(f)) {
            const float dm = scalar_of(&f->super_min, block, head) *
                             (float)scale_of(&f->min, block, i, f->min.add);

            out[i] = product - dm;
        }
    }
}

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b);
}

/* First the two extremes, then random bytes. */
static void fill(uint8_t *block, size_t bytes, int round)
{
    if (round < 2)
        memset(block, round == 0 ? 0 : 255, bytes);
    else
        check_rand_bytes(block, bytes);
}

static void test_table(const struct iqt_format *f)
{
    static const float heads[] = { 0.001f, -0.25f, 1e-12f, 3e3f, 0.0f };
    float want[MAX_SUPERBLOCK], got[MAX_SUPERBLOCK];

    if (!check_begin("table.%s", f->name))
        return;
    for (int round = 0; round < 64; round++) {
        const float head = heads[check_rand() % IQT_COUNT(heads)];
        uint8_t *block = malloc(f->bytes); /* exact, so that sanitizers see overreads */

        if (block == NULL)
            abort();
        fill(block, f->bytes, round);
        if (f->super.at == IQT_AT_SUPERBLOCK && round % 2 == 1)
            memcpy(block + f->super.byte, "\x55\x1d",
                   2); /* not the rare NaN or infinity */
        f->decode_ref(block, head, IQT_DECODE_COMPUTE, want);
        decode_by_table(f, block, head, got);
        for (uint32_t i = 0; i < f->superblock; i++)
            check_true(same_bits(got[i], want[i]),
                       "round %d, weight %u: table gives %a, decoder %a", round, i,
                       (double)got[i], (double)want[i]);
        free(block);
    }
    check_end();
}

/* ---- Rows ---- */

/* Row decode is the superblocks' decode; short float rows are the beginning of long ones.
 */
static void test_rows(const struct iqt_format *f)
{
    const size_t blocks = 3, k = blocks * f->superblock;
    size_t bytes;

    if (!check_begin("rows.%s", f->name))
        return;
    if (iqt_format_row_bytes(f, k, &bytes) != IQT_OK)
        abort();

    uint8_t *row = malloc(bytes);
    float *out = malloc((k + 1) * sizeof *out), want[MAX_SUPERBLOCK];

    if (row == NULL || out == NULL)
        abort();
    check_rand_bytes(row, bytes);
    memset(row, 0, f->row_head); /* then 1 as f16, 2^-7 as f32 */
    if (f->row_head != 0)
        row[f->row_head - 1] = 0x3c;
    for (size_t n = f->granule; n <= k; n += f->granule) {
        float head = f->row_head == 2 ? iqt_f16_to_f32(iqt_read_u16(row)) : 0.0f;

        if (f->row_head == 4)
            head = iqt_read_f32(row);
        out[n] = 12345.0f;
        check_true(iqt_decode_row(f, row, n, IQT_DECODE_REFERENCE, out) == IQT_OK,
                   "k = %zu: %s", n, iqt_last_error());
        check_true(out[n] == 12345.0f, "k = %zu: wrote past the row", n);
        for (size_t i = 0; i < n; i++) {
            if (i % f->superblock == 0)
                f->decode_ref(row + f->row_head + i / f->superblock * f->bytes, head,
                              IQT_DECODE_REFERENCE, want);
            check_true(same_bits(out[i], want[i % f->superblock]),
                       "k = %zu, weight %zu: %a, expected %a", n, i, (double)out[i],
                       (double)want[i % f->superblock]);
        }
    }
    check_true(iqt_decode_row(f, NULL, k, IQT_DECODE_COMPUTE, out) == IQT_ERR_ARG,
               "a NULL row was accepted");
    check_true(f->granule == 1 || iqt_decode_row(f, row, k - 1, IQT_DECODE_COMPUTE,
                                                 out) == IQT_ERR_SHAPE,
               "k = %zu was accepted", k - 1);
    free(row);
    free(out);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    test_sizes();
    test_codebooks();
    test_type_numbers();
    test_foreign();
    test_lookup();
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        test_cover(f);
        test_table(f);
        test_rows(f);
    }
    return check_done();
}
