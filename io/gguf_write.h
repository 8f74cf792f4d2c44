/* A GGUF file that is being described and then written: what its two halves share. */
#ifndef IQT_IO_GGUF_WRITE_H
#define IQT_IO_GGUF_WRITE_H

#include "io/gguf_file.h"

struct iqt_gguf_span {
    size_t at, bytes;
};

struct iqt_gguf_entry {
    struct iqt_gguf_tensor tensor; /* name is not used: it lies in text */
    struct iqt_gguf_span name;
    uint64_t bytes, offset; /* of the data; offset within its file's data section */
};

/* One file of the set. */
struct iqt_gguf_part {
    char *path, *temp; /* temp NULL: not created, or renamed */
    size_t tensor0, tensors;
    uint64_t data_start, bytes;
};

struct iqt_gguf_writer {
    struct iqt_buf text; /* encoded keys and names of tensors; spans point into it */
    struct iqt_gguf_span *key; /* in the order of the file */
    size_t keys, key_capacity;
    struct iqt_gguf_entry *entry;
    size_t entries, entry_capacity;
    uint32_t alignment;

    struct iqt_gguf_part *part; /* since iqt_gguf_writer_begin() */
    size_t parts;
    size_t part_now, entry_now; /* what comes next */
    uint64_t entry_done;        /* bytes of entry_now that are written */
    int fd;                     /* of part_now; -1: not open */
    bool begun, committed;
    enum iqt_status failed; /* the first failure of writing */
};

/* ---- gguf_write.c ---- */

void iqt_gguf_put_number(struct iqt_buf *b, uint64_t value, uint32_t bytes);
void iqt_gguf_put_text(struct iqt_buf *b, const char *text, size_t bytes);
/* Room for one element more; doubles. */
IQT_MUST_USE enum iqt_status iqt_gguf_grow(void **array, size_t count, size_t *capacity,
                                           size_t size);

/* ---- gguf_write_head.c ---- */

/* Cuts the tensors into files and places them; the caller frees *out. IQT_ERR_SHAPE when the set is
 * beyond 64 bits or has more files than split.count can say. */
IQT_MUST_USE enum iqt_status iqt_gguf_writer_cut(struct iqt_gguf_writer *w, uint64_t max,
                                                 struct iqt_gguf_part **out,
                                                 size_t *count);
/* Header, keys and tensor table of a file, padded up to its data. */
IQT_MUST_USE enum iqt_status iqt_gguf_writer_head(const struct iqt_gguf_writer *w,
                                                  const struct iqt_gguf_part *part,
                                                  size_t no, size_t count,
                                                  struct iqt_buf *out);

#endif
