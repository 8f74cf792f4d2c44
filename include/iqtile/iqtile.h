/* iqtile: matrix-vector products with IQ*_K quantized weights on CPU, Vulkan, CUDA and HIP.
 *
 * Shapes are written with letters: m rows, k columns, n vectors. A matrix is m x k, a call
 * computes y[n][m] = W * x[n][k]. Sizes are in elements unless the name says bytes.
 *
 * Threads: a context, a device and a matrix may be used by any number of threads at once. A
 * queue belongs to one thread at a time. Nothing here keeps process-wide state; the text of
 * iqt_last_error() is per thread.
 *
 * Errors: every call that can fail returns enum iqt_status. Outputs are written only on
 * success, and ownership passes only on success. */
#ifndef IQTILE_IQTILE_H
#define IQTILE_IQTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define IQT_API __attribute__((visibility("default")))
#define IQT_MUST_USE __attribute__((warn_unused_result))
#else
#define IQT_API
#define IQT_MUST_USE
#endif

#define IQT_VERSION "0.1.0"
#define IQT_MAX_COLS 16u /* vectors of one call */

enum iqt_status {
    IQT_OK = 0,
    IQT_ERR_ARG = 1,          /* an argument breaks a documented rule */
    IQT_ERR_SHAPE = 2,        /* m, k or n does not fit the format or the buffers */
    IQT_ERR_UNSUPPORTED = 3,  /* a known thing that this device or build cannot do */
    IQT_ERR_UNKNOWN = 4,      /* a name that is not in the list; the text has the list */
    IQT_ERR_NO_DRIVER = 10,   /* the backend's driver is absent: normal, not a fault */
    IQT_ERR_DEVICE = 11,      /* the driver reported a failure */
    IQT_ERR_COMPILE = 12,     /* kernel text did not compile */
    IQT_ERR_NO_MEMORY = 20,   /* host or device memory */
    IQT_ERR_IO = 30,          /* a file could not be opened, read or written */
    IQT_ERR_FORMAT = 31,      /* a file's bytes break its format */
    IQT_ERR_DB = 32,          /* the tuning database could not be used */
    IQT_ERR_INTERRUPTED = 40, /* the caller asked to stop */
    IQT_ERR_INTERNAL = 50,    /* a bug in iqtile */
};

/* Upper-case name of a status, "IQT_ERR_SHAPE" for instance; never NULL. */
IQT_API const char *iqt_status_name(enum iqt_status status);

/* One sentence about the calling thread's last failed call, with its numbers. Valid until that
 * thread's next failing call; "" when none failed. */
IQT_API const char *iqt_last_error(void);

/* Version of the library in use, the spelling of IQT_VERSION. */
IQT_API const char *iqt_version(void);

/* ---- Formats ------------------------------------------------------------------------- */

struct iqt_format; /* immutable, process lifetime, shared by all threads */

/* Format number i of the table, NULL past the end. Interleaved types are not in it. */
IQT_API const struct iqt_format *iqt_format_at(size_t i);
/* By lower-case name ("iq4_ks"); upper case is accepted. NULL when unknown. */
IQT_API const struct iqt_format *iqt_format_find(const char *name);
/* By the type number stored in GGUF files. NULL when unknown. */
IQT_API const struct iqt_format *iqt_format_of_type(uint32_t gguf_type);
IQT_API const char *iqt_format_name(const struct iqt_format *f);

/* Bytes of one row of k weights as stored in GGUF, row header included. IQT_ERR_SHAPE when k is
 * not a multiple of the format's superblock. */
IQT_API IQT_MUST_USE enum iqt_status iqt_format_row_bytes(const struct iqt_format *f,
                                                          size_t k, size_t *bytes);

/* Interleaved types (iq4_k_r4) have the bits of four rows of another type, their base, side by side.
 * A tensor of them has a multiple of four rows; iqt_matrix_upload() takes it, and the matrix is one of
 * the base type. Formats that are not interleaved are their own base. */
IQT_API const struct iqt_format *iqt_format_base(const struct iqt_format *f);
/* Rows of the interleaved type f from or to rows of its base type. Both have rows *
 * iqt_format_row_bytes() bytes and do not overlap. Either undoes the other. */
IQT_API IQT_MUST_USE enum iqt_status iqt_rows_separate(const struct iqt_format *f,
                                                       size_t rows, size_t k,
                                                       const void *from, void *to);
