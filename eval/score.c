/* Scores of single predictions, on all threads, added up in the order of the text. */
#include "eval/score.h"
#include "eval/dense.h"

#include <math.h>
#include <stdlib.h>

/* log p = logit - shift. */
struct shift {
    double shift;
    size_t best;
};

static struct shift shift_of(const float *logit, size_t vocabulary)
{
    float most = -INFINITY;
    struct shift s = { 0 };
    double sum = 0;

    for (size_t i = 0; i < vocabulary; i++) {
        const float value = logit[i * IQT_PANEL];

        if (value > most) {
            most = value;
            s.best = i;
        }
    }
    for (size_t i = 0; i < vocabulary; i++)
        sum += expf(logit[i * IQT_PANEL] - most);
    s.shift = most + log(sum);
    return s;
}

static double divergence(const float *base, double base_shift, const float *logit,
                         double shift, size_t vocabulary)
{
    double sum = 0;

    for (size_t i = 0; i < vocabulary; i++) {
        const double p = base[i * IQT_PANEL] - base_shift,
                     q = logit[i * IQT_PANEL] - shift;

        sum += exp(p) * (p - q);
    }
    return sum;
}

struct one {
    double nll, kl;
    bool same;
};

struct batch {
    const float *logits, *base;
    size_t vocabulary, first;
    const uint32_t *token;
    struct one *one;
};

static void score_piece(void *user, size_t begin, size_t count)
{
    const struct batch *b = user;

    for (size_t i = begin; i < begin + count; i++) {
        const size_t column = b->first + i, at = iqt_panel_at(b->vocabulary, column, 0);
        const float *logit = b->logits + at;
        const struct shift s = shift_of(logit, b->vocabulary);
        struct one *one = &b->one[i];

        *one = (struct one){ .nll = s.shift - logit[b->token[column + 1] * IQT_PANEL] };
        if (b->base != NULL) {
            const struct shift base = shift_of(b->base + at, b->vocabulary);

            one->kl = divergence(b->base + at, base.shift, logit, s.shift, b->vocabulary);
            one->same = base.best == s.best;
        }
    }
}

enum iqt_status iqt_score_add(struct iqt_score *s, struct iqt_pool *pool,
                              const float *logits, const float *base, size_t vocabulary,
                              const uint32_t *token, size_t first, size_t count)
{
    const size_t tokens = count - 1 - first;
    struct batch b = { logits, base, vocabulary, first, token, NULL };

    b.one = malloc(tokens * sizeof *b.one);
    if (b.one == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu scores", tokens);
    iqt_pool_run(pool, score_piece, &b, tokens, 4);
    for (size_t i = 0; i < tokens; i++) {
        s->nll += b.one[i].nll;
        s->nll2 += b.one[i].nll * b.one[i].nll;
        s->kl += b.one[i].kl;
        s->kl2 += b.one[i].kl * b.one[i].kl;
        s->same += b.one[i].same;
    }
    s->tokens += tokens;
    free(b.one);
    return IQT_OK;
}

static double mean(double sum, double squares, size_t count, double *uncertain)
{
    const double n = (double)count, value = sum / n;
    const double variance = squares / n - value * value;

    if (uncertain != NULL)
        *uncertain = count > 1 && variance > 0 ? sqrt(variance / (n - 1)) : 0;
    return value;
}

double iqt_score_nll(const struct iqt_score *s, double *uncertain)
{
    return mean(s->nll, s->nll2, s->tokens, uncertain);
}

double iqt_score_kl(const struct iqt_score *s, double *uncertain)
{
    return mean(s->kl, s->kl2, s->tokens, uncertain);
}

double iqt_score_perplexity(const struct iqt_score *s)
{
    return exp(iqt_score_nll(s, NULL));
}
