/* A plan names one kernel completely. Its name is its parameters:
 *
 *   op.format.dialect.n<N>.g<G>.r<R>.t<T>.s<S>.v<V>.u<U>.<layout>.<lookup>.<reduce>
 *   matvec.iq4_ks.glsl.n1.g8.r2.t8.s32.v16.u1.packed.sel.shmem
 *
 *   op      matvec | gated          n  columns of one pass (calls with fewer columns are legal)
 *   g       rows per workgroup      r  rows per thread group, decoded side by side
 *   t       threads per row (split over k)
 *   s       span: weights a thread takes at a time, a power of two of 32 .. 256
 *   v       bytes of a weight load: 2, 4 or 16
 *   u       unroll of the loop over spans
 *
 * Workgroup size is t * g / r. The dialect host has t = 1 and v = 32 (lanes). */
#ifndef IQT_KERNELS_PLAN_H
#define IQT_KERNELS_PLAN_H

#include "kernels/format.h"

enum iqt_dialect {
    IQT_DIALECT_HOST,
    IQT_DIALECT_GLSL,
    IQT_DIALECT_CUDA,
    IQT_DIALECT_HIP,
    IQT_DIALECTS,
};
enum iqt_op { IQT_OP_MATVEC, IQT_OP_GATED, IQT_OPS };
enum iqt_lookup {
    IQT_LOOKUP_NONE,  /* no table: linear, trellis, float */
    IQT_LOOKUP_SEL,   /* selects among constants in registers */
    IQT_LOOKUP_SHMEM, /* table in shared memory */
    IQT_LOOKUP_PERM,  /* byte permute instruction */
    IQT_LOOKUPS,
};
enum iqt_reduce {
    IQT_REDUCE_NONE,     /* t = 1 */
    IQT_REDUCE_SHMEM,    /* tree in shared memory */
    IQT_REDUCE_SUBGROUP, /* shuffles; t <= subgroup size; same bits as the tree */
    IQT_REDUCES,
};

struct iqt_plan {
    const struct iqt_format *format;
    enum iqt_dialect dialect;
    enum iqt_op op;
    uint8_t n;
    uint16_t rows_group, rows_thread, threads, span;
    uint8_t vec, unroll;
    enum iqt_layout layout;
    enum iqt_lookup lookup;
    enum iqt_reduce reduce;
};

/* What a device allows. */
struct iqt_limits {
    uint32_t subgroup_min, subgroup_max; /* shuffles need t <= subgroup_min */
    uint32_t max_threads;                /* per workgroup */
    uint32_t shared_bytes;               /* per workgroup */
    uint32_t compute_units;
    bool subgroup_ops; /* shuffle available with full subgroups */
    bool dot4;         /* hardware 4-way int8 dot product */
};

enum { IQT_PLAN_NAME_BYTES = 128 };

const char *iqt_dialect_name(enum iqt_dialect d);
bool iqt_dialect_find(const char *name, enum iqt_dialect *out);

void iqt_plan_name(const struct iqt_plan *plan, char out[IQT_PLAN_NAME_BYTES]);
/* IQT_ERR_ARG names the token that is wrong and what was expected. Does not check legality. */
IQT_MUST_USE enum iqt_status iqt_plan_parse(const char *name, struct iqt_plan *out);
/* IQT_ERR_UNSUPPORTED says which rule is broken. limits may be NULL: only the rules that hold on
 * every device. */
IQT_MUST_USE enum iqt_status iqt_plan_check(const struct iqt_plan *plan,
                                            const struct iqt_limits *limits);
/* All legal plans for exactly n columns, in a fixed order. Writes at most cap, returns the total. */
size_t iqt_plan_list(const struct iqt_format *f, enum iqt_dialect d, enum iqt_op op,
                     uint32_t n, enum iqt_layout layout, const struct iqt_limits *limits,
                     struct iqt_plan *out, size_t cap);

/* Relative cost of a plan for an m x k matrix: bytes and a fixed table of operation costs. Only
 * comparable between plans of the same format, dialect, op and shape. */
double iqt_plan_cost(const struct iqt_plan *plan, const struct iqt_limits *limits,
                     size_t m, size_t k);

/* The estimate's winner among the plans that are embedded in the library: n is rounded up to one
 * of iqt_plan_embedded_n (host: to 1 or the last, its loop over columns is a run-time one). Legal on every device that meets Vulkan's minimum limits. */
struct iqt_plan iqt_plan_default(const struct iqt_format *f, enum iqt_dialect d,
                                 enum iqt_op op, uint32_t n, enum iqt_layout layout);
extern const uint8_t iqt_plan_embedded_n[]; /* ascending, ends with 0: {1, 4, 16, 0} */
/* Every plan that the library embeds for a dialect (host: tuner's choices, too; glsl: defaults).
 * Writes at most cap, returns the total. */
size_t iqt_plan_embedded(enum iqt_dialect d, struct iqt_plan *out, size_t cap);

/* Workgroups of a launch over rows; threads of a workgroup. */
uint32_t iqt_plan_groups(const struct iqt_plan *plan, uint32_t rows);
uint32_t iqt_plan_threads(const struct iqt_plan *plan);
/* Columns of one sweep over the weights. Tiles with more of them sweep again, over rows that are in
 * the cache: with the sums of 16 columns of four rows NVIDIA's 255 registers are not enough. */
uint32_t iqt_plan_columns(const struct iqt_plan *plan);
/* Weights that one thread takes in one iteration of the loop over spans: a span of each of its rows.
 * The emitters write the loop from the same parameters; iqtile stats divides by this. */
uint32_t iqt_plan_weights_per_iteration(const struct iqt_plan *plan);
/* Bytes of memory that this iteration cannot do without: the weights' own, activations and their
 * scales. What iqtile stats holds the loads of the compiled loop to. */
double iqt_plan_bytes_per_iteration(const struct iqt_plan *plan);
/* Whether a product of k columns can use the plan (k a multiple of the span). */
bool iqt_plan_fits(const struct iqt_plan *plan, size_t k);

#endif
