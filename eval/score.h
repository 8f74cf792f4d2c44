/* How good predictions of the next token are, alone and beside those of another model. */
#ifndef IQT_EVAL_SCORE_H
#define IQT_EVAL_SCORE_H

#include "runtime/cpu_pool.h"

/* Sums over tokens; of a model compared with itself kl is 0 and same is tokens. */
struct iqt_score {
    size_t tokens;
    double nll, nll2; /* -log p(next token), and its square */
    double kl, kl2;   /* sum over the vocabulary of p log(p / q), p of the base */
    size_t same;      /* the likeliest token is the base's */
};

/* Adds the predictions after columns [first, count - 1) of a window; logits and base in panels, base may be NULL. */
IQT_MUST_USE enum iqt_status iqt_score_add(struct iqt_score *s, struct iqt_pool *pool,
                                           const float *logits, const float *base,
                                           size_t vocabulary, const uint32_t *token,
                                           size_t first, size_t count);
double iqt_score_perplexity(const struct iqt_score *s);
/* Means over tokens and their standard errors. */
double iqt_score_kl(const struct iqt_score *s, double *uncertain);
double iqt_score_nll(const struct iqt_score *s, double *uncertain);

#endif
