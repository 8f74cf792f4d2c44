/* The CPU as a device: kernels are the embedded host text, launches run at once on a pool of
 * threads, rows in contiguous pieces. Always there. */
#include "codegen/codegen.h"
#include "runtime/backend.h"
#include "runtime/cpu.h"
#include "runtime/embedded.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALIGNMENT = 64,
    PIECES = 8, /* per thread: enough to even out, few enough to stay contiguous */
    /* Weights of one column: about ten microseconds of work, which is what waking a thread
     * costs. Smaller launches stay on the caller's thread and off the pool's lock. */
    THREADED_WEIGHTS = 1 << 17,
    THREADED_ACTIVATIONS = 1 << 16,
};

struct iqt_hw {
    uint32_t isa;
    struct iqt_pool *pool; /* NULL: one thread */
    uint32_t threads;
};

struct iqt_stream {
    struct iqt_hw *hw;
    uint64_t first_ns, last_ns; /* 0: nothing launched since the last finish */
};

struct iqt_mem {
    uint8_t *data;
    bool borrowed;
};

struct iqt_kernel {
    iqt_host_fn fn; /* NULL: the quantizer */
    uint32_t rows_thread;
    bool floats; /* reads activations as they are */
};

static uint32_t thread_count(const struct iqt_backend_options *opt)
{
    return opt->cpu_threads ? opt->cpu_threads : iqt_cpu_cores();
}

static enum iqt_status cpu_scan(const struct iqt_backend_options *opt, iqt_device_fn fn,
                                void *user)
{
    struct iqt_device_info info;
    uint32_t isa = 0;

    IQT_TRY(iqt_cpu_isa(&isa));
    iqt_cpu_describe(isa, thread_count(opt), &info);
    fn(user, &info);
    return IQT_OK;
}

static enum iqt_status cpu_open(const struct iqt_backend_options *opt,
                                uint32_t index IQT_UNUSED, struct iqt_device_info *info,
                                struct iqt_limits *limits, struct iqt_hw **out)
{
    struct iqt_hw *hw;
    uint32_t isa = 0;

    IQT_TRY(iqt_cpu_isa(&isa));
    hw = calloc(1, sizeof *hw);
    if (!hw)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a CPU device");
    hw->isa = isa;
    hw->threads = thread_count(opt);
    hw->pool = iqt_pool_create(hw->threads);
    iqt_cpu_describe(isa, hw->threads, info);
    *limits = (struct iqt_limits){
        .subgroup_min = 1,
        .subgroup_max = 1,
        .max_threads = 1,
        .compute_units = hw->threads,
    };
    *out = hw;
    return IQT_OK;
}

static void cpu_close(struct iqt_hw *hw)
{
    iqt_pool_destroy(hw->pool);
    free(hw);
}

static enum iqt_status cpu_stream_create(struct iqt_hw *hw, struct iqt_stream **out)
{
    struct iqt_stream *s = calloc(1, sizeof *s);

    if (!s)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a CPU queue");
    s->hw = hw;
    *out = s;
    return IQT_OK;
}

static void cpu_stream_destroy(struct iqt_stream *s)
{
    free(s);
}

static enum iqt_status cpu_alloc(struct iqt_hw *hw IQT_UNUSED, uint64_t bytes,
                                 const void *host, struct iqt_mem **out)
{
    struct iqt_mem *mem = malloc(sizeof *mem);

    if (!mem)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a buffer");
    mem->borrowed = host != NULL;
    mem->data = mem->borrowed ? (uint8_t *)(uintptr_t)host : NULL;
    if (!mem->borrowed && bytes < SIZE_MAX - 2 * ALIGNMENT)
        mem->data = aligned_alloc(ALIGNMENT, iqt_round_up(bytes, ALIGNMENT) + ALIGNMENT);
    if (!mem->data) {
        free(mem);
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a buffer of %llu bytes",
                        (unsigned long long)bytes);
    }
    *out = mem;
    return IQT_OK;
}

static void cpu_free(struct iqt_hw *hw IQT_UNUSED, struct iqt_mem *mem)
{
    if (!mem)
        return;
    if (!mem->borrowed)
        free(mem->data);
    free(mem);
}

