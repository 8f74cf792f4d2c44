/* Products with routed experts, as the three ways to call them share them: what is checked, and what
 * the kernel is told. */
#ifndef IQT_RUNTIME_ROUTED_H
#define IQT_RUNTIME_ROUTED_H

#include "runtime/runtime.h"

struct iqt_routed_call {
    const struct iqt_matrix *w, *gate; /* gate NULL: none */
    enum iqt_act act;
    float limit;
    bool bias, gate_bias; /* there are some */
    uint32_t tokens, used;
    bool x_per_slot;
    size_t x_stride, y_stride; /* 0: k, m */
    uint32_t jobs, vectors;    /* set by the check: results, vectors of x */
};

/* Whether it is legal on dev; fills in strides, jobs and vectors. */
IQT_MUST_USE enum iqt_status iqt_routed_check(const struct iqt_device *dev,
                                              struct iqt_routed_call *c);
/* Whether the kernel can read x where the caller has it. */
IQT_MUST_USE enum iqt_status iqt_routed_check_x(const struct iqt_routed_call *c);
/* The kernel, built at the first call. */
IQT_MUST_USE enum iqt_status iqt_routed_kernel(const struct iqt_routed_call *c,
                                               const struct iqt_built **out);
/* Experts that one launch can reach: all of them but where a binding is too small. */
size_t iqt_routed_reach(const struct iqt_matrix *w);
/* Parameters of the launch for experts [begin, end), and its workgroups; bases are left 0. */
struct iqt_params iqt_routed_params(const struct iqt_routed_call *c, size_t begin,
                                    size_t end);
uint32_t iqt_routed_groups(const struct iqt_routed_call *c,
                           const struct iqt_built *built);

static inline bool iqt_routed_floats(const struct iqt_routed_call *c)
{
    return c->w->format->decode == IQT_DECODE_FLOAT;
}

#endif
