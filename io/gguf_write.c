/* Describes GGUF files to write: keys and tensors, checked and encoded. Knows neither how tensors
 * are cut into files (gguf_write_head.c) nor any file (gguf_write_file.c). */
#include "io/gguf_write.h"
#include "kernels/interleave.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_TEXT = 80 };

static const char alignment_name[] = IQT_GGUF_ALIGNMENT_KEY;

/* ---- Little-endian text ---- */

void iqt_gguf_put_number(struct iqt_buf *b, uint64_t value, uint32_t bytes)
{
    uint8_t raw[8];

    for (uint32_t i = 0; i < bytes; i++)
        raw[i] = (uint8_t)(value >> 8 * i);
    iqt_buf_append(b, raw, bytes);
}

void iqt_gguf_put_text(struct iqt_buf *b, const char *text, size_t bytes)
{
    iqt_gguf_put_number(b, bytes, 8);
    iqt_buf_append(b, text, bytes);
}

enum iqt_status iqt_gguf_grow(void **array, size_t count, size_t *capacity, size_t size)
{
    size_t wanted = *capacity > 0 ? *capacity * 2 : 16;
    void *larger;

    if (count < *capacity)
        return IQT_OK;
    larger = realloc(*array, wanted * size);
    if (larger == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu entries of a GGUF file",
                        wanted);
    *array = larger;
    *capacity = wanted;
    return IQT_OK;
}

/* ---- Life ---- */

enum iqt_status iqt_gguf_writer_create(struct iqt_gguf_writer **out)
{
    struct iqt_gguf_writer *w;

