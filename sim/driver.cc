/* The common driver. Every handle is in a set of live ones: a wrong handle is an error, never a
 * crash. */
#include "sim/driver.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>

std::recursive_mutex sim::driver_lock;

namespace
{

std::set<sim::Stream *> streams;
std::set<sim::Event *> events;
std::set<sim::Module *> modules;
std::set<sim::Function *> functions;
std::set<sim::Graph *> graphs;

template <class T> T *live(const std::set<T *> &all, void *handle)
{
    const auto at = all.find(static_cast<T *>(handle));

    return at != all.end() ? *at : nullptr;
}

uint64_t now_ns()
{
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                     std::chrono::steady_clock::now().time_since_epoch())
                                     .count());
}

sim::Stream *default_stream(sim::Context *c)
{
    static std::vector<std::unique_ptr<sim::Stream>> all(64);
    auto &s = all[static_cast<size_t>(c->device)];

    if (!s)
        s.reset(new sim::Stream{ c, {}, nullptr, false });
    return s.get();
}

int kernel_error(sim_result result)
{
    return result == SIM_OK                ? sim::SUCCESS
           : result == SIM_ILLEGAL_ADDRESS ? sim::ILLEGAL_ADDRESS
                                           : sim::LAUNCH_FAILED;
}

} // namespace

/* ---- Devices ---- */

const std::vector<sim::Device> &sim::devices()
{
    static const std::vector<Device> all = [] {
        std::vector<Device> list;
        std::string names = variable("IQT_SIM_DEVICES", default_devices);

        if (names == "none" || !sim_can_compile())
            return list;
        for (size_t at = 0; at <= names.size() && list.size() < 16;) {
            const size_t end = std::min(names.find(',', at), names.size());
            const std::string arch = names.substr(at, end - at);
            const bool amd = arch.compare(0, 3, "gfx") == 0,
                       wave64 = arch.compare(0, 4, "gfx9") == 0;

            list.push_back({ arch, "simulated " + arch, wave64 ? 64u : 32u, 1024,
                             amd ? 65536u : 49152u, 4, 1000000, 4u << 20, 4ull << 30 });
            at = end + 1;
        }
        return list;
    }();
    return all;
}

sim::Context *sim::primary(int device)
{
    static std::vector<std::unique_ptr<Context>> all(devices().size());

    if (device < 0 || static_cast<size_t>(device) >= all.size())
        return nullptr;
    auto &c = all[static_cast<size_t>(device)];
    if (!c)
        c.reset(new Context{ device, 0, 0 });
    return c.get();
}

int sim::fail(int error)
{
    static const int lost[] = { 46, 214, ILLEGAL_ADDRESS, LAUNCH_FAILED };
    Context *c = current();

    for (const int e : lost)
        for (const Stream *s : streams)
            if (e == error && s->context == c && c->broken == 0)
                c->broken = error;
    return error;
}

/* ---- Queued work ---- */

int sim::drain(Stream *s)
{
    while (!s->queue.empty() && s->context->broken == 0) {
        const Work work = std::move(s->queue.front());

        s->queue.pop_front();
        const int error = work();
        if (error != 0)
            s->context->broken = error;
    }
    s->queue.clear();
    return s->context->broken;
}

int sim::drain_all(Context *c)
{
    drain(default_stream(c));
    for (Stream *s : streams)
        if (s->context == c && s->capture == nullptr)
            drain(s);
    return c->broken;
}

int sim::not_while_capturing(Context *c)
{
    bool any = false;

    for (Stream *s : streams)
        if (s->context == c && s->capture != nullptr)
            any = s->capture_broken = true;
    return any ? CAPTURE_UNSUPPORTED : c->broken;
}

int sim::find_stream(Context *c, void *stream, Stream **out)
{
    *out = stream == nullptr ? default_stream(c) : live(streams, stream);
    if (*out == nullptr)
        return INVALID_HANDLE;
    if ((*out)->context != c)
        return INVALID_HANDLE;
    return stream == nullptr ? not_while_capturing(c) : c->broken;
}

int sim::add_work(Stream *s, Work work)
{
    if (s->capture != nullptr)
        s->capture->work.push_back(std::move(work));
    else
        s->queue.push_back(std::move(work));
    return SUCCESS;
}

int sim::make_stream(Context *c, void **out)
{
    auto *s = new Stream{ c, {}, nullptr, false };

    streams.insert(s);
    sim_count(SIM_STREAM, 1);
    *out = s;
    return SUCCESS;
}

int sim::drop_stream(void *handle)
{
    Stream *s = live(streams, handle);

    if (s == nullptr)
        return INVALID_HANDLE;
    drain(s);
    streams.erase(s);
    delete s;
    sim_count(SIM_STREAM, -1);
    return SUCCESS;
}

