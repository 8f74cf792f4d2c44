/* Reads second-order statistics. Hostile bytes are expected: whatever passes here can be factored or refused, and
 * nothing is read beyond it. The sums stay in the file. */
#include "io/second_order.h"
#include "io/gguf_named.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 4096, SHOWN = 96 };

/* Sums of floats in other orders differ by so much. */
#define TOLERANCE 1e-3

/* ---- Numbers ---- */

static float at(const struct iqt_second_entry *e, size_t matrix, size_t i, size_t j)
{
    return iqt_read_f32(e->sum + 4 * ((matrix * e->columns + i) * e->window + j));
}

static enum iqt_status check_diagonal(const struct iqt_second *s,
                                      const struct iqt_gguf_tensor *t,
                                      const struct iqt_second_entry *e, size_t matrix)
{
    for (size_t i = 0; i < e->columns; i++) {
        const float value = at(e, matrix, i, i % e->window);

        if (isfinite(value) && value >= 0)
            continue;
        char why[128];

        snprintf(why, sizeof why,
                 "the square of column %zu is %g, expected a finite number not below 0",
                 i, (double)value);
        return iqt_named_fail(s->path, t, why);
    }
    return IQT_OK;
}

/* Row i of a window that begins at first and has n columns, left of the diagonal; and zeros behind the window. */
static const char *judge_row(const struct iqt_second_entry *e, size_t matrix,
                             size_t first, size_t n, size_t i)
{
    const double square = at(e, matrix, first + i, i);

    for (size_t j = 0; j < i; j++) {
        const double value = at(e, matrix, first + i, j);
        const double other = at(e, matrix, first + j, i);
        const double most = sqrt(square * at(e, matrix, first + j, j));

        if (!isfinite(value) || !isfinite(other))
            return "is not finite";
        if (fabs(value - other) > TOLERANCE * most)
            return "is another one on the other side of the diagonal";
        if (fabs(value) > (1 + TOLERANCE) * most)
            return "is larger than the squares allow";
    }
    for (size_t j = n; j < e->window; j++)
        if (at(e, matrix, first + i, j) != 0)
            return "is not 0 behind the last column";
    return NULL;
}

static enum iqt_status check_sums(const struct iqt_second *s,
                                  const struct iqt_gguf_tensor *t,
                                  const struct iqt_second_entry *e, size_t matrix)
{
    IQT_TRY(check_diagonal(s, t, e, matrix));
    for (size_t i = 0; i < e->columns; i++) {
        const size_t first = i / e->window * e->window, left = e->columns - first;
        const char *why =
            judge_row(e, matrix, first, left < e->window ? left : e->window, i - first);
        char text[128];

        if (why == NULL)
            continue;
        snprintf(text, sizeof text, "matrix %zu, column %zu: a sum %s", matrix, i, why);
        return iqt_named_fail(s->path, t, text);
    }
    return IQT_OK;
}

/* ---- Tensors ---- */

static enum iqt_status check_shape(const struct iqt_second *s,
                                   const struct iqt_gguf_tensor *t)
{
    if (t->ne[3] != 1)
        return iqt_named_fail(s->path, t, "expected at most three dimensions");
    if (t->ne[0] != t->ne[1] && (t->ne[0] > t->ne[1] || t->ne[0] % IQT_SECOND_STEP != 0))
        return iqt_named_fail(
            s->path, t,
            "its rows are neither as long as its columns nor a multiple of 256 "
            "below that");
    return IQT_OK;
}

