/* Packed rows of one matrix in a file, as docs/packed-rows.md has it. Knows the numbers that tell one file
 * from another and must all agree, not what they mean; devices and layouts are elsewhere. */
#ifndef IQT_IO_PACKED_FILE_H
#define IQT_IO_PACKED_FILE_H

#include "base/base.h"

enum { IQT_PACKED_VERSION = 1, IQT_PACKED_HEAD = 4096, IQT_PACKED_TAIL = 64 };

/* In the order of the file. */
enum iqt_packed_number {
    IQT_PACKED_MATRICES, /* one after the other; 1 or the number of experts */
    IQT_PACKED_ROWS,     /* of a matrix */
    IQT_PACKED_COLUMNS,
    IQT_PACKED_ROW_BYTES, /* of a packed row */
    IQT_PACKED_TOGETHER,  /* a matrix is padded to a multiple of so many rows */
    IQT_PACKED_TYPE,      /* GGUF type of the source's rows */
    IQT_PACKED_TILES,  /* 0: rows of their own; else 1 + number of the tiles' dialect */
    IQT_PACKED_SOURCE, /* hash of the source's rows */
    IQT_PACKED_LAYOUT, /* hash of what the packer makes of known rows */
    IQT_PACKED_NUMBERS
};

struct iqt_packed_key {
    uint64_t number[IQT_PACKED_NUMBERS];
};

/* Bytes of all packed rows; false when there are none or the file would be beyond 63 bits. */
bool iqt_packed_bytes(const struct iqt_packed_key *key, uint64_t *bytes);

/* ---- Hash of much data: of the hashes of its blocks, which threads may share ---- */

struct iqt_packed_blocks {
    const uint8_t *data;
    uint64_t bytes;
    uint64_t *hash; /* iqt_packed_block_count() */
};
size_t iqt_packed_block_count(uint64_t bytes);
/* user: struct iqt_packed_blocks. Fills in hash[begin .. begin + count). */
void iqt_packed_blocks_hash(void *user, size_t begin, size_t count);
/* start: what else the hash shall depend on. */
uint64_t iqt_packed_blocks_fold(const struct iqt_packed_blocks *b, uint64_t start);

/* ---- Reading ---- */

/* Rows in the bytes of a file; they follow a multiple of 4096 bytes, and 64 readable ones follow them. */
struct iqt_packed_rows {
    const uint8_t *data;
    uint64_t bytes;
    uint64_t sum_start,
        sum; /* iqt_packed_blocks_fold() must make the one from the other */
};
/* Checks everything but the rows' sum. IQT_ERR_FORMAT says what is not as the key wants it; path is for
 * that sentence. */
IQT_MUST_USE enum iqt_status iqt_packed_parse(const char *path, const uint8_t *data,
                                              size_t bytes,
                                              const struct iqt_packed_key *key,
                                              struct iqt_packed_rows *out);
/* The rows' sum, from the hashes of their blocks. */
IQT_MUST_USE enum iqt_status iqt_packed_verify(const char *path,
                                               const struct iqt_packed_rows *rows,
                                               const struct iqt_packed_blocks *b);

/* ---- Writing: the file appears with iqt_packed_commit(), whole, or not at all ---- */

struct iqt_packed_writer {
    struct iqt_output out;
    uint64_t sum, left; /* left: bytes of rows to come */
    uint8_t *block;
    size_t used;
};
/* IQT_ERR_IO, too, when the disk has not enough room. */
IQT_MUST_USE enum iqt_status iqt_packed_begin(const char *path,
                                              const struct iqt_packed_key *key,
                                              struct iqt_packed_writer *out);
/* The next rows, in pieces of any size. */
IQT_MUST_USE enum iqt_status iqt_packed_add(struct iqt_packed_writer *w, const void *data,
                                            size_t bytes);
/* All rows were added. On failure, too, nothing is left to be done. */
IQT_MUST_USE enum iqt_status iqt_packed_commit(struct iqt_packed_writer *w);
/* Leaves nothing; no-op after commit. */
void iqt_packed_discard(struct iqt_packed_writer *w);

#endif
