/* Text to device binary, without a device: what the cuda and hip backends, `iqtile stats`,
 * `iqtile gen --target` and the compile gates share. Compilers are loaded at run time; an absent
 * one is a status. Calls are thread-safe. */
#ifndef IQT_RUNTIME_COMPILE_H
#define IQT_RUNTIME_COMPILE_H

#include "base/base.h"
#include "kernels/plan.h"

/* A compile target: "sm_90" (cubin), "compute_75" (PTX), "gfx1100" (code object), "spirv". */
struct iqt_target {
    enum iqt_dialect dialect;
    char name[32];
};

/* IQT_ERR_ARG lists the kinds of targets. Does not ask a compiler. */
IQT_MUST_USE enum iqt_status iqt_target_parse(const char *name, struct iqt_target *out);

/* Whether a target of this name has matrix units that plans use. */
bool iqt_target_has_mma(const char *name);
/* Lanes of a wave of a CUDA or HIP target as kernels are compiled for it. */
uint32_t iqt_target_wave(const char *name);

/* Compiles NUL-terminated text for a target and appends the binary to out (PTX with its NUL).
 * IQT_ERR_UNSUPPORTED: no compiler found (the text says which names and places were tried and
 * which variable names another: IQT_NVRTC, IQT_COMGR, IQT_CLANG), or the compiler does not know
 * the architecture: never an abort. IQT_ERR_COMPILE: the log's beginning is the error's text. */
IQT_MUST_USE enum iqt_status iqt_compile(const struct iqt_target *target,
                                         const char *text, struct iqt_buf *out);

/* Identity of the compiler that iqt_compile() would use ("nvrtc 13.0", "comgr 2.4",
 * "clang 22.1.8"), part of cache keys. "" : none, and iqt_last_error() says why. The text stays
 * valid as long as the process. */
const char *iqt_compiler_name(enum iqt_dialect d);

#endif