IQT_API IQT_MUST_USE enum iqt_status iqt_rows_interleave(const struct iqt_format *f,
                                                         size_t rows, size_t k,
                                                         const void *from, void *to);

enum iqt_decode_mode {
    IQT_DECODE_COMPUTE, /* the weights that every kernel here computes with */
    IQT_DECODE_REFERENCE, /* bit-exact to_float of ik_llama.cpp (IQ6_K cubic, trellis gain 1) */
};

/* Decodes one row of k weights. row: iqt_format_row_bytes() bytes, any alignment; out: k floats.
 * Neither may overlap. Thread-safe. */
IQT_API IQT_MUST_USE enum iqt_status iqt_decode_row(const struct iqt_format *f,
                                                    const void *row, size_t k,
                                                    enum iqt_decode_mode mode,
                                                    float *out);

/* ---- Context and devices ------------------------------------------------------------- */

struct iqt_context;
struct iqt_device;
struct iqt_queue;
struct iqt_matrix;

/* Told about something that went wrong without failing a call: one sentence, valid during the call, in the
 * thread in which it happened. It must not call back into the context. */
typedef void (*iqt_note_fn)(void *user, const char *text);

struct iqt_context_options {
    size_t struct_size;    /* sizeof(struct iqt_context_options) */
    const char *db_path;   /* tuning database; NULL: $IQT_DB, else the user's cache
                            * folder; "" : none, built-in plans only */
    const char *cache_dir; /* compiled kernels; NULL: $IQT_CACHE, else the user's cache
                            * folder; "" : none */
    uint32_t cpu_threads;  /* threads of a CPU device; 0: one per usable core */
    const char
        *packed_dir;  /* packed rows are kept here, a file a matrix, and taken from here
                             * at the next upload of the same weights (docs/packed-rows.md);
                             * made when it is not there. Trusted like the weights. NULL or
                             * "" : none */
    iqt_note_fn note; /* about files in packed_dir that could not be used or written;
                             * NULL: nobody wants to know */
    void *note_user;  /* its first argument */
};

/* options may be NULL for all defaults. Loads no driver yet. The context must outlive every
 * device opened from it. */
IQT_API IQT_MUST_USE enum iqt_status iqt_context_create(
    const struct iqt_context_options *options, struct iqt_context **out);
IQT_API void iqt_context_destroy(struct iqt_context *ctx); /* NULL is allowed */

struct iqt_device_info {
    char spec[32];      /* "vulkan:0": what iqt_device_open() takes */
    char backend[16];   /* "cpu", "vulkan", ... */
    char name[256];     /* the driver's name of the device */
    char driver[256];   /* driver name and version */
    char id[64];        /* stable identity (UUID or model), key of tuned results */
    char arch[64];      /* architecture for fall-backs: "avx512", "llvmpipe", "gfx1100" */
    char features[256]; /* space-separated words for people */
    uint64_t memory_bytes; /* 0: unknown */
    uint64_t cache_bytes;  /* last-level cache; 0: unknown */
    uint32_t compute_units;
    uint32_t subgroup_min, subgroup_max; /* 1 on the CPU */
};

/* Calls fn for every usable device, most preferred backend first. */
typedef void (*iqt_device_fn)(void *user, const struct iqt_device_info *info);
IQT_API IQT_MUST_USE enum iqt_status iqt_device_list(struct iqt_context *ctx,
                                                     iqt_device_fn fn, void *user);
/* Why a backend has no device, "" when it has one. backend: "cpu", "vulkan", ... . The text
 * belongs to the context. IQT_ERR_UNKNOWN for another name. */
IQT_API IQT_MUST_USE enum iqt_status iqt_backend_reason(struct iqt_context *ctx,
                                                        const char *backend,
                                                        const char **why);

/* spec is "backend" or "backend:index"; NULL: the first device of iqt_device_list() that is
 * not a software driver ("software" among its features).
 * IQT_ERR_NO_DRIVER when the backend's driver is absent, IQT_ERR_UNKNOWN for a wrong name or
 * index (the text lists the valid ones). */
IQT_API IQT_MUST_USE enum iqt_status iqt_device_open(struct iqt_context *ctx,
                                                     const char *spec,
                                                     struct iqt_device **out);
/* Matrices and queues of the device must be gone. NULL is allowed. */
IQT_API void iqt_device_close(struct iqt_device *dev);
IQT_API const struct iqt_device_info *iqt_device_describe(const struct iqt_device *dev);

