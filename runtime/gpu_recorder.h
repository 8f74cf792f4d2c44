/* A recorder's memory, shared by the two kinds of calls that are recorded on streams. */
#ifndef IQT_RUNTIME_GPU_RECORDER_H
#define IQT_RUNTIME_GPU_RECORDER_H

#include "runtime/gpu_hw.h"
#include "runtime/runtime.h"
#include "runtime/work.h"

#include <iqtile/gpu.h>

struct iqt_gpu_recorder {
    struct iqt_device *dev;
    /* Quantized activations, those in the order of lanes, their scales, room for plans that split k. */
    struct iqt_mem *scratch;
    uint32_t max_n;
    size_t max_k;
    uint64_t lanes_at, scales_at, work_at; /* bytes */
    struct iqt_work work;
};

/* Checked arguments of iqt_gpu_record(). */
struct iqt_gpu_call {
    struct iqt_gpu_recorder *r;
    void *stream;
    uint64_t x;
    size_t x_stride, k;
    uint32_t n;
    const struct iqt_gpu_product *products;
    size_t count;
    bool quantized;
};

static inline size_t iqt_gpu_rows(const struct iqt_gpu_product *p)
{
    return p->rows ? p->rows : p->w->m - p->row_begin;
}

static inline size_t iqt_gpu_stride(const struct iqt_gpu_product *p)
{
    return p->stride ? p->stride : iqt_gpu_rows(p);
}

enum { IQT_GPU_ALIGNMENT = 16 }; /* of callers' addresses */

/* The launch that quantizes n vectors of k; the device's context is current. */
IQT_MUST_USE enum iqt_status iqt_gpu_record_quantize(struct iqt_gpu_recorder *r,
                                                     void *stream, uint64_t x,
                                                     size_t x_stride, size_t k,
                                                     uint32_t n);

/* Where a kernel of this plan finds them. */
static inline uint64_t iqt_gpu_quantized(const struct iqt_gpu_recorder *r,
                                         const struct iqt_plan *plan)
{
    return r->scratch->address + (iqt_plan_takes_lanes(plan) ? r->lanes_at : 0);
}

/* All launches of a call; the device's context is current. */
IQT_MUST_USE enum iqt_status iqt_gpu_launch_all(const struct iqt_gpu_call *c);

#endif
