/* The simulated machine, shared by both driver stand-ins: compiles kernel text for the host, holds
 * device memory with its shadow, runs grids. Knows no driver API. C interface, C++ inside. */
#ifndef IQT_SIM_SIMT_H
#define IQT_SIM_SIMT_H

#include "sim/sim.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sim_language { SIM_CUDA, SIM_HIP };

/* ---- Compiling (compile.cc) ---- */

/* Whether there is a C++ compiler. */
int sim_can_compile(void);

/* Compiles text (one translation unit with extern "C" __global__ kernels) into a host shared object.
 * arch: "sm_90", "gfx1100": decides the predefined macros. On success *image (malloc) is a
 * self-contained image for sim_module_load(); else *image is NULL. *log (malloc, never NULL) has the
 * compiler's messages. checked: with access call-backs and undefined-behaviour handlers; SIM_COUNTED: also
 * with primitives counted, and accesses left as the text has them. */
enum { SIM_CHECKED = 1, SIM_COUNTED = 2 };
int sim_compile(enum sim_language language, const char *text, const char *arch,
                int checked, char **image, size_t *image_bytes, char **log);

/* ---- Device memory (memory.cc) ---- */

/* One address space for all simulated devices: ordinary host memory with guard zones and, byte by
 * byte, a shadow "has been written". 256-byte aligned. NULL when there is no memory. */
void *sim_alloc(size_t bytes, int device);
int sim_free(void *p); /* 0: no such allocation */
/* Whether [p, p + bytes) lies within one live allocation; its device in *device (may be NULL). */
int sim_owns(const void *p, size_t bytes, int *device);
/* Copies that keep the shadow; 0 when a device range is not owned. Either side may be the host. */
int sim_copy(void *to, const void *from, size_t bytes);
int sim_fill(void *to, int value, size_t bytes);

/* ---- Modules and launches (module.cc, run.cc) ---- */

struct sim_module;
struct sim_kernel {
    char name[256];
    void *entry;           /* the kernel's host function */
    uint32_t max_threads;  /* of __launch_bounds__; 0: none given */
    uint32_t shared_bytes; /* static */
    uint32_t arguments;
    uint16_t argument_bytes[32]; /* size of each, in order */
    struct sim_module *module;
};
/* NULL: image is not one of ours (real PTX, a real cubin, garbage). */
struct sim_module *sim_module_load(const void *image, const char *want_arch);
void sim_module_unload(struct sim_module *m);
const struct sim_kernel *sim_module_kernel(struct sim_module *m, const char *name);

enum sim_result { SIM_OK, SIM_ILLEGAL_ADDRESS, SIM_FAULT };
/* Runs a grid to its end. args: one pointer per argument, read before the call returns (a driver
 * copies them when it queues the launch). warp: 32 or 64. Workgroups in an order that follows
 * iqt_sim_set_order(). The first fault stops the grid and is remembered for iqt_sim_fault_text(). */
enum sim_result sim_run(const struct sim_kernel *k, const uint32_t grid[3],
                        const uint32_t block[3], uint32_t warp, void *const *args);

/* ---- Faults and accounts (account.cc) ---- */

/* First line of every API function: counts the call; nonzero: return this error now. */
int sim_enter(const char *function);
void sim_report(const char *format, ...) __attribute__((format(printf, 1, 2)));
enum sim_object {
    SIM_CONTEXT,
    SIM_STREAM,
    SIM_EVENT,
    SIM_MODULE,
    SIM_ALLOCATION,
    SIM_GRAPH,
    SIM_PROGRAM
};
void sim_count(enum sim_object kind, int change);

#ifdef __cplusplus
}
#endif
#endif
