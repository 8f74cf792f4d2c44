/* The floor: arithmetic, half precision, text buffers, escaping, errors. */
#include "tests/check.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- Numbers ---- */

static const uint64_t extremes[] = { 0,          1,           2,          3,
                                     INT32_MAX,  1ull << 31,  UINT32_MAX, 1ull << 32,
                                     INT64_MAX,  1ull << 63,  UINT64_MAX, UINT64_MAX - 1,
                                     1ull << 33, 0x123456789, 255,        65536 };

static void check_pair(uint64_t a, uint64_t b)
{
    const unsigned __int128 sum = (unsigned __int128)a + b;
    const unsigned __int128 product = (unsigned __int128)a * b;
    uint64_t out = 42;
    bool fits = iqt_add(a, b, &out);

    check_true(fits == (sum <= UINT64_MAX) && out == (fits ? (uint64_t)sum : 42),
               "iqt_add(%llx, %llx)", (unsigned long long)a, (unsigned long long)b);
    out = 42;
    fits = iqt_mul(a, b, &out);
    check_true(fits == (product <= UINT64_MAX) && out == (fits ? (uint64_t)product : 42),
               "iqt_mul(%llx, %llx)", (unsigned long long)a, (unsigned long long)b);
}

static void test_arithmetic(void)
{
    if (!check_begin("arithmetic.overflow"))
        return;
    for (size_t i = 0; i < IQT_COUNT(extremes); i++) {
        for (size_t j = 0; j < IQT_COUNT(extremes); j++)
            check_pair(extremes[i], extremes[j]);
    }
    for (uint32_t i = 0; i < 10000; i++) {
        const uint64_t a = (uint64_t)check_rand() << 32 | check_rand();
        const uint64_t b = (uint64_t)check_rand() << 32 | check_rand();

        check_pair(a >> check_rand() % 64, b >> check_rand() % 64);
    }
    check_true(iqt_round_up(0, 32) == 0 && iqt_round_up(1, 32) == 32 &&
                   iqt_round_up(32, 32) == 32 && iqt_round_up(33, 7) == 35,
               "iqt_round_up");
    check_end();
}

/* By the definition of the format, not by moving bits. */
static double half_value(uint32_t h)
{
    const int exponent = (int)(h >> 10 & 31), fraction = (int)(h & 1023);
    const double sign = h & 0x8000 ? -1.0 : 1.0;

    return sign *
           (exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25));
}

static void test_half(void)
{
    if (!check_begin("f16.all"))
        return;
    for (uint32_t h = 0; h < 65536; h++) {
        const float f = iqt_f16_to_f32((uint16_t)h);
        const bool top = (h & 0x7c00) == 0x7c00;
        const bool good = top && (h & 1023) != 0 ? isnan(f)
                          : top                  ? isinf(f) != 0
                                                 : (double)f == half_value(h);

        check_true(good && !signbit(f) == !(h & 0x8000), "f16 %04x gives %a", h,
                   (double)f);
    }
    check_end();
}

static void test_reads(void)
{
    static const uint8_t bytes[] = { 0xee, 0x01, 0x82, 0x03, 0x84, 0x05, 0x86,
                                     0x07, 0x88, 0xcd, 0xcc, 0x4c, 0xbe };

    if (!check_begin("reads.unaligned"))
        return;
    check_true(iqt_read_u16(bytes + 1) == 0x8201, "u16");
    check_true(iqt_read_u32(bytes + 1) == 0x84038201u, "u32");
    check_true(iqt_read_u64(bytes + 1) == 0x8807860584038201u, "u64");
    check_true(iqt_read_f32(bytes + 9) == -0.2f, "f32");
    check_end();
}

static void test_hash(void)
{
    if (!check_begin("hash.xxh3"))
        return;
    /* Published: XXH3_64bits of nothing. Keys on disk depend on the function staying. */
    check_true(iqt_hash("", 0, 0) == 0x2d06800538d394c2u, "hash of nothing is %llx",
               (unsigned long long)iqt_hash("", 0, 0));
    check_true(iqt_hash("a", 1, 0) != iqt_hash("a", 1, 1), "the seed is ignored");
    check_true(iqt_hash("a", 1, 0) != iqt_hash("b", 1, 0), "the data is ignored");
    check_end();
}

static void test_clock(void)
{
    if (!check_begin("clock.monotonic"))
        return;
    const uint64_t before = iqt_now_ns();

    usleep(2000);
    const uint64_t passed = iqt_now_ns() - before;

    check_true(passed >= 2000000 && passed < 60000000000u, "%llu ns for 2 ms",
               (unsigned long long)passed);
    check_end();
}

