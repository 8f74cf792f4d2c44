/* The logits of a language model for a window of tokens, in float32. */
#ifndef IQT_EVAL_FORWARD_H
#define IQT_EVAL_FORWARD_H

#include "eval/language_model.h"

struct iqt_lm_work;

/* Buffers for windows of at most `window` tokens; a work belongs to one thread at a time. */
IQT_MUST_USE enum iqt_status iqt_lm_work_create(const struct iqt_lm *lm, size_t window,
                                                struct iqt_pool *pool,
                                                struct iqt_lm_work **out);
void iqt_lm_work_destroy(struct iqt_lm_work *w); /* NULL is allowed */

/* What matrices of a layer are about to be multiplied with. */
enum iqt_lm_input {
    IQT_LM_ATTENTION_IN, /* queries, keys, values */
    IQT_LM_ATTENTION_OUT,
    IQT_LM_FEED_FORWARD, /* gate and up */
    IQT_LM_DOWN,
    IQT_LM_INPUTS
};
/* x: values a column, in panels; only the first `count` columns are of tokens. */
typedef void (*iqt_lm_watch_fn)(void *user, enum iqt_lm_input input, size_t layer,
                                const float *x, size_t values, size_t count);
/* fn is called by every iqt_lm_forward() from now on. */
void iqt_lm_watch(struct iqt_lm_work *w, iqt_lm_watch_fn fn, void *user);

/* Tokens are below lm->vocabulary, count is 1 .. window. Returns the logits after each token from `first` on, in
 * panels as eval/dense.h has them, lm->vocabulary values a column; valid until the next call. */
const float *iqt_lm_forward(struct iqt_lm_work *w, const uint32_t *token, size_t count,
                            size_t first);

#endif
