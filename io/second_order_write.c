/* Writes second-order statistics. */
#include "io/second_order.h"
#include "io/gguf_named.h"

#include <string.h>

static enum iqt_status describe_entry(struct iqt_gguf_writer *w,
                                      const struct iqt_second_entry *e)
{
    const struct iqt_gguf_tensor sums = {
        .dims = 3, .ne = { e->window, e->columns, e->matrices, 1 }
    };
    const struct iqt_gguf_tensor counts = { .dims = 2, .ne = { 1, e->matrices, 1, 1 } };

    IQT_TRY(iqt_named_add(w, e->name, ".hessian", sums));
    return iqt_named_add(w, e->name, ".counts", counts);
}

static enum iqt_status describe(struct iqt_gguf_writer *w, const struct iqt_second *s)
{
    const char *texts = iqt_buf_text(&s->datasets);

    IQT_TRY(iqt_gguf_writer_set_string(w, "general.type", "second-order"));
    IQT_TRY(iqt_gguf_writer_set_string(w, "second_order.datasets", texts));
    IQT_TRY(iqt_gguf_writer_set_u32(w, "second_order.chunk_count", s->chunks));
    IQT_TRY(iqt_gguf_writer_set_u32(w, "second_order.chunk_size", s->chunk_size));
    for (size_t i = 0; i < s->entries; i++)
        IQT_TRY(describe_entry(w, &s->entry[i]));
    return IQT_OK;
}

static enum iqt_status put_entry(struct iqt_gguf_writer *w,
                                 const struct iqt_second_entry *e)
{
    const size_t sums = e->matrices * e->columns * e->window;

    IQT_TRY(iqt_gguf_writer_data(w, e->sum, sums * sizeof(float)));
    return iqt_gguf_writer_data(w, e->count, e->matrices * sizeof(float));
}

enum iqt_status iqt_second_write(const struct iqt_second *s, const char *path)
{
    struct iqt_gguf_writer *w;
    enum iqt_status status;

    IQT_TRY(iqt_gguf_writer_create(&w));
    status = describe(w, s);
    if (status == IQT_OK)
        status = iqt_gguf_writer_begin(w, path, 0);
    for (size_t i = 0; i < s->entries && status == IQT_OK; i++)
        status = put_entry(w, &s->entry[i]);
    if (status == IQT_OK)
        status = iqt_gguf_writer_commit(w);
    iqt_gguf_writer_destroy(w);
    return status;
}
