/* Kernel text on its way to the host compiler. */
#ifndef IQT_SIM_TEXT_H
#define IQT_SIM_TEXT_H

#include <string>
#include <vector>

namespace sim
{

/* Replaces statements asm("op %0, %1, ..." : "=r"(out) : "r"(in)...) by calls of the function named
 * sim_ptx_ and the instruction with '_' for '.'. The one thing that macros cannot do. */
std::string without_asm(const std::string &text);

struct Entry {
    std::string name;
    unsigned max_threads; /* 0: no launch bounds */
};
/* Kernels defined in the text, in order: what follows KERNEL(threads), __global__ or
 * __attribute__((global ...)) outside of preprocessor lines. */
std::vector<Entry> entries(const std::string &text);

} // namespace sim

#endif
