/* The text of eval/dense.h's loops; IQT_DENSE is the name of the table of this instruction set. No contraction: a
 * product is rounded before it is added, with or without FMA. */
#include "eval/dense.h"

#include <math.h>
#include <string.h>

typedef float lanes IQT_VECTOR(64);
enum { LANES = 16, HALVES = IQT_PANEL / LANES, ROWS = 4 };

static inline lanes load(const float *p)
{
    lanes v;

    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float *p, lanes v)
{
    memcpy(p, &v, sizeof v);
}

/* Four rows: what is loaded of x serves all. */
static void multiply_rows(const float *w, size_t k, const float *x, float *y)
{
    lanes sum[ROWS][HALVES] = { 0 };

    for (size_t i = 0; i < k; i++, x += IQT_PANEL) {
        const lanes x0 = load(x), x1 = load(x + LANES);

        for (size_t r = 0; r < ROWS; r++) {
            sum[r][0] += w[r * k + i] * x0;
            sum[r][1] += w[r * k + i] * x1;
        }
    }
    for (size_t r = 0; r < ROWS; r++) {
        store(y + r * IQT_PANEL, sum[r][0]);
        store(y + r * IQT_PANEL + LANES, sum[r][1]);
    }
}

static void multiply_row(const float *w, size_t k, const float *x, float *y)
{
    lanes sum[HALVES] = { 0 };

    for (size_t i = 0; i < k; i++, x += IQT_PANEL) {
        sum[0] += w[i] * load(x);
        sum[1] += w[i] * load(x + LANES);
    }
    store(y, sum[0]);
    store(y + LANES, sum[1]);
}

static void multiply(const float *w, size_t k, size_t first, size_t count, const float *x,
                     size_t panel, size_t panels, float *y, size_t y_values)
{
    for (; panel < panels; panel++) {
        const float *from = x + panel * k * IQT_PANEL;
        float *to = y + panel * y_values * IQT_PANEL;
        size_t row = first;

        for (; row + ROWS <= first + count; row += ROWS)
            multiply_rows(w + row * k, k, from, to + row * IQT_PANEL);
        for (; row < first + count; row++)
            multiply_row(w + row * k, k, from, to + row * IQT_PANEL);
    }
}

/* ---- Attention ---- */

/* s[t] = q . k_t for the panels of keys up to a->panel. */
static void score(const struct iqt_attend *a, const float *q, float *s)
{
    for (size_t p = 0; p <= a->panel; p++) {
        const float *k = a->k + (p * a->kv_values + a->kv_first) * IQT_PANEL;
        lanes sum[HALVES] = { 0 };

        for (size_t i = 0; i < a->head; i++) {
            sum[0] += q[i] * load(k + i * IQT_PANEL);
            sum[1] += q[i] * load(k + i * IQT_PANEL + LANES);
        }
        store(s + p * IQT_PANEL, sum[0]);
        store(s + p * IQT_PANEL + LANES, sum[1]);
    }
}

/* In place; what comes after count is 0. */
static void soften(float *s, size_t count, size_t all, float scale)
{
    float most = -INFINITY;
    double sum = 0;

    for (size_t t = 0; t < count; t++)
        most = fmaxf(most, s[t] * scale);
    for (size_t t = 0; t < count; t++) {
        s[t] = expf(s[t] * scale - most);
        sum += s[t];
    }
    for (size_t t = 0; t < count; t++)
        s[t] = (float)(s[t] / sum);
    for (size_t t = count; t < all; t++)
        s[t] = 0;
}

static float mix(const struct iqt_attend *a, const float *s, size_t i)
{
    lanes sum = { 0 };
    float all = 0;

    for (size_t p = 0; p <= a->panel; p++) {
        const float *v = a->v + (p * a->kv_values + a->kv_first + i) * IQT_PANEL;

        sum += load(s + p * IQT_PANEL) * load(v);
        sum += load(s + p * IQT_PANEL + LANES) * load(v + LANES);
    }
    for (size_t n = 0; n < LANES; n++)
        all += sum[n];
    return all;
}

static void attend(const struct iqt_attend *a)
{
    const size_t at = (a->panel * a->q_values + a->q_first) * IQT_PANEL;
    const size_t keys = (a->panel + 1) * IQT_PANEL;
    float q[IQT_ATTEND_MAX];

    for (size_t c = 0; c < IQT_PANEL; c++) {
        for (size_t i = 0; i < a->head; i++)
            q[i] = a->q[at + i * IQT_PANEL + c];
        score(a, q, a->scratch);
        soften(a->scratch, a->panel * IQT_PANEL + c + 1, keys, a->scale);
        for (size_t i = 0; i < a->head; i++)
            a->out[at + i * IQT_PANEL + c] = mix(a, a->scratch, i);
    }
}

const struct iqt_dense IQT_DENSE = { multiply, attend };
