/* Sums of several files of second-order statistics. */
#include "io/second_order.h"

#include <string.h>

static struct iqt_second_entry *find(struct iqt_second *s, const char *name)
{
    for (size_t i = 0; i < s->entries; i++)
        if (strcmp(s->entry[i].name, name) == 0)
            return &s->entry[i];
    return NULL;
}

static void add(struct iqt_second_entry *to, const struct iqt_second_entry *from)
{
    const size_t sums = to->matrices * to->columns * to->window;

    for (size_t i = 0; i < sums; i++)
        to->own[i] += iqt_read_f32(from->sum + 4 * i);
    for (size_t i = 0; i < to->matrices; i++)
        to->own_count[i] += iqt_read_f32(from->count + 4 * i);
}

enum iqt_status iqt_second_merge(struct iqt_second *s, const struct iqt_second *from)
{
    for (size_t i = 0; i < from->entries; i++) {
        const struct iqt_second_entry *e = &from->entry[i];
        struct iqt_second_entry *to = find(s, e->name);

        if (to == NULL)
            IQT_TRY(
                iqt_second_append(s, e->name, e->columns, e->window, e->matrices, &to));
        if (to->columns != e->columns || to->matrices != e->matrices ||
            to->window != e->window)
            return iqt_fail(
                IQT_ERR_FORMAT,
                "%s: tensor %s: %zu matrices of %zu columns in windows of %zu, "
                "expected %zu of %zu in windows of %zu as in the files before it",
                from->path, e->name, e->matrices, e->columns, e->window, to->matrices,
                to->columns, to->window);
        add(to, e);
    }
    s->chunks += from->chunks;
    if (s->chunk_size == 0)
        s->chunk_size = from->chunk_size;
    iqt_buf_append(&s->datasets, iqt_buf_text(&from->datasets), from->datasets.bytes);
    return iqt_buf_check(&s->datasets);
}
