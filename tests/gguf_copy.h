/* Writes an opened GGUF file anew through the public writer, and compares two opened files. For
 * tests and fuzzing. */
#ifndef IQT_TESTS_GGUF_COPY_H
#define IQT_TESTS_GGUF_COPY_H

#include "io/gguf_file.h"

#include <string.h>

/* A writer that describes what g holds. On failure there is none. */
static inline enum iqt_status gguf_describe(const struct iqt_gguf *g,
                                            struct iqt_gguf_writer **out)
{
    struct iqt_gguf_writer *w;
    enum iqt_status status = iqt_gguf_writer_create(&w);

    if (status != IQT_OK)
        return status;
    status = iqt_gguf_writer_copy_keys(w, g);
    for (size_t i = 0; i < iqt_gguf_tensor_count(g) && status == IQT_OK; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, i);

        status = t.data == NULL ? IQT_ERR_FORMAT : iqt_gguf_writer_add_tensor(w, &t);
    }
    if (status == IQT_OK)
        *out = w;
    else
        iqt_gguf_writer_destroy(w);
    return status;
}

/* In pieces of any size. */
static inline enum iqt_status gguf_stream(const struct iqt_gguf *g,
                                          struct iqt_gguf_writer *w, size_t piece)
{
    for (size_t i = 0; i < iqt_gguf_tensor_count(g); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, i);

        for (uint64_t at = 0; at < t.bytes; at += piece) {
            const uint64_t left = t.bytes - at;

            IQT_TRY(iqt_gguf_writer_data(w, (const uint8_t *)t.data + at,
                                         left < piece ? (size_t)left : piece));
        }
    }
    return IQT_OK;
}

static inline enum iqt_status gguf_copy(const struct iqt_gguf *g, const char *path,
                                        uint64_t split_max_bytes, size_t piece)
{
    struct iqt_gguf_writer *w;
    enum iqt_status status;

    IQT_TRY(gguf_describe(g, &w));
    status = iqt_gguf_writer_begin(w, path, split_max_bytes);
    if (status == IQT_OK)
        status = gguf_stream(g, w, piece);
    if (status == IQT_OK)
        status = iqt_gguf_writer_commit(w);
    iqt_gguf_writer_destroy(w);
    return status;
}

/* Keys that the writer makes itself. */
static inline bool gguf_is_split(const struct iqt_gguf_key *key)
{
    static const char *const names[] = { "split.no", "split.count",
                                         "split.tensors.count" };

    for (size_t i = 0; i < IQT_COUNT(names); i++)
        if (key->name_bytes == strlen(names[i]) &&
            memcmp(key->name, names[i], key->name_bytes) == 0)
            return true;
    return false;
}

/* The number of the first key, or tensor, that differs; SIZE_MAX when there is none. */
static inline size_t gguf_keys_differ(const struct iqt_gguf *a, const struct iqt_gguf *b)
{
    size_t j = 0;

    for (size_t i = 0; i < iqt_gguf_key_count(a); i++) {
        size_t a_bytes, b_bytes;
        const uint8_t *p = iqt_gguf_file_key_bytes(&a->files[0], i, &a_bytes);
        const struct iqt_gguf_key key = iqt_gguf_key_at(a, i);

        if (gguf_is_split(&key))
            continue;
        if (j >= iqt_gguf_key_count(b))
            return i;
        if (memcmp(iqt_gguf_file_key_bytes(&b->files[0], j++, &b_bytes), p, a_bytes) !=
                0 ||
            b_bytes != a_bytes)
            return i;
    }
    return SIZE_MAX;
}

static inline bool gguf_same_tensor(const struct iqt_gguf_tensor *a,
                                    const struct iqt_gguf_tensor *b)
{
    return a->name_bytes == b->name_bytes &&
           memcmp(a->name, b->name, a->name_bytes) == 0 && a->dims == b->dims &&
           memcmp(a->ne, b->ne, sizeof a->ne) == 0 && a->type == b->type &&
           a->bytes == b->bytes && b->data != NULL &&
           memcmp(a->data, b->data, (size_t)a->bytes) == 0;
}

static inline size_t gguf_tensors_differ(const struct iqt_gguf *a,
                                         const struct iqt_gguf *b)
{
    if (iqt_gguf_tensor_count(a) != iqt_gguf_tensor_count(b))
        return 0;
    for (size_t i = 0; i < iqt_gguf_tensor_count(a); i++) {
        const struct iqt_gguf_tensor x = iqt_gguf_tensor_at(a, i);
        const struct iqt_gguf_tensor y = iqt_gguf_tensor_at(b, i);

        if (!gguf_same_tensor(&x, &y))
            return i;
    }
    return SIZE_MAX;
}

#endif
