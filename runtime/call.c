/* Plans a call: which passes, which kernels, in how many launches, what lies where in the queue's
 * scratch. Allocates only when a call is larger than every earlier one of its queue. */
#include "runtime/pass.h"

#include <assert.h>
#include <stdlib.h>

enum {
    ALIGNMENT = 64, /* of a buffer in scratch, at least */
    TAIL = 64,      /* readable bytes behind each: wide loads may run over the end */
    CHUNK_GRANULE =
        64 /* rows: a multiple of every plan's workgroup keeps all but the last full */
};

static uint64_t alignment(const struct iqt_call *call)
{
    const uint32_t device = call->q->dev->offset_align;

    return device > ALIGNMENT ? device : ALIGNMENT;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Most rows of one launch: weights and results both within one binding. */
static size_t chunk_rows(const struct iqt_call *call, const struct iqt_product *p)
{
    const struct iqt_device *dev = call->q->dev;
    /* A slice starts up to an alignment early and ends up to two vectors late. */
    const uint64_t room = dev->max_binding - dev->offset_align - 32;
    size_t rows = min_size(room / p->w->row_bytes, dev->max_binding / (4 * call->n));

    if (p->gate)
        rows = min_size(rows, room / p->gate->row_bytes);
    if (rows > CHUNK_GRANULE)
        rows -= rows % CHUNK_GRANULE;
    return min_size(rows, iqt_product_rows(p));
}

static bool fusable(const struct iqt_product *p)
{
    return p->gate->format == p->w->format && p->gate->layout == p->w->layout;
}

/* A fused or plain product is one pass; else gate and w each make one, joined on the host. */
static size_t split_product(struct iqt_call *call, const struct iqt_product *p,
                            struct iqt_pass out[2])
{
    const size_t chunk = chunk_rows(call, p);
    const struct iqt_pass pass = {
        .product = p,
        .w = p->w,
        .gate = p->gate,
        .bias = p->bias,
        .gate_bias = p->gate_bias,
        .residual = p->residual,
        .rows = iqt_product_rows(p),
        .chunk = chunk,
        .chunk_bytes =
            iqt_round_up((uint64_t)chunk * call->n * sizeof(float), alignment(call)),
    };

    out[0] = out[1] = pass;
    if (!p->gate || fusable(p))
        return 1;
    out[0].w = p->gate;
    out[0].bias = p->gate_bias;
    out[0].combine = true;
    out[0].gate = out[1].gate = NULL;
    out[0].gate_bias = out[1].gate_bias = NULL;
    out[0].residual = out[1].residual = NULL;
    return 2;
}

static enum iqt_status grow_passes(struct iqt_queue *q, size_t count)
{
    struct iqt_pass *pass;

    if (count <= q->passes)
        return IQT_OK;
    pass =
        count > SIZE_MAX / sizeof *pass ? NULL : realloc(q->pass, count * sizeof *pass);
    if (!pass)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu passes", count);
    q->pass = pass;
    q->passes = count;
    return IQT_OK;
}

static uint64_t place(const struct iqt_call *call, uint64_t *end, uint64_t bytes)
{
    const uint64_t at = iqt_round_up(*end, alignment(call));

    *end = at + bytes + TAIL;
    return at;
}

static uint64_t result_bytes(const struct iqt_pass *pass)
{
    return (pass->rows + pass->chunk - 1) / pass->chunk * pass->chunk_bytes;
}

/* What the host writes first, then what only the device sees, then what the host reads. */
static void place_buffers(struct iqt_call *call)
{
    const uint64_t activations = (uint64_t)call->n * call->k;
    struct iqt_pass *const end = call->q->pass + call->passes;
    uint64_t at = 0;

    call->x_at = place(call, &at, activations * sizeof(float));
    for (struct iqt_pass *p = call->q->pass; p < end; p++) {
        if (p->bias)
            p->bias_at = place(call, &at, p->rows * sizeof(float));
        if (p->gate_bias)
            p->gate_bias_at = place(call, &at, p->rows * sizeof(float));
        if (p->residual)
            p->residual_at = place(call, &at, result_bytes(p));
    }
    call->work_at = iqt_round_up(at, alignment(call));
    for (struct iqt_pass *p = call->q->pass; p < end; p++)
        if (p->built->plan.split > 1)
            p->counters_at = place(call, &at, iqt_pass_counters(p) * sizeof(uint32_t));
    call->up_bytes = at;
    if (call->made) {
        call->xq_at = place(call, &at, iqt_call_made_bytes(call));
        call->xs_at = place(call, &at, iqt_call_xs_bytes(call->q->dev, activations));
    }
    for (struct iqt_pass *p = call->q->pass; p < end; p++)
        if (p->built->plan.split > 1)
            p->partials_at =
                place(call, &at,
                      iqt_plan_partials(&p->built->plan,
                                        (uint32_t)p->chunk + p->w->tile_rows, call->n) *
                          sizeof(float));
    call->down_at = iqt_round_up(at, alignment(call));
    for (struct iqt_pass *p = call->q->pass; p < end; p++)
        p->y_at = place(call, &at, result_bytes(p));
    call->bytes = at;
}

static enum iqt_status check_bindings(const struct iqt_call *call)
{
    const struct iqt_device *dev = call->q->dev;
    uint64_t most = (uint64_t)call->n * call->k * sizeof(float);

    for (size_t i = 0; i < call->passes; i++) {
        const struct iqt_pass *p = &call->q->pass[i];

        if ((p->bias || p->gate_bias) && p->rows * sizeof(float) > most)
            most = p->rows * sizeof(float);
    }
    if (most > dev->max_binding)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "%u vectors need a buffer of %llu bytes, %s binds at most %llu",
                        call->n, (unsigned long long)most, dev->info.spec,
                        (unsigned long long)dev->max_binding);
    return IQT_OK;
}

