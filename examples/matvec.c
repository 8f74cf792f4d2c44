/* One product with a matrix of a GGUF file, on any device.
 *
 *   cc matvec.c $(pkg-config --cflags --libs iqtile) -o matvec
 *   ./matvec examples/models/tiny-rustdoc-lm-IQ4_KS.gguf blk.0.ffn_up.weight [cpu | vulkan:0]
 *
 * Opens the file, uploads the tensor, multiplies it with the vector 1, 1/2, 1/3, ... and prints
 * what came out of it and which kernel computed it. */
#include <iqtile/gguf.h>

#include <stdio.h>
#include <stdlib.h>

/* Everything a product needs; zero is "not there yet", which all destroy functions accept. */
struct state {
    struct iqt_gguf *file;
    struct iqt_context *ctx;
    struct iqt_device *dev;
    struct iqt_queue *queue;
    struct iqt_matrix *w;
    float *x, *y;
    size_t m, k;
};

static enum iqt_status load(struct state *s, const char *path, const char *name)
{
    struct iqt_gguf_tensor t;
    enum iqt_status status = iqt_gguf_open(path, &s->file);

    if (status == IQT_OK)
        status = iqt_gguf_tensor_find(s->file, name, &t);
    if (status != IQT_OK)
        return status;
    s->m = iqt_gguf_rows(&t);
    s->k = t.ne[0];
    /* t.format or t.data is NULL for types without kernels and for defective files; the upload
     * refuses that with a sentence. A packed copy is made, so the file could be closed now. */
    return iqt_matrix_upload(s->dev, t.format, s->m, s->k, t.data, t.bytes,
                             IQT_LAYOUT_PACKED, &s->w);
}

static enum iqt_status multiply(struct state *s)
{
    struct iqt_product product = { .struct_size = sizeof product, .w = s->w };

    s->x = malloc(s->k * sizeof *s->x);
    s->y = malloc(s->m * sizeof *s->y);
    if (!s->x || !s->y)
        return IQT_ERR_NO_MEMORY;
    for (size_t i = 0; i < s->k; i++)
        s->x[i] = 1.0f / (float)(i + 1);
    product.y = s->y;
    return iqt_matvec(s->queue, s->x, 0, 1, &product, 1);
}

static enum iqt_status print(const struct state *s)
{
    const char *plan;
    enum iqt_status status = iqt_plan_used(s->dev, s->w, false, 1, &plan);

    if (status != IQT_OK)
        return status;
    printf("device  %s\n", iqt_device_describe(s->dev)->name);
    printf("kernel  %s\n", plan);
    printf("y      ");
    for (size_t i = 0; i < s->m && i < 6; i++)
        printf(" %.6g", (double)s->y[i]);
    printf("%s (%zu values)\n", s->m > 6 ? " ..." : "", s->m);
    return IQT_OK;
}

static enum iqt_status run(struct state *s, const char *path, const char *name,
                           const char *device)
{
    enum iqt_status status = iqt_context_create(NULL, &s->ctx);

    if (status == IQT_OK)
        status = iqt_device_open(s->ctx, device, &s->dev);
    if (status == IQT_OK)
        status = iqt_queue_create(s->dev, &s->queue);
    if (status == IQT_OK)
        status = load(s, path, name);
    if (status == IQT_OK)
        status = multiply(s);
    if (status == IQT_OK)
        status = print(s);
    return status;
}

int main(int argc, char **argv)
{
    struct state s = { 0 };
    enum iqt_status status;

    if (argc < 3) {
        fprintf(stderr, "usage: matvec FILE.gguf TENSOR [DEVICE]\n");
        return 2;
    }
    status = run(&s, argv[1], argv[2], argc > 3 ? argv[3] : NULL);
    if (status != IQT_OK)
        fprintf(stderr, "matvec: %s: %s\n", iqt_status_name(status), iqt_last_error());
    free(s.x);
    free(s.y);
    iqt_matrix_destroy(s.w);
    iqt_queue_destroy(s.queue);
    iqt_device_close(s.dev);
    iqt_context_destroy(s.ctx);
    iqt_gguf_close(s.file);
    return status == IQT_OK ? 0 : 1;
}
