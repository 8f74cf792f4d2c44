/* iqtile matvec: one product on raw float32 files. */
#include "kernels/plan.h"
#include "tools/cli.h"

#include <stdlib.h>
#include <string.h>

struct matvec_opts {
    const char *x, *out, *device, *layout, *plan, *packed;
    uint32_t n;
};

static const struct iqt_opt matvec_opts[] = {
    { "x", IQT_OPT_STRING, "X.f32", "activations: n vectors of k little-endian float32",
      offsetof(struct matvec_opts, x) },
    { "o", IQT_OPT_STRING, "Y.f32", "results: n vectors of m float32",
      offsetof(struct matvec_opts, out) },
    { "device", IQT_OPT_STRING, "DEVICE",
      "backend[:index] (default: the preferred device)",
      offsetof(struct matvec_opts, device) },
    { "layout", IQT_OPT_STRING, "LAYOUT", "native or packed (default: packed)",
      offsetof(struct matvec_opts, layout) },
    { "plan", IQT_OPT_STRING, "NAME",
      "this plan, and its layout, instead of the chosen one",
      offsetof(struct matvec_opts, plan) },
    { "packed-cache", IQT_OPT_STRING, "DIR",
      "keep packed rows in this folder, and take them from there the next time",
      offsetof(struct matvec_opts, packed) },
    { "n", IQT_OPT_U32, "N", "vectors in X.f32, 1 .. 16 (default: 1)",
      offsetof(struct matvec_opts, n) },
    { 0 },
};

static enum iqt_status check_x(const char *path, size_t bytes, uint32_t n, size_t k)
{
    if (bytes == n * k * sizeof(float))
        return IQT_OK;
    return iqt_fail(IQT_ERR_SHAPE,
                    "'%s' holds %zu bytes, but n * k = %u * %zu float32 are %zu bytes",
                    path, bytes, n, k, n * k * sizeof(float));
}

static enum iqt_status product(const struct matvec_opts *o, const struct iqt_weights *w,
                               enum iqt_layout layout, const float *x, uint32_t n,
                               float *y)
{
    struct iqt_product p = { .struct_size = sizeof p, .y = y };
    struct iqt_matrix *matrix;
    struct iqt_seat seat;
    enum iqt_status status;

    IQT_TRY(iqt_seat_open(o->device, o->packed, &seat));
    status = iqt_matrix_upload(seat.dev, w->format, w->m, w->k, w->rows,
                               w->m * w->row_bytes, layout, &matrix);
    if (status != IQT_OK)
        goto close_seat;
    p.w = matrix;
    status = o->plan ? iqt_matvec_by_plan(seat.queue, o->plan, x, 0, n, &p, 1)
                     : iqt_matvec(seat.queue, x, 0, n, &p, 1);
    iqt_matrix_destroy(matrix);
close_seat:
    iqt_seat_close(&seat);
    return status;
}

static enum iqt_status run_product(const struct matvec_opts *o,
                                   const struct iqt_weights *w, enum iqt_layout layout,
                                   uint32_t n)
{
    struct iqt_map x;
    enum iqt_status status;
    float *y;

    IQT_TRY(iqt_map_open(o->x, &x));
    status = check_x(o->x, x.bytes, n, w->k);
    y = status == IQT_OK ? calloc(n * w->m, sizeof *y) : NULL;
    if (status == IQT_OK && y == NULL)
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %u x %zu results", n, w->m);
    if (status == IQT_OK)
        status = product(o, w, layout, (const float *)(const void *)x.data, n, y);
    if (status == IQT_OK)
        status = iqt_file_replace(o->out, y, n * w->m * sizeof *y);
    free(y);
    iqt_map_close(&x);
    return status;
}

static enum iqt_status read_layout(const struct matvec_opts *o, enum iqt_layout *layout)
{
    struct iqt_plan plan;

    *layout = IQT_LAYOUT_PACKED;
    if (o->plan != NULL) {
        IQT_TRY(iqt_plan_parse(o->plan, &plan));
        *layout = plan.layout;
    }
    return o->layout != NULL ? iqt_cli_layout(o->layout, layout) : IQT_OK;
}

static int run(const void *opts, int count, char **args)
{
    const struct matvec_opts *o = opts;
    const uint32_t n = o->n == 0 ? 1 : o->n;
    enum iqt_layout layout;
    struct iqt_weights w;
    enum iqt_status status;

    (void)count;
    if (o->x == NULL || o->out == NULL)
        return iqt_cli_usage("matvec needs --x X.f32 and -o Y.f32");
    if (n > IQT_MAX_COLS)
        return iqt_cli_usage("--n is at most %u, got %u", IQT_MAX_COLS, n);
    status = read_layout(o, &layout);
    if (status != IQT_OK)
        return iqt_cli_fail(status);
    status = iqt_weights_open(args[0], args[1], &w);
    if (status != IQT_OK)
        return iqt_cli_fail(status);
    status = run_product(o, &w, layout, n);
    iqt_weights_close(&w);
    return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
}

const struct iqt_command iqt_cmd_matvec = {
    .name = "matvec",
    .usage =
        "FILE TENSOR --x X.f32 -o Y.f32 [--device D] [--layout L] [--plan P] [--n N] "
        "[--packed-cache DIR]",
    .summary = "multiply a tensor with vectors from a raw float32 file",
    .opts = matvec_opts,
    .opts_bytes = sizeof(struct matvec_opts),
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
