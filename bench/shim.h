/* Google Benchmark for C: registration, the loop, counters and results. Knows only names,
 * seconds and numbers; nothing of formats, devices or kernels. One benchmark run a process. */
#ifndef IQT_BENCH_SHIM_H
#define IQT_BENCH_SHIM_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct iqt_gbench_state; /* one call of a benchmark function */

/* Runs the loop below; called several times with growing iteration counts, and only the last
 * call's result is kept. */
typedef void (*iqt_gbench_fn)(struct iqt_gbench_state *state, void *user);

struct iqt_gbench_result {
    const char *name;  /* as registered */
    void *user;        /* as registered */
    const char *error; /* NULL: it ran */
    double seconds;    /* of an iteration, mean of iqt_gbench_time() */
    int64_t iterations;
};
typedef void (*iqt_gbench_result_fn)(void *ctx, const struct iqt_gbench_result *result);

/* name is copied; user must outlive the run. min_seconds of summed iteration time;
 * 0: three iterations. */
void iqt_gbench_register(const char *name, iqt_gbench_fn fn, void *user,
                         double min_seconds);

/* while (iqt_gbench_next(s)) iqt_gbench_time(s, seconds of this iteration); */
bool iqt_gbench_next(struct iqt_gbench_state *state);
void iqt_gbench_time(struct iqt_gbench_state *state, double seconds);
/* A number for the results. per_second: value counts things done in one iteration, the result is
 * a rate. */
void iqt_gbench_counter(struct iqt_gbench_state *state, const char *name, double value,
                        bool per_second);
void iqt_gbench_label(struct iqt_gbench_state *state, const char *text);
/* Ends the benchmark with an error in the results; iqt_gbench_next() is false from here on. */
void iqt_gbench_skip(struct iqt_gbench_state *state, const char *why);

/* A line for the context part of the JSON file. */
void iqt_gbench_context(const char *key, const char *value);
/* Runs everything registered, in order, and calls fn after each. json_path: Google Benchmark's
 * own JSON file, or NULL. False when nothing ran. */
bool iqt_gbench_run(const char *json_path, iqt_gbench_result_fn fn, void *ctx);

#ifdef __cplusplus
}
#endif
#endif
