/* A language model of the llama architecture with its weights decoded to float32. */
#ifndef IQT_EVAL_LANGUAGE_MODEL_H
#define IQT_EVAL_LANGUAGE_MODEL_H

#include "runtime/cpu_pool.h"

#include <iqtile/gguf.h>

struct iqt_lm_layer {
    const float *attn_norm, *q, *k, *v, *attn_out;
    const float *ffn_norm, *gate, *up, *down;
};

struct iqt_lm {
    size_t width, layers, heads, kv_heads, head, feed_forward, vocabulary, context;
    size_t rope; /* values of a head that are rotated */
    float epsilon, rope_base;
    const float *embedding, *norm, *output;
    struct iqt_lm_layer *layer;
    float *weights; /* all of them */
};

/* Weights are those that compute uses. Every tensor of the file must be known: IQT_ERR_UNSUPPORTED names one that
 * is not, or a key that asks for more. The file may be closed afterwards. */
IQT_MUST_USE enum iqt_status iqt_lm_create(const struct iqt_gguf *g,
                                           struct iqt_pool *pool, struct iqt_lm *out);
void iqt_lm_free(struct iqt_lm *lm);

#endif
