/* Products on a caller's CUDA or HIP stream, with vectors in device memory. No CUDA or HIP header is
 * needed: handles are passed as the pointers that they are.
 *
 *   1. iqt_device_open(ctx, "cuda:0" or "hip:0", ...): the device's primary context.
 *   2. iqt_matrix_upload() the weights, iqt_prepare() the kernels.
 *   3. iqt_gpu_recorder_create(); iqt_gpu_record() as often as you like: it enqueues and returns.
 *      It may be captured into a CUDA or HIP graph.
 */
#ifndef IQTILE_GPU_H
#define IQTILE_GPU_H

#include <iqtile/iqtile.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Device addresses (CUdeviceptr, hipDeviceptr_t) of one product; 0: absent. All 16-byte aligned. */
struct iqt_gpu_product {
    size_t struct_size; /* sizeof(struct iqt_gpu_product) */
    const struct iqt_matrix *w;
    const struct iqt_matrix *gate; /* NULL, or of the same m, k, format and layout */
    enum iqt_act act;              /* used only with gate */
    float limit;                   /* used only by IQT_ACT_SWIGLU_OAI; > 0 */
    uint64_t bias;                 /* m floats */
    uint64_t gate_bias;            /* m floats; only with gate */
    uint64_t residual;             /* n vectors, stride apart */
    uint64_t y;                    /* n vectors, stride apart; may be residual's memory */
    size_t stride;                 /* of y and residual in floats; 0: rows */
    size_t row_begin, rows;        /* as in struct iqt_product */
};

/* Scratch memory for the quantized activations. One thread at a time; calls recorded with one
 * recorder share the scratch and must execute one after the other (one stream, or one graph). */
struct iqt_gpu_recorder;

/* dev: of backend cuda or hip (else IQT_ERR_UNSUPPORTED); must outlive the recorder. Memory for n up
 * to max_n (1 .. IQT_MAX_COLS) vectors of up to max_k activations. */
IQT_API IQT_MUST_USE enum iqt_status iqt_gpu_recorder_create(
    struct iqt_device *dev, uint32_t max_n, size_t max_k, struct iqt_gpu_recorder **out);
/* Nothing recorded with it may be pending. NULL is allowed. */
IQT_API void iqt_gpu_recorder_destroy(struct iqt_gpu_recorder *r);

/* Enqueues count products of the same n activation vectors x: one launch for the activations, unless all
 * formats are float ones, and one for each format, layout and kind (with or without a gate) of up to 16
 * products. On stream (CUstream or hipStream_t of
 * the device's primary context; NULL: the default stream). Neither waits nor allocates nor copies,
 * provided that iqt_prepare() has built the kernels; the calling thread's current context or device
 * is the same afterwards.
 *
 * x         device address of n vectors of k floats, x_stride floats apart (0: k). Matrices of
 *           float formats read x as it is and need x_stride k.
 * products  count entries; all matrices have the same k and live on the recorder's device. No y may
 *           overlap x or another product's buffers.
 *
 * IQT_ERR_ARG or IQT_ERR_SHAPE when a rule above is broken, IQT_ERR_NO_MEMORY when n or k exceeds
 * the recorder's, IQT_ERR_UNSUPPORTED, IQT_ERR_COMPILE, IQT_ERR_DEVICE with the driver's words. */
IQT_API IQT_MUST_USE enum iqt_status iqt_gpu_record(
    struct iqt_gpu_recorder *r, void *stream, uint64_t x, size_t x_stride, uint32_t n,
    const struct iqt_gpu_product *products, size_t count);

/* Device addresses of one product with routed experts, struct iqt_routed on the device; 0: absent.
 * All 16-byte aligned. The host never reads the ids: they may change between replays of a graph. */
struct iqt_gpu_routed {
    size_t struct_size; /* sizeof(struct iqt_gpu_routed) */
    const struct iqt_matrix *w;
    const struct iqt_matrix
        *gate;          /* NULL, or of the same experts, m, k, format and layout */
    enum iqt_act act;   /* used only with gate */
    float limit;        /* used only by IQT_ACT_SWIGLU_OAI; > 0 */
    uint64_t bias;      /* experts x m floats */
    uint64_t gate_bias; /* experts x m floats; only with gate */
    uint64_t ids;       /* tokens x used int32; others than 0 .. experts - 1 give zeros */
    uint32_t tokens, used;
    bool x_per_slot; /* x has tokens x used vectors, not tokens */
    uint64_t y;      /* tokens x used vectors of m floats, stride apart */
    size_t stride;   /* of y in floats; 0: m */
};

/* Enqueues one product with routed experts, in two launches, one where the format is a float one.
 * Everything else is as in iqt_gpu_record(), but that x has as many vectors as product says and that
 * all of them together must be within max_n x max_k of the recorder. */
IQT_API IQT_MUST_USE enum iqt_status iqt_gpu_record_routed(
    struct iqt_gpu_recorder *r, void *stream, uint64_t x, size_t x_stride,
    const struct iqt_gpu_routed *product);

#ifdef __cplusplus
}
#endif
#endif