static enum iqt_status add(struct iqt_second *s, const struct iqt_gguf_tensor *t,
                           size_t bytes, const struct iqt_gguf_tensor *counts)
{
    struct iqt_second_entry *e;
    char *name;
    enum iqt_status status;

    if (bytes > NAME_BYTES || memchr(t->name, '\0', bytes) != NULL)
        return iqt_named_fail(s->path, t, "its name is none of a tensor");
    name = strndup(t->name, bytes);
    if (name == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s: no memory for a name", s->path);
    status = iqt_second_append(s, name, 0, 0, 0, &e);
    free(name);
    IQT_TRY(status);
    e->columns = (size_t)t->ne[1];
    e->window = (size_t)t->ne[0];
    e->matrices = (size_t)t->ne[2];
    e->sum = t->data;
    e->count = counts->data;
    for (size_t m = 0; m < e->matrices; m++) {
        const float count = iqt_read_f32(e->count + 4 * m);

        if (!isfinite(count) || count < 0)
            return iqt_named_fail(s->path, counts,
                                  "a count is no finite number, or below 0");
        IQT_TRY(check_sums(s, t, e, m));
    }
    return IQT_OK;
}

static enum iqt_status parse_tensor(struct iqt_second *s, const struct iqt_gguf_tensor *t)
{
    const size_t bytes = iqt_named_stem(t, ".hessian");
    struct iqt_gguf_tensor counts = { 0 };
    bool found = false;

    if (bytes == 0)
        return IQT_OK;
    IQT_TRY(iqt_named_check(s->path, t));
    IQT_TRY(check_shape(s, t));
    for (size_t i = 0; i < iqt_gguf_tensor_count(s->gguf) && !found; i++) {
        counts = iqt_gguf_tensor_at(s->gguf, i);
        found = iqt_named_stem(&counts, ".counts") == bytes &&
                memcmp(counts.name, t->name, bytes) == 0;
    }
    if (!found)
        return iqt_named_fail(s->path, t, "there is no .counts of this name");
    IQT_TRY(iqt_named_check(s->path, &counts));
    if (counts.bytes != 4 * t->ne[2])
        return iqt_named_fail(s->path, &counts,
                              "its length does not fit that of .hessian");
    for (size_t i = 0; i < s->entries; i++)
        if (strlen(s->entry[i].name) == bytes &&
            memcmp(s->entry[i].name, t->name, bytes) == 0)
            return iqt_named_fail(s->path, t, "it is there twice");
    return add(s, t, bytes, &counts);
}

static bool find_text(const struct iqt_gguf *g, const char *name,
                      struct iqt_gguf_key *key)
{
    return iqt_gguf_key_find(g, name, key) && key->type == IQT_GGUF_STRING;
}

bool iqt_second_is(const struct iqt_gguf *g)
{
    static const char type[] = "second-order";
    struct iqt_gguf_key key;

    return find_text(g, "general.type", &key) && key.count == sizeof type - 1 &&
           memcmp(key.data, type, sizeof type - 1) == 0;
}

static void read_datasets(struct iqt_second *s)
{
    struct iqt_gguf_key key;
    char text[SHOWN];

    if (!find_text(s->gguf, "second_order.datasets", &key))
        return;
    for (size_t at = 0; at < key.count;) {
        const char *line = (const char *)key.data + at;
        const char *end = memchr(line, '\n', (size_t)key.count - at);
        const size_t bytes = end ? (size_t)(end - line) : (size_t)key.count - at;

        iqt_escape(text, sizeof text, line, bytes);
        iqt_buf_printf(&s->datasets, "%s\n", text);
        at += bytes + 1;
    }
}

static enum iqt_status parse(struct iqt_second *s)
{
    s->chunks = iqt_named_number(s->gguf, "second_order.chunk_count");
    s->chunk_size = iqt_named_number(s->gguf, "second_order.chunk_size");
    read_datasets(s);
    IQT_TRY(iqt_buf_check(&s->datasets));
    for (size_t i = 0; i < iqt_gguf_tensor_count(s->gguf); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(s->gguf, i);

        IQT_TRY(parse_tensor(s, &t));
    }
    if (s->entries == 0)
        return iqt_fail(IQT_ERR_FORMAT,
                        "%s: no tensor NAME.hessian: this GGUF file has no second-order "
                        "statistics",
                        s->path);
    return IQT_OK;
}

static enum iqt_status finish(struct iqt_second *s, enum iqt_status status,
                              struct iqt_second **out)
{
    if (status == IQT_OK)
        status = parse(s);
    if (status == IQT_OK)
        *out = s;
    else
        iqt_second_destroy(s);
    return status;
}

enum iqt_status iqt_second_read(const char *path, struct iqt_second **out)
{
    struct iqt_second *s;

    IQT_TRY(iqt_second_create(path, &s));
    return finish(s, iqt_gguf_open(path, &s->gguf), out);
}

enum iqt_status iqt_second_parse(const void *data, size_t bytes, struct iqt_second **out)
{
    struct iqt_second *s;

    IQT_TRY(iqt_second_create("(memory)", &s));
    return finish(s, iqt_gguf_open_memory(data, bytes, &s->gguf), out);
}
