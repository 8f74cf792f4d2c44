/* See packed_cache.h. Decides what a file's key is and when a file is written; its bytes are io's. */
#include "runtime/packed_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void note(const struct iqt_context *ctx, const char *what)
{
    struct iqt_buf text = { 0 };

    if (!ctx->note)
        return;
    iqt_buf_printf(&text, "%s: %s", what, iqt_last_error());
    ctx->note(ctx->note_user, text.failed ? what : iqt_buf_text(&text));
    iqt_buf_free(&text);
}

/* ---- The key ---- */

static enum iqt_status hash_bytes(struct iqt_pool *pool, const uint8_t *data,
                                  uint64_t bytes, struct iqt_packed_blocks *out)
{
    const size_t count = iqt_packed_block_count(bytes);

    *out = (struct iqt_packed_blocks){ .data = data,
                                       .bytes = bytes,
                                       .hash = calloc(count, sizeof *out->hash) };
    if (!out->hash)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the hashes of %zu blocks",
                        count);
    iqt_pool_run(pool, iqt_packed_blocks_hash, out, count, 1);
    return IQT_OK;
}

/* A layout is what the packer does: any change to it, in a table or in code, makes other bytes of known rows of
 * the very length, a group of four and a part of one. */
static enum iqt_status hash_layout(const struct iqt_packer *p, const struct iqt_matrix *w,
                                   uint64_t *out)
{
    enum { ROWS = IQT_TILE_ROWS + 1 };
    const size_t native_bytes =
        ROWS * iqt_layout_row_bytes(w->format, IQT_LAYOUT_NATIVE, w->k);
    const size_t packed_bytes = iqt_round_up(ROWS, IQT_TILE_ROWS) * w->row_bytes;
    uint8_t *native = malloc(native_bytes), *packed = calloc(1, packed_bytes);
    uint64_t state = 1;

    if (!native || !packed) {
        free(native);
        free(packed);
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu bytes of known rows",
                        native_bytes + packed_bytes);
    }
    for (size_t i = 0; i < native_bytes; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        native[i] = (uint8_t)(state >> 56);
    }
    iqt_packer_pack(p, w->k, ROWS, native, packed);
    *out = iqt_hash(packed, packed_bytes, 0);
    free(native);
    free(packed);
    return IQT_OK;
}

static enum iqt_status hash_weights(const struct iqt_packed_source *s, uint64_t *out)
{
    const uint64_t bytes = (uint64_t)iqt_matrix_count(s->w) * s->w->m * s->native_row;
    struct iqt_packed_blocks blocks;

    IQT_TRY(hash_bytes(s->pool, s->bytes, bytes, &blocks));
    *out = iqt_packed_blocks_fold(&blocks, 0);
    free(blocks.hash);
    return IQT_OK;
}

static enum iqt_status make_key(const struct iqt_packed_source *s,
                                struct iqt_packed_key *key)
{
    const struct iqt_matrix *w = s->w;
    uint64_t layout, weights;

    IQT_TRY(hash_layout(s->packer, w, &layout));
    IQT_TRY(hash_weights(s, &weights));
    *key = (struct iqt_packed_key){
        .number = { [IQT_PACKED_MATRICES] = iqt_matrix_count(w),
                    [IQT_PACKED_ROWS] = w->m,
                    [IQT_PACKED_COLUMNS] = w->k,
                    [IQT_PACKED_ROW_BYTES] = w->row_bytes,
                    [IQT_PACKED_TOGETHER] = w->tile_rows,
                    [IQT_PACKED_TYPE] = s->from->gguf_type,
                    [IQT_PACKED_TILES] =
                        w->tile_rows == 1 ? 0 : 1 + (uint64_t)w->dev->backend->dialect,
                    [IQT_PACKED_SOURCE] = weights,
                    [IQT_PACKED_LAYOUT] = layout }
    };
    return IQT_OK;
}

