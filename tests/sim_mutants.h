/* Emitted kernels on the simulated machine, run as they are and with one thing in their text changed: what the
 * tests of mutants share. */
#ifndef IQT_TESTS_SIM_MUTANTS_H
#define IQT_TESTS_SIM_MUTANTS_H

#include "tests/sim_case.h"

#include <math.h>
#include <stdio.h>

/* Rows that fill neither the groups of four nor a workgroup's; the first of them is not the first of
 * its group. */
enum { ROWS = 19, FIRST = 1, M = ROWS - FIRST, K = 1280, N = 3 };

/* ---- One product in simulated memory ---- */

struct world {
    struct sim_case c;
    struct iqt_model model;   /* of all rows */
    struct iqt_params params; /* of the launch */
};

static inline void world_open(struct world *w, const char *name)
{
    struct iqt_rng rng = { check_seed() };
    struct iqt_plan plan;
    float *x = calloc(N, K * sizeof *x);
    void *q = calloc(N, K * sizeof(uint16_t));
    struct iqt_xs *s = calloc(N, K / IQT_X_BLOCK * sizeof *s);
    uint8_t *native;

    if (iqt_plan_parse(name, &plan) != IQT_OK || iqt_plan_check(&plan, NULL) != IQT_OK) {
        check_fail("%s: %s", name, iqt_last_error());
        abort();
    }
    native = calloc(ROWS, iqt_layout_row_bytes(plan.format, IQT_LAYOUT_NATIVE, K));
    iqt_random_rows(plan.format, K, ROWS, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng,
                    native);
    for (size_t i = 0; i < (size_t)N * K; i++)
        x[i] = check_gauss();
    if (plan.compute == IQT_COMPUTE_F16)
        iqt_halve_ref(x, (size_t)N * K, q, s);
    else
        iqt_quantize_ref(x, (size_t)N * K, q, s);
    if (iqt_model_run_as(plan.format, plan.compute, native, ROWS, K, x, 0, N,
                         &w->model) != IQT_OK)
        abort();
    sim_case_open(&w->c, &plan, ROWS, K, N, native, q, s);
    w->params = sim_case_range(&w->c, FIRST, M);
    w->params.flags = IQT_FLAG_BIAS;
    free(native);
    free(x);
    free(q);
    free(s);
}

static inline void world_close(struct world *w)
{
    sim_case_close(&w->c);
    iqt_model_free(&w->model);
}

/* ---- Running a text ---- */

static inline bool value_right(const struct world *w, size_t row, size_t column)
{
    const size_t i = column * ROWS + row;
    const double bias = (double)w->c.bias[row];

    if (row < FIRST || column >= w->params.cols) /* not the launch's: still NaN */
        return isnan(w->c.y[i]);
    return fabs((double)w->c.y[i] - bias - w->model.y[i]) <=
           1e-5 * w->model.bound[i] + 1e-6 * bias;
}

static inline bool right(const struct world *w)
{
    for (size_t row = 0; row < ROWS; row++)
        for (size_t column = 0; column < N; column++)
            if (!value_right(w, row, column))
                return false;
    return true;
}

/* Whether any order of threads gives a fault or wrong numbers. Not compiling is a failure of its own. */
static inline bool wrong(const struct world *w, const char *text, const char *arch)
{
    struct sim_program program;
    bool caught = false;

    if (!sim_case_compile_on(arch, &program, &w->c.plan, text, true))
        return true;
    for (int order = IQT_SIM_FORWARD; order <= IQT_SIM_RANDOM && !caught; order++) {
        iqt_sim_set_order(order, check_seed());
        sim_case_forget(&w->c);
        caught = sim_case_launch(&w->c, &program, &w->params, 0) != SIM_OK || !right(w);
    }
    sim_module_unload(program.module);
    return caught;
}

/* ---- The checks ---- */

/* The first `find` in the plan's text becomes `put`. */
struct mutant {
    const char *name, *plan, *find, *put;
};

/* The text of each is looked at, half of them, drawn by the seed, are executed. */
static inline void check_mutant(const char *arch, const struct mutant *m)
{
    struct world w;
    char *text, *changed;

    if (!check_begin("mutant.%s.%s", arch, m->name))
        return;
    world_open(&w, m->plan);
    text = sim_case_text(&w.c.plan);
    changed = sim_case_mutate(text, m->find, m->put);
    if (changed == NULL)
        check_fail("the text of %s has no '%s' any more: write the mutant anew", m->plan,
                   m->find);
    else if (check_draws(iqt_hash(m->name, strlen(m->name), 0) >> 8, 2))
        check_true(wrong(&w, changed, arch), "%s: '%s' for '%s' was not noticed", m->plan,
                   m->put, m->find);
    free(changed);
    free(text);
    world_close(&w);
    check_end();
}

static inline void check_clean(const char *arch, const char *plan)
{
    struct world w;
    char *text;

    if (!check_begin("clean.%s.%s", arch, plan))
        return;
    world_open(&w, plan);
    text = sim_case_text(&w.c.plan);
    iqt_sim_faults_reset();
    check_true(!wrong(&w, text, arch), "is not right in every order: %s",
               iqt_sim_fault_text());
    free(text);
    world_close(&w);
    check_end();
}

#endif
