/* One product to be checked: random weights and activations between guards, the exact model of
 * the result, and the devices to try it on. Shared by the product tests. */
#ifndef IQT_TESTS_PROBLEM_H
#define IQT_TESTS_PROBLEM_H

#include "kernels/layout.h"
#include "kernels/tile_mma.h"
#include "runtime/runtime.h"
#include "runtime/verify.h"
#include "tests/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64, MAX_TARGETS = 8 };

/* ---- Where to run ---- */

/* A device; the CPU counts once per instruction set. */
struct target {
    char name[64]; /* for names of checks: "cpu-avx2", "vulkan-0" */
    struct iqt_context *ctx;
    struct iqt_device *dev;
    struct iqt_queue *q;
};

struct targets {
    struct target at[MAX_TARGETS];
    size_t count;
};

static inline bool target_open(struct targets *t, const char *spec, const char *name)
{
    static const struct iqt_context_options options = { .struct_size = sizeof options,
                                                        .db_path = "",
                                                        .cpu_threads = 3 };
    struct target *next = &t->at[t->count];

    if (t->count == MAX_TARGETS || iqt_context_create(&options, &next->ctx) != IQT_OK)
        return false;
    if (iqt_device_open(next->ctx, spec, &next->dev) != IQT_OK) {
        iqt_context_destroy(next->ctx);
        return false;
    }
    if (iqt_queue_create(next->dev, &next->q) != IQT_OK) {
        iqt_device_close(next->dev);
        iqt_context_destroy(next->ctx);
        return false;
    }
    snprintf(next->name, sizeof next->name, "%s", name);
    t->count++;
    return true;
}

/* GPUs are simulated unless the environment says otherwise; hip:1 has warps of 32, hip:0 of 64. */
static inline void targets_open_gpus(struct targets *t)
{
    static const struct {
        const char *spec, *name, *need;
    } gpus[] = { { "vulkan", "vulkan-0", "vulkan" },
                 { "cuda:0", "cuda-0", "sim" },
                 { "hip:0", "hip-0", "sim" },
                 { "hip:1", "hip-1", "sim" } };

    setenv("IQT_SIM", "cuda,hip", 0);
    for (size_t i = 0; i < IQT_COUNT(gpus); i++)
        if (!target_open(t, gpus[i].spec, gpus[i].name) &&
            check_begin("device.%s", gpus[i].name)) {
            check_skip(gpus[i].need, "%s", iqt_last_error());
            check_end();
        }
}

/* Opens what is here and says, as skipped checks, what is not. */
static inline void targets_open(struct targets *t)
{
    static const char *const isas[] = { "portable", "avx2", "avx512" };

    t->count = 0;
    for (size_t i = 0; i < IQT_COUNT(isas); i++) {
        char name[32];

        snprintf(name, sizeof name, "cpu-%s", isas[i]);
        setenv("IQT_CPU", isas[i], 1);
        if (!target_open(t, "cpu", name) && check_begin("device.%s", name)) {
            check_skip(isas[i], "%s", iqt_last_error());
            check_end();
        }
    }
    unsetenv("IQT_CPU");
    targets_open_gpus(t);
}

static inline void targets_close(struct targets *t)
{
    for (size_t i = 0; i < t->count; i++) {
        iqt_queue_destroy(t->at[i].q);
        iqt_device_close(t->at[i].dev);
        iqt_context_destroy(t->at[i].ctx);
    }
}

/* ---- Buffers between guards ---- */

