/* Runs grids: one workgroup after the other, its GPU threads as fibers in a chosen order, with
 * barriers and shuffles as meeting points. A fault abandons the grid; nothing is thrown. */
#include "sim/fiber.h"
#include "sim/machine.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

namespace
{

using sim::format;

enum { MAX_WARP = 64, WORDS = 8, ORDERED = -2 };
using sim::MAX_THREADS;
enum What { RUNNING, AT_BARRIER, AT_SHUFFLE, DONE };

struct Lane {
    sim::Fiber fiber;
    What what = DONE;
    int line = 0; /* of the kernel text, where it waits */
    uint64_t value = 0, mask = 0;
    int from = -1;
    uint32_t words[WORDS];
};

struct Machine {
    std::mutex lock; /* one grid at a time */
    SimRuntime runtime;
    sim::Fiber main;
    std::vector<std::unique_ptr<Lane>> lanes;
    const sim_kernel *kernel = nullptr;
    void *arguments[32];
    uint32_t words[MAX_THREADS][WORDS]; /* of the lanes of a warp, when all have come */
    unsigned threads = 0, current = 0;
    uint64_t group = 0, random = 1;
    bool failed = false, illegal = false;
};

Machine machine;

Lane &lane(unsigned i)
{
    return *machine.lanes[i];
}

/* ---- Faults ---- */

/* Called on a fiber, which is never resumed. No compiler may see that: AddressSanitizer handles calls
 * that do not return by the stack, and knows no fiber's. */
void give_up()
{
    const volatile bool forever = true;

    while (forever)
        lane(machine.current).fiber.leave(&machine.main);
}

void report(const std::string &what)
{
    if (!machine.failed)
        sim_report("%s in kernel %s, workgroup %llu, thread %u", what.c_str(),
                   machine.kernel->name, static_cast<unsigned long long>(machine.group),
                   machine.current);
    machine.failed = true;
}

void fault(const std::string &what)
{
    report(what);
    give_up();
}

/* ---- Meeting points ---- */

void wait(What what, int line)
{
    Lane &own = lane(machine.current);

    own.what = what;
    own.line = line;
    own.fiber.leave(&machine.main);
}

void at_barrier(int line)
{
    wait(AT_BARRIER, line);
}

unsigned long long at_shuffle(int line, unsigned long long mask, unsigned long long value,
                              int from)
{
    Lane &own = lane(machine.current);
    const unsigned warp = machine.runtime.warp, index = machine.current % warp;

    if ((mask >> index & 1) == 0)
        fault(format("shuffle at line %d by lane %u, which its mask %#llx does not name",
                     line, index, mask));
    own.value = value;
    own.mask = mask;
    own.from = from;
    wait(AT_SHUFFLE, line);
    return own.value;
}

/* What a warp does together, as tensor cores do. */
const unsigned *at_gather(int line, const unsigned *own, unsigned count)
{
    const unsigned warp = machine.runtime.warp;

    memcpy(lane(machine.current).words, own, count * sizeof *own);
    at_shuffle(line, warp == MAX_WARP ? ~0ull : (1ull << warp) - 1, 0, -1);
    return machine.words[machine.current / warp * warp];
}

/* All threads wait at one barrier: they may go on. */
bool release_barrier()
{
    int line = 0;

    for (unsigned i = 0; i < machine.threads; i++) {
        const Lane &l = lane(i);

        if (l.what != AT_BARRIER)
            return false;
        if (i > 0 && l.line != line) {
            machine.current = i;
            report(format("divergent barrier: threads wait at lines %d and %d", line,
                          l.line));
            return false;
        }
        line = l.line;
    }
    for (unsigned i = 0; i < machine.threads; i++)
        lane(i).what = RUNNING;
    sim::shared_barrier();
    return true;
}

/* Values move when all lanes of the mask that exist have arrived at the same line. */
bool warp_ready(unsigned first, unsigned count)
{
    const Lane *leader = nullptr;
    uint64_t mask = 0;

    for (unsigned i = 0; i < count; i++)
        if (lane(first + i).what == AT_SHUFFLE && leader == nullptr) {
            leader = &lane(first + i);
            mask = leader->mask;
        }
    if (leader == nullptr)
        return false;
    for (unsigned i = 0; i < count; i++) {
        const Lane &l = lane(first + i);

        if ((mask >> i & 1) != 0 &&
            (l.what != AT_SHUFFLE || l.line != leader->line || l.mask != mask))
            return false;
    }
    return true;
}

void exchange(unsigned first, unsigned count)
{
    uint64_t value[MAX_WARP];

    for (unsigned i = 0; i < count; i++) {
        value[i] = lane(first + i).value;
        memcpy(machine.words[first + i], lane(first + i).words,
               sizeof lane(first + i).words);
    }
    for (unsigned i = 0; i < count; i++) {
        Lane &l = lane(first + i);

        if (l.what != AT_SHUFFLE)
            continue;
        if (l.from >= 0 && (static_cast<unsigned>(l.from) >= count ||
                            lane(first + static_cast<unsigned>(l.from)).what == DONE ||
                            (l.mask >> l.from & 1) == 0)) {
            machine.current = first + i;
            report(format("shuffle at line %d reads lane %d, which is not there", l.line,
                          l.from));
            return;
        }
        l.value = l.from >= 0 ? value[l.from] : l.value;
    }
    for (unsigned i = 0; i < count; i++)
        if (lane(first + i).what == AT_SHUFFLE) {
            if (lane(first + i).from == ORDERED)
                sim::shared_warp_barrier(first / machine.runtime.warp);
            lane(first + i).what = RUNNING;
        }
}

bool release_warps()
{
    const unsigned warp = machine.runtime.warp;
    bool any = false;

    for (unsigned first = 0; first < machine.threads; first += warp) {
        const unsigned left = machine.threads - first, count = left < warp ? left : warp;

        if (warp_ready(first, count)) {
            exchange(first, count);
            any = true;
        }
    }
    return any;
}

void report_deadlock()
{
    static const char *const names[] = { "runs", "waits at barrier", "waits at shuffle",
                                         "has ended" };
    const Lane *first = nullptr;
    const Lane *other = nullptr;

    for (unsigned i = 0; i < machine.threads; i++) {
        if (first == nullptr && lane(i).what != DONE) {
            first = &lane(i);
            machine.current = i;
        }
    }
    for (unsigned i = 0; i < machine.threads && other == nullptr; i++)
        if (lane(i).what != first->what || lane(i).line != first->line)
            other = &lane(i);
    report(format("divergent %s: one thread waits at line %d, another %s (line %d)",
                  first->what == AT_BARRIER ? "barrier" : "shuffle", first->line,
                  names[other != nullptr ? other->what : first->what],
                  other != nullptr ? other->line : first->line));
}

/* ---- Watched accesses ---- */

uint64_t who()
{
    return machine.group * MAX_THREADS + machine.current;
}

void on_access(const void *p, unsigned bytes, bool write, const void *site)
{
    const sim::Image &image = sim::image_of(machine.kernel);
    const auto *at = static_cast<const uint8_t *>(p),
               *own = reinterpret_cast<const uint8_t *>(&machine);
    std::string wrong;
    bool owned = false;
    if (lane(machine.current).fiber.on_stack(p) ||
        (at >= own && at < own + sizeof machine))
        return;
    if (at >= image.shared && at < image.shared + image.shared_bytes) {
        const auto offset = static_cast<size_t>(at - image.shared);

        wrong = bytes > image.shared_bytes - offset
                    ? format("at byte %zu of %zu of shared memory", offset,
                             image.shared_bytes)
                    : sim::shared_access(offset, bytes, write, machine.current,
                                         machine.current / machine.runtime.warp);
        if (wrong.empty())
            sim::count_access(site, machine.current, offset, bytes, write, true);
    } else {
        wrong = sim::memory_access(p, bytes, write, who(), &owned);
        if (write)
            sim::order_write(machine.current);
        if (!owned && !write && at >= image.begin && at + bytes <= image.end)
            return; /* a constant of the kernel */
        if (!owned && wrong.empty())
            wrong = "at an address of nothing";
        if (wrong.empty()) {
            sim::count_access(site, machine.current, reinterpret_cast<uintptr_t>(at),
                              bytes, write, false);
            return;
        }
        machine.illegal =
            machine.illegal || !owned || wrong.compare(0, 9, "at offset") == 0;
    }
    if (!wrong.empty())
        fault(format("%s %s of %u bytes: %s", machine.illegal ? "out-of-bounds" : "wrong",
                     write ? "write" : "read", bytes, wrong.c_str()));
}

unsigned on_atomic_add(unsigned *at, unsigned value)
{
    const std::string wrong =
        sim::image_of(machine.kernel).checked ? sim::memory_atomic(at) : "";

    if (!wrong.empty())
        fault("atomic operation " + wrong);
    sim::order_atomic(machine.group);
    return (*at += value) - value;
}

/* Every record of the sanitizer begins with file, line and column. */
void on_undefined(const char *what, const void *where)
{
    struct {
        const char *file;
        uint32_t line, column;
    } at;

    memcpy(&at, where, sizeof at);
    fault(format("undefined behaviour: %s at %s line %u", what,
                 at.file != nullptr ? at.file : "?", at.line));
}

/* ---- Workgroups ---- */

void thread_main()
{
    sim::call_kernel(machine.kernel, machine.arguments);
    lane(machine.current).what = DONE;
    give_up();
}

bool start_threads()
{
    while (machine.lanes.size() < machine.threads)
        machine.lanes.push_back(std::make_unique<Lane>());
    for (unsigned i = 0; i < machine.threads; i++) {
        lane(i).what = RUNNING;
        if (!lane(i).fiber.start(thread_main)) {
            report("no memory for a thread's stack");
            return false;
        }
    }
    return true;
}

void run_round(iqt_sim_order order)
{
    machine.random = machine.random * 6364136223846793005u + 1442695040888963407u;
    for (unsigned i = 0; i < machine.threads && !machine.failed; i++) {
        const unsigned t = sim::order_pick(order, machine.threads, i,
                                           static_cast<unsigned>(machine.random >> 40));
        SimRuntime &r = machine.runtime;

        if (lane(t).what != RUNNING)
            continue;
        machine.current = t;
        r.thread = { t % r.threads.x, t / r.threads.x % r.threads.y,
                     t / (r.threads.x * r.threads.y) };
        lane(t).fiber.enter(&machine.main);
    }
}

bool all_done()
{
    for (unsigned i = 0; i < machine.threads; i++)
        if (lane(i).what != DONE)
            return false;
    return true;
}

void run_group(iqt_sim_order order)
{
    const sim::Image &image = sim::image_of(machine.kernel);

    if (image.shared_bytes > 0)
        memset(image.shared, 0xa5, image.shared_bytes);
    sim::shared_begin(image.checked ? image.shared_bytes : 0);
    sim::order_group(machine.threads);
    if (!start_threads())
        return;
    while (!machine.failed) {
        run_round(order);
        if (machine.failed || all_done())
            return;
        const bool barrier = release_barrier();
        if (!machine.failed && !barrier && !release_warps() && !machine.failed)
            report_deadlock();
    }
}

/* Arguments live where watched accesses find them allowed. */
bool copy_arguments(const sim_kernel *k, void *const *args)
{
    size_t at = 0;

    for (uint32_t i = 0; i < k->arguments; i++) {
        at = (at + 15) / 16 * 16;
        if (at + k->argument_bytes[i] > sizeof machine.runtime.arguments)
            return false;
        machine.arguments[i] = machine.runtime.arguments + at;
        memcpy(machine.arguments[i], args[i], k->argument_bytes[i]);
        at += k->argument_bytes[i];
    }
    return true;
}

void run_grid(iqt_sim_order order)
{
    SimRuntime &r = machine.runtime;
    const uint64_t groups = static_cast<uint64_t>(r.groups.x) * r.groups.y * r.groups.z;

    for (uint64_t i = 0; i < groups && !machine.failed; i++) {
        const uint64_t g = order == IQT_SIM_REVERSE ? groups - 1 - i : i;

        machine.group = g;
        r.group = { static_cast<unsigned>(g % r.groups.x),
                    static_cast<unsigned>(g / r.groups.x % r.groups.y),
                    static_cast<unsigned>(g / r.groups.x / r.groups.y) };
        run_group(order);
        sim::count_group(r.warp);
    }
    sim::count_primitives(r);
}

} // namespace

