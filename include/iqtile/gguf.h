/* Reading GGUF files (versions 2 and 3, memory-mapped, split files).
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

#ifdef __cplusplus
}
#endif
#endif
