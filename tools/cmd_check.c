/* iqtile check: the correctness ladder on this machine, with random weights. Knows the options,
 * the devices and the report; check_cases.c knows the checks. */
#include "tools/check_cases.h"
#include "runtime/verify.h"

#include <stdlib.h>
#include <string.h>

struct check_opts {
    const char *device, *format, *plans, *plan, *layout;
    uint32_t n;
    uint64_t seed;
};

static const struct iqt_opt check_opts[] = {
    { "device", IQT_OPT_STRING, "DEVICE", "backend[:index] (default: all devices)",
      offsetof(struct check_opts, device) },
    { "format", IQT_OPT_STRING, "FORMAT", "only this format (default: all)",
      offsetof(struct check_opts, format) },
    { "layout", IQT_OPT_STRING, "LAYOUT", "native or packed (default: both)",
      offsetof(struct check_opts, layout) },
    { "n", IQT_OPT_U32, "N", "only this number of columns, 1 .. 16 (default: all)",
      offsetof(struct check_opts, n) },
    { "seed", IQT_OPT_U64, "SEED",
      "seed of the weights (default: the clock; it is printed)",
      offsetof(struct check_opts, seed) },
    { "plans", IQT_OPT_STRING, "PLANS",
      "default, all, or how many of the others to draw per layout (default: 1)",
      offsetof(struct check_opts, plans) },
    { "plan", IQT_OPT_STRING, "NAME", "only this plan",
      offsetof(struct check_opts, plan) },
    { 0 },
};

enum { ALL_PLANS = INT32_MAX };

struct run {
    const struct iqt_format *only; /* NULL: all */
    enum iqt_layout first, last;
    uint32_t n, sample; /* sample: plans to draw, ALL_PLANS: take them all */
    bool forced;
    struct iqt_plan plan; /* when forced */
    uint64_t seed, passed, failed;
    bool simulated; /* one of the devices */
};

/* ---- Which plans ---- */

/* The legal plans of a layout for the chosen n, or for the numbers that have kernels. */
static enum iqt_status collect_plans(const struct iqt_check *c, struct iqt_plan **out,
                                     size_t *count)
{
    const struct iqt_device *dev = c->seat->dev;
    struct iqt_plan *plans = NULL;
    size_t total = 0;

    for (uint32_t n = 1; n <= IQT_MAX_COLS; n++) {
        const enum iqt_dialect d = dev->backend->dialect;
        struct iqt_plan *grown;
        size_t more;

        if (c->n != 0 && c->n != n)
            continue;
        more = iqt_plan_list(c->format, d, IQT_OP_MATVEC, n, c->layout, &dev->limits,
                             NULL, 0);
        grown = realloc(plans, (total + more + 1) * sizeof *plans);
        if (grown == NULL) {
            free(plans);
            return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu plans", total + more);
        }
        plans = grown;
        iqt_plan_list(c->format, d, IQT_OP_MATVEC, n, c->layout, &dev->limits,
                      plans + total, more);
        total += more;
    }
    *out = plans;
    *count = total;
    return IQT_OK;
}

/* Draws without replacement: swaps the drawn plan to the front. Plans that cannot be built here
 * do not count, but there is an end to trying: a device without compiler has few. */
static enum iqt_status check_plans(struct iqt_check *c, uint32_t sample)
{
    struct iqt_rng rng = { c->seed + c->layout };
    struct iqt_plan *plans;
    enum iqt_status status;
    size_t count;

    IQT_TRY(collect_plans(c, &plans, &count));
    status = IQT_OK;
    for (size_t i = 0; i < count && c->plans < sample && status == IQT_OK; i++) {
        const size_t drawn =
            sample == ALL_PLANS ? i : i + iqt_rng_below(&rng, (uint32_t)(count - i));
        const struct iqt_plan plan = plans[drawn];

        plans[drawn] = plans[i];
        status = iqt_check_plan(c, &plan);
    }
    free(plans);
    return status;
}

/* ---- One format on one device ---- */

static enum iqt_status check_layout(const struct run *r, struct iqt_check *c)
{
    if (r->forced)
        return iqt_check_plan(c, &r->plan);
    IQT_TRY(iqt_check_default(c));
    IQT_TRY(iqt_check_fused(c));
    IQT_TRY(iqt_check_routed(c));
    IQT_TRY(iqt_check_split(c));
    c->plans = 0;
    return r->sample > 0 ? check_plans(c, r->sample) : IQT_OK;
}

