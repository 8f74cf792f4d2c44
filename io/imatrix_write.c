/* Writes importance matrices in both forms. */
#include "io/imatrix.h"
#include "io/gguf_named.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Experts never seen that the legacy form can have, as the reference's tool writes it. */
#define MOST_UNSEEN 0.05

/* ---- Legacy ---- */

/* A number of calls for the whole entry: the most inputs of a matrix, in chunks. */
static int32_t calls_of(const struct iqt_imatrix *m, const struct iqt_imatrix_entry *e,
                        uint32_t chunk_size)
{
    double most = 0, calls;

    for (size_t i = 0; i < e->matrices; i++)
        most = fmax(most, iqt_imatrix_count(e, i));
    calls = m->in_calls ? most : round(most / chunk_size);
    return calls < 1 ? 1 : calls > INT32_MAX ? INT32_MAX : (int32_t)calls;
}

static void put_float(struct iqt_buf *b, float value)
{
    iqt_buf_append(b, &value, sizeof value);
}

static void put_legacy(struct iqt_buf *b, const struct iqt_imatrix *m,
                       const struct iqt_imatrix_entry *e, uint32_t chunk_size)
{
    const int32_t calls = calls_of(m, e, chunk_size);

    iqt_gguf_put_number(b, strlen(e->name), 4);
    iqt_buf_append(b, e->name, strlen(e->name));
    iqt_gguf_put_number(b, (uint32_t)calls, 4);
    iqt_gguf_put_number(b, e->columns * e->matrices, 4);
    for (size_t i = 0; i < e->matrices; i++) {
        const float count = iqt_imatrix_count(e, i);

        for (size_t j = 0; j < e->columns; j++) {
            const float sum = iqt_read_f32(e->sum2 + 4 * (i * e->columns + j));

            put_float(b,
                      count == 0 ? (float)calls : (float)((double)sum * calls / count));
        }
    }
}

static bool fits_legacy(const struct iqt_imatrix_entry *e)
{
    size_t unseen = 0;

    for (size_t i = 0; i < e->matrices; i++)
        unseen += iqt_imatrix_count(e, i) == 0;
    return (double)unseen < MOST_UNSEEN * (double)e->matrices || unseen == 0;
}

/* The first line: there is room for one. */
static void put_trailer(struct iqt_buf *b, const struct iqt_imatrix *m)
{
    const char *text = iqt_buf_text(&m->datasets);
    const size_t bytes = strcspn(text, "\n");

    iqt_gguf_put_number(b, m->chunks, 4);
    iqt_gguf_put_number(b, bytes, 4);
    iqt_buf_append(b, text, bytes);
}

static enum iqt_status write_legacy(const struct iqt_imatrix *m, const char *path,
                                    uint32_t chunk_size, size_t *dropped)
{
    struct iqt_buf b = { 0 };
    size_t entries = 0;
    enum iqt_status status;

    for (size_t i = 0; i < m->entries; i++)
        entries += fits_legacy(&m->entry[i]);
    *dropped = m->entries - entries;
    if (entries == 0)
        return iqt_fail(
            IQT_ERR_FORMAT,
            "%s: no entry has inputs for 95 %% of its matrices, so that the legacy form "
            "can have none",
            m->path);
    iqt_gguf_put_number(&b, entries, 4);
    for (size_t i = 0; i < m->entries; i++)
        if (fits_legacy(&m->entry[i]))
            put_legacy(&b, m, &m->entry[i], chunk_size);
    put_trailer(&b, m);
    status = iqt_buf_check(&b);
    if (status == IQT_OK)
        status = iqt_file_replace(path, b.data, b.bytes);
    iqt_buf_free(&b);
    return status;
}

/* ---- GGUF ---- */

