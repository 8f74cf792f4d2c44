/* What the files of runtime/ share, and what tools and the tuner's glue may use beyond the public
 * calls: contexts, devices, kernels by plan, and products with a forced plan. */
#ifndef IQT_RUNTIME_RUNTIME_H
#define IQT_RUNTIME_RUNTIME_H

#include "runtime/backend.h"

#include <pthread.h>

/* Where tuned plans come from. find() is called by one thread at a time and must not call back
 * into the context; a plan that turns out illegal, unfit or uncompilable is skipped. */
struct iqt_plan_source {
    /* like: format, dialect, op, n and layout are set. False when nothing is stored. */
    bool (*find)(void *user, const struct iqt_device_info *info,
                 const struct iqt_plan *like, size_t m, size_t k, struct iqt_plan *out);
    void (*close)(void *user); /* called by iqt_context_destroy(); NULL: nothing to do */
    void *user;
};

enum { IQT_MAX_BACKENDS = 8, IQT_REASON_BYTES = 512 };

struct iqt_context {
    char *cache_dir, *db_path, *packed_dir; /* resolved; "" : none */
    uint32_t cpu_threads;
    iqt_note_fn note; /* NULL: nobody wants to know */
    void *note_user;
    pthread_mutex_t lock; /* guards everything below */
    struct iqt_plan_source source;
    bool reason_known[IQT_MAX_BACKENDS];
    char reason[IQT_MAX_BACKENDS][IQT_REASON_BYTES];
};

/* Replaces the source of tuned plans, and closes the old one. Devices that already chose a plan
 * keep it until iqt_plans_forget(). */
void iqt_context_set_plans(struct iqt_context *ctx, struct iqt_plan_source source);
struct iqt_backend_options iqt_context_options_of(const struct iqt_context *ctx);

/* What stands beside every figure that a device made: "cuda:0", "cuda:0 simulated". */
enum { IQT_LABEL_BYTES = 48 };
const char *iqt_device_label(const struct iqt_device_info *info,
                             char out[IQT_LABEL_BYTES]);
bool iqt_device_simulated(const struct iqt_device_info *info);

/* A compiled kernel of a device; lives as long as the device. */
struct iqt_built {
    struct iqt_plan plan;   /* format NULL: a helper */
    enum iqt_helper helper; /* which */
    struct iqt_kernel *kernel;
    struct iqt_built *next;
    char name[IQT_PLAN_NAME_BYTES];
};

struct iqt_choice; /* a remembered answer of iqt_plan_choose() */

enum { IQT_CHOICE_BUCKETS = 64 };

struct iqt_device {
    struct iqt_context *ctx;
    const struct iqt_backend *backend;
    struct iqt_hw *hw;
    struct iqt_device_info info;
    struct iqt_limits limits;
    uint64_t max_binding;  /* tests lower it to force split products */
    uint32_t offset_align; /* of a binding */
    pthread_mutex_t lock;  /* guards the tables below */
    struct iqt_built *built;
    struct iqt_choice *choice[IQT_CHOICE_BUCKETS];
    pthread_mutex_t upload_lock; /* guards the stream that uploads use */
    struct iqt_stream *upload;
};

/* The XQ buffer of a call with int8 activations, and where in it those in the order of lanes begin, which not every
 * device and k has (0). */
static inline uint64_t iqt_call_lanes_at(const struct iqt_device *dev, size_t k,
                                         uint32_t n)
{
    return iqt_dialect_is_cxx(dev->backend->dialect) && k % 256 == 0 ? (uint64_t)n * k
                                                                     : 0;
}
static inline uint64_t iqt_call_xq_bytes(const struct iqt_device *dev, size_t k,
                                         uint32_t n)
{
    return (uint64_t)n * k +
           (iqt_call_lanes_at(dev, k, n) ? n * iqt_x_lanes_stride(k) : 0);
}

/* The XS buffer of a call. */
static inline uint64_t iqt_call_xs_bytes(const struct iqt_device *dev,
                                         uint64_t activations)
{
    return iqt_xs_bytes(activations, dev->backend->dialect == IQT_DIALECT_HOST);
}

struct iqt_pass;