IQT_API IQT_MUST_USE enum iqt_status iqt_queue_create(struct iqt_device *dev,
                                                      struct iqt_queue **out);
IQT_API void iqt_queue_destroy(struct iqt_queue *q); /* NULL is allowed */

/* ---- Matrices ------------------------------------------------------------------------ */

enum iqt_layout {
    IQT_LAYOUT_NATIVE, /* the GGUF bytes untouched */
    IQT_LAYOUT_PACKED, /* a lossless permutation made for the kernels */
};

/* Uploads m rows of k weights. bytes points to m * iqt_format_row_bytes() GGUF bytes, for
 * instance into a mapped file; it is not needed after the call, except that a CPU device with
 * IQT_LAYOUT_NATIVE borrows it until iqt_matrix_destroy(). size is the number of readable
 * bytes and is checked. With a packed_dir a CPU device maps the file of the packed rows; one that
 * is cut short meanwhile ends the process (SIGBUS), as a mapped GGUF file does. */
IQT_API IQT_MUST_USE enum iqt_status iqt_matrix_upload(
    struct iqt_device *dev, const struct iqt_format *f, size_t m, size_t k,
    const void *bytes, size_t size, enum iqt_layout layout, struct iqt_matrix **out);
/* Uploads the matrices of `experts` routed experts as one: bytes holds them one after the other, each m
 * rows of k weights, as a GGUF tensor of three dimensions does (ne = k, m, experts). As
 * iqt_matrix_upload() in everything else; the result is for iqt_matvec_routed() and its like only, and
 * may be used by any number of threads at once. IQT_ERR_UNSUPPORTED when one expert exceeds what the
 * device can address in a piece. */
IQT_API IQT_MUST_USE enum iqt_status iqt_experts_upload(
    struct iqt_device *dev, const struct iqt_format *f, size_t experts, size_t m,
    size_t k, const void *bytes, size_t size, enum iqt_layout layout,
    struct iqt_matrix **out);
/* No call that uses the matrix may be in flight. NULL is allowed. */
IQT_API void iqt_matrix_destroy(struct iqt_matrix *w);

/* ---- Products ------------------------------------------------------------------------ */

enum iqt_act {
    IQT_ACT_SILU,       /* g / (1 + exp(-g)) */
    IQT_ACT_GELU,       /* tanh approximation */
    IQT_ACT_RELU,       /* max(g, 0) */
    IQT_ACT_SWIGLU_OAI, /* g = min(g, limit), u = clamp(u, -limit, limit):
                         * g / (1 + exp(-1.702 g)) * (u + 1) */
};

/* One product y = W x (+ bias) (+ residual), or, with a gate matrix,
 * y = act(G x + gate_bias) * (W x + bias) (+ residual). Zero-initialise, then fill in. */
struct iqt_product {
    size_t struct_size;            /* sizeof(struct iqt_product) */
    const struct iqt_matrix *w;    /* m x k */
    const struct iqt_matrix *gate; /* NULL, or a matrix of the same m and k */
    enum iqt_act act;              /* used only with gate */
    float limit;                   /* used only by IQT_ACT_SWIGLU_OAI; > 0 */
    const float *bias;             /* m floats or NULL */
    const float *gate_bias;        /* m floats or NULL; only with gate */
    const float *residual;         /* n vectors, residual_stride apart, or NULL */
    size_t residual_stride;        /* in floats; 0: m */
    float *y;                      /* n vectors of rows floats, y_stride apart */
    size_t y_stride;               /* in floats; 0: rows */
    size_t row_begin, rows;        /* rows [row_begin, row_begin + rows); rows 0: all from
                                    * row_begin. bias is indexed by matrix row; y and residual
                                    * start at row_begin's value */
};

/* Computes count products that share the same n activation vectors x (quantized once).
 *
 * x         n vectors of k floats, x_stride floats apart (0: k); host memory, not written.
 * n         1 .. IQT_MAX_COLS
 * products  count entries; all matrices have the same k and live on q's device. y may not
 *           overlap x or another y, but may equal residual.
 *
 * Activations are quantized to int8 in blocks of 32 with a float scale; sums are int32 inside a
 * block and float32 across blocks. Equal inputs and equal plans give equal bits, for any n.
 * A NaN or infinity among a block's activations makes every result NaN or infinite.
 * Blocks until all y are complete; on failure their contents are unspecified. */
