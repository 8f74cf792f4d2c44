/* Which bandwidth a device has: the read loop of the CPU, and how passes become a figure. The copy
 * of the other devices is in copy.c. */
#include "bench/bandwidth.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PASSES = IQT_BANDWIDTH_PASSES, UNKNOWN_CACHE = 64 << 20, SUMS = 16 };

uint64_t iqt_bandwidth_span(uint64_t cache_bytes)
{
    const uint64_t cache = cache_bytes > 0 ? cache_bytes : UNKNOWN_CACHE;

    return 2 * cache + cache / 4;
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

void iqt_bandwidth_summary(uint64_t ns[IQT_BANDWIDTH_PASSES], uint64_t bytes,
                           const char *method, struct iqt_bandwidth *out)
{
    qsort(ns, PASSES, sizeof(*ns), compare_u64);
    ns[0] += ns[0] == 0; /* a clock too coarse */
    *out = (struct iqt_bandwidth){ .bytes_per_s = (double)bytes / ((double)ns[0] * 1e-9),
                                   .spread =
                                       (double)(ns[PASSES / 2] - ns[0]) / (double)ns[0],
                                   .method = method,
                                   .bytes = bytes };
}

/* ---- The read loop ------------------------------------------------------------------- */

/* What all readers share. The gate stays shut until every thread exists. */
struct readers {
    pthread_mutex_t gate;
    pthread_barrier_t barrier;
    bool abandoned; /* not all threads could be created: read nothing */
};

/* A reader keeps its own time: one that only watched could be woken too late. */
struct reader {
    pthread_t thread;
    struct readers *all;
    const uint64_t *words;
    size_t count;
    uint64_t sum, start[PASSES], end[PASSES];
};

/* Independent sums, so that loads and not one chain of additions set the pace; compilers make
 * vector loads of the inner loop. */
static uint64_t sum_words(const uint64_t *words, size_t count)
{
    uint64_t sum[SUMS] = { 0 };

    for (size_t i = 0; i + SUMS <= count; i += SUMS)
        for (size_t j = 0; j < SUMS; j++)
            sum[j] += words[i + j];
    for (size_t j = 1; j < SUMS; j++)
        sum[0] += sum[j];
    return sum[0];
}

static void *read_passes(void *arg)
{
    struct reader *r = arg;

    pthread_mutex_lock(&r->all->gate);
    pthread_mutex_unlock(&r->all->gate);
    for (int i = 0; i < PASSES && !r->all->abandoned; i++) {
        pthread_barrier_wait(&r->all->barrier);
        r->start[i] = iqt_now_ns();
        r->sum += sum_words(r->words, r->count);
        r->end[i] = iqt_now_ns();
    }
    return NULL;
}

static uint64_t *allocate_words(uint64_t bytes)
{
    void *words =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (words == MAP_FAILED)
        return NULL;
    madvise(words, bytes, MADV_HUGEPAGE); /* a wish; refused is fine */
    memset(words, 1, bytes); /* untouched pages would all be the one zero page */
    return words;
}

/* A pass lasts from its first reader's start to its last one's end. */
static void time_passes(const struct reader *reader, uint32_t threads, uint64_t *ns)
{
    for (int i = 0; i < PASSES; i++) {
        uint64_t start = reader[0].start[i], end = reader[0].end[i];

        for (uint32_t t = 1; t < threads; t++) {
            start = reader[t].start[i] < start ? reader[t].start[i] : start;
            end = reader[t].end[i] > end ? reader[t].end[i] : end;
        }
        ns[i] = end - start;
    }
}

/* Starts the readers and joins them. Returns how many could be created. */
static uint32_t run_readers(struct readers *all, struct reader *reader, uint32_t threads,
                            uint64_t *ns)
{
    uint32_t made = 0;

    pthread_mutex_lock(&all->gate);
    while (made < threads &&
           pthread_create(&reader[made].thread, NULL, read_passes, &reader[made]) == 0)
        made++;
    all->abandoned = made < threads;
    pthread_mutex_unlock(&all->gate);
    for (uint32_t i = 0; i < made; i++)
        pthread_join(reader[i].thread, NULL);
    if (made == threads)
        time_passes(reader, threads, ns);
    return made;
}

static enum iqt_status read_words(const uint64_t *words, size_t each, uint32_t threads,
                                  uint64_t *ns)
{
    struct readers all = { .gate = PTHREAD_MUTEX_INITIALIZER };
    struct reader *reader = calloc(threads, sizeof(*reader));
    enum iqt_status status = IQT_OK;
    uint64_t sum = 0;

    if (reader == NULL || pthread_barrier_init(&all.barrier, NULL, threads) != 0) {
        free(reader);
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %u reader threads", threads);
    }
    for (uint32_t i = 0; i < threads; i++)
        reader[i] =
            (struct reader){ .all = &all, .words = words + i * each, .count = each };
    if (run_readers(&all, reader, threads, ns) < threads)
        status = iqt_fail(IQT_ERR_NO_MEMORY, "cannot create %u reader threads", threads);
    for (uint32_t i = 0; i < threads; i++)
        sum += reader[i].sum;
    /* Every byte is 1: a loop that the compiler dropped, or that missed a part, shows. */
    if (status == IQT_OK && sum != UINT64_C(0x0101010101010101) * each * threads * PASSES)
        status = iqt_fail(IQT_ERR_INTERNAL,
                          "the read loop read something else than was written");
    pthread_barrier_destroy(&all.barrier);
    free(reader);
    return status;
}

enum iqt_status iqt_bandwidth_read_loop(uint32_t threads, uint64_t bytes,
                                        struct iqt_bandwidth *out)
{
    const size_t each = bytes / threads / (SUMS * sizeof(uint64_t)) * SUMS;
    const uint64_t read = each * threads * sizeof(uint64_t);
    uint64_t ns[PASSES];
    uint64_t *words = allocate_words(bytes);
    enum iqt_status status;

    if (words == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "read loop: no memory for %llu bytes",
                        (unsigned long long)bytes);
    status = read_words(words, each, threads, ns);
    munmap(words, bytes);
    if (status == IQT_OK)
        iqt_bandwidth_summary(ns, read, "read loop", out);
    return status;
}

/* ---- Either of them ------------------------------------------------------------------- */

enum iqt_status iqt_bandwidth_measure(struct iqt_device *dev, struct iqt_bandwidth *out)
{
    const struct iqt_device_info *info = iqt_device_describe(dev);

    if (strcmp(info->backend, "cpu") == 0)
        return iqt_bandwidth_read_loop(info->compute_units > 0 ? info->compute_units : 1,
                                       iqt_bandwidth_span(info->cache_bytes), out);
    return iqt_bandwidth_copy(dev, out);
}
