/* iqtile quantize: which tensor becomes what, and doing it. */
#ifndef IQT_TOOLS_QUANTIZE_H
#define IQT_TOOLS_QUANTIZE_H

#include "quant/encoder.h"
#include "runtime/cpu_pool.h"

#include <iqtile/gguf.h>

/* What becomes of one tensor. */
struct iqt_job {
    struct iqt_gguf_tensor from;
    const struct iqt_format *to; /* NULL: copied as it is */
    uint64_t bytes;              /* afterwards */
    struct iqt_row_loss loss;    /* once it is encoded */
};

struct iqt_jobs {
    struct iqt_job *job;
    size_t count;
    uint64_t weights; /* to encode */
    uint64_t from_bytes, to_bytes;
};

/* ---- quantize_plan.c ---- */

/* Every matrix whose rows fit becomes f, the rest is copied. IQT_ERR_ARG names a quantized tensor unless
 * requantize. */
IQT_MUST_USE enum iqt_status iqt_jobs_create(const struct iqt_gguf *g,
                                             const struct iqt_format *f, bool requantize,
                                             struct iqt_jobs *out);
void iqt_jobs_free(struct iqt_jobs *jobs);
/* A line a tensor and a total on stdout; errors when done. */
void iqt_jobs_print(const struct iqt_jobs *jobs, bool done);
/* The same keys and the tensors as they will be. */
IQT_MUST_USE enum iqt_status iqt_jobs_describe(const struct iqt_jobs *jobs,
                                               const struct iqt_gguf *g,
                                               const struct iqt_format *f,
                                               struct iqt_gguf_writer *w);

/* ---- quantize_run.c ---- */

/* Encodes or copies every tensor into w, in order; shows progress. IQT_ERR_INTERRUPTED after Ctrl-C. */
IQT_MUST_USE enum iqt_status iqt_jobs_run(struct iqt_jobs *jobs,
                                          const struct iqt_encoder *e,
                                          struct iqt_pool *pool,
                                          struct iqt_gguf_writer *w);

#endif
