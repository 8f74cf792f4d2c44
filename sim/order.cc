/* Which thread runs next, and what orders the memory accesses of different ones: a workgroup whose threads have all
 * fenced their writes releases them by an atomic operation; a thread that fences after its own
 * workgroup's atomic operation may read them. One grid at a time, so nothing is locked. */
#include "sim/machine.h"

#include <set>
#include <vector>

namespace
{

std::set<uint64_t> released; /* workgroups */
std::vector<char> dirty, acquired;
bool arrived = false;

} // namespace

void sim::order_launch()
{
    released.clear();
}

void sim::order_group(unsigned threads)
{
    dirty.assign(threads, 0);
    acquired.assign(threads, 0);
    arrived = false;
}

void sim::order_write(unsigned thread)
{
    dirty[thread] = 1;
}

void sim::order_fence(unsigned thread)
{
    dirty[thread] = 0;
    acquired[thread] = arrived;
}

void sim::order_atomic(uint64_t group)
{
    arrived = true;
    for (const char d : dirty)
        if (d != 0)
            return;
    released.insert(group);
}

bool sim::order_reads(unsigned thread, uint64_t writer_group)
{
    return acquired[thread] != 0 && released.count(writer_group) > 0;
}

unsigned sim::order_pick(iqt_sim_order order, unsigned threads, unsigned i,
                         unsigned offset)
{
    const unsigned n = threads;

    switch (order) {
    case IQT_SIM_REVERSE:
        return n - 1 - i;
    case IQT_SIM_STRIDE:
        return n % 37 != 0 ? i * 37 % n : i;
    case IQT_SIM_RANDOM:
        return (offset & 1) != 0 ? (i + offset) % n : n - 1 - (i + offset) % n;
    default:
        return i;
    }
}
