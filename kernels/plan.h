/* A plan names one kernel completely. Its name is its parameters:
 *
 *   op.format.dialect.n<N>.g<G>.r<R>.t<T>.s<S>.v<V>.u<U>.k<K>.<layout>.<compute>.<lookup>.<reduce>
 *   matvec.iq4_ks.glsl.n1.g8.r2.t8.s32.v16.u1.k1.packed.i8.sel.shmem
 *
 *   op      matvec | gated, alone or behind routed_ or set_: what a launch covers
 *   n       columns of one pass (calls with fewer columns are legal)
 *   g       rows per workgroup      r  rows per thread group, decoded side by side
 *   t       threads per row (split over k)
 *   s       span: weights a thread takes at a time, a power of two of 32 .. 256
 *   v       bytes of a weight load: 2, 4 or 16
 *   u       unroll of the loop over spans
 *   k       workgroups that share the columns of a row (split over k), a power of two: each takes
 *           every k-th share of t spans; the last one to finish adds the parts in their order
 *
 * Compute kind mma (tiles): on CUDA a warp has 32 rows, t / 4 warps share them over k; on HIP a wave
 * has all g rows, t g / 256 waves of 64 share them, or twice as many of 32. In GLSL, over rows of any layout:
 * kernels/coop.h.
 * Workgroup size is t * g / r. The dialect host has t = 1 and v = 32 (lanes). */
#ifndef IQT_KERNELS_PLAN_H
#define IQT_KERNELS_PLAN_H

#include "kernels/format.h"
#include "kernels/quantized.h"

enum iqt_dialect {
    IQT_DIALECT_HOST,
    IQT_DIALECT_GLSL,
    IQT_DIALECT_CUDA,
    IQT_DIALECT_HIP,
    IQT_DIALECTS,
};
/* Those with tiles, and activations in the order of lanes. */
static inline bool iqt_dialect_is_cxx(enum iqt_dialect d)
{
    return d == IQT_DIALECT_CUDA || d == IQT_DIALECT_HIP;
}
enum iqt_op { IQT_OP_MATVEC, IQT_OP_GATED, IQT_OPS };
/* What one launch is for. */
enum iqt_covers {
    IQT_COVERS_ONE,    /* rows of one matrix, or of a gate and its matrix */
    IQT_COVERS_ROUTED, /* experts whose numbers only the device knows */
    IQT_COVERS_SET,    /* several matrices of one format that share x */
    IQT_COVERS,
};
enum iqt_lookup {
    IQT_LOOKUP_NONE,  /* no table: linear, trellis, float */
    IQT_LOOKUP_SEL,   /* selects among constants in registers */
    IQT_LOOKUP_SHMEM, /* table in shared memory; host: in memory */
    IQT_LOOKUP_PERM, /* byte permute instruction; Vulkan: a word in each lane, permuted */
    IQT_LOOKUP_ARITH, /* a formula, four codes at a time */
    IQT_LOOKUPS,
};
/* What a weight is multiplied with, and how. */
enum iqt_compute {
    IQT_COMPUTE_I8, /* int8 activations, sums of four products in whatever way the dialect has */
    IQT_COMPUTE_DOT, /* the same by the integer dot product instruction (GLSL) */
    IQT_COMPUTE_MMA, /* the same on matrix units */
    IQT_COMPUTE_F16, /* float16 activations with a scale for each 32, sums in float32 */
    IQT_COMPUTE_F32, /* float32 activations */
    IQT_COMPUTES,
};
enum iqt_reduce {
    IQT_REDUCE_NONE, /* t = 1, as is IQT_REDUCE_SUBGROUP where threads share (iqt_plan_shares()) */
    IQT_REDUCE_SHMEM,    /* tree in shared memory */
    IQT_REDUCE_SUBGROUP, /* shuffles; t <= subgroup size; same bits as the tree */
    IQT_REDUCES,
};

