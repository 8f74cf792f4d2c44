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
 *   IQT_SIM_OPT      its level of optimisation (default: -O1)
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

/* ---- Counted launches ---- */

enum {
    IQT_SIM_SECTOR = 32,
    IQT_SIM_LINE = 128,
    IQT_SIM_ARGUMENTS = 16,
    IQT_SIM_SITES = 96
};

/* What the texts' builtins and inline instructions do; plain operators are not seen. */
enum iqt_sim_primitive {
    IQT_SIM_DOT4,
    IQT_SIM_PERM,
    IQT_SIM_MUL, /* by an instruction of the text: low, high, 24 bits */
    IQT_SIM_FMA,
    IQT_SIM_FMA_HALF, /* of two halves */
    IQT_SIM_LOGIC,    /* lop3 */
    IQT_SIM_FUNNEL,
    IQT_SIM_CONVERT, /* half to float, float to int */
    IQT_SIM_SHUFFLE,
    IQT_SIM_BARRIER,
    IQT_SIM_PRIMITIVES,
};

/* An instruction of the compiled text that touches memory. Sums over its executions by warps. */
struct iqt_sim_site {
    int argument;   /* buffer it goes to; -1: shared memory */
    uint32_t bytes; /* of a lane */
    int write;
    uint64_t executions, lanes;
    uint64_t unique; /* bytes; those that several lanes ask for count once an execution */
    uint64_t sectors; /* of 32 bytes, distinct in an execution */
    uint64_t least;   /* sectors that the unique bytes would fill */
    uint64_t
        loose; /* sectors that the warp does not use up at once: its loads from the same buffer
                         for the same time leave bytes out */
    uint64_t lines; /* passes: distinct lines of 128 bytes for each 128 bytes of lanes */
    uint64_t least_lines;
    uint64_t conflicts; /* shared memory: passes beyond the first, 32 banks of 4 bytes */
};

/* Of a buffer. */
struct iqt_sim_traffic {
    uint64_t requested; /* bytes of loads, see iqt_sim_site.unique */
    uint64_t sectors;   /* of loads, summed over executions */
    uint64_t lines, least_lines;
    uint64_t fetched; /* sectors distinct within a workgroup, summed over workgroups */
    uint64_t touched; /* sectors distinct in the launch */
    uint64_t written; /* sectors of stores, summed over executions */
};

struct iqt_sim_argument {
    const void *data; /* NULL: of zeros */
    size_t bytes;     /* 0: a null pointer, if it is a buffer */
    int buffer; /* the kernel gets a pointer to a copy of the data; 0: the data itself */
};

struct iqt_sim_job {
    int hip; /* 0: CUDA */
    const char *text, *arch, *kernel;
    uint32_t grid, block, warp;
    uint32_t arguments; /* as many of them as the kernel takes */
    struct iqt_sim_argument argument[IQT_SIM_ARGUMENTS];
};

struct iqt_sim_counted {
    uint64_t primitive[IQT_SIM_PRIMITIVES]; /* executions by threads */
    struct iqt_sim_traffic traffic[IQT_SIM_ARGUMENTS];
    uint64_t conflicts;
    uint32_t sites; /* in the order in which they first ran; the rest is not listed */
    struct iqt_sim_site site[IQT_SIM_SITES];
};

/* Compiles a text, runs it with all checks, and counts. The accesses of a warp are one execution when
 * the same instruction does them for the same time in each thread. 0, or a message (static, of this
 * thread) in *why. */
IQT_SIM_API int iqt_sim_count(const struct iqt_sim_job *job, struct iqt_sim_counted *out,
                              const char **why);

#ifdef __cplusplus
}
#endif
#endif
