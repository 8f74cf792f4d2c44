/* NVRTC: CUDA text to cubin or PTX, in process and without a GPU. */
#include "runtime/compile_kinds.h"

#include <dlfcn.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, INVALID_OPTION = 5 };

typedef void *program;

/* X(name, parameters): the functions that are used, with nvrtc in front. */
#define FUNCTIONS(X)                                                                     \
    X(Version, (int *major, int *minor))                                                 \
    X(CreateProgram, (program * p, const char *text, const char *name, int headers,      \
                      const char *const *header_texts, const char *const *header_names)) \
    X(CompileProgram, (program p, int count, const char *const *options))                \
    X(GetCUBINSize, (program p, size_t * bytes))                                         \
    X(GetCUBIN, (program p, char *out))                                                  \
    X(GetPTXSize, (program p, size_t * bytes))                                           \
    X(GetPTX, (program p, char *out))                                                    \
    X(GetProgramLogSize, (program p, size_t * bytes))                                    \
    X(GetProgramLog, (program p, char *out))                                             \
    X(DestroyProgram, (program * p))

static struct {
    pthread_mutex_t lock;
    void *library;
    char name[64];
#define MEMBER(fn, parameters) int(*fn) parameters;
    FUNCTIONS(MEMBER)
#undef MEMBER
} nvrtc = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- Finding the library ---- */

static const char *const linker_names[] = { "libnvrtc.so.13", "libnvrtc.so.12",
                                            "libnvrtc.so.11.2", "libnvrtc.so" };
/* Toolkits and PyPI wheels; a leading $NAME is a variable, ~ the home folder. */
static const char *const patterns[] = {
    "$CUDA_HOME/lib64/libnvrtc.so.[0-9]*",
    "$CUDA_PATH/lib64/libnvrtc.so.[0-9]*",
    "$VIRTUAL_ENV/lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so.[0-9]*",
    "$CONDA_PREFIX/lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so.[0-9]*",
    "$CONDA_PREFIX/lib/libnvrtc.so.[0-9]*",
    "~/.local/lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so.[0-9]*",
};

/* False when the variable is not set. */
static bool expand(const char *pattern, char *out, size_t bytes)
{
    const char *rest = pattern, *front = "";
    char name[32];

    if (*pattern == '$' || *pattern == '~') {
        rest = strchr(pattern, '/');
        snprintf(name, sizeof name, "%.*s", (int)(rest - pattern - 1), pattern + 1);
        front = getenv(*pattern == '~' ? "HOME" : name);
        if (front == NULL || *front == '\0')
            return false;
    }
    return snprintf(out, bytes, "%s%s", front, rest) < (int)bytes;
}

static void *open_matches(const char *pattern)
{
    void *library = NULL;
    char path[PATH_BYTES];
    glob_t found;

    if (!expand(pattern, path, sizeof path) || glob(path, 0, NULL, &found) != 0)
        return NULL;
    for (size_t i = 0; i < found.gl_pathc && library == NULL; i++)
        library = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    globfree(&found);
    return library;
}

/* The toolkit that nvcc belongs to: bin/nvcc and lib64 are neighbours. */
static void *open_beside_nvcc(void)
{
    const char *at = getenv("PATH");
    char path[PATH_BYTES], pattern[PATH_BYTES];
    void *library = NULL;

    while (at != NULL && *at != '\0' && library == NULL) {
        const size_t length = strcspn(at, ":");
        char *real, *slash;

        snprintf(path, sizeof path, "%.*s/nvcc", (int)length, at);
        at += length + (at[length] == ':');
        real = realpath(path, NULL);
        slash = real != NULL ? strrchr(real, '/') : NULL;
        if (slash != NULL &&
            (size_t)snprintf(pattern, sizeof pattern, "%.*s/../lib64/libnvrtc.so.[0-9]*",
                             (int)(slash - real), real) < sizeof pattern)
            library = open_matches(pattern);
        free(real);
    }
    return library;
}

static enum iqt_status open_named(const char *path)
{
    nvrtc.library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (nvrtc.library == NULL)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "cannot load %s: %s", path, dlerror());
    return IQT_OK;
}

static enum iqt_status open_library(void)
{
    const char *given = getenv("IQT_NVRTC");
    char path[PATH_BYTES];

    if (iqt_gpu_simulated("cuda")) {
        IQT_TRY(iqt_gpu_simulator_path("cuda", path, sizeof path));
        return open_named(path);
    }
    if (given != NULL && *given != '\0')
        return open_named(given);
    for (size_t i = 0; i < IQT_COUNT(linker_names) && nvrtc.library == NULL; i++)
        nvrtc.library = dlopen(linker_names[i], RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; i < IQT_COUNT(patterns) && nvrtc.library == NULL; i++)
        nvrtc.library = open_matches(patterns[i]);
    if (nvrtc.library == NULL)
        nvrtc.library = open_beside_nvcc();
    if (nvrtc.library == NULL)
        return iqt_fail(
            IQT_ERR_UNSUPPORTED,
            "no NVRTC: %s not found in the linker's path, beside nvcc, in $CUDA_HOME or PyPI's "
            "nvidia-cuda-nvrtc (IQT_NVRTC names one)",
            linker_names[0]);
    return IQT_OK;
}

