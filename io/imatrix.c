/* An importance matrix in memory: entries, finding them, which one a tensor uses, means and coverage. */
#include "io/imatrix.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum iqt_status iqt_imatrix_create(const char *path, struct iqt_imatrix **out)
{
    struct iqt_imatrix *m = calloc(1, sizeof *m);

    if (m != NULL)
        m->path = strdup(path);
    if (m == NULL || m->path == NULL) {
        free(m);
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s: no memory for an importance matrix",
                        path);
    }
    *out = m;
    return IQT_OK;
}

void iqt_imatrix_destroy(struct iqt_imatrix *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->entries; i++) {
        free(m->entry[i].name);
        free(m->entry[i].own);
    }
    free(m->entry);
    free(m->order);
    iqt_buf_free(&m->datasets);
    iqt_gguf_close(m->gguf);
    iqt_map_close(&m->map);
    free(m->path);
    free(m);
}

enum iqt_status iqt_imatrix_append(struct iqt_imatrix *m, char *name,
                                   struct iqt_imatrix_entry **out)
{
    if (m->entries == m->capacity) {
        const size_t capacity = m->capacity > 0 ? 2 * m->capacity : 16;
        struct iqt_imatrix_entry *more = realloc(m->entry, capacity * sizeof *more);

        if (more == NULL) {
            free(name);
            return iqt_fail(IQT_ERR_NO_MEMORY, "%s: no memory for %zu entries", m->path,
                            capacity);
        }
        m->entry = more;
        m->capacity = capacity;
    }
    *out = &m->entry[m->entries++];
    **out = (struct iqt_imatrix_entry){ .name = name };
    return IQT_OK;
}

/* ---- By name ---- */

struct named {
    const char *name;
    size_t index;
};

static int compare_names(const void *a, const void *b)
{
    const struct named *x = a, *y = b;

    return strcmp(x->name, y->name);
}

enum iqt_status iqt_imatrix_sort(struct iqt_imatrix *m)
{
    struct named *all = malloc((m->entries + 1) * sizeof *all);
    size_t *order = realloc(m->order, (m->entries + 1) * sizeof *order);
    enum iqt_status status = IQT_OK;

    if (order != NULL)
        m->order = order;
    if (all == NULL || order == NULL) {
        free(all);
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s: no memory for %zu names", m->path,
                        m->entries);
    }
    for (size_t i = 0; i < m->entries; i++)
        all[i] = (struct named){ m->entry[i].name, i };
    qsort(all, m->entries, sizeof *all, compare_names);
    for (size_t i = 0; i < m->entries; i++) {
        order[i] = all[i].index;
        if (i > 0 && strcmp(all[i - 1].name, all[i].name) == 0)
            status = iqt_fail(IQT_ERR_FORMAT, "%s: tensor %s is there twice", m->path,
                              all[i].name);
    }
    free(all);
    return status;
}

