/* CUDA's driver API and HIP's runtime API as one table of functions: what both can do the same way
 * has one type here, what differs is a slot of struct iqt_gpu_driver. Addresses are 64-bit numbers,
 * handles are pointers, results are the API's numbers with 0 for success. */
#ifndef IQT_RUNTIME_GPU_API_H
#define IQT_RUNTIME_GPU_API_H

#include "runtime/backend.h"

/* X(type, name, parameters) */
#define IQT_GPU_FUNCTIONS(X)                                                            \
    X(init, (unsigned flags))                                                           \
    X(driver_version, (int *version))                                                   \
    X(device_count, (int *count))                                                       \
    X(device_get, (int *device, int ordinal))                                           \
    X(device_name, (char *name, int bytes, int device))                                 \
    X(device_memory, (size_t * bytes, int device))                                      \
    X(device_attribute, (int *value, int attribute, int device))                        \
    X(device_bus_id, (char *id, int bytes, int device))                                 \
    X(alloc, (uint64_t * address, size_t bytes))                                        \
    X(free, (uint64_t address))                                                         \
    X(write_async, (uint64_t to, const void *from, size_t bytes, void *stream))         \
    X(read_async, (void *to, uint64_t from, size_t bytes, void *stream))                \
    X(fill_async, (uint64_t to, unsigned char value, size_t bytes, void *stream))       \
    X(module_load, (void **module, const void *image))                                  \
    X(module_unload, (void *module))                                                    \
    X(module_function, (void **function, void *module, const char *name))               \
    X(launch,                                                                           \
      (void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, \
       unsigned bz, unsigned shared, void *stream, void **args, void **extra))          \
    X(stream_create, (void **stream, unsigned flags))                                   \
    X(stream_destroy, (void *stream))                                                   \
    X(stream_wait, (void *stream))                                                      \
    X(event_create, (void **event, unsigned flags))                                     \
    X(event_destroy, (void *event))                                                     \
    X(event_record, (void *event, void *stream))                                        \
    X(event_elapsed, (float *milliseconds, void *start, void *end))

enum iqt_gpu_attribute {
    IQT_GPU_THREADS, /* of a workgroup, at most */
    IQT_GPU_SHARED,  /* bytes of a workgroup, at most */
    IQT_GPU_WARP,
    IQT_GPU_UNITS, /* multiprocessors or compute units */
    IQT_GPU_L2,    /* bytes */
    IQT_GPU_CLOCK, /* kHz */
    IQT_GPU_ATTRIBUTES,
};

struct iqt_gpu_api;

/* Where one API differs from the other; a constant table in backend_cuda.c, backend_hip.c. */
struct iqt_gpu_driver {
    const char *name; /* "cuda", "hip" */
    enum iqt_dialect dialect;
    const char *library_variable; /* environment variable that names another library */
    const char *const *libraries; /* tried in turn, ends with NULL */
    const char *what;             /* "NVIDIA driver" */
    const char *const *symbols;   /* in the order of IQT_GPU_FUNCTIONS */
    const char *const
        *own_symbols; /* of own[], ends with NULL; optional ones start with '?' */
    const char *target_prefix; /* "sm_" for cubins, "" for gfx names */
    int attribute[IQT_GPU_ATTRIBUTES];
    const char *(*error_name)(const struct iqt_gpu_api *api, int error);
    /* Architecture as the compiler names it: "sm_90", "gfx1100". */
    enum iqt_status (*arch)(const struct iqt_gpu_api *api, int device, char out[64]);
    /* The device's own context, and letting it go. */
    enum iqt_status (*retain)(const struct iqt_gpu_api *api, int device, void **context);
    void (*release)(const struct iqt_gpu_api *api, int device);
    /* Makes it current on this thread; leave() restores what was current. */
    enum iqt_status (*enter)(const struct iqt_gpu_api *api, int device, void *context,
                             void **saved);
    void (*leave)(const struct iqt_gpu_api *api, void *saved);
    /* Whether a caller's stream may be used with the context. */
    enum iqt_status (*check_stream)(const struct iqt_gpu_api *api, void *context,
                                    void *stream);
};

enum { IQT_GPU_OWN = 8 };

struct iqt_gpu_api {
    const struct iqt_gpu_driver *driver;
    void *library;
    bool simulated;
    int version; /* of the driver */
    void *own
        [IQT_GPU_OWN]; /* functions named by own_symbols; NULL: an optional one is absent */
#define IQT_GPU_MEMBER(fn, parameters) int(*fn) parameters;
    IQT_GPU_FUNCTIONS(IQT_GPU_MEMBER)
#undef IQT_GPU_MEMBER
};

/* Loads and initialises the driver once a process; later calls return the same table. IQT_ERR_NO_DRIVER says what is missing: the library, a function of it, a device. */
IQT_MUST_USE enum iqt_status iqt_gpu_load(const struct iqt_gpu_driver *driver,
                                          const struct iqt_gpu_api **out);
/* Whether $IQT_SIM, a comma-separated list, names this API. */
bool iqt_gpu_simulated(const char *name);
/* Path of the simulated driver; IQT_ERR_NO_DRIVER names the places where it was sought. */
IQT_MUST_USE enum iqt_status iqt_gpu_simulator_path(const char *name, char *out,
                                                    size_t bytes);

/* Reports a failed call with its name and the driver's words; out of memory, a lost device and bad
 * images have statuses of their own. */
IQT_MUST_USE enum iqt_status iqt_gpu_fail(const struct iqt_gpu_api *api, const char *call,
                                          int error);
#define IQT_GPU_TRY(api, call, ...)                        \
    do {                                                   \
        const int gpu_error_ = (api)->call(__VA_ARGS__);   \
        if (gpu_error_ != 0)                               \
            return iqt_gpu_fail((api), #call, gpu_error_); \
    } while (0)

extern const struct iqt_gpu_driver iqt_gpu_cuda, iqt_gpu_hip;

#endif
