/* Text of kernels. One emitter for every format; dialects differ in a table of spellings. Emission
 * is deterministic: same plan, same bytes. Knows no driver. */
#ifndef IQT_CODEGEN_CODEGEN_H
#define IQT_CODEGEN_CODEGEN_H

#include "kernels/plan.h"
#include "kernels/quantized.h"

/* Appends the complete text of the plan's kernel: compiles as it is with glslc (compute), NVRTC,
 * clang -x hip or a C compiler. The kernel's function is named by iqt_kernel_symbol(), in GLSL
 * main. IQT_ERR_UNSUPPORTED for an illegal plan. */
IQT_MUST_USE enum iqt_status iqt_emit_kernel(const struct iqt_plan *plan,
                                             struct iqt_buf *out);

/* The part of a text for cooperative matrices that knows what they are: tests emulate it. */
extern const char iqt_coop_types[];

/* Several host kernels as one C text with one prelude, for embedding. */
IQT_MUST_USE enum iqt_status iqt_emit_host_set(const struct iqt_plan *plans, size_t count,
                                               struct iqt_buf *out);

/* What quantizes or halves activations in a GPU dialect: bindings and parameters in kernels/quantized.h; one
 * thread per block of 32 activations, 64 threads a workgroup, blocks of all columns in sequence
 * (thread number = column * k / 32 + block). */
IQT_MUST_USE enum iqt_status iqt_emit_activations(enum iqt_helper h, enum iqt_dialect d,
                                                  struct iqt_buf *out);

/* The copy kernel of a GPU dialect; see struct iqt_copy_params. */
IQT_MUST_USE enum iqt_status iqt_emit_copy(enum iqt_dialect d, struct iqt_buf *out);

/* The search for seeds of a GPU dialect, for trellises of groups of four or eight; see struct iqt_find_params. */
IQT_MUST_USE enum iqt_status iqt_emit_find(enum iqt_dialect d, uint32_t group,
                                           struct iqt_buf *out);

/* Any of them. IQT_ERR_UNSUPPORTED for the host, which has code of its own. */
IQT_MUST_USE enum iqt_status iqt_emit_helper(enum iqt_helper h, enum iqt_dialect d,
                                             struct iqt_buf *out);
/* Name in lists and caches, and the function's name in the emitted text. */
const char *iqt_helper_name(enum iqt_helper h);
uint32_t iqt_helper_threads(enum iqt_helper h); /* of a workgroup */
/* Workgroups that make so many activations: quantize, halve. */
uint32_t iqt_helper_groups(enum iqt_helper h, enum iqt_dialect d, uint64_t activations);

/* Function name in the emitted text: the plan's name with '.' replaced by '_'. */
void iqt_kernel_symbol(const struct iqt_plan *plan, char out[IQT_PLAN_NAME_BYTES]);

/* Hash of the emitted text: the generator's part of every cache key. */
IQT_MUST_USE enum iqt_status iqt_text_hash(const struct iqt_plan *plan, uint64_t *out);

#endif
