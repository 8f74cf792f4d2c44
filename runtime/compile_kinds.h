/* The compilers behind iqt_compile(), each in a file of its own. */
#ifndef IQT_RUNTIME_COMPILE_KINDS_H
#define IQT_RUNTIME_COMPILE_KINDS_H

#include "runtime/compile.h"
#include "runtime/gpu_api.h"
#include "runtime/vulkan_spirv.h"

IQT_MUST_USE enum iqt_status iqt_nvrtc_compile(const char *target, const char *text,
                                               struct iqt_buf *out);
const char *iqt_nvrtc_name(void);

/* comgr where it knows the target, else the program clang. */
IQT_MUST_USE enum iqt_status iqt_hip_compile(const char *target, const char *text,
                                             struct iqt_buf *out);
const char *iqt_hip_compiler_name(void);

/* IQT_ERR_UNSUPPORTED: no comgr, or it does not know the target. */
IQT_MUST_USE enum iqt_status iqt_comgr_compile(const char *target, const char *text,
                                               struct iqt_buf *out);
const char *iqt_comgr_name(void);
IQT_MUST_USE enum iqt_status iqt_clang_compile(const char *target, const char *text,
                                               struct iqt_buf *out);
const char *iqt_clang_name(void);

/* IQT_ERR_COMPILE with the beginning of the log. */
IQT_MUST_USE enum iqt_status iqt_compile_fail(const char *compiler, const char *target,
                                              const char *log);

#endif
