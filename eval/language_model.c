/* Reads a llama model: dimensions from keys, weights from tensors of any type that can be decoded. */
#include "eval/language_model.h"
#include "eval/dense.h"
#include "io/gguf_file.h"
#include "kernels/interleave.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Dimensions ---- */

static bool find_unsigned(const struct iqt_gguf *g, const char *name, size_t *out)
{
    struct iqt_gguf_key key;
    uint64_t value;

    if (!iqt_gguf_key_find(g, name, &key) || !iqt_gguf_key_unsigned(&key, &value) ||
        value == 0 || value > UINT32_MAX)
        return false;
    *out = (size_t)value;
    return true;
}

static void find_float(const struct iqt_gguf *g, const char *name, float *out)
{
    struct iqt_gguf_key key;

    if (iqt_gguf_key_find(g, name, &key) && key.type == IQT_GGUF_F32)
        *out = iqt_read_f32(key.data);
}

static enum iqt_status check_architecture(const struct iqt_gguf *g)
{
    static const char *const refused[] = { "llama.rope.scaling.type",
                                           "llama.expert_count",
                                           "llama.attention.sliding_window" };
    struct iqt_gguf_key key;

    if (!iqt_gguf_key_find(g, "general.architecture", &key) ||
        key.type != IQT_GGUF_STRING || key.count != 5 ||
        memcmp(key.data, "llama", 5) != 0)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "general.architecture is not llama: only that is evaluated");
    for (size_t i = 0; i < IQT_COUNT(refused); i++)
        if (iqt_gguf_key_find(g, refused[i], &key))
            return iqt_fail(IQT_ERR_UNSUPPORTED, "the model has %s: not evaluated yet",
                            refused[i]);
    return IQT_OK;
}

static enum iqt_status read_dimensions(const struct iqt_gguf *g, struct iqt_lm *lm)
{
    const struct {
        const char *name;
        size_t *out;
    } needed[] = {
        { "llama.embedding_length", &lm->width },
        { "llama.block_count", &lm->layers },
        { "llama.attention.head_count", &lm->heads },
        { "llama.feed_forward_length", &lm->feed_forward },
        { "llama.context_length", &lm->context },
    };

    IQT_TRY(check_architecture(g));
    for (size_t i = 0; i < IQT_COUNT(needed); i++)
        if (!find_unsigned(g, needed[i].name, needed[i].out))
            return iqt_fail(IQT_ERR_FORMAT, "the model has no %s, or not above 0",
                            needed[i].name);
    lm->kv_heads = lm->heads;
    find_unsigned(g, "llama.attention.head_count_kv", &lm->kv_heads);
    lm->head = lm->width / lm->heads;
    find_unsigned(g, "llama.attention.key_length", &lm->head);
    lm->rope = lm->head;
    find_unsigned(g, "llama.rope.dimension_count", &lm->rope);
    lm->epsilon = 1e-5f;
    find_float(g, "llama.attention.layer_norm_rms_epsilon", &lm->epsilon);
    lm->rope_base = 10000;
    find_float(g, "llama.rope.freq_base", &lm->rope_base);
    if (lm->heads % lm->kv_heads != 0 || lm->head > IQT_ATTEND_MAX || lm->head == 0 ||
        lm->rope > lm->head || lm->rope % 2 != 0)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "%zu heads of %zu values, %zu rotated, %zu heads of keys: "
                        "cannot be evaluated",
                        lm->heads, lm->head, lm->rope, lm->kv_heads);
    return IQT_OK;
}

/* ---- Weights ---- */

struct decode {
    const struct iqt_gguf_tensor *tensor;
    size_t k, row_bytes;
    float *out;
    atomic_bool failed;
};

static void decode_rows(void *user, size_t begin, size_t count)
{
    struct decode *d = user;
    const struct iqt_format *f = d->tensor->format;
    uint8_t *room = malloc(d->row_bytes); /* for a row that is interleaved with others */

    for (size_t i = begin; i < begin + count; i++)
        if (room == NULL ||
            iqt_decode_row(iqt_format_base(f),
                           iqt_row_apart(f, d->k, d->tensor->data, i, room), d->k,
                           IQT_DECODE_COMPUTE, d->out + i * d->k) != IQT_OK)
            d->failed = true;
    free(room);
}

struct loader {
    const struct iqt_gguf *file;
    struct iqt_pool *pool;
    float *next;  /* room for the tensor that comes next */
    size_t found; /* tensors */
};

static enum iqt_status check_shape(const struct iqt_gguf_tensor *t, const char *name,
                                   size_t k, size_t rows)
{
    if (t->ne[0] != k || iqt_gguf_rows(t) != rows)
        return iqt_fail(IQT_ERR_SHAPE,
                        "tensor %s is %llu x %llu, the model's keys ask for %zu x %zu",
                        name, (unsigned long long)t->ne[0],
                        (unsigned long long)iqt_gguf_rows(t), k, rows);
    if (t->format == NULL || t->data == NULL)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "tensor %s (%s) cannot be decoded", name,
                        t->data == NULL ? "its data are not all there" : t->type_name);
    return IQT_OK;
}

