/* Finds and loads a GPU driver, real or simulated, and fills the table of its functions. Knows no
 * device. */
#include "runtime/gpu_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, DRIVERS = 2 };

/* ---- Simulated drivers ---- */

bool iqt_gpu_simulated(const char *name)
{
    const char *at = getenv("IQT_SIM");
    const size_t length = strlen(name);

    while (at != NULL && *at != '\0') {
        const size_t word = strcspn(at, ",");

        if (word == length && strncmp(at, name, length) == 0)
            return true;
        at += word + (at[word] == ',');
    }
    return false;
}

/* The folder of the program or library that this code is in. */
static bool own_folder(char *out, size_t bytes)
{
    Dl_info info;
    char *slash, *real;

    if (dladdr(&iqt_gpu_cuda, &info) == 0 || info.dli_fname == NULL)
        return false;
    real = realpath(info.dli_fname, NULL);
    if (real == NULL) /* a program started by its bare name */
        real = realpath("/proc/self/exe", NULL);
    if (real == NULL)
        return false;
    slash = strrchr(real, '/');
    *slash = '\0';
    snprintf(out, bytes, "%s", real);
    free(real);
    return true;
}

enum iqt_status iqt_gpu_simulator_path(const char *name, char *out, size_t bytes)
{
    static const char *const places[] = { "",
                                          "/..",
                                          "/iqtile",
                                          "/../lib/iqtile",
                                          "/../lib64/iqtile",
                                          "/../lib/x86_64-linux-gnu/iqtile",
                                          "/../lib/aarch64-linux-gnu/iqtile" };
    const char *given = getenv("IQT_SIM_DIR");
    char folder[PATH_BYTES];

    if (given != NULL) {
        snprintf(out, bytes, "%s/libiqtile_sim_%s.so", given, name);
        if (access(out, R_OK) == 0)
            return IQT_OK;
    } else if (own_folder(folder, sizeof folder)) {
        for (size_t i = 0; i < IQT_COUNT(places); i++) {
            snprintf(out, bytes, "%s%s/libiqtile_sim_%s.so", folder, places[i], name);
            if (access(out, R_OK) == 0)
                return IQT_OK;
        }
    }
    return iqt_fail(
        IQT_ERR_NO_DRIVER,
        "IQT_SIM names %s, but libiqtile_sim_%s.so is neither beside the program nor "
        "in %s",
        name, name, given != NULL ? given : "../lib/iqtile (IQT_SIM_DIR: another)");
}

/* ---- Loading ---- */

static enum iqt_status open_library(const struct iqt_gpu_driver *d,
                                    struct iqt_gpu_api *api)
{
    const char *given = getenv(d->library_variable);
    char path[PATH_BYTES];

    api->simulated = iqt_gpu_simulated(d->name);
    if (api->simulated) {
        IQT_TRY(iqt_gpu_simulator_path(d->name, path, sizeof path));
        given = path;
    }
    if (given != NULL && *given != '\0') {
        api->library = dlopen(given, RTLD_NOW | RTLD_LOCAL);
        if (api->library == NULL)
            return iqt_fail(IQT_ERR_NO_DRIVER, "cannot load %s: %s", given, dlerror());
        return IQT_OK;
    }
    for (size_t i = 0; d->libraries[i] != NULL && api->library == NULL; i++)
        api->library = dlopen(d->libraries[i], RTLD_NOW | RTLD_LOCAL);
    if (api->library == NULL)
        return iqt_fail(IQT_ERR_NO_DRIVER,
                        "no %s: %s not found (IQT_SIM=%s simulates one)", d->what,
                        d->libraries[0], d->name);
    return IQT_OK;
}

static enum iqt_status load_functions(const struct iqt_gpu_driver *d,
                                      struct iqt_gpu_api *api)
{
    const char *const *symbol = d->symbols;

#define LOAD(fn, parameters)                                                     \
    *(void **)&api->fn = dlsym(api->library, *symbol);                           \
    if (api->fn == NULL)                                                         \
        return iqt_fail(IQT_ERR_NO_DRIVER, "the %s has no %s: too old", d->what, \
                        *symbol);                                                \
    symbol++;
    IQT_GPU_FUNCTIONS(LOAD)
#undef LOAD
    for (size_t i = 0; d->own_symbols[i] != NULL; i++) {
        const bool optional = d->own_symbols[i][0] == '?';

        api->own[i] = dlsym(api->library, d->own_symbols[i] + optional);
        if (api->own[i] == NULL && !optional)
            return iqt_fail(IQT_ERR_NO_DRIVER, "the %s has no %s: too old", d->what,
                            d->own_symbols[i]);
    }
    return IQT_OK;
}

