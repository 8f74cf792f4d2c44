/* Activations as the kernels see them, and the parameters of a launch: the contract between
 * emitted text, backends and the exact model. */
#ifndef IQT_KERNELS_QUANTIZED_H
#define IQT_KERNELS_QUANTIZED_H

#include "base/base.h"

enum { IQT_X_BLOCK = 32 }; /* activations that share a scale */

/* Scale of 32 quantized activations: x ~ d * q. Sums of q over each 16, for shift bits and
 * minima. 8 bytes, read by GPUs as two words. */
struct iqt_xs {
    float d;
    int16_t sum[2];
};

/* On the CPU there is more of them, behind the scales of all n vectors, so that no row makes it again. */
struct iqt_x_more {
    /* [n][k / 4]: -128 times the sums of four, what a product has too much if weights have 128 added */
    int32_t *starts;
    float *dx[2];   /* [n][k / 16] and [n][k / 32]: scales of 16 and of 32 */
    float *sums[2]; /* the same, times the sum of q */
};
enum { IQT_X_STARTS = IQT_X_BLOCK / 4, IQT_X_START = -128, IQT_X_MORE_BYTES = 56 };
static inline size_t iqt_xs_bytes(size_t activations, bool more)
{
    return activations / IQT_X_BLOCK *
           (sizeof(struct iqt_xs) + (more ? IQT_X_MORE_BYTES : 0));
}
/* Of this many blocks of all vectors. */
static inline struct iqt_x_more iqt_x_more_of(struct iqt_xs *xs, size_t blocks)
{
    struct iqt_x_more m = { .starts = (int32_t *)(xs + blocks) };

    m.dx[0] = (float *)(m.starts + IQT_X_STARTS * blocks);
    m.sums[0] = m.dx[0] + 2 * blocks;
    m.dx[1] = m.sums[0] + 2 * blocks;
    m.sums[1] = m.dx[1] + blocks;
    return m;
}

/* Quantizes k activations (k a multiple of 32): q[k], s[k / 32].
 *   bits = largest |x| as an unsigned integer; amax = that as a float
 *   amax < 1e-30:        d = 0, q = 0
 *   amax inf or NaN:     d = amax * (1/127) (inf or NaN), q = 0, so that results are NaN
 *   else                 d = amax * fl(1/127), q = rint(x * fl(127 / amax)), ties to even
 * The exact model of every device; the emitted quantizer computes the same bits. */
void iqt_quantize_ref(const float *x, size_t k, int8_t *q, struct iqt_xs *s);

/* Halves k activations (k a multiple of 32): h[k] float16, s[k / 32] with sums of 0; x ~ d * h.
 *   amax < 2^-98:        d = 0, h = 0
 *   amax inf or NaN:     d = amax, h = 0, so that results are NaN
 *   else                 d = the power of two with amax / d in [2^14, 2^15)
 *   |x| >= 2^-14 d:      h = x / d, rounded to 11 bits, ties to even: within 2^-11 |x|
 *   below:               h = 0, which is less than 2^-28 amax away
 * So nothing overflows, and no h is subnormal: GPUs may flush those. Signs are kept, of zeros, too. The exact
 * model of every device, as above. */
enum { IQT_HALF_TOP = 14 };
void iqt_halve_ref(const float *x, size_t k, uint16_t *h, struct iqt_xs *s);

/* A second order of int8 activations on CUDA and HIP, for kernels whose lanes take spans of 64 one beside
 * another: of each 512 the first 16 of eight spans, then the second 16, and so on. So eight lanes read 128
 * bytes in a row, where in the vectors' own order they read 16 of every 64. A vector has room for whole 512. */
enum { IQT_LANES_TOGETHER = 512 };
static inline size_t iqt_x_lanes_stride(size_t k)
{
    return (k + IQT_LANES_TOGETHER - 1) / IQT_LANES_TOGETHER * IQT_LANES_TOGETHER;
}
/* Writes [n][iqt_x_lanes_stride(k)] of q [n][k], k a multiple of 256; what is not in q stays as it was. The
 * exact model of what the emitted quantizer writes. */
void iqt_x_lanes_ref(const int8_t *q, size_t k, uint32_t n, int8_t *out);

/* Buffers of a launch, in binding order. Kernels that take float32 activations have them in XQ, XS is
 * unused. */
enum iqt_binding {
    IQT_BIND_W,         /* weights */
    IQT_BIND_GATE,      /* gate weights, or W again */
    IQT_BIND_XQ,        /* int8 [n][k], float16 [n][k] or float [n][k] */
    IQT_BIND_XS,        /* struct iqt_xs [n][k / 32]; CPU: and more */
    IQT_BIND_BIAS,      /* float [m] */
    IQT_BIND_GATE_BIAS, /* float [m] */
    IQT_BIND_RESIDUAL,  /* float, n vectors y_stride apart */
    IQT_BIND_Y,         /* float, n vectors y_stride apart */
    IQT_BIND_IDS,       /* int32 [jobs]: experts; routed kernels only */
    IQT_BIND_WORK,      /* counters, all 0, and partial sums; kernels that split k only */
    IQT_BINDINGS,
};

/* The bindings of every kernel: C++ kernels take them, then the parameters, then the other bindings. */
enum { IQT_PLAIN_BINDINGS = IQT_BIND_Y + 1 };

enum { IQT_FLAG_BIAS = 1, IQT_FLAG_GATE_BIAS = 2, IQT_FLAG_RESIDUAL = 4 };

