/* Hostile GGUF files: cut off everywhere, every length, count, type and offset set to extremes,
 * random bytes changed. Whatever opens is walked through completely; the sanitizers judge. */
#include "io/gguf_file.h"
#include "tests/check.h"
#include "tests/gguf_make.h"
#include "tests/gguf_walk.h"

#include <stdlib.h>

static const struct make_tensor tensors[] = {
    { "a.weight", 144, 2, { 512, 3 }, 828, MAKE_AUTO },
    { "b", 137, 3, { 256, 2, 2 }, 304, MAKE_AUTO },
    { "c", 0, 1, { 5 }, 20, MAKE_AUTO },
    { "d", 8, 4, { 64, 1, 2, 1 }, 136, MAKE_AUTO },
    { "e", 13, 2, { 256, 1 }, 176, MAKE_AUTO },
};
enum { DATA_BYTES = 832 + 320 + 32 + 160 + 176 };

static void make_sound(struct make *m)
{
    make_start(m, 3, IQT_COUNT(tensors), 6);
    make_key_number(m, "general.alignment", IQT_GGUF_U32, 32);
    make_key_text(m, "general.architecture", "llama");
    make_key_number(m, "split.count", IQT_GGUF_U16, 1);
    make_key(m, "words", IQT_GGUF_ARRAY);
    make_array(m, IQT_GGUF_STRING, 2);
    make_text(m, "one");
    make_text(m, "two");
    make_key(m, "nested", IQT_GGUF_ARRAY);
    make_array(m, IQT_GGUF_ARRAY, 2);
    make_array(m, IQT_GGUF_U16, 1);
    make_number(m, 5, 2);
    make_array(m, IQT_GGUF_I8, 0);
    make_key_number(m, "f", IQT_GGUF_F64, 0);
    make_tensors(m, tensors, IQT_COUNT(tensors), 32);
    make_data(m, 32, DATA_BYTES);
}

/* Opens and walks a copy that has not one byte more; defects is left alone when it is refused. */
static enum iqt_status try_file(const char *data, size_t bytes, size_t *defects)
{
    char *copy = malloc(bytes > 0 ? bytes : 1);
    struct iqt_gguf *g = NULL;
    enum iqt_status status;

    if (copy == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the test");
    memcpy(copy, data, bytes);
    status = iqt_gguf_open_memory(copy, bytes, &g);
    if (status == IQT_OK) {
        gguf_walk(g);
        *defects = iqt_gguf_doctor(g, NULL, NULL);
        iqt_gguf_close(g);
    }
    free(copy);
    return status;
}

/* A refusal that is about the file; no memory would mean that a count was believed. */
static bool is_about_file(enum iqt_status status)
{
    return status == IQT_OK || status == IQT_ERR_FORMAT || status == IQT_ERR_UNSUPPORTED;
}

static void test_truncated(void)
{
    struct make m = { 0 };
    size_t defects = 99;

    if (!check_begin("hostile.truncated"))
        return;
    make_sound(&m);
    check_true(try_file(m.b.data, m.b.bytes, &defects) == IQT_OK && defects == 0,
               "the whole file: %zu defects, %s", defects, iqt_last_error());
    for (size_t bytes = 0; bytes < m.b.bytes; bytes++) {
        const enum iqt_status status = try_file(m.b.data, bytes, &defects);

        check_true(is_about_file(status) && (status == IQT_OK || bytes < m.data),
                   "cut after %zu of %zu bytes: %s", bytes, m.b.bytes,
                   iqt_status_name(status));
        check_true(status != IQT_OK || defects > 0,
                   "cut after %zu of %zu bytes: no defect", bytes, m.b.bytes);
    }
    make_free(&m);
    check_end();
}

static const uint64_t extremes[] = {
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    12,
    13,
    31,
    33,
    255,
    256,
    65535,
    INT32_MAX,
    1ull << 31,
    UINT32_MAX,
    1ull << 32,
    1ull << 60,
    1ull << 61,
    INT64_MAX,
    1ull << 63,
    UINT64_MAX,
    UINT64_MAX - 1,
    0x03000000,
    UINT64_MAX - 31,
    UINT64_MAX - 4096,
};

static void set_field(char *data, const struct make *m, size_t field, uint64_t value)
{
    for (uint32_t i = 0; i < m->field[field].bytes; i++)
        data[m->field[field].at + i] = (char)(value >> 8 * i);
}

static void test_extremes(void)
{
    struct make m = { 0 };
    size_t defects = 0;

    if (!check_begin("hostile.extremes"))
        return;
    make_sound(&m);
    check_true(m.fields > 60 && m.fields < MAKE_FIELDS, "%zu fields", m.fields);
    for (size_t f = 0; f < m.fields; f++) {
        char saved[8];

        memcpy(saved, m.b.data + m.field[f].at, m.field[f].bytes);
        for (size_t i = 0; i < IQT_COUNT(extremes); i++) {
            set_field(m.b.data, &m, f, extremes[i]);
            const enum iqt_status status = try_file(m.b.data, m.b.bytes, &defects);

            check_true(is_about_file(status), "field at byte %zu = %llx: %s",
                       m.field[f].at, (unsigned long long)extremes[i], iqt_last_error());
        }
        memcpy(m.b.data + m.field[f].at, saved, m.field[f].bytes);
    }
    check_true(try_file(m.b.data, m.b.bytes, &defects) == IQT_OK && defects == 0,
               "the file was not restored");
    make_free(&m);
    check_end();
}

/* Several fields at once: one alone often ends the reading too early. */
static void test_random(void)
{
    struct make m = { 0 };
    size_t opened = 0, defects = 0;

    if (!check_begin("hostile.random"))
        return;
    make_sound(&m);
    for (uint32_t round = 0; round < 20000; round++) {
        char *copy = malloc(m.b.bytes);

        if (copy == NULL)
            break;
        memcpy(copy, m.b.data, m.b.bytes);
        for (uint32_t i = check_rand() % 4; i-- > 0;)
            set_field(copy, &m, check_rand() % m.fields,
                      extremes[check_rand() % IQT_COUNT(extremes)]);
        for (uint32_t i = check_rand() % 4; i-- > 0;)
            copy[check_rand() % m.b.bytes] = (char)check_rand();
        const enum iqt_status status = try_file(copy, m.b.bytes, &defects);

        check_true(is_about_file(status), "round %u: %s", round, iqt_last_error());
        opened += status == IQT_OK;
        free(copy);
    }
    check_true(opened > 1000,
               "only %zu of 20000 files opened: nothing was walked through", opened);
    make_free(&m);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    test_truncated();
    test_extremes();
    test_random();
    return check_done();
}
