/* Importance matrices: how large the inputs of each weight matrix are, column by column.
 *
 * Two kinds of file hold them, and both are read and written: the legacy one of llama.cpp, little-endian
 *
 *     i32 entries, then each: i32 bytes, name, i32 calls, i32 count, f32 sum[count]
 *     and at the end of most files: i32 chunks, i32 bytes, name of the text
 *
 * where sum / calls is the mean square; and GGUF, with the tensors NAME.in_sum2 (columns, matrices), the
 * sums of squares, and NAME.counts (1, matrices), how many inputs they are of. A stack of matrices, such as
 * the experts of a layer, has all of them in one entry, one after the other. */
#ifndef IQT_IO_IMATRIX_H
#define IQT_IO_IMATRIX_H

#include "base/base.h"

#include <iqtile/gguf.h>

struct iqt_imatrix_entry {
    char *name;               /* of the weights */
    size_t columns, matrices; /* legacy: all in one row, for the file does not say */
    const uint8_t *sum2;  /* matrices * columns floats, unaligned: in the file, or own */
    const uint8_t *sum;   /* of the inputs themselves; NULL in most files */
    const uint8_t *count; /* a float a matrix; NULL: calls of all of them */
    float calls;
    float *own; /* what of these is no file's */
};

struct iqt_imatrix {
    char *path;
    struct iqt_imatrix_entry *entry; /* in the order of the file */
    size_t entries, capacity;
    size_t *order; /* by name */
    bool in_calls; /* counts are calls with a chunk of text, not inputs: legacy */
    uint32_t chunks, chunk_size; /* inputs a chunk; 0: unknown */
    struct iqt_buf datasets;     /* names of texts, a line each */

    struct iqt_gguf *gguf; /* what the entries point into */
    struct iqt_map map;
};

/* ---- imatrix_read.c ---- */

/* Finite sums that are not negative, names that are not taken twice: all else is IQT_ERR_FORMAT, which
 * names file and tensor. */
IQT_MUST_USE enum iqt_status iqt_imatrix_read(const char *path, struct iqt_imatrix **out);
/* The bytes must outlive *out. */
IQT_MUST_USE enum iqt_status iqt_imatrix_parse(const void *data, size_t bytes,
                                               struct iqt_imatrix **out);

/* ---- imatrix.c ---- */

IQT_MUST_USE enum iqt_status iqt_imatrix_create(const char *path,
                                                struct iqt_imatrix **out);
void iqt_imatrix_destroy(struct iqt_imatrix *m); /* NULL is allowed */
/* Room for an entry more; its name belongs to m afterwards, also on failure. */
IQT_MUST_USE enum iqt_status iqt_imatrix_append(struct iqt_imatrix *m, char *name,
                                                struct iqt_imatrix_entry **out);
/* To be called once all entries are there. IQT_ERR_FORMAT when a name is there twice. */
IQT_MUST_USE enum iqt_status iqt_imatrix_sort(struct iqt_imatrix *m);
const struct iqt_imatrix_entry *iqt_imatrix_find(const struct iqt_imatrix *m,
                                                 const char *name);
/* Inputs of one matrix that the sums are of. */
float iqt_imatrix_count(const struct iqt_imatrix_entry *e, size_t matrix);
/* Sums of squares of one matrix out of matrices: what its file says, or the entry cut into so many. */
struct iqt_imatrix_seen {
    size_t matrices, never; /* experts without a single input */
    size_t zeros;           /* columns of the others that are 0 */
};
struct iqt_imatrix_seen iqt_imatrix_seen(const struct iqt_imatrix_entry *e,
                                         size_t matrices);

/* The entry for a tensor, under its name or that of a tensor with the same inputs, as the reference looks:
 * *out NULL when there is none. IQT_ERR_FORMAT when the length is not ne[0] * ne[2], but for token
 * embeddings, or when all of it is zero. */
IQT_MUST_USE enum iqt_status iqt_imatrix_match(const struct iqt_imatrix *m,
                                               const char *name, const uint64_t ne[4],
                                               const struct iqt_imatrix_entry **out);
/* Mean squares: columns * matrices floats. An expert that was never seen has 1 in all columns. */
void iqt_imatrix_means(const struct iqt_imatrix_entry *e, size_t columns, size_t matrices,
                       float *out);

/* ---- imatrix_merge.c ---- */

/* From calls to inputs, chunk_size each, so that files of both kinds can be added. */
IQT_MUST_USE enum iqt_status iqt_imatrix_to_inputs(struct iqt_imatrix *m,
                                                   uint32_t chunk_size);
/* Adds the sums of from, which stays as it is. Both count inputs. */
IQT_MUST_USE enum iqt_status iqt_imatrix_merge(struct iqt_imatrix *m,
                                               const struct iqt_imatrix *from);

/* ---- imatrix_write.c ---- */

enum iqt_imatrix_form { IQT_IMATRIX_LEGACY, IQT_IMATRIX_GGUF };
/* chunk_size turns inputs into calls and back where the file does not say it. dropped counts entries that the
 * legacy form cannot have: of experts, 5 % or more of which were never seen. */
IQT_MUST_USE enum iqt_status iqt_imatrix_write(const struct iqt_imatrix *m,
                                               const char *path,
                                               enum iqt_imatrix_form form,
                                               uint32_t chunk_size, size_t *dropped);

#endif
