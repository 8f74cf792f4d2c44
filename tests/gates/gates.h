/* The compile gates: every kernel that a user may get compiles for every target without spills.
 *
 *   gates.c   options, the order of the work, the report
 *   work.c    which kernels, which targets
 *   judge.c   compiles one kernel for one target and judges what it uses
 *   radv.c    Mesa's compiler for AMD GPUs, without a GPU
 *   pool.c    worker processes, since a compiler may abort
 *   cache.c   results of earlier runs, by the hash of text, target and compiler */
#ifndef IQT_TESTS_GATES_GATES_H
#define IQT_TESTS_GATES_GATES_H

#include "kernels/plan.h"
#include "kernels/quantized.h"
#include "runtime/binary_info.h"

#include <stdio.h>

/* ---- Targets ---- */

/* Registers: a workgroup runs on GATE_SIMDS units with file registers for each of wave lanes, given
 * out in granules. wave 0: no machine code, nothing to judge. */
struct gate_target {
    const char *name; /* of iqt_target_parse(), or radv: and Mesa's name of a GPU */
    enum iqt_dialect dialect;
    const char *need; /* its word in IQT_REQUIRE */
    uint16_t wave;    /* threads that share an instruction */
    uint16_t file, granule, most_registers;
    uint32_t most_shared;
    bool reference;      /* default plans are always compiled for it */
    const char *excused; /* a compiler whose spills are its own fault, or NULL */
};

enum { GATE_TARGETS = 17, GATE_SIMDS = 4, GATE_MESSAGE = 900, GATE_COMPILER = 96 };
extern const struct gate_target gate_targets[GATE_TARGETS];

/* ---- Work ---- */

struct gate_kernel {
    struct iqt_plan plan;   /* format NULL: a helper of the dialect */
    enum iqt_helper helper; /* which */
    char name[IQT_PLAN_NAME_BYTES];
    uint64_t hash; /* of the text */
    bool sampled;  /* else one of the default plans */
};

struct gate_kernels {
    struct gate_kernel *kernel;
    size_t count, capacity;
};

enum { GATE_SAMPLED = 200 };

/* Appends the default plans of a dialect for n = 1, 2, 4, 8, 16; equal texts once. */
IQT_MUST_USE enum iqt_status gate_add_defaults(struct gate_kernels *k,
                                               enum iqt_dialect d);
/* Appends the dialect's share of GATE_SAMPLED legal plans drawn by the seed. */
IQT_MUST_USE enum iqt_status gate_add_sampled(struct gate_kernels *k, enum iqt_dialect d,
                                              uint64_t seed);
IQT_MUST_USE enum iqt_status gate_add(struct gate_kernels *k, const struct iqt_plan *plan,
                                      bool sampled);
IQT_MUST_USE enum iqt_status gate_emit(const struct gate_kernel *k, struct iqt_buf *out);
/* The number'th draw of a seed; any number gives a good one. */
uint64_t gate_random(uint64_t seed, uint64_t number);

/* One kernel for one target. */
struct gate_item {
    uint32_t kernel, target;
    bool must; /* whatever the budget */
};

/* What came out; goes through a pipe, so it holds no pointer. */
struct gate_result {
    uint32_t item;
    bool compiled; /* info holds */
    bool spills;   /* the message is about that */
    struct iqt_binary_info info;
    char message[GATE_MESSAGE]; /* "" : good */
};

/* ---- judge.c ---- */

/* Identity of the compiler for a target; IQT_ERR_UNSUPPORTED says what is missing. */
IQT_MUST_USE enum iqt_status gate_probe(const struct gate_target *t,
                                        char compiler[GATE_COMPILER]);
void gate_compile(const struct gate_kernel *k, const struct gate_target *t,
                  struct gate_result *out);
/* Fills message from info. */
void gate_judge(const struct gate_kernel *k, const struct gate_target *t,
                struct gate_result *r);

/* ---- radv.c ---- */

/* Driver's name and version. May end the process: call it in a child. */
IQT_MUST_USE enum iqt_status gate_radv_name(const char *gpu, char out[GATE_COMPILER]);
IQT_MUST_USE enum iqt_status gate_radv(const char *gpu, const struct gate_kernel *k,
                                       const uint32_t *word, size_t words,
                                       struct iqt_binary_info *out);

/* ---- pool.c ---- */

struct gate_pool;
/* workers processes that compile for items of kernels. NULL: out of memory. */
struct gate_pool *gate_pool_create(unsigned workers, const struct gate_kernels *kernels,
                                   const struct gate_item *items);
void gate_pool_free(struct gate_pool *pool);
/* Whether a worker is free, and giving it an item. */
bool gate_pool_give(struct gate_pool *pool, uint32_t item);
/* Waits for a result; false when nothing is under way. */
bool gate_pool_take(struct gate_pool *pool, struct gate_result *out);
/* Calls fn in a child process and copies what it wrote to shared memory; false when it died. */
bool gate_in_child(void (*fn)(void *shared), void *shared);
void *gate_shared_memory(size_t bytes); /* zeroed; NULL: none */

/* ---- cache.c ---- */

struct gate_cache;
struct gate_cache *gate_cache_open(const char *path); /* "" : remembers nothing */
void gate_cache_close(struct gate_cache *c);
uint64_t gate_cache_key(uint64_t text, const char *target, const char *compiler);
bool gate_cache_find(const struct gate_cache *c, uint64_t key,
                     struct iqt_binary_info *out);
void gate_cache_add(struct gate_cache *c, uint64_t key,
                    const struct iqt_binary_info *info);

#endif
