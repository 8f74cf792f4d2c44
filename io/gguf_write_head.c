/* Cuts the described tensors into files, places them, and encodes the head of each file: keys and
 * tensor table. Touches no file. */
#include "io/gguf_write.h"

#include <stdlib.h>
#include <string.h>

enum {
    HEAD_BYTES = 4 + 4 + 8 + 8,
    MAX_PARTS = 65535, /* what split.count, a uint16, can say */
    NAME_TEXT = 80,
};

static void put_key(struct iqt_buf *b, const char *name, enum iqt_gguf_type type,
                    uint64_t value)
{
    iqt_gguf_put_text(b, name, strlen(name));
    iqt_gguf_put_number(b, type, 4);
    iqt_gguf_put_number(b, value, iqt_gguf_type_bytes(type));
}

/* ---- Names that are taken ---- */

struct name {
    const char *text;
    size_t bytes;
};

static int compare_names(const void *left, const void *right)
{
    const struct name *a = left, *b = right;
    const size_t least = a->bytes < b->bytes ? a->bytes : b->bytes;
    const int order = least > 0 ? memcmp(a->text, b->text, least) : 0;

    return order != 0 ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static enum iqt_status check_names(const struct iqt_gguf_writer *w)
{
    struct name *list = malloc((w->entries + 1) * sizeof *list);
    enum iqt_status status = IQT_OK;

    if (list == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu names", w->entries);
    for (size_t i = 0; i < w->entries; i++)
        list[i] = (struct name){ iqt_buf_text(&w->text) + w->entry[i].name.at,
                                 w->entry[i].name.bytes };
    qsort(list, w->entries, sizeof *list, compare_names);
    for (size_t i = 1; i < w->entries && status == IQT_OK; i++) {
        char name[NAME_TEXT];

        if (compare_names(&list[i - 1], &list[i]) != 0)
            continue;
        iqt_escape(name, sizeof name, list[i].text, list[i].bytes);
        status = iqt_fail(IQT_ERR_ARG, "two tensors are named %s", name);
    }
    free(list);
    return status;
}

/* ---- Heads ---- */

/* Keys of file `no` of count: all of them in the first, only what a reader must know in others. */
static uint64_t put_keys(const struct iqt_gguf_writer *w, size_t no, size_t count,
                         struct iqt_buf *b)
{
    uint64_t keys = no == 0 ? w->keys : 0;

    for (size_t i = 0; i < keys; i++)
        iqt_buf_append(b, w->text.data + w->key[i].at, w->key[i].bytes);
    if (no > 0 && w->alignment != IQT_GGUF_ALIGNMENT) {
        put_key(b, IQT_GGUF_ALIGNMENT_KEY, IQT_GGUF_U32, w->alignment);
        keys++;
    }
    if (count > 1) {
        put_key(b, "split.no", IQT_GGUF_U16, no);
        put_key(b, "split.count", IQT_GGUF_U16, count);
        put_key(b, "split.tensors.count", IQT_GGUF_I32, w->entries);
        keys += 3;
    }
    return keys;
}

static uint64_t entry_head_bytes(const struct iqt_gguf_entry *e)
{
    return 8 + e->name.bytes + 4 + 8 * e->tensor.dims + 4 + 8;
}

enum iqt_status iqt_gguf_writer_head(const struct iqt_gguf_writer *w,
                                     const struct iqt_gguf_part *part, size_t no,
                                     size_t count, struct iqt_buf *out)
{
    struct iqt_buf keys = { 0 };
    const uint64_t key_count = put_keys(w, no, count, &keys);

    iqt_buf_append(out, "GGUF", 4);
    iqt_gguf_put_number(out, 3, 4);
    iqt_gguf_put_number(out, part->tensors, 8);
    iqt_gguf_put_number(out, key_count, 8);
    iqt_buf_append(out, keys.data, keys.bytes);
    out->failed |= keys.failed;
    iqt_buf_free(&keys);
    for (size_t i = part->tensor0; i < part->tensor0 + part->tensors; i++) {
        const struct iqt_gguf_entry *e = &w->entry[i];

        iqt_gguf_put_text(out, iqt_buf_text(&w->text) + e->name.at, e->name.bytes);
        iqt_gguf_put_number(out, e->tensor.dims, 4);
        for (uint32_t d = 0; d < e->tensor.dims; d++)
            iqt_gguf_put_number(out, e->tensor.ne[d], 8);
        iqt_gguf_put_number(out, e->tensor.type, 4);
        iqt_gguf_put_number(out, e->offset, 8);
    }
    return iqt_buf_check(out);
}

/* ---- Cutting ---- */

/* Bytes of keys in front of a file's tensors; sizes of the split keys do not depend on values. */
static uint64_t keys_bytes(const struct iqt_gguf_writer *w, size_t no, size_t count)
{
    struct iqt_buf b = { 0 };
    uint64_t bytes;

    put_keys(w, no, count, &b);
    bytes = b.failed ? UINT64_MAX / 4 : b.bytes;
    iqt_buf_free(&b);
    return bytes;
}

struct cut {
    struct iqt_gguf_writer *w;
    uint64_t first_keys, other_keys; /* bytes */
    struct iqt_gguf_part *part;
    size_t parts, capacity;
    uint64_t head, data; /* of the last part so far */
};

static bool cut_size(const struct cut *c, uint64_t head, uint64_t data, uint64_t *bytes)
{
    const uint64_t alignment = c->w->alignment;

    return head < UINT64_MAX / 4 && iqt_add(iqt_round_up(head, alignment), data, bytes) &&
           *bytes < INT64_MAX;
}

static enum iqt_status cut_open(struct cut *c, size_t tensor0)
{
    if (c->parts == MAX_PARTS)
        return iqt_fail(IQT_ERR_SHAPE, "more than %d files: raise the size of a file",
                        (int)MAX_PARTS);
    IQT_TRY(iqt_gguf_grow((void **)&c->part, c->parts, &c->capacity, sizeof *c->part));
    c->head = HEAD_BYTES + (c->parts == 0 ? c->first_keys : c->other_keys);
    c->data = 0;
    c->part[c->parts++] = (struct iqt_gguf_part){ .tensor0 = tensor0 };
    return IQT_OK;
}

/* Puts entry i into the last part, or into a new one when the last would exceed max. */
static enum iqt_status cut_place(struct cut *c, size_t i, uint64_t max)
{
    struct iqt_gguf_entry *e = &c->w->entry[i];
    const uint64_t head = entry_head_bytes(e);
    uint64_t padded, data, bytes;

    if (e->bytes > UINT64_MAX - c->w->alignment)
        goto too_large;
    padded = iqt_round_up(e->bytes, c->w->alignment);
    if (!iqt_add(c->data, padded, &data) || !cut_size(c, c->head + head, data, &bytes))
        goto too_large;
    if (max > 0 && bytes > max && c->part[c->parts - 1].tensors > 0) {
        IQT_TRY(cut_open(c, i));
        data = padded;
        if (!cut_size(c, c->head + head, data, &bytes))
            goto too_large;
    }
    e->offset = c->data;
    c->head += head;
    c->data = data;
    c->part[c->parts - 1].tensors++;
    c->part[c->parts - 1].data_start = iqt_round_up(c->head, c->w->alignment);
    c->part[c->parts - 1].bytes = bytes;
    return IQT_OK;

too_large:
    return iqt_fail(IQT_ERR_SHAPE, "the file would have more bytes than files can have");
}

static enum iqt_status cut_all(struct cut *c, size_t count, uint64_t max)
{
    uint64_t bytes;

    c->parts = 0;
    c->first_keys = keys_bytes(c->w, 0, count);
    c->other_keys = keys_bytes(c->w, 1, count);
    IQT_TRY(cut_open(c, 0));
    if (!cut_size(c, c->head, 0, &bytes))
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the keys");
    c->part[0].data_start = c->part[0].bytes = bytes;
    for (size_t i = 0; i < c->w->entries; i++)
        IQT_TRY(cut_place(c, i, max));
    return IQT_OK;
}

enum iqt_status iqt_gguf_writer_cut(struct iqt_gguf_writer *w, uint64_t max,
                                    struct iqt_gguf_part **out, size_t *count)
{
    struct cut c = { .w = w };
    enum iqt_status status = check_names(w);

    if (status == IQT_OK) /* one file has no split keys */
        status = cut_all(&c, 1, max);
    if (status == IQT_OK && c.parts > 1)
        status = cut_all(&c, 2, max);
    if (status != IQT_OK) {
        free(c.part);
        return status;
    }
    *out = c.part;
    *count = c.parts;
    return IQT_OK;
}
