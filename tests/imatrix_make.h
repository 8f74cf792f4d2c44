/* Bytes of importance matrices for tests, sound or with one thing wrong. */
#ifndef IQT_TESTS_IMATRIX_MAKE_H
#define IQT_TESTS_IMATRIX_MAKE_H

#include "tests/gguf_make.h"

static inline void put_float(struct make *m, float value)
{
    make_bytes(m, &value, sizeof value);
}

/* Calls, then sums; lengths and counts are fields that a test can set to extremes. */
static inline void put_legacy_entry(struct make *m, const char *name, int32_t calls,
                                    const float *sums, size_t count)
{
    make_field(m, strlen(name), 4);
    make_bytes(m, name, strlen(name));
    make_field(m, (uint32_t)calls, 4);
    make_field(m, count, 4);
    for (size_t i = 0; i < count; i++)
        put_float(m, sums[i]);
}

static inline void put_legacy_trailer(struct make *m, int32_t chunks, const char *text)
{
    make_field(m, (uint32_t)chunks, 4);
    make_field(m, strlen(text), 4);
    make_bytes(m, text, strlen(text));
}

/* A tensor of floats; the data follow in the order of the table, each at 32 bytes. */
static inline void put_floats(struct make *m, const float *values, size_t count)
{
    const char zero = 0;

    for (size_t i = 0; i < count; i++)
        put_float(m, values[i]);
    while (m->b.bytes % 32 != 0 && !m->b.failed)
        make_bytes(m, &zero, 1);
}

#endif
