/* shaderc through dlopen: GLSL compute text in, SPIR-V out. One set of options for everything. */
#include "runtime/vulkan_spirv.h"

#include <dlfcn.h>
#include <shaderc/shaderc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Part of the compiler's identity: change it with the options below. */
static const char options_text[] = "vulkan1.1 performance";

enum { LOG_LINES = 6 };

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
#define LOAD(name)                                            \
    *(void **)&c->name = dlsym(c->library, "shaderc_" #name); \
    if (c->name == NULL)                                      \
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s has no shaderc_" #name, library_name());

struct iqt_spirv_compiler {
    void *library;
    SHADERC_FUNCTIONS(MEMBER)
    shaderc_compiler_t compiler;
    shaderc_compile_options_t options;
    uint64_t id;
};

static const char *library_name(void)
{
    const char *name = getenv("IQT_SHADERC");

    return name != NULL && *name != '\0' ? name : "libshaderc.so.1";
}

/* The C interface does not tell shaderc's own version: the library's file stands for it. */
static uint64_t identity(const struct iqt_spirv_compiler *c)
{
    unsigned version, revision;
    char text[512];
    struct stat st;
    Dl_info info;

    c->get_spv_version(&version, &revision);
    if (dladdr(*(void *const *)&c->get_spv_version, &info) == 0 ||
        stat(info.dli_fname, &st) != 0)
        memset(&st, 0, sizeof(st));
    snprintf(text, sizeof(text), "%s %x %x %lld %lld", options_text, version, revision,
             (long long)st.st_size, (long long)st.st_mtime);
    return iqt_hash(text, strlen(text), 1);
}

static enum iqt_status compiler_load(struct iqt_spirv_compiler *c)
{
    /* Never unloaded: glslang keeps per-thread data that outlives the last call. */
    c->library = dlopen(library_name(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (c->library == NULL)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s not found", library_name());
    SHADERC_FUNCTIONS(LOAD)

    c->compiler = c->compiler_initialize();
    c->options = c->compile_options_initialize();
    if (c->compiler == NULL || c->options == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s could not start", library_name());
    c->compile_options_set_target_env(c->options, shaderc_target_env_vulkan,
                                      shaderc_env_version_vulkan_1_1);
    c->compile_options_set_optimization_level(c->options,
                                              shaderc_optimization_level_performance);
    c->id = identity(c);
    return IQT_OK;
}

enum iqt_status iqt_spirv_compiler_open(struct iqt_spirv_compiler **out)
{
    struct iqt_spirv_compiler *c = calloc(1, sizeof(*c));
    enum iqt_status status;

    if (c == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a compiler");
    status = compiler_load(c);
    if (status != IQT_OK) {
        iqt_spirv_compiler_close(c);
        return status;
    }
    *out = c;
    return IQT_OK;
}

void iqt_spirv_compiler_close(struct iqt_spirv_compiler *c)
{
    if (c == NULL)
        return;
    if (c->options != NULL)
        c->compile_options_release(c->options);
    if (c->compiler != NULL)
        c->compiler_release(c->compiler);
    if (c->library != NULL)
        dlclose(c->library);
    free(c);
}

uint64_t iqt_spirv_compiler_id(const struct iqt_spirv_compiler *c)
{
    return c->id;
}

/* Bytes of the log's first lines. */
static int log_head(const char *log)
{
    const char *end = log;

    for (int line = 0; line < LOG_LINES && *end != '\0'; line++) {
        const char *next = strchr(end, '\n');

        end = next != NULL ? next + 1 : end + strlen(end);
    }
    while (end > log && end[-1] == '\n')
        end--;
    return (int)(end - log);
}

static enum iqt_status take_words(const struct iqt_spirv_compiler *c,
                                  shaderc_compilation_result_t result,
                                  struct iqt_spirv *out)
{
    const size_t bytes = c->result_get_length(result);
    uint32_t *word = malloc(bytes);

    if (word == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu bytes of SPIR-V", bytes);
    memcpy(word, c->result_get_bytes(result), bytes);
    *out = (struct iqt_spirv){ word, bytes / sizeof(*word) };
    return IQT_OK;
}

enum iqt_status iqt_spirv_compile(struct iqt_spirv_compiler *c, const char *name,
                                  const char *text, size_t bytes, struct iqt_spirv *out)
{
    shaderc_compilation_result_t result = c->compile_into_spv(
        c->compiler, text, bytes, shaderc_compute_shader, name, "main", c->options);
    enum iqt_status status;

    if (result == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s: the compiler gave no result", name);
    if (c->result_get_compilation_status(result) != shaderc_compilation_status_success) {
        const char *log = c->result_get_error_message(result);

        status = iqt_fail(IQT_ERR_COMPILE, "%s: %.*s", name, log_head(log), log);
    } else {
        status = take_words(c, result, out);
    }
    c->result_release(result);
    return status;
}

void iqt_spirv_free(struct iqt_spirv *s)
{
    free(s->word);
    *s = (struct iqt_spirv){ NULL, 0 };
}
