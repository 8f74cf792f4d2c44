/* Robust timing of several plans at once. Decides what a sample is worth: which rounds count,
 * who is out, what is clearly faster. Knows nothing of budgets beyond its deadline. */
#include "tuner/timing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/layout.h"

static const double batch_ns = 2e6; /* shorter batches measure the clock */
static const double drift = 0.10;   /* of the anchor, from its median, either way */
static const double hopeless = 1.5; /* times the best of a layout, after two rounds */
static const double calibrated_out = 4.0; /* the same before any round */
static const double clear_gain = 0.02;
static const double interrupted = 2; /* times a plan's own best */
enum { SETTLED = 2, MOST_ITERATIONS = 1 << 20 };

/* A round in another state of the machine, busier or boosted, is no measure beside the others. */
static bool counts(const struct iqt_contest *c, uint32_t round)
{
    return fabs(c->anchor[round] - c->anchor_middle) <= drift * c->anchor_middle;
}

uint32_t iqt_contest_steady(const struct iqt_contest *c)
{
    uint32_t steady = 0;

    for (uint32_t r = 0; r < c->rounds; r++)
        steady += counts(c, r);
    return steady;
}

bool iqt_contest_settled(const struct iqt_contest *c)
{
    const uint32_t steady = iqt_contest_steady(c);

    return steady >= SETTLED && 4 * steady >= c->rounds;
}

/* Minima alone would let one lucky round decide: a is also ahead in three of four rounds. */
static bool mostly_ahead(const struct iqt_contest *c, const struct iqt_entrant *a,
                         const struct iqt_entrant *b)
{
    uint32_t common = 0, ahead = 0;

    for (uint32_t r = 0; r < c->rounds; r++) {
        if (!counts(c, r) || a->sample[r] <= 0 || b->sample[r] <= 0)
            continue;
        common++;
        ahead += a->sample[r] < b->sample[r];
    }
    return 4 * ahead >= 3 * common;
}

bool iqt_contest_beats(const struct iqt_contest *c, const struct iqt_entrant *a,
                       const struct iqt_entrant *b)
{
    const double gain = b->ns - a->ns;

    return gain > clear_gain * b->ns && gain > a->spread_ns && gain > b->spread_ns &&
           mostly_ahead(c, a, b);
}

/* One batch. A plan that fails here is out; *ns is 0 then. */
static enum iqt_status batch(struct iqt_contest *c, struct iqt_entrant *e, double *ns)
{
    const struct iqt_tune_calls *calls = c->calls;
    uint64_t total = 0;

    if (calls->stop && calls->stop(calls->user))
        return iqt_fail(IQT_ERR_INTERRUPTED, "tuning was stopped");
    e->verdict = IQT_VALID_CORRECT;
    IQT_TRY(calls->measure(calls->user, &e->plan, c->job, e->iterations, c->rotate,
                           &total, &e->verdict));
    if (e->verdict != IQT_VALID_CORRECT) {
        snprintf(e->reason, sizeof e->reason, "%s", iqt_last_error());
        e->out = true;
        total = 0;
    }
    *ns = (double)total / e->iterations;
    return IQT_OK;
}

/* Doubles the iterations until a batch is long enough; leaves the better time per call of the last
 * two batches in e->ns: an interrupted batch ends the doubling, too. */
static enum iqt_status calibrate(struct iqt_contest *c, struct iqt_entrant *e)
{
    double ns, before = 0;

    e->iterations = 1;
    for (;;) {
        IQT_TRY(batch(c, e, &ns));
        if (e->out || ns * e->iterations >= batch_ns || e->iterations >= MOST_ITERATIONS)
            break;
        e->iterations *= 2;
        before = ns;
    }
    e->ns = before > 0 && before < ns ? before : ns;
    return IQT_OK;
}

static double best_of(const struct iqt_contest *c, enum iqt_layout layout)
{
    double best = 0;

    for (size_t i = 0; i < c->count; i++) {
        const struct iqt_entrant *e = &c->entrant[i];

        if (!e->out && e->plan.layout == layout && e->ns > 0 &&
            (best == 0 || e->ns < best))
            best = e->ns;
    }
    return best;
}

static bool too_slow(const struct iqt_contest *c, const struct iqt_entrant *e,
                     double factor)
{
    return !e->out && !e->fallback && e != c->entrant &&
           e->ns > factor * best_of(c, e->plan.layout);
}

/* A call fast enough to come near memory bandwidth would be served by the cache if the same
 * weights were read again and again; real use has other weights in between. */
static bool must_rotate(const struct iqt_contest *c)
{
    const struct iqt_tune_job *job = c->job;

    for (size_t i = 0; i < c->count; i++) {
        const struct iqt_entrant *e = &c->entrant[i];
        const double bytes =
            (double)job->m *
            (double)iqt_layout_row_bytes(job->format, e->plan.layout, job->k) *
            (job->op == IQT_OP_GATED ? 2 : 1);

        if (!e->out && e->ns > 0 && bytes / e->ns >= c->bytes_per_ns / 10)
            return true;
    }
    return false;
}

