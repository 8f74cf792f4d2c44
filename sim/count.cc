/* Counts what a launch asks of memory: the accesses of a warp by the same instruction for the same time
 * are one execution, of which sectors, lines and banks are counted. */
#include "sim/machine.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <vector>

namespace
{

enum { BANKS = 32, BANK_BYTES = 4, PASS_BYTES = BANKS * BANK_BYTES };

struct Access {
    uint32_t warp, site, time, lane;
    uintptr_t at;
    uint32_t bytes;
    int buffer; /* number, doubled for stores apart */
};

struct Buffer {
    uintptr_t begin = 0;
    size_t bytes = 0;
    std::set<uintptr_t> touched;
};

struct Counter {
    std::mutex alone; /* one counted launch at a time */
    bool on = false, fours = false;
    iqt_sim_counted *out = nullptr;
    Buffer buffer[IQT_SIM_ARGUMENTS];
    std::vector<const void *> sites;
    std::vector<iqt_sim_site> site;
    std::vector<std::vector<uint32_t>> times; /* of each thread, by site */
    std::vector<Access> accesses;             /* of the running workgroup */
};

Counter counter;

/* Distinct pieces of `size` bytes that some accesses touch. */
std::vector<uintptr_t> pieces(const Access *a, size_t count, uintptr_t size)
{
    std::vector<uintptr_t> out;

    for (size_t i = 0; i < count; i++)
        for (uintptr_t p = a[i].at / size; p <= (a[i].at + a[i].bytes - 1) / size; p++)
            out.push_back(p);
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

uint64_t up(uint64_t n, uint64_t size)
{
    return (n + size - 1) / size;
}

/* Lanes go in groups that ask for 128 bytes, 32 of them at the most: f is called for each of them. */
template <class F> void each_pass(const Access *a, size_t count, F f)
{
    const uint32_t lanes = std::min(32u, std::max(1u, PASS_BYTES / a->bytes));

    for (size_t i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && a[i + n].lane / lanes == a[i].lane / lanes;)
            n++;
        f(a + i, n);
    }
}

/* AMD's waves of 64 load 16 bytes in groups of their own: lanes 0 to 3 with 20 to 23, 4 to 7 with 16 to 19 and so on; the
 * rest is as above, 32 banks, too. (ROCm blog, "Avoiding LDS Bank Conflicts on AMD GPUs Using CK-Tile Framework";
 * measured groups: triton-lang/triton, pull request 11365.) */
uint32_t place_in_passes(uint32_t lane)
{
    const uint32_t four = lane / 4 % 8;

    return lane / 32 * 32 + (four < 4 ? four * 8 : (four ^ 5) * 8 + 4) + lane % 4;
}

std::vector<Access> in_passes(const Access *a, size_t count)
{
    std::vector<Access> out(a, a + count);

    if (!counter.fours || a->bytes != 16 || counter.site[a->site].write != 0)
        return out;
    for (Access &one : out)
        one.lane = place_in_passes(one.lane);
    std::sort(out.begin(), out.end(),
              [](const Access &x, const Access &y) { return x.lane < y.lane; });
    return out;
}

/* Banks that hold several distinct words are read as often. */
uint64_t extra_passes(const Access *a, size_t count)
{
    const std::vector<Access> all = in_passes(a, count);
    uint64_t extra = 0;

    each_pass(all.data(), count, [&extra](const Access *first, size_t n) {
        uint64_t words[BANKS] = {}, most = 1;

        for (const uintptr_t word : pieces(first, n, BANK_BYTES))
            most = std::max(most, ++words[word % BANKS]);
        extra += most - 1;
    });
    return extra;
}

uint64_t lines(const Access *a, size_t count)
{
    uint64_t sum = 0;

    each_pass(a, count, [&sum](const Access *first, size_t n) {
        sum += pieces(first, n, IQT_SIM_LINE).size();
    });
    return sum;
}

/* Which bytes of which sectors a warp uses in a turn: all its accesses to a buffer for the same time,
 * such as a record that is read by loads of several widths. */
using Used = std::map<uintptr_t, uint32_t>;

Used used_by(const Access *a, size_t count)
{
    Used used;

    for (const uintptr_t byte : pieces(a, count, 1))
        used[byte / IQT_SIM_SECTOR] |= 1u << byte % IQT_SIM_SECTOR;
    return used;
}

/* One execution by a warp: lanes in ascending order. */
void add_execution(const Access *a, size_t count, const Used &used)
{
    iqt_sim_site &s = counter.site[a->site];
    const uint64_t unique = pieces(a, count, 1).size();

    s.executions++;
    s.lanes += count;
    s.unique += unique;
    if (s.argument < 0) {
        s.conflicts += extra_passes(a, count);
        return;
    }
    for (const uintptr_t sector : pieces(a, count, IQT_SIM_SECTOR)) {
        s.sectors++;
        s.loose += used.at(sector) != ~0u ? 1 : 0;
    }
    s.least += up(unique, IQT_SIM_SECTOR);
    s.lines += lines(a, count);
    s.least_lines += up(unique, IQT_SIM_LINE);
}

void add_turn(const Access *a, size_t count)
{
    const Used used = used_by(a, count);

    for (size_t i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && a[i + n].site == a[i].site;)
            n++;
        add_execution(a + i, n, used);
    }
}

