/* Sums of several importance matrices. What is computed lies in memory of the entry, in its own order. */
#include "io/imatrix.h"

#include <stdlib.h>
#include <string.h>

/* Makes e's numbers its own, cut into matrices, so that they can be changed: sum2, count, sum. */
static enum iqt_status own(struct iqt_imatrix_entry *e, size_t matrices, float **out)
{
    const size_t all = e->columns * e->matrices;
    float *own = malloc((2 * all + matrices) * sizeof *own);

    if (own == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu columns of %s", all,
                        e->name);
    memcpy(own, e->sum2, all * sizeof *own);
    for (size_t i = 0; i < matrices; i++)
        own[all + i] = iqt_imatrix_count(e, i);
    if (e->sum != NULL) {
        memcpy(own + all + matrices, e->sum, all * sizeof *own);
        e->sum = (const uint8_t *)(own + all + matrices);
    }
    free(e->own);
    e->own = own;
    e->sum2 = (const uint8_t *)own;
    e->count = (const uint8_t *)(own + all);
    e->columns = all / matrices;
    e->matrices = matrices;
    *out = own;
    return IQT_OK;
}

enum iqt_status iqt_imatrix_to_inputs(struct iqt_imatrix *m, uint32_t chunk_size)
{
    if (!m->in_calls)
        return IQT_OK;
    for (size_t i = 0; i < m->entries; i++) {
        struct iqt_imatrix_entry *e = &m->entry[i];
        const size_t all = e->columns * e->matrices;
        float *numbers;

        IQT_TRY(own(e, e->matrices, &numbers));
        for (size_t j = 0; j < all + e->matrices; j++)
            numbers[j] *= (float)chunk_size;
    }
    m->in_calls = false;
    m->chunk_size = chunk_size;
    return IQT_OK;
}

/* A copy of an entry that m does not have. */
static enum iqt_status take_over(struct iqt_imatrix *m,
                                 const struct iqt_imatrix_entry *from)
{
    struct iqt_imatrix_entry *e;
    char *name = strdup(from->name);
    float *numbers;

    if (name == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the name of %s", from->name);
    IQT_TRY(iqt_imatrix_append(m, name, &e));
    *e = *from;
    e->name = name;
    e->own = NULL;
    return own(e, e->matrices, &numbers);
}

/* Entries of legacy files are in one row: cut like the other. */
static enum iqt_status add(const struct iqt_imatrix *m, struct iqt_imatrix_entry *e,
                           const struct iqt_imatrix *other,
                           const struct iqt_imatrix_entry *from)
{
    const size_t matrices = e->matrices > from->matrices ? e->matrices : from->matrices;
    const size_t all = e->columns * e->matrices;
    float *to;

    if (all != from->columns * from->matrices ||
        (e->matrices != from->matrices && e->matrices > 1 && from->matrices > 1) ||
        all % matrices != 0)
        return iqt_fail(IQT_ERR_FORMAT,
                        "tensor %s has %zu x %zu columns in %s and %zu x %zu in %s",
                        e->name, e->matrices, e->columns, m->path, from->matrices,
                        from->columns, other->path);
    if (from->sum == NULL)
        e->sum = NULL;
    IQT_TRY(own(e, matrices, &to));
    for (size_t i = 0; i < all; i++) {
        to[i] += iqt_read_f32(from->sum2 + 4 * i);
        if (e->sum != NULL)
            to[all + matrices + i] += iqt_read_f32(from->sum + 4 * i);
    }
    for (size_t i = 0; i < matrices; i++)
        to[all + i] += iqt_imatrix_count(from, i);
    return IQT_OK;
}

enum iqt_status iqt_imatrix_merge(struct iqt_imatrix *m, const struct iqt_imatrix *from)
{
    const size_t before = m->entries;

    for (size_t i = 0; i < from->entries; i++) {
        const struct iqt_imatrix_entry *e =
            before > 0 ? iqt_imatrix_find(m, from->entry[i].name) : NULL;

        if (e == NULL)
            IQT_TRY(take_over(m, &from->entry[i]));
        else
            IQT_TRY(add(m, &m->entry[e - m->entry], from, &from->entry[i]));
    }
    m->chunks += from->chunks;
    if (m->chunk_size == 0)
        m->chunk_size = from->chunk_size;
    iqt_buf_append(&m->datasets, iqt_buf_text(&from->datasets), from->datasets.bytes);
    IQT_TRY(iqt_buf_check(&m->datasets));
    return iqt_imatrix_sort(m);
}
