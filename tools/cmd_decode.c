/* iqtile decode: the weights of a tensor as raw float32, from the reference decoder or, with
 * --device, out of real products. Rows are handled in parts of bounded size. */
#include "tools/cli.h"
#include "kernels/format.h"

#include <stdlib.h>

enum { PART_FLOATS = 8 << 20 }; /* 32 MiB of results at a time */

struct decode_opts {
    const char *out, *device;
    bool reference;
};

static const struct iqt_opt decode_opts[] = {
    { "o", IQT_OPT_STRING, "OUT.f32",
      "file to write: raw little-endian float32, row after row",
      offsetof(struct decode_opts, out) },
    { "device", IQT_OPT_STRING, "DEVICE",
      "decode by one-hot products on this device: what its kernels compute with",
      offsetof(struct decode_opts, device) },
    { "reference", IQT_OPT_FLAG, NULL,
      "values of the reference's to_float instead of those that compute uses",
      offsetof(struct decode_opts, reference) },
    { 0 },
};

/* Superblock after superblock, so that rows of any length need little memory. */
static enum iqt_status decode_row(const struct iqt_weights *w, size_t r,
                                  enum iqt_decode_mode mode, float *part, size_t part_k,
                                  struct iqt_output *out)
{
    const uint8_t *row = w->rows + r * w->row_bytes;
    const size_t step = w->format->superblock;

    for (size_t at = 0; at < w->k; at += part_k) {
        const size_t end = w->k - at < part_k ? w->k : at + part_k;

        for (size_t j = at; j < end; j += step)
            iqt_decode_part(w->format, row, j, end - j < step ? end - j : step, mode,
                            part + (j - at));
        IQT_TRY(iqt_output_write(out, part, (end - at) * sizeof *part));
    }
    return IQT_OK;
}

static enum iqt_status interrupted(void)
{
    return iqt_fail(IQT_ERR_INTERRUPTED, "interrupted; nothing was written");
}

static enum iqt_status decode_on_host(const struct iqt_weights *w,
                                      enum iqt_decode_mode mode, struct iqt_output *out)
{
    const size_t part_k = w->k < PART_FLOATS ? w->k : PART_FLOATS;
    enum iqt_status status = IQT_OK;
    float *part = malloc(part_k * sizeof *part);

    if (part == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu weights", part_k);
    for (size_t r = 0; r < w->m && status == IQT_OK; r++) {
        status = decode_row(w, r, mode, part, part_k, out);
        if (status == IQT_OK && iqt_cli_interrupted())
            status = interrupted();
        iqt_cli_progress("decode", (uint64_t)(r + 1) * w->k, (uint64_t)w->m * w->k);
    }
    free(part);
    return status;
}

/* Buffers of products over a part of the rows. */
struct one_hot {
    struct iqt_seat seat;
    size_t max_rows;
    uint32_t cols;
    float *x; /* [cols][k], zero but for one element of each vector */
    float *y; /* [cols][max_rows] */
    float *w; /* [max_rows][k] */
};

/* One pass per `cols` columns: vector c has its 1 in column at + c, so that result c is a
 * column of the weights. */
static enum iqt_status decode_rows(const struct iqt_weights *w, struct one_hot *h,
                                   struct iqt_matrix *matrix, size_t begin, size_t rows)
{
    for (size_t at = 0; at < w->k; at += h->cols) {
        const uint32_t cols = w->k - at < h->cols ? (uint32_t)(w->k - at) : h->cols;
        const struct iqt_product product = { .struct_size = sizeof product,
                                             .w = matrix,
                                             .y = h->y };
        enum iqt_status status;

        for (uint32_t c = 0; c < cols; c++)
            h->x[c * w->k + at + c] = 1;
        status = iqt_matvec(h->seat.queue, h->x, 0, cols, &product, 1);
        for (uint32_t c = 0; c < cols; c++)
            h->x[c * w->k + at + c] = 0;
        IQT_TRY(status);
        for (size_t r = 0; r < rows; r++)
            for (uint32_t c = 0; c < cols; c++)
                h->w[r * w->k + at + c] = h->y[c * rows + r];
        if (iqt_cli_interrupted())
            return interrupted();
        iqt_cli_progress("decode", (uint64_t)begin * w->k + (at + cols) * rows,
                         (uint64_t)w->m * w->k);
    }
    return IQT_OK;
}

static enum iqt_status run_parts(const struct iqt_weights *w, struct one_hot *h,
                                 struct iqt_output *out)
{
    for (size_t r = 0; r < w->m; r += h->max_rows) {
        const size_t rows = w->m - r < h->max_rows ? w->m - r : h->max_rows;
        struct iqt_matrix *matrix;
        enum iqt_status status;

        IQT_TRY(iqt_matrix_upload(h->seat.dev, w->format, rows, w->k,
                                  w->rows + r * w->row_bytes, rows * w->row_bytes,
                                  IQT_LAYOUT_NATIVE, &matrix));
        status = decode_rows(w, h, matrix, r, rows);
        iqt_matrix_destroy(matrix);
        IQT_TRY(status);
        IQT_TRY(iqt_output_write(out, h->w, rows * w->k * sizeof *h->w));
    }
    return IQT_OK;
}

static enum iqt_status decode_on_device(const struct iqt_weights *w, const char *device,
                                        struct iqt_output *out)
{
    struct one_hot h = { .max_rows = PART_FLOATS / w->k, .cols = IQT_MAX_COLS };
    enum iqt_status status;