enum sim_result sim_run(const struct sim_kernel *k, const uint32_t grid[3],
                        const uint32_t block[3], uint32_t warp, void *const *args)
{
    const std::lock_guard<std::mutex> guard(machine.lock);
    const sim::Settings settings = sim::settings();
    const bool checked = sim::image_of(k).checked;

    machine.kernel = k;
    machine.threads = block[0] * block[1] * block[2];
    machine.failed = machine.illegal = false;
    machine.random = settings.seed;
    machine.group = machine.current = 0;
    machine.runtime = {};
    machine.runtime.threads = { block[0], block[1], block[2] };
    machine.runtime.groups = { grid[0], grid[1], grid[2] };
    machine.runtime.warp = warp;
    machine.runtime.barrier = at_barrier;
    machine.runtime.shuffle = at_shuffle;
    machine.runtime.gather = at_gather;
    machine.runtime.access = on_access;
    machine.runtime.undefined = on_undefined;
    machine.runtime.fence = [] { sim::order_fence(machine.current); };
    machine.runtime.atomic_add = on_atomic_add;
    sim::set_runtime(k, &machine.runtime);
    if (machine.threads == 0 || machine.threads > MAX_THREADS ||
        !copy_arguments(k, args)) {
        report("launch of too many threads or arguments");
        return SIM_FAULT;
    }
    if (checked)
        sim::memory_launch();
    run_grid(settings.order);
    if (!machine.failed && !checked) {
        const std::string stray = sim::memory_unwatched();

        if (!stray.empty()) {
            report(stray);
            machine.illegal = true;
        }
    }
    return !machine.failed ? SIM_OK : machine.illegal ? SIM_ILLEGAL_ADDRESS : SIM_FAULT;
}
