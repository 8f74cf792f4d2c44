/* Pairs the tensors of two files by name, and compares what they decode to, row by row on all threads. Sums are
 * kept by row, so that they do not depend on the number of threads. */
#include "tools/compare.h"
#include "io/gguf_file.h"
#include "kernels/interleave.h"
#include "tools/cli.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { PART_WEIGHTS = 1 << 19 };

/* Sums of one row. */
struct row {
    double missed, all, other, dot, most;
    uint64_t strange;
};

struct part {
    const struct iqt_pair *pair;
    size_t k, a_bytes, b_bytes, first;
    struct row *row;
    atomic_bool failed; /* no memory */
};

const char *iqt_match_text(enum iqt_match match)
{
    static const char *const text[] = {
        [IQT_MATCH_DECODED] = "compared",
        [IQT_MATCH_EQUAL] = "equal bytes",
        [IQT_MATCH_BYTES] = "other bytes",
        [IQT_MATCH_TYPES] = "types that cannot be decoded",
        [IQT_MATCH_SHAPES] = "other shapes",
        [IQT_MATCH_ONLY_A] = "only in A",
        [IQT_MATCH_ONLY_B] = "only in B",
        [IQT_MATCH_DATA] = "data are not all there",
    };

    return text[match];
}

double iqt_pair_cosine(const struct iqt_pair *p)
{
    if (p->all == 0 && p->other == 0)
        return 1;
    return p->all > 0 && p->other > 0 ? p->dot / (sqrt(p->all) * sqrt(p->other)) : 0;
}

/* ---- Rows ---- */

static struct row sum_row(const float *a, const float *b, size_t k)
{
    struct row row = { 0 };

    for (size_t i = 0; i < k; i++) {
        const double x = a[i], y = b[i], d = x - y;

        if (!isfinite(x) || !isfinite(y)) {
            row.strange++;
            row.missed += x == y || (isnan(x) && isnan(y)) ? 0 : INFINITY;
            continue;
        }
        row.missed += d * d;
        row.all += x * x;
        row.other += y * y;
        row.dot += x * y;
        row.most = fmax(row.most, fabs(d));
    }
    return row;
}

/* apart: room for a row that has to be taken apart. */
static bool decode(const struct iqt_gguf_tensor *t, size_t row, size_t k, float *x,
                   uint8_t *apart)
{
    const uint8_t *bytes = iqt_row_apart(t->format, k, t->data, row, apart);

    return iqt_decode_row(iqt_format_base(t->format), bytes, k, IQT_DECODE_COMPUTE, x) ==
           IQT_OK;
}

static void compare_rows(void *user, size_t begin, size_t count)
{
    struct part *p = user;
    const struct iqt_gguf_tensor *a = &p->pair->a, *b = &p->pair->b;
    const size_t most = p->a_bytes > p->b_bytes ? p->a_bytes : p->b_bytes;
    float *x = malloc(2 * p->k * sizeof *x + most);
    uint8_t *apart = x != NULL ? (uint8_t *)(x + 2 * p->k) : NULL;

    for (size_t i = begin; i < begin + count && x != NULL; i++) {
        const size_t row = p->first + i;

        if (!decode(a, row, p->k, x, apart) || !decode(b, row, p->k, x + p->k, apart)) {
            p->failed = true;
            break;
        }
        p->row[i] = sum_row(x, x + p->k, p->k);
    }
    if (x == NULL)
        p->failed = true;
    free(x);
}

static void add_rows(struct iqt_pair *pair, const struct part *p, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *r = &p->row[i];

        pair->missed += r->missed;
        pair->all += r->all;
        pair->other += r->other;
        pair->dot += r->dot;
        pair->most = fmax(pair->most, r->most);
        pair->strange += r->strange;
        iqt_worst_add(&pair->worst, p->first + i, iqt_relative_error(r->missed, r->all));
    }
}

/* ---- Tensors ---- */

struct files {
    const struct iqt_gguf *a, *b;
    struct iqt_pool *pool;
    uint64_t done, weights; /* progress */
};

static enum iqt_status compare_values(struct files *f, struct iqt_pair *pair)
{
    const size_t k = (size_t)pair->a.ne[0], rows = (size_t)iqt_gguf_rows(&pair->a);
    const size_t most = k < PART_WEIGHTS ? PART_WEIGHTS / k : 1;
    const size_t part_rows = rows < most ? rows : most;
    struct part p = { .pair = pair, .k = k };
    enum iqt_status status = IQT_OK;