/* Push constants (Vulkan) or kernel parameter (CUDA, HIP, host): 13 words, and 10 for kernels that
 * are more than one matrix and all of k. */
struct iqt_params {
    uint32_t rows; /* rows of this launch */
    uint32_t k;
    uint32_t row0;      /* matrix row of the launch's row 0: index into bias */
    uint32_t row_bytes; /* stride of weight rows */
    uint32_t w_base;    /* byte of the launch's row 0 in the W binding */
    uint32_t gate_base; /* the same in the GATE binding */
    uint32_t cols;      /* vectors in use, 1 .. plan.n */
    uint32_t y_stride;  /* floats between vectors of Y and RESIDUAL */
    uint32_t y_base;    /* float index of the launch's row 0 in Y and RESIDUAL */
    uint32_t flags;
    uint32_t act; /* enum iqt_act */
    uint32_t
        skip; /* rows in front of row 0 in its group of rows that are stored together */
    float limit;

    /* Split over k: words of WORK. Of the launch's first group of rows, and of the first sum. */
    uint32_t counters, partials;
    /* Routed: job j is y[j] = W[ids[j]] x[j / share], one column; y_stride lies between jobs, rows
     * are those of an expert. Ids from `experts` on give zeros; those outside of [expert_begin,
     * expert_end), which are the ones in W and GATE, are left to another launch. */
    uint32_t jobs, share, experts, expert_begin, expert_end;
    uint32_t expert_bytes, expert_bytes_high; /* from one expert to the next */
    uint32_t expert_rows;                     /* the same in the biases */
};

/* Most products of a launch that covers several matrices (CUDA, HIP). */
enum { IQT_SET_JOBS = 16 };

/* The same in Vulkan, where each has bindings of its own; and the push constants of such a launch, 32 words, which
 * every device has. A member's words are those of struct iqt_params; skip is 0. */
enum { IQT_SHORT_SET_JOBS = 4 };
struct iqt_short_set {
    uint32_t k, row_bytes, cols, members;
    struct iqt_short_job {
        uint32_t rows, row0;
        uint32_t bases; /* w_base, and gate_base from bit 16 on */
        uint32_t y_stride, y_base;
        uint32_t flags; /* and act from bit 8 on */
        float limit;
    } member[IQT_SHORT_SET_JOBS];
};

/* Whether each member of a set has a buffer of its own there. */
static inline bool iqt_binding_of_member(enum iqt_binding b)
{
    return b == IQT_BIND_W || b == IQT_BIND_GATE || b == IQT_BIND_BIAS ||
           b == IQT_BIND_GATE_BIAS || b == IQT_BIND_RESIDUAL || b == IQT_BIND_Y;
}

/* Parameters of the kernels that quantize or halve activations: XQ binding 2, XS binding 3 are written; the
 * float input [cols][x_stride] is bound at IQT_BIND_W. */
struct iqt_quantize_params {
    uint32_t k, cols, x_stride;
    /* C++ dialects: XQ gets the same once more in the order of lanes (above) from so many times 16 bytes on; 0:
     * it does not */
    uint32_t lanes_at;
};

/* GPU kernels without a plan: no format, the same on every device. */
enum iqt_helper {
    IQT_HELPER_QUANTIZE, /* activations to int8 */
    IQT_HELPER_HALVE,    /* activations to float16 */
    IQT_HELPER_COPY,     /* what memory bandwidth is measured with */
    IQT_HELPER_FIND4,    /* seeds of trellises of groups of four */
    IQT_HELPER_FIND8,    /* of eight */
    IQT_HELPERS,
};

/* Parameters of the copy kernel: vectors of 16 bytes go from the W binding to the Y binding. Launch
 * as many workgroups as fill the device: threads, all of them together, is the stride at which each
 * goes through the vectors, four at a time. vectors + 4 * threads < 2^32. */
struct iqt_copy_params {
    uint32_t vectors, threads;
};

/* Seeds of a trellis. Workgroup number job * parts + part looks at the seeds of a part of a table for a job:
 * IQT_FIND_QUERIES queries of that table, so that they share the values of a seed. A job in the W binding is
 * iqt_find_job_words(group) words: the table's first seed, padding up to IQT_FIND_HEAD words, targets float
 * [query][group], weights of their errors the same way. Its answers are struct iqt_find_answer [query] in the Y
 * binding: the code, that is the seed less the table's first one, whose values minimise the sum of
 * w * (y - value)^2 over the group, the lowest of equals. The sum is that of a CPU: in order, in single precision,
 * nothing fused. y and w are finite, w is not below 0. */
enum { IQT_FIND_QUERIES = 4, IQT_FIND_HEAD = 4 };
static inline uint32_t iqt_find_job_words(uint32_t group)
{
    return IQT_FIND_HEAD + 2 * IQT_FIND_QUERIES * group;
}
struct iqt_find_params {
    uint32_t jobs, parts, seeds;                  /* seeds: of a part */
    uint32_t multiplier, mask, centre, magnitude; /* of struct iqt_trellis */
};
struct iqt_find_answer {
    uint32_t distance; /* bits of a float: in its order, since it is not negative */
    uint32_t code;
};

/* Host dialect: a kernel computes rows [begin, end) of the launch. */
struct iqt_host_args {
    const uint8_t *w, *gate;
    const void *xq;
    const struct iqt_xs *xs;
    struct iqt_x_more more;
    const float *bias, *gate_bias, *residual;
    float *y;
    struct iqt_params p;
};
typedef void (*iqt_host_fn)(const struct iqt_host_args *args, uint32_t begin,
                            uint32_t end);

#endif
