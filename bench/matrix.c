/* Making the matrices that are timed. */
#include "bench/matrix.h"
#include "kernels/interleave.h"
#include "runtime/verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum iqt_status allocate(const struct iqt_format *f, size_t m, size_t k,
                                struct iqt_bench_matrix *out)
{
    size_t row_bytes;
    uint64_t bytes;

    IQT_TRY(iqt_format_row_bytes(f, k, &row_bytes));
    if (!iqt_mul(row_bytes, m, &bytes) || bytes == 0)
        return iqt_fail(IQT_ERR_SHAPE, "%s %zu x %zu: no such matrix", f->name, m, k);
    *out = (struct iqt_bench_matrix){ .format = f, .m = m, .k = k, .bytes = bytes };
    out->owned = malloc(bytes);
    if (out->owned == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s %zu x %zu: no memory for %llu bytes",
                        f->name, m, k, (unsigned long long)bytes);
    out->rows = out->owned;
    return IQT_OK;
}

void iqt_bench_matrix_free(struct iqt_bench_matrix *w)
{
    free(w->owned);
    *w = (struct iqt_bench_matrix){ 0 };
}

bool iqt_bench_matrix_usable(const struct iqt_gguf_tensor *t, bool float_types)
{
    size_t row_bytes;

    return t->format != NULL && t->data != NULL && t->dims >= 2 && iqt_gguf_rows(t) > 1 &&
           (float_types || iqt_format_base(t->format)->decode != IQT_DECODE_FLOAT) &&
           iqt_format_row_bytes(t->format, t->ne[0], &row_bytes) == IQT_OK;
}

static enum iqt_status take_apart(const struct iqt_gguf_tensor *t,
                                  struct iqt_bench_matrix *w)
{
    enum iqt_status status;

    w->owned = malloc(w->bytes);
    if (w->owned == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "tensor %s: no memory for %llu bytes",
                        w->origin, (unsigned long long)w->bytes);
    status = iqt_rows_separate(t->format, w->m, w->k, t->data, w->owned);
    w->rows = w->owned;
    if (status != IQT_OK)
        iqt_bench_matrix_free(w);
    return status;
}

enum iqt_status iqt_bench_matrix_of_tensor(const struct iqt_gguf_tensor *t,
                                           struct iqt_bench_matrix *out)
{
    if (!iqt_bench_matrix_usable(t, true))
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "tensor %.*s: not a matrix of a known format", (int)t->name_bytes,
                        t->name);
    *out = (struct iqt_bench_matrix){ .format = iqt_format_base(t->format),
                                      .m = iqt_gguf_rows(t),
                                      .k = t->ne[0],
                                      .bytes = t->bytes,
                                      .rows = t->data };
    snprintf(out->origin, sizeof(out->origin), "%.*s", (int)t->name_bytes, t->name);
    return t->format->base_type != 0 ? take_apart(t, out) : IQT_OK;
}

/* Walks all rows of all source tensors, round and round. */
struct cursor {
    const struct iqt_gguf_tensor *tensors;
    size_t count, tensor;
    uint64_t row;
    uint8_t *apart; /* room for the longest row */
};

static const uint8_t *next_row(struct cursor *c, size_t *superblocks)
{
    const struct iqt_gguf_tensor *t = &c->tensors[c->tensor];
    const uint64_t rows = iqt_gguf_rows(t);
    const uint8_t *row = iqt_row_apart(t->format, t->ne[0], t->data, c->row, c->apart);

    *superblocks = t->ne[0] / t->format->superblock;
    if (++c->row == rows) {
        c->row = 0;
        c->tensor = (c->tensor + 1) % c->count;
    }
    return row;
}

static void tile_row(struct cursor *c, const struct iqt_format *f, size_t wanted,
                     uint8_t *out)
{
    uint8_t *to = out + f->row_head;

    for (size_t done = 0; done < wanted;) {
        size_t have;
        const uint8_t *row = next_row(c, &have);
        const size_t take = have < wanted - done ? have : wanted - done;

        if (done == 0)
            memcpy(out, row, f->row_head);
        memcpy(to, row + f->row_head, take * f->bytes);
        to += take * f->bytes;
        done += take;
    }
}

static size_t longest_row(const struct iqt_gguf_tensor *tensors, size_t count)
{
    size_t longest = 0;

    for (size_t i = 0; i < count; i++) {
        const size_t bytes = tensors[i].bytes / iqt_gguf_rows(&tensors[i]);

        longest = bytes > longest ? bytes : longest;
    }
    return longest;
}

