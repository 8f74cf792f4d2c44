/* Simulated GPU drivers: two shared libraries that stand in for libcuda + libnvrtc
 * (libiqtile_sim_cuda.so) and for libamdhip64 + libamd_comgr (libiqtile_sim_hip.so). A program
 * loads them with dlopen in the place of the real ones and calls the same functions. They compile
 * the very kernel text that they are given for the host, run one fiber per GPU thread, and report
 * what a GPU would silently do wrong.
 *
 * Environment, read when the library is loaded:
 *   IQT_SIM_ORDER    forward (default) | reverse | stride | random[:seed]: order of the threads of
 *                    a workgroup between two synchronisations
 *   IQT_SIM_CHECK    1: memory checks on every access (bounds, uninitialised reads, races on
 *                    shared and global memory) and undefined-behaviour checks
 *   IQT_SIM_DEVICES  comma-separated architectures of the devices
 *                    (default cuda: sm_90,sm_75; hip: gfx942,gfx1100); "none": no device
 *   IQT_SIM_FAULT    function:nth:error: the nth call of that driver function fails
 *   IQT_SIM_CXX      the C++ compiler (default: c++, g++, clang++, the first that is found);
 *                    without one there is no device
 *   IQT_SIM_CACHE    folder of compiled kernels (default: $XDG_CACHE_HOME/iqtile/sim)
 *
 * Tests call the functions below, found with dlsym in the loaded library. All are thread-safe. */
#ifndef IQT_SIM_H
#define IQT_SIM_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define IQT_SIM_API __attribute__((visibility("default")))
#else
#define IQT_SIM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum iqt_sim_order {
    IQT_SIM_FORWARD,
    IQT_SIM_REVERSE,
    IQT_SIM_STRIDE, /* thread i * 37 mod n next */
    IQT_SIM_RANDOM, /* a new order at every synchronisation */
};
IQT_SIM_API void iqt_sim_set_order(enum iqt_sim_order order, uint64_t seed);
IQT_SIM_API void iqt_sim_set_check(int on); /* kernels compiled from now on */

/* The nth call from now (1: the next) of a driver or compiler function, "" for any of them, fails
 * with this error code of its API. It has no other effect, with two exceptions that are those of real
 * drivers: what destroys or frees does so and reports the error all the same, and after errors of a
 * lost device (46, 214, 700, 719) the current context is lost, too. nth 0 takes it back. */
IQT_SIM_API void iqt_sim_set_fault(const char *function, uint32_t nth, int error);
/* Calls of driver and compiler functions since the library was loaded or the last reset. */
IQT_SIM_API uint64_t iqt_sim_calls(void);
IQT_SIM_API void iqt_sim_calls_reset(void);
/* Name of the i-th counted call; NULL past the end. */
IQT_SIM_API const char *iqt_sim_call_name(uint64_t i);

/* Objects that were created and not destroyed. */
struct iqt_sim_live {
    uint32_t contexts, streams, events, modules, allocations, graphs, programs;
};
IQT_SIM_API struct iqt_sim_live iqt_sim_live(void);

/* Faults of kernels and of API use found so far, the last one's text ("" : none), and forgetting
 * them. A faulty kernel makes its launch's synchronisation fail with the API's code for an illegal
 * address (bounds), a launch failure (everything else). Text: "out-of-bounds read of 4 bytes at
 * ... in kernel ..., workgroup 3, thread 17". */
IQT_SIM_API uint32_t iqt_sim_faults(void);
IQT_SIM_API const char *iqt_sim_fault_text(void);
IQT_SIM_API void iqt_sim_faults_reset(void);

#ifdef __cplusplus
}
#endif
#endif
