/* The floor everything stands on: errors, checked arithmetic, hashing, files, text buffers.
 * Knows nothing of formats, devices or kernels. */
#ifndef IQT_BASE_BASE_H
#define IQT_BASE_BASE_H

#include <iqtile/iqtile.h>

#include <stdarg.h>

/* Compiler extensions live here and nowhere else. */
#define IQT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define IQT_UNUSED __attribute__((unused))
#define IQT_LOWEST_BIT(bits) __builtin_ctz(bits) /* its number; bits is not 0 */
#define IQT_VECTOR(bytes) __attribute__((vector_size(bytes))) /* of a typedef */
/* A function for CPUs with AVX2, to be called where iqt_has_avx2(); what it inlines becomes part of it. */
#define IQT_ALWAYS_INLINE static inline __attribute__((always_inline))
#if defined(__x86_64__)
#define IQT_FOR_AVX2 __attribute__((target("avx2")))
#define iqt_has_avx2() (__builtin_cpu_supports("avx2") != 0)
#else
#define IQT_FOR_AVX2
#define iqt_has_avx2() false
#endif
#define IQT_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Forwards a failure; whoever first decided it has already said why. */
#define IQT_TRY(call)                               \
    do {                                            \
        const enum iqt_status try_status_ = (call); \
        if (try_status_ != IQT_OK)                  \
            return try_status_;                     \
    } while (0)

/* iqt_fail(status, fmt, ...) stores the sentence that iqt_last_error() returns to this thread,
 * and is status. A macro, so that the compiler sees that a failure is never IQT_OK. */
#define iqt_fail(status, ...) iqt_status_after((status), iqt_error_set(__VA_ARGS__))
bool iqt_error_set(const char *fmt, ...) IQT_PRINTF(1, 2); /* true */
/* Whether this thread writes no sentences, for who tries thousands of things and looks at the status only; returns
 * what was before. The last error stays as it is. */
bool iqt_error_mute(bool on);
static inline enum iqt_status iqt_status_after(enum iqt_status status, bool set)
{
    (void)set;
    return status;
}