const struct iqt_imatrix_entry *iqt_imatrix_find(const struct iqt_imatrix *m,
                                                 const char *name)
{
    size_t first = 0, end = m->entries;

    while (first < end) {
        const size_t middle = first + (end - first) / 2;
        const struct iqt_imatrix_entry *e = &m->entry[m->order[middle]];
        const int order = strcmp(e->name, name);

        if (order == 0)
            return e;
        if (order < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return NULL;
}

/* Tensors that see the same inputs: the name with from replaced by to. The first that is there serves. */
static const struct {
    const char *from, *to;
} relatives[] = {
    { "ffn_up_exps.weight", "ffn_gate_up_exps.weight" },
    { "ffn_gate_exps.weight", "ffn_gate_up_exps.weight" },
    { "ffn_gate_exps.weight", "ffn_up_exps.weight" },
    { "ffn_gate_up_exps.weight", "ffn_up_exps.weight" },
    { "ffn_gate.weight", "ffn_up.weight" },
    { ".attn_v_b.weight", ".attn_kv_b.weight" },
    { ".attn_kv_b.weight", ".attn_v_b.weight" },
};

static enum iqt_status find_relative(const struct iqt_imatrix *m, const char *name,
                                     const struct iqt_imatrix_entry **out)
{
    enum iqt_status status = IQT_OK;

    *out = iqt_imatrix_find(m, name);
    for (size_t i = 0; i < IQT_COUNT(relatives) && *out == NULL && status == IQT_OK;
         i++) {
        const char *at = strstr(name, relatives[i].from);
        struct iqt_buf other = { 0 };

        if (at == NULL)
            continue;
        iqt_buf_printf(&other, "%.*s%s", (int)(at - name), name, relatives[i].to);
        status = iqt_buf_check(&other);
        *out = iqt_imatrix_find(m, iqt_buf_text(&other));
        iqt_buf_free(&other);
    }
    return status;
}

enum iqt_status iqt_imatrix_match(const struct iqt_imatrix *m, const char *name,
                                  const uint64_t ne[4],
                                  const struct iqt_imatrix_entry **out)
{
    const struct iqt_imatrix_entry *e;
    struct iqt_imatrix_seen seen;
    uint64_t wanted;

    *out = NULL;
    IQT_TRY(find_relative(m, name, &e));
    if (e == NULL)
        return IQT_OK;
    if (!iqt_mul(ne[0], ne[2], &wanted) || e->columns * e->matrices != wanted) {
        if (strcmp(name, "token_embd.weight") ==
            0) /* their inputs are words, not floats */
            return IQT_OK;
        return iqt_fail(
            IQT_ERR_FORMAT,
            "%s: tensor %s: %zu columns for %s, which has %llu of %llu matrices", m->path,
            e->name, e->columns * e->matrices, name, (unsigned long long)ne[0],
            (unsigned long long)ne[2]);
    }
    seen = iqt_imatrix_seen(e, (size_t)ne[2]);
    if (seen.never == seen.matrices)
        return iqt_fail(IQT_ERR_FORMAT,
                        "%s: tensor %s: all zero, so that no column counts", m->path,
                        e->name);
    *out = e;
    return IQT_OK;
}

/* ---- Numbers ---- */

float iqt_imatrix_count(const struct iqt_imatrix_entry *e, size_t matrix)
{
    return e->count == NULL ? e->calls
                            : iqt_read_f32(e->count + 4 * (e->matrices > 1 ? matrix : 0));
}

/* Columns of a matrix without any input. */
static size_t count_zeros(const uint8_t *sums, size_t columns)
{
    size_t zeros = 0;

    for (size_t i = 0; i < columns; i++)
        zeros += iqt_read_f32(sums + 4 * i) == 0;
    return zeros;
}

struct iqt_imatrix_seen iqt_imatrix_seen(const struct iqt_imatrix_entry *e,
                                         size_t matrices)
{
    struct iqt_imatrix_seen seen = { .matrices = e->matrices };
    size_t columns;

    if (e->matrices == 1 && matrices > 1 && e->columns % matrices == 0)
        seen.matrices = matrices;
    columns = e->columns * e->matrices / seen.matrices;
    for (size_t i = 0; i < seen.matrices; i++) {
        const size_t zeros = count_zeros(e->sum2 + 4 * i * columns, columns);

        if (zeros == columns || iqt_imatrix_count(e, i) == 0)
            seen.never++;
        else
            seen.zeros += zeros;
    }
    return seen;
}

void iqt_imatrix_means(const struct iqt_imatrix_entry *e, size_t columns, size_t matrices,
                       float *out)
{
    for (size_t i = 0; i < matrices; i++) {
        const uint8_t *sums = e->sum2 + 4 * i * columns;
        const float count = iqt_imatrix_count(e, i);
        const bool never = count == 0 || count_zeros(sums, columns) == columns;

        for (size_t j = 0; j < columns; j++)
            out[i * columns + j] =
                never ? 1 : fminf(iqt_read_f32(sums + 4 * j) / count, FLT_MAX);
    }
}
