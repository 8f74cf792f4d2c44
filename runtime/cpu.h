/* The parts of the CPU backend: what the machine is, and the activation quantizer. */
#ifndef IQT_RUNTIME_CPU_H
#define IQT_RUNTIME_CPU_H

#include "kernels/quantized.h"

#include "runtime/cpu_pool.h"

/* Instruction sets of the embedded kernels, weakest first; the spelling of IQT_CPU. */
extern const char *const iqt_cpu_isas[]; /* ends with NULL */

/* The instruction set to use: the best one here, or $IQT_CPU. IQT_ERR_UNKNOWN and
 * IQT_ERR_UNSUPPORTED list the names that this machine can use. */
IQT_MUST_USE enum iqt_status iqt_cpu_isa(uint32_t *index);
/* Cores that this process may run on. */
uint32_t iqt_cpu_cores(void);
/* Everything but spec and backend. threads: of the device's pool. */
void iqt_cpu_describe(uint32_t isa, uint32_t threads, struct iqt_device_info *info);

/* The bits of iqt_quantize_ref() for cols vectors x_stride floats apart, and what the CPU has more (behind s, which has
 * room for it); q and s are dense. pool NULL: on the caller's thread. */
void iqt_cpu_quantize(struct iqt_pool *pool, const float *x, size_t x_stride, size_t k,
                      uint32_t cols, int8_t *q, struct iqt_xs *s);

#endif
