/* Which matrices a token reads, by the names and shapes that GGUF files give them. */
#include "tools/predict.h"

#include "bench/matrix.h"
#include "kernels/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Names ---- */

static bool has(const struct iqt_gguf_tensor *t, const char *part)
{
    return memmem(t->name, t->name_bytes, part, strlen(part)) != NULL;
}

static bool ends(const char *name, size_t bytes, const char *tail)
{
    const size_t length = strlen(tail);

    return bytes >= length && memcmp(name + bytes - length, tail, length) == 0;
}

/* Tables of which a token reads a row, and what is no factor of a product. */
static bool is_lookup(const struct iqt_gguf_tensor *t)
{
    static const char *const parts[] = { "token_embd", "position_embd", "token_types",
                                         "conv1d",     "rope_freqs",    "_norm." };

    for (size_t i = 0; i < IQT_COUNT(parts); i++)
        if (has(t, parts[i]))
            return true;
    return false;
}

static bool is_matrix(const struct iqt_gguf_tensor *t)
{
    return t->dims >= 2 && t->ne[1] > 1 && ends(t->name, t->name_bytes, ".weight");
}

/* ---- Experts ---- */

static uint64_t experts_used(const struct iqt_gguf *g)
{
    static const char tail[] = ".expert_used_count";

    for (size_t i = 0; i < iqt_gguf_key_count(g); i++) {
        const struct iqt_gguf_key key = iqt_gguf_key_at(g, i);

        if (!ends(key.name, key.name_bytes, tail))
            continue;
        if (key.type == IQT_GGUF_U32 || key.type == IQT_GGUF_I32)
            return iqt_read_u32(key.data);
        if (key.type == IQT_GGUF_U64 || key.type == IQT_GGUF_I64)
            return iqt_read_u64(key.data);
    }
    return 0;
}

/* Each column may choose others: at most n times as many are read. */
static void take_experts(struct iqt_predict_job *j, const struct iqt_gguf_tensor *t,
                         const struct iqt_predict_work *w)
{
    const uint64_t experts = t->ne[2];
    uint64_t used = w->used;

    if (used == 0 || used >= experts || !iqt_mul(used, w->n, &used) || used > experts)
        used = experts;
    j->experts = experts;
    j->used = used;
    j->product.m = j->product.m / experts * used;
    j->product.weight_bytes *= (double)used / (double)experts;
}

/* ---- The list ---- */

static struct iqt_predict_job *next_job(struct iqt_predict_work *w)
{
    if (w->count == w->capacity) {
        const size_t capacity = w->capacity ? 2 * w->capacity : 64;
        struct iqt_predict_job *job = realloc(w->job, capacity * sizeof *job);

        if (job == NULL)
            return NULL;
        w->job = job;
        w->capacity = capacity;
    }
    w->job[w->count] = (struct iqt_predict_job){ .type = "unknown" };
    return &w->job[w->count++];
}

static enum iqt_status no_memory(const struct iqt_predict_work *w)
{
    return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu matrices", w->count + 1);
}

static enum iqt_status add_tensor(const struct iqt_gguf_tensor *t,
                                  struct iqt_predict_work *w)
{
    struct iqt_predict_job *j;

    if (t->bytes == 0 || iqt_gguf_rows(t) == 0) {
        w->unknown++;
        return IQT_OK;
    }
    j = next_job(w);
    if (j == NULL)
        return no_memory(w);
    iqt_escape(j->name, sizeof j->name, t->name, t->name_bytes);
    if (t->type_name != NULL)
        j->type = t->type_name;
    j->format = iqt_format_base(t->format);
    j->product = (struct iqt_predict_product){
        .m = iqt_gguf_rows(t), .k = t->ne[0], .n = w->n, .weight_bytes = (double)t->bytes
    };
    if (t->ne[2] > 1 && has(t, "_exps.")) {
        take_experts(j, t, w);
        w->has_experts = true;
    }
    return IQT_OK;
}

enum iqt_status iqt_predict_file(const struct iqt_gguf *g, uint32_t n,
                                 struct iqt_predict_work *out)
{
    struct iqt_predict_work w = {
        .n = n, .used = experts_used(g), .model = true, .tied = true
    };
    enum iqt_status status = IQT_OK;

    for (size_t i = 0; i < iqt_gguf_tensor_count(g); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, i);

        w.tied &= t.name_bytes != strlen("output.weight") ||
                  memcmp(t.name, "output.weight", t.name_bytes) != 0;
    }
    for (size_t i = 0; i < iqt_gguf_tensor_count(g) && status == IQT_OK; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, i);
        const bool output = w.tied && t.name_bytes == strlen("token_embd.weight") &&
                            has(&t, "token_embd");

        if (is_matrix(&t) && (output || !is_lookup(&t)))
            status = add_tensor(&t, &w);
    }
    if (status == IQT_OK && w.count == 0)
        status =
            iqt_fail(IQT_ERR_UNSUPPORTED, "no matrix in the file: no tensor NAME.weight "
                                          "of two dimensions and a known type");
    if (status == IQT_OK)
        *out = w;
    else
        iqt_predict_work_free(&w);
    return status;
}

static enum iqt_status add_format(const struct iqt_format *f, size_t m, size_t k,
                                  struct iqt_predict_work *w)
{
    struct iqt_predict_job *j;
    size_t row_bytes;

    IQT_TRY(iqt_format_row_bytes(f, k, &row_bytes));
    j = next_job(w);
    if (j == NULL)
        return no_memory(w);
    snprintf(j->name, sizeof j->name, "%zux%zu", m, k);
    j->type = f->name;
    j->format = f;
    j->product = (struct iqt_predict_product){
        .m = m, .k = k, .n = w->n, .weight_bytes = (double)m * (double)row_bytes
    };
    return IQT_OK;
}

enum iqt_status iqt_predict_shape(const char *shape, const struct iqt_format *only,
                                  uint32_t n, struct iqt_predict_work *out)
{
    struct iqt_predict_work w = { .n = n };
    enum iqt_status status = IQT_OK;
    size_t m, k;

    IQT_TRY(iqt_bench_shape_parse(&shape, &m, &k));
    if (*shape != '\0')
        return iqt_fail(IQT_ERR_ARG, "--shape takes one shape MxK, then \"%s\"", shape);
    for (const struct iqt_format *f = iqt_formats; f->name && status == IQT_OK; f++)
        if (only != NULL ? f == only : f->decode != IQT_DECODE_FLOAT)
            status = add_format(f, m, k, &w);
    if (status == IQT_OK)
        *out = w;
    else
        iqt_predict_work_free(&w);
    return status;
}

void iqt_predict_work_free(struct iqt_predict_work *w)
{
    free(w->job);
    *w = (struct iqt_predict_work){ 0 };
}
