/* Second-order statistics in memory: made, added to, looked up. */
#include "io/second_order.h"

#include <stdlib.h>
#include <string.h>

enum iqt_status iqt_second_create(const char *path, struct iqt_second **out)
{
    struct iqt_second *s = calloc(1, sizeof *s);

    if (s != NULL)
        s->path = strdup(path);
    if (s == NULL || s->path == NULL) {
        free(s);
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the statistics %s", path);
    }
    *out = s;
    return IQT_OK;
}

void iqt_second_destroy(struct iqt_second *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->entries; i++) {
        free(s->entry[i].name);
        free(s->entry[i].own);
        free(s->entry[i].own_count);
    }
    iqt_gguf_close(s->gguf);
    iqt_buf_free(&s->datasets);
    free(s->entry);
    free(s->path);
    free(s);
}

size_t iqt_second_window(size_t columns, size_t asked)
{
    const size_t whole = asked / IQT_SECOND_STEP * IQT_SECOND_STEP;

    if (columns <= asked || columns <= IQT_SECOND_STEP)
        return columns;
    return whole > 0 ? whole : IQT_SECOND_STEP;
}

static enum iqt_status grow(struct iqt_second *s)
{
    const size_t capacity = s->capacity > 0 ? 2 * s->capacity : 16;
    struct iqt_second_entry *entry;

    if (s->entries < s->capacity)
        return IQT_OK;
    entry = realloc(s->entry, capacity * sizeof *entry);
    if (entry == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s: no memory for %zu entries", s->path,
                        capacity);
    s->entry = entry;
    s->capacity = capacity;
    return IQT_OK;
}

enum iqt_status iqt_second_append(struct iqt_second *s, const char *name, size_t columns,
                                  size_t window, size_t matrices,
                                  struct iqt_second_entry **out)
{
    struct iqt_second_entry e = { .columns = columns,
                                  .window = window,
                                  .matrices = matrices };

    IQT_TRY(grow(s));
    e.name = strdup(name);
    e.own = calloc(matrices * columns * window + 1, sizeof *e.own);
    e.own_count = calloc(matrices + 1, sizeof *e.own_count);
    if (e.name == NULL || e.own == NULL || e.own_count == NULL) {
        free(e.name);
        free(e.own);
        free(e.own_count);
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu x %zu x %zu sums of %s",
                        matrices, columns, window, name);
    }
    e.sum = (const uint8_t *)e.own;
    e.count = (const uint8_t *)e.own_count;
    s->entry[s->entries] = e;
    *out = &s->entry[s->entries++];
    return IQT_OK;
}

/* ---- Sums ---- */

static float product(const float *a, const float *b)
{
    enum { LANES = 8 };
    float sum[LANES] = { 0 };

    for (size_t t = 0; t < IQT_SECOND_INPUTS; t += LANES)
        for (size_t l = 0; l < LANES; l++)
            sum[l] += a[t + l] * b[t + l];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) +
           ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

void iqt_second_add(struct iqt_second_entry *e, size_t matrix, const float *x,
                    size_t begin, size_t count)
{
    float *sums = e->own + matrix * e->columns * e->window;

    for (size_t i = begin; i < begin + count; i++) {
        const size_t first = i / e->window * e->window;
        float *row = sums + i * e->window;

        for (size_t j = first; j <= i; j++)
            row[j - first] +=
                product(x + i * IQT_SECOND_INPUTS, x + j * IQT_SECOND_INPUTS);
    }
}

void iqt_second_mirror(struct iqt_second_entry *e)
{
    for (size_t i = 0; i < e->matrices * e->columns; i++) {
        const size_t column = i % e->columns, at = column % e->window;

        for (size_t j = 0; j < at; j++)
            e->own[(i - at + j) * e->window + at] = e->own[i * e->window + j];
    }
}

/* ---- By name ---- */

/* Tensors that see the same inputs: the name with from replaced by to. */
static const struct {
    const char *from, *to;
} relatives[] = {
    { "attn_k.weight", "attn_q.weight" },
    { "attn_v.weight", "attn_q.weight" },
    { "ffn_gate.weight", "ffn_up.weight" },
    { "ffn_gate_exps.weight", "ffn_up_exps.weight" },
};

static const struct iqt_second_entry *find(const struct iqt_second *s, const char *name)
{
    for (size_t i = 0; i < s->entries; i++)
        if (strcmp(s->entry[i].name, name) == 0)
            return &s->entry[i];
    return NULL;
}

static enum iqt_status find_relative(const struct iqt_second *s, const char *name,
                                     const struct iqt_second_entry **out)
{
    *out = find(s, name);
    for (size_t i = 0; i < IQT_COUNT(relatives) && *out == NULL; i++) {
        const char *at = strstr(name, relatives[i].from);
        struct iqt_buf other = { 0 };
        enum iqt_status status;

        if (at == NULL)
            continue;
        iqt_buf_printf(&other, "%.*s%s", (int)(at - name), name, relatives[i].to);
        status = iqt_buf_check(&other);
        *out = status == IQT_OK ? find(s, other.data) : NULL;
        iqt_buf_free(&other);
        IQT_TRY(status);
    }
    return IQT_OK;
}

enum iqt_status iqt_second_match(const struct iqt_second *s, const char *name,
                                 const uint64_t ne[4],
                                 const struct iqt_second_entry **out)
{
    const struct iqt_second_entry *e;

    *out = NULL;
    IQT_TRY(find_relative(s, name, &e));
    if (e != NULL && (e->columns != ne[0] || e->matrices != ne[2]))
        return iqt_fail(IQT_ERR_FORMAT,
                        "%s: tensor %s: %zu columns of %zu matrices for %s, which has "
                        "%llu of %llu",
                        s->path, e->name, e->columns, e->matrices, name,
                        (unsigned long long)ne[0], (unsigned long long)ne[2]);
    *out = e;
    return IQT_OK;
}
