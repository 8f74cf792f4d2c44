/* The bandwidth that percentages refer to: measured on the same device in the same run. */
#ifndef IQT_BENCH_BANDWIDTH_H
#define IQT_BENCH_BANDWIDTH_H

#include "base/base.h"

enum { IQT_BANDWIDTH_PASSES = 15 };

struct iqt_bandwidth {
    double bytes_per_s; /* the fastest pass */
    double spread; /* how far the median pass time lies above the fastest, as a ratio */
    const char *method; /* "read loop" (cpu) or "copy" (others) */
    uint64_t bytes;     /* moved by one pass, more than twice the last-level cache */
};

/* On the CPU the read loop, elsewhere the copy. */
IQT_MUST_USE enum iqt_status iqt_bandwidth_measure(struct iqt_device *dev,
                                                   struct iqt_bandwidth *out);

/* As many threads as asked for sum all words of a buffer. */
IQT_MUST_USE enum iqt_status iqt_bandwidth_read_loop(uint32_t threads, uint64_t bytes,
                                                     struct iqt_bandwidth *out);

/* The generator's copy kernel moves a buffer of noise into another one. Bytes read and bytes
 * written both count. IQT_ERR_INTERNAL when the copy is not, byte for byte, what was copied. */
IQT_MUST_USE enum iqt_status iqt_bandwidth_copy(struct iqt_device *dev,
                                                struct iqt_bandwidth *out);

/* Bytes that a rotation must span so that no pass finds its data in the last-level cache.
 * cache_bytes 0: unknown. */
uint64_t iqt_bandwidth_span(uint64_t cache_bytes);

/* The figure of passes that moved so many bytes each; sorts ns. */
void iqt_bandwidth_summary(uint64_t ns[IQT_BANDWIDTH_PASSES], uint64_t bytes,
                           const char *method, struct iqt_bandwidth *out);

#endif
