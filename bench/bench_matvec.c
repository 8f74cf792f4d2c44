/* The benchmark functions: what a case uploads, times and counts. */
#include "bench/bench_matvec.h"
#include "bench/bandwidth.h"
#include "bench/race.h"
#include "bench/shim.h"
#include "kernels/layout.h"
#include "runtime/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 1 };

/* What a failed case says, in the table and in the JSON. */
static void skip(struct iqt_gbench_state *state, struct iqt_bench_case *c)
{
    snprintf(c->error, sizeof(c->error), "%s", iqt_last_error());
    iqt_gbench_skip(state, c->error);
}

static void run_bandwidth(struct iqt_gbench_state *state, void *user)
{
    struct iqt_bench_case *c = user;
    struct iqt_bandwidth found = { 0 };

    while (iqt_gbench_next(state)) {
        if (iqt_bandwidth_measure(c->device->dev, &found) != IQT_OK) {
            skip(state, c);
            break;
        }
        iqt_gbench_time(state, (double)found.bytes / found.bytes_per_s);
        if (found.bytes_per_s > c->device->bandwidth)
            c->device->bandwidth = found.bytes_per_s;
        c->fastest = (double)found.bytes / c->device->bandwidth;
    }
    if (found.method == NULL)
        return;
    c->device->method = found.method;
    c->bytes = found.bytes;
    iqt_gbench_counter(state, "bytes", (double)found.bytes, true);
    /* What the percentages of the other cases refer to: the fastest of all passes. */
    iqt_gbench_counter(state, "bandwidth", c->device->bandwidth, false);
    iqt_gbench_label(state, found.method);
}

static void count(struct iqt_gbench_state *state, const struct iqt_bench_case *c,
                  double seconds, int64_t iterations)
{
    const double rate = (double)c->bytes * (double)iterations / seconds;

    iqt_gbench_counter(state, "bytes", (double)c->bytes, true);
    iqt_gbench_counter(state, "weights", (double)c->m * (double)c->k, true);
    if (c->device->bandwidth > 0)
        iqt_gbench_counter(state, "percent_of_bandwidth",
                           100 * rate / c->device->bandwidth, false);
    iqt_gbench_counter(state, "fastest_us", c->fastest * 1e6, false);
    iqt_gbench_counter(state, "rotated", c->rotated, false);
    iqt_gbench_label(state, c->plan);
}

static void loop(struct iqt_gbench_state *state, struct iqt_bench_case *c,
                 struct iqt_race *race, const struct iqt_plan *plan)
{
    double seconds = 0, fastest = 0;
    int64_t iterations = 0;

    while (iqt_gbench_next(state)) {
        uint64_t ns = 0;

        if (iqt_race_once(race, plan, c->n, &ns) != IQT_OK) {
            skip(state, c);
            return;
        }
        iqt_gbench_time(state, (double)ns * 1e-9);
        seconds += (double)ns * 1e-9;
        if (fastest == 0 || (double)ns * 1e-9 < fastest)
            fastest = (double)ns * 1e-9;
        iterations++;
    }
    c->fastest = fastest;
    if (iterations > 0 && seconds > 0)
        count(state, c, seconds, iterations);
}

/* The plan that a product would use: the tuned one where the database has it. */
static enum iqt_status choose(struct iqt_bench_case *c, struct iqt_race *race,
                              struct iqt_plan *plan)
{
    const char *name;

    IQT_TRY(iqt_plan_used(c->device->dev, race->matrix[0], false, c->n, &name));
    snprintf(c->plan, sizeof(c->plan), "%s", name);
    return iqt_plan_parse(name, plan);
}

/* ---- The matrix at hand -------------------------------------------------------------- */

/* Google Benchmark calls a function several times, and cases come with n varying fastest: the
 * matrix stays uploaded until a case wants another. */
struct iqt_bench_held {
    struct iqt_bench_matrix matrix;
    struct iqt_race *race;
    const struct iqt_gguf_tensor *tensor;
    enum iqt_layout layout;
};

