/* A program as a user writes it, built against the installed library: decodes a row, then asks
 * the CPU for the same weights by products with one-hot vectors. Prints the library's version. */
#include <iqtile/gguf.h>
#include <iqtile/iqtile.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { K = 256, N = 16 };

#define TRY(call)                                                           \
    do {                                                                    \
        const enum iqt_status status = (call);                              \
        if (status != IQT_OK) {                                             \
            fprintf(stderr, "%s: %s: %s\n", #call, iqt_status_name(status), \
                    iqt_last_error());                                      \
            return 1;                                                       \
        }                                                                   \
    } while (0)

/* y[c] = weight c + 1 of the row, through a product with column c + 1 of the unit matrix. */
static int products(struct iqt_queue *q, const struct iqt_matrix *w, float y[N])
{
    static float x[N][K];
    const struct iqt_product product = { .struct_size = sizeof(product), .w = w, .y = y };

    for (size_t c = 0; c < N; c++)
        x[c][c + 1] = 1.0f;
    TRY(iqt_matvec(q, x[0], 0, N, &product, 1));
    return 0;
}

static int compare(const float *row, const float *y)
{
    for (size_t c = 0; c < N; c++) {
        const float want = row[c + 1];

        if (!(fabsf(y[c] - want) <= 1e-6f * fabsf(want))) {
            fprintf(stderr, "weight %zu: decoded %g, product %g\n", c + 1, (double)want,
                    (double)y[c]);
            return 1;
        }
    }
    return 0;
}

int main(void)
{
    const struct iqt_context_options options = { .struct_size = sizeof(options),
                                                 .db_path = "",
                                                 .cache_dir = "" };
    const struct iqt_format *f = iqt_format_find("iq4_ks");
    const float scale = 1.0f;
    unsigned char bytes[1024];
    float row[K], y[N];
    size_t size;
    struct iqt_context *ctx;
    struct iqt_device *dev;
    struct iqt_queue *q;
    struct iqt_matrix *w;
    int failed;

    if (f == NULL || strcmp(iqt_version(), IQT_VERSION) != 0) {
        fprintf(stderr, "headers of %s, library %s\n", IQT_VERSION, iqt_version());
        return 1;
    }
    TRY(iqt_format_row_bytes(f, K, &size));
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 151 + 7);
    memcpy(bytes, &scale, sizeof(scale)); /* the row header */
    TRY(iqt_decode_row(f, bytes, K, IQT_DECODE_COMPUTE, row));

    TRY(iqt_context_create(&options, &ctx));
    TRY(iqt_device_open(ctx, "cpu", &dev));
    TRY(iqt_queue_create(dev, &q));
    TRY(iqt_matrix_upload(dev, f, 1, K, bytes, size, IQT_LAYOUT_PACKED, &w));
    failed = products(q, w, y) || compare(row, y);
    iqt_matrix_destroy(w);
    iqt_queue_destroy(q);
    iqt_device_close(dev);
    iqt_context_destroy(ctx);
    if (!failed)
        printf("%s %s\n", iqt_format_name(f), iqt_version());
    return failed;
}
