/* GLSL text to SPIR-V: a compiler found at run time, and a cache on disk. Knows no Vulkan device. */
#ifndef IQT_RUNTIME_VULKAN_SPIRV_H
#define IQT_RUNTIME_VULKAN_SPIRV_H

#include "base/base.h"

struct iqt_spirv_compiler; /* one thread at a time */

struct iqt_spirv {
    uint32_t *word; /* iqt_spirv_free() */
    size_t words;
};

/* Finds a compiler: the shaderc library, else the program glslc. $IQT_GLSL_COMPILER names the only
 * one to try, a library if its name has ".so". IQT_ERR_UNSUPPORTED says what was tried. */
IQT_MUST_USE enum iqt_status iqt_spirv_compiler_open(struct iqt_spirv_compiler **out);
void iqt_spirv_compiler_close(struct iqt_spirv_compiler *c); /* NULL is allowed */
/* Identity of the compiler and of the options it is called with; never 0. */
uint64_t iqt_spirv_compiler_id(const struct iqt_spirv_compiler *c);

/* Compiles GLSL compute text; name appears in messages. IQT_ERR_COMPILE carries the first lines
 * of the log. */
IQT_MUST_USE enum iqt_status iqt_spirv_compile(struct iqt_spirv_compiler *c,
                                               const char *name, const char *text,
                                               size_t bytes, struct iqt_spirv *out);
void iqt_spirv_free(struct iqt_spirv *s); /* leaves an empty one */

/* cache_dir/spirv/<text hash>.spv. Reading fails quietly (false) for an absent, damaged or foreign
 * file, and for one of another compiler unless compiler is 0 (none present). */
bool iqt_spirv_cache_read(const char *cache_dir, uint64_t text_hash, uint64_t compiler,
                          struct iqt_spirv *out);
IQT_MUST_USE enum iqt_status iqt_spirv_cache_write(const char *cache_dir,
                                                   uint64_t text_hash, uint64_t compiler,
                                                   const struct iqt_spirv *s);
/* Path of a cache file; false when there is no cache folder or it does not fit. */
bool iqt_spirv_cache_path(const char *cache_dir, uint64_t text_hash, char *out,
                          size_t bytes);

#endif