void add_sectors(const std::vector<Access> &accesses)
{
    for (int b = 0; b < IQT_SIM_ARGUMENTS; b++) {
        std::vector<Access> own;

        for (const Access &a : accesses)
            if (counter.site[a.site].argument == b && counter.site[a.site].write == 0)
                own.push_back(a);
        const std::vector<uintptr_t> sectors =
            pieces(own.data(), own.size(), IQT_SIM_SECTOR);
        counter.out->traffic[b].fetched += sectors.size();
        counter.buffer[b].touched.insert(sectors.begin(), sectors.end());
    }
}

int argument_of(uintptr_t at)
{
    for (int b = 0; b < IQT_SIM_ARGUMENTS; b++)
        if (at - counter.buffer[b].begin < counter.buffer[b].bytes)
            return b;
    return IQT_SIM_ARGUMENTS; /* something else of the device */
}

uint32_t site_number(const void *site, uintptr_t at, unsigned bytes, bool write,
                     bool shared)
{
    const int argument = shared ? -1 : argument_of(at);
    uint32_t i = 0;

    while (i < counter.sites.size() &&
           (counter.sites[i] != site || counter.site[i].argument != argument ||
            counter.site[i].bytes != bytes))
        i++;
    if (i == counter.sites.size()) {
        iqt_sim_site s = {};

        s.argument = argument;
        s.bytes = bytes;
        s.write = write ? 1 : 0;
        counter.sites.push_back(site);
        counter.site.push_back(s);
    }
    return i;
}

} // namespace

void sim::count_access(const void *site, unsigned thread, uintptr_t at, unsigned bytes,
                       bool write, bool shared)
{
    if (!counter.on)
        return;
    const uint32_t number = site_number(site, at, bytes, write, shared);

    if (counter.times.size() <= thread)
        counter.times.resize(thread + 1);
    std::vector<uint32_t> &times = counter.times[thread];
    if (times.size() <= number)
        times.resize(number + 1);
    counter.accesses.push_back({ 0, number, times[number]++, thread, at, bytes,
                                 counter.site[number].argument * 2 + (write ? 1 : 0) });
}

void sim::count_group(unsigned warp)
{
    std::vector<Access> &all = counter.accesses;

    if (!counter.on)
        return;
    for (Access &a : all) {
        a.warp = a.lane / warp;
        a.lane %= warp;
    }
    std::sort(all.begin(), all.end(), [](const Access &a, const Access &b) {
        return std::tie(a.warp, a.time, a.buffer, a.site, a.lane) <
               std::tie(b.warp, b.time, b.buffer, b.site, b.lane);
    });
    for (size_t i = 0, n; i < all.size(); i += n) {
        for (n = 1; i + n < all.size() && all[i + n].warp == all[i].warp &&
                    all[i + n].time == all[i].time && all[i + n].buffer == all[i].buffer;)
            n++;
        add_turn(&all[i], n);
    }
    add_sectors(all);
    all.clear();
    counter.times.clear();
}

void sim::count_primitives(const SimRuntime &runtime)
{
    for (int i = 0; counter.on && i < IQT_SIM_PRIMITIVES; i++)
        counter.out->primitive[i] += runtime.primitive[i];
}

/* ---- A job ---- */

