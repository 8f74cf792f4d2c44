/* One file of a GGUF set as the reader keeps it, for the other files of this folder and tests.
 *
 * The tables hold only where entries start: opening checked every entry, so it can be read
 * again on demand. That is 8 bytes an entry, less than the entry has in the file, so that a
 * count in a file never costs more memory than the file has bytes. */
#ifndef IQT_IO_GGUF_FILE_H
#define IQT_IO_GGUF_FILE_H

#include "base/base.h"

#include <iqtile/gguf.h>

enum { IQT_GGUF_ALIGNMENT = 32 }; /* without the key */
#define IQT_GGUF_ALIGNMENT_KEY "general.alignment"

struct iqt_gguf_file {
    char *path;
    struct iqt_map map;  /* empty when the bytes belong to somebody else */
    const uint8_t *data; /* the whole file */
    uint64_t bytes;
    uint64_t data_start; /* of the data section */
    uint32_t alignment;
    uint64_t *key_at, *tensor_at; /* where each entry starts */
    size_t keys, tensors;
    size_t tensor0; /* number of the first tensor in the set */
};

struct iqt_gguf {
    struct iqt_gguf_file *files;
    size_t file_count, tensor_count;
};

/* ---- gguf_parse.c: one file ---- */

/* Checks header, keys and tensor table of f->data and fills in the tables. On failure f is to be
 * freed, too. */
IQT_MUST_USE enum iqt_status iqt_gguf_file_parse(struct iqt_gguf_file *f);
struct iqt_gguf_key iqt_gguf_file_key(const struct iqt_gguf_file *f, size_t i);
bool iqt_gguf_file_find(const struct iqt_gguf_file *f, const char *name,
                        struct iqt_gguf_key *out);
/* The bytes of key i in the file: name, type, value. */
const uint8_t *iqt_gguf_file_key_bytes(const struct iqt_gguf_file *f, size_t i,
                                       size_t *bytes);
/* The value of an integer key; false when it is negative or no integer. */
bool iqt_gguf_key_unsigned(const struct iqt_gguf_key *key, uint64_t *out);
/* Tensor i of the file, .file left 0: only what its entry says, and all of it. */
struct iqt_gguf_tensor iqt_gguf_file_entry(const struct iqt_gguf_file *f, size_t i);
struct iqt_gguf_tensor iqt_gguf_file_tensor(const struct iqt_gguf_file *f, size_t i);

/* How the bytes of a tensor come about, or why they do not. */
enum iqt_gguf_flaw {
    IQT_GGUF_SOUND,
    IQT_GGUF_UNKNOWN_TYPE,
    IQT_GGUF_EMPTY,     /* no dimension, or one that is 0 */
    IQT_GGUF_BAD_ROW,   /* ne[0] is not a multiple of granule */
    IQT_GGUF_BAD_UNIT,  /* ne[1] is not a multiple of the rows that are interleaved */
    IQT_GGUF_TOO_LARGE, /* beyond 64 bits */
};
struct iqt_gguf_size {
    enum iqt_gguf_flaw flaw;
    uint64_t granule, row_head, rows;
    uint64_t row_bytes; /* with the header */
    uint64_t bytes;
};
struct iqt_gguf_size iqt_gguf_size_of(const struct iqt_gguf_tensor *t);

/* ---- gguf.c ---- */

/* Tensor i of the set, only what its entry says. */
struct iqt_gguf_tensor iqt_gguf_entry_at(const struct iqt_gguf *g, size_t i);
/* Bytes [at, at + bytes) of the tensor's data are not needed for now: mapped pages leave memory. */
void iqt_gguf_release(const struct iqt_gguf *g, const struct iqt_gguf_tensor *t,
                      uint64_t at, uint64_t bytes);
/* A file that lies in memory and outlives *out; not one of a split set. */
IQT_MUST_USE enum iqt_status iqt_gguf_open_memory(const void *data, size_t bytes,
                                                  struct iqt_gguf **out);

#endif