/* ---- Text ---- */

static void test_buf(void)
{
    struct iqt_buf b = { 0 };
    char expected[4096] = "";
    size_t at = 0;

    if (!check_begin("buf.append"))
        return;
    check_true(strcmp(iqt_buf_text(&b), "") == 0, "an empty buffer has no text");
    for (int i = 0; i < 600; i++) {
        iqt_buf_printf(&b, "%d,", i);
        at += (size_t)snprintf(expected + at, sizeof expected - at, "%d,", i);
    }
    iqt_buf_append(&b, "end", 3);
    check_true(iqt_buf_check(&b) == IQT_OK && b.bytes == at + 3 &&
                   b.data[b.bytes] == '\0' && memcmp(b.data, expected, at) == 0 &&
                   strcmp(b.data + at, "end") == 0,
               "the text is not what was appended");
    iqt_buf_free(&b);
    check_true(b.data == NULL && b.bytes == 0 && b.capacity == 0,
               "free leaves an empty buffer");
    check_end();
}

static void test_buf_sticky(void)
{
    struct iqt_buf b = { 0 };

    if (!check_begin("buf.sticky_error"))
        return;
    iqt_buf_append(&b, "abc", 3);
    iqt_buf_append(&b, "", SIZE_MAX - 2); /* reads nothing: the size is refused first */
    iqt_buf_append(&b, "def", 3);
    iqt_buf_printf(&b, "%d", 1);
    check_true(b.failed && b.bytes == 3 && strcmp(iqt_buf_text(&b), "abc") == 0,
               "text after a failure: %s", iqt_buf_text(&b));
    check_true(iqt_buf_check(&b) == IQT_ERR_NO_MEMORY, "iqt_buf_check says %s",
               iqt_status_name(iqt_buf_check(&b)));
    iqt_buf_free(&b);
    check_end();
}

static void check_escape(const char *in, size_t bytes, const char *terminal,
                         const char *json)
{
    char one[IQT_ESCAPE_BYTES], out[256];
    struct iqt_buf b = { 0 };

    iqt_escape(out, sizeof out, in, bytes);
    check_true(strcmp(out, terminal) == 0, "terminal text %s, expected %s", out,
               terminal);
    for (size_t i = 0; i < bytes;) {
        i += iqt_json_one(one, in + i, bytes - i);
        iqt_buf_append(&b, one, strlen(one));
    }
    check_true(strcmp(iqt_buf_text(&b), json) == 0, "JSON text %s, expected %s",
               iqt_buf_text(&b), json);
    iqt_buf_free(&b);
}

static void test_escape(void)
{
    char out[16];

    if (!check_begin("escape.hostile"))
        return;
    check_escape("blk.0", 5, "blk.0", "blk.0");
    check_escape("\x1b[2J\n\0", 6, "\\x1b[2J\\n\\x00", "\\u001b[2J\\u000a\\u0000");
    check_escape("a\"b\\", 4, "a\"b\\", "a\\\"b\\\\");
    check_escape("\xc4\xa0t\xf0\x9f\x98\x80", 7, "\xc4\xa0t\xf0\x9f\x98\x80",
                 "\xc4\xa0t\xf0\x9f\x98\x80");
    check_escape("\xc4", 1, "\\xc4", "\\ufffd");                 /* cut off */
    check_escape("\xc0\xaf", 2, "\\xc0\\xaf", "\\ufffd\\ufffd"); /* overlong */
    check_escape("\xed\xa0\x80", 3, "\\xed\\xa0\\x80",
                 "\\ufffd\\ufffd\\ufffd"); /* surrogate */
    check_escape("\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80",
                 "\\ufffd\\ufffd\\ufffd\\ufffd"); /* past U+10FFFF */
    check_escape("\xe2\x80\xae", 3, "\\u202e",
                 "\\u202e");                           /* reverses a terminal's line */
    check_escape("\xc2\x9b", 2, "\\u009b", "\\u009b"); /* ESC [ in one character */
    iqt_escape(out, sizeof out, "123456789012345", 15);
    check_true(strcmp(out, "123456789012345") == 0, "what fits is whole: %s", out);
    iqt_escape(out, sizeof out, "1234567890123456", 16);
    check_true(strcmp(out, "123456789012...") == 0, "what does not fit is cut: %s", out);
    iqt_escape(out, sizeof out, "12345678901\n\n\n", 14);
    check_true(strcmp(out, "12345678901...") == 0, "cut between characters: %s", out);
    check_end();
}