/* ---- Checked arithmetic: false on overflow, *out untouched ---- */
static inline bool iqt_add(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

static inline bool iqt_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t product;

    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

static inline uint64_t iqt_round_up(uint64_t value, uint64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

/* ---- Unaligned little-endian reads ---- */
uint16_t iqt_read_u16(const void *p);
uint32_t iqt_read_u32(const void *p);
uint64_t iqt_read_u64(const void *p);
float iqt_read_f32(const void *p);
float iqt_f16_to_f32(uint16_t h); /* exact, subnormals, infinities and NaN included */
uint16_t iqt_f32_to_f16(float x); /* nearest, ties to even; beyond the range infinity */

/* ---- Hash: XXH3, 64 bits; not for secrets ---- */
uint64_t iqt_hash(const void *data, size_t bytes, uint64_t seed);

/* ---- Text buffer with a sticky error: append freely, check once at the end ---- */
struct iqt_buf {
    char *data; /* NUL-terminated when bytes > 0 */
    size_t bytes, capacity;
    bool failed; /* out of memory; later appends do nothing */
};
void iqt_buf_printf(struct iqt_buf *b, const char *fmt, ...) IQT_PRINTF(2, 3);
void iqt_buf_vprintf(struct iqt_buf *b, const char *fmt, va_list args);
void iqt_buf_append(struct iqt_buf *b, const void *data, size_t bytes);
/* IQT_ERR_NO_MEMORY when any append failed. */
IQT_MUST_USE enum iqt_status iqt_buf_check(const struct iqt_buf *b);
const char *iqt_buf_text(const struct iqt_buf *b); /* "" when empty; never NULL */
void iqt_buf_free(struct iqt_buf *b);              /* leaves an empty buffer */

/* ---- Text from files: hostile until escaped ---- */
enum { IQT_ESCAPE_BYTES = 8 };
/* Writes the character at text[0 .. bytes), bytes > 0, as a terminal may show it: controls and
 * what is not UTF-8 become \n, \x1b, \u202e. Returns the bytes it stands for. */
size_t iqt_escape_one(char out[IQT_ESCAPE_BYTES], const char *text, size_t bytes);
/* The same for the inside of a JSON string; what is not UTF-8 becomes \ufffd. */
size_t iqt_json_one(char out[IQT_ESCAPE_BYTES], const char *text, size_t bytes);
/* A whole text, NUL-terminated, ending in "..." where it does not fit. capacity >= 8. */
void iqt_escape(char *out, size_t capacity, const char *text, size_t bytes);

/* ---- Files ---- */
struct iqt_map {
    const uint8_t *data; /* read-only; NULL when the file is empty */
    size_t bytes;
};
IQT_MUST_USE enum iqt_status iqt_map_open(const char *path, struct iqt_map *out);
void iqt_map_close(struct iqt_map *map);
/* The program is done with these bytes of the map for now: they stop counting as its memory. */
void iqt_map_release(const struct iqt_map *map, size_t at, size_t bytes);
/* Writes a temporary file beside path, fsyncs, renames: the old file or the new one, never half
 * a file. */
IQT_MUST_USE enum iqt_status iqt_file_replace(const char *path, const void *data,
                                              size_t bytes);
/* Whole file into a fresh malloc'ed block (caller frees), with a NUL after the last byte. */
IQT_MUST_USE enum iqt_status iqt_file_read(const char *path, char **data, size_t *bytes);
/* A file written from its first byte to its last: a temporary file beside it that is renamed at
 * the end. What exists and is no regular file (a pipe, a device) is written in place. */
struct iqt_output {
    int fd;
    char *path, *temp; /* temp NULL: written in place */
};
IQT_MUST_USE enum iqt_status iqt_output_open(const char *path, struct iqt_output *out);
IQT_MUST_USE enum iqt_status iqt_output_write(struct iqt_output *o, const void *data,
                                              size_t bytes);
/* Makes the file appear. On failure, too, nothing is left to be done. */
IQT_MUST_USE enum iqt_status iqt_output_commit(struct iqt_output *o);
void iqt_output_discard(struct iqt_output *o); /* leaves nothing; no-op after commit */
/* All of it, whatever signals come; path is for the sentence about a failure. */
IQT_MUST_USE enum iqt_status iqt_write_all(int fd, const char *path, const void *data,
                                           size_t bytes);
/* "cannot VERB PATH: " and what errno says. */
enum iqt_status iqt_fail_errno(const char *verb, const char *path);
/* Whether the folder of a file has room for so many bytes; IQT_ERR_IO says how many it has. */
IQT_MUST_USE enum iqt_status iqt_room_check(const char *path, uint64_t bytes);
/* A rename or a new file is durable once its folder is. path: of the file. */
IQT_MUST_USE enum iqt_status iqt_folder_sync(const char *path);
/* mkdir -p. */
IQT_MUST_USE enum iqt_status iqt_dir_make(const char *path);
/* $XDG_CACHE_HOME/iqtile or ~/.cache/iqtile into out; IQT_ERR_IO when neither is known. */
IQT_MUST_USE enum iqt_status iqt_cache_dir(char *out, size_t bytes);

/* ---- Programs ---- */
enum { IQT_EXIT_NOT_RUN = 127 }; /* as a shell says it; also for one killed by a signal */
struct iqt_process {
    int exit_code;
    struct iqt_buf out, log; /* standard output and standard error */
};
/* Runs argv[0] from $PATH with this standard input to its end. IQT_ERR_UNSUPPORTED when it cannot be
 * started. On success the caller frees out. */
IQT_MUST_USE enum iqt_status iqt_process_run(char *const argv[], const void *input,
                                             size_t bytes, struct iqt_process *out);
void iqt_process_free(struct iqt_process *p);

/* Monotonic clock in nanoseconds. */
uint64_t iqt_now_ns(void);

#endif
