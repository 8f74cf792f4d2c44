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

/* ---- account.cc ---- */
struct Settings {
    iqt_sim_order order;
    uint64_t seed;
    bool check;
};
Settings settings();
/* Text after $name, or the other one. */
std::string variable(const char *name, const char *otherwise);

/* ---- memory.cc ---- */
/* What an access to device memory would do wrong; "" when nothing. who numbers the GPU thread within
 * the launch, group its workgroup. Sets *owned when the address belongs to an allocation. */
std::string memory_access(const void *at, size_t bytes, bool write, uint64_t who,
                          bool *owned);
/* A launch begins: no word has been read or written by anybody. */
void memory_launch();
/* After a launch whose accesses were not watched: everything counts as written; a stray write shows in
 * the guard zones around allocations. */
std::string memory_unwatched();

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