static enum iqt_status calibrate_all(struct iqt_contest *c)
{
    for (size_t i = 0; i < c->count; i++)
        IQT_TRY(calibrate(c, &c->entrant[i]));
    for (size_t i = 0; i < c->count; i++) {
        struct iqt_entrant *e = &c->entrant[i];
        double again;

        if (!too_slow(c, e, calibrated_out))
            continue;
        /* Once more: a single interruption must not lose a good plan. */
        IQT_TRY(batch(c, e, &again));
        if (!e->out && again < e->ns)
            e->ns = again;
        e->out = e->out || too_slow(c, e, calibrated_out);
    }
    c->rotate = c->bytes_per_ns <= 0 || must_rotate(c);
    return IQT_OK;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *v, uint32_t count)
{
    qsort(v, count, sizeof *v, ascending);
    return count % 2 ? v[count / 2] : (v[count / 2 - 1] + v[count / 2]) / 2;
}

/* Minimum, and median absolute deviation, over the rounds that count. */
static void summarize(const struct iqt_contest *c, struct iqt_entrant *e)
{
    double v[IQT_MOST_ROUNDS];
    uint32_t count = 0;

    for (uint32_t r = 0; r < c->rounds; r++)
        if (counts(c, r) && e->sample[r] > 0)
            v[count++] = e->sample[r];
    e->samples = count;
    e->ns = e->spread_ns = 0;
    if (count == 0)
        return;
    const double middle = median(v, count);
    e->ns = v[0];
    for (uint32_t i = 0; i < count; i++)
        v[i] = v[i] < middle ? middle - v[i] : v[i] - middle;
    e->spread_ns = median(v, count);
}

static bool late(const struct iqt_contest *c)
{
    return c->calls->now(c->calls->user) >= c->deadline_ns;
}

/* A single interruption is no drift: an anchor time far off its best one is taken once more. */
static enum iqt_status time_anchor(struct iqt_contest *c, double *ns)
{
    struct iqt_entrant *anchor = &c->entrant[0];
    double again;

    IQT_TRY(batch(c, anchor, ns));
    if (anchor->out || c->rounds == 0 || *ns <= c->anchor_middle * (1 + drift))
        return IQT_OK;
    IQT_TRY(batch(c, anchor, &again));
    if (!anchor->out && again < *ns)
        *ns = again;
    return IQT_OK;
}

/* Not the plan took so long, something else did: three such rounds of eight would cost a plan twice
 * as fast as the default its victory. Slow moments of less than that are its own, and count. */
static enum iqt_status time_entrant(struct iqt_contest *c, struct iqt_entrant *e,
                                    double *ns)
{
    double again;

    IQT_TRY(batch(c, e, ns));
    if (e->out || e->ns <= 0 || *ns <= interrupted * e->ns)
        return IQT_OK;
    IQT_TRY(batch(c, e, &again));
    if (!e->out && again < *ns)
        *ns = again;
    return IQT_OK;
}

/* Anchor, everybody else, anchor: what drifts in between shows in the second anchor time. Leaves
 * early, without counting, when time is up and enough rounds count already. */
static enum iqt_status run_round(struct iqt_contest *c)
{
    const uint32_t r = c->rounds;
    struct iqt_entrant *anchor = &c->entrant[0];
    double first, last, ns;

    IQT_TRY(time_anchor(c, &first));
    if (anchor->out)
        return IQT_OK;
    for (size_t i = 1; i < c->count; i++) {
        struct iqt_entrant *e = &c->entrant[i];

        if (e->out)
            continue;
        if (iqt_contest_settled(c) && late(c))
            return IQT_OK;
        IQT_TRY(time_entrant(c, e, &ns));
        e->sample[r] = ns;
    }
    IQT_TRY(time_anchor(c, &last));
    if (anchor->out)
        return IQT_OK;
    /* The better of the two: what slows one of them only may have hit anybody, and a minimum
     * over rounds forgives it; what slows both has slowed everybody in between. */
    anchor->sample[r] = c->anchor[r] = first < last ? first : last;
    c->rounds++;
    double sorted[IQT_MOST_ROUNDS];
    memcpy(sorted, c->anchor, c->rounds * sizeof *sorted);
    c->anchor_middle = median(sorted, c->rounds);
    return IQT_OK;
}

/* Whether anybody but the defaults is still in. */
static bool open_contest(const struct iqt_contest *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (!c->entrant[i].out && !c->entrant[i].fallback)
            return true;
    return false;
}

static bool finished(const struct iqt_contest *c)
{
    const bool settled = iqt_contest_settled(c);

    if (c->entrant[0].out || c->rounds == IQT_MOST_ROUNDS)
        return true;
    /* Past the deadline what there is must do; a few rounds more may still settle it. */
    if (late(c))
        return settled || c->rounds >= 3 * SETTLED;
    if (!settled)
        return false;
    return iqt_contest_steady(c) >= c->rounds_wanted ||
           c->rounds >= 2 * c->rounds_wanted || (!open_contest(c) && c->rounds > SETTLED);
}

enum iqt_status iqt_contest_run(struct iqt_contest *c)
{
    IQT_TRY(calibrate_all(c));
    while (!finished(c)) {
        IQT_TRY(run_round(c));
        for (size_t i = 0; i < c->count; i++)
            if (!c->entrant[i].out)
                summarize(c, &c->entrant[i]);
        if (iqt_contest_settled(c))
            for (size_t i = 0; i < c->count; i++)
                if (too_slow(c, &c->entrant[i], hopeless))
                    c->entrant[i].out = true;
    }
    return IQT_OK;
}
