/* A pool that sleeps. pthreadpool and OpenMP runtimes wait by spinning: beside other load on the same
 * cores each small product then cost scheduler slices, 5 to 20 ms instead of 50 us. */
#include "runtime/cpu_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Looks at a condition this often before it sleeps: about 20 us, less than a wake-up. */
enum { SPINS = 500 };

struct iqt_pool {
    pthread_mutex_t turn; /* held by the caller whose job runs */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake, done;
    bool stop, open; /* open: threads may still join the job */
    iqt_pool_fn fn;
    void *user;
    size_t items, tile;
    atomic_size_t next;  /* first item that nobody has taken */
    atomic_uint number;  /* of the job */
    atomic_uint working; /* threads that joined and have not left */
    uint32_t threads;    /* without the caller */
    pthread_t thread[];
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void take_pieces(struct iqt_pool *p)
{
    const size_t items = p->items, tile = p->tile;

    for (;;) {
        const size_t begin = atomic_fetch_add(&p->next, tile);

        if (begin >= items)
            return;
        p->fn(p->user, begin, items - begin < tile ? items - begin : tile);
    }
}

/* Waits for a job after number seen; false when the pool ends. The thread has then joined. */
static bool join_job(struct iqt_pool *p, unsigned *seen)
{
    bool joined;

    for (int i = 0; i < SPINS && atomic_load(&p->number) == *seen; i++)
        relax();
    pthread_mutex_lock(&p->lock);
    while (!p->stop && (!p->open || atomic_load(&p->number) == *seen))
        pthread_cond_wait(&p->wake, &p->lock);
    joined = !p->stop;
    if (joined)
        atomic_fetch_add(&p->working, 1);
    *seen = atomic_load(&p->number);
    pthread_mutex_unlock(&p->lock);
    return joined;
}

static void *thread_main(void *user)
{
    struct iqt_pool *p = user;
    unsigned seen = 0;

    while (join_job(p, &seen)) {
        take_pieces(p);
        pthread_mutex_lock(&p->lock);
        if (atomic_fetch_sub(&p->working, 1) == 1)
            pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

static uint32_t usable_cores(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

struct iqt_pool *iqt_pool_create(uint32_t threads)
{
    if (threads == 0)
        threads = usable_cores();
    if (threads < 2)
        return NULL;
    struct iqt_pool *p = calloc(1, sizeof(*p) + (threads - 1) * sizeof(p->thread[0]));
    if (p == NULL)
        return NULL;
    pthread_mutex_init(&p->turn, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    while (p->threads < threads - 1 &&
           pthread_create(&p->thread[p->threads], NULL, thread_main, p) == 0)
        p->threads++;
    return p;
}

void iqt_pool_destroy(struct iqt_pool *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->threads; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->turn);
    free(p);
}

static void start_job(struct iqt_pool *p, iqt_pool_fn fn, void *user, size_t items,
                      size_t tile)
{
    pthread_mutex_lock(&p->lock);
    p->fn = fn;
    p->user = user;
    p->items = items;
    p->tile = tile;
    atomic_store(&p->next, 0);
    p->open = true;
    atomic_fetch_add(&p->number, 1);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

/* Nobody may join any more; waits for those who did. */
static void end_job(struct iqt_pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->open = false;
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < SPINS && atomic_load(&p->working) != 0; i++)
        relax();
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->working) != 0)
        pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void iqt_pool_run(struct iqt_pool *p, iqt_pool_fn fn, void *user, size_t items,
                  size_t tile)
{
    if (p == NULL || items <= tile) {
        for (size_t begin = 0; begin < items; begin += tile)
            fn(user, begin, items - begin < tile ? items - begin : tile);
        return;
    }
    pthread_mutex_lock(&p->turn);
    start_job(p, fn, user, items, tile);
    take_pieces(p);
    end_job(p);
    pthread_mutex_unlock(&p->turn);
}
