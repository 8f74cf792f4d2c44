/* Products with routed experts on a caller's stream: the ids are an address, which nobody here reads. */
#include "runtime/gpu_recorder.h"
#include "runtime/routed.h"

static bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
    return b != 0 && a < b + b_bytes && b < a + a_bytes;
}

static enum iqt_status check_addresses(const struct iqt_routed_call *c,
                                       const struct iqt_gpu_routed *p, uint64_t x)
{
    const uint64_t y_bytes = ((uint64_t)(c->jobs - 1) * c->y_stride + c->w->m) * 4;
    const uint64_t x_bytes = ((uint64_t)(c->vectors - 1) * c->x_stride + c->w->k) * 4;
    const uint64_t floats = (uint64_t)c->w->experts * c->w->m * 4;

    if (x == 0 || p->ids == 0 || p->y == 0)
        return iqt_fail(IQT_ERR_ARG, "routed: x, ids or y is 0");
    if ((x | p->ids | p->y | p->bias | p->gate_bias) % IQT_GPU_ALIGNMENT != 0)
        return iqt_fail(IQT_ERR_ARG, "routed: an address is not a multiple of %d",
                        IQT_GPU_ALIGNMENT);
    if (overlap(p->y, y_bytes, x, x_bytes) ||
        overlap(p->y, y_bytes, p->ids, (uint64_t)c->jobs * 4) ||
        overlap(p->y, y_bytes, p->bias, floats) ||
        overlap(p->y, y_bytes, p->gate_bias, floats))
        return iqt_fail(IQT_ERR_ARG, "routed: y overlaps another buffer");
    return IQT_OK;
}

static enum iqt_status check(const struct iqt_gpu_recorder *r,
                             const struct iqt_gpu_routed *p, uint64_t x,
                             struct iqt_routed_call *c)
{
    IQT_TRY(iqt_routed_check(r->dev, c));
    IQT_TRY(iqt_routed_check_x(c));
    if (!iqt_routed_floats(c) &&
        (uint64_t)c->vectors * c->w->k > (uint64_t)r->max_n * r->max_k)
        return iqt_fail(IQT_ERR_NO_MEMORY,
                        "routed: %u vectors of %zu; the recorder has room for %u of %zu",
                        c->vectors, c->w->k, r->max_n, r->max_k);
    return check_addresses(c, p, x);
}

static enum iqt_status launch(struct iqt_gpu_recorder *r, void *stream, uint64_t x,
                              const struct iqt_gpu_routed *p,
                              const struct iqt_routed_call *c)
{
    const struct iqt_params params = iqt_routed_params(c, 0, c->w->experts);
    const bool floats = iqt_routed_floats(c);
    uint64_t address[IQT_BINDINGS] = {
        [IQT_BIND_W] = c->w->mem->address,
        [IQT_BIND_GATE] = (c->gate ? c->gate : c->w)->mem->address,
        [IQT_BIND_XQ] = x,
        [IQT_BIND_XS] = floats ? 0 : r->scratch->address + r->scales_at,
        [IQT_BIND_BIAS] = p->bias,
        [IQT_BIND_GATE_BIAS] = p->gate_bias,
        [IQT_BIND_Y] = p->y,
        [IQT_BIND_IDS] = p->ids,
    };
    const struct iqt_built *built;

    IQT_TRY(iqt_routed_kernel(c, &built));
    if (!floats) {
        address[IQT_BIND_XQ] = iqt_gpu_quantized(r, &built->plan);
        IQT_TRY(iqt_gpu_record_quantize(r, stream, x, c->x_stride, c->w->k, c->vectors));
    }
    return iqt_gpu_enqueue(r->dev->hw, stream, built->kernel, address, &params,
                           iqt_routed_groups(c, built));
}

enum iqt_status iqt_gpu_record_routed(struct iqt_gpu_recorder *r, void *stream,
                                      uint64_t x, size_t x_stride,
                                      const struct iqt_gpu_routed *product)
{
    struct iqt_routed_call c;
    enum iqt_status status;
    struct iqt_hw *hw;
    void *saved;

    if (!r || !product)
        return iqt_fail(IQT_ERR_ARG, "iqt_gpu_record_routed: %s is NULL",
                        r ? "product" : "the recorder");
    if (product->struct_size != sizeof *product)
        return iqt_fail(IQT_ERR_ARG, "routed: struct_size is %zu, expected %zu",
                        product->struct_size, sizeof *product);
    c = (struct iqt_routed_call){
        .w = product->w,
        .gate = product->gate,
        .act = product->act,
        .limit = product->limit,
        .bias = product->bias != 0,
        .gate_bias = product->gate_bias != 0,
        .tokens = product->tokens,
        .used = product->used,
        .x_per_slot = product->x_per_slot,
        .x_stride = x_stride,
        .y_stride = product->stride,
    };
    IQT_TRY(check(r, product, x, &c));
    hw = r->dev->hw;
    IQT_TRY(hw->api->driver->check_stream(hw->api, hw->context, stream));
    IQT_TRY(iqt_gpu_enter(hw, &saved));
    status = launch(r, stream, x, product, &c);
    iqt_gpu_leave(hw, saved);
    return status;
}
