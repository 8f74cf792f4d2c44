/* A matrix on a device, in as many copies as it takes to defeat the cache, and plans timed on it
 * in turn. The one way in which bench and report time a product. */
#ifndef IQT_BENCH_RACE_H
#define IQT_BENCH_RACE_H

#include "bench/matrix.h"
#include "kernels/plan.h"

enum { IQT_RACE_COPIES = 256, IQT_RACE_SAMPLES = 64, IQT_RACE_PLANS = 4 };

struct iqt_race {
    struct iqt_device *dev;
    struct iqt_queue *queue;
    const struct iqt_bench_matrix *weights; /* borrowed */
    enum iqt_layout layout;
    struct iqt_matrix *matrix[IQT_RACE_COPIES];
    uint8_t *host[IQT_RACE_COPIES]; /* native layout: a CPU device borrows its bytes */
    uint32_t copies, next;
    float *x, *y; /* IQT_MAX_COLS vectors each */
};

/* The fastest of the runs, and how far their median lies above it. */
struct iqt_race_time {
    double ns, spread;
    uint32_t runs;
};

IQT_MUST_USE enum iqt_status iqt_race_open(struct iqt_device *dev,
                                           const struct iqt_bench_matrix *w,
                                           enum iqt_layout layout, struct iqt_race **out);
void iqt_race_close(struct iqt_race *race); /* NULL is allowed */

/* Uploads copies until all of them together have span bytes. */
IQT_MUST_USE enum iqt_status iqt_race_spread(struct iqt_race *race, uint64_t span);

/* One product on the next copy; device time. */
IQT_MUST_USE enum iqt_status iqt_race_once(struct iqt_race *race,
                                           const struct iqt_plan *plan, uint32_t n,
                                           uint64_t *ns);

/* One warm run of each plan; where one reaches a tenth of bandwidth (bytes/s; 0: unknown, yes)
 * the matrix is spread over more than the cache and *rotated set. */
IQT_MUST_USE enum iqt_status iqt_race_warm(struct iqt_race *race,
                                           const struct iqt_plan *plans, uint32_t count,
                                           uint32_t n, double bandwidth, bool *rotated);

/* Times count plans in turn for about so many seconds, at least 3 and at most IQT_RACE_SAMPLES
 * runs each; every second round goes through them backwards. */
IQT_MUST_USE enum iqt_status iqt_race_run(struct iqt_race *race,
                                          const struct iqt_plan *plans, uint32_t count,
                                          uint32_t n, double seconds,
                                          struct iqt_race_time *times);

/* Compares a product by this plan with the exact model on rows spread over the matrix, first and
 * last included. IQT_ERR_INTERNAL names the worst row when one is outside IQT_MODEL_RTOL.
 * worst: largest |difference| / sum |w x|. */
IQT_MUST_USE enum iqt_status iqt_race_verify(struct iqt_race *race,
                                             const struct iqt_plan *plan, uint32_t n,
                                             uint32_t *rows, double *worst);

#endif