struct iqt_plan {
    const struct iqt_format *format;
    enum iqt_dialect dialect;
    enum iqt_op op;
    enum iqt_covers covers;
    uint8_t n;
    uint16_t rows_group, rows_thread, threads, span;
    uint8_t vec, unroll, split;
    enum iqt_layout layout;
    enum iqt_compute compute;
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
    bool mma;          /* matrix units for int8 that kernels of compute kind mma know */
    uint8_t
        mma_one; /* and so fast that a single column of a trellis of so many bits is worth them */
    bool
        software; /* the CPU's own cores: a barrier costs more than the sums that it saves */
};

enum { IQT_PLAN_NAME_BYTES = 128 };

/* Vulkan's plans of a thread a row (t1) with reduction `subgroup` have nothing to reduce: threads share
 * activations and tables, of which each of so many lanes has a part. */
enum { IQT_PLAN_SHARING_LANES = 8 };
static inline bool iqt_plan_shares(const struct iqt_plan *p)
{
    return p->dialect == IQT_DIALECT_GLSL && p->threads == 1 &&
           p->reduce == IQT_REDUCE_SUBGROUP;
}

/* What a kernel reads as activations. */
struct iqt_activations {
    enum iqt_helper
        made_by; /* the launch in front of it; IQT_HELPERS: none, they are the caller's */
    uint32_t bytes; /* of one; what is made has a struct iqt_xs for each 32 */
};
const struct iqt_activations *iqt_compute_activations(enum iqt_compute c);
/* Whether activations are used as they are. */
static inline bool iqt_plan_takes_floats(const struct iqt_plan *p)
{
    return iqt_compute_activations(p->compute)->made_by == IQT_HELPERS;
}
/* Whether weights are made floats and multiplied with floats, of 32 or of 16 bits. */
static inline bool iqt_plan_multiplies_floats(const struct iqt_plan *p)
{
    return p->compute == IQT_COMPUTE_F16 || p->compute == IQT_COMPUTE_F32;
}
/* Whether it does although its format has int8 products: only for callers that ask for the plan. */
bool iqt_plan_is_asked_for(const struct iqt_plan *p);
/* The same with float activations, kind f16 or f32: products as exact as these and float sums are, at several
 * times the instructions. Rows must not be tiles; iqt_plan_check() says so. */
static inline struct iqt_plan iqt_plan_of_floats(struct iqt_plan plan,
                                                 enum iqt_compute kind)
{
    plan.compute = kind;
    return plan;
}

const char *iqt_compute_name(enum iqt_compute c);
/* f16 or f32 by its name. */
bool iqt_compute_find_floats(const char *name, enum iqt_compute *out);
/* How kernels of a format compute unless a plan says otherwise: float weights with float32
 * activations, all others with int8. */
enum iqt_compute iqt_compute_default(const struct iqt_format *f);
/* The same on a device: Vulkan's dot product where it is an instruction. NULL: as above. */
enum iqt_compute iqt_compute_of(const struct iqt_limits *limits,
                                const struct iqt_format *f, enum iqt_dialect d);
const char *iqt_dialect_name(enum iqt_dialect d);
bool iqt_dialect_find(const char *name, enum iqt_dialect *out);

void iqt_plan_name(const struct iqt_plan *plan, char out[IQT_PLAN_NAME_BYTES]);
/* IQT_ERR_ARG names the token that is wrong and what was expected. Does not check legality. */
IQT_MUST_USE enum iqt_status iqt_plan_parse(const char *name, struct iqt_plan *out);
/* IQT_ERR_UNSUPPORTED says which rule is broken. limits may be NULL: only the rules that hold on
 * every device. */
IQT_MUST_USE enum iqt_status iqt_plan_check(const struct iqt_plan *plan,
                                            const struct iqt_limits *limits);
/* All legal plans for exactly n columns, of iqt_compute_of(limits), in a fixed order. Writes at most cap, returns the total. */
size_t iqt_plan_list(const struct iqt_format *f, enum iqt_dialect d, enum iqt_op op,
                     uint32_t n, enum iqt_layout layout, const struct iqt_limits *limits,
                     struct iqt_plan *out, size_t cap);

