/* What the error of each weight of a row counts, and the loss of an encoded row under that. */
#include "quant/encoder.h"

#include <float.h>
#include <math.h>

enum { SIGMA_WEIGHTS = 256 }; /* that share a spread */

static float largest(const float *x, size_t k)
{
    float size = 0;

    for (size_t i = 0; i < k; i++)
        size = fmaxf(size, fabsf(x[i]));
    return size;
}

int iqt_row_exponent(const float *x, size_t k)
{
    int exponent = 0;

    frexpf(largest(x, k), &exponent);
    return exponent;
}

/* scale brings importance to at most 1. */
static float weight_of(const struct iqt_weighting *g, float x, float sigma2,
                       const float *importance, float scale)
{
    if (importance != NULL)
        return *importance * scale * sqrtf(sigma2 + x * x);
    return g->magnitude ? fabsf(x) : g->floor * sigma2 + x * x;
}

void iqt_row_weigh(const struct iqt_format *f, size_t k, const float *x,
                   const float *importance, float *w)
{
    const struct iqt_weighting *g = &f->weighting;
    const float most = importance != NULL ? largest(importance, k) : 1;
    const float scale = most > FLT_MIN ? 1 / most : 1;
    double sum = 0;
    float least;

    for (size_t first = 0; first < k; first += SIGMA_WEIGHTS) {
        float sigma2 = 0;

        for (size_t i = first; i < first + SIGMA_WEIGHTS; i++)
            sigma2 += x[i] * x[i];
        sigma2 *= g->factor / SIGMA_WEIGHTS;
        for (size_t i = first; i < first + SIGMA_WEIGHTS; i++) {
            w[i] = weight_of(g, x[i], sigma2, importance != NULL ? importance + i : NULL,
                             scale);
            sum += w[i];
        }
    }
    /* Columns without importance still get the codes that suit them, at no cost for others. */
    least = sum > 0 ? (float)(sum / (double)k * 1e-9) : 1;
    for (size_t i = 0; i < k; i++)
        w[i] = fmaxf(w[i], fmaxf(least, FLT_MIN));
}

struct iqt_row_loss iqt_row_loss(const struct iqt_format *f, size_t k, const float *x,
                                 const float *importance, const uint8_t *row,
                                 struct iqt_row_work *work)
{
    const int exponent = iqt_row_exponent(x, k);
    /* Element weights grow like x with an importance, or like x^2. */
    const int degree = importance != NULL || f->weighting.magnitude ? 1 : 2;
    const size_t step = f->superblock;
    struct iqt_row_loss loss = { 0 };
    float y[SIGMA_WEIGHTS];

    for (size_t i = 0; i < k; i++)
        work->x[i] = (float)ldexp(x[i], -exponent);
    iqt_row_weigh(f, k, work->x, importance, work->w);
    for (size_t at = 0; at < k; at += step) {
        iqt_decode_part(f, row, at, step, IQT_DECODE_COMPUTE, y);
        for (size_t i = 0; i < step; i++) {
            const double w = ldexp(work->w[at + i], (2 + degree) * exponent),
                         v = work->x[at + i];
            const double miss = v - ldexp(y[i], -exponent);

            loss.missed += w * miss * miss;
            loss.all += w * v * v;
        }
    }
    return loss;
}
