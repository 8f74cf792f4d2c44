/* One product of an emitted CUDA or HIP kernel on the simulated machine, without a driver: rows in
 * the plan's layout, activations, bias and results in simulated memory, exactly as large as they
 * have to be. */
#ifndef IQT_TESTS_SIM_CASE_H
#define IQT_TESTS_SIM_CASE_H

#include "codegen/codegen.h"
#include "kernels/packer.h"
#include "kernels/plan_space.h"
#include "kernels/quantized.h"
#include "runtime/compile.h"
#include "runtime/verify.h"
#include "sim/simt.h"
#include "tests/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim_case {
    struct iqt_plan plan;
    size_t m, k;
    uint32_t n; /* vectors of x and y */
    uint8_t *w, *xq;
    struct iqt_xs *xs;
    float *bias, *y;
    uint32_t *work;           /* where the plan splits k: counters, behind them sums */
    struct iqt_params params; /* of the product of all m rows */
};

struct sim_program {
    struct sim_module *module;
    const struct sim_kernel *kernel;
    uint32_t warp;
};

static inline void *sim_case_device(const void *from, size_t bytes)
{
    void *p = sim_alloc(bytes, 0);

    if (p == NULL || !sim_copy(p, from, bytes))
        abort();
    return p;
}

static inline uint8_t *sim_case_rows(const struct iqt_plan *plan, size_t m, size_t k,
                                     const uint8_t *native, size_t *bytes)
{
    const size_t row = iqt_layout_row_bytes(plan->format, plan->layout, k);
    struct iqt_packer packer;
    uint8_t *rows;

    iqt_packer_init(&packer, plan->format, plan->dialect);
    *bytes = row * (plan->layout == IQT_LAYOUT_PACKED ? iqt_round_up(m, packer.rows) : m);
    rows = malloc(*bytes);
    if (rows == NULL)
        abort();
    if (plan->layout == IQT_LAYOUT_PACKED)
        iqt_packer_pack(&packer, k, m, native, rows);
    else
        memcpy(rows, native, *bytes);
    return rows;
}

/* Counters are 0 before the first launch, nobody writes the sums but kernels. */
static inline void sim_case_work(struct sim_case *c)
{
    const uint32_t rows = c->params.rows + 3;
    const size_t counters = iqt_plan_row_groups(&c->plan, rows) * sizeof(uint32_t);

    c->params.partials = (uint32_t)(counters / sizeof(uint32_t));
    c->work =
        sim_alloc(counters + iqt_plan_partials(&c->plan, rows, c->n) * sizeof(float), 0);
    if (c->work == NULL || !sim_fill(c->work, 0, counters))
        abort();
}

static inline size_t sim_case_x_bytes(const struct iqt_plan *plan)
{
    return iqt_compute_activations(plan->compute)->bytes;
}

/* Of a vector of k, in the order in which the plan's kernel reads them. */
static inline size_t sim_case_x_stride(const struct iqt_plan *plan, size_t k)
{
    return iqt_plan_takes_lanes(plan) ? iqt_x_lanes_stride(k)
                                      : k * sim_case_x_bytes(plan);
}

static inline uint8_t *sim_case_x(const struct iqt_plan *plan, size_t k, uint32_t n,
                                  const void *q)
{
    const size_t bytes = n * sim_case_x_stride(plan, k);
    int8_t *x;
    uint8_t *device;

    if (!iqt_plan_takes_lanes(plan))
        return sim_case_device(q, bytes);
    x = malloc(bytes);
    if (x == NULL)
        abort();
    memset(x, 0x55, bytes); /* between vectors: nobody's */
    iqt_x_lanes_ref(q, k, n, x);
    device = sim_case_device(x, bytes);
    free(x);
    return device;
}

/* q, s: n vectors of the plan's kind of activations. Rows begin at `skip` in their group of rows: native rows in front of the
 * product's are part of `native`. */
static inline void sim_case_open(struct sim_case *c, const struct iqt_plan *plan,
                                 size_t m, size_t k, uint32_t n, const uint8_t *native,
                                 const void *q, const struct iqt_xs *s)
{
    float *bias = malloc(m * sizeof *bias);
    size_t bytes;
    uint8_t *rows = sim_case_rows(plan, m, k, native, &bytes);

    if (bias == NULL)
        abort();
    for (size_t i = 0; i < m; i++)
        bias[i] = (float)(i + 1) * 3;
    *c = (struct sim_case){ .plan = *plan, .m = m, .k = k, .n = n };
    c->w = sim_case_device(rows, bytes);
    c->xq = sim_case_x(plan, k, n, q);
    c->xs = sim_case_device(s, n * k / IQT_X_BLOCK * sizeof *s);
    c->bias = sim_case_device(bias, m * sizeof *bias);
    c->y = sim_alloc(m * n * sizeof *c->y, 0);
    if (c->y == NULL)
        abort();
    c->params = (struct iqt_params){
        .rows = (uint32_t)m,
        .k = (uint32_t)k,
        .row_bytes = (uint32_t)iqt_layout_row_bytes(plan->format, plan->layout, k),
        .cols = plan->n < n ? plan->n : n,
        .y_stride = (uint32_t)m,
    };
    sim_case_work(c);
    free(rows);
    free(bias);
}

