/* What the tests of the Vulkan backend share: an opened device, and one product through the vtable
 * compared with the exact model. Included once by each test program. */
#ifndef IQT_TESTS_VULKAN_CASE_H
#define IQT_TESTS_VULKAN_CASE_H

#include "tests/check.h"

#include "kernels/layout.h"
#include "runtime/verify.h"
#include "runtime/vulkan_hw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 37, COLS = 512, MAX_N = 4, MAX_DEVICES = 16 };

static const struct iqt_backend *const vulkan = &iqt_backend_vulkan;

/* Records a failure unless status is IQT_OK; only between check_begin() and check_end(). */
static inline bool ok(enum iqt_status status, const char *what)
{
    check_true(status == IQT_OK, "%s: %s: %s", what, iqt_status_name(status),
               iqt_last_error());
    return status == IQT_OK;
}

/* ---- Devices ---- */

struct found {
    struct iqt_device_info info[MAX_DEVICES];
    uint32_t count;
    enum iqt_status status; /* of scan() */
    char why[256];
    bool validated; /* the validation layer is installed and on from now on */
};

static inline void found_add(void *user, const struct iqt_device_info *info)
{
    struct found *found = user;

    if (found->count < MAX_DEVICES)
        found->info[found->count++] = *info;
}

/* One instance stays open: with it the drivers stay loaded, and LeakSanitizer can still name the
 * library (LLVM) in which a software driver leaks. */
static inline void found_scan(struct found *found)
{
    static struct iqt_vk *kept;
    const struct iqt_backend_options none = { .cache_dir = "" };

    *found = (struct found){ .count = 0 };
    unsetenv("IQT_VULKAN_VALIDATE");
    found->status = iqt_vk_open(&kept); /* what fails here fails below, too */
    setenv("IQT_VULKAN_VALIDATE", "1", 1);
    found->status = vulkan->scan(&none, found_add, found);
    found->validated = found->status != IQT_ERR_UNSUPPORTED;
    if (!found->validated) {
        unsetenv("IQT_VULKAN_VALIDATE");
        found->status = vulkan->scan(&none, found_add, found);
    }
    snprintf(found->why, sizeof(found->why), "%s", iqt_last_error());
}

/* True when there are devices; otherwise the current check is skipped or fails. */
static inline bool found_any(const struct found *found)
{
    if (found->status == IQT_ERR_NO_DRIVER)
        check_skip("vulkan", "%s", found->why);
    else
        check_true(found->status == IQT_OK, "scan: %s: %s",
                   iqt_status_name(found->status), found->why);
    if (!found->validated)
        fprintf(stderr, "note: VK_LAYER_KHRONOS_validation is not installed\n");
    return found->count > 0;
}

struct bench {
    struct iqt_device_info info;
    struct iqt_limits limits;
    struct iqt_hw *hw;
    struct iqt_stream *stream;
    struct iqt_kernel *quantize;
};

static inline void bench_close(struct bench *b)
{
    if (b->hw == NULL)
        return;
    vulkan->drop(b->hw, b->quantize);
    vulkan->stream_destroy(b->stream);
    vulkan->close(b->hw);
    b->hw = NULL;
}

IQT_MUST_USE static inline enum iqt_status bench_open(struct bench *b, uint32_t index,
                                                      const char *cache_dir)
{
    const struct iqt_backend_options options = { .cache_dir = cache_dir };

    *b = (struct bench){ .hw = NULL };
    IQT_TRY(vulkan->open(&options, index, &b->info, &b->limits, &b->hw));
    snprintf(b->info.spec, sizeof(b->info.spec), "vulkan:%u", index);
    IQT_TRY(vulkan->stream_create(b->hw, &b->stream));
    return vulkan->build(b->hw, NULL, &b->quantize);
}

/* ---- One product through the vtable ---- */

struct problem {
    const struct iqt_format *format;
    enum iqt_layout layout;
    size_t m, k, row_bytes;
    uint32_t n;
    uint8_t *native, *stored; /* GGUF rows; rows as the layout wants them */
    float *x, *y;
    struct iqt_mem *w, *xf, *xq, *xs, *out;
};