/* Relative cost of a plan for an m x k matrix: bytes and a fixed table of operation costs. Only
 * comparable between plans of the same format, dialect, op and shape. */
double iqt_plan_cost(const struct iqt_plan *plan, const struct iqt_limits *limits,
                     size_t m, size_t k);

/* Rough operations per weight of the kernel's loop, all columns: what iqt_plan_cost() builds on. */
double iqt_plan_operations(const struct iqt_plan *plan);

/* The estimate's winner among the plans that are embedded in the library: n is rounded up to one
 * of iqt_plan_embedded_n (host: to 1 or the last, its loop over columns is a run-time one). Legal on every device that meets Vulkan's minimum limits. */
struct iqt_plan iqt_plan_default(const struct iqt_format *f, enum iqt_dialect d,
                                 enum iqt_op op, uint32_t n, enum iqt_layout layout);
/* The same for a device: computes as iqt_compute_of() says. */
struct iqt_plan iqt_plan_default_for(const struct iqt_limits *limits,
                                     const struct iqt_format *f, enum iqt_dialect d,
                                     enum iqt_op op, uint32_t n, enum iqt_layout layout);
extern const uint8_t iqt_plan_embedded_n[]; /* ascending, ends with 0: {1, 4, 16, 0} */
/* Every plan that the library embeds for a dialect (host: tuner's choices, too; glsl: defaults).
 * Writes at most cap, returns the total. */
size_t iqt_plan_embedded(enum iqt_dialect d, struct iqt_plan *out, size_t cap);

/* Where k is split: the most parts, the most rows of a workgroup. */
enum { IQT_PLAN_MOST_SPLIT = 16, IQT_PLAN_SPLIT_GROUP = 64 };
/* Rows times parts that a split may make of a matrix on a device; 0: nothing is split there. */
uint64_t iqt_plan_split_rows(const struct iqt_limits *limits);
/* Whether m rows are few enough for the plan's split. */
bool iqt_plan_short(const struct iqt_plan *plan, const struct iqt_limits *limits,
                    size_t m);
/* Whether the plan's split, if it has one, is legal and gives every thread work. */
bool iqt_plan_may_split(const struct iqt_plan *plan, const struct iqt_limits *limits,
                        size_t m, size_t k);
/* The plan, or where it computes on matrix units, whose tiles do not split k, one like it that can. */
struct iqt_plan iqt_plan_divisible(const struct iqt_plan *plan);
/* The plan with the split that the estimate prefers for m x k, often none; matrix units are given up for
 * a split, with a single column also where they leave units without rows. The split depends on neither n nor op, so that all of them give equal bits. */
struct iqt_plan iqt_plan_split(const struct iqt_plan *plan,
                               const struct iqt_limits *limits, size_t m, size_t k);
/* Groups of rows of a launch, each with a counter where k is split; floats of all partial sums. */
uint32_t iqt_plan_row_groups(const struct iqt_plan *plan, uint32_t rows);
uint64_t iqt_plan_partials(const struct iqt_plan *plan, uint32_t rows, uint32_t cols);

/* Whether the rows are tiles. */
bool iqt_plan_is_tile(const struct iqt_plan *plan);
/* Whether the kernel reads activations in the order of lanes (quantized.h). */
bool iqt_plan_takes_lanes(const struct iqt_plan *plan);
/* Whether the decoder of a GLSL kernel uses the dot product instruction. */
static inline bool iqt_plan_has_dot(const struct iqt_plan *p)
{
    return p->dialect == IQT_DIALECT_GLSL &&
           (p->compute == IQT_COMPUTE_DOT || p->compute == IQT_COMPUTE_MMA);
}
/* Whether the kernel has a format's table of scales in shared memory. */
bool iqt_plan_shared_scales(const struct iqt_plan *plan);
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
