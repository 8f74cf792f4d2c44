/* The kinds of GLSL compilers: a library in this process or a program beside it. Both take the same
 * text with the same options. */
#ifndef IQT_RUNTIME_VULKAN_SPIRV_KIND_H
#define IQT_RUNTIME_VULKAN_SPIRV_KIND_H

#include "runtime/vulkan_spirv.h"

/* Options of both kinds, spelled once for the compiler's identity: change it with them. */
#define IQT_SPIRV_OPTIONS "vulkan1.1 performance"

struct iqt_spirv_kind {
    /* name: file name of the library or program. IQT_ERR_UNSUPPORTED when it cannot be used.
     * Writes an identity that changes with the compiler's version. */
    enum iqt_status (*open)(const char *name, void **state, uint64_t *id);
    void (*close)(void *state);
    enum iqt_status (*compile)(void *state, const char *name, const char *text,
                               size_t bytes, struct iqt_spirv *out);
};

extern const struct iqt_spirv_kind iqt_spirv_shaderc, iqt_spirv_glslc;

/* Copies a compiler's output; bytes must be a multiple of 4. */
IQT_MUST_USE enum iqt_status iqt_spirv_copy(const void *data, size_t bytes,
                                            struct iqt_spirv *out);
/* Reports IQT_ERR_COMPILE with the first lines of a log. */
enum iqt_status iqt_spirv_fail(const char *name, const char *log);

#endif