    if (out == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_gguf_writer_create: out is NULL");
    w = calloc(1, sizeof *w);
    if (w == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory to write a GGUF file");
    w->alignment = IQT_GGUF_ALIGNMENT;
    w->fd = -1;
    *out = w;
    return IQT_OK;
}

static enum iqt_status check_open(const struct iqt_gguf_writer *w, const char *call)
{
    if (w == NULL)
        return iqt_fail(IQT_ERR_ARG, "%s: the writer is NULL", call);
    if (w->begun)
        return iqt_fail(IQT_ERR_ARG, "%s: writing has begun, nothing can be added", call);
    return IQT_OK;
}

/* ---- Keys ---- */

static bool key_is(const struct iqt_gguf_writer *w, size_t i, const char *name,
                   size_t bytes)
{
    const char *p = w->text.data + w->key[i].at;

    return iqt_read_u64(p) == bytes && memcmp(p + 8, name, bytes) == 0;
}

/* Obeys general.alignment when that is the key. */
static enum iqt_status heed_alignment(struct iqt_gguf_writer *w,
                                      const struct iqt_gguf_key *key)
{
    uint64_t value = 0;

    if (key->name_bytes != sizeof alignment_name - 1 ||
        memcmp(key->name, alignment_name, key->name_bytes) != 0)
        return IQT_OK;
    if (!iqt_gguf_key_unsigned(key, &value) || value == 0 || value > UINT32_MAX ||
        (value & (value - 1)) != 0)
        return iqt_fail(IQT_ERR_ARG, "%s (%s) is %llu, expected a power of two",
                        alignment_name, iqt_gguf_type_name(key->type),
                        (unsigned long long)value);
    w->alignment = (uint32_t)value;
    return IQT_OK;
}

static bool is_split_key(const struct iqt_gguf_key *key)
{
    static const char *const names[] = { "split.no", "split.count",
                                         "split.tensors.count" };

    for (size_t i = 0; i < IQT_COUNT(names); i++)
        if (key->name_bytes == strlen(names[i]) &&
            memcmp(key->name, names[i], key->name_bytes) == 0)
            return true;
    return false;
}

/* The text from `at` to its end becomes a key; a failure takes it back. */
static enum iqt_status keep_key(struct iqt_gguf_writer *w, size_t at, size_t place)
{
    enum iqt_status status = iqt_buf_check(&w->text);

    if (status == IQT_OK && place == w->keys)
        status =
            iqt_gguf_grow((void **)&w->key, w->keys, &w->key_capacity, sizeof *w->key);
    if (status != IQT_OK) {
        w->text.bytes = at;
        return status;
    }
    w->key[place] = (struct iqt_gguf_span){ at, w->text.bytes - at };
    w->keys += place == w->keys;
    return IQT_OK;
}

enum iqt_status iqt_gguf_writer_copy_keys(struct iqt_gguf_writer *w,
                                          const struct iqt_gguf *g)
{
    IQT_TRY(check_open(w, "iqt_gguf_writer_copy_keys"));
    if (g == NULL || w->keys > 0)
        return iqt_fail(IQT_ERR_ARG, "iqt_gguf_writer_copy_keys: %s",
                        g == NULL ? "the file is NULL" : "the writer has keys already");
    for (size_t i = 0; i < iqt_gguf_key_count(g); i++) {
        const struct iqt_gguf_key key = iqt_gguf_key_at(g, i);
        const size_t at = w->text.bytes;
        const uint8_t *bytes;
        size_t count;

        if (is_split_key(&key))
            continue;
        IQT_TRY(heed_alignment(w, &key));
        bytes = iqt_gguf_file_key_bytes(&g->files[0], i, &count);
        iqt_buf_append(&w->text, bytes, count);
        IQT_TRY(keep_key(w, at, w->keys));
    }
    /* Of alignments that a file names twice its reader obeys the first. */
    w->alignment = g->files[0].alignment;
    return IQT_OK;
}

static uint64_t array_bytes(const struct iqt_gguf_key *key)
{
    const uint8_t *p = key->data;

    if (key->item != IQT_GGUF_STRING)
        return key->count * iqt_gguf_type_bytes(key->item);
    for (uint64_t i = 0; i < key->count; i++)
        p += 8 + iqt_read_u64(p);
    return (uint64_t)(p - (const uint8_t *)key->data);
}

static enum iqt_status check_key(const struct iqt_gguf_key *key)
{
    const bool array = key->type == IQT_GGUF_ARRAY;

    if (key->name == NULL || key->data == NULL)
        return iqt_fail(IQT_ERR_ARG, "a key without a name or a value");
    if ((unsigned)key->type > IQT_GGUF_F64 ||
        (array && (unsigned)key->item > IQT_GGUF_F64))
        return iqt_fail(IQT_ERR_ARG, "a key of type %u, the highest known is %u",
                        (unsigned)(array ? key->item : key->type),
                        (unsigned)IQT_GGUF_F64);
    if (array && key->item == IQT_GGUF_ARRAY)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "an array of arrays cannot be set");
    if (is_split_key(key))
        return iqt_fail(IQT_ERR_ARG, "the keys of a split set are the writer's own");
    return IQT_OK;
}

enum iqt_status iqt_gguf_writer_set_key(struct iqt_gguf_writer *w,
                                        const struct iqt_gguf_key *key)
{
    size_t at, place = 0;

    IQT_TRY(check_open(w, "iqt_gguf_writer_set_key"));
    if (key == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_gguf_writer_set_key: the key is NULL");
    IQT_TRY(check_key(key));
    IQT_TRY(heed_alignment(w, key));
    while (place < w->keys && !key_is(w, place, key->name, key->name_bytes))
        place++;
    at = w->text.bytes;
    iqt_gguf_put_text(&w->text, key->name, key->name_bytes);
    iqt_gguf_put_number(&w->text, key->type, 4);
    if (key->type == IQT_GGUF_ARRAY) {
        iqt_gguf_put_number(&w->text, key->item, 4);
        iqt_gguf_put_number(&w->text, key->count, 8);
        iqt_buf_append(&w->text, key->data, (size_t)array_bytes(key));
    } else if (key->type == IQT_GGUF_STRING) {
        iqt_gguf_put_text(&w->text, key->data, (size_t)key->count);
    } else {
        iqt_buf_append(&w->text, key->data, iqt_gguf_type_bytes(key->type));
    }
    return keep_key(w, at, place);
}

enum iqt_status iqt_gguf_writer_set_u32(struct iqt_gguf_writer *w, const char *name,
                                        uint32_t value)
{
    const uint8_t raw[4] = { (uint8_t)value, (uint8_t)(value >> 8),
                             (uint8_t)(value >> 16), (uint8_t)(value >> 24) };
    const struct iqt_gguf_key key = {
        name, name != NULL ? strlen(name) : 0, IQT_GGUF_U32, IQT_GGUF_U32, 1, raw
    };

    return iqt_gguf_writer_set_key(w, &key);
}

enum iqt_status iqt_gguf_writer_set_string(struct iqt_gguf_writer *w, const char *name,
                                           const char *value)
{
    const struct iqt_gguf_key key = { name,
                                      name != NULL ? strlen(name) : 0,
                                      IQT_GGUF_STRING,
                                      IQT_GGUF_STRING,
                                      value != NULL ? strlen(value) : 0,
                                      value };

    return iqt_gguf_writer_set_key(w, &key);
}

/* ---- Tensors ---- */

static enum iqt_status check_tensor(const struct iqt_gguf_tensor *t, const char *name,
                                    uint64_t *bytes)
{
    const struct iqt_gguf_size size = iqt_gguf_size_of(t);
    const unsigned long long k = t->ne[0];

    switch (size.flaw) {
    case IQT_GGUF_SOUND:
        *bytes = size.bytes;
        return IQT_OK;
    case IQT_GGUF_UNKNOWN_TYPE:
        return iqt_fail(IQT_ERR_UNSUPPORTED, "tensor %s: bytes of type %u are not known",
                        name, t->type);
    case IQT_GGUF_EMPTY:
        return iqt_fail(IQT_ERR_SHAPE, "tensor %s has no elements", name);
    case IQT_GGUF_BAD_ROW:
        return iqt_fail(IQT_ERR_SHAPE,
                        "tensor %s has rows of %llu, expected a multiple of %llu", name,
                        k, (unsigned long long)size.granule);
    case IQT_GGUF_BAD_UNIT:
        return iqt_fail(IQT_ERR_SHAPE,
                        "tensor %s has %llu rows, expected a multiple of %d", name,
                        (unsigned long long)t->ne[1], IQT_UNIT_ROWS);
    case IQT_GGUF_TOO_LARGE:
        break;
    }
    return iqt_fail(IQT_ERR_SHAPE, "tensor %s has more bytes than 64 bits can count",
                    name);
}

enum iqt_status iqt_gguf_writer_add_tensor(struct iqt_gguf_writer *w,
                                           const struct iqt_gguf_tensor *t)
{
    struct iqt_gguf_entry e;
    char name[NAME_TEXT];

    IQT_TRY(check_open(w, "iqt_gguf_writer_add_tensor"));
    if (t == NULL || t->name == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_gguf_writer_add_tensor: no tensor or no name");
    iqt_escape(name, sizeof name, t->name, t->name_bytes);
    if (t->dims > IQT_COUNT(t->ne))
        return iqt_fail(IQT_ERR_ARG,
                        "tensor %s has %u dimensions, at most %zu are possible", name,
                        t->dims, IQT_COUNT(t->ne));
    e = (struct iqt_gguf_entry){ .tensor = { .dims = t->dims, .type = t->type },
                                 .name = { w->text.bytes, t->name_bytes } };
    for (uint32_t i = 0; i < IQT_COUNT(t->ne); i++)
        e.tensor.ne[i] = i < t->dims ? t->ne[i] : 1;
    e.tensor.format = iqt_format_of_type(t->type);
    IQT_TRY(check_tensor(&e.tensor, name, &e.bytes));
    IQT_TRY(iqt_gguf_grow((void **)&w->entry, w->entries, &w->entry_capacity,
                          sizeof *w->entry));
    iqt_buf_append(&w->text, t->name, t->name_bytes);
    IQT_TRY(iqt_buf_check(&w->text));
    w->entry[w->entries++] = e;
    return IQT_OK;
}