/* The layout is not in the name: a file of an earlier layout is replaced. */
static enum iqt_status name_file(const char *folder, const struct iqt_packed_key *key,
                                 char **out)
{
    uint64_t name = 0;
    struct iqt_buf path = { 0 };

    for (int i = 0; i < IQT_PACKED_LAYOUT; i++)
        name = iqt_hash(&key->number[i], sizeof key->number[i], name);
    iqt_buf_printf(&path, "%s/%016llx.iqtp", folder, (unsigned long long)name);
    *out = path.data;
    return iqt_buf_check(&path);
}

/* ---- A file ---- */

/* Leaves c->rows, when all of the file is as it must be. */
static enum iqt_status read_rows(struct iqt_packed_cache *c, struct iqt_pool *pool,
                                 const struct iqt_packed_key *key)
{
    struct iqt_packed_rows rows;
    struct iqt_packed_blocks sums;
    enum iqt_status status;

    IQT_TRY(iqt_packed_parse(c->path, c->map.data, c->map.bytes, key, &rows));
    IQT_TRY(hash_bytes(pool, rows.data, rows.bytes, &sums));
    status = iqt_packed_verify(c->path, &rows, &sums);
    free(sums.hash);
    if (status == IQT_OK)
        c->rows = rows.data;
    return status;
}

/* A name that cannot be opened is left alone: it may be no file at all. */
static bool may_write(struct iqt_packed_cache *c, struct iqt_pool *pool,
                      const struct iqt_packed_key *key)
{
    enum iqt_status status;

    if (access(c->path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return true;
    status = iqt_map_open(c->path, &c->map);
    if (status == IQT_OK) {
        status = read_rows(c, pool, key);
        if (status == IQT_OK)
            return false;
        iqt_map_close(&c->map);
    }
    note(c->ctx, "rows are packed anew");
    return status == IQT_ERR_FORMAT;
}

static enum iqt_status begin(struct iqt_packed_cache *c)
{
    struct iqt_packed_key key;

    IQT_TRY(make_key(&c->source, &key));
    IQT_TRY(name_file(c->ctx->packed_dir, &key, &c->path));
    if (!may_write(c, c->source.pool, &key))
        return IQT_OK;
    IQT_TRY(iqt_dir_make(c->ctx->packed_dir));
    IQT_TRY(iqt_packed_begin(c->path, &key, &c->writer));
    c->weights = key.number[IQT_PACKED_SOURCE];
    c->writing = true;
    return IQT_OK;
}

void iqt_packed_cache_open(struct iqt_packed_cache *c, const struct iqt_packed_source *s)
{
    *c = (struct iqt_packed_cache){ .ctx = s->w->dev->ctx, .source = *s };
    if (c->ctx->packed_dir[0] && begin(c) != IQT_OK)
        note(c->ctx, "packed rows are not kept");
}

void iqt_packed_cache_add(struct iqt_packed_cache *c, const uint8_t *rows, size_t bytes)
{
    if (!c->writing || iqt_packed_add(&c->writer, rows, bytes) == IQT_OK)
        return;
    note(c->ctx, "packed rows are not kept");
    iqt_packed_discard(&c->writer);
    c->writing = false;
}

/* Weights are often a mapped file, which others may write while it is packed: then these rows may be of
 * neither state. */
static enum iqt_status finish(struct iqt_packed_cache *c)
{
    uint64_t now;

    IQT_TRY(hash_weights(&c->source, &now));
    if (now != c->weights)
        return iqt_fail(IQT_ERR_IO, "the weights for %s changed while they were packed",
                        c->path);
    return iqt_packed_commit(&c->writer);
}

void iqt_packed_cache_close(struct iqt_packed_cache *c, bool complete)
{
    if (c->writing && complete && finish(c) != IQT_OK)
        note(c->ctx, "packed rows are not kept");
    if (c->writing)
        iqt_packed_discard(&c->writer); /* nothing, once they are kept */
    c->writing = false;
    iqt_map_close(&c->map);
    free(c->path);
    c->path = NULL;
}