/* ---- Events ---- */

int sim::make_event(Context *c, void **out)
{
    auto *e = new Event{ c, 0, false };

    events.insert(e);
    sim_count(SIM_EVENT, 1);
    *out = e;
    return SUCCESS;
}

int sim::drop_event(void *handle)
{
    Event *e = live(events, handle);

    if (e == nullptr)
        return INVALID_HANDLE;
    events.erase(e);
    delete e;
    sim_count(SIM_EVENT, -1);
    return SUCCESS;
}

int sim::record_event(void *handle, Stream *s)
{
    Event *e = live(events, handle);

    if (e == nullptr || e->context != s->context)
        return INVALID_HANDLE;
    return add_work(s, [handle] {
        Event *at = live(events, handle);

        if (at != nullptr) {
            at->ns = now_ns();
            at->recorded = true;
        }
        return SUCCESS;
    });
}

int sim::elapsed(float *ms, void *start, void *end)
{
    const Event *a = live(events, start), *b = live(events, end);

    if (a == nullptr || b == nullptr || !a->recorded || !b->recorded)
        return INVALID_HANDLE;
    *ms = static_cast<float>(static_cast<double>(b->ns - a->ns) * 1e-6);
    return SUCCESS;
}

/* ---- Modules ---- */

int sim::load_module(Context *c, const void *image, void **out)
{
    const char *arch = devices()[static_cast<size_t>(c->device)].arch.c_str();
    sim_module *code = sim_module_load(image, arch);

    if (code == nullptr) /* text is PTX; anything else is for another device */
        return memcmp(image, "\177ELF", 4) == 0 ||
                       memcmp(image, sim_image_magic, sizeof sim_image_magic) == 0
                   ? NO_BINARY
                   : INVALID_PTX;
    auto *m = new Module{ c, code };
    modules.insert(m);
    sim_count(SIM_MODULE, 1);
    *out = m;
    return SUCCESS;
}

int sim::drop_module(void *handle)
{
    Module *m = live(modules, handle);

    if (m == nullptr)
        return INVALID_HANDLE;
    drain_all(m->context);
    for (auto f = functions.begin(); f != functions.end();) {
        if ((*f)->module == m) {
            delete *f;
            f = functions.erase(f);
        } else {
            ++f;
        }
    }
    sim_module_unload(m->code);
    modules.erase(m);
    delete m;
    sim_count(SIM_MODULE, -1);
    return SUCCESS;
}

int sim::find_function(void **out, void *module, const char *name)
{
    Module *m = live(modules, module);

    if (m == nullptr)
        return INVALID_HANDLE;
    const sim_kernel *k = sim_module_kernel(m->code, name);
    if (k == nullptr)
        return NOT_FOUND;
    auto *f = new Function{ m, k };
    functions.insert(f);
    *out = f;
    return SUCCESS;
}

int sim::launch(Context *c, void *function, const uint32_t grid[3],
                const uint32_t block[3], void *stream, void **args)
{
    Function *f = live(functions, function);
    Stream *s;

    const int error = find_stream(c, stream, &s);
    if (error != 0)
        return error;
    if (f == nullptr || f->module->context != c)
        return INVALID_HANDLE;
    const Device &d = devices()[static_cast<size_t>(c->device)];
    const uint64_t threads = static_cast<uint64_t>(block[0]) * block[1] * block[2];
    const uint32_t most =
        f->kernel->max_threads != 0 ? f->kernel->max_threads : d.threads;
    if (threads == 0 || threads > most || grid[0] == 0 || grid[1] == 0 || grid[2] == 0 ||
        grid[1] > 65535 || grid[2] > 65535)
        return INVALID_VALUE;
    /* Arguments are copied now; the caller's may be gone when the kernel runs. */
    std::vector<std::vector<uint8_t>> values;
    for (uint32_t i = 0; i < f->kernel->arguments; i++) {
        const auto *at = static_cast<const uint8_t *>(args[i]);
        values.emplace_back(at, at + f->kernel->argument_bytes[i]);
    }
    const std::vector<uint32_t> g(grid, grid + 3), b(block, block + 3);
    return add_work(s, [f, g, b, warp = d.warp, values]() mutable {
        std::vector<void *> pointers;

        if (functions.count(f) == 0)
            return static_cast<int>(INVALID_HANDLE);
        for (auto &v : values)
            pointers.push_back(v.data());
        return kernel_error(
            sim_run(f->kernel, g.data(), b.data(), warp, pointers.data()));
    });
}

/* ---- Memory ---- */

int sim::allocate(Context *c, uint64_t *out, size_t bytes)
{
    const int error = not_while_capturing(c);

    if (error != 0)
        return error;
    void *p = sim_alloc(bytes, c->device);
    if (p == nullptr)
        return OUT_OF_MEMORY;
    sim_count(SIM_ALLOCATION, 1);
    *out = reinterpret_cast<uint64_t>(p);
    return SUCCESS;
}