static enum iqt_status load(struct loader *l, const char *name, size_t k, size_t rows,
                            const float **out)
{
    struct iqt_gguf_tensor t;
    struct decode d = { .tensor = &t, .k = k, .out = l->next };

    IQT_TRY(iqt_gguf_tensor_find(l->file, name, &t));
    IQT_TRY(check_shape(&t, name, k, rows));
    IQT_TRY(iqt_format_row_bytes(t.format, k, &d.row_bytes));
    iqt_pool_run(l->pool, decode_rows, &d, rows, 16);
    if (d.failed)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory to decode tensor %s", name);
    iqt_gguf_release(l->file, &t, 0, t.bytes);
    *out = l->next;
    l->next += k * rows;
    l->found++;
    return IQT_OK;
}

static enum iqt_status load_layer(struct loader *l, const struct iqt_lm *lm, size_t i)
{
    struct iqt_lm_layer *layer = &lm->layer[i];
    const size_t width = lm->width, q = lm->heads * lm->head,
                 kv = lm->kv_heads * lm->head, wide = lm->feed_forward;
    const struct {
        const char *name;
        size_t k, rows;
        const float **out;
    } tensors[] = {
        { "attn_norm", width, 1, &layer->attn_norm },
        { "attn_q", width, q, &layer->q },
        { "attn_k", width, kv, &layer->k },
        { "attn_v", width, kv, &layer->v },
        { "attn_output", q, width, &layer->attn_out },
        { "ffn_norm", width, 1, &layer->ffn_norm },
        { "ffn_gate", width, wide, &layer->gate },
        { "ffn_up", width, wide, &layer->up },
        { "ffn_down", wide, width, &layer->down },
    };

    for (size_t n = 0; n < IQT_COUNT(tensors); n++) {
        char name[64];

        snprintf(name, sizeof name, "blk.%zu.%s.weight", i, tensors[n].name);
        IQT_TRY(load(l, name, tensors[n].k, tensors[n].rows, tensors[n].out));
    }
    return IQT_OK;
}

static enum iqt_status load_all(struct loader *l, struct iqt_lm *lm)
{
    struct iqt_gguf_tensor t;

    IQT_TRY(load(l, "token_embd.weight", lm->width, lm->vocabulary, &lm->embedding));
    IQT_TRY(load(l, "output_norm.weight", lm->width, 1, &lm->norm));
    lm->output = lm->embedding;
    if (iqt_gguf_tensor_find(l->file, "output.weight", &t) == IQT_OK)
        IQT_TRY(load(l, "output.weight", lm->width, lm->vocabulary, &lm->output));
    for (size_t i = 0; i < lm->layers; i++)
        IQT_TRY(load_layer(l, lm, i));
    if (l->found != iqt_gguf_tensor_count(l->file))
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "the file has %zu tensors, a llama model of %zu layers has %zu: "
                        "what the others do is not known",
                        iqt_gguf_tensor_count(l->file), lm->layers, l->found);
    return IQT_OK;
}

/* Weights of the file; false: not all of them fit into memory that can be counted. */
static bool count_weights(const struct iqt_gguf *g, size_t *out)
{
    uint64_t sum = 0, bytes;

    for (size_t i = 0; i < iqt_gguf_tensor_count(g); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, i);
        uint64_t weights;

        if (!iqt_mul(t.ne[0], iqt_gguf_rows(&t), &weights) ||
            !iqt_add(sum, weights, &sum))
            return false;
    }
    *out = (size_t)sum;
    return iqt_mul(sum, sizeof(float), &bytes) && bytes < PTRDIFF_MAX;
}

enum iqt_status iqt_lm_create(const struct iqt_gguf *g, struct iqt_pool *pool,
                              struct iqt_lm *out)
{
    struct iqt_lm lm = { 0 };
    struct loader l = { .file = g, .pool = pool };
    struct iqt_gguf_tensor embedding;
    size_t weights = 0;
    enum iqt_status status;

    IQT_TRY(read_dimensions(g, &lm));
    IQT_TRY(iqt_gguf_tensor_find(g, "token_embd.weight", &embedding));
    lm.vocabulary = (size_t)iqt_gguf_rows(&embedding);
    lm.layer = calloc(lm.layers, sizeof *lm.layer);
    if (count_weights(g, &weights))
        lm.weights = malloc((weights + 1) * sizeof *lm.weights);
    l.next = lm.weights;
    status = lm.layer != NULL && lm.weights != NULL
                 ? load_all(&l, &lm)
                 : iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu weights as float32",
                            weights);
    if (status != IQT_OK) {
        iqt_lm_free(&lm);
        return status;
    }
    *out = lm;
    return IQT_OK;
}

void iqt_lm_free(struct iqt_lm *lm)
{
    free(lm->layer);
    free(lm->weights);
    *lm = (struct iqt_lm){ 0 };
}
