/* One product of random weights on the simulated machine, its counts by buffer. */
#include "stats/dynamic.h"

#include "kernels/packer.h"
#include "kernels/quantized.h"
#include "codegen/codegen.h"
#include "runtime/gpu_api.h"
#include "runtime/verify.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* Ends of rows and headers leave sectors half used: so much of the weights may be. */
#define LOOSE_SHARE 0.02

typedef int (*count_fn)(const struct iqt_sim_job *job, struct iqt_sim_counted *out,
                        const char **why);

static const char *const buffer_names[IQT_DYNAMIC_BUFFERS] = {
    [IQT_DYNAMIC_WEIGHTS] = "weights",
    [IQT_DYNAMIC_X] = "x",
    [IQT_DYNAMIC_SCALES] = "x scales",
    [IQT_DYNAMIC_Y] = "y",
};
static const char *const primitive_names[IQT_SIM_PRIMITIVES] = {
    [IQT_SIM_DOT4] = "dot4",         [IQT_SIM_PERM] = "perm",
    [IQT_SIM_MUL] = "mul",           [IQT_SIM_FMA] = "fma",
    [IQT_SIM_FMA_HALF] = "fma_half", [IQT_SIM_LOGIC] = "lop3",
    [IQT_SIM_FUNNEL] = "funnel",     [IQT_SIM_CONVERT] = "convert",
    [IQT_SIM_SHUFFLE] = "shuffle",   [IQT_SIM_BARRIER] = "barrier",
};

const char *iqt_dynamic_buffer_name(enum iqt_dynamic_buffer b)
{
    return buffer_names[b];
}

const char *iqt_dynamic_primitive_name(enum iqt_sim_primitive p)
{
    return primitive_names[p];
}

enum iqt_dynamic_buffer iqt_dynamic_buffer_of(int argument)
{
    switch (argument) {
    case IQT_BIND_W:
    case IQT_BIND_GATE:
        return IQT_DYNAMIC_WEIGHTS;
    case IQT_BIND_XQ:
        return IQT_DYNAMIC_X;
    case IQT_BIND_XS:
        return IQT_DYNAMIC_SCALES;
    default:
        return IQT_DYNAMIC_Y;
    }
}

/* ---- The product ---- */

struct work {
    const struct iqt_plan *plan;
    const struct iqt_dynamic_product *product;
    uint8_t *rows; /* in the plan's layout */
    size_t row_bytes, bytes, x_bytes, work_bytes;
    void *x;
    struct iqt_xs *scales;
    struct iqt_params params;
    struct iqt_buf text;
};