/* ---- Errors ---- */

static void *fail_elsewhere(void *arg)
{
    (void)arg;
    iqt_error_set("another thread");
    return NULL;
}

static void test_muted_error(void)
{
    enum iqt_status status;

    if (!check_begin("error.muted"))
        return;
    status = iqt_fail(IQT_ERR_SHAPE, "said");
    check_true(!iqt_error_mute(true), "muted before anybody asked");
    status = iqt_fail(IQT_ERR_ARG, "not said");
    check_true(status == IQT_ERR_ARG, "status %d of a muted error", (int)status);
    check_true(strcmp(iqt_last_error(), "said") == 0, "'%s'", iqt_last_error());
    check_true(iqt_error_mute(false), "not muted after all");
    status = iqt_fail(IQT_ERR_ARG, "said again");
    check_true(strcmp(iqt_last_error(), "said again") == 0, "'%s'", iqt_last_error());
    check_end();
}

static void test_errors(void)
{
    pthread_t thread;

    if (!check_begin("error.text"))
        return;
    check_true(iqt_fail(IQT_ERR_SHAPE, "k is %d", 7) == IQT_ERR_SHAPE,
               "the status is lost");
    check_true(strcmp(iqt_last_error(), "k is 7") == 0, "%s", iqt_last_error());
    iqt_error_set("while testing: %s", iqt_last_error());
    check_true(strcmp(iqt_last_error(), "while testing: k is 7") == 0, "%s",
               iqt_last_error());
    if (pthread_create(&thread, NULL, fail_elsewhere, NULL) == 0)
        pthread_join(thread, NULL);
    check_true(strcmp(iqt_last_error(), "while testing: k is 7") == 0,
               "another thread's failure shows: %s", iqt_last_error());
    iqt_error_set("%s", "\x1b[31mred");
    check_true(strchr(iqt_last_error(), '\x1b') == NULL, "a control character is kept");
    iqt_error_set("%5000d", 1);
    check_true(strlen(iqt_last_error()) > 1000, "a long text is cut, not lost");
    check_end();
}

static void test_names(void)
{
    if (!check_begin("error.names"))
        return;
    check_true(strcmp(iqt_status_name(IQT_OK), "IQT_OK") == 0, "IQT_OK");
    check_true(strcmp(iqt_status_name(IQT_ERR_INTERNAL), "IQT_ERR_INTERNAL") == 0,
               "internal");
    check_true(iqt_status_name((enum iqt_status)77) != NULL, "unknown is NULL");
    for (int i = 0; i < 100; i++) {
        for (int j = 0; j < i; j++) {
            const char *a = iqt_status_name((enum iqt_status)i);
            const char *b = iqt_status_name((enum iqt_status)j);

            check_true(strcmp(a, b) != 0 || strncmp(a, "IQT_", 4) != 0,
                       "%d and %d are %s", i, j, a);
        }
    }
    check_true(strcmp(iqt_version(), IQT_VERSION) == 0, "version %s", iqt_version());
    check_end();
}

static void test_half_rounding(void)
{
    if (!check_begin("half.rounding"))
        return;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        const float x = iqt_f16_to_f32((uint16_t)h);
        const float above = iqt_f16_to_f32((uint16_t)(h + 1));
        const float middle = h + 1 < 0x7c00 ? x + (above - x) / 2 : 65520;
        const uint32_t even = (h + 1) & ~1u;

        check_true(iqt_f32_to_f16(x) == h && iqt_f32_to_f16(-x) == (h | 0x8000),
                   "%04x becomes %04x", h, iqt_f32_to_f16(x));
        check_true(iqt_f32_to_f16(middle) == even, "above %04x: %04x", h,
                   iqt_f32_to_f16(middle));
        check_true(iqt_f32_to_f16(nextafterf(middle, 0)) == h &&
                       iqt_f32_to_f16(nextafterf(middle, INFINITY)) == h + 1,
                   "around the middle above %04x", h);
    }
    check_true(iqt_f32_to_f16(INFINITY) == 0x7c00 && iqt_f32_to_f16(1e30f) == 0x7c00 &&
                   (iqt_f32_to_f16(NAN) & 0x7fff) > 0x7c00 && iqt_f32_to_f16(1e-30f) == 0,
               "the ends");
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    test_muted_error();
    test_half_rounding();
    test_arithmetic();
    test_half();
    test_reads();
    test_hash();
    test_clock();
    test_buf();
    test_buf_sticky();
    test_escape();
    test_errors();
    test_names();
    return check_done();
}