void iqt_bench_release(struct iqt_bench_device *d)
{
    if (d->held == NULL)
        return;
    iqt_race_close(d->held->race);
    iqt_bench_matrix_free(&d->held->matrix);
    free(d->held);
    d->held = NULL;
}

static bool fits(const struct iqt_bench_held *h, const struct iqt_bench_case *c)
{
    return h != NULL && h->matrix.format == c->format && h->matrix.m == c->m &&
           h->matrix.k == c->k && h->tensor == c->tensor && h->layout == c->layout;
}

static enum iqt_status hold(struct iqt_bench_case *c, struct iqt_bench_held **out)
{
    struct iqt_bench_held *h;

    if (!fits(c->device->held, c)) {
        iqt_bench_release(c->device);
        h = c->device->held = calloc(1, sizeof(*h));
        if (h == NULL)
            return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a benchmark");
        h->tensor = c->tensor;
        h->layout = c->layout;
        if (c->tensor != NULL)
            IQT_TRY(iqt_bench_matrix_of_tensor(c->tensor, &h->matrix));
        else
            IQT_TRY(iqt_bench_matrix_random(c->format, c->m, c->k, SEED, &h->matrix));
        IQT_TRY(iqt_race_open(c->device->dev, &h->matrix, c->layout, &h->race));
    }
    *out = c->device->held;
    return IQT_OK;
}

static void run_product(struct iqt_gbench_state *state, void *user)
{
    struct iqt_bench_case *c = user;
    struct iqt_bench_held *h;
    struct iqt_plan plan;

    if (hold(c, &h) != IQT_OK) {
        iqt_bench_release(c->device); /* half made */
        skip(state, c);
        return;
    }
    c->bytes = h->matrix.bytes;
    if (choose(c, h->race, &plan) == IQT_OK &&
        iqt_race_warm(h->race, &plan, 1, c->n, c->device->bandwidth, &c->rotated) ==
            IQT_OK)
        loop(state, c, h->race, &plan);
    else
        skip(state, c);
}

/* ---- Registration and the run -------------------------------------------------------- */

void iqt_bench_register(struct iqt_bench_case *c, double min_seconds)
{
    char name[256], label[IQT_LABEL_BYTES];

    iqt_device_label(&c->device->info, label);
    if (c->format == NULL) {
        snprintf(name, sizeof(name), "bandwidth/%s", label);
        iqt_gbench_register(name, run_bandwidth, c, 0);
        return;
    }
    snprintf(name, sizeof(name), "matvec/%s/%s/%s/%zux%zu/n%u", label,
             iqt_format_name(c->format), iqt_layout_name(c->layout), c->m, c->k, c->n);
    iqt_gbench_register(name, run_product, c, min_seconds);
}

struct listener {
    iqt_bench_done_fn fn;
    void *user;
};

static void on_result(void *ctx, const struct iqt_gbench_result *result)
{
    const struct listener *l = ctx;
    struct iqt_bench_case *c = result->user;

    c->seconds = result->error == NULL ? result->seconds : 0;
    l->fn(l->user, c);
}

/* Google Benchmark ends the process when it cannot open its file. */
static enum iqt_status check_writable(const char *path)
{
    FILE *file = fopen(path, "w");

    if (file == NULL)
        return iqt_fail(IQT_ERR_IO, "%s: %s", path, strerror(errno));
    fclose(file);
    return IQT_OK;
}

enum iqt_status iqt_bench_run(const char *json_path, iqt_bench_done_fn fn, void *user)
{
    struct listener l = { .fn = fn, .user = user };

    if (json_path != NULL)
        IQT_TRY(check_writable(json_path));
    iqt_gbench_context("iqtile", iqt_version());
    if (!iqt_gbench_run(json_path, on_result, &l))
        return iqt_fail(IQT_ERR_ARG, "no benchmark matches");
    return IQT_OK;
}