static inline void problem_free(struct problem *p, struct iqt_hw *hw)
{
    struct iqt_mem *mems[] = { p->w, p->xf, p->xq, p->xs, p->out };

    for (size_t i = 0; i < IQT_COUNT(mems); i++)
        vulkan->free(hw, mems[i]);
    free(p->native);
    free(p->stored);
    free(p->x);
    free(p->y);
}

static inline void problem_fill(struct problem *p, size_t native_row)
{
    struct iqt_rng rng = { check_rand() };
    struct iqt_packing packing;

    iqt_random_rows(p->format, p->k, p->m, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng,
                    p->native);
    for (size_t i = 0; i < p->k * p->n; i++)
        p->x[i] = check_gauss();
    if (p->layout == IQT_LAYOUT_NATIVE) {
        memcpy(p->stored, p->native, native_row * p->m);
    } else {
        iqt_packing_init(&packing, p->format);
        iqt_pack_rows(&packing, p->k, p->m, p->native, p->stored);
    }
}

static inline enum iqt_status problem_upload(struct problem *p, const struct bench *b)
{
    const size_t weights = p->row_bytes * p->m, x = p->k * p->n * sizeof(float);

    IQT_TRY(vulkan->alloc(b->hw, weights, NULL, &p->w));
    IQT_TRY(vulkan->alloc(b->hw, x, NULL, &p->xf));
    IQT_TRY(vulkan->alloc(b->hw, x / 4, NULL, &p->xq));
    IQT_TRY(vulkan->alloc(b->hw, x / 16, NULL, &p->xs));
    IQT_TRY(vulkan->alloc(b->hw, p->m * p->n * sizeof(float), NULL, &p->out));
    IQT_TRY(vulkan->write(b->stream, p->w, 0, p->stored, weights));
    return vulkan->write(b->stream, p->xf, 0, p->x, x);
}

