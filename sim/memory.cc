/* Device memory: host blocks between guard zones, a shadow byte per byte ("has been written"), and
 * for watched launches who touched which word. */
#include "sim/machine.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

namespace
{

enum { GUARD = 256, ALIGN = 256, CANARY = 0xa5 };

/* Who touched a 4-byte word in the launch of this number: thread + 1. */
struct Touch {
    uint32_t launch = 0, writer = 0, reader = 0;
};

struct Block {
    size_t bytes = 0;
    int device = 0;
    bool written_now = false; /* by the running launch */
    bool whole = false;       /* all of it counts as written */
    std::vector<uint8_t> written;
    std::vector<Touch> touched; /* empty until a watched launch comes here */
};

std::mutex lock;
std::map<uintptr_t, Block> blocks;
uint32_t launches = 0;

uintptr_t number(const void *p)
{
    return reinterpret_cast<uintptr_t>(p);
}

/* The block that contains the first byte. */
std::map<uintptr_t, Block>::iterator find(uintptr_t at)
{
    auto b = blocks.upper_bound(at);

    if (b == blocks.begin())
        return blocks.end();
    --b;
    return at - b->first < b->second.bytes ? b : blocks.end();
}

/* Both ends may be host memory, which only one of them is. */
void mark(uintptr_t at, size_t bytes)
{
    const auto b = find(at);

    if (b != blocks.end() && bytes <= b->second.bytes - (at - b->first))
        memset(b->second.written.data() + (at - b->first), 1, bytes);
}

bool guard_whole(uintptr_t begin)
{
    const auto *p = reinterpret_cast<const uint8_t *>(begin);

    for (int i = 0; i < GUARD; i++)
        if (p[i] != CANARY)
            return false;
    return true;
}

std::string text(const char *format, unsigned long a, unsigned long b)
{
    char out[160];

    snprintf(out, sizeof out, format, a, b);
    return out;
}

/* Two threads of one launch, at least one of them writing, with nothing that orders them: which of the
 * three, or nullptr. */
const char *race(Block *b, size_t offset, size_t bytes, bool write, uint32_t who)
{
    if (b->touched.empty())
        b->touched.resize(b->bytes / 4 + 1);
    for (size_t w = offset / 4; w <= (offset + bytes - 1) / 4; w++) {
        Touch &t = b->touched[w];

        if (t.launch != launches)
            t = { launches, 0, 0 };
        if (t.writer != 0 && t.writer != who &&
            (write || !sim::order_reads((who - 1) % sim::MAX_THREADS,
                                        (t.writer - 1) / sim::MAX_THREADS)))
            return write ? "race: another thread has written the same global memory"
                         : "race: reads global memory that another thread has written";
        if (write && t.reader != 0 && t.reader != who)
            return "race: writes global memory that another thread has read";
        if (write)
            t.writer = who;
        else if (bytes <=
                 4) /* operands; weights are read by wider loads and never written */
            t.reader = who;
    }
    return nullptr;
}

} // namespace

void *sim_alloc(size_t bytes, int device)
{
    const size_t whole = (bytes + ALIGN - 1) / ALIGN * ALIGN + 2 * GUARD + ALIGN;
    uint8_t *raw =
        bytes > 0 ? static_cast<uint8_t *>(aligned_alloc(ALIGN, whole)) : nullptr;

    if (raw == nullptr)
        return nullptr;
    memset(raw, CANARY, whole);
    const std::lock_guard<std::mutex> guard(lock);
    Block &b = blocks[number(raw) + GUARD];
    b.bytes = bytes;
    b.device = device;
    b.written.assign(bytes, 0);
    return raw + GUARD;
}

int sim_free(void *p)
{
    const std::lock_guard<std::mutex> guard(lock);

    if (blocks.erase(number(p)) == 0)
        return 0;
    free(static_cast<uint8_t *>(p) - GUARD);
    return 1;
}

int sim_owns(const void *p, size_t bytes, int *device)
{
    const std::lock_guard<std::mutex> guard(lock);
    const auto b = find(number(p));

    if (b == blocks.end() || bytes > b->second.bytes - (number(p) - b->first))
        return 0;
    if (device != nullptr)
        *device = b->second.device;
    return 1;
}

int sim_copy(void *to, const void *from, size_t bytes)
{
    memmove(to, from, bytes);
    const std::lock_guard<std::mutex> guard(lock);
    mark(number(to), bytes);
    return 1;
}

int sim_fill(void *to, int value, size_t bytes)
{
    if (!sim_owns(to, bytes, nullptr))
        return 0;
    memset(to, value, bytes);
    const std::lock_guard<std::mutex> guard(lock);
    mark(number(to), bytes);
    return 1;
}

std::string sim::memory_access(const void *at, size_t bytes, bool write, uint64_t who,
                               bool *owned)
{
    const std::lock_guard<std::mutex> guard(lock);
    const auto b = find(number(at));
    const char *raced = nullptr;

    *owned = b != blocks.end();
    if (!*owned)
        return {};
    const size_t offset = number(at) - b->first;
    if (bytes > b->second.bytes - offset)
        return text("at offset %lu of an allocation of %lu bytes", offset,
                    b->second.bytes);
    uint8_t *written = b->second.written.data() + offset;
    if (write) {
        memset(written, 1, bytes);
        b->second.written_now = true;
    } else if (!b->second.whole && memchr(written, 0, bytes) != nullptr) {
        return text("uninitialised: offset %lu of an allocation of %lu bytes", offset,
                    b->second.bytes);
    }
    if (b->second.written_now || bytes <= 4)
        raced = race(&b->second, offset, bytes, write, static_cast<uint32_t>(who + 1));
    return raced != nullptr ? std::string(raced) : std::string();
}

std::string sim::memory_atomic(const void *at)
{
    const std::lock_guard<std::mutex> guard(lock);
    const auto b = find(number(at));

    if (b == blocks.end())
        return "at an address of nothing";
    const size_t offset = number(at) - b->first;
    if (4 > b->second.bytes - offset)
        return text("at offset %lu of an allocation of %lu bytes", offset,
                    b->second.bytes);
    if (!b->second.whole && memchr(b->second.written.data() + offset, 0, 4) != nullptr)
        return text("uninitialised: offset %lu of an allocation of %lu bytes", offset,
                    b->second.bytes);
    return "";
}

void sim::memory_launch()
{
    const std::lock_guard<std::mutex> guard(lock);

    launches++;
    sim::order_launch();
    for (auto &b : blocks)
        b.second.written_now = false;
}

std::string sim::memory_unwatched()
{
    const std::lock_guard<std::mutex> guard(lock);

    for (auto &b : blocks) {
        b.second.whole = true;
        if (!guard_whole(b.first - GUARD) || !guard_whole(b.first + b.second.bytes))
            return text("stray write beside device %lu's allocation of %lu bytes",
                        static_cast<unsigned long>(b.second.device), b.second.bytes);
    }
    return "";
}