static enum iqt_status cpu_write(struct iqt_stream *s IQT_UNUSED, struct iqt_mem *mem,
                                 uint64_t offset, const void *data, uint64_t bytes)
{
    memcpy(mem->data + offset, data, bytes);
    return IQT_OK;
}

static enum iqt_status cpu_read(struct iqt_stream *s IQT_UNUSED, struct iqt_mem *mem,
                                uint64_t offset, void *data, uint64_t bytes)
{
    memcpy(data, mem->data + offset, bytes);
    return IQT_OK;
}

static iqt_host_fn find_embedded(const char *plan, uint32_t isa)
{
    for (const struct iqt_embedded_host *e = iqt_embedded_host; e->plan; e++)
        if (strcmp(e->isa, iqt_cpu_isas[isa]) == 0 && strcmp(e->plan, plan) == 0)
            return e->fn;
    return NULL;
}

/* The best embedded text that the chosen instruction set can run. */
static enum iqt_status cpu_build(struct iqt_hw *hw, const struct iqt_plan *plan,
                                 struct iqt_kernel **out)
{
    struct iqt_kernel kernel = { .fn = NULL };
    char name[IQT_PLAN_NAME_BYTES];
    struct iqt_kernel *made;

    if (plan) {
        iqt_plan_name(plan, name);
        for (uint32_t isa = hw->isa + 1; isa-- > 0 && !kernel.fn;)
            kernel.fn = find_embedded(name, isa);
        if (!kernel.fn)
            return iqt_fail(IQT_ERR_UNSUPPORTED, "plan %s is not built into this library",
                            name);
        kernel.rows_thread = plan->rows_thread;
        kernel.floats = plan->format->decode == IQT_DECODE_FLOAT;
    }
    made = malloc(sizeof *made);
    if (!made)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a kernel");
    *made = kernel;
    *out = made;
    return IQT_OK;
}

static enum iqt_status cpu_build_helper(struct iqt_hw *hw, enum iqt_helper helper,
                                        struct iqt_kernel **out)
{
    if (helper != IQT_HELPER_QUANTIZE)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "the CPU backend has no kernel %s",
                        iqt_helper_name(helper));
    return cpu_build(hw, NULL, out);
}

static void cpu_drop(struct iqt_hw *hw IQT_UNUSED, struct iqt_kernel *kernel)
{
    free(kernel);
}

static void *at(const struct iqt_slice *s)
{
    return s->mem ? s->mem->data + s->offset : NULL;
}

struct job {
    const struct iqt_host_args *args;
    iqt_host_fn fn;
};

static void run_piece(void *user, size_t begin, size_t rows)
{
    const struct job *job = user;

    job->fn(job->args, (uint32_t)begin, (uint32_t)(begin + rows));
}

/* A further column costs about half of what decoding a weight does. */
static bool is_small(const struct iqt_params *p)
{
    return (uint64_t)p->rows * p->k * (1 + p->cols) / 2 < THREADED_WEIGHTS;
}

static void run_args(struct iqt_hw *hw, const struct iqt_kernel *kernel,
                     const struct iqt_host_args *args)
{
    struct job job = { .args = args, .fn = kernel->fn };
    uint32_t tile;

    if (is_small(&args->p)) {
        job.fn(args, 0, args->p.rows);
        return;
    }
    tile = args->p.rows / (hw->threads * PIECES) + 1;
    tile = (uint32_t)iqt_round_up(tile, kernel->rows_thread);
    iqt_pool_run(hw->pool, run_piece, &job, args->p.rows, tile);
}

