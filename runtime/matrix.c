/* Matrices: checks the caller's bytes against the format, then borrows, copies or packs them.
 * Packing goes through a staging buffer of a few MiB, so memory stays constant. */
#include "runtime/cpu_pool.h"
#include "runtime/runtime.h"

#include "kernels/packer.h"

#include <stdlib.h>

enum {
    STAGE_BYTES = 4 << 20, /* rows are packed and written in pieces of about this size */
    THREADED_BYTES = 1 << 20, /* below, starting threads costs more than packing */
    X_GRANULE = IQT_X_BLOCK,
};

struct upload {
    struct iqt_matrix *w;
    const uint8_t *bytes;
    size_t native_row; /* bytes of a GGUF row */
    struct iqt_packer packer;
    uint8_t *stage;
    size_t stage_rows;
    struct iqt_pool *pool; /* NULL: pack on this thread */
};

static enum iqt_status check_shape(const struct iqt_device *dev,
                                   const struct iqt_format *f, size_t m, size_t k,
                                   size_t size, size_t *row_bytes)
{
    uint64_t need = 0;

    if (m == 0 || k == 0 || m > UINT32_MAX || k > INT32_MAX)
        return iqt_fail(IQT_ERR_SHAPE,
                        "matrix of %zu rows and %zu columns: sizes out of range", m, k);
    IQT_TRY(iqt_format_row_bytes(f, k, row_bytes));
    if (k % X_GRANULE != 0)
        return iqt_fail(
            IQT_ERR_SHAPE,
            "matrix of %zu columns: kernels need a multiple of %d, the block of "
            "activations that share a scale",
            k, X_GRANULE);
    if (!iqt_mul(m, *row_bytes, &need))
        return iqt_fail(IQT_ERR_SHAPE, "matrix of %zu rows of %zu bytes: too large", m,
                        *row_bytes);
    if (size < need)
        return iqt_fail(IQT_ERR_SHAPE,
                        "%s matrix of %zu x %zu needs %llu bytes (%zu a row), %zu given",
                        f->name, m, k, (unsigned long long)need, *row_bytes, size);
    if (dev->max_binding < 4 * (uint64_t)dev->offset_align ||
        iqt_layout_row_bytes(f, IQT_LAYOUT_PACKED, k) >
            dev->max_binding - 4 * (uint64_t)dev->offset_align)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "a row of %zu bytes is more than one binding of %s (%llu bytes)",
                        *row_bytes, dev->info.spec, (unsigned long long)dev->max_binding);
    return IQT_OK;
}

static void pack_slice(void *user, size_t begin, size_t rows)
{
    const struct upload *u = user;

    iqt_packer_pack(&u->packer, u->w->k, rows, u->bytes + begin * u->native_row,
                    u->stage + begin * u->w->row_bytes);
}

static enum iqt_status write_rows(struct upload *u, size_t row, size_t rows,
                                  const uint8_t *data)
{
    struct iqt_device *dev = u->w->dev;
    enum iqt_status status;

    pthread_mutex_lock(&dev->upload_lock);
    status = dev->backend->write(dev->upload, u->w->mem, (uint64_t)row * u->w->row_bytes,
                                 data, (uint64_t)rows * u->w->row_bytes);
    pthread_mutex_unlock(&dev->upload_lock);
    return status;
}

static enum iqt_status upload_packed(struct upload *u)
{
    const size_t m = u->w->m;

    for (size_t row = 0; row < m; row += u->stage_rows) {
        const size_t rows = m - row < u->stage_rows ? m - row : u->stage_rows;
        const size_t slice = iqt_round_up(rows / 32 + 1, u->w->tile_rows);

        iqt_pool_run(u->pool, pack_slice, u, rows, slice);
        IQT_TRY(write_rows(u, row, iqt_round_up(rows, u->w->tile_rows), u->stage));
        u->bytes += rows * u->native_row;
    }
    return IQT_OK;
}

static enum iqt_status upload_native(struct upload *u)
{
    const size_t m = u->w->m;

