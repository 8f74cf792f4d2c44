/* One vtable per device API. runtime/ has checked every argument: a slot may assume shapes,
 * sizes, legality and ownership. An absent driver is a status, never a message. */
#ifndef IQT_RUNTIME_BACKEND_H
#define IQT_RUNTIME_BACKEND_H

#include "kernels/plan.h"
#include "kernels/quantized.h"

struct iqt_hw;     /* an opened device, the backend's own */
struct iqt_stream; /* an in-order queue, the backend's own; one thread at a time */
struct iqt_mem;    /* device memory, the backend's own */
struct iqt_kernel; /* a compiled kernel, the backend's own; usable from all threads */

/* A part of device memory. */
struct iqt_slice {
    struct iqt_mem *mem;
    uint64_t offset, bytes;
};

struct iqt_launch {
    struct iqt_kernel *kernel;
    struct iqt_slice bind[IQT_BINDINGS]; /* mem NULL: not used by this kernel */
    const void *params; /* struct iqt_params, or the helper's own struct */
    uint32_t params_bytes;
    uint32_t groups; /* workgroups; the kernel numbers them 0 .. groups-1 */
    bool beside; /* needs nothing of the launch before: both may run at the same time */
};

struct iqt_backend_options {
    const char *cache_dir; /* "" : none */
    uint32_t cpu_threads;  /* 0: all */
};

struct iqt_backend {
    const char *name;         /* spelling in CLI, logs, database */
    enum iqt_dialect dialect; /* the text that build() takes */

    /* Calls fn for each usable device in index order. IQT_ERR_NO_DRIVER with a sentence in
     * iqt_last_error() when there is none. */
    enum iqt_status (*scan)(const struct iqt_backend_options *opt, iqt_device_fn fn,
                            void *user);
    /* Opens device index. Fills info and limits. */
    enum iqt_status (*open)(const struct iqt_backend_options *opt, uint32_t index,
                            struct iqt_device_info *info, struct iqt_limits *limits,
                            struct iqt_hw **out);
    void (*close)(struct iqt_hw *hw);

    enum iqt_status (*stream_create)(struct iqt_hw *hw, struct iqt_stream **out);
    void (*stream_destroy)(struct iqt_stream *s);

    /* bytes is rounded up so that loads of 16 bytes past the end stay legal; contents undefined.
     * host not NULL (cpu only, native layout): borrow this memory instead of allocating. */
    enum iqt_status (*alloc)(struct iqt_hw *hw, uint64_t bytes, const void *host,
                             struct iqt_mem **out);
    void (*free)(struct iqt_hw *hw, struct iqt_mem *mem);
    /* Synchronous copies. */
    enum iqt_status (*write)(struct iqt_stream *s, struct iqt_mem *mem, uint64_t offset,
                             const void *data, uint64_t bytes);
    enum iqt_status (*read)(struct iqt_stream *s, struct iqt_mem *mem, uint64_t offset,
                            void *data, uint64_t bytes);

    /* Makes a kernel ready: embedded binary, disk cache or compiler, in this order. plan NULL: the
     * activation quantizer. IQT_ERR_UNSUPPORTED when the plan is not embedded and no compiler is
     * present. */
    enum iqt_status (*build)(struct iqt_hw *hw, const struct iqt_plan *plan,
                             struct iqt_kernel **out);
    /* The same for a kernel without a plan; a CPU has no copy kernel. */
    enum iqt_status (*build_helper)(struct iqt_hw *hw, enum iqt_helper helper,
                                    struct iqt_kernel **out);
    void (*drop)(struct iqt_hw *hw, struct iqt_kernel *kernel);

    /* Appends a launch; later launches see its writes, but those beside it. */
    enum iqt_status (*launch)(struct iqt_stream *s, const struct iqt_launch *l);
    /* Appends launches of one kernel, of a plan that covers a set, as one launch: at most IQT_SET_JOBS,
     * with the same XQ, XS and WORK. NULL: this backend has no such kernels. */
    enum iqt_status (*launch_set)(struct iqt_stream *s, const struct iqt_launch *l,
                                  size_t count);
    /* Waits for all launches; elapsed_ns (may be NULL) is the device time between the first
     * launch's start and the last one's end, or host time where the device has no clock. */
    enum iqt_status (*finish)(struct iqt_stream *s, uint64_t *elapsed_ns);
    /* Largest slice that one binding may span, and the alignment of a slice's offset. */
    uint64_t (*max_binding)(struct iqt_hw *hw, uint32_t *offset_align);
};

extern const struct iqt_backend iqt_backend_cuda;
extern const struct iqt_backend iqt_backend_hip;
extern const struct iqt_backend iqt_backend_cpu;
extern const struct iqt_backend iqt_backend_vulkan;

/* NULL-terminated, most preferred first. */
extern const struct iqt_backend *const iqt_backends[];

#endif
