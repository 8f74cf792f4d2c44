/* AMD's code object manager, comgr: HIP text to a code object, in process and without a GPU. Asks for
 * its list of architectures first: told to compile for another, some versions quietly take a
 * default one. Numbers are those of amd_comgr.h 2.x; version 3 renumbered them. */
#include "runtime/compile_kinds.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LANGUAGE_HIP = 4, DATA_SOURCE = 1, DATA_LOG = 5, DATA_EXECUTABLE = 8 };
enum { SOURCE_TO_BC = 2, BC_TO_RELOCATABLE = 6, LINK_EXECUTABLE = 9 };
enum { MAJOR = 2, PATH_BYTES = 4096 };

struct handle { /* of everything in comgr: 64 bits by value */
    uint64_t value;
};

/* X(name, result, parameters), with amd_comgr_ in front. */
#define FUNCTIONS(X)                                                         \
    X(get_version, void, (size_t * major, size_t * minor))                   \
    X(get_isa_count, int, (size_t * count))                                  \
    X(get_isa_name, int, (size_t index, const char **name))                  \
    X(create_data, int, (int kind, struct handle *data))                     \
    X(set_data, int, (struct handle data, size_t bytes, const char *text))   \
    X(set_data_name, int, (struct handle data, const char *name))            \
    X(get_data, int, (struct handle data, size_t * bytes, char *out))        \
    X(release_data, int, (struct handle data))                               \
    X(create_data_set, int, (struct handle * set))                           \
    X(destroy_data_set, int, (struct handle set))                            \
    X(data_set_add, int, (struct handle set, struct handle data))            \
    X(create_action_info, int, (struct handle * info))                       \
    X(destroy_action_info, int, (struct handle info))                        \
    X(action_info_set_language, int, (struct handle info, int language))     \
    X(action_info_set_isa_name, int, (struct handle info, const char *isa))  \
    X(action_info_set_option_list, int,                                      \
      (struct handle info, const char *const *options, size_t count))        \
    X(action_info_set_logging, int, (struct handle info, bool on))           \
    X(do_action, int,                                                        \
      (int action, struct handle info, struct handle in, struct handle out)) \
    X(action_data_count, int, (struct handle set, int kind, size_t *count))  \
    X(action_data_get_data, int,                                             \
      (struct handle set, int kind, size_t index, struct handle *data))

static struct {
    pthread_mutex_t lock;
    void *library;
    char name[64];
#define MEMBER(fn, result, parameters) result(*fn) parameters;
    FUNCTIONS(MEMBER)
#undef MEMBER
} comgr = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- Loading ---- */

static const char *const linker_names[] = { "libamd_comgr.so.2", "libamd_comgr.so" };

static enum iqt_status open_library(void)
{
    const char *given = getenv("IQT_COMGR");
    char path[PATH_BYTES];

    if (iqt_gpu_simulated("hip")) {
        IQT_TRY(iqt_gpu_simulator_path("hip", path, sizeof path));
        given = path;
    }
    if (given != NULL && *given != '\0')
        comgr.library = dlopen(given, RTLD_NOW | RTLD_LOCAL);
    else
        for (size_t i = 0; i < IQT_COUNT(linker_names) && comgr.library == NULL; i++)
            comgr.library = dlopen(linker_names[i], RTLD_NOW | RTLD_LOCAL);
    if (comgr.library == NULL)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "no comgr: %s not found (IQT_COMGR names one)",
                        given != NULL && *given != '\0' ? given : linker_names[0]);
    return IQT_OK;
}

static enum iqt_status load_functions(void)
{
    size_t major = 0, minor = 0;

#define LOAD(fn, result, parameters)                              \
    *(void **)&comgr.fn = dlsym(comgr.library, "amd_comgr_" #fn); \
    if (comgr.fn == NULL)                                         \
        return iqt_fail(IQT_ERR_UNSUPPORTED, "comgr has no amd_comgr_" #fn);
    FUNCTIONS(LOAD)
#undef LOAD
    comgr.get_version(&major, &minor);
    if (major != MAJOR)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "comgr %zu.%zu; version 2 is supported",
                        major, minor);
    snprintf(comgr.name, sizeof comgr.name, "%scomgr %zu.%zu",
             iqt_gpu_simulated("hip") ? "simulated " : "", major, minor);
    return IQT_OK;
}

static enum iqt_status load(void)
{
    enum iqt_status status = IQT_OK;

