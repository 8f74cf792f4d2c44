/* Factors second-order statistics into what error feedback needs. */
#include "quant/feedback.h"
#include "runtime/cpu_pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 8 };

struct maker {
    struct iqt_feedback *f;
    const uint8_t *h;
    double damping;
    enum iqt_status *status; /* of windows */
};

static size_t window_columns(const struct iqt_feedback *f, size_t first)
{
    return f->k - first < f->window ? f->k - first : f->window;
}

/* In one order on every machine: a fixed number of sums side by side. */
static double dot(const double *a, const double *b, size_t count)
{
    double sum[LANES] = { 0 }, all = 0;
    size_t i = 0;

    for (; i + LANES <= count; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            sum[l] += a[i + l] * b[i + l];
    for (; i < count; i++)
        all += a[i] * b[i];
    for (size_t l = 0; l < LANES; l++)
        all += sum[l];
    return all;
}

/* Only left of the diagonal and on it. Returns the mean of the diagonal. */
static double load(const struct maker *m, size_t first, size_t n, double *a)
{
    double mean = 0;

    for (size_t i = 0; i < n; i++) {
        const uint8_t *row = m->h + 4 * (first + i) * m->f->window;

        for (size_t j = 0; j <= i; j++)
            a[j * n + i] = iqt_read_f32(row + 4 * j);
        mean += a[i * n + i] / (double)n;
    }
    return mean;
}

/* From H = R R^T, R upper triangular, built from the last column to the first in place of H: row i of R ends at
 * column i. false: a pivot is not above 0. */
static bool factor(size_t n, double *a)
{
    for (size_t j = n; j-- > 0;) {
        double *rj = a + j * n;
        const double pivot = rj[j] - dot(rj + j + 1, rj + j + 1, n - j - 1);

        if (!(pivot > 0))
            return false;
        rj[j] = sqrt(pivot);
        for (size_t i = 0; i < j; i++) {
            double *ri = a + i * n;

            ri[j] = (ri[j] - dot(ri + j + 1, rj + j + 1, n - j - 1)) / rj[j];
        }
    }
    return true;
}

static void store(const struct maker *m, size_t first, size_t n, const double *a)
{
    for (size_t i = 0; i < n; i++) {
        float *row = m->f->c + (first + i) * m->f->window;

        m->f->d[first + i] = (float)(a[i * n + i] * a[i * n + i]);
        for (size_t j = i + 1; j < n; j++)
            row[j] = (float)(a[i * n + j] / a[j * n + j]);
    }
}

static enum iqt_status make_window(const struct maker *m, size_t first)
{
    const size_t n = window_columns(m->f, first);
    double *a = calloc(n * n, sizeof *a), mean;
    bool done;

    if (a == NULL)
        return IQT_ERR_NO_MEMORY;
    mean = load(m, first, n, a);
    for (size_t i = 0; i < n; i++)
        a[i * n + i] += mean > 0 ? m->damping * mean : 1;
    done = factor(n, a);
    if (done)
        store(m, first, n, a);
    free(a);
    return done ? IQT_OK : IQT_ERR_FORMAT;
}

static void make_windows(void *user, size_t begin, size_t count)
{
    const struct maker *m = user;

    for (size_t w = begin; w < begin + count; w++)
        m->status[w] = make_window(m, w * m->f->window);
}

/* The text of a failure belongs to the thread that it happened on. */
static enum iqt_status judge(const struct maker *m, size_t windows)
{
    for (size_t w = 0; w < windows; w++) {
        if (m->status[w] == IQT_ERR_NO_MEMORY)
            return iqt_fail(m->status[w], "no memory to factor %zu x %zu columns",
                            m->f->window, m->f->window);
        if (m->status[w] != IQT_OK)
            return iqt_fail(
                m->status[w],
                "the statistics of columns %zu to %zu are not positive definite",
                w * m->f->window,
                w * m->f->window + window_columns(m->f, w * m->f->window) - 1);
    }
    return IQT_OK;
}

static bool is_zero(const struct iqt_feedback *f)
{
    for (size_t i = 0; i < f->k * f->window; i++)
        if (f->c[i] != 0)
            return false;
    return true;
}

enum iqt_status iqt_feedback_create(size_t k, size_t window, const void *h,
                                    double damping, struct iqt_pool *pool,
                                    struct iqt_feedback **out)
{
    const size_t windows = (k + window - 1) / window;
    struct iqt_feedback *f = calloc(1, sizeof *f);
    struct maker m = { f, h, damping, calloc(windows, sizeof *m.status) };
    enum iqt_status status;

    if (f != NULL) {
        *f = (struct iqt_feedback){ .k = k, .window = window };
        f->c = calloc(k * window, sizeof *f->c);
        f->d = calloc(k, sizeof *f->d);
    }
    if (f == NULL || f->c == NULL || f->d == NULL || m.status == NULL) {
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for feedback of %zu columns", k);
    } else {
        iqt_pool_run(pool, make_windows, &m, windows, 1);
        status = judge(&m, windows);
        f->is_none = is_zero(f);
    }
    free(m.status);
    if (status == IQT_OK)
        *out = f;
    else
        iqt_feedback_destroy(f);
    return status;
}

void iqt_feedback_destroy(struct iqt_feedback *f)
{
    if (f == NULL)
        return;
    free(f->c);
    free(f->d);
    free(f);
}

void iqt_feedback_push(const struct iqt_feedback *f, const float *miss, size_t begin,
                       size_t end, size_t from, float *x)
{
    const size_t first = begin / f->window * f->window;
    const size_t n = window_columns(f, first);

    for (size_t i = begin; i < end; i++) {
        const float *c = f->c + i * f->window;
        const float by = miss[i];

        for (size_t j = from - first; j < n; j++)
            x[first + j] += by * c[j];
    }
}

void iqt_feedback_aim(const struct iqt_feedback *f, const float *from, size_t begin,
                      size_t end, float *x)
{
    const size_t first = begin / f->window * f->window;

    for (size_t i = begin; i < end; i++) {
        const float *c = f->c + i * f->window;
        const float by = from[i] - x[i];

        for (size_t j = i + 1; j < end; j++)
            x[j] += by * c[j - first];
    }
}

void iqt_feedback_mix(const struct iqt_feedback *f, const float *x, float *to)
{
    memcpy(to, x, f->k * sizeof *to);
    for (size_t i = 0; i < f->k; i++)
        iqt_feedback_push(f, x, i, i + 1, i + 1, to);
}
