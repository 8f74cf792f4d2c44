/* A simulated GPU as a caller of the library sees it: the driver's functions under their own names,
 * what the simulator tells tests, buffers and streams of the caller. */
#ifndef IQT_TESTS_GPU_CASE_H
#define IQT_TESTS_GPU_CASE_H

#include "runtime/gpu_hw.h"
#include "sim/sim.h"
#include "tests/problem.h"

#include <iqtile/gpu.h>

#include <dlfcn.h>

/* What both simulated libraries offer to tests. */
#define GPU_SIM_FUNCTIONS(X)                                            \
    X(void, set_fault, (const char *function, uint32_t nth, int error)) \
    X(uint64_t, calls, (void))                                          \
    X(void, calls_reset, (void))                                        \
    X(const char *, call_name, (uint64_t i))                            \
    X(struct iqt_sim_live, live, (void))                                \
    X(uint32_t, faults, (void))                                         \
    X(void, set_check, (int on))                                        \
    X(void, set_order, (enum iqt_sim_order order, uint64_t seed))

#define GPU_COUNT(fn, parameters) +1
enum { GPU_FUNCTIONS = 0 IQT_GPU_FUNCTIONS(GPU_COUNT) };
#undef GPU_COUNT

struct gpu_api {
    const char *name; /* "cuda", "hip" */
    const struct iqt_gpu_driver *driver;
    const char *first, *second; /* devices of different kinds */
    /* The caller's own calls. */
    const char *begin_capture, *end_capture, *instantiate, *replay, *drop_graph;
    const char *compile; /* what the runtime must call to compile a kernel */
    void *library;
#define GPU_SIM_MEMBER(result, fn, parameters) result(*fn) parameters;
    GPU_SIM_FUNCTIONS(GPU_SIM_MEMBER)
#undef GPU_SIM_MEMBER
};

static struct gpu_api gpu_apis[] = {
    { .name = "cuda",
      .driver = &iqt_gpu_cuda,
      .first = "cuda:0",
      .second = "cuda:1",
      .begin_capture = "cuStreamBeginCapture_v2",
      .end_capture = "cuStreamEndCapture",
      .instantiate = "cuGraphInstantiateWithFlags",
      .replay = "cuGraphLaunch",
      .drop_graph = "cuGraphDestroy",
      .compile = "nvrtcCompileProgram" },
    { .name = "hip",
      .driver = &iqt_gpu_hip,
      .first = "hip:0",
      .second = "hip:1",
      .begin_capture = "hipStreamBeginCapture",
      .end_capture = "hipStreamEndCapture",
      .instantiate = "hipGraphInstantiateWithFlags",
      .replay = "hipGraphLaunch",
      .drop_graph = "hipGraphDestroy",
      .compile = "amd_comgr_do_action" },
};

/* A function of the driver by its name. */
static inline void *gpu_symbol(const struct gpu_api *g, const char *name)
{
    void *at = dlsym(g->library, name);

    if (at == NULL) {
        fprintf(stderr, "the simulated driver has no %s\n", name);
        abort();
    }
    return at;
}

/* Loads the library beside the runtime, which loads the same one. False: it is not here, or there
 * is no C++ compiler, and a skipped check has said so. */
static inline bool gpu_open(struct gpu_api *g)
{
    struct iqt_context *ctx = NULL;
    const char *why = "";
    char path[4096];

    setenv("IQT_SIM", "cuda,hip", 1);
    setenv("IQT_SIM_QUIET", "1", 1);
    if (iqt_gpu_simulator_path(g->name, path, sizeof path) == IQT_OK)
        g->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (g->library == NULL && check_begin("gpu.%s", g->name)) {
        check_skip("sim", "%s", iqt_last_error());
        check_end();
    }
    if (g->library == NULL)
        return false;
#define LOAD(result, fn, parameters) *(void **)&g->fn = gpu_symbol(g, "iqt_sim_" #fn);
    GPU_SIM_FUNCTIONS(LOAD)
#undef LOAD
    int (*init)(unsigned);
    *(void **)&init = gpu_symbol(g, g->driver->symbols[0]);
    if (init(0) == 0)
        return true;
    if (iqt_context_create(NULL, &ctx) == IQT_OK && check_begin("gpu.%s", g->name)) {
        (void)!iqt_backend_reason(ctx, g->name, &why);
        check_skip("sim", "%s", why);
        check_end();
    }
    iqt_context_destroy(ctx);
    return false;
}

/* What is current on this thread: a context, or a device's number. */
static inline void *gpu_current(const struct gpu_api *g)
{
    int (*context)(void **);
    int (*device)(int *);
    void *current = NULL;
    int number = -1;

    if (g->driver == &iqt_gpu_cuda) {
        *(void **)&context = gpu_symbol(g, "cuCtxGetCurrent");
        return context(&current) == 0 ? current : (void *)(intptr_t)-1;
    }
    *(void **)&device = gpu_symbol(g, "hipGetDevice");
    return device(&number) == 0 ? (void *)(intptr_t)(number + 1) : (void *)(intptr_t)-1;
}

/* ---- A caller with buffers on a device ---- */

struct gpu_caller {
    struct gpu_api *g;
    const struct iqt_gpu_api *api;
    struct target t;
    void *saved; /* what leave() wants */
};

/* Opens the device and makes its context current, as a caller's own code would. */
static inline bool gpu_caller_open(struct gpu_api *g, const char *spec,
                                   struct gpu_caller *c)
{
    struct targets one = { .count = 0 };

    *c = (struct gpu_caller){ .g = g };
    if (!target_open(&one, spec, spec)) {
        check_fail("%s: %s", spec, iqt_last_error());
        return false;
    }
    c->t = one.at[0];
    c->api = c->t.dev->hw->api;
    if (iqt_gpu_enter(c->t.dev->hw, &c->saved) != IQT_OK)
        abort();
    return true;
}

static inline void gpu_caller_close(struct gpu_caller *c)
{
    struct targets one = { .at = { c->t }, .count = 1 };

    iqt_gpu_leave(c->t.dev->hw, c->saved);
    targets_close(&one);
}

static inline void gpu_ok(int error, const char *what)
{
    check_true(error == 0, "%s: error %d", what, error);
}

/* Device memory with these bytes, copied on the default stream. */
static inline uint64_t gpu_buffer(const struct gpu_caller *c, const void *data,
                                  size_t bytes)
{
    uint64_t address = 0;

    gpu_ok(c->api->alloc(&address, bytes), "alloc");
    gpu_ok(c->api->write_async(address, data, bytes, NULL), "write");
    gpu_ok(c->api->stream_wait(NULL), "wait");
    return address;
}

static inline void gpu_read(const struct gpu_caller *c, uint64_t from, void *to,
                            size_t bytes, void *stream)
{
    gpu_ok(c->api->read_async(to, from, bytes, stream), "read");
    gpu_ok(c->api->stream_wait(stream), "wait");
}

#endif
