/* libFuzzer target: reads the input as a file of packed rows, as it is and with its sums put right, since no
 * fuzzer guesses a hash. What is taken is all there and is what the key says; any other is refused. Seeds are
 * in tests/fuzz/packed. */
#include "io/packed_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { NUMBERS_AT = 16, HEAD_SUM_AT = IQT_PACKED_HEAD - 8 };

static void put_u64(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t sum_of(const struct iqt_packed_rows *rows, struct iqt_packed_blocks *b)
{
    *b = (struct iqt_packed_blocks){ .data = rows->data, .bytes = rows->bytes };
    b->hash = calloc(iqt_packed_block_count(rows->bytes), sizeof *b->hash);
    if (!b->hash)
        abort();
    iqt_packed_blocks_hash(b, 0, iqt_packed_block_count(rows->bytes));
    return iqt_packed_blocks_fold(b, rows->sum_start);
}

/* The file agrees with itself but for the sum of its rows, which is put right. */
static void use(uint8_t *file, size_t bytes, const struct iqt_packed_key *key)
{
    struct iqt_packed_key other = *key;
    struct iqt_packed_blocks b;
    struct iqt_packed_rows rows;
    uint64_t size = 0;

    if (iqt_packed_parse("fuzz", file, bytes, key, &rows) != IQT_OK)
        return;
    if (!iqt_packed_bytes(key, &size) || size != rows.bytes ||
        size != bytes - IQT_PACKED_HEAD - IQT_PACKED_TAIL)
        abort();
    put_u64(file + bytes - IQT_PACKED_TAIL, sum_of(&rows, &b));
    if (iqt_packed_parse("fuzz", file, bytes, key, &rows) != IQT_OK ||
        iqt_packed_verify("fuzz", &rows, &b) != IQT_OK)
        abort();
    b.hash[0] ^= 1;
    if (iqt_packed_verify("fuzz", &rows, &b) == IQT_OK)
        abort();
    free(b.hash);
    for (int i = 0; i < IQT_PACKED_NUMBERS; i++) {
        other.number[i] ^= 1;
        if (iqt_packed_parse("fuzz", file, bytes, &other, &rows) == IQT_OK)
            abort();
        other.number[i] ^= 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct iqt_packed_key key = { { 1, 4, 256, 16, 4, 0, 0, 0, 0 } };
    struct iqt_packed_rows rows;
    uint8_t *file = malloc(bytes + 1);

    if (file == NULL)
        return 0;
    memcpy(file, data, bytes);
    if (iqt_packed_parse("fuzz", data, bytes, &key, &rows) == IQT_OK &&
        rows.bytes != bytes - IQT_PACKED_HEAD - IQT_PACKED_TAIL)
        abort();
    if (bytes >= IQT_PACKED_HEAD) {
        for (int i = 0; i < IQT_PACKED_NUMBERS; i++)
            key.number[i] = iqt_read_u64(data + NUMBERS_AT + 8 * i);
        put_u64(file + HEAD_SUM_AT, iqt_hash(file, HEAD_SUM_AT, 0));
        use(file, bytes, &key);
    }
    free(file);
    return 0;
}
