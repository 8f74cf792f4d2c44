/* Reads importance matrices of both kinds. Hostile bytes are expected: counts are believed only as far as the
 * file has bytes for them. The sums stay in the file. */
#include "io/imatrix.h"
#include "io/gguf_named.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 4096, SHOWN = 96 };

static enum iqt_status check_name(const struct iqt_imatrix *m, const char *name,
                                  size_t bytes)
{
    char shown[SHOWN];

    for (size_t i = 0; i < bytes; i++)
        if ((uint8_t)name[i] < 0x20) {
            iqt_escape(shown, sizeof shown, name, bytes);
            return iqt_fail(IQT_ERR_FORMAT, "%s: entry %zu has the name \"%s\"", m->path,
                            m->entries, shown);
        }
    if (bytes == 0 || bytes > NAME_BYTES)
        return iqt_fail(IQT_ERR_FORMAT,
                        "%s: entry %zu has a name of %zu bytes, expected 1 to %d",
                        m->path, m->entries, bytes, NAME_BYTES);
    return IQT_OK;
}

static enum iqt_status add(struct iqt_imatrix *m, const char *name, size_t bytes,
                           struct iqt_imatrix_entry **out)
{
    char *copy;

    IQT_TRY(check_name(m, name, bytes));
    copy = strndup(name, bytes);
    if (copy == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s: no memory for a name", m->path);
    return iqt_imatrix_append(m, copy, out);
}

/* sign: negative numbers are allowed. */
static enum iqt_status check_numbers(const struct iqt_imatrix *m, const char *name,
                                     const char *what, const uint8_t *data, size_t count,
                                     bool sign)
{
    char shown[SHOWN];

    for (size_t i = 0; i < count; i++) {
        const float value = iqt_read_f32(data + 4 * i);

        if (isfinite(value) && (sign || value >= 0))
            continue;
        iqt_escape(shown, sizeof shown, name, strlen(name));
        return iqt_fail(IQT_ERR_FORMAT,
                        "%s: tensor %s: %s %zu of %zu is %g, expected a finite number%s",
                        m->path, shown, what, i, count, (double)value,
                        sign ? "" : " not below 0");
    }
    return IQT_OK;
}

/* ---- Legacy ---- */

struct cursor {
    struct iqt_imatrix *m;
    const uint8_t *data;
    size_t bytes, at;
};

static enum iqt_status take(struct cursor *c, size_t bytes, const char *what,
                            const uint8_t **out)
{
    if (bytes > c->bytes - c->at)
        return iqt_fail(
            IQT_ERR_FORMAT,
            "%s: byte %zu: %s of entry %zu needs %zu bytes, the file has %zu more",
            c->m->path, c->at, what, c->m->entries, bytes, c->bytes - c->at);
    *out = c->data + c->at;
    c->at += bytes;
    return IQT_OK;
}

/* least <= *out */
static enum iqt_status take_number(struct cursor *c, const char *what, int32_t least,
                                   int32_t *out)
{
    const uint8_t *p;
    int32_t value;

    IQT_TRY(take(c, 4, what, &p));
    value = (int32_t)iqt_read_u32(p);
    if (value < least)
        return iqt_fail(IQT_ERR_FORMAT,
                        "%s: byte %zu: %s of entry %zu is %d, expected %d or more",
                        c->m->path, c->at - 4, what, c->m->entries, value, least);
    *out = value;
    return IQT_OK;
}

static enum iqt_status parse_entry(struct cursor *c)
{
    int32_t bytes, calls, count;
    struct iqt_imatrix_entry *e;
    const uint8_t *name, *sums;

    IQT_TRY(take_number(c, "the length of the name", 1, &bytes));
    IQT_TRY(take(c, (size_t)bytes, "the name", &name));
    IQT_TRY(take_number(c, "the number of calls", INT32_MIN, &calls));
    IQT_TRY(take_number(c, "the number of columns", 1, &count));
    IQT_TRY(take(c, (size_t)count * 4, "a list of sums", &sums));
    IQT_TRY(add(c->m, (const char *)name, (size_t)bytes, &e));
    e->columns = (size_t)count;
    e->matrices = 1;
    e->sum2 = sums;
    e->calls = calls > 0 ? (float)calls : 1; /* then the sums are means */
    return check_numbers(c->m, e->name, "the sum of column", sums, e->columns, false);
}

/* Old files end with the last entry. */
static enum iqt_status parse_trailer(struct cursor *c)
{
    int32_t chunks, bytes;
    const uint8_t *name;
    char text[SHOWN];

