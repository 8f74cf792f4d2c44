/* Contexts, streams, events, modules and graphs of a simulated driver, common to CUDA and HIP. Work is
 * queued and runs when something waits for it, as late as a real driver may. Results are the numbers
 * that both APIs share. */
#ifndef IQT_SIM_DRIVER_H
#define IQT_SIM_DRIVER_H

#include "sim/machine.h"

#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace sim
{

enum Error {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    NO_BINARY = 209,
    INVALID_PTX = 218,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
};
const char *error_name(int error);

struct Device {
    std::string arch, name;
    unsigned warp, threads, shared, units, clock_khz, l2;
    uint64_t memory;
};
const std::vector<Device> &devices(); /* from IQT_SIM_DEVICES, else the API's default */
extern const char *const default_devices;

struct Context {
    int device;
    int references; /* of the primary context */
    int broken;     /* sticky error after a kernel fault */
};

using Work = std::function<int()>;

struct Graph {
    std::vector<Work> work;
};

struct Stream {
    Context *context;
    std::deque<Work> queue;
    Graph *capture;
    bool capture_broken;
};

struct Event {
    Context *context;
    uint64_t ns;
    bool recorded;
};

struct Module {
    Context *context;
    sim_module *code;
};

struct Function {
    Module *module;
    const sim_kernel *kernel;
};

/* One lock around every call; handles are looked up before they are used. */
extern std::recursive_mutex driver_lock;

/* The context that is current on this thread; NULL: none. */
Context *current();
Context *primary(int device); /* exists as long as the process */
/* A planted error: one of a lost device breaks the current context while it has streams. Returns
 * the error. */
int fail(int error);

/* Runs everything queued on a stream, or on all of a context. */
int drain(Stream *s);
int drain_all(Context *c);
/* Refuses, and breaks captures, while any stream of the context is being captured. */
int not_while_capturing(Context *c);

/* stream NULL: the context's default stream. Sets *out. */
int find_stream(Context *c, void *stream, Stream **out);
int add_work(Stream *s, Work work);

int make_stream(Context *c, void **out);
int drop_stream(void *stream);
int make_event(Context *c, void **out);
int drop_event(void *event);
int record_event(void *event, Stream *s);
int elapsed(float *ms, void *start, void *end);
int load_module(Context *c, const void *image, void **out);
int drop_module(void *module);
int find_function(void **out, void *module, const char *name);
int allocate(Context *c, uint64_t *out, size_t bytes);
int release(Context *c, uint64_t address);
int launch(Context *c, void *function, const uint32_t grid[3], const uint32_t block[3],
           void *stream, void **args);
int copy(Context *c, void *to, const void *from, size_t bytes, void *stream,
         bool to_device);
int fill(Context *c, uint64_t to, int value, size_t bytes, void *stream);
int begin_capture(Context *c, void *stream);
int end_capture(void *stream, void **graph);
int launch_graph(void *graph, Stream *s);
int drop_graph(void *graph);

} // namespace sim

/* First lines of an API function: counted, perhaps told to fail, then alone in the driver. */
#define SIM_CALL()                                                       \
    const int planted = sim_enter(__func__);                             \
    const std::lock_guard<std::recursive_mutex> alone(sim::driver_lock); \
    if (planted != 0)                                                    \
    return sim::fail(planted)

/* The same for what lets go of something: done although it is told to fail. */
#define SIM_RELEASE(error)                                               \
    const int planted = sim_enter(__func__);                             \
    const std::lock_guard<std::recursive_mutex> alone(sim::driver_lock); \
    const int own = (error);                                             \
    return planted != 0 ? planted : own

#endif