    IQT_TRY(iqt_format_row_bytes(pair->a.format, k, &p.a_bytes));
    IQT_TRY(iqt_format_row_bytes(pair->b.format, k, &p.b_bytes));
    p.row = malloc(part_rows * sizeof *p.row);
    if (p.row == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu rows", part_rows);
    for (; p.first < rows && status == IQT_OK; p.first += part_rows) {
        const size_t count = rows - p.first < part_rows ? rows - p.first : part_rows;

        iqt_pool_run(f->pool, compare_rows, &p, count, 1);
        add_rows(pair, &p, count);
        iqt_gguf_release(f->a, &pair->a, p.first * p.a_bytes, count * p.a_bytes);
        iqt_gguf_release(f->b, &pair->b, p.first * p.b_bytes, count * p.b_bytes);
        f->done += (uint64_t)count * k;
        iqt_cli_progress("compare", f->done, f->weights);
        if (p.failed)
            status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for rows of %zu weights", k);
        else if (iqt_cli_interrupted())
            status = iqt_fail(IQT_ERR_INTERRUPTED, "interrupted");
    }
    free(p.row);
    return status;
}

static enum iqt_match match_of(const struct iqt_gguf_tensor *a,
                               const struct iqt_gguf_tensor *b)
{
    if (memcmp(a->ne, b->ne, sizeof a->ne) != 0)
        return IQT_MATCH_SHAPES;
    if (a->data == NULL || b->data == NULL)
        return IQT_MATCH_DATA;
    if (a->format != NULL && b->format != NULL)
        return IQT_MATCH_DECODED;
    if (a->type != b->type)
        return IQT_MATCH_TYPES;
    return memcmp(a->data, b->data, (size_t)a->bytes) == 0 ? IQT_MATCH_EQUAL
                                                           : IQT_MATCH_BYTES;
}

/* ---- Names ---- */

/* Tensors of a file in the order of their names. */
struct names {
    struct iqt_gguf_tensor *tensor;
    size_t count;
};

static int by_name(const void *left, const void *right)
{
    const struct iqt_gguf_tensor *a = left, *b = right;
    const size_t least = a->name_bytes < b->name_bytes ? a->name_bytes : b->name_bytes;
    const int order = least > 0 ? memcmp(a->name, b->name, least) : 0;

    return order != 0 ? order
                      : (a->name_bytes > b->name_bytes) - (a->name_bytes < b->name_bytes);
}

static enum iqt_status names_create(const struct iqt_gguf *g, struct names *out)
{
    struct names n = { .count = iqt_gguf_tensor_count(g) };

    n.tensor = malloc((n.count + 1) * sizeof *n.tensor);
    if (n.tensor == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu tensors", n.count);
    for (size_t i = 0; i < n.count; i++)
        n.tensor[i] = iqt_gguf_tensor_at(g, i);
    qsort(n.tensor, n.count, sizeof *n.tensor, by_name);
    *out = n;
    return IQT_OK;
}

static const struct iqt_gguf_tensor *names_find(const struct names *n,
                                                const struct iqt_gguf_tensor *t)
{
    return bsearch(t, n->tensor, n->count, sizeof *n->tensor, by_name);
}

static void pair_all(const struct iqt_gguf *a, const struct iqt_gguf *b,
                     const struct names *in_a, const struct names *in_b,
                     struct iqt_pairs *out)
{
    for (size_t i = 0; i < in_a->count; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(a, i);
        const struct iqt_gguf_tensor *other = names_find(in_b, &t);
        struct iqt_pair p = { .a = t, .match = IQT_MATCH_ONLY_A };

        if (other != NULL) {
            p.b = *other;
            p.match = match_of(&t, other);
        }
        out->pair[out->count++] = p;
    }
    for (size_t i = 0; i < in_b->count; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(b, i);

        if (names_find(in_a, &t) == NULL)
            out->pair[out->count++] =
                (struct iqt_pair){ .b = t, .match = IQT_MATCH_ONLY_B };
    }
    for (size_t i = 0; i < out->count; i++) {
        out->pair[i].worst = iqt_worst_none;
        out->unlike += out->pair[i].match > IQT_MATCH_EQUAL;
    }
}

static enum iqt_status compare_all(struct files *f, struct iqt_pairs *pairs)
{
    enum iqt_status status = IQT_OK;

    for (size_t i = 0; i < pairs->count; i++)
        if (pairs->pair[i].match == IQT_MATCH_DECODED)
            f->weights += pairs->pair[i].a.ne[0] * iqt_gguf_rows(&pairs->pair[i].a);
    for (size_t i = 0; i < pairs->count && status == IQT_OK; i++)
        if (pairs->pair[i].match == IQT_MATCH_DECODED)
            status = compare_values(f, &pairs->pair[i]);
    iqt_cli_progress_hide();
    return status;
}

enum iqt_status iqt_pairs_compare(const struct iqt_gguf *a, const struct iqt_gguf *b,
                                  struct iqt_pool *pool, struct iqt_pairs *out)
{
    struct files f = { .a = a, .b = b, .pool = pool };
    struct names in_a = { 0 }, in_b = { 0 };
    struct iqt_pairs pairs = { 0 };
    enum iqt_status status = names_create(a, &in_a);

    if (status == IQT_OK)
        status = names_create(b, &in_b);
    if (status == IQT_OK) {
        pairs.pair = malloc((in_a.count + in_b.count + 1) * sizeof *pairs.pair);
        if (pairs.pair == NULL)
            status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the tensors");
    }
    if (status == IQT_OK) {
        pair_all(a, b, &in_a, &in_b, &pairs);
        status = compare_all(&f, &pairs);
    }
    free(in_a.tensor);
    free(in_b.tensor);
    if (status != IQT_OK) {
        iqt_pairs_free(&pairs);
        return status;
    }
    *out = pairs;
    return IQT_OK;
}

void iqt_pairs_free(struct iqt_pairs *pairs)
{
    free(pairs->pair);
    *pairs = (struct iqt_pairs){ 0 };
}