    if (h.max_rows > w->m)
        h.max_rows = w->m;
    if (h.max_rows == 0)
        h.max_rows = 1;
    while (h.cols > 1 && h.cols * w->k > PART_FLOATS)
        h.cols /= 2;
    IQT_TRY(iqt_seat_open(device, NULL, &h.seat));
    h.x = calloc(h.cols * w->k, sizeof *h.x);
    h.y = calloc(h.cols * h.max_rows, sizeof *h.y);
    h.w = calloc(h.max_rows * w->k, sizeof *h.w);
    if (h.x == NULL || h.y == NULL || h.w == NULL)
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu rows of %zu weights",
                          h.max_rows, w->k);
    else
        status = run_parts(w, &h, out);
    free(h.w);
    free(h.y);
    free(h.x);
    iqt_seat_close(&h.seat);
    return status;
}

static int run(const void *opts, int count, char **args)
{
    const struct decode_opts *o = opts;
    const enum iqt_decode_mode mode =
        o->reference ? IQT_DECODE_REFERENCE : IQT_DECODE_COMPUTE;
    struct iqt_weights w;
    struct iqt_output out;
    enum iqt_status status;

    (void)count;
    if (o->out == NULL)
        return iqt_cli_usage("decode needs -o OUT.f32");
    if (o->reference && o->device != NULL)
        return iqt_cli_usage(
            "--reference is what no device computes with: leave out --device");
    iqt_cli_catch_interrupts();
    status = iqt_weights_open(args[0], args[1], &w);
    if (status != IQT_OK)
        return iqt_cli_fail(status);
    status = iqt_output_open(o->out, &out);
    if (status != IQT_OK)
        goto close_weights;
    if (o->device != NULL)
        status = decode_on_device(&w, o->device, &out);
    else
        status = decode_on_host(&w, mode, &out);
    if (status == IQT_OK)
        status = iqt_output_commit(&out);
    else
        iqt_output_discard(&out);
close_weights:
    iqt_weights_close(&w);
    return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
}

const struct iqt_command iqt_cmd_decode = {
    .name = "decode",
    .usage = "FILE TENSOR -o OUT.f32 [--device D] [--reference]",
    .summary = "write a tensor's weights as raw float32",
    .opts = decode_opts,
    .opts_bytes = sizeof(struct decode_opts),
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
