/* The read bandwidth that percentages refer to: measured on the same device in the same run. */
#ifndef IQT_BENCH_BANDWIDTH_H
#define IQT_BENCH_BANDWIDTH_H

#include "base/base.h"

struct iqt_bandwidth {
    double bytes_per_s; /* the fastest pass */
    double spread; /* how far the median pass time lies above the fastest, as a ratio */
    const char *method; /* "read loop" (cpu) or "f32 stream" (others) */
    uint64_t bytes;     /* read by one pass, more than twice the last-level cache */
};

/* On the CPU a read loop: as many threads as the device has compute units sum all words of a
 * buffer. Elsewhere "f32 stream": the library's own one-column product with float32 weights,
 * which does next to no arithmetic a byte. That is what a kernel without decoding reaches, so a
 * lower bound of what the memory can do. */
IQT_MUST_USE enum iqt_status iqt_bandwidth_measure(struct iqt_device *dev,
                                                   struct iqt_bandwidth *out);

/* The read loop alone. */
IQT_MUST_USE enum iqt_status iqt_bandwidth_read_loop(uint32_t threads, uint64_t bytes,
                                                     struct iqt_bandwidth *out);

/* Bytes that a rotation must span so that no pass finds its data in the last-level cache.
 * cache_bytes 0: unknown. */
uint64_t iqt_bandwidth_span(uint64_t cache_bytes);

#endif
