/* The cuda and hip backends' own objects, shared by the gpu_*.c files and by tests that look inside.
 * Everything above them sees struct iqt_backend only. */
#ifndef IQT_RUNTIME_GPU_HW_H
#define IQT_RUNTIME_GPU_HW_H

#include "runtime/compile.h"
#include "runtime/gpu_api.h"

#include <pthread.h>

/* Loads of 16 bytes past the end of a slice stay inside its allocation. */
enum { IQT_GPU_SLACK = 32 };

struct iqt_hw {
    const struct iqt_gpu_api *api;
    int device;
    void *context;
    char *cache_dir; /* "" : none */
    struct iqt_target target;
    struct iqt_device_info info;
    struct iqt_limits limits;
    void *stream; /* for zeroing fresh memory */
    pthread_mutex_t stream_lock;
    pthread_mutex_t build_lock; /* compilers use much memory: one at a time */
};

struct iqt_stream {
    struct iqt_hw *hw;
    void *stream;
    void *start, *end; /* events */
    bool timed;        /* start has been recorded */
};

struct iqt_mem {
    uint64_t address, bytes;
};

struct iqt_kernel {
    void *module, *function;
    uint32_t threads; /* of a workgroup */
    uint32_t split;   /* workgroups that share k */
};

/* ---- gpu_device.c ---- */
IQT_MUST_USE enum iqt_status iqt_gpu_scan(const struct iqt_gpu_driver *driver,
                                          iqt_device_fn fn, void *user);
IQT_MUST_USE enum iqt_status iqt_gpu_open(const struct iqt_gpu_driver *driver,
                                          const struct iqt_backend_options *opt,
                                          uint32_t index, struct iqt_device_info *info,
                                          struct iqt_limits *limits, struct iqt_hw **out);
void iqt_gpu_close(struct iqt_hw *hw); /* NULL is allowed */
/* Makes the device's context current, and puts back what was. */
IQT_MUST_USE enum iqt_status iqt_gpu_enter(const struct iqt_hw *hw, void **saved);
void iqt_gpu_leave(const struct iqt_hw *hw, void *saved);
/* To let something go, which nobody will try again: a failure is not the last word. */
bool iqt_gpu_enter_to_release(const struct iqt_hw *hw, void **saved);

/* ---- gpu_stream.c ---- */
IQT_MUST_USE enum iqt_status iqt_gpu_stream_create(struct iqt_hw *hw,
                                                   struct iqt_stream **out);
void iqt_gpu_stream_destroy(struct iqt_stream *s);
IQT_MUST_USE enum iqt_status iqt_gpu_alloc(struct iqt_hw *hw, uint64_t bytes,
                                           const void *host, struct iqt_mem **out);
void iqt_gpu_free(struct iqt_hw *hw, struct iqt_mem *mem);
IQT_MUST_USE enum iqt_status iqt_gpu_write(struct iqt_stream *s, struct iqt_mem *mem,
                                           uint64_t offset, const void *data,
                                           uint64_t bytes);
IQT_MUST_USE enum iqt_status iqt_gpu_read(struct iqt_stream *s, struct iqt_mem *mem,
                                          uint64_t offset, void *data, uint64_t bytes);
IQT_MUST_USE enum iqt_status iqt_gpu_launch(struct iqt_stream *s,
                                            const struct iqt_launch *l);
IQT_MUST_USE enum iqt_status iqt_gpu_launch_set(struct iqt_stream *s,
                                                const struct iqt_launch *l, size_t count);
IQT_MUST_USE enum iqt_status iqt_gpu_finish(struct iqt_stream *s, uint64_t *elapsed_ns);
uint64_t iqt_gpu_max_binding(struct iqt_hw *hw, uint32_t *offset_align);
/* One launch with device addresses on any stream of the context, which is current. */
IQT_MUST_USE enum iqt_status iqt_gpu_enqueue(struct iqt_hw *hw, void *stream,
                                             const struct iqt_kernel *kernel,
                                             uint64_t address[IQT_BINDINGS],
                                             const void *params, uint32_t groups);
/* The same for a kernel that covers a set: products with the same XQ, XS and WORK. */
struct iqt_gpu_part {
    uint64_t address[IQT_BINDINGS];
    struct iqt_params params;
    uint32_t groups;
};
IQT_MUST_USE enum iqt_status iqt_gpu_enqueue_set(struct iqt_hw *hw, void *stream,
                                                 const struct iqt_kernel *kernel,
                                                 const struct iqt_gpu_part *part,
                                                 size_t count);

/* ---- gpu_kernel.c, gpu_cache.c ---- */
IQT_MUST_USE enum iqt_status iqt_gpu_build(struct iqt_hw *hw, const struct iqt_plan *plan,
                                           struct iqt_kernel **out);
IQT_MUST_USE enum iqt_status iqt_gpu_build_helper(struct iqt_hw *hw,
                                                  enum iqt_helper helper,
                                                  struct iqt_kernel **out);
void iqt_gpu_drop(struct iqt_hw *hw, struct iqt_kernel *kernel);
/* Compiled kernels on disk, by the hash of the text, the target and the driver. A file that is not
 * exactly what this library wrote is no file. The caller frees the buffer. */
bool iqt_gpu_cache_read(const struct iqt_hw *hw, uint64_t text_hash, struct iqt_buf *out);
void iqt_gpu_cache_write(const struct iqt_hw *hw, uint64_t text_hash, const void *image,
                         size_t bytes);
/* Path of a kernel's file; false when there is no cache folder. */
bool iqt_gpu_cache_path(const struct iqt_hw *hw, uint64_t text_hash, char *out,
                        size_t bytes);

/* Both backends' tables, alike but for the driver. */
#define IQT_GPU_BACKEND(api_, dialect_)                                                  \
    static enum iqt_status scan(const struct iqt_backend_options *opt, iqt_device_fn fn, \
                                void *user)                                              \
    {                                                                                    \
        (void)opt;                                                                       \
        return iqt_gpu_scan(&iqt_gpu_##api_, fn, user);                                  \
    }                                                                                    \
    static enum iqt_status open_index(const struct iqt_backend_options *opt,             \
                                      uint32_t index, struct iqt_device_info *info,      \
                                      struct iqt_limits *limits, struct iqt_hw **out)    \
    {                                                                                    \
        return iqt_gpu_open(&iqt_gpu_##api_, opt, index, info, limits, out);             \
    }                                                                                    \
    const struct iqt_backend iqt_backend_##api_ = {                                      \
        .name = #api_,                                                                   \
        .dialect = dialect_,                                                             \
        .scan = scan,                                                                    \
        .open = open_index,                                                              \
        .close = iqt_gpu_close,                                                          \
        .stream_create = iqt_gpu_stream_create,                                          \
        .stream_destroy = iqt_gpu_stream_destroy,                                        \
        .alloc = iqt_gpu_alloc,                                                          \
        .free = iqt_gpu_free,                                                            \
        .write = iqt_gpu_write,                                                          \
        .read = iqt_gpu_read,                                                            \
        .build = iqt_gpu_build,                                                          \
        .build_helper = iqt_gpu_build_helper,                                            \
        .drop = iqt_gpu_drop,                                                            \
        .launch = iqt_gpu_launch,                                                        \
        .launch_set = iqt_gpu_launch_set,                                                \
        .finish = iqt_gpu_finish,                                                        \
        .max_binding = iqt_gpu_max_binding,                                              \
    };

#endif
