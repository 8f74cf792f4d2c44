/* Matrices: checks the caller's bytes against the format, then borrows, copies or packs them.
 * Packing goes through a staging buffer of a few MiB, so memory stays constant. */
#include "runtime/packed_cache.h"

#include "kernels/interleave.h"

#include <assert.h>
#include <stdlib.h>

enum {
    STAGE_BYTES = 4 << 20, /* rows are packed and written in pieces of about this size */
    THREADED_BYTES = 1 << 20, /* below, starting threads costs more than packing */
    X_GRANULE = IQT_X_BLOCK,
};

struct upload {
    struct iqt_matrix *w;
    const struct iqt_format *from; /* of the bytes; may be interleaved */
    const uint8_t *bytes;
    size_t native_row; /* bytes of a GGUF row */
    uint8_t *apart;    /* rows of a stage, when they are interleaved */
    struct iqt_packer packer;
    uint8_t *stage;
    size_t stage_rows;
    struct iqt_pool *pool; /* NULL: pack on this thread */
    struct iqt_packed_cache cache;
    bool alone; /* no file may be looked for or made */
};

/* Of each expert, or the only matrix. */
static enum iqt_status check_shape(const struct iqt_device *dev,
                                   const struct iqt_format *f, size_t experts, size_t m,
                                   size_t k, size_t size, size_t *row_bytes)
{
    uint64_t need = 0;

    if (m == 0 || k == 0 || m > UINT32_MAX || k > INT32_MAX)
        return iqt_fail(IQT_ERR_SHAPE,
                        "matrix of %zu rows and %zu columns: sizes out of range", m, k);
    IQT_TRY(iqt_format_row_bytes(f, k, row_bytes));
    if (f->base_type != 0 && m % IQT_UNIT_ROWS != 0)
        return iqt_fail(
            IQT_ERR_SHAPE,
            "%s matrix of %zu rows: they are interleaved by %d, so a multiple "
            "of that is needed",
            f->name, m, IQT_UNIT_ROWS);
    if (k % X_GRANULE != 0)
        return iqt_fail(
            IQT_ERR_SHAPE,
            "matrix of %zu columns: kernels need a multiple of %d, the block of "
            "activations that share a scale",
            k, X_GRANULE);
    if (!iqt_mul(m, *row_bytes, &need) || !iqt_mul(experts, need, &need))
        return iqt_fail(IQT_ERR_SHAPE, "%zu matrices of %zu rows of %zu bytes: too large",
                        experts, m, *row_bytes);
    if (size < need)
        return iqt_fail(
            IQT_ERR_SHAPE,
            "%zu %s matrices of %zu x %zu need %llu bytes (%zu a row), %zu given",
            experts, f->name, m, k, (unsigned long long)need, *row_bytes, size);
    if (dev->max_binding < 4 * (uint64_t)dev->offset_align ||
        iqt_layout_row_bytes(f, IQT_LAYOUT_PACKED, k) >
            dev->max_binding - 4 * (uint64_t)dev->offset_align)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "a row of %zu bytes is more than one binding of %s (%llu bytes)",
                        *row_bytes, dev->info.spec, (unsigned long long)dev->max_binding);
    return IQT_OK;
}

/* Rows of the stage as the kernels' format has them. */
static const uint8_t *native_rows(const struct upload *u, size_t begin, size_t rows)
{
    const size_t at = begin * u->native_row;
    enum iqt_status status;

    if (u->apart == NULL)
        return u->bytes + at;
    status = iqt_rows_separate(u->from, rows, u->w->k, u->bytes + at, u->apart + at);
    assert(status == IQT_OK); /* all shapes have been checked */
    (void)status;
    return u->apart + at;
}

