/* Products as Google Benchmarks: registered from formats x shapes x columns on opened devices,
 * each set against the read bandwidth of its device, which the first benchmark measures. */
#ifndef IQT_BENCH_BENCH_MATVEC_H
#define IQT_BENCH_BENCH_MATVEC_H

#include "bench/matrix.h"
#include "kernels/plan.h"

struct iqt_bench_device {
    struct iqt_device *dev;
    struct iqt_device_info info;
    double bandwidth;   /* bytes/s; 0: not measured yet */
    const char *method; /* see struct iqt_bandwidth */
    struct iqt_bench_held
        *held; /* the matrix of the last case, for the next of its kind */
};
/* Frees what runs left on the device; before it is closed. */
void iqt_bench_release(struct iqt_bench_device *d);

/* One benchmark and, after its run, its results. */
struct iqt_bench_case {
    struct iqt_bench_device *device;
    const struct iqt_gguf_tensor *tensor; /* NULL: random weights of format, m, k */
    const struct iqt_format *format;      /* NULL: the device's bandwidth */
    size_t m, k;
    uint32_t n;
    enum iqt_layout layout;
    /* Results. */
    char plan[IQT_PLAN_NAME_BYTES];
    uint64_t bytes;
    double seconds; /* of a product, mean; 0: failed */
    double fastest; /* seconds of the fastest one */
    bool rotated;
    char error[256];
};

/* Registers the case; it must live until the run is over. */
void iqt_bench_register(struct iqt_bench_case *c, double min_seconds);

/* Called after each case, whose results are in place. */
typedef void (*iqt_bench_done_fn)(void *user, const struct iqt_bench_case *c);
/* Runs all that was registered. json_path: Google Benchmark's own JSON, or NULL. */
IQT_MUST_USE enum iqt_status iqt_bench_run(const char *json_path, iqt_bench_done_fn fn,
                                           void *user);

#endif
