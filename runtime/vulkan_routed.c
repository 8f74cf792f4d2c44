/* Products with routed experts as commands in a caller's command buffer. */
#include "runtime/routed.h"
#include "runtime/vulkan_recorder.h"

/* A call's arguments, checked. */
struct call {
    struct iqt_vulkan_recorder *r;
    VkCommandBuffer cmd;
    const struct iqt_vulkan_buffer *x;
    const struct iqt_vulkan_routed *p;
    struct iqt_routed_call c;
    const struct iqt_built *built;
};

static enum iqt_status check_buffers(const struct call *call)
{
    const struct iqt_routed_call *c = &call->c;
    const struct iqt_vulkan_routed *p = call->p;
    const struct iqt_device *dev = call->r->dev;
    const uint64_t floats = (uint64_t)c->w->experts * c->w->m;

    if (call->x->buffer == VK_NULL_HANDLE || p->ids.buffer == VK_NULL_HANDLE ||
        p->y.buffer == VK_NULL_HANDLE)
        return iqt_fail(IQT_ERR_ARG, "routed: x, ids or y is absent");
    IQT_TRY(iqt_vk_check_buffer(dev, "x", call->x, c->vectors, c->x_stride, c->w->k));
    IQT_TRY(iqt_vk_check_buffer(dev, "ids", &p->ids, 1, 0, c->jobs));
    IQT_TRY(iqt_vk_check_buffer(dev, "y", &p->y, c->jobs, c->y_stride, c->w->m));
    IQT_TRY(iqt_vk_check_buffer(dev, "bias", &p->bias, 1, 0, floats));
    return iqt_vk_check_buffer(dev, "gate_bias", &p->gate_bias, 1, 0, floats);
}

static size_t launches(const struct call *call)
{
    const size_t reach = iqt_routed_reach(call->c.w);

    return (call->c.w->experts + reach - 1) / reach + !iqt_routed_floats(&call->c);
}

/* Also builds the kernel, so that nothing can fail afterwards. */
static enum iqt_status check(struct call *call)
{
    const struct iqt_vulkan_recorder *r = call->r;
    struct iqt_routed_call *c = &call->c;

    IQT_TRY(iqt_routed_check(r->dev, c));
    IQT_TRY(iqt_routed_check_x(c));
    if ((uint64_t)c->vectors * c->w->k > (uint64_t)r->max_n * r->max_k)
        return iqt_fail(IQT_ERR_SHAPE,
                        "routed: %u vectors of %zu, the recorder is made for %u of %zu",
                        c->vectors, c->w->k, r->max_n, r->max_k);
    IQT_TRY(check_buffers(call));
    if (launches(call) > r->max_launches - r->sets.used)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%zu launches, the recorder has %u of %u left",
                        launches(call), r->max_launches - r->sets.used, r->max_launches);
    return iqt_routed_kernel(c, &call->built);
}

static struct iqt_slice slice_experts(const struct iqt_matrix *w, size_t begin,
                                      size_t end, uint32_t *base)
{
    const uint64_t bytes = (uint64_t)w->expert_rows * w->row_bytes, at = begin * bytes;

    *base = (uint32_t)(at % w->dev->offset_align);
    return (struct iqt_slice){ w->mem, at - *base, *base + (end - begin) * bytes };
}

/* Launches for different experts write different results: no barriers between. */
static void record_experts(const struct call *call, size_t begin, size_t end)
{
    const struct iqt_routed_call *c = &call->c;
    const uint64_t activations = (uint64_t)c->vectors * c->w->k;
    struct iqt_params params = iqt_routed_params(c, begin, end);
    struct iqt_mem view[5];
    struct iqt_launch l = {
        .kernel = call->built->kernel,
        .bind = { [IQT_BIND_XQ] = { call->r->xq, 0, activations },
                  [IQT_BIND_XS] = { call->r->xs, 0,
                                    activations / IQT_X_BLOCK * sizeof(struct iqt_xs) },
                  [IQT_BIND_BIAS] = iqt_vk_slice_caller(&view[0], &call->p->bias),
                  [IQT_BIND_GATE_BIAS] =
                      iqt_vk_slice_caller(&view[1], &call->p->gate_bias),
                  [IQT_BIND_Y] = iqt_vk_slice_caller(&view[2], &call->p->y),
                  [IQT_BIND_IDS] = iqt_vk_slice_caller(&view[3], &call->p->ids) },
        .params = &params,
        .params_bytes = sizeof(params),
        .groups = iqt_routed_groups(c, call->built),
    };

    if (iqt_routed_floats(c))
        l.bind[IQT_BIND_XQ] = iqt_vk_slice_caller(&view[4], call->x);
    l.bind[IQT_BIND_W] = slice_experts(c->w, begin, end, &params.w_base);
    l.bind[IQT_BIND_GATE] =
        slice_experts(c->gate ? c->gate : c->w, begin, end, &params.gate_base);
    iqt_vk_record_launch(call->r, call->cmd, &l);
}

static void record(const struct call *call)
{
    const struct iqt_routed_call *c = &call->c;
    const size_t reach = iqt_routed_reach(c->w), experts = c->w->experts;

    iqt_vk_barrier(call->r->dev->hw, call->cmd);
    if (!iqt_routed_floats(c))
        iqt_vk_record_quantize(call->r, call->cmd, call->x, c->x_stride, c->w->k,
                               c->vectors);
    for (size_t begin = 0; begin < experts; begin += reach)
        record_experts(call, begin, experts - begin < reach ? experts : begin + reach);
    iqt_vk_barrier(call->r->dev->hw, call->cmd);
}

enum iqt_status iqt_vulkan_record_routed(struct iqt_vulkan_recorder *r,
                                         VkCommandBuffer cmd, struct iqt_vulkan_buffer x,
                                         size_t x_stride,
                                         const struct iqt_vulkan_routed *product)
{
    struct call call = { .r = r, .cmd = cmd, .x = &x, .p = product };

    if (r == NULL || cmd == NULL || product == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_vulkan_record_routed: %s is NULL",
                        r == NULL     ? "the recorder"
                        : cmd == NULL ? "the command buffer"
                                      : "product");
    if (product->struct_size != sizeof(*product))
        return iqt_fail(IQT_ERR_ARG, "routed: struct_size is %zu, expected %zu",
                        product->struct_size, sizeof(*product));
    call.c = (struct iqt_routed_call){
        .w = product->w,
        .gate = product->gate,
        .act = product->act,
        .limit = product->limit,
        .bias = product->bias.buffer != VK_NULL_HANDLE,
        .gate_bias = product->gate_bias.buffer != VK_NULL_HANDLE,
        .tokens = product->tokens,
        .used = product->used,
        .x_per_slot = product->x_per_slot,
        .x_stride = x_stride,
        .y_stride = product->stride,
    };
    IQT_TRY(check(&call));
    record(&call);
    return IQT_OK;
}