static void pack_slice(void *user, size_t begin, size_t rows)
{
    const struct upload *u = user;

    iqt_packer_pack(&u->packer, u->w->k, rows, native_rows(u, begin, rows),
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

static enum iqt_status keep_rows(struct upload *u, size_t row, size_t rows)
{
    const size_t all = iqt_round_up(rows, u->w->tile_rows);

    iqt_packed_cache_add(&u->cache, u->stage, all * u->w->row_bytes);
    return write_rows(u, row, all, u->stage);
}

/* One expert, or the only matrix, to row `first` on. */
static enum iqt_status upload_packed(struct upload *u, size_t first)
{
    const size_t m = u->w->m;

    for (size_t row = 0; row < m; row += u->stage_rows) {
        const size_t rows = m - row < u->stage_rows ? m - row : u->stage_rows;
        const size_t slice = iqt_round_up(rows / 32 + 1, IQT_UNIT_ROWS);

        iqt_pool_run(u->pool, pack_slice, u, rows, slice);
        IQT_TRY(keep_rows(u, first + row, rows));
        u->bytes += rows * u->native_row;
    }
    return IQT_OK;
}

static enum iqt_status upload_native(struct upload *u)
{
    const size_t m = u->w->m * iqt_matrix_count(u->w);

    for (size_t row = 0; row < m; row += u->stage_rows) {
        const size_t rows = m - row < u->stage_rows ? m - row : u->stage_rows;

        IQT_TRY(write_rows(u, row, rows, native_rows(u, 0, rows)));
        u->bytes += rows * u->native_row;
    }
    return IQT_OK;
}

static enum iqt_status pack_matrix(struct upload *u)
{
    struct iqt_matrix *w = u->w;
    enum iqt_status status = IQT_OK;

    u->stage = malloc(u->stage_rows * w->row_bytes);
    if (!u->stage)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu staging bytes",
                        u->stage_rows * w->row_bytes);
    for (size_t e = 0; e < iqt_matrix_count(w) && status == IQT_OK; e++)
        status = upload_packed(u, e * w->expert_rows);
    free(u->stage);
    return status;
}

/* Packed rows that were kept, into a device's memory. */
static enum iqt_status write_kept(struct upload *u)
{
    const size_t m = u->w->expert_rows * iqt_matrix_count(u->w);

    for (size_t row = 0; row < m; row += u->stage_rows)
        IQT_TRY(write_rows(u, row, m - row < u->stage_rows ? m - row : u->stage_rows,
                           u->cache.rows + row * u->w->row_bytes));
    return IQT_OK;
}

static enum iqt_status fill_stages(struct upload *u)
{
    struct iqt_matrix *w = u->w;
    enum iqt_status status;

    u->stage_rows = STAGE_BYTES / w->row_bytes;
    if (u->stage_rows > w->m)
        u->stage_rows = w->m;
    u->stage_rows = iqt_round_up(u->stage_rows ? u->stage_rows : 1, IQT_UNIT_ROWS);
    if (u->cache.rows)
        return write_kept(u);
    if (u->from->base_type != 0) {
        u->apart = malloc(u->stage_rows * u->native_row);
        if (!u->apart)
            return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu staging bytes",
                            u->stage_rows * u->native_row);
    }
    status = w->layout == IQT_LAYOUT_PACKED ? pack_matrix(u) : upload_native(u);
    free(u->apart);
    return status;
}

/* Kernels reach all rows of an expert from one binding. */
static enum iqt_status check_expert(const struct iqt_matrix *w)
{
    const struct iqt_device *dev = w->dev;
    const uint64_t row = iqt_layout_row_bytes(w->format, w->layout, w->k);
    uint64_t bytes = 0;

    if (w->experts && (!iqt_mul(w->m + 3, row, &bytes) ||
                       bytes > dev->max_binding - 4 * (uint64_t)dev->offset_align))
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "an expert of %zu rows of %llu bytes is more than one binding of "
                        "%s (%llu bytes)",
                        w->m, (unsigned long long)row, dev->info.spec,
                        (unsigned long long)dev->max_binding);
    return IQT_OK;
}

/* Rows that a CPU can use where they are; NULL: they go into memory of the matrix. */
static const void *rows_in_place(const struct upload *u)
{
    if (u->w->dev->backend->dialect != IQT_DIALECT_HOST)
        return NULL;
    if (u->w->layout == IQT_LAYOUT_PACKED)
        return u->cache.rows;
    return u->from->base_type == 0 ? u->bytes : NULL;
}

static enum iqt_status place(struct upload *u, uint64_t total)
{
    struct iqt_matrix *w = u->w;
    const struct iqt_backend *backend = w->dev->backend;
    const void *host = rows_in_place(u);
    enum iqt_status status;

    if (host) {
        IQT_TRY(backend->alloc(w->dev->hw, total, host, &w->mem));
        w->map = u->cache.map;
        u->cache.map = (struct iqt_map){ 0 };
        return IQT_OK;
    }
    /* Kernels may load 16 bytes at a time, so the last row is followed by as many. */
    IQT_TRY(backend->alloc(w->dev->hw, iqt_round_up(total, 16) + 16, NULL, &w->mem));
    status = fill_stages(u);
    if (status != IQT_OK)
        backend->free(w->dev->hw, w->mem);
    return status;
}