    for (size_t row = 0; row < m; row += u->stage_rows) {
        const size_t rows = m - row < u->stage_rows ? m - row : u->stage_rows;

        IQT_TRY(write_rows(u, row, rows, u->bytes + row * u->native_row));
    }
    return IQT_OK;
}

static enum iqt_status pack_matrix(struct upload *u)
{
    struct iqt_matrix *w = u->w;
    enum iqt_status status;

    iqt_packer_init(&u->packer, w->format, w->dev->backend->dialect);
    u->stage = malloc(u->stage_rows * w->row_bytes);
    if (!u->stage)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu staging bytes",
                        u->stage_rows * w->row_bytes);
    if ((uint64_t)w->m * w->row_bytes >= THREADED_BYTES)
        u->pool = iqt_pool_create(w->dev->ctx->cpu_threads);
    status = upload_packed(u);
    iqt_pool_destroy(u->pool);
    free(u->stage);
    return status;
}

static enum iqt_status fill_matrix(struct iqt_matrix *w, const void *bytes,
                                   size_t native_row)
{
    const struct iqt_backend *backend = w->dev->backend;
    const bool borrow =
        backend->dialect == IQT_DIALECT_HOST && w->layout == IQT_LAYOUT_NATIVE;
    struct upload u = { .w = w, .bytes = bytes, .native_row = native_row };
    enum iqt_status status;
    uint64_t total;

    w->row_bytes = iqt_layout_row_bytes(w->format, w->layout, w->k);
    w->tile_rows = iqt_layout_rows(w->format, backend->dialect, w->layout);
    if (!iqt_mul(iqt_round_up(w->m, w->tile_rows), w->row_bytes, &total) ||
        total > UINT64_MAX / 2)
        return iqt_fail(IQT_ERR_SHAPE, "matrix of %zu rows of %zu bytes: too large", w->m,
                        w->row_bytes);
    if (borrow)
        return backend->alloc(w->dev->hw, total, bytes, &w->mem);
    /* Kernels may load 16 bytes at a time, so the last row is followed by as many. */
    IQT_TRY(backend->alloc(w->dev->hw, iqt_round_up(total, 16) + 16, NULL, &w->mem));
    u.stage_rows = STAGE_BYTES / w->row_bytes;
    if (u.stage_rows > w->m)
        u.stage_rows = w->m;
    u.stage_rows = iqt_round_up(u.stage_rows ? u.stage_rows : 1, w->tile_rows);
    status = w->layout == IQT_LAYOUT_PACKED ? pack_matrix(&u) : upload_native(&u);
    if (status != IQT_OK)
        backend->free(w->dev->hw, w->mem);
    return status;
}

enum iqt_status iqt_matrix_upload(struct iqt_device *dev, const struct iqt_format *f,
                                  size_t m, size_t k, const void *bytes, size_t size,
                                  enum iqt_layout layout, struct iqt_matrix **out)
{
    struct iqt_matrix *w;
    enum iqt_status status;
    size_t native_row = 0;

    if (!dev || !f || !bytes || !out)
        return iqt_fail(IQT_ERR_ARG, "iqt_matrix_upload: %s is NULL",
                        !dev     ? "dev"
                        : !f     ? "format"
                        : !bytes ? "bytes"
                                 : "out");
    if (layout != IQT_LAYOUT_NATIVE && layout != IQT_LAYOUT_PACKED)
        return iqt_fail(IQT_ERR_ARG, "iqt_matrix_upload: unknown layout %d", (int)layout);
    IQT_TRY(check_shape(dev, f, m, k, size, &native_row));
    w = malloc(sizeof *w);
    if (!w)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a matrix");
    *w = (struct iqt_matrix){ .dev = dev, .format = f, .layout = layout, .m = m, .k = k };
    status = fill_matrix(w, bytes, native_row);
    if (status != IQT_OK) {
        free(w);
        return status;
    }
    *out = w;
    return IQT_OK;
}

void iqt_matrix_destroy(struct iqt_matrix *w)
{
    if (!w)
        return;
    w->dev->backend->free(w->dev->hw, w->mem);
    free(w);
}