static enum iqt_status set_datasets(struct iqt_gguf_writer *w,
                                    const struct iqt_imatrix *m)
{
    const char *const name = "imatrix.datasets";
    struct iqt_gguf_key key = { name, strlen(name), IQT_GGUF_ARRAY, IQT_GGUF_STRING,
                                0,    NULL };
    struct iqt_buf b = { 0 };
    enum iqt_status status;

    for (const char *at = iqt_buf_text(&m->datasets); *at != '\0';) {
        const size_t bytes = strcspn(at, "\n");

        iqt_gguf_put_text(&b, at, bytes);
        key.count++;
        at += bytes + (at[bytes] == '\n');
    }
    key.data = iqt_buf_text(&b);
    status = iqt_buf_check(&b);
    if (status == IQT_OK)
        status = iqt_gguf_writer_set_key(w, &key);
    iqt_buf_free(&b);
    return status;
}

/* The tensors that an entry becomes. */
struct part {
    const char *suffix;
    bool by_column;
};
static const struct part parts[] = { { ".in_sum2", true },
                                     { ".counts", false },
                                     { ".in_sum", true } };

static size_t parts_of(const struct iqt_imatrix_entry *e)
{
    return e->sum != NULL ? 3 : 2;
}

static enum iqt_status describe_part(struct iqt_gguf_writer *w,
                                     const struct iqt_imatrix_entry *e,
                                     const struct part *part)
{
    const struct iqt_gguf_tensor t = {
        .dims = 2, .ne = { part->by_column ? e->columns : 1, e->matrices, 1, 1 }
    };

    return iqt_named_add(w, e->name, part->suffix, t);
}

static enum iqt_status describe(struct iqt_gguf_writer *w, const struct iqt_imatrix *m,
                                uint32_t chunk_size)
{
    IQT_TRY(iqt_gguf_writer_set_string(w, "general.type", "imatrix"));
    IQT_TRY(set_datasets(w, m));
    IQT_TRY(iqt_gguf_writer_set_u32(w, "imatrix.chunk_count", m->chunks));
    IQT_TRY(iqt_gguf_writer_set_u32(w, "imatrix.chunk_size", chunk_size));
    for (size_t i = 0; i < m->entries; i++)
        for (size_t p = 0; p < parts_of(&m->entry[i]); p++)
            IQT_TRY(describe_part(w, &m->entry[i], &parts[p]));
    return IQT_OK;
}

static enum iqt_status put_entry(struct iqt_gguf_writer *w,
                                 const struct iqt_imatrix_entry *e)
{
    const size_t bytes = e->columns * e->matrices * sizeof(float);

    IQT_TRY(iqt_gguf_writer_data(w, e->sum2, bytes));
    for (size_t i = 0; i < e->matrices; i++) {
        const float count = iqt_imatrix_count(e, i);

        IQT_TRY(iqt_gguf_writer_data(w, &count, sizeof count));
    }
    return e->sum != NULL ? iqt_gguf_writer_data(w, e->sum, bytes) : IQT_OK;
}

static enum iqt_status write_gguf(const struct iqt_imatrix *m, const char *path,
                                  uint32_t chunk_size)
{
    struct iqt_gguf_writer *w;
    enum iqt_status status;

    IQT_TRY(iqt_gguf_writer_create(&w));
    status = describe(w, m, chunk_size);
    if (status == IQT_OK)
        status = iqt_gguf_writer_begin(w, path, 0);
    for (size_t i = 0; i < m->entries && status == IQT_OK; i++)
        status = put_entry(w, &m->entry[i]);
    if (status == IQT_OK)
        status = iqt_gguf_writer_commit(w);
    iqt_gguf_writer_destroy(w);
    return status;
}

enum iqt_status iqt_imatrix_write(const struct iqt_imatrix *m, const char *path,
                                  enum iqt_imatrix_form form, uint32_t chunk_size,
                                  size_t *dropped)
{
    const uint32_t size = m->chunk_size > 0 ? m->chunk_size : chunk_size;

    *dropped = 0;
    return form == IQT_IMATRIX_GGUF ? write_gguf(m, path, size)
                                    : write_legacy(m, path, size, dropped);
}