/* The driver's own name of a call of the table. */
static const char *symbol_of(const struct iqt_gpu_driver *d, const char *call)
{
    static const char *const names[] = {
#define NAME(fn, parameters) #fn,
        IQT_GPU_FUNCTIONS(NAME)
#undef NAME
    };

    for (size_t i = 0; i < IQT_COUNT(names); i++)
        if (strcmp(names[i], call) == 0)
            return d->symbols[i];
    return call;
}

/* A stub library, a driver without hardware and a broken installation all end here. */
static enum iqt_status no_device(const struct iqt_gpu_api *api, const char *call,
                                 int error)
{
    const struct iqt_gpu_driver *d = api->driver;

    return iqt_fail(IQT_ERR_NO_DRIVER, "the %s reports no device: %s: %s (%d)", d->what,
                    symbol_of(d, call), d->error_name(api, error), error);
}

static enum iqt_status start(const struct iqt_gpu_driver *d, struct iqt_gpu_api *api)
{
    int count = 0;
    int error = api->init(0);

    if (error != 0)
        return no_device(api, "init", error);
    error = api->device_count(&count);
    if (error != 0)
        return no_device(api, "device_count", error);
    if (count <= 0)
        return iqt_fail(IQT_ERR_NO_DRIVER, "the %s is installed but has no device",
                        d->what);
    error = api->driver_version(&api->version);
    if (error != 0) /* part of the cache's keys: better none than a wrong one */
        return no_device(api, "driver_version", error);
    return IQT_OK;
}

static enum iqt_status load(const struct iqt_gpu_driver *d, struct iqt_gpu_api *api)
{
    enum iqt_status status;

    *api = (struct iqt_gpu_api){ .driver = d };
    IQT_TRY(open_library(d, api));
    status = load_functions(d, api);
    if (status == IQT_OK)
        status = start(d, api);
    if (status != IQT_OK) {
        dlclose(api->library);
        api->library = NULL;
    }
    return status;
}

enum iqt_status iqt_gpu_load(const struct iqt_gpu_driver *driver,
                             const struct iqt_gpu_api **out)
{
    /* Never unloaded: drivers have threads and exit handlers of their own. A failure is not
     * remembered: another attempt may find a device that has come back. */
    static struct iqt_gpu_api loaded[DRIVERS];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct iqt_gpu_api *api = &loaded[driver->dialect == IQT_DIALECT_HIP];
    enum iqt_status status = IQT_OK;

    pthread_mutex_lock(&lock);
    if (api->library == NULL)
        status = load(driver, api);
    pthread_mutex_unlock(&lock);
    if (status == IQT_OK)
        *out = api;
    return status;
}

/* ---- Errors: the numbers that both APIs share ---- */

enum {
    GPU_OUT_OF_MEMORY = 2,
    GPU_INVALID_IMAGE = 200,
    GPU_NO_BINARY = 209,
    GPU_INVALID_PTX = 218,
    GPU_PTX_TOO_NEW = 222,
};

enum iqt_status iqt_gpu_fail(const struct iqt_gpu_api *api, const char *call, int error)
{
    enum iqt_status status = IQT_ERR_DEVICE;

    if (error == GPU_OUT_OF_MEMORY)
        status = IQT_ERR_NO_MEMORY;
    else if (error == GPU_INVALID_IMAGE || error == GPU_NO_BINARY ||
             error == GPU_INVALID_PTX || error == GPU_PTX_TOO_NEW)
        status = IQT_ERR_COMPILE;
    return iqt_fail(status, "%s: %s failed: %s (%d)", api->driver->name,
                    symbol_of(api->driver, call), api->driver->error_name(api, error),
                    error);
}