IQT_API IQT_MUST_USE enum iqt_status iqt_matvec(struct iqt_queue *q, const float *x,
                                                size_t x_stride, uint32_t n,
                                                const struct iqt_product *products,
                                                size_t count);

/* iqt_matvec() by a plan of the caller's choice, whose name `iqtile gen --list` and iqt_plan_used() print. It
 * must suit every product: dialect, format, layout, op, at least n columns; else IQT_ERR_ARG or
 * IQT_ERR_SHAPE. IQT_ERR_UNKNOWN for a name that is none.
 *
 * With `.f32.` in place of `.i8.` or `.dot.`, on a GPU, activations are used as they are: no error of
 * their quantization, at several times the instructions. For rows that are not tiles (CUDA and HIP:
 * IQT_LAYOUT_NATIVE). |y - W x| is then at most 1e-5 * sum |w x|; with minima, of the sum of both parts.
 *
 * With `.f16.`, for formats that are not floats, they are rounded to float16 in blocks of 32 with a power of two
 * that keeps them in its range: |y - W x| is at most sum |w| (2^-11 |x| + 2^-28 max) more, where max is the
 * largest |x| of the block. Blocks whose largest is below 2^-98 count as zeros; a NaN or infinity makes every
 * result NaN. */
IQT_API IQT_MUST_USE enum iqt_status iqt_matvec_by_plan(
    struct iqt_queue *q, const char *plan, const float *x, size_t x_stride, uint32_t n,
    const struct iqt_product *products, size_t count);

/* One product with routed experts: for each token t and each of the `used` experts of a token
 *
 *     y[t][s] = W[ids[t][s]] x (+ bias[ids[t][s]])
 *
 * or, with gate experts, act(G x + gate_bias) * (W x + bias); x is x[t], or x[t][s] where x_per_slot
 * is set (the matrix behind the activation). An id below 0 or from `experts` on reads no weights and
 * gives m zeros. Zero-initialise, then fill in. */
struct iqt_routed {
    size_t struct_size;         /* sizeof(struct iqt_routed) */
    const struct iqt_matrix *w; /* of iqt_experts_upload(), m x k each */
    const struct iqt_matrix
        *gate;              /* NULL, or of the same experts, m, k, format and layout */
    enum iqt_act act;       /* used only with gate */
    float limit;            /* used only by IQT_ACT_SWIGLU_OAI; > 0 */
    const float *bias;      /* experts x m floats or NULL */
    const float *gate_bias; /* experts x m floats or NULL; only with gate */
    const int32_t *ids;     /* tokens x used */
    uint32_t tokens, used;  /* at least 1 each */
    bool x_per_slot;        /* x has tokens x used vectors, not tokens */
    float *y;               /* tokens x used vectors of m floats, y_stride apart */
    size_t y_stride;        /* in floats; 0: m */
};

/* Computes one product with routed experts. x: tokens or tokens x used vectors of k floats, x_stride
 * floats apart (0: k). On a GPU the ids are copied there, and one launch behind that of the activations
 * does the rest; the host looks at no id. Numerics, blocking and threads are those of iqt_matvec().
 *
 * IQT_ERR_ARG or IQT_ERR_SHAPE when a rule is broken, IQT_ERR_UNSUPPORTED when the kernel is not built in
 * and no compiler is here. */
IQT_API IQT_MUST_USE enum iqt_status iqt_matvec_routed(struct iqt_queue *q,
                                                       const float *x, size_t x_stride,
                                                       const struct iqt_routed *product);

/* Bytes of device scratch memory that iqt_matvec() with these arguments holds in q, so that a
 * server can account for it. Builds the kernels of the call: their plans decide. */
IQT_API IQT_MUST_USE enum iqt_status iqt_workspace_bytes(
    struct iqt_queue *q, uint32_t n, const struct iqt_product *products, size_t count,
    size_t *bytes);

/* The name of the plan that iqt_matvec() would use for w at n columns; text belongs to dev. */
IQT_API IQT_MUST_USE enum iqt_status iqt_plan_used(struct iqt_device *dev,
                                                   const struct iqt_matrix *w, bool gated,
                                                   uint32_t n, const char **name);

/* Compiles, in advance, every kernel that products with this matrix can need (n = 1 .. max_n). */
IQT_API IQT_MUST_USE enum iqt_status iqt_prepare(struct iqt_device *dev,
                                                 const struct iqt_matrix *w,
                                                 uint32_t max_n);

#ifdef __cplusplus
}
#endif
#endif
