/* Collects unique (format, rows, columns) from a file and a command line, and fills matrices.
 * Decides what counts as a matrix; knows nothing of plans. */
#include "tools/tune_shapes.h"

#include "runtime/verify.h"

#include <stdlib.h>
#include <string.h>

static const char usual_shapes[] =
    "4096x4096,14336x4096"; /* of a 7-billion-class layer */

static size_t row_bytes_of(const struct iqt_format *f, size_t k)
{
    size_t bytes = 0;

    return iqt_format_row_bytes(f, k, &bytes) == IQT_OK ? bytes : 0;
}

/* Adds to the shape's bytes, or adds the shape. */
static enum iqt_status add(struct iqt_tune_shapes *s, const struct iqt_tune_shape *shape)
{
    for (size_t i = 0; i < s->count; i++) {
        struct iqt_tune_shape *old = &s->shape[i];

        if (old->format == shape->format && old->m == shape->m && old->k == shape->k) {
            old->bytes += shape->bytes;
            return IQT_OK;
        }
    }
    struct iqt_tune_shape *more = realloc(s->shape, (s->count + 1) * sizeof *more);
    if (!more)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu shapes", s->count + 1);
    s->shape = more;
    s->shape[s->count++] = *shape;
    return IQT_OK;
}

/* ---- From a file --------------------------------------------------------------------- */

/* A matrix of a known format whose bytes are all there. Vectors (norms, biases) are none. */
static bool usable(const struct iqt_gguf_tensor *t, const struct iqt_format *wanted)
{
    uint64_t needed;

    if (!t->format || !t->data || (wanted && iqt_format_base(t->format) != wanted) ||
        t->ne[1] < 2)
        return false;
    const size_t row_bytes = row_bytes_of(t->format, t->ne[0]);
    return row_bytes > 0 && iqt_mul(row_bytes, iqt_gguf_rows(t), &needed) &&
           needed <= t->bytes;
}

/* A stack of matrices (experts) is used one matrix at a time. */
static enum iqt_status add_tensor(struct iqt_tune_shapes *s,
                                  const struct iqt_gguf_tensor *t)
{
    const size_t row_bytes = row_bytes_of(t->format, t->ne[0]);
    /* Rows that are interleaved are as long and as fast as made ones. */
    const void *rows = t->format->base_type == 0 ? t->data : NULL;
    const size_t most = IQT_TUNE_MOST_BYTES / row_bytes + 1;
    const struct iqt_tune_shape shape = {
        .format = iqt_format_base(t->format),
        .m = t->ne[1] < most ? t->ne[1] : most,
        .k = t->ne[0],
        .bytes = iqt_gguf_rows(t) * row_bytes,
        .rows = rows,
        .model = rows,
        .model_rows = t->ne[1] < most ? t->ne[1] : most,
        .model_k = t->ne[0],
    };

    return add(s, &shape);
}

static enum iqt_status add_file(struct iqt_tune_shapes *s, const char *path,
                                const struct iqt_format *wanted)
{
    struct iqt_gguf_tensor output;

    IQT_TRY(iqt_gguf_open(path, &s->file));
    /* Embeddings are looked up, not multiplied, unless they serve as output matrix, too. */
    const bool tied = iqt_gguf_tensor_find(s->file, "output.weight", &output) != IQT_OK;
    for (size_t i = 0; i < iqt_gguf_tensor_count(s->file); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(s->file, i);
        static const char embeddings[] = "token_embd.weight";

        if (!tied && t.name_bytes == strlen(embeddings) &&
            memcmp(t.name, embeddings, t.name_bytes) == 0)
            continue;
        if (usable(&t, wanted))
            IQT_TRY(add_tensor(s, &t));
    }
    if (s->count == 0)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s has no matrix %s%s", path,
                        wanted ? "of format " : "that has kernels",
                        wanted ? wanted->name : "");
    return IQT_OK;
}

/* ---- From the command line ----------------------------------------------------------- */

static enum iqt_status read_shape(const char *text, size_t *m, size_t *k,
                                  const char **rest)
{
    char *cross, *end;
    const unsigned long long rows = strtoull(text, &cross, 10);
    const unsigned long long columns = *cross == 'x' ? strtoull(cross + 1, &end, 10) : 0;

    if (rows < 1 || rows > UINT32_MAX / 2 || columns < 1 || columns > UINT32_MAX / 2 ||
        (*end != '\0' && *end != ','))
        return iqt_fail(IQT_ERR_ARG,
                        "bad shape '%s'; expected ROWSxCOLUMNS, like 4096x4096", text);
    *m = (size_t)rows;
    *k = (size_t)columns;
    *rest = *end == ',' ? end + 1 : NULL;
    return IQT_OK;
}

