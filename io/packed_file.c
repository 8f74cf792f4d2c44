/* See packed_file.h. The bytes of a file are hostile until each has been compared or summed up. */
#include "io/packed_file.h"

#include "io/gguf_write.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = { 'I', 'Q', 'T', 'P', 'A', 'C', 'K', '\n' };

enum {
    BLOCK_BYTES = 1 << 20, /* of a hash: small for a thread, long for XXH3 */
    WORD = 8,
    VERSION_AT = WORD,
    NUMBERS_AT = 2 * WORD,
    HEAD_SUM_AT = IQT_PACKED_HEAD - WORD, /* hash of the header's bytes before it */
};

static const char *const number_names[IQT_PACKED_NUMBERS] = {
    [IQT_PACKED_MATRICES] = "number of matrices",
    [IQT_PACKED_ROWS] = "number of rows",
    [IQT_PACKED_COLUMNS] = "number of columns",
    [IQT_PACKED_ROW_BYTES] = "length of a packed row",
    [IQT_PACKED_TOGETHER] = "number of rows stored together",
    [IQT_PACKED_TYPE] = "type of the weights",
    [IQT_PACKED_TILES] = "kind of tiles",
    [IQT_PACKED_SOURCE] = "hash of the weights",
    [IQT_PACKED_LAYOUT] = "hash of the layout",
};

bool iqt_packed_bytes(const struct iqt_packed_key *key, uint64_t *bytes)
{
    const uint64_t *n = key->number;
    const uint64_t together = n[IQT_PACKED_TOGETHER];
    uint64_t rows, total;

    if (together == 0 || !iqt_add(n[IQT_PACKED_ROWS], together - 1, &rows))
        return false;
    if (!iqt_mul(rows / together * together, n[IQT_PACKED_ROW_BYTES], &total) ||
        !iqt_mul(total, n[IQT_PACKED_MATRICES], &total))
        return false;
    if (total == 0 || total > INT64_MAX - IQT_PACKED_HEAD - IQT_PACKED_TAIL)
        return false;
    *bytes = total;
    return true;
}

/* ---- Hash ---- */

size_t iqt_packed_block_count(uint64_t bytes)
{
    return (size_t)(bytes / BLOCK_BYTES + (bytes % BLOCK_BYTES != 0));
}

void iqt_packed_blocks_hash(void *user, size_t begin, size_t count)
{
    const struct iqt_packed_blocks *b = user;

    for (size_t i = begin; i < begin + count; i++) {
        const uint64_t at = (uint64_t)i * BLOCK_BYTES, rest = b->bytes - at;

        b->hash[i] = iqt_hash(b->data + at, rest < BLOCK_BYTES ? rest : BLOCK_BYTES, 0);
    }
}

/* Seeded by the sum so far, so the order of the blocks counts. */
static uint64_t fold(uint64_t sum, uint64_t hash)
{
    uint8_t bytes[WORD];

    for (int i = 0; i < WORD; i++)
        bytes[i] = (uint8_t)(hash >> 8 * i);
    return iqt_hash(bytes, sizeof bytes, sum);
}

uint64_t iqt_packed_blocks_fold(const struct iqt_packed_blocks *b, uint64_t start)
{
    for (size_t i = 0; i < iqt_packed_block_count(b->bytes); i++)
        start = fold(start, b->hash[i]);
    return start;
}

/* ---- Reading ---- */

static enum iqt_status check_head(const char *path, const uint8_t *data)
{
    const uint64_t version = iqt_read_u64(data + VERSION_AT);

    if (memcmp(data, magic, sizeof magic) != 0)
        return iqt_fail(IQT_ERR_FORMAT, "%s: no file of packed rows", path);
    if (version != IQT_PACKED_VERSION)
        return iqt_fail(IQT_ERR_FORMAT, "%s: version %llu of packed rows, expected %d",
                        path, (unsigned long long)version, IQT_PACKED_VERSION);
    if (iqt_read_u64(data + HEAD_SUM_AT) != iqt_hash(data, HEAD_SUM_AT, 0))
        return iqt_fail(IQT_ERR_FORMAT, "%s: the header is damaged", path);
    return IQT_OK;
}

static enum iqt_status check_numbers(const char *path, const uint8_t *data,
                                     const struct iqt_packed_key *key)
{
    for (int i = 0; i < IQT_PACKED_NUMBERS; i++) {
        const uint64_t got = iqt_read_u64(data + NUMBERS_AT + WORD * i);

        if (got != key->number[i])
            return iqt_fail(IQT_ERR_FORMAT, "%s: %s is %llu, expected %llu", path,
                            number_names[i], (unsigned long long)got,
                            (unsigned long long)key->number[i]);
    }
    return IQT_OK;
}

static enum iqt_status check_tail(const char *path, const uint8_t *tail)
{
    for (int i = WORD; i < IQT_PACKED_TAIL; i++)
        if (tail[i] != 0)
            return iqt_fail(IQT_ERR_FORMAT, "%s: the last bytes are damaged", path);
    return IQT_OK;
}

enum iqt_status iqt_packed_parse(const char *path, const uint8_t *data, size_t bytes,
                                 const struct iqt_packed_key *key,
                                 struct iqt_packed_rows *out)
{
    uint64_t rows;

