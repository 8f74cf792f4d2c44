/* What makes float16 of activations, as emitted for CUDA and HIP, on the simulated machine: the model's bits as
 * it is; and, when one thing in its text is changed, other bits or numbers outside of the promised bound. */
#include "tests/halve_case.h"
#include "tests/sim_case.h"

#include <stdio.h>

enum { STRIDE = HALVE_K + 5 };

static char *text_of(enum iqt_dialect d)
{
    struct iqt_buf text = { 0 };

    if (iqt_emit_helper(IQT_HELPER_HALVE, d, &text) != IQT_OK)
        abort();
    return text.data;
}

/* False: a fault. x has vectors of STRIDE in simulated memory, as large as they have to be. */
static bool run(const struct sim_kernel *kernel, const float *x, struct halves *out)
{
    const struct iqt_quantize_params params = { HALVE_K, HALVE_COLS, STRIDE };
    const uint32_t threads = iqt_helper_threads(IQT_HELPER_HALVE);
    const uint32_t grid[3] = { (HALVE_BLOCKS + threads - 1) / threads, 1, 1 };
    const uint32_t block[3] = { threads, 1, 1 };
    float *wide = calloc(HALVE_COLS, STRIDE * sizeof *wide);
    void *from, *h = sim_alloc(sizeof out->h, 0), *s = sim_alloc(sizeof out->s, 0);
    void *none = NULL;

    for (size_t c = 0; c < HALVE_COLS; c++)
        memcpy(wide + c * STRIDE, x + c * HALVE_K, HALVE_K * sizeof *x);
    from = sim_case_device(wide, ((HALVE_COLS - 1) * STRIDE + HALVE_K) * sizeof *wide);
    void *args[] = { &from, &none, &h,
                     &s,    &none, &none,
                     &none, &none, (void *)(uintptr_t)&params };
    const bool ran = sim_run(kernel, grid, block, 32, args) == SIM_OK &&
                     sim_copy(out->h, h, sizeof out->h) &&
                     sim_copy(out->s, s, sizeof out->s);

    sim_free(from);
    sim_free(h);
    sim_free(s);
    free(wide);
    return ran;
}

/* False, and a failure: it does not compile or does what it must not. */
static bool run_text(enum iqt_dialect d, const char *text, const float *x,
                     struct halves *out)
{
    const bool cuda = d == IQT_DIALECT_CUDA;
    const char *arch = cuda ? "sm_90" : "gfx1100";
    struct sim_module *module;
    char *image, *log;
    size_t bytes;
    bool ran;

    if (!sim_compile(cuda ? SIM_CUDA : SIM_HIP, text, arch, true, &image, &bytes, &log)) {
        check_fail("does not compile: %.300s", log);
        free(log);
        return false;
    }
    free(log);
    module = sim_module_load(image, arch);
    free(image);
    ran = run(sim_module_kernel(module, iqt_helper_name(IQT_HELPER_HALVE)), x, out);
    sim_module_unload(module);
    if (!ran)
        check_fail("%s", iqt_sim_fault_text());
    return ran;
}

static void check_clean(enum iqt_dialect d, float *x, struct halves *out)
{
    char *text = text_of(d);

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
    char *text = text_of(IQT_DIALECT_CUDA);
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