static enum iqt_status place_packed(struct upload *u, uint64_t total)
{
    struct iqt_matrix *w = u->w;
    const struct iqt_packed_source source = { .w = w,
                                              .from = u->from,
                                              .bytes = u->bytes,
                                              .native_row = u->native_row,
                                              .packer = &u->packer,
                                              .pool = u->pool };
    enum iqt_status status;

    iqt_packer_init(&u->packer, w->format, w->dev->backend->dialect);
    if (!u->alone)
        iqt_packed_cache_open(&u->cache, &source);
    status = place(u, total);
    iqt_packed_cache_close(&u->cache, status == IQT_OK);
    return status;
}

static enum iqt_status fill_matrix(struct upload *u)
{
    struct iqt_matrix *w = u->w;
    enum iqt_status status;
    uint64_t total;

    w->row_bytes = iqt_layout_row_bytes(w->format, w->layout, w->k);
    w->tile_rows = iqt_layout_rows(w->format, w->dev->backend->dialect, w->layout);
    w->expert_rows = iqt_round_up(w->m, w->tile_rows);
    if (!iqt_mul(w->expert_rows, w->row_bytes, &total) ||
        !iqt_mul(iqt_matrix_count(w), total, &total) || total > UINT64_MAX / 2)
        return iqt_fail(IQT_ERR_SHAPE, "matrix of %zu rows of %zu bytes: too large", w->m,
                        w->row_bytes);
    if (w->layout != IQT_LAYOUT_PACKED)
        return place(u, total);
    if ((uint64_t)w->m * w->row_bytes >= THREADED_BYTES)
        u->pool = iqt_pool_create(w->dev->ctx->cpu_threads);
    status = place_packed(u, total);
    iqt_pool_destroy(u->pool);
    return status;
}

/* experts 0: an ordinary matrix. */
static enum iqt_status upload(struct iqt_device *dev, const struct iqt_format *f,
                              size_t experts, size_t m, size_t k, const void *bytes,
                              size_t size, enum iqt_layout layout, bool alone,
                              struct iqt_matrix **out)
{
    struct upload u = { .from = f, .bytes = bytes, .alone = alone };
    struct iqt_matrix *w;
    enum iqt_status status;

    if (!dev || !f || !bytes || !out)
        return iqt_fail(IQT_ERR_ARG, "upload of a matrix: %s is NULL",
                        !dev     ? "dev"
                        : !f     ? "format"
                        : !bytes ? "bytes"
                                 : "out");
    if (layout != IQT_LAYOUT_NATIVE && layout != IQT_LAYOUT_PACKED)
        return iqt_fail(IQT_ERR_ARG, "upload of a matrix: unknown layout %d",
                        (int)layout);
    IQT_TRY(check_shape(dev, f, experts ? experts : 1, m, k, size, &u.native_row));
    w = malloc(sizeof *w);
    if (!w)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a matrix");
    *w = (struct iqt_matrix){ .dev = dev,
                              .format = iqt_format_base(f),
                              .layout = layout,
                              .m = m,
                              .k = k,
                              .experts = experts };
    u.w = w;
    status = check_expert(w);
    if (status == IQT_OK)
        status = fill_matrix(&u);
    if (status != IQT_OK) {
        free(w);
        return status;
    }
    *out = w;
    return IQT_OK;
}

enum iqt_status iqt_matrix_upload(struct iqt_device *dev, const struct iqt_format *f,
                                  size_t m, size_t k, const void *bytes, size_t size,
                                  enum iqt_layout layout, struct iqt_matrix **out)
{
    return upload(dev, f, 0, m, k, bytes, size, layout, false, out);
}

enum iqt_status iqt_matrix_upload_alone(struct iqt_device *dev,
                                        const struct iqt_format *f, size_t m, size_t k,
                                        const void *bytes, size_t size,
                                        enum iqt_layout layout, struct iqt_matrix **out)
{
    return upload(dev, f, 0, m, k, bytes, size, layout, true, out);
}

enum iqt_status iqt_experts_upload(struct iqt_device *dev, const struct iqt_format *f,
                                   size_t experts, size_t m, size_t k, const void *bytes,
                                   size_t size, enum iqt_layout layout,
                                   struct iqt_matrix **out)
{
    if (experts < 1 || experts > INT32_MAX)
        return iqt_fail(IQT_ERR_SHAPE, "%zu experts, expected 1 .. %d", experts,
                        INT32_MAX);
    return upload(dev, f, experts, m, k, bytes, size, layout, false, out);
}

void iqt_matrix_destroy(struct iqt_matrix *w)
{
    if (!w)
        return;
    w->dev->backend->free(w->dev->hw, w->mem);
    iqt_map_close(&w->map);
    free(w);
}