/* Result number j: an ordinary product of the expert that it names. */
static void run_expert(struct iqt_hw *hw, const struct iqt_kernel *kernel,
                       const struct iqt_host_args *all, const int32_t *ids, uint32_t j)
{
    const struct iqt_params *p = &all->p;
    const uint64_t bytes = (uint64_t)p->expert_bytes_high << 32 | p->expert_bytes;
    const size_t vector = j / p->share, k = p->k;
    const uint32_t id = (uint32_t)ids[j];
    struct iqt_host_args one = *all;

    one.y += (size_t)j * p->y_stride;
    if (id >= p->experts) {
        memset(one.y, 0, p->rows * sizeof *one.y);
        return;
    }
    one.w += id * bytes;
    one.gate += id * bytes;
    one.xq = (const uint8_t *)all->xq + vector * k * (kernel->floats ? sizeof(float) : 1);
    one.xs += vector * (k / IQT_X_BLOCK);
    one.more.starts += vector * (k / 4);
    for (size_t i = 0; i < 2; i++) {
        one.more.dx[i] += vector * (k >> (4 + i));
        one.more.sums[i] += vector * (k >> (4 + i));
    }
    one.p.row0 = id * p->expert_rows;
    run_args(hw, kernel, &one);
}

static void run_rows(struct iqt_hw *hw, const struct iqt_launch *l)
{
    struct iqt_host_args args = {
        .w = at(&l->bind[IQT_BIND_W]),
        .gate = at(&l->bind[IQT_BIND_GATE]),
        .xq = at(&l->bind[IQT_BIND_XQ]),
        .xs = at(&l->bind[IQT_BIND_XS]),
        .bias = at(&l->bind[IQT_BIND_BIAS]),
        .gate_bias = at(&l->bind[IQT_BIND_GATE_BIAS]),
        .residual = at(&l->bind[IQT_BIND_RESIDUAL]),
        .y = at(&l->bind[IQT_BIND_Y]),
    };

    if (args.xs)
        args.more =
            iqt_x_more_of(at(&l->bind[IQT_BIND_XS]),
                          l->bind[IQT_BIND_XS].bytes / iqt_xs_bytes(IQT_X_BLOCK, true));
    memcpy(&args.p, l->params, sizeof args.p);
    if (args.p.jobs == 0)
        run_args(hw, l->kernel, &args);
    for (uint32_t j = 0; j < args.p.jobs; j++)
        run_expert(hw, l->kernel, &args, at(&l->bind[IQT_BIND_IDS]), j);
}

static void run_quantize(struct iqt_hw *hw, const struct iqt_launch *l)
{
    const float *x = at(&l->bind[IQT_BIND_W]);
    int8_t *q = at(&l->bind[IQT_BIND_XQ]);
    struct iqt_xs *s = at(&l->bind[IQT_BIND_XS]);
    struct iqt_quantize_params p;

    memcpy(&p, l->params, sizeof p);
    if ((uint64_t)p.k * p.cols < THREADED_ACTIVATIONS) {
        iqt_cpu_quantize(NULL, x, p.x_stride, p.k, p.cols, q, s);
        return;
    }
    iqt_cpu_quantize(hw->pool, x, p.x_stride, p.k, p.cols, q, s);
}

static enum iqt_status cpu_launch(struct iqt_stream *s, const struct iqt_launch *l)
{
    struct iqt_hw *hw = s->hw;

    if (s->first_ns == 0)
        s->first_ns = iqt_now_ns();
    if (l->kernel->fn)
        run_rows(hw, l);
    else
        run_quantize(hw, l);
    s->last_ns = iqt_now_ns();
    return IQT_OK;
}

static enum iqt_status cpu_finish(struct iqt_stream *s, uint64_t *elapsed_ns)
{
    if (elapsed_ns)
        *elapsed_ns = s->last_ns - s->first_ns;
    s->first_ns = s->last_ns = 0;
    return IQT_OK;
}

/* Addresses inside a kernel's weights stay below 2^31 whatever their type. */
static uint64_t cpu_max_binding(struct iqt_hw *hw IQT_UNUSED, uint32_t *offset_align)
{
    *offset_align = 16;
    return UINT64_C(1) << 31;
}

const struct iqt_backend iqt_backend_cpu = {
    .name = "cpu",
    .dialect = IQT_DIALECT_HOST,
    .scan = cpu_scan,
    .open = cpu_open,
    .close = cpu_close,
    .stream_create = cpu_stream_create,
    .stream_destroy = cpu_stream_destroy,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .write = cpu_write,
    .read = cpu_read,
    .build = cpu_build,
    .build_helper = cpu_build_helper,
    .drop = cpu_drop,
    .launch = cpu_launch,
    .finish = cpu_finish,
    .max_binding = cpu_max_binding,
};