namespace
{

struct Program {
    sim_module *module = nullptr;
    const sim_kernel *kernel = nullptr;
    std::string wrong;
    Program() = default;
    Program(const Program &) = delete;
    Program &operator=(const Program &) = delete;
    ~Program()
    {
        sim_module_unload(module);
    }
};

void build(const iqt_sim_job *job, Program *p)
{
    char *image, *log;
    size_t bytes;

    if (sim_compile(job->hip != 0 ? SIM_HIP : SIM_CUDA, job->text, job->arch, SIM_COUNTED,
                    &image, &bytes, &log) != 0) {
        p->module = sim_module_load(image, job->arch);
        free(image);
    } else {
        p->wrong = log;
    }
    free(log);
    if (p->module != nullptr)
        p->kernel = sim_module_kernel(p->module, job->kernel);
    if (p->wrong.empty() && p->kernel == nullptr)
        p->wrong = std::string("the text has no kernel ") + job->kernel;
    else if (p->wrong.empty() && p->kernel->arguments > job->arguments)
        p->wrong = std::string(job->kernel) + " has " +
                   std::to_string(p->kernel->arguments) + " parameters";
}

/* Buffers in device memory; false without memory. */
bool place(const iqt_sim_job *job, uint8_t **device, void **argument)
{
    for (uint32_t i = 0; i < job->arguments; i++) {
        const iqt_sim_argument &a = job->argument[i];

        device[i] = nullptr;
        argument[i] =
            a.buffer != 0 ? static_cast<void *>(&device[i]) : const_cast<void *>(a.data);
        if (a.buffer == 0 || a.bytes == 0)
            continue;
        device[i] = static_cast<uint8_t *>(sim_alloc(a.bytes, 0));
        if (device[i] == nullptr)
            return false;
        counter.buffer[i].begin = reinterpret_cast<uintptr_t>(device[i]);
        counter.buffer[i].bytes = a.bytes;
        if (a.data != nullptr)
            sim_copy(device[i], a.data, a.bytes);
        else
            sim_fill(device[i], 0, a.bytes);
    }
    return true;
}

void finish(iqt_sim_counted *out)
{
    for (const iqt_sim_site &s : counter.site) {
        if (s.argument < 0)
            out->conflicts += s.conflicts;
        if (s.argument >= 0 && s.argument < IQT_SIM_ARGUMENTS) {
            iqt_sim_traffic &t = out->traffic[s.argument];

            (s.write != 0 ? t.written : t.sectors) += s.sectors;
            t.requested += s.write != 0 ? 0 : s.unique;
            t.lines += s.write != 0 ? 0 : s.lines;
            t.least_lines += s.write != 0 ? 0 : s.least_lines;
        }
        if (out->sites < IQT_SIM_SITES)
            out->site[out->sites++] = s;
    }
    for (int b = 0; b < IQT_SIM_ARGUMENTS; b++)
        out->traffic[b].touched = counter.buffer[b].touched.size();
}

std::string run(const iqt_sim_job *job, const sim_kernel *kernel, iqt_sim_counted *out)
{
    const uint32_t grid[3] = { job->grid, 1, 1 }, block[3] = { job->block, 1, 1 };
    uint8_t *device[IQT_SIM_ARGUMENTS];
    void *argument[IQT_SIM_ARGUMENTS];
    std::string wrong;

    for (Buffer &b : counter.buffer)
        b = Buffer();
    counter.out = out;
    counter.fours = job->hip != 0 && job->warp == 64;
    counter.sites.clear();
    counter.site.clear();
    counter.accesses.clear();
    counter.times.clear();
    if (!place(job, device, argument)) {
        wrong = "no memory for the kernel's buffers";
    } else {
        counter.on = true;
        if (sim_run(kernel, grid, block, job->warp, argument) != SIM_OK)
            wrong = iqt_sim_fault_text();
        counter.on = false;
    }
    for (const Buffer &b : counter.buffer)
        if (b.begin != 0)
            sim_free(reinterpret_cast<void *>(b.begin));
    if (wrong.empty())
        finish(out);
    return wrong;
}

} // namespace

int iqt_sim_count(const struct iqt_sim_job *job, struct iqt_sim_counted *out,
                  const char **why)
{
    static thread_local std::string message;
    const std::lock_guard<std::mutex> guard(counter.alone);
    Program program;

    *out = {};
    message.clear();
    if (job->arguments > IQT_SIM_ARGUMENTS)
        message = "too many parameters";
    else if (sim_can_compile() == 0)
        message = "no C++ compiler: it simulates a GPU";
    else
        build(job, &program);
    if (message.empty())
        message = program.wrong;
    if (message.empty())
        message = run(job, program.kernel, out);
    *why = message.c_str();
    return message.empty() ? 0 : 1;
}
