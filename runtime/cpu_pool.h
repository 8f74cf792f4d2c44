/* Threads of the CPU backend. One job at a time, cut into pieces that idle threads take; the caller
 * works, too, and never waits for a thread that has not begun. */
#ifndef IQT_RUNTIME_CPU_POOL_H
#define IQT_RUNTIME_CPU_POOL_H

#include "base/base.h"

struct iqt_pool;

/* threads: the caller of iqt_pool_run() included; 0: one per usable core. NULL for 1, or when no thread can be had: then
 * iqt_pool_run() does everything on the caller's thread. */
struct iqt_pool *iqt_pool_create(uint32_t threads);
void iqt_pool_destroy(struct iqt_pool *pool); /* NULL is allowed; no job may run */

typedef void (*iqt_pool_fn)(void *user, size_t begin, size_t count);
/* Calls fn for pieces of at most tile items until all of [0, items) are done. Any thread may call;
 * calls at the same time run one after the other. */
void iqt_pool_run(struct iqt_pool *pool, iqt_pool_fn fn, void *user, size_t items,
                  size_t tile);

#endif