static enum iqt_status check_format(struct run *r, const struct iqt_seat *seat,
                                    const struct iqt_format *f)
{
    struct iqt_check c = { .seat = seat, .format = f, .n = r->n, .seed = r->seed };
    enum iqt_status status = IQT_OK;
    uint32_t unbuilt = 0;
    char label[IQT_LABEL_BYTES];

    r->simulated |= iqt_device_simulated(iqt_device_describe(seat->dev));
    for (int layout = r->first; layout <= (int)r->last && status == IQT_OK; layout++) {
        c.layout = layout;
        c.unbuilt = 0;
        if (!r->forced || r->plan.layout == c.layout)
            status = check_layout(r, &c);
        unbuilt += c.unbuilt;
    }
    printf("%s %s: %llu checks passed", f->name,
           iqt_device_label(iqt_device_describe(seat->dev), label),
           (unsigned long long)c.passed);
    if (c.failed > 0)
        printf(", %llu FAILED", (unsigned long long)c.failed);
    if (unbuilt > 0 && r->sample == ALL_PLANS)
        printf(" (%u plans left out: not built in, and no compiler for them)", unbuilt);
    printf("\n");
    fflush(stdout);
    r->passed += c.passed;
    r->failed += c.failed;
    return status;
}

static enum iqt_status check_device(struct run *r, const char *spec)
{
    struct iqt_seat seat;
    enum iqt_status status = IQT_OK;

    IQT_TRY(iqt_seat_open(spec, NULL, &seat));
    if (r->forced && r->plan.dialect != seat.dev->backend->dialect) {
        iqt_seat_close(&seat);
        return IQT_OK;
    }
    for (const struct iqt_format *f = iqt_formats; f->name != NULL && status == IQT_OK;
         f++)
        if ((r->only == NULL || r->only == f) && (!r->forced || r->plan.format == f))
            status = check_format(r, &seat, f);
    iqt_seat_close(&seat);
    return status;
}

static enum iqt_status check_devices(struct run *r, const char *device)
{
    struct iqt_specs list;
    enum iqt_status status;

    IQT_TRY(iqt_specs_find(device, &list));
    status = IQT_OK;
    for (size_t i = 0; i < list.count && status == IQT_OK; i++)
        status = check_device(r, list.spec[i]);
    return status;
}

/* ---- Options ---- */

static enum iqt_status read_sample(const char *text, uint32_t *out)
{
    char *end;
    unsigned long count;

    if (text == NULL || strcmp(text, "default") == 0 || strcmp(text, "all") == 0) {
        *out = text == NULL ? 1 : text[0] == 'a' ? ALL_PLANS : 0;
        return IQT_OK;
    }
    count = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || count >= ALL_PLANS)
        return iqt_fail(IQT_ERR_ARG, "--plans is default, all or a number, got '%s'",
                        text);
    *out = (uint32_t)count;
    return IQT_OK;
}

static enum iqt_status read_opts(const struct check_opts *o, struct run *r)
{
    if (o->n > IQT_MAX_COLS)
        return iqt_fail(IQT_ERR_ARG, "--n is at most %u, got %u", IQT_MAX_COLS, o->n);
    r->n = o->n;
    r->seed = o->seed != 0 ? o->seed : iqt_now_ns();
    if (o->format != NULL)
        IQT_TRY(iqt_cli_format(o->format, &r->only));
    if (o->layout != NULL) {
        IQT_TRY(iqt_cli_layout(o->layout, &r->first));
        r->last = r->first;
    }
    r->forced = o->plan != NULL;
    if (o->plan != NULL) {
        IQT_TRY(iqt_plan_parse(o->plan, &r->plan));
        if (r->plan.op != IQT_OP_MATVEC || r->plan.covers != IQT_COVERS_ONE)
            return iqt_fail(IQT_ERR_ARG, "--plan needs a matvec plan, got '%s'", o->plan);
    }
    return read_sample(o->plans, &r->sample);
}

static int run(const void *opts, int count, char **args)
{
    const struct check_opts *o = opts;
    struct run r = { .first = IQT_LAYOUT_NATIVE, .last = IQT_LAYOUT_PACKED };
    enum iqt_status status = read_opts(o, &r);

    (void)count;
    (void)args;
    if (status != IQT_OK)
        return iqt_cli_fail(status);
    iqt_cli_catch_interrupts();
    fprintf(stderr, "seed 0x%llx\n", (unsigned long long)r.seed);
    status = check_devices(&r, o->device);
    if (status != IQT_OK)
        return iqt_cli_fail(status);
    if (r.passed + r.failed == 0) {
        fprintf(stderr, "iqtile: nothing was checked\n");
        return IQT_EXIT_FAILED;
    }
    printf("%llu passed, %llu failed%s\n", (unsigned long long)r.passed,
           (unsigned long long)r.failed, r.simulated ? ", simulated" : "");
    return r.failed == 0 ? IQT_EXIT_OK : IQT_EXIT_FAILED;
}

const struct iqt_command iqt_cmd_check = {
    .name = "check",
    .usage = "[--device D] [--format F] [--n N] [--seed S] [--plans P]",
    .summary = "test this machine's devices with random weights",
    .opts = check_opts,
    .opts_bytes = sizeof(struct check_opts),
    .run = run,
};
