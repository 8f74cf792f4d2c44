/* Touches everything that an opened GGUF file hands out, as its users would: keys, elements of
 * arrays, tensors, the first rows of every tensor with a format. For tests and fuzzing. */
#ifndef IQT_TESTS_GGUF_WALK_H
#define IQT_TESTS_GGUF_WALK_H

#include "kernels/format.h"

#include <iqtile/gguf.h>

#include <stdlib.h>
#include <string.h>

enum { WALK_ROWS = 2, WALK_COLUMNS = 1 << 16 };

static volatile uint64_t walk_sum; /* keeps the reads */

static inline void walk_bytes(const void *data, uint64_t bytes)
{
    const uint8_t *p = data;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < bytes; i++)
        sum += p[i];
    walk_sum += sum;
}

static inline const uint8_t *walk_item(enum iqt_gguf_type type, const uint8_t *p)
{
    uint64_t bytes = iqt_gguf_type_bytes(type);

    if (type == IQT_GGUF_ARRAY) {
        const enum iqt_gguf_type item = (enum iqt_gguf_type)iqt_read_u32(p);
        const uint64_t count = iqt_read_u64(p + 4);

        p += 12;
        for (uint64_t i = 0; i < count; i++)
            p = walk_item(item, p);
        return p;
    }
    if (type == IQT_GGUF_STRING) {
        bytes = iqt_read_u64(p);
        p += 8;
    }
    walk_bytes(p, bytes);
    return p + bytes;
}

static inline void walk_key(const struct iqt_gguf_key *key)
{
    const uint8_t *p = key->data;

    walk_bytes(key->name, key->name_bytes);
    if (key->type == IQT_GGUF_STRING) {
        walk_bytes(p, key->count);
        return;
    }
    for (uint64_t i = 0; i < key->count; i++)
        p = walk_item(key->item, p);
}

static inline void walk_rows(const struct iqt_gguf_tensor *t)
{
    const size_t columns = t->ne[0] <= WALK_COLUMNS ? (size_t)t->ne[0] : 0;
    float *out = malloc(columns * sizeof *out);
    size_t row_bytes;

    if (out != NULL && columns > 0 &&
        iqt_format_row_bytes(t->format, columns, &row_bytes) == IQT_OK) {
        for (uint64_t i = 0; i < iqt_gguf_rows(t) && i < WALK_ROWS; i++) {
            const uint8_t *row = (const uint8_t *)t->data + i * row_bytes;

            for (int mode = IQT_DECODE_COMPUTE; mode <= IQT_DECODE_REFERENCE; mode++) {
                if (iqt_decode_row(t->format, row, columns, (enum iqt_decode_mode)mode,
                                   out) == IQT_OK)
                    walk_bytes(out, columns * sizeof *out);
            }
        }
    }
    free(out);
}

static inline void gguf_walk(const struct iqt_gguf *g)
{
    for (size_t i = 0; i < iqt_gguf_key_count(g); i++) {
        const struct iqt_gguf_key key = iqt_gguf_key_at(g, i);

        walk_key(&key);
    }
    for (size_t i = 0; i < iqt_gguf_tensor_count(g); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, i);

        walk_bytes(t.name, t.name_bytes);
        if (t.data == NULL)
            continue;
        walk_bytes(t.data, t.bytes < 4096 ? t.bytes : 4096);
        walk_bytes((const uint8_t *)t.data + t.bytes - 1, 1);
        if (t.format != NULL)
            walk_rows(&t);
    }
}

#endif