    if (c->at == c->bytes)
        return IQT_OK;
    IQT_TRY(take_number(c, "the number of chunks, after the last", 0, &chunks));
    c->m->chunks = (uint32_t)chunks;
    if (c->at == c->bytes)
        return IQT_OK;
    IQT_TRY(take_number(c, "the length of the text's name, after the last", 0, &bytes));
    IQT_TRY(take(c, (size_t)bytes, "the text's name, after the last", &name));
    if (c->at != c->bytes)
        return iqt_fail(IQT_ERR_FORMAT, "%s: %zu bytes too many at its end", c->m->path,
                        c->bytes - c->at);
    iqt_escape(text, sizeof text, (const char *)name, (size_t)bytes);
    if (bytes > 0)
        iqt_buf_printf(&c->m->datasets, "%s\n", text);
    return iqt_buf_check(&c->m->datasets);
}

static enum iqt_status parse_legacy(struct iqt_imatrix *m, const uint8_t *data,
                                    size_t bytes)
{
    struct cursor c = { .m = m, .data = data, .bytes = bytes };
    int32_t entries;

    IQT_TRY(take_number(&c, "the number of entries, before the first", 1, &entries));
    m->in_calls = true;
    for (int32_t i = 0; i < entries; i++)
        IQT_TRY(parse_entry(&c));
    IQT_TRY(iqt_imatrix_sort(m));
    return parse_trailer(&c);
}

/* ---- GGUF ---- */

static void read_datasets(struct iqt_imatrix *m)
{
    struct iqt_gguf_key key;
    const uint8_t *p;

    if (!iqt_gguf_key_find(m->gguf, "imatrix.datasets", &key) ||
        key.type != IQT_GGUF_ARRAY || key.item != IQT_GGUF_STRING)
        return;
    p = key.data; /* checked when the file was opened */
    for (uint64_t i = 0; i < key.count; i++) {
        const uint64_t bytes = iqt_read_u64(p);
        char text[SHOWN];

        iqt_escape(text, sizeof text, (const char *)p + 8, (size_t)bytes);
        iqt_buf_printf(&m->datasets, "%s\n", text);
        p += 8 + bytes;
    }
}

static enum iqt_status parse_squares(struct iqt_imatrix *m,
                                     const struct iqt_gguf_tensor *t)
{
    const size_t bytes = iqt_named_stem(t, ".in_sum2");
    struct iqt_imatrix_entry *e;

    if (bytes == 0)
        return IQT_OK;
    IQT_TRY(iqt_named_check(m->path, t));
    IQT_TRY(add(m, t->name, bytes, &e));
    e->columns = (size_t)t->ne[0];
    e->matrices = (size_t)iqt_gguf_rows(t);
    e->sum2 = t->data;
    return check_numbers(m, e->name, "the sum of column", e->sum2,
                         e->columns * e->matrices, false);
}

/* The entry that a tensor NAME.suffix belongs to, and that it has so many numbers. */
static enum iqt_status find_whole(const struct iqt_imatrix *m,
                                  const struct iqt_gguf_tensor *t, size_t bytes,
                                  bool by_column, struct iqt_imatrix_entry **out)
{
    char *name = strndup(t->name, bytes);
    const struct iqt_imatrix_entry *e;

    if (name == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s: no memory for a name", m->path);
    e = iqt_imatrix_find(m, name);
    free(name);
    if (e == NULL)
        return iqt_named_fail(m->path, t, "there is no .in_sum2 of this name");
    IQT_TRY(iqt_named_check(m->path, t));
    if (t->bytes != 4 * (uint64_t)e->matrices * (by_column ? e->columns : 1))
        return iqt_named_fail(m->path, t, "its length does not fit that of .in_sum2");
    *out = &m->entry[e - m->entry];
    return IQT_OK;
}

static enum iqt_status parse_rest(struct iqt_imatrix *m, const struct iqt_gguf_tensor *t)
{
    struct iqt_imatrix_entry *e;

    if (iqt_named_stem(t, ".counts") > 0) {
        IQT_TRY(find_whole(m, t, iqt_named_stem(t, ".counts"), false, &e));
        e->count = t->data;
        return check_numbers(m, e->name, "the count of matrix", e->count, e->matrices,
                             false);
    }
    if (iqt_named_stem(t, ".in_sum") == 0)
        return IQT_OK;
    IQT_TRY(find_whole(m, t, iqt_named_stem(t, ".in_sum"), true, &e));
    e->sum = t->data;
    return check_numbers(m, e->name, "the sum of inputs", e->sum,
                         e->columns * e->matrices, true);
}

static enum iqt_status check_counts(const struct iqt_imatrix *m)
{
    for (size_t i = 0; i < m->entries; i++)
        if (m->entry[i].count == NULL)
            return iqt_fail(IQT_ERR_FORMAT, "%s: tensor %s.in_sum2 without %s.counts",
                            m->path, m->entry[i].name, m->entry[i].name);
    return IQT_OK;
}

typedef enum iqt_status parse_fn(struct iqt_imatrix *m, const struct iqt_gguf_tensor *t);
static enum iqt_status parse_each(struct iqt_imatrix *m, parse_fn *parse)
{
    for (size_t i = 0; i < iqt_gguf_tensor_count(m->gguf); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(m->gguf, i);

        IQT_TRY(parse(m, &t));
    }
    return IQT_OK;
}

static enum iqt_status parse_gguf(struct iqt_imatrix *m)
{
    m->chunks = iqt_named_number(m->gguf, "imatrix.chunk_count");
    m->chunk_size = iqt_named_number(m->gguf, "imatrix.chunk_size");
    read_datasets(m);
    IQT_TRY(iqt_buf_check(&m->datasets));
    IQT_TRY(parse_each(m, parse_squares));
    if (m->entries == 0)
        return iqt_fail(
            IQT_ERR_FORMAT,
            "%s: no tensor NAME.in_sum2: this GGUF file is no importance matrix",
            m->path);
    IQT_TRY(iqt_imatrix_sort(m));
    IQT_TRY(parse_each(m, parse_rest));
    return check_counts(m);
}

/* ---- Both ---- */

static bool is_gguf(const uint8_t *data, size_t bytes)
{
    return bytes >= 4 && memcmp(data, "GGUF", 4) == 0;
}

static enum iqt_status finish(struct iqt_imatrix *m, enum iqt_status status,
                              struct iqt_imatrix **out)
{
    if (status != IQT_OK) {
        iqt_imatrix_destroy(m);
        return status;
    }
    *out = m;
    return IQT_OK;
}

enum iqt_status iqt_imatrix_parse(const void *data, size_t bytes,
                                  struct iqt_imatrix **out)
{
    struct iqt_imatrix *m;
    enum iqt_status status;

    IQT_TRY(iqt_imatrix_create("(memory)", &m));
    if (!is_gguf(data, bytes))
        return finish(m, parse_legacy(m, data, bytes), out);
    status = iqt_gguf_open_memory(data, bytes, &m->gguf);
    return finish(m, status == IQT_OK ? parse_gguf(m) : status, out);
}

enum iqt_status iqt_imatrix_read(const char *path, struct iqt_imatrix **out)
{
    struct iqt_imatrix *m;
    enum iqt_status status;

    IQT_TRY(iqt_imatrix_create(path, &m));
    status = iqt_map_open(path, &m->map);
    if (status != IQT_OK || !is_gguf(m->map.data, m->map.bytes))
        return finish(
            m, status == IQT_OK ? parse_legacy(m, m->map.data, m->map.bytes) : status,
            out);
    iqt_map_close(&m->map);
    status = iqt_gguf_open(path, &m->gguf);
    return finish(m, status == IQT_OK ? parse_gguf(m) : status, out);
}
