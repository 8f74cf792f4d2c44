/* What the files of the simulated machine share. */
#ifndef IQT_SIM_MACHINE_H
#define IQT_SIM_MACHINE_H

#include "sim/simt.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "sim/runtime_table.h"

namespace sim
{

enum { MAX_THREADS = 1024 }; /* of a workgroup */

/* ---- account.cc ---- */
struct Settings {
    iqt_sim_order order;
    uint64_t seed;
    bool check;
};
Settings settings();
/* Text after $name, or the other one. */
std::string variable(const char *name, const char *otherwise);
std::string format(const char *text, ...) __attribute__((format(printf, 1, 2)));

/* ---- memory.cc ---- */
/* What an access to device memory would do wrong; "" when nothing. who numbers the GPU thread within
 * the launch, group its workgroup. Sets *owned when the address belongs to an allocation. */
std::string memory_access(const void *at, size_t bytes, bool write, uint64_t who,
                          bool *owned);
/* A launch begins: no word has been read or written by anybody. */
void memory_launch();
/* An atomic operation on a word: the same, but no race with other atomic operations. */
std::string memory_atomic(const void *at);
/* After a launch whose accesses were not watched: everything counts as written; a stray write shows in
 * the guard zones around allocations. */
std::string memory_unwatched();

/* ---- order.cc ---- */
/* The i-th of so many threads to run after a meeting point. */
unsigned order_pick(iqt_sim_order order, unsigned threads, unsigned i, unsigned offset);
void order_launch();
void order_group(unsigned threads);
void order_write(unsigned thread);
void order_fence(unsigned thread);
void order_atomic(uint64_t group);
/* Whether the thread may read what the workgroup has written. */
bool order_reads(unsigned thread, uint64_t writer_group);
/* ---- shared.cc ---- */
/* Shared memory of the next workgroup, barriers of it and of a warp, an access: what is wrong with it. */
void shared_begin(size_t bytes);
void shared_barrier();
void shared_warp_barrier(unsigned warp);
std::string shared_access(size_t offset, size_t bytes, bool write, unsigned thread,
                          unsigned warp);
/* ---- count.cc ---- */
/* The machine tells each access, to shared memory with its offset there, and the end of each workgroup;
 * nothing happens unless the launch is counted. */
void count_access(const void *site, unsigned thread, uintptr_t at, unsigned bytes,
                  bool write, bool shared);
void count_group(unsigned warp);
/* The primitives of a grid, when it has ended. */
void count_primitives(const SimRuntime &runtime);

/* ---- module.cc ---- */
struct Image {
    uint8_t *shared = nullptr;
    size_t shared_bytes = 0;
    uint8_t *begin = nullptr, *end = nullptr; /* of the mapped object */
    bool checked = false;
};
const Image &image_of(const sim_kernel *k);
void set_runtime(const sim_kernel *k, SimRuntime *runtime);
/* Runs the kernel function once, on the current fiber. */
void call_kernel(const sim_kernel *k, void *const *arguments);

} // namespace sim

/* What a compiled kernel carries; the ELF file follows. */
struct sim_image_head {
    char magic[8];
    uint32_t language, checked;
    char arch[32];
    uint64_t bytes;
};
extern const char sim_image_magic[8];

#endif
