/* The shaderc library through dlopen: compiles in this process. */
#include "runtime/vulkan_spirv_kind.h"

#include <dlfcn.h>
#include <shaderc/shaderc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* clang-format off */
#define SHADERC_FUNCTIONS(X)                                                                   \
    X(compiler_initialize)                                                                     \
    X(compiler_release)                                                                        \
    X(compile_options_initialize)                                                              \
    X(compile_options_release)                                                                 \
    X(compile_options_set_target_env)                                                          \
    X(compile_options_set_optimization_level)                                                  \
    X(compile_into_spv)                                                                        \
    X(result_release)                                                                          \
    X(result_get_length)                                                                       \
    X(result_get_bytes)                                                                        \
    X(result_get_compilation_status)                                                           \
    X(result_get_error_message)                                                                \
    X(get_spv_version)
/* clang-format on */

#define MEMBER(name) __typeof__(&shaderc_##name) name;
#define LOAD(fn)                                          \
    *(void **)&s->fn = dlsym(s->library, "shaderc_" #fn); \
    if (s->fn == NULL)                                    \
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s has no shaderc_" #fn, name);

struct shaderc {
    void *library;
    SHADERC_FUNCTIONS(MEMBER)
    shaderc_compiler_t compiler;
    shaderc_compile_options_t options;
};

/* The C interface does not tell shaderc's own version: the library's file stands for it. */
static uint64_t identity(const struct shaderc *s)
{
    unsigned version, revision;
    char text[512];
    struct stat st;
    Dl_info info;

    s->get_spv_version(&version, &revision);
    if (dladdr(*(void *const *)&s->get_spv_version, &info) == 0 ||
        stat(info.dli_fname, &st) != 0)
        memset(&st, 0, sizeof(st));
    snprintf(text, sizeof(text), "shaderc " IQT_SPIRV_OPTIONS " %x %x %lld %lld", version,
             revision, (long long)st.st_size, (long long)st.st_mtime);
    return iqt_hash(text, strlen(text), 0);
}

static enum iqt_status load(struct shaderc *s, const char *name)
{
    /* Never unloaded: glslang keeps per-thread data that outlives the last call. */
    s->library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (s->library == NULL)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s", dlerror());
    SHADERC_FUNCTIONS(LOAD)

    s->compiler = s->compiler_initialize();
    s->options = s->compile_options_initialize();
    if (s->compiler == NULL || s->options == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s could not start", name);
    s->compile_options_set_target_env(s->options, shaderc_target_env_vulkan,
                                      shaderc_env_version_vulkan_1_1);
    s->compile_options_set_optimization_level(s->options,
                                              shaderc_optimization_level_performance);
    return IQT_OK;
}

static void close_shaderc(void *state)
{
    struct shaderc *s = state;

    if (s->options != NULL)
        s->compile_options_release(s->options);
    if (s->compiler != NULL)
        s->compiler_release(s->compiler);
    if (s->library != NULL)
        dlclose(s->library);
    free(s);
}

static enum iqt_status open_shaderc(const char *name, void **state, uint64_t *id)
{
    struct shaderc *s = calloc(1, sizeof(*s));
    enum iqt_status status;

    if (s == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a compiler");
    status = load(s, name);
    if (status != IQT_OK) {
        close_shaderc(s);
        return status;
    }
    *id = identity(s);
    *state = s;
    return IQT_OK;
}

static enum iqt_status compile(void *state, const char *name, const char *text,
                               size_t bytes, struct iqt_spirv *out)
{
    const struct shaderc *s = state;
    shaderc_compilation_result_t result = s->compile_into_spv(
        s->compiler, text, bytes, shaderc_compute_shader, name, "main", s->options);
    enum iqt_status status;

    if (result == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s: the compiler gave no result", name);
    if (s->result_get_compilation_status(result) == shaderc_compilation_status_success)
        status = iqt_spirv_copy(s->result_get_bytes(result), s->result_get_length(result),
                                out);
    else
        status = iqt_spirv_fail(name, s->result_get_error_message(result));
    s->result_release(result);
    return status;
}

const struct iqt_spirv_kind iqt_spirv_shaderc = { open_shaderc, close_shaderc, compile };
