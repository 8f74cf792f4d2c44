/* What makes float16 of activations, as emitted for CUDA and HIP, on the simulated machine: the model's bits as
 * it is; and, when one thing in its text is changed, other bits or numbers outside of the promised bound. */
#include "tests/halve_case.h"
#include "tests/sim_activations.h"

#include <stdio.h>

enum { STRIDE = HALVE_K + 5 };

/* False: a fault. x is given vectors of STRIDE. */
static bool run_text(enum iqt_dialect d, const char *text, const float *x,
                     struct halves *out)
{
    float *wide = calloc(HALVE_COLS, STRIDE * sizeof *wide);
    struct sim_activations a = {
        .helper = IQT_HELPER_HALVE,
        .params = { .k = HALVE_K, .cols = HALVE_COLS, .x_stride = STRIDE },
        .x = wide,
        .made = out->h,
        .made_bytes = sizeof out->h,
        .s = out->s,
    };

    for (size_t c = 0; c < HALVE_COLS; c++)
        memcpy(wide + c * STRIDE, x + c * HALVE_K, HALVE_K * sizeof *x);
    const bool ran = sim_activations_run(d, 32, text, &a);

    free(wide);
    if (!ran)
        check_fail("%s", iqt_sim_fault_text());
    return ran;
}

static void check_clean(enum iqt_dialect d, float *x, struct halves *out)
{
    char *text = sim_activations_text(IQT_HELPER_HALVE, d);

    if (check_begin("halve.%s", iqt_dialect_name(d))) {
        halve_case_fill(x);
        if (run_text(d, text, x, out)) {
            check_true(halve_case_differ(x, out) == 0, "%zu blocks differ from the model",
                       halve_case_differ(x, out));
            check_true(halve_case_outside(x, out) == 0,
                       "%zu numbers outside of the bound", halve_case_outside(x, out));
        }
        check_end();
    }
    free(text);
}

/* All give other bits; `outside`: numbers beyond the bound as well. */
static const struct mutant {
    const char *name, *find, *put;
    bool outside;
} mutants[] = {
    { "cut_off", "size + 0xfffu + even", "size", true },
    { "away_from_zero", "size + 0xfffu + even", "size + 0x1fffu", true },
    { "ties_down", "0xfffu + even", "0xfffu", false },
    { "ties_up", "0xfffu + even", "0x1000u", false },
    { "one_bit_less", "size >> 13u & 1u;", "size >> 13u & 1u; size &= 0x7fffe000u;",
      true },
    { "sign", "bits >> 16u & 0x8000u | h", "h", true },
    { "half_the_power", "(29u - top)", "(28u - top)", true },
    { "twice_the_scale", "(top - 14u)", "(top - 13u)", true },
    { "small_ones", "+ 28u >= top", "+ 27u >= top", true },
    { "too_small_ones", "+ 28u >= top", "+ 30u >= top", true },
    { "no_largest", "bits > most", "bits < most", true },
    { "places", "<< (i * 16u)", "<< (16u - i * 16u)", true },
    { "tiny_blocks", "top >= 29u &&", "top >= 15u &&", false },
    { "not_finite", "top == 255u ? most : 0u", "0u", false },
};

static void check_mutant(const struct mutant *m, float *x, struct halves *out)
{
    char *text = sim_activations_text(IQT_HELPER_HALVE, IQT_DIALECT_CUDA);
    char *changed = sim_case_mutate(text, m->find, m->put);

    if (check_begin("mutant.%s", m->name)) {
        halve_case_fill(x);
        if (changed == NULL) {
            check_fail("the text has no '%s' any more: write the mutant anew", m->find);
        } else if (run_text(IQT_DIALECT_CUDA, changed, x, out)) {
            check_true(halve_case_differ(x, out) > 0, "'%s' for '%s' gives equal bits",
                       m->put, m->find);
            check_true((halve_case_outside(x, out) > 0) == m->outside,
                       "'%s' for '%s' is %s the bound", m->put, m->find,
                       m->outside ? "within" : "outside of");
        }
        check_end();
    }
    free(changed);
    free(text);
}

int main(int argc, char **argv)
{
    struct halves *out = calloc(1, sizeof *out);
    float *x = calloc(HALVE_COUNT, sizeof *x);

    check_init(argc, argv);
    if (out == NULL || x == NULL)
        abort();
    if (sim_case_can()) {
        setenv("IQT_SIM_QUIET", "1", 1);
        check_clean(IQT_DIALECT_CUDA, x, out);
        check_clean(IQT_DIALECT_HIP, x, out);
        for (size_t i = 0; i < IQT_COUNT(mutants); i++)
            check_mutant(&mutants[i], x, out);
    }
    free(out);
    free(x);
    return check_done();
}