/* NVRTC opens its builtins by their bare name, which the linker finds only in its own path: once they
 * are loaded from NVRTC's folder, the name means these. */
static void open_builtins(void)
{
    char pattern[PATH_BYTES];
    const char *slash;
    Dl_info info;
    glob_t found;

    if (dladdr(*(void **)&nvrtc.Version, &info) == 0 || info.dli_fname == NULL ||
        (slash = strrchr(info.dli_fname, '/')) == NULL)
        return;
    snprintf(pattern, sizeof pattern, "%.*s/libnvrtc-builtins.so.[0-9]*",
             (int)(slash - info.dli_fname), info.dli_fname);
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        (void)dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_GLOBAL);
    globfree(&found);
}

static enum iqt_status load_functions(void)
{
    int major = 0, minor = 0;

#define LOAD(fn, parameters)                                 \
    *(void **)&nvrtc.fn = dlsym(nvrtc.library, "nvrtc" #fn); \
    if (nvrtc.fn == NULL)                                    \
        return iqt_fail(IQT_ERR_UNSUPPORTED, "NVRTC has no nvrtc" #fn ": too old");
    FUNCTIONS(LOAD)
#undef LOAD
    if (nvrtc.Version(&major, &minor) != 0)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "NVRTC does not tell its version: "
                                             "nvrtcVersion failed");
    snprintf(nvrtc.name, sizeof nvrtc.name, "%snvrtc %d.%d",
             iqt_gpu_simulated("cuda") ? "simulated " : "", major, minor);
    open_builtins();
    return IQT_OK;
}

static enum iqt_status load(void)
{
    enum iqt_status status = IQT_OK;

    pthread_mutex_lock(&nvrtc.lock);
    if (nvrtc.library == NULL) {
        status = open_library();
        if (status == IQT_OK)
            status = load_functions();
        if (status != IQT_OK && nvrtc.library != NULL) {
            dlclose(nvrtc.library);
            nvrtc.library = NULL;
        }
    }
    pthread_mutex_unlock(&nvrtc.lock);
    return status;
}

const char *iqt_nvrtc_name(void)
{
    return load() == IQT_OK ? nvrtc.name : "";
}

/* ---- Compiling ---- */

static enum iqt_status fail_log(program p, const char *target, int error)
{
    struct iqt_buf log = { 0 };
    enum iqt_status status;
    size_t bytes = 0;
    char *text = NULL;

    if (nvrtc.GetProgramLogSize(p, &bytes) == 0)
        text = calloc(1, bytes + 1);
    if (text != NULL && nvrtc.GetProgramLog(p, text) == 0)
        iqt_buf_printf(&log, "%s", text);
    if (log.bytes <= 1)
        iqt_buf_printf(&log, "nvrtcCompileProgram: error %d", error);
    status = iqt_compile_fail(nvrtc.name, target, iqt_buf_text(&log));
    if (error == INVALID_OPTION)
        status = iqt_fail(IQT_ERR_UNSUPPORTED, "%s does not know the architecture %s",
                          nvrtc.name, target);
    iqt_buf_free(&log);
    free(text);
    return status;
}

static enum iqt_status take(program p, const char *target, struct iqt_buf *out)
{
    const bool ptx = strncmp(target, "compute_", 8) == 0;
    size_t bytes = 0;
    char *image;
    int error = ptx ? nvrtc.GetPTXSize(p, &bytes) : nvrtc.GetCUBINSize(p, &bytes);

    if (error != 0 || bytes == 0)
        return iqt_fail(IQT_ERR_COMPILE,
                        "%s gave no binary for %s: nvrtcGet%sSize: error %d", nvrtc.name,
                        target, ptx ? "PTX" : "CUBIN", error);
    image = malloc(bytes);
    if (image == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a kernel of %zu bytes", bytes);
    error = ptx ? nvrtc.GetPTX(p, image) : nvrtc.GetCUBIN(p, image);
    if (error == 0)
        iqt_buf_append(out, image, bytes);
    free(image);
    return error == 0 ? IQT_OK
                      : iqt_fail(IQT_ERR_COMPILE, "%s: nvrtcGet%s: error %d", nvrtc.name,
                                 ptx ? "PTX" : "CUBIN", error);
}

enum iqt_status iqt_nvrtc_compile(const char *target, const char *text,
                                  struct iqt_buf *out)
{
    char arch[64];
    const char *const options[] = { arch, "-std=c++17" };
    program p = NULL;
    enum iqt_status status;
    int error;

    IQT_TRY(load());
    snprintf(arch, sizeof arch, "--gpu-architecture=%.32s", target);
    error = nvrtc.CreateProgram(&p, text, "kernel.cu", 0, NULL, NULL);
    if (error != 0)
        return iqt_fail(IQT_ERR_COMPILE, "%s: nvrtcCreateProgram: error %d", nvrtc.name,
                        error);
    error = nvrtc.CompileProgram(p, IQT_COUNT(options), options);
    status = error != 0 ? fail_log(p, target, error) : take(p, target, out);
    (void)nvrtc.DestroyProgram(&p);
    return status;
}
