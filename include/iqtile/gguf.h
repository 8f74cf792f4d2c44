/* Reading GGUF files (versions 2 and 3, memory-mapped, split files) and writing them (version 3).
 *
 * Hostile input is expected: every length and offset goes through checked arithmetic, and a bad
 * file gives a status and a sentence, never a crash. All pointers returned belong to the file
 * object. An opened file is immutable and may be read by any number of threads. */
#ifndef IQTILE_GGUF_H
#define IQTILE_GGUF_H

#include <iqtile/iqtile.h>

#ifdef __cplusplus
extern "C" {
#endif

struct iqt_gguf;

/* Value types of the GGUF specification. */
enum iqt_gguf_type {
    IQT_GGUF_U8,
    IQT_GGUF_I8,
    IQT_GGUF_U16,
    IQT_GGUF_I16,
    IQT_GGUF_U32,
    IQT_GGUF_I32,
    IQT_GGUF_F32,
    IQT_GGUF_BOOL,
    IQT_GGUF_STRING,
    IQT_GGUF_ARRAY,
    IQT_GGUF_U64,
    IQT_GGUF_I64,
    IQT_GGUF_F64,
};

struct iqt_gguf_key {
    const char *name; /* not NUL-terminated: name_bytes long */
    size_t name_bytes;
    enum iqt_gguf_type type; /* for arrays: IQT_GGUF_ARRAY */
    enum iqt_gguf_type item; /* element type of an array */
    uint64_t count;          /* elements of an array, bytes of a string, else 1 */
    const void *data;        /* unaligned little-endian value(s); strings of an array each
                              * have a u64 length in front */
};

struct iqt_gguf_tensor {
    const char *name; /* not NUL-terminated: name_bytes long */
    size_t name_bytes;
    uint32_t dims;                   /* 1 .. 4; 0 in defective files */
    uint64_t ne[4];                  /* ne[0] is the row length k; unused ones are 1 */
    uint32_t type;                   /* type number stored in the file */
    const struct iqt_format *format; /* NULL: not in the format table */
    const char *type_name; /* also for known types without kernels; NULL: unknown */
    uint64_t offset;       /* as stored: from the start of the data section */
    uint64_t bytes;        /* exact bytes with row headers; 0 when the type is unknown, a
                            * dimension is 0, the type cannot have rows of ne[0] or the size
                            * is beyond 64 bits */
    uint32_t file;         /* which file of a split set, 0-based */
    const void *data; /* NULL when bytes is 0 or the data not wholly inside the file */
};

/* Opens path; when its key split.count says that it is one file of a split set (named
 * "...-00001-of-00003.gguf") the others are opened, too: the tensors of all files follow one
 * another, the keys are those of the first file. Fails only when header, keys or tensor table
 * cannot be read, or a file of the set is missing; defects of single tensors are left for
 * iqt_gguf_doctor(). A file that shrinks while it is open ends the process (SIGBUS).
 * IQT_ERR_IO, IQT_ERR_FORMAT, IQT_ERR_UNSUPPORTED (version, byte order) or IQT_ERR_NO_MEMORY. */
IQT_API IQT_MUST_USE enum iqt_status iqt_gguf_open(const char *path,
                                                   struct iqt_gguf **out);
IQT_API void iqt_gguf_close(struct iqt_gguf *g); /* NULL is allowed */

IQT_API size_t iqt_gguf_key_count(const struct iqt_gguf *g);
IQT_API struct iqt_gguf_key iqt_gguf_key_at(const struct iqt_gguf *g, size_t i);
/* Finds a key by its NUL-terminated name; false when absent. */
IQT_API bool iqt_gguf_key_find(const struct iqt_gguf *g, const char *name,
                               struct iqt_gguf_key *out);
IQT_API size_t iqt_gguf_tensor_count(const struct iqt_gguf *g);
IQT_API struct iqt_gguf_tensor iqt_gguf_tensor_at(const struct iqt_gguf *g, size_t i);
/* Finds a tensor by its NUL-terminated name. IQT_ERR_UNKNOWN names the file and the nearest
 * names. */
IQT_API IQT_MUST_USE enum iqt_status iqt_gguf_tensor_find(const struct iqt_gguf *g,
                                                          const char *name,
                                                          struct iqt_gguf_tensor *out);
/* Spelling of the GGUF specification in lower case: "uint32", "array"; never NULL. */
IQT_API const char *iqt_gguf_type_name(enum iqt_gguf_type type);
/* Bytes of one value; 0 for strings and arrays. */
IQT_API uint32_t iqt_gguf_type_bytes(enum iqt_gguf_type type);
/* Rows of a tensor: ne[1] * ne[2] * ne[3]; 0 when that is beyond 64 bits. */
IQT_API uint64_t iqt_gguf_rows(const struct iqt_gguf_tensor *t);

/* One structural defect: which tensor ("" for the file), at which absolute file offset, and a
 * sentence with what was expected and what was found. */
struct iqt_gguf_defect {
    const char *file, *tensor, *text;
    uint64_t offset;
};
typedef void (*iqt_gguf_defect_fn)(void *user, const struct iqt_gguf_defect *defect);

/* Checks every tensor: short or overlapping data (such as files written without row headers),
 * offsets outside the file, bad alignment, unknown types, row lengths that the type cannot have,
 * duplicate names, non-finite scales. Calls fn for each defect and returns their number. */
IQT_API size_t iqt_gguf_doctor(const struct iqt_gguf *g, iqt_gguf_defect_fn fn,
                               void *user);

/* ---- Writing ------------------------------------------------------------------------- */

/* Writes a GGUF file in three steps: describe it (keys, tensors), begin, then stream the bytes of
 * the tensors in the order in which they were described. Memory is bounded by the tables. Files
 * appear under their names only in iqt_gguf_writer_commit(), whole and on disk, or not at all; until
 * then they are temporary files in the same folder. A writer belongs to one thread at a time. */
struct iqt_gguf_writer;

IQT_API IQT_MUST_USE enum iqt_status iqt_gguf_writer_create(struct iqt_gguf_writer **out);
/* Before a commit it removes everything that was written. NULL is allowed. */
IQT_API void iqt_gguf_writer_destroy(struct iqt_gguf_writer *w);

/* Copies all keys of g in their order and bit for bit, but for split.*, which a writer makes itself.
 * Only into a writer without keys. */
IQT_API IQT_MUST_USE enum iqt_status iqt_gguf_writer_copy_keys(struct iqt_gguf_writer *w,
                                                               const struct iqt_gguf *g);
/* Sets one key: replaces the value where a key of that name stands, else comes last. name, type,
 * item, count and data as iqt_gguf_key_at() fills them in; arrays of arrays are
 * IQT_ERR_UNSUPPORTED. general.alignment (a power of two) is obeyed; without it, it is 32. */
IQT_API IQT_MUST_USE enum iqt_status iqt_gguf_writer_set_key(
    struct iqt_gguf_writer *w, const struct iqt_gguf_key *key);
IQT_API IQT_MUST_USE enum iqt_status iqt_gguf_writer_set_u32(struct iqt_gguf_writer *w,
                                                             const char *name,
                                                             uint32_t value);
IQT_API IQT_MUST_USE enum iqt_status iqt_gguf_writer_set_string(struct iqt_gguf_writer *w,
                                                                const char *name,
                                                                const char *value);

/* Describes the next tensor: name, name_bytes, dims, ne and type of t; the rest is not read. Its
 * bytes follow from the type, row headers included. IQT_ERR_UNSUPPORTED for a type of unknown size,
 * IQT_ERR_SHAPE for dimensions that the type cannot have, IQT_ERR_ARG for a name that is taken. */
IQT_API IQT_MUST_USE enum iqt_status iqt_gguf_writer_add_tensor(
    struct iqt_gguf_writer *w, const struct iqt_gguf_tensor *t);

/* Files and bytes that would be written. split_max_bytes 0: one file; else a new file begins before
 * the tensor that would make a file longer. files or bytes may be NULL. */
IQT_API IQT_MUST_USE enum iqt_status iqt_gguf_writer_plan(struct iqt_gguf_writer *w,
                                                          uint64_t split_max_bytes,
                                                          uint64_t *files,
                                                          uint64_t *bytes);
/* Ends the description and creates the temporary files. More than one file makes a split set as
 * llama.cpp names it: "NAME.gguf" becomes "NAME-00001-of-00003.gguf" and so on, with keys split.no,
 * split.count and split.tensors.count. IQT_ERR_IO says how many bytes are needed and how many are
 * available when the disk has not enough. A symbolic link stays one; what it names is replaced. */
IQT_API IQT_MUST_USE enum iqt_status iqt_gguf_writer_begin(struct iqt_gguf_writer *w,
                                                           const char *path,
                                                           uint64_t split_max_bytes);
/* The next bytes, in pieces of any size that do not cross the end of a tensor. A failure is final:
 * every later call fails, too. */
IQT_API IQT_MUST_USE enum iqt_status iqt_gguf_writer_data(struct iqt_gguf_writer *w,
                                                          const void *data, size_t bytes);
/* Syncs and renames all files, the first of a set last; an existing file is replaced. Fails when a
 * tensor is not complete. On failure none of the names is left with a file of this writer. */
IQT_API IQT_MUST_USE enum iqt_status iqt_gguf_writer_commit(struct iqt_gguf_writer *w);

#ifdef __cplusplus
}
#endif
#endif