/* A signalling pattern that no kernel writes: a NaN with a payload. */
static inline float canary(void)
{
    const uint32_t bits = 0x7fc0dead;
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline bool is_canary(float value)
{
    const float want = canary();

    return memcmp(&value, &want, sizeof value) == 0;
}

struct floats {
    float *all, *at; /* at: count floats, GUARD canaries on both sides */
    size_t count;
};

static inline struct floats floats_new(size_t count)
{
    struct floats f = { .count = count };

    f.all = malloc((count + 2 * GUARD) * sizeof(float));
    if (!f.all)
        abort();
    f.at = f.all + GUARD;
    for (size_t i = 0; i < count + 2 * GUARD; i++)
        f.all[i] = canary();
    return f;
}

static inline void floats_free(struct floats *f)
{
    free(f->all);
}

/* Everything outside n vectors of rows floats must still be canaries. */
static inline void floats_check(const struct floats *f, size_t stride, uint32_t n,
                                size_t rows)
{
    size_t changed = 0;

    for (size_t i = 0; i < f->count + 2 * GUARD; i++) {
        const size_t at = i - GUARD;
        const bool inside = i >= GUARD && at / stride < n && at % stride < rows;

        changed += !inside && !is_canary(f->all[i]);
    }
    check_true(changed == 0, "%zu floats outside y were written", changed);
}

/* ---- Problems ---- */

struct problem {
    const struct iqt_format *f;
    size_t m, k, size, x_stride;
    uint8_t *bytes;  /* size GGUF bytes, 0xff behind them */
    struct floats x; /* IQT_MAX_COLS vectors, canaries between */
    struct iqt_model model;
};

static inline void problem_remodel_as(struct problem *p, enum iqt_compute kind)
{
    iqt_model_free(&p->model);
    if (iqt_model_run_as(p->f, kind, p->bytes, p->m, p->k, p->x.at, p->x_stride,
                         IQT_MAX_COLS, &p->model) != IQT_OK)
        check_fail("model: %s", iqt_last_error());
}

static inline void problem_remodel(struct problem *p)
{
    problem_remodel_as(p, iqt_compute_default(p->f));
}

/* A minimum is subtracted: w may be small where both its parts are large, and rounding goes with
 * the parts. Widens the bounds by them. */
static inline void problem_widen(struct problem *p)
{
    uint8_t *bytes = malloc(p->size);
    struct iqt_model parts = { 0 };

    if (!bytes)
        abort();
    memcpy(bytes, p->bytes, p->size);
    iqt_clear_minima(p->f, p->k, p->m, bytes);
    if (memcmp(bytes, p->bytes, p->size) != 0 &&
        iqt_model_run(p->f, bytes, p->m, p->k, p->x.at, p->x_stride, IQT_MAX_COLS,
                      &parts) == IQT_OK)
        for (size_t i = 0; i < p->m * IQT_MAX_COLS; i++)
            p->model.bound[i] += 2 * parts.bound[i];
    iqt_model_free(&parts);
    free(bytes);
}

static inline struct problem problem_new(const struct iqt_format *f, size_t m, size_t k)
{
    struct problem p = { .f = f, .m = m, .k = k, .x_stride = k + 5 };
    struct iqt_rng rng = { .state = (uint64_t)check_rand() << 32 | check_rand() };
    size_t row = 0;

    if (iqt_format_row_bytes(f, k, &row) != IQT_OK)
        abort();
    p.size = m * row;
    p.bytes = malloc(p.size + GUARD);
    if (!p.bytes)
        abort();
    memset(p.bytes + p.size, 0xff, GUARD);
    iqt_random_rows(f, k, m, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng, p.bytes);
    p.x = floats_new(IQT_MAX_COLS * p.x_stride);
    for (uint32_t c = 0; c < IQT_MAX_COLS; c++)
        for (size_t i = 0; i < k; i++)
            p.x.at[c * p.x_stride + i] = check_gauss();
    problem_remodel(&p);
    problem_widen(&p);
    return p;
}

static inline void problem_free(struct problem *p)
{
    free(p->bytes);
    floats_free(&p->x);
    iqt_model_free(&p->model);
}

static inline struct iqt_matrix *problem_upload(const struct problem *p, struct target *t,
                                                enum iqt_layout layout)
{
    struct iqt_matrix *w = NULL;

    if (iqt_matrix_upload(t->dev, p->f, p->m, p->k, p->bytes, p->size, layout, &w) !=
        IQT_OK)
        check_fail("upload of %s %zu x %zu: %s", p->f->name, p->m, p->k,
                   iqt_last_error());
    return w;
}

/* n columns of problem p on one product; false when the call failed. */
static inline bool problem_run(const struct problem *p, struct target *t, uint32_t n,
                               const struct iqt_product *product,
                               const struct iqt_plan *plan)
{
    if (iqt_product_run(t->q, p->x.at, p->x_stride, n, product, 1, plan, NULL) == IQT_OK)
        return true;
    check_fail("%s, n %u: %s", p->f->name, n, iqt_last_error());
    return false;
}

static inline void problem_compare(const struct problem *p, const float *y, size_t stride,
                                   uint32_t n, size_t begin, size_t rows)
{
    struct iqt_mismatch worst;

    check_true(
        iqt_model_agrees(&p->model, y, stride, n, begin, rows, &worst),
        "%s %zu x %zu, n %u: %zu values differ; row %zu, column %u: %.9g, expected %.9g "
        "within %.3g",
        p->f->name, p->m, p->k, n, worst.count, worst.row, worst.col, worst.got,
        worst.want, worst.allowed);
}

/* y = W x at n columns with the chosen plan, into rows p->m apart, compared with the model. */
static inline void problem_check(const struct problem *p, struct target *t,
                                 const struct iqt_matrix *w, uint32_t n)
{
    struct floats y = floats_new(p->m * n);
    const struct iqt_product product = { .struct_size = sizeof product,
                                         .w = w,
                                         .y = y.at };

    if (problem_run(p, t, n, &product, NULL))
        problem_compare(p, y.at, p->m, n, 0, p->m);
    floats_check(&y, p->m, n, p->m);
    floats_free(&y);
}

/* A row length near want that format and kernels accept. */
static inline size_t problem_k(const struct iqt_format *f, size_t want)
{
    const size_t granule = f->superblock > IQT_X_BLOCK ? f->superblock : IQT_X_BLOCK;

    return (size_t)iqt_round_up(want, granule);
}

/* Software drivers compile for seconds a kernel: three times one_in is one case in how many they get, drawn by the
 * seed, and simulated ones, of which there are three, four times. */
static inline bool is_drawn(const struct target *t, uint64_t number, uint32_t one_in)
{
    const bool simulated = strstr(t->dev->info.features, "simulated") != NULL;

    return strcmp(t->dev->backend->name, "cpu") == 0 ||
           check_draws(number, (simulated ? 4 : 3) * one_in);
}

/* Calls fn for every format and layout on every target, each as one named check; one in so many where kernels are
 * compiled. */
typedef void (*problem_fn)(struct target *t, const struct iqt_format *f,
                           enum iqt_layout layout);

static inline void for_each_format(struct targets *all, const char *name, uint32_t one_in,
                                   problem_fn fn)
{
    for (size_t i = 0; i < all->count; i++)
        for (const struct iqt_format *f = iqt_formats; f->name; f++)
            for (uint32_t l = IQT_LAYOUT_NATIVE; l <= IQT_LAYOUT_PACKED; l++) {
                const enum iqt_layout layout = (enum iqt_layout)l;

                if (!is_drawn(&all->at[i], (size_t)(f - iqt_formats) * 2 + l, one_in) ||
                    !check_begin("%s.%s.%s.%s", name, all->at[i].name, f->name,
                                 iqt_layout_name(layout)))
                    continue;
                fn(&all->at[i], f, layout);
                check_end();
            }
}

#endif
