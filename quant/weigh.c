/* What the error of each weight of a row counts, and the loss of an encoded row under that. */
#include "quant/encoder.h"

#include <float.h>
#include <math.h>

enum { SIGMA_WEIGHTS = 256 }; /* that share a spread */

static float largest(const float *x, size_t k)
{
    float size = 0;

    for (size_t i = 0; i < k; i++)
        size = fabsf(x[i]) > size ? fabsf(x[i]) : size;
    return size;
}

int iqt_row_exponent(const float *x, size_t k)
{
    int exponent = 0;

    frexpf(largest(x, k), &exponent);
    return exponent;
}

void iqt_row_shrink(const float *x, size_t k, int exponent, float *to)
{
    const double scale = ldexp(1, -exponent);

    for (size_t i = 0; i < k; i++)
        to[i] = (float)(x[i] * scale);
}

/* scale brings importance to at most 1. */
static float weight_of(const struct iqt_weighting *g, float x, float sigma2,
                       const float *importance, float scale)
{
    if (importance != NULL)
        return *importance * scale * sqrtf(sigma2 + x * x);
    if (g->flat)
        return 1;
    return g->magnitude ? g->floor * sqrtf(sigma2) + fabsf(x) : g->floor * sigma2 + x * x;
}

/* Columns without importance still get the codes that suit them, at no cost for others. */
static void lift(size_t k, double sum, float *w)
{
    float least = sum > 0 ? (float)(sum / (double)k * 1e-9) : 1;

    least = least > FLT_MIN ? least : FLT_MIN;
    for (size_t i = 0; i < k; i++)
        w[i] = w[i] > least ? w[i] : least;
}

void iqt_row_weigh_plain(size_t k, const float *importance, float *w)
{
    const float most = largest(importance, k), scale = most > FLT_MIN ? 1 / most : 1;
    double sum = 0;

    for (size_t i = 0; i < k; i++) {
        w[i] = importance[i] * scale;
        sum += w[i];
    }
    lift(k, sum, w);
}

void iqt_row_weigh(const struct iqt_format *f, size_t k, const float *x,
                   const float *importance, float *w)
{
    const struct iqt_weighting *g = &f->weighting;
    const float most = importance != NULL ? largest(importance, k) : 1;
    const float scale = most > FLT_MIN ? 1 / most : 1;
    double sum = 0;

    for (size_t first = 0; first < k; first += SIGMA_WEIGHTS) {
        const size_t left = k - first;
        const size_t end = first + (left < SIGMA_WEIGHTS ? left : SIGMA_WEIGHTS);
        float sigma2 = 0;

        for (size_t i = first; i < end; i++)
            sigma2 += x[i] * x[i];
        sigma2 *= g->factor / (float)(end - first);
        for (size_t i = first; i < end; i++) {
            w[i] = weight_of(g, x[i], sigma2, importance != NULL ? importance + i : NULL,
                             scale);
            sum += w[i];
        }
    }
    lift(k, sum, w);
}

struct iqt_row_loss iqt_row_loss(const struct iqt_format *f, size_t k, const float *x,
                                 const float *importance, const uint8_t *row,
                                 struct iqt_row_work *work)
{
    const int exponent = iqt_row_exponent(x, k);
    /* Element weights grow like x with an importance, or like x^2. */
    const int degree = importance != NULL || f->weighting.magnitude ? 1
                       : f->weighting.flat                          ? 0
                                                                    : 2;
    const size_t step = f->superblock;
    struct iqt_row_loss loss = { 0 };
    float y[SIGMA_WEIGHTS];

    iqt_row_shrink(x, k, exponent, work->x);
    iqt_row_weigh(f, k, work->x, importance, work->w);
    for (size_t at = 0; at < k; at += step) {
        const size_t count = k - at < step ? k - at : step; /* floats end anywhere */

        iqt_decode_part(f, row, at, count, IQT_DECODE_COMPUTE, y);
        for (size_t i = 0; i < count; i++) {
            const double w = ldexp(work->w[at + i], (2 + degree) * exponent),
                         v = work->x[at + i];
            const double miss = v - ldexp(y[i], -exponent);

            loss.missed += w * miss * miss;
            loss.all += w * v * v;
        }
    }
    return loss;
}