int sim::release(Context *c, uint64_t address)
{
    if (address == 0)
        return SUCCESS;
    drain_all(c); /* as real drivers wait */
    if (!sim_free(reinterpret_cast<void *>(address)))
        return INVALID_VALUE;
    sim_count(SIM_ALLOCATION, -1);
    return SUCCESS;
}

int sim::copy(Context *c, void *to, const void *from, size_t bytes, void *stream,
              bool to_device)
{
    Stream *s;
    const int error = find_stream(c, stream, &s);

    if (error != 0)
        return error;
    if (!sim_owns(to_device ? to : from, bytes, nullptr))
        return INVALID_VALUE;
    if (s->capture != nullptr)
        return not_while_capturing(c); /* pageable memory cannot be captured */
    if (!to_device)
        return add_work(
            s, [=] { return sim_copy(to, from, bytes) ? SUCCESS : INVALID_VALUE; });
    const auto *at = static_cast<const uint8_t *>(from);
    std::vector<uint8_t> taken(
        at, at + bytes); /* pageable memory is read before the call ends */
    return add_work(s, [to, taken] {
        return sim_copy(to, taken.data(), taken.size()) ? SUCCESS : INVALID_VALUE;
    });
}

int sim::fill(Context *c, uint64_t to, int value, size_t bytes, void *stream)
{
    Stream *s;
    const int error = find_stream(c, stream, &s);
    void *p = reinterpret_cast<void *>(to);

    if (error != 0)
        return error;
    if (!sim_owns(p, bytes, nullptr))
        return INVALID_VALUE;
    return add_work(s,
                    [=] { return sim_fill(p, value, bytes) ? SUCCESS : INVALID_VALUE; });
}

/* ---- Graphs: a graph and its executable form are one object ---- */

int sim::begin_capture(Context *c, void *stream)
{
    Stream *s;
    const int error = find_stream(c, stream, &s);

    if (error != 0)
        return error;
    if (stream == nullptr || s->capture != nullptr)
        return CAPTURE_UNSUPPORTED;
    s->capture = new Graph;
    s->capture_broken = false;
    return SUCCESS;
}

int sim::end_capture(void *stream, void **graph)
{
    Stream *s = live(streams, stream);

    if (s == nullptr || s->capture == nullptr)
        return INVALID_VALUE;
    Graph *g = s->capture;
    s->capture = nullptr;
    if (s->capture_broken) {
        delete g;
        return CAPTURE_INVALIDATED;
    }
    graphs.insert(g);
    sim_count(SIM_GRAPH, 1);
    *graph = g;
    return SUCCESS;
}

int sim::launch_graph(void *graph, Stream *s)
{
    Graph *g = live(graphs, graph);

    if (g == nullptr)
        return INVALID_HANDLE;
    for (const Work &w : g->work)
        add_work(s, w);
    return SUCCESS;
}

int sim::drop_graph(void *graph)
{
    Graph *g = live(graphs, graph);

    if (g == nullptr)
        return INVALID_HANDLE;
    graphs.erase(g);
    delete g;
    sim_count(SIM_GRAPH, -1);
    return SUCCESS;
}

const char *sim::error_name(int error)
{
    static const struct {
        int error;
        const char *name;
    } names[] = {
        { SUCCESS, "SUCCESS" },
        { INVALID_VALUE, "INVALID_VALUE" },
        { OUT_OF_MEMORY, "OUT_OF_MEMORY" },
        { NOT_INITIALIZED, "NOT_INITIALIZED" },
        { NO_DEVICE, "NO_DEVICE" },
        { INVALID_DEVICE, "INVALID_DEVICE" },
        { INVALID_CONTEXT, "INVALID_CONTEXT" },
        { NO_BINARY, "NO_BINARY_FOR_GPU" },
        { INVALID_PTX, "INVALID_PTX" },
        { INVALID_HANDLE, "INVALID_HANDLE" },
        { NOT_FOUND, "NOT_FOUND" },
        { ILLEGAL_ADDRESS, "ILLEGAL_ADDRESS" },
        { LAUNCH_FAILED, "LAUNCH_FAILED" },
        { CAPTURE_UNSUPPORTED, "STREAM_CAPTURE_UNSUPPORTED" },
        { CAPTURE_INVALIDATED, "STREAM_CAPTURE_INVALIDATED" },
    };

    if (error == NO_DEVICE && !sim_can_compile())
        return "NO_DEVICE: c++, g++ or clang++ simulates a GPU, and none is here (IQT_SIM_CXX names "
               "another)";
    for (const auto &n : names)
        if (n.error == error)
            return n.name;
    return "UNKNOWN";
}