struct iqt_queue {
    struct iqt_device *dev;
    struct iqt_stream *stream;
    struct iqt_mem *scratch; /* activations, biases, residuals and results of a call */
    uint64_t scratch_bytes;
    uint8_t *stage; /* the host's side of scratch */
    uint64_t stage_bytes;
    struct iqt_pass *pass;
    size_t passes;
};

struct iqt_matrix {
    struct iqt_device *dev;
    const struct iqt_format *format;
    enum iqt_layout layout;
    size_t m, k, row_bytes;
    uint32_t tile_rows; /* rows that are stored together: 1, or 4 in packed GPU rows */
    size_t experts;     /* matrices of m rows, expert_rows apart; 0: an ordinary one */
    size_t expert_rows; /* m, rounded up to tile_rows */
    struct iqt_mem *mem;
    struct iqt_map map; /* a file of packed rows that mem borrows; else empty */
};

/* ---- matrix.c ---- */

/* Matrices of m rows in one: its experts, or itself. */
static inline size_t iqt_matrix_count(const struct iqt_matrix *w)
{
    return w->experts ? w->experts : 1;
}

/* As iqt_matrix_upload(), but into memory of its own and without files of packed rows: for weights of no
 * model, and for copies that must not share a cache. */
IQT_MUST_USE enum iqt_status iqt_matrix_upload_alone(struct iqt_device *dev,
                                                     const struct iqt_format *f, size_t m,
                                                     size_t k, const void *bytes,
                                                     size_t size, enum iqt_layout layout,
                                                     struct iqt_matrix **out);

/* ---- tuned.c ---- */

/* Makes the database at ctx->db_path the source of plans; nothing when that is "". */
IQT_MUST_USE enum iqt_status iqt_tuned_attach(struct iqt_context *ctx);
/* A device as the tuning database knows it. */
struct iqt_db_device;
void iqt_tuned_device(const struct iqt_device_info *info, struct iqt_db_device *out);

/* ---- plans.c ---- */

/* The kernel of exactly this plan, compiled at the first call. plan NULL: the quantizer. */
IQT_MUST_USE enum iqt_status iqt_kernel_get(struct iqt_device *dev,
                                            const struct iqt_plan *plan,
                                            const struct iqt_built **out);
/* A kernel without a plan. */
IQT_MUST_USE enum iqt_status iqt_helper_get(struct iqt_device *dev,
                                            enum iqt_helper helper,
                                            const struct iqt_built **out);
/* The kernel for products of this matrix: the tuned plan, else the default. Experts: of routed
 * products, whatever n. */
IQT_MUST_USE enum iqt_status iqt_plan_choose(struct iqt_device *dev,
                                             const struct iqt_matrix *w, enum iqt_op op,
                                             uint32_t n, const struct iqt_built **out);
/* The same kernel for several matrices in one launch: see launch_set() in backend.h. */
IQT_MUST_USE enum iqt_status iqt_plan_choose_set(struct iqt_device *dev,
                                                 const struct iqt_matrix *w,
                                                 enum iqt_op op, uint32_t n,
                                                 const struct iqt_built **out);
/* Whether products of both can share a launch. */
static inline bool iqt_matrix_goes_with(const struct iqt_matrix *a,
                                        const struct iqt_matrix *b)
{
    return a->format == b->format && a->layout == b->layout && a->k == b->k;
}
/* Forgets the choices, not the kernels: later products ask the plan source again. */
void iqt_plans_forget(struct iqt_device *dev);
void iqt_plans_free(struct iqt_device *dev);

/* ---- product.c, pass.c ---- */

/* iqt_matvec() with forced: the plan that every product of the call must use (its op must suit
 * the products; NULL: choose), and elapsed_ns: see finish() in backend.h (NULL: not wanted). */
IQT_MUST_USE enum iqt_status iqt_product_run(struct iqt_queue *q, const float *x,
                                             size_t x_stride, uint32_t n,
                                             const struct iqt_product *products,
                                             size_t count, const struct iqt_plan *forced,
                                             uint64_t *elapsed_ns);

/* act(g) * u as the kernels define it. */
float iqt_act_apply(enum iqt_act act, float limit, float g, float u);

#endif