    if (bytes < IQT_PACKED_HEAD + IQT_PACKED_TAIL)
        return iqt_fail(IQT_ERR_FORMAT, "%s: %zu bytes, header and end are %d", path,
                        bytes, IQT_PACKED_HEAD + IQT_PACKED_TAIL);
    IQT_TRY(check_head(path, data));
    IQT_TRY(check_numbers(path, data, key));
    if (!iqt_packed_bytes(key, &rows) ||
        rows != bytes - IQT_PACKED_HEAD - IQT_PACKED_TAIL)
        return iqt_fail(IQT_ERR_FORMAT, "%s: %zu bytes, too many or too few for its rows",
                        path, bytes);
    IQT_TRY(check_tail(path, data + IQT_PACKED_HEAD + rows));
    *out = (struct iqt_packed_rows){
        .data = data + IQT_PACKED_HEAD,
        .bytes = rows,
        .sum_start = iqt_read_u64(data + HEAD_SUM_AT),
        .sum = iqt_read_u64(data + IQT_PACKED_HEAD + rows),
    };
    return IQT_OK;
}

enum iqt_status iqt_packed_verify(const char *path, const struct iqt_packed_rows *rows,
                                  const struct iqt_packed_blocks *b)
{
    if (iqt_packed_blocks_fold(b, rows->sum_start) != rows->sum)
        return iqt_fail(IQT_ERR_FORMAT, "%s: the rows are damaged", path);
    return IQT_OK;
}

/* ---- Writing ---- */

/* The writer's sum starts with the header's. */
static enum iqt_status write_head(struct iqt_packed_writer *w,
                                  const struct iqt_packed_key *key)
{
    static const uint8_t zeros[HEAD_SUM_AT];
    struct iqt_buf head = { 0 };
    enum iqt_status status;

    iqt_buf_append(&head, magic, sizeof magic);
    iqt_gguf_put_number(&head, IQT_PACKED_VERSION, WORD);
    for (int i = 0; i < IQT_PACKED_NUMBERS; i++)
        iqt_gguf_put_number(&head, key->number[i], WORD);
    iqt_buf_append(&head, zeros, HEAD_SUM_AT - head.bytes);
    status = iqt_buf_check(&head);
    if (status == IQT_OK) {
        w->sum = iqt_hash(head.data, HEAD_SUM_AT, 0);
        iqt_gguf_put_number(&head, w->sum, WORD);
        status = iqt_buf_check(&head);
    }
    if (status == IQT_OK)
        status = iqt_output_write(&w->out, head.data, head.bytes);
    iqt_buf_free(&head);
    return status;
}

enum iqt_status iqt_packed_begin(const char *path, const struct iqt_packed_key *key,
                                 struct iqt_packed_writer *out)
{
    struct iqt_packed_writer w = { .left = 0 };
    enum iqt_status status;

    if (!iqt_packed_bytes(key, &w.left))
        return iqt_fail(IQT_ERR_SHAPE, "%s: no such number of packed rows", path);
    IQT_TRY(iqt_room_check(path, IQT_PACKED_HEAD + w.left + IQT_PACKED_TAIL));
    IQT_TRY(iqt_output_open(path, &w.out));
    w.block = malloc(BLOCK_BYTES);
    status = w.block != NULL ? write_head(&w, key)
                             : iqt_fail(IQT_ERR_NO_MEMORY, "%s: no memory for %d bytes",
                                        path, BLOCK_BYTES);
    if (status != IQT_OK) {
        iqt_packed_discard(&w);
        return status;
    }
    *out = w;
    return IQT_OK;
}

static enum iqt_status end_block(struct iqt_packed_writer *w)
{
    w->sum = fold(w->sum, iqt_hash(w->block, w->used, 0));
    IQT_TRY(iqt_output_write(&w->out, w->block, w->used));
    w->used = 0;
    return IQT_OK;
}

enum iqt_status iqt_packed_add(struct iqt_packed_writer *w, const void *data,
                               size_t bytes)
{
    const uint8_t *from = data;

    assert(bytes <= w->left);
    w->left -= bytes;
    while (bytes > 0) {
        const size_t room = BLOCK_BYTES - w->used, part = bytes < room ? bytes : room;

        memcpy(w->block + w->used, from, part);
        w->used += part;
        from += part;
        bytes -= part;
        if (w->used == BLOCK_BYTES)
            IQT_TRY(end_block(w));
    }
    return IQT_OK;
}

enum iqt_status iqt_packed_commit(struct iqt_packed_writer *w)
{
    struct iqt_buf tail = { 0 };
    enum iqt_status status;

    assert(w->left == 0);
    status = w->used > 0 ? end_block(w) : IQT_OK;
    iqt_gguf_put_number(&tail, w->sum, WORD);
    for (int i = WORD; i < IQT_PACKED_TAIL; i += WORD)
        iqt_gguf_put_number(&tail, 0, WORD);
    if (status == IQT_OK)
        status = iqt_buf_check(&tail);
    if (status == IQT_OK)
        status = iqt_output_write(&w->out, tail.data, tail.bytes);
    iqt_buf_free(&tail);
    if (status == IQT_OK)
        status = iqt_output_commit(&w->out);
    else
        iqt_output_discard(&w->out);
    free(w->block);
    w->block = NULL;
    return status;
}

void iqt_packed_discard(struct iqt_packed_writer *w)
{
    iqt_output_discard(&w->out);
    free(w->block);
    w->block = NULL;
}