static enum iqt_status add_made(struct iqt_tune_shapes *s, struct iqt_tune_shape like,
                                size_t m, size_t k)
{
    size_t row_bytes;

    IQT_TRY(iqt_format_row_bytes(like.format, k, &row_bytes));
    const size_t most = IQT_TUNE_MOST_BYTES / row_bytes + 1;
    like.m = m < most ? m : most;
    like.k = k;
    like.rows = NULL;
    like.bytes = (uint64_t)m * row_bytes;
    return add(s, &like);
}

/* The formats that made shapes come in: those in the file, else all quantized ones. */
static enum iqt_status add_shape(struct iqt_tune_shapes *s,
                                 const struct iqt_format *wanted, size_t in_file,
                                 size_t m, size_t k)
{
    if (s->file) {
        for (size_t i = 0; i < in_file; i++) {
            size_t first = 0;

            while (s->shape[first].format != s->shape[i].format)
                first++;
            if (first == i)
                IQT_TRY(add_made(s, s->shape[i], m, k));
        }
        return IQT_OK;
    }
    for (const struct iqt_format *f = iqt_formats; f->name; f++)
        if (wanted ? f == wanted : f->decode != IQT_DECODE_FLOAT)
            IQT_TRY(add_made(s, (struct iqt_tune_shape){ .format = f }, m, k));
    return IQT_OK;
}

static enum iqt_status add_text(struct iqt_tune_shapes *s, const char *text,
                                const struct iqt_format *wanted)
{
    const size_t in_file = s->count;
    size_t m, k;

    while (text) {
        IQT_TRY(read_shape(text, &m, &k, &text));
        IQT_TRY(add_shape(s, wanted, in_file, m, k));
    }
    return IQT_OK;
}

enum iqt_status iqt_tune_shapes_open(const char *path, const char *text,
                                     const struct iqt_format *format,
                                     struct iqt_tune_shapes *out)
{
    struct iqt_tune_shapes s = { 0 };
    enum iqt_status status = path ? add_file(&s, path, format) : IQT_OK;

    if (status == IQT_OK && (text || !path))
        status = add_text(&s, text ? text : usual_shapes, format);
    if (status != IQT_OK) {
        iqt_tune_shapes_close(&s);
        return status;
    }
    *out = s;
    return IQT_OK;
}

void iqt_tune_shapes_close(struct iqt_tune_shapes *s)
{
    iqt_gguf_close(s->file);
    free(s->shape);
    free(s->made);
    *s = (struct iqt_tune_shapes){ 0 };
}

/* ---- Bytes --------------------------------------------------------------------------- */

/* A row of any length out of a shorter or longer one: its header, its superblocks in a cycle
 * that starts elsewhere in each row. */
static void tile_row(const struct iqt_tune_shape *s, size_t r, uint8_t *out)
{
    const struct iqt_format *f = s->format;
    const uint8_t *from = s->model + r % s->model_rows * row_bytes_of(f, s->model_k);
    const size_t blocks = s->model_k / f->superblock, wanted = s->k / f->superblock;

    memcpy(out, from, f->row_head);
    for (size_t b = 0; b < wanted; b++)
        memcpy(out + f->row_head + b * f->bytes,
               from + f->row_head + (b + r / s->model_rows) % blocks * f->bytes,
               f->bytes);
}

static bool can_tile(const struct iqt_tune_shape *s)
{
    return s->model && s->model_k >= s->format->superblock &&
           s->model_k % s->format->superblock == 0 && s->k % s->format->superblock == 0;
}

enum iqt_status iqt_tune_shape_rows(struct iqt_tune_shapes *s, size_t index,
                                    const void **rows)
{
    const struct iqt_tune_shape *shape = &s->shape[index];
    const size_t row_bytes = row_bytes_of(shape->format, shape->k);
    struct iqt_rng rng = { .state = index + 1 };

    *rows = shape->rows;
    if (shape->rows)
        return IQT_OK;
    *rows = s->made;
    if (s->made && s->made_of == index)
        return IQT_OK;
    free(s->made);
    s->made = malloc(shape->m * row_bytes);
    if (!s->made)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu rows of %zu bytes",
                        shape->m, row_bytes);
    s->made_of = index;
    *rows = s->made;
    if (!can_tile(shape)) {
        iqt_random_rows(shape->format, shape->k, shape->m, IQT_FILL_RANDOM,
                        IQT_MAGNITUDE_PLAIN, &rng, s->made);
        return IQT_OK;
    }
    for (size_t r = 0; r < shape->m; r++)
        tile_row(shape, r, s->made + r * row_bytes);
    return IQT_OK;
}