enum iqt_status iqt_bench_matrix_tile(const struct iqt_gguf_tensor *tensors, size_t count,
                                      size_t m, size_t k, struct iqt_bench_matrix *out)
{
    struct cursor c = { .tensors = tensors, .count = count };
    const struct iqt_format *f;
    struct iqt_bench_matrix w;

    if (count == 0)
        return iqt_fail(IQT_ERR_ARG, "tiling %zu x %zu: no tensor to take rows from", m,
                        k);
    f = iqt_format_base(tensors[0].format);
    for (size_t i = 0; i < count; i++) {
        if (!iqt_bench_matrix_usable(&tensors[i], true) ||
            iqt_format_base(tensors[i].format) != f ||
            tensors[i].ne[0] % f->superblock != 0)
            return iqt_fail(IQT_ERR_ARG, "tiling %zu x %zu: tensor %.*s does not fit", m,
                            k, (int)tensors[i].name_bytes, tensors[i].name);
    }
    if (k % f->superblock != 0)
        return iqt_fail(IQT_ERR_SHAPE, "%s needs k in multiples of %u, not %zu", f->name,
                        f->superblock, k);
    IQT_TRY(allocate(f, m, k, &w));
    c.apart = malloc(longest_row(tensors, count));
    if (c.apart == NULL) {
        iqt_bench_matrix_free(&w);
        return iqt_fail(IQT_ERR_NO_MEMORY, "tiling %zu x %zu: no memory for a row", m, k);
    }
    for (size_t r = 0; r < m; r++)
        tile_row(&c, f, k / f->superblock, w.owned + w.bytes / m * r);
    free(c.apart);
    snprintf(w.origin, sizeof(w.origin), "%zu tensors, tiled", count);
    *out = w;
    return IQT_OK;
}

enum iqt_status iqt_bench_matrix_random(const struct iqt_format *f, size_t m, size_t k,
                                        uint64_t seed, struct iqt_bench_matrix *out)
{
    struct iqt_rng rng = { .state = seed };
    struct iqt_bench_matrix w;

    IQT_TRY(allocate(f, m, k, &w));
    iqt_random_rows(f, k, m, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng, w.owned);
    snprintf(w.origin, sizeof(w.origin), "random, seed %llu", (unsigned long long)seed);
    *out = w;
    return IQT_OK;
}

/* ---- Shapes of files ----------------------------------------------------------------- */

static int compare_shapes(const void *pa, const void *pb)
{
    const struct iqt_bench_shape *a = pa, *b = pb;
    const double bits_a = (double)a->format->bytes / a->format->superblock;
    const double bits_b = (double)b->format->bytes / b->format->superblock;

    if (bits_a != bits_b)
        return bits_a < bits_b ? -1 : 1;
    if (a->format != b->format)
        return a->format < b->format ? -1 : 1; /* the table's order */
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? -1 : 1;
    return (a->k > b->k) - (a->k < b->k);
}

void iqt_bench_shapes_sort(struct iqt_bench_shape *shapes, size_t count)
{
    qsort(shapes, count, sizeof(*shapes), compare_shapes);
}

static void add_tensor(const struct iqt_gguf_tensor *t, struct iqt_bench_shape *out,
                       size_t cap, size_t *total)
{
    const size_t m = iqt_gguf_rows(t), k = t->ne[0];

    for (size_t i = 0; i < *total && i < cap; i++) {
        if (out[i].format == iqt_format_base(t->format) && out[i].m == m &&
            out[i].k == k) {
            out[i].tensors++;
            return;
        }
    }
    if (*total < cap)
        out[*total] = (struct iqt_bench_shape){ .format = iqt_format_base(t->format),
                                                .m = m,
                                                .k = k,
                                                .tensor = *t,
                                                .tensors = 1,
                                                .bytes = t->bytes };
    ++*total;
}

size_t iqt_bench_shapes(struct iqt_gguf *const *files, size_t count,
                        struct iqt_bench_shape *out, size_t cap)
{
    size_t total = 0;

    for (size_t f = 0; f < count; f++) {
        for (size_t i = 0; i < iqt_gguf_tensor_count(files[f]); i++) {
            const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(files[f], i);

            if (iqt_bench_matrix_usable(&t, false))
                add_tensor(&t, out, cap, &total);
        }
    }
    iqt_bench_shapes_sort(out, total < cap ? total : cap);
    return total;
}

static bool parse_size(const char **at, size_t *out)
{
    char *end;

    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *out = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0 && *out > 0;
}

enum iqt_status iqt_bench_shape_parse(const char **list, size_t *m, size_t *k)
{
    const char *at = *list;
    size_t rows = 0, cols = 0;

    if (!parse_size(&at, &rows) || *at++ != 'x' || !parse_size(&at, &cols) ||
        (*at != '\0' && *at != ','))
        return iqt_fail(IQT_ERR_ARG,
                        "shape \"%s\": expected MxK[,MxK ...] in rows x columns", *list);
    *list = *at == ',' ? at + 1 : at;
    *m = rows;
    *k = cols;
    return IQT_OK;
}
