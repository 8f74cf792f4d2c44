/* Shared memory of a watched workgroup: bytes that were never written, and threads that meet in one with
 * nothing that orders them. Barriers order all threads, those of a warp its own. */
#include "sim/machine.h"

#include <vector>

namespace
{

/* Who touched a byte since the last barrier, or since the last one of their warp if all are of one: thread + 1,
 * or MANY. */
enum { NOBODY = 0, MANY = 0xffff };
struct Byte {
    uint16_t writer, reader, warp;
    uint32_t epoch, warp_epoch;
    bool written;
};

std::vector<Byte> bytes_of_group;
uint32_t epoch = 0, warp_epoch[sim::MAX_THREADS];

/* Forgets who touched a byte in front of a barrier. */
void order(Byte *b, uint16_t warp)
{
    const bool own = b->warp == warp && b->warp_epoch != warp_epoch[warp];

    if (b->epoch != epoch || own)
        b->writer = b->reader = NOBODY;
    if (b->writer == NOBODY && b->reader == NOBODY)
        b->warp = warp;
    else if (b->warp != warp)
        b->warp = MANY;
    b->epoch = epoch;
    b->warp_epoch = warp_epoch[warp];
}

} // namespace

void sim::shared_begin(size_t bytes)
{
    bytes_of_group.assign(bytes, Byte{});
    epoch = 1;
    for (uint32_t &e : warp_epoch)
        e = 0;
}

void sim::shared_barrier()
{
    epoch++;
}

void sim::shared_warp_barrier(unsigned warp)
{
    warp_epoch[warp]++;
}

std::string sim::shared_access(size_t offset, size_t bytes, bool write, unsigned thread,
                               unsigned warp)
{
    const auto self = static_cast<uint16_t>(thread + 1);

    for (size_t i = offset; i < offset + bytes; i++) {
        Byte &b = bytes_of_group[i];

        order(&b, static_cast<uint16_t>(warp));
        if (!write && !b.written)
            return format("uninitialised: byte %zu of shared memory", i);
        if (b.writer != NOBODY && b.writer != self)
            return format("race on byte %zu of shared memory with thread %d", i,
                          b.writer - 1);
        if (write && b.reader != NOBODY && b.reader != self)
            return format("race on byte %zu of shared memory with its reader", i);
        if (write) {
            b.writer = self;
            b.written = true;
        } else {
            b.reader = b.reader == NOBODY || b.reader == self
                           ? self
                           : static_cast<uint16_t>(MANY);
        }
    }
    return "";
}
