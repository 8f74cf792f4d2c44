/* One launch of what makes activations, as emitted or changed, on the simulated machine. */
#ifndef IQT_TESTS_SIM_ACTIVATIONS_H
#define IQT_TESTS_SIM_ACTIVATIONS_H

#include "tests/sim_case.h"

struct sim_activations {
    enum iqt_helper helper;
    struct iqt_quantize_params params;
    const float
        *x;     /* cols vectors x_stride floats apart, the last one no longer than k */
    void *made; /* XQ: so many bytes, as large as they have to be */
    size_t made_bytes;
    struct iqt_xs *s; /* [cols][k / 32] */
};

/* malloc. */
static inline char *sim_activations_text(enum iqt_helper h, enum iqt_dialect d)
{
    struct iqt_buf text = { 0 };

    if (iqt_emit_helper(h, d, &text) != IQT_OK)
        abort();
    return text.data;
}

/* False: a fault. */
static inline bool sim_activations_launch(const struct sim_kernel *kernel, uint32_t warp,
                                          enum iqt_dialect d, struct sim_activations *a)
{
    const struct iqt_quantize_params *p = &a->params;
    const uint64_t count = (uint64_t)p->k * p->cols;
    const size_t scales = count / IQT_X_BLOCK * sizeof *a->s;
    const uint32_t grid[3] = { iqt_helper_groups(a->helper, d, count), 1, 1 };
    const uint32_t block[3] = { iqt_helper_threads(a->helper), 1, 1 };
    void *from = sim_case_device(a->x, ((size_t)(p->cols - 1) * p->x_stride + p->k) *
                                           sizeof *a->x);
    void *made = sim_alloc(a->made_bytes, 0), *s = sim_alloc(scales, 0), *none = NULL;
    void *args[] = { &from, &none, &made,
                     &s,    &none, &none,
                     &none, &none, (void *)(uintptr_t)p };
    const bool ran = sim_run(kernel, grid, block, warp, args) == SIM_OK &&
                     sim_copy(a->made, made, a->made_bytes) && sim_copy(a->s, s, scales);

    sim_free(from);
    sim_free(made);
    sim_free(s);
    return ran;
}

/* False: it does what it must not (iqt_sim_fault_text()); a failure: it does not compile. */
static inline bool sim_activations_run(enum iqt_dialect d, uint32_t warp,
                                       const char *text, struct sim_activations *a)
{
    const bool cuda = d == IQT_DIALECT_CUDA;
    const char *arch = cuda ? "sm_90" : warp == 64 ? "gfx942" : "gfx1100";
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
    ran = sim_activations_launch(sim_module_kernel(module, iqt_helper_name(a->helper)),
                                 warp, d, a);
    sim_module_unload(module);
    return ran;
}

#endif
