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
    bool lasting;           /* temporary files have fixed names and may be kept */
    enum iqt_status failed; /* the first failure of writing */
};

/* ---- gguf_write.c ---- */

void iqt_gguf_put_number(struct iqt_buf *b, uint64_t value, uint32_t bytes);
void iqt_gguf_put_text(struct iqt_buf *b, const char *text, size_t bytes);
/* Room for one element more; doubles. */
IQT_MUST_USE enum iqt_status iqt_gguf_grow(void **array, size_t count, size_t *capacity,
                                           size_t size);

/* ---- gguf_write_file.c ---- */

/* Fills in the files of the set and their names, and looks for room; nothing is created. */
IQT_MUST_USE enum iqt_status iqt_gguf_writer_aim(struct iqt_gguf_writer *w,
                                                 const char *path,
                                                 uint64_t split_max_bytes);

/* ---- gguf_write_lasting.c: files that outlive a killed program ---- */

#define IQT_GGUF_PARTIAL ".partial"

/* How far a set is written: all tensors before this one, and bytes of it. */
struct iqt_gguf_mark {
    size_t tensor;
    uint64_t bytes;
};
/* As iqt_gguf_writer_begin(), but temporary files have the final name and IQT_GGUF_PARTIAL behind it, and
 * are created (or replaced) by the first data: until then the caller may turn to _continue(). */
IQT_MUST_USE enum iqt_status iqt_gguf_writer_begin_lasting(struct iqt_gguf_writer *w,
                                                           const char *path,
                                                           uint64_t split_max_bytes);
/* Instead of the first data: goes on at a mark of an earlier writer with the same description and path, up
 * to which everything was synced; what follows it in the files is cut off. A failure leaves the files. */
IQT_MUST_USE enum iqt_status iqt_gguf_writer_continue(struct iqt_gguf_writer *w,
                                                      const struct iqt_gguf_mark *mark);
/* On-disk bytes of the temporary file that an earlier writer left for path; 0: none. */
uint64_t iqt_gguf_partial_bytes(const char *path);
/* Everything written so far is on the disk; *mark says how much that is. */
IQT_MUST_USE enum iqt_status iqt_gguf_writer_sync(struct iqt_gguf_writer *w,
                                                  struct iqt_gguf_mark *mark);
/* Leaves the temporary files; of the writer only iqt_gguf_writer_destroy() may be called. */
void iqt_gguf_writer_keep(struct iqt_gguf_writer *w);

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
