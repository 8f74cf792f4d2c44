/* What follows from a GPU report's numbers: the device's budget of instruction slots, what it
 * predicts, and how well. */
#include "tools/gpu_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *iqt_gpu_disclaimer(const struct iqt_gpu_report *r)
{
    static const char *const words[] = { "simulated", "software" };

    for (size_t i = 0; i < IQT_COUNT(words); i++)
        if (strstr(r->device.features, words[i]) != NULL)
            return words[i];
    return "";
}

/* ---- Budget --------------------------------------------------------------------------- */

/* "1980MHz" among the words of features, in Hz; 0: it is not there. */
static double clock_of(const char *features)
{
    const char *unit = strstr(features, "MHz");
    const char *at = unit;

    while (at != NULL && at > features && at[-1] >= '0' && at[-1] <= '9')
        at--;
    return unit == NULL || unit - at > 5 ? 0 : strtod(at, NULL) * 1e6;
}

/* Lanes of a compute unit that can start a 32-bit integer instruction in a clock. */
static uint32_t lanes_of(const char *arch)
{
    return strncmp(arch, "sm_", 3) == 0 ? 128 : strncmp(arch, "gfx", 3) == 0 ? 64 : 0;
}

void iqt_gpu_budget(const struct iqt_gpu_report *r, struct iqt_gpu_budget *out)
{
    *out = (struct iqt_gpu_budget){ .units = r->device.compute_units,
                                    .lanes = lanes_of(r->device.arch),
                                    .hertz = clock_of(r->device.features) };
    out->slots = (double)out->units * out->lanes * out->hertz;
}

double iqt_gpu_predict(const struct iqt_gpu_report *r, const struct iqt_gpu_budget *b,
                       const struct iqt_gpu_cell *c)
{
    const double weights = (double)c->m * (double)c->k;

    if (b->slots <= 0 || c->slots <= 0 || r->copy[c->layout] <= 0)
        return 0;
    return fmax(weights * c->slots / b->slots, c->rate * c->seconds / r->copy[c->layout]);
}

/* ---- Verdict -------------------------------------------------------------------------- */

static bool counts(const struct iqt_gpu_cell *c, uint32_t n)
{
    return c->error[0] == '\0' && c->n == n && c->slots > 0;
}

static double time_a_weight(const struct iqt_gpu_cell *c)
{
    return c->seconds / ((double)c->m * (double)c->k);
}

/* Twice the rank of value among values, so that ties share a rank without fractions. */
static double rank_of(const double *values, size_t count, double value)
{
    double rank = 1;

    for (size_t i = 0; i < count; i++)
        rank += values[i] < value ? 2 : values[i] == value ? 1 : 0;
    return rank;
}

/* Spearman's coefficient; 0 where one side does not vary. */
static double rank_correlation(const double *x, const double *y, size_t count)
{
    const double mean = (double)count + 1; /* of twice a rank */
    double xx = 0, yy = 0, xy = 0;

    for (size_t i = 0; i < count; i++) {
        const double a = rank_of(x, count, x[i]) - mean,
                     b = rank_of(y, count, y[i]) - mean;

        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}

static void compare(const struct iqt_gpu_report *r, uint32_t n,
                    struct iqt_gpu_verdict *out)
{
    struct iqt_gpu_budget budget;
    double sum = 0;
    size_t count = 0;

    iqt_gpu_budget(r, &budget);
    for (size_t i = 0; i < r->cells; i++) {
        const struct iqt_gpu_cell *c = &r->cell[i];
        const double predicted = counts(c, n) ? iqt_gpu_predict(r, &budget, c) : 0;
        const double ratio = predicted > 0 ? c->seconds / predicted : 0;

        if (ratio <= 0)
            continue;
        out->lo = count == 0 ? ratio : fmin(out->lo, ratio);
        out->hi = fmax(out->hi, ratio);
        sum += log(ratio);
        count++;
    }
    out->ratio = count > 0 ? exp(sum / (double)count) : 0;
}

void iqt_gpu_verdict(const struct iqt_gpu_report *r, uint32_t n,
                     struct iqt_gpu_verdict *out)
{
    double *slots = calloc(r->cells + 1, sizeof(*slots));
    double *times = calloc(r->cells + 1, sizeof(*times));

    *out = (struct iqt_gpu_verdict){ .count = 0 };
    for (size_t i = 0; slots != NULL && times != NULL && i < r->cells; i++) {
        if (!counts(&r->cell[i], n))
            continue;
        slots[out->count] = r->cell[i].slots;
        times[out->count++] = time_a_weight(&r->cell[i]);
    }
    if (out->count > 0) {
        out->rank = rank_correlation(slots, times, out->count);
        compare(r, n, out);
    }
    free(slots);
    free(times);
}

/* ---- Choices and means ---------------------------------------------------------------- */

const struct iqt_gpu_cell *iqt_gpu_cell_of(const struct iqt_gpu_report *r,
                                           const struct iqt_format *f,
                                           enum iqt_layout layout, uint32_t n)
{
    const struct iqt_gpu_cell *best = NULL;

    for (size_t i = 0; i < r->cells; i++) {
        const struct iqt_gpu_cell *c = &r->cell[i];

        if (c->format == f && c->layout == layout && c->n == n && c->error[0] == '\0' &&
            (best == NULL ||
             (double)c->m * (double)c->k > (double)best->m * (double)best->k))
            best = c;
    }
    return best;
}

double iqt_gpu_value_of(const struct iqt_gpu_cell *c, enum iqt_gpu_value v)
{
    if (c == NULL)
        return 0;
    return v == IQT_GPU_PERCENT ? c->percent : c->gain;
}

double iqt_gpu_mean(const struct iqt_gpu_report *r, enum iqt_gpu_value v,
                    enum iqt_layout layout, uint32_t n)
{
    double sum = 0;
    size_t count = 0;

    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        const double value = iqt_gpu_value_of(iqt_gpu_cell_of(r, f, layout, n), v);

        if (value <= 0)
            continue;
        sum += log(value);
        count++;
    }
    return count > 0 ? exp(sum / (double)count) : 0;
}