static enum iqt_op op_of(const struct iqt_pass *p)
{
    return p->gate ? IQT_OP_GATED : IQT_OP_MATVEC;
}

static enum iqt_status check_forced(const struct iqt_call *call, const struct iqt_pass *p,
                                    const struct iqt_plan *plan)
{
    char name[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(plan, name);
    if (plan->dialect != call->q->dev->backend->dialect || plan->op != op_of(p) ||
        plan->format != p->w->format || plan->layout != p->w->layout ||
        plan->covers != IQT_COVERS_ONE)
        return iqt_fail(IQT_ERR_ARG,
                        "plan %s does not compute a %s product of %s weights on %s", name,
                        p->gate ? "gated" : "plain", p->w->format->name,
                        call->q->dev->info.spec);
    if (plan->n < call->n || !iqt_plan_fits(plan, call->k))
        return iqt_fail(IQT_ERR_SHAPE, "plan %s does not fit %u vectors of %zu", name,
                        call->n, call->k);
    return iqt_plan_check(plan, &call->q->dev->limits);
}

/* Whether pass i can be part of a launch that pass `leader` leads. */
static bool goes_with(const struct iqt_pass *leader, const struct iqt_pass *p)
{
    return leader->chunk == leader->rows && p->chunk == p->rows &&
           iqt_matrix_goes_with(leader->w, p->w) && op_of(leader) == op_of(p);
}

/* Names a leader for each pass and counts its followers, itself included. */
static void find_leaders(struct iqt_call *call, const struct iqt_plan *forced)
{
    struct iqt_pass *pass = call->q->pass;
    const bool sets = call->q->dev->backend->launch_set && !forced;

    for (size_t i = 0; i < call->passes; i++) {
        size_t j = 0;

        while (j < i && !(sets && pass[j].leader == j && pass[j].set < IQT_SET_JOBS &&
                          goes_with(&pass[j], &pass[i])))
            j++;
        pass[i].leader = j;
        pass[i].set = 0;
        pass[j].set++;
    }
}

/* The largest matrix decides on the plan of a set; without a kernel for sets each goes alone. */
static enum iqt_status choose_set(struct iqt_call *call, size_t leader)
{
    struct iqt_pass *pass = call->q->pass;
    const struct iqt_pass *largest = &pass[leader];
    const struct iqt_built *built;
    enum iqt_status status;

    for (size_t i = leader; i < call->passes; i++)
        if (pass[i].leader == leader && pass[i].w->m > largest->w->m)
            largest = &pass[i];
    status =
        iqt_plan_choose_set(call->q->dev, largest->w, op_of(largest), call->n, &built);
    if (status == IQT_ERR_UNSUPPORTED)
        return IQT_OK;
    IQT_TRY(status);
    for (size_t i = leader; i < call->passes; i++)
        if (pass[i].leader == leader)
            pass[i].built = built;
    return IQT_OK;
}

static enum iqt_status choose_kernel(struct iqt_call *call, size_t i,
                                     const struct iqt_plan *forced)
{
    struct iqt_pass *p = &call->q->pass[i];
    struct iqt_device *dev = call->q->dev;

    if (p->set > 1)
        IQT_TRY(choose_set(call, i));
    if (p->built)
        return IQT_OK;
    if (!forced)
        return iqt_plan_choose(dev, p->w, op_of(p), call->n, &p->built);
    IQT_TRY(check_forced(call, p, forced));
    return iqt_kernel_get(dev, forced, &p->built);
}

static enum iqt_status choose_kernels(struct iqt_call *call,
                                      const struct iqt_plan *forced)
{
    find_leaders(call, forced);
    for (size_t i = 0; i < call->passes; i++)
        IQT_TRY(choose_kernel(call, i, forced));
    return IQT_OK;
}

/* Plans that are chosen take int8 or x as it is; one that is asked for is the plan of all passes. */
static void need_activations(struct iqt_call *call, const struct iqt_plan *plan)
{
    const struct iqt_activations *need = iqt_compute_activations(plan->compute);

    if (iqt_plan_takes_floats(plan))
        return;
    assert(!call->made || call->made->made_by == need->made_by);
    call->made = need;
}

enum iqt_status iqt_call_plan(struct iqt_call *call, const struct iqt_product *products,
                              size_t count, const struct iqt_plan *forced)
{
    IQT_TRY(grow_passes(call->q, count > SIZE_MAX / 2 ? SIZE_MAX : 2 * count));
    call->passes = 0;
    call->made = NULL;
    for (size_t i = 0; i < count; i++) {
        struct iqt_pass split[2];
        const size_t made = split_product(call, &products[i], split);

        for (size_t j = 0; j < made; j++)
            call->q->pass[call->passes++] = split[j];
    }
    IQT_TRY(check_bindings(call));
    IQT_TRY(choose_kernels(call, forced));
    for (size_t i = 0; i < call->passes; i++)
        need_activations(call, &call->q->pass[i].built->plan);
    place_buffers(call);
    return IQT_OK;
}