static void *or_abort(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static void make_rows(struct work *w)
{
    const struct iqt_format *f = w->plan->format;
    const size_t m = w->product->m, k = w->product->k;
    struct iqt_rng rng = { 1 };
    struct iqt_packer packer;
    uint8_t *native = or_abort(malloc(m * iqt_layout_row_bytes(f, IQT_LAYOUT_NATIVE, k)));

    iqt_packer_init(&packer, f, w->plan->dialect);
    iqt_random_rows(f, k, m, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng, native);
    w->row_bytes = iqt_layout_row_bytes(f, w->plan->layout, k);
    w->bytes = iqt_round_up(m, packer.rows) * w->row_bytes;
    w->rows = or_abort(calloc(w->bytes, 1));
    if (w->plan->layout == IQT_LAYOUT_PACKED)
        iqt_packer_pack(&packer, k, m, native, w->rows);
    else
        memcpy(w->rows, native, m * w->row_bytes);
    free(native);
}

static void put_into_lanes(struct work *w)
{
    int8_t *natural = w->x;

    w->x_bytes = w->product->n * iqt_x_lanes_stride(w->product->k);
    w->x = or_abort(calloc(w->x_bytes, 1));
    iqt_x_lanes_ref(natural, w->product->k, w->product->n, w->x);
    free(natural);
}

static void make_x(struct work *w)
{
    const size_t count = (size_t)w->product->n * w->product->k;
    const struct iqt_activations *a = iqt_compute_activations(w->plan->compute);
    struct iqt_rng rng = { 2 };
    float *x = or_abort(malloc(count * sizeof *x));

    for (size_t i = 0; i < count; i++)
        x[i] = iqt_rng_gauss(&rng);
    w->scales = or_abort(calloc(count / IQT_X_BLOCK, sizeof *w->scales));
    w->x = x;
    w->x_bytes = count * a->bytes;
    if (a->made_by == IQT_HELPERS)
        return;
    w->x = or_abort(malloc(w->x_bytes));
    if (a->made_by == IQT_HELPER_HALVE)
        iqt_halve_ref(x, count, w->x, w->scales);
    else
        iqt_quantize_ref(x, count, w->x, w->scales);
    free(x);
    if (iqt_plan_takes_lanes(w->plan))
        put_into_lanes(w);
}

static void work_open(struct work *w)
{
    make_rows(w);
    make_x(w);
    w->params = (struct iqt_params){
        .rows = w->product->m,
        .k = w->product->k,
        .row_bytes = (uint32_t)w->row_bytes,
        .cols = w->product->n,
        .y_stride = w->product->m,
        .partials = iqt_plan_row_groups(w->plan, w->product->m),
    };
    w->work_bytes = 4 * (w->params.partials + (size_t)iqt_plan_partials(
                                                  w->plan, w->product->m, w->product->n));
}

static void work_close(struct work *w)
{
    free(w->rows);
    free(w->x);
    free(w->scales);
    iqt_buf_free(&w->text);
}

static uint32_t groups_of(const struct work *w)
{
    return iqt_plan_groups(w->plan, w->product->m);
}

/* Parameters of a kernel in their order: buffers up to Y as they are bound, then these. */
enum { PARAMS = IQT_PLAIN_BINDINGS, IDS, WORK, ARGUMENTS };

static void fill_job(const struct work *w, const char *symbol, struct iqt_sim_job *job)
{
    const bool gated = w->plan->op == IQT_OP_GATED;
    const size_t y = (size_t)w->product->m * w->product->n * sizeof(float);
    const size_t scales =
        (size_t)w->product->n * w->product->k / IQT_X_BLOCK * sizeof(struct iqt_xs);

    *job = (struct iqt_sim_job){
        .hip = w->plan->dialect == IQT_DIALECT_HIP,
        .text = w->product->text ? w->product->text : w->text.data,
        .arch = w->product->arch,
        .kernel = symbol,
        .grid = groups_of(w),
        .block = iqt_plan_threads(w->plan),
        .warp = strncmp(w->product->arch, "gfx9", 4) == 0 ? 64 : 32,
        .arguments = ARGUMENTS,
        .argument = {
            [IQT_BIND_W] = { w->rows, w->bytes, 1 },
            [IQT_BIND_GATE] = { w->rows, gated ? w->bytes : 0, 1 },
            [IQT_BIND_XQ] = { w->x, w->x_bytes, 1 },
            [IQT_BIND_XS] = { w->scales, scales, 1 },
            [IQT_BIND_BIAS] = { NULL, 0, 1 },
            [IQT_BIND_GATE_BIAS] = { NULL, 0, 1 },
            [IQT_BIND_RESIDUAL] = { NULL, 0, 1 },
            [IQT_BIND_Y] = { NULL, y, 1 },
            [PARAMS] = { &w->params, sizeof w->params, 0 },
            [IDS] = { NULL, 0, 1 },
            [WORK] = { NULL, w->work_bytes, 1 },
        },
    };
}

/* ---- The simulated machine ---- */

static enum iqt_status find_counter(enum iqt_dialect d, count_fn *out)
{
    char path[4096];
    void *library;

    IQT_TRY(iqt_gpu_simulator_path(iqt_dialect_name(d), path, sizeof path));
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL); /* for the life of the process */
    if (library == NULL)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "cannot load %s: %s", path, dlerror());
    *(void **)out = dlsym(library, "iqt_sim_count");
    return *out != NULL ? IQT_OK
                        : iqt_fail(IQT_ERR_UNSUPPORTED, "%s is of another version", path);
}