/* format, layout, m, k and n are set; the rest is made. Free it in any case. */
IQT_MUST_USE static inline enum iqt_status problem_make(struct problem *p,
                                                        const struct bench *b)
{
    size_t native_row;

    IQT_TRY(iqt_format_row_bytes(p->format, p->k, &native_row));
    p->row_bytes = iqt_layout_row_bytes(p->format, p->layout, p->k);
    p->native = calloc(p->m, native_row);
    p->stored = calloc(p->m, p->row_bytes);
    p->x = calloc(p->k * p->n, sizeof(*p->x));
    p->y = calloc(p->m * p->n, sizeof(*p->y));
    if (p->native == NULL || p->stored == NULL || p->x == NULL || p->y == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a test problem");
    problem_fill(p, native_row);
    return problem_upload(p, b);
}

static inline struct iqt_slice whole(struct iqt_mem *mem, uint64_t bytes)
{
    return (struct iqt_slice){ mem, 0, bytes };
}

static inline enum iqt_status launch_quantize(const struct problem *p,
                                              const struct bench *b,
                                              struct iqt_stream *stream)
{
    const uint64_t x = p->k * p->n * sizeof(float);
    const struct iqt_quantize_params params = { .k = (uint32_t)p->k,
                                                .cols = p->n,
                                                .x_stride = (uint32_t)p->k };
    const struct iqt_launch l = {
        .kernel = b->quantize,
        .bind[IQT_BIND_W] = whole(p->xf, x),
        .bind[IQT_BIND_XQ] = whole(p->xq, x / 4),
        .bind[IQT_BIND_XS] = whole(p->xs, x / 16),
        .params = &params,
        .params_bytes = sizeof(params),
        .groups = (uint32_t)((p->k / IQT_X_BLOCK * p->n + 63) / 64),
    };

    return vulkan->launch(stream, &l);
}

/* A gated plan gets the same matrix in both roles. */
static inline enum iqt_status launch_product(const struct problem *p,
                                             struct iqt_stream *stream,
                                             const struct iqt_plan *plan,
                                             struct iqt_kernel *kernel)
{
    const bool floats = p->format->decode == IQT_DECODE_FLOAT;
    const uint64_t x = p->k * p->n * sizeof(float);
    const struct iqt_params params = {
        .rows = (uint32_t)p->m,
        .k = (uint32_t)p->k,
        .row_bytes = (uint32_t)p->row_bytes,
        .cols = p->n,
        .y_stride = (uint32_t)p->m,
        .act = IQT_ACT_RELU,
    };
    const struct iqt_launch l = {
        .kernel = kernel,
        .bind[IQT_BIND_W] = whole(p->w, p->row_bytes * p->m),
        .bind[IQT_BIND_GATE] = whole(p->w, p->row_bytes * p->m),
        .bind[IQT_BIND_XQ] = floats ? whole(p->xf, x) : whole(p->xq, x / 4),
        .bind[IQT_BIND_XS] = whole(p->xs, x / 16),
        .bind[IQT_BIND_Y] = whole(p->out, p->m * p->n * sizeof(float)),
        .params = &params,
        .params_bytes = sizeof(params),
        .groups = iqt_plan_groups(plan, (uint32_t)p->m),
    };

    return vulkan->launch(stream, &l);
}

/* y comes back; NaN where the kernel wrote nothing. */
IQT_MUST_USE static inline enum iqt_status problem_run(
    struct problem *p, const struct bench *b, struct iqt_stream *stream,
    const struct iqt_plan *plan, struct iqt_kernel *kernel, uint64_t *ns)
{
    const size_t bytes = p->m * p->n * sizeof(float);

    memset(p->y, 0xff, bytes);
    IQT_TRY(vulkan->write(stream, p->out, 0, p->y, bytes));
    IQT_TRY(launch_quantize(p, b, stream));
    IQT_TRY(launch_product(p, stream, plan, kernel));
    IQT_TRY(vulkan->finish(stream, ns));
    return vulkan->read(stream, p->out, 0, p->y, bytes);
}

/* relu(s) * s, the same matrix in both roles: the square of the positive sums. */
static inline void square_model(struct iqt_model *model)
{
    for (size_t i = 0; i < model->m * model->n; i++) {
        const double y = model->y[i] > 0 ? model->y[i] : 0;

        model->bound[i] *= 2 * y + model->bound[i] * IQT_MODEL_RTOL;
        model->y[i] = y * y;
    }
}

static inline void problem_compare(const struct problem *p, const struct iqt_plan *plan)
{
    struct iqt_model model;
    struct iqt_mismatch bad;

    if (!ok(iqt_model_run(p->format, p->native, p->m, p->k, p->x, 0, p->n, &model),
            "model"))
        return;
    if (plan->op == IQT_OP_GATED)
        square_model(&model);
    check_true(
        iqt_model_agrees(&model, p->y, 0, p->n, 0, p->m, &bad),
        "%zu of %zu values differ, worst: row %zu column %u is %.9g, expected %.9g "
        "within %.3g",
        bad.count, p->m * p->n, bad.row, bad.col, bad.got, bad.want, bad.allowed);
    iqt_model_free(&model);
}

/* Builds the plan's kernel, multiplies random numbers, compares with the exact model. */
static inline void run_plan(const struct bench *b, const struct iqt_plan *plan, size_t m,
                            size_t k, uint64_t *ns)
{
    struct problem p = { .format = plan->format, .layout = plan->layout, .m = m, .k = k };
    struct iqt_kernel *kernel = NULL;

    p.n = plan->n < MAX_N ? plan->n : MAX_N;
    if (ok(vulkan->build(b->hw, plan, &kernel), "build") &&
        ok(problem_make(&p, b), "make") &&
        ok(problem_run(&p, b, b->stream, plan, kernel, ns), "run"))
        problem_compare(&p, plan);
    vulkan->drop(b->hw, kernel);
    problem_free(&p, b->hw);
}

static inline struct iqt_plan any_plan(void)
{
    return iqt_plan_default(iqt_format_find("iq4_ks"), IQT_DIALECT_GLSL, IQT_OP_MATVEC, 1,
                            IQT_LAYOUT_PACKED);
}

#endif