static inline void sim_case_close(struct sim_case *c)
{
    sim_free(c->w);
    sim_free(c->xq);
    sim_free(c->xs);
    sim_free(c->bias);
    sim_free(c->y);
    sim_free(c->work);
}

/* The launch of rows [begin, begin + rows) only. */
static inline struct iqt_params sim_case_range(const struct sim_case *c, size_t begin,
                                               size_t rows)
{
    const uint32_t together =
        iqt_layout_rows(c->plan.format, c->plan.dialect, c->plan.layout);
    struct iqt_params p = c->params;

    p.rows = (uint32_t)rows;
    p.row0 = p.y_base = (uint32_t)begin;
    p.skip = (uint32_t)(begin % together);
    p.w_base = (uint32_t)(begin - p.skip) * p.row_bytes;
    return p;
}

/* Vectors from `column` on; y is NaN before. */
static inline enum sim_result sim_case_launch(const struct sim_case *c,
                                              const struct sim_program *program,
                                              const struct iqt_params *params,
                                              uint32_t column)
{
    const uint8_t *xq = c->xq + column * sim_case_x_stride(&c->plan, c->k);
    const struct iqt_xs *xs = c->xs + column * c->k / IQT_X_BLOCK;
    float *y = c->y + column * c->m;
    const void *none = NULL;
    void *args[] = { (void *)&c->w, (void *)&c->w,    (void *)&xq,
                     (void *)&xs,   (void *)&c->bias, &none,
                     &none,         (void *)&y,       (void *)(uintptr_t)params,
                     &none,         (void *)&c->work };
    const uint32_t grid[3] = { iqt_plan_groups(&c->plan, params->rows + params->skip), 1,
                               1 };
    const uint32_t block[3] = { iqt_plan_threads(&c->plan), 1, 1 };

    return sim_run(program->kernel, grid, block, program->warp, args);
}

static inline void sim_case_forget(const struct sim_case *c)
{
    memset(c->y, 0xff, c->m * c->n * sizeof *c->y);
}

/* For a device of this kind. False, and a failure, when it does not compile. */
static inline bool sim_case_compile_on(const char *arch, struct sim_program *out,
                                       const struct iqt_plan *plan, const char *text,
                                       bool checked)
{
    char symbol[IQT_PLAN_NAME_BYTES], *image, *log;
    size_t bytes;

    *out = (struct sim_program){ .warp = iqt_target_wave(arch) };
    if (!sim_compile(plan->dialect == IQT_DIALECT_CUDA ? SIM_CUDA : SIM_HIP, text, arch,
                     checked, &image, &bytes, &log)) {
        check_fail("does not compile: %.300s", log);
        free(log);
        return false;
    }
    free(log);
    out->module = sim_module_load(image, arch);
    free(image);
    iqt_kernel_symbol(plan, symbol);
    out->kernel = out->module ? sim_module_kernel(out->module, symbol) : NULL;
    if (out->kernel == NULL)
        check_fail("no kernel %s in the image", symbol);
    return out->kernel != NULL;
}

/* For one with warps of so many lanes. */
static inline bool sim_case_compile(struct sim_program *out, const struct iqt_plan *plan,
                                    const char *text, uint32_t warp, bool checked)
{
    const bool cuda = plan->dialect == IQT_DIALECT_CUDA;

    return sim_case_compile_on(cuda         ? "sm_90"
                               : warp == 64 ? "gfx942"
                                            : "gfx1100",
                               out, plan, text, checked);
}

/* malloc. */
static inline char *sim_case_text(const struct iqt_plan *plan)
{
    struct iqt_buf text = { 0 };

    if (iqt_emit_kernel(plan, &text) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        abort();
    }
    return text.data;
}

/* The text with its first `find` replaced, malloc; NULL: it has none. */
static inline char *sim_case_mutate(const char *text, const char *find, const char *put)
{
    const char *at = strstr(text, find);
    const size_t length = strlen(text) + strlen(put) + 1;
    char *out;

    if (at == NULL)
        return NULL;
    out = malloc(length);
    snprintf(out, length, "%.*s%s%s", (int)(at - text), text, put, at + strlen(find));
    return out;
}

/* Skips the whole program without a compiler to simulate with. */
static inline bool sim_case_can(void)
{
    if (sim_can_compile())
        return true;
    if (check_begin("sim")) {
        check_skip("sim", "no C++ compiler: it simulates a GPU");
        check_end();
    }
    return false;
}

#endif