static void sum_traffic(struct iqt_sim_traffic *to, const struct iqt_sim_traffic *from)
{
    to->requested += from->requested;
    to->sectors += from->sectors;
    to->lines += from->lines;
    to->least_lines += from->least_lines;
    to->fetched += from->fetched;
    to->touched += from->touched;
    to->written += from->written;
}

static void fill_result(const struct work *w, struct iqt_dynamic *out)
{
    const double matrices = w->plan->op == IQT_OP_GATED ? 2 : 1;
    const double m = w->product->m, k = w->product->k;
    const double native =
        (double)iqt_layout_row_bytes(w->plan->format, IQT_LAYOUT_NATIVE, w->product->k);

    for (int b = 0; b < ARGUMENTS; b++)
        sum_traffic(&out->traffic[iqt_dynamic_buffer_of(b)], &out->counted.traffic[b]);
    out->workgroups = groups_of(w);
    out->weights = matrices * m * k;
    out->needed[IQT_DYNAMIC_WEIGHTS] = matrices * m * native;
    out->needed[IQT_DYNAMIC_X] = (double)out->workgroups * (double)w->x_bytes;
    if (!iqt_plan_takes_floats(w->plan))
        out->needed[IQT_DYNAMIC_SCALES] = (double)out->workgroups * w->product->n * k /
                                          IQT_X_BLOCK * sizeof(struct iqt_xs);
}

enum iqt_status iqt_dynamic_count(const struct iqt_plan *plan,
                                  const struct iqt_dynamic_product *product,
                                  struct iqt_dynamic *out)
{
    struct work w = { .plan = plan, .product = product };
    char symbol[IQT_PLAN_NAME_BYTES];
    struct iqt_sim_job job;
    enum iqt_status status;
    count_fn count;
    const char *why;

    *out = (struct iqt_dynamic){ 0 };
    if (!iqt_dialect_is_cxx(plan->dialect))
        return iqt_fail(IQT_ERR_ARG, "only cuda and hip kernels can be simulated, not %s",
                        iqt_dialect_name(plan->dialect));
    if (plan->covers != IQT_COVERS_ONE)
        return iqt_fail(IQT_ERR_ARG, "only kernels of one matrix can be counted");
    if (!iqt_plan_fits(plan, product->k) || product->k % plan->format->superblock != 0)
        return iqt_fail(IQT_ERR_ARG, "k = %u does not fit the plan: a multiple of %u",
                        product->k, plan->format->superblock);
    IQT_TRY(find_counter(plan->dialect, &count));
    work_open(&w);
    status = product->text != NULL ? IQT_OK : iqt_emit_kernel(plan, &w.text);
    iqt_kernel_symbol(plan, symbol);
    fill_job(&w, symbol, &job);
    if (status == IQT_OK && count(&job, &out->counted, &why) != 0)
        status = iqt_fail(IQT_ERR_UNSUPPORTED, "%s: %s", symbol, why);
    if (status == IQT_OK)
        fill_result(&w, out);
    work_close(&w);
    return status;
}

/* ---- Ratios ---- */

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

double iqt_dynamic_ratio(const struct iqt_dynamic *d, enum iqt_dynamic_buffer b)
{
    return ratio((double)d->traffic[b].requested, d->needed[b]);
}

double iqt_dynamic_sector_ratio(const struct iqt_dynamic *d, enum iqt_dynamic_buffer b)
{
    return ratio((double)d->traffic[b].sectors * IQT_SIM_SECTOR, d->needed[b]);
}

double iqt_dynamic_fetch_ratio(const struct iqt_dynamic *d, enum iqt_dynamic_buffer b)
{
    return ratio((double)d->traffic[b].fetched * IQT_SIM_SECTOR, d->needed[b]);
}

bool iqt_dynamic_uncoalesced(const struct iqt_dynamic *d, uint32_t site)
{
    const struct iqt_sim_site *s = &d->counted.site[site];

    return s->argument >= 0 && s->write == 0 &&
           iqt_dynamic_buffer_of(s->argument) == IQT_DYNAMIC_WEIGHTS &&
           (double)s->loose * IQT_SIM_SECTOR >
               LOOSE_SHARE * d->needed[IQT_DYNAMIC_WEIGHTS];
}