    pthread_mutex_lock(&comgr.lock);
    if (comgr.library == NULL) {
        status = open_library();
        if (status == IQT_OK)
            status = load_functions();
        if (status != IQT_OK && comgr.library != NULL) {
            dlclose(comgr.library);
            comgr.library = NULL;
        }
    }
    pthread_mutex_unlock(&comgr.lock);
    return status;
}

const char *iqt_comgr_name(void)
{
    return load() == IQT_OK ? comgr.name : "";
}

static enum iqt_status failed(const char *target, const char *what, int error)
{
    return iqt_fail(IQT_ERR_COMPILE, "%s for %s: amd_comgr_%s failed with status %d",
                    comgr.name, target, what, error);
}

#define COMGR_TRY(target, fn, ...)                      \
    do {                                                \
        const int comgr_error_ = comgr.fn(__VA_ARGS__); \
        if (comgr_error_ != 0)                          \
            return failed((target), #fn, comgr_error_); \
    } while (0)

static enum iqt_status find_isa(const char *target, const char **out)
{
    size_t count = 0;

    COMGR_TRY(target, get_isa_count, &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = "", *arch;

        COMGR_TRY(target, get_isa_name, i, &name);
        arch = strrchr(name, '-');
        if (arch != NULL && strcmp(arch + 1, target) == 0) {
            *out = name;
            return IQT_OK;
        }
    }
    return iqt_fail(IQT_ERR_UNSUPPORTED, "%s does not know the architecture %s",
                    comgr.name, target);
}

/* ---- Compiling ---- */

/* Everything that a compilation makes, so that one function can let it go. */
struct work {
    const char *target;
    struct handle info, source, set[4]; /* set i: before step i */
    size_t sets;
    bool has_info, has_source;
};

static enum iqt_status copy_data(const char *target, struct handle data,
                                 struct iqt_buf *out)
{
    size_t bytes = 0;
    char *text;
    int error;

    COMGR_TRY(target, get_data, data, &bytes, NULL);
    text = malloc(bytes + 1);
    if (text == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu bytes", bytes);
    error = comgr.get_data(data, &bytes, text);
    if (error == 0)
        iqt_buf_append(out, text, bytes);
    free(text);
    return error == 0 ? IQT_OK : failed(target, "get_data", error);
}

/* The first data object of a kind in a set, as bytes; no bytes where there is none. */
static enum iqt_status read_data(const char *target, struct handle set, int kind,
                                 struct iqt_buf *out)
{
    enum iqt_status status;
    struct handle data;
    size_t count = 0;

    COMGR_TRY(target, action_data_count, set, kind, &count);
    if (count == 0)
        return IQT_OK;
    COMGR_TRY(target, action_data_get_data, set, kind, 0, &data);
    status = copy_data(target, data, out);
    (void)comgr.release_data(data);
    return status;
}

static enum iqt_status add_set(struct work *w)
{
    COMGR_TRY(w->target, create_data_set, &w->set[w->sets]);
    w->sets++;
    return IQT_OK;
}

static enum iqt_status prepare(struct work *w, const char *isa, const char *text)
{
    COMGR_TRY(w->target, create_action_info, &w->info);
    w->has_info = true;
    COMGR_TRY(w->target, action_info_set_language, w->info, LANGUAGE_HIP);
    COMGR_TRY(w->target, action_info_set_isa_name, w->info, isa);
    COMGR_TRY(w->target, action_info_set_logging, w->info, true);
    COMGR_TRY(w->target, create_data, DATA_SOURCE, &w->source);
    w->has_source = true;
    COMGR_TRY(w->target, set_data, w->source, strlen(text), text);
    COMGR_TRY(w->target, set_data_name, w->source, "kernel.hip");
    IQT_TRY(add_set(w));
    COMGR_TRY(w->target, data_set_add, w->set[0], w->source);
    return IQT_OK;
}

static enum iqt_status step(struct work *w, int action, const char *const *options,
                            size_t count)
{
    struct iqt_buf log = { 0 };
    enum iqt_status status;
    int error;

    COMGR_TRY(w->target, action_info_set_option_list, w->info, options, count);
    IQT_TRY(add_set(w));
    error = comgr.do_action(action, w->info, w->set[w->sets - 2], w->set[w->sets - 1]);
    if (error == 0)
        return IQT_OK;
    if (read_data(w->target, w->set[w->sets - 1], DATA_LOG, &log) == IQT_OK &&
        log.bytes > 0)
        status = iqt_compile_fail(comgr.name, w->target, iqt_buf_text(&log));
    else
        status = failed(w->target, "do_action", error);
    iqt_buf_free(&log);
    return status;
}

static enum iqt_status run(struct work *w, const char *isa, const char *text,
                           struct iqt_buf *out)
{
    static const char *const options[] = { "-O3", "-nogpulib", "-nogpuinc" };
    const size_t before = out->bytes;

    IQT_TRY(prepare(w, isa, text));
    IQT_TRY(step(w, SOURCE_TO_BC, options, IQT_COUNT(options)));
    IQT_TRY(step(w, BC_TO_RELOCATABLE, options, 1));
    IQT_TRY(step(w, LINK_EXECUTABLE, NULL, 0));
    IQT_TRY(read_data(w->target, w->set[w->sets - 1], DATA_EXECUTABLE, out));
    if (out->bytes == before)
        return iqt_fail(IQT_ERR_COMPILE, "%s for %s: no code object came out", comgr.name,
                        w->target);
    return IQT_OK;
}

enum iqt_status iqt_comgr_compile(const char *target, const char *text,
                                  struct iqt_buf *out)
{
    struct work w = { .target = target };
    const char *isa = NULL;
    enum iqt_status status;

    IQT_TRY(load());
    IQT_TRY(find_isa(target, &isa));
    status = run(&w, isa, text, out);
    while (w.sets > 0)
        (void)comgr.destroy_data_set(w.set[--w.sets]);
    if (w.has_source)
        (void)comgr.release_data(w.source);
    if (w.has_info)
        (void)comgr.destroy_action_info(w.info);
    return status;
}
