/* Which kernel a product runs: a tuned plan if one is stored and works here, else the built-in
 * default. Kernels are built once per device and plan, choices are made once per shape. */
#include "runtime/runtime.h"

#include "codegen/codegen.h"
#include "kernels/coop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct iqt_choice {
    struct iqt_plan like; /* format, dialect, op, n, layout; the rest 0 */
    size_t m, k;
    const struct iqt_built *built;
    struct iqt_choice *next;
};

static bool same_plan(const struct iqt_plan *a, const struct iqt_plan *b)
{
    return a->format == b->format && a->dialect == b->dialect && a->op == b->op &&
           a->n == b->n && a->rows_group == b->rows_group &&
           a->rows_thread == b->rows_thread && a->threads == b->threads &&
           a->span == b->span && a->vec == b->vec && a->unroll == b->unroll &&
           a->split == b->split && a->covers == b->covers && a->compute == b->compute &&
           a->layout == b->layout && a->lookup == b->lookup && a->reduce == b->reduce;
}

static const struct iqt_built *find_built(const struct iqt_device *dev,
                                          const struct iqt_plan *plan)
{
    const struct iqt_built *b = dev->built;

    while (b && !same_plan(&b->plan, plan))
        b = b->next;
    return b;
}

static const struct iqt_built *find_helper(const struct iqt_device *dev,
                                           enum iqt_helper helper)
{
    const struct iqt_built *b = dev->built;

    while (b && (b->plan.format || b->helper != helper))
        b = b->next;
    return b;
}

/* Builds and keeps what like describes; on failure nothing is kept. */
static enum iqt_status add_built(struct iqt_device *dev, const struct iqt_built *like,
                                 const struct iqt_built **out)
{
    struct iqt_built *b = malloc(sizeof *b);
    enum iqt_status status;

    if (!b)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a kernel");
    *b = *like;
    status = b->plan.format ? dev->backend->build(dev->hw, &b->plan, &b->kernel)
                            : dev->backend->build_helper(dev->hw, b->helper, &b->kernel);
    if (status != IQT_OK) {
        free(b);
        return status;
    }
    b->next = dev->built;
    dev->built = b;
    *out = b;
    return IQT_OK;
}

/* Under dev->lock, so that two threads never build the same kernel. */
static enum iqt_status build(struct iqt_device *dev, const struct iqt_plan *plan,
                             const struct iqt_built **out)
{
    struct iqt_built like = { .plan = *plan };
    const struct iqt_built *known = find_built(dev, plan);

    if (known) {
        *out = known;
        return IQT_OK;
    }
    iqt_plan_name(plan, like.name);
    return add_built(dev, &like, out);
}

/* Under dev->lock. */
static enum iqt_status build_helper(struct iqt_device *dev, enum iqt_helper helper,
                                    const struct iqt_built **out)
{
    struct iqt_built like = { .helper = helper };
    const struct iqt_built *known = find_helper(dev, helper);

    if (known) {
        *out = known;
        return IQT_OK;
    }
    snprintf(like.name, sizeof like.name, "%s", iqt_helper_name(helper));
    return add_built(dev, &like, out);
}

enum iqt_status iqt_kernel_get(struct iqt_device *dev, const struct iqt_plan *plan,
                               const struct iqt_built **out)
{
    enum iqt_status status;

    pthread_mutex_lock(&dev->lock);
    status = plan ? build(dev, plan, out) : build_helper(dev, IQT_HELPER_QUANTIZE, out);
    pthread_mutex_unlock(&dev->lock);
    return status;
}

enum iqt_status iqt_helper_get(struct iqt_device *dev, enum iqt_helper helper,
                               const struct iqt_built **out)
{
    enum iqt_status status;

    pthread_mutex_lock(&dev->lock);
    status = build_helper(dev, helper, out);
    pthread_mutex_unlock(&dev->lock);
    return status;
}

static bool usable(const struct iqt_device *dev, const struct iqt_choice *c,
                   const struct iqt_plan *plan)
{
    const struct iqt_plan *like = &c->like;

    return plan->format == like->format && plan->dialect == like->dialect &&
           plan->op == like->op && plan->layout == like->layout && plan->n >= like->n &&
           !iqt_plan_is_asked_for(plan) && iqt_plan_check(plan, &dev->limits) == IQT_OK &&
           iqt_plan_fits(plan, c->k) && iqt_plan_short(plan, &dev->limits, c->m);
}

/* The same for what the call covers. Routed products have rows enough without a split. */
static struct iqt_plan covering(const struct iqt_choice *c, struct iqt_plan plan)
{
    plan.covers = c->like.covers;
    if (plan.covers == IQT_COVERS_ROUTED) {
        plan = iqt_plan_divisible(&plan);
        plan.covers = IQT_COVERS_ROUTED;
        plan.n = 1;
        plan.split = 1;
    }
    return plan;
}

static const struct iqt_built *tuned(struct iqt_device *dev, const struct iqt_choice *c)
{
    struct iqt_context *ctx = dev->ctx;
    const struct iqt_built *built = NULL;
    struct iqt_plan plan;
    bool found;

    pthread_mutex_lock(&ctx->lock);
    found = ctx->source.find &&
            ctx->source.find(ctx->source.user, &dev->info, &c->like, c->m, c->k, &plan);
    pthread_mutex_unlock(&ctx->lock);
    /* A stored plan may come from another version or another driver: then it is no plan. */
    if (found)
        plan = covering(c, plan);
    if (!found || !usable(dev, c, &plan) || build(dev, &plan, &built) != IQT_OK)
        return NULL;
    return built;
}

static bool cheapest(const struct iqt_device *dev, const struct iqt_choice *c,
                     const struct iqt_plan *plans, size_t count, struct iqt_plan *out)
{
    double best = 0;
    bool found = false;

    for (size_t i = 0; i < count; i++) {
        const double cost = iqt_plan_cost(&plans[i], &dev->limits, c->m, c->k);
        const struct iqt_plan plan = covering(c, plans[i]);

        /* Vulkan's compilers may not know cooperative matrices, and nobody has timed them. */
        if (iqt_plan_is_coop(&plan) || !usable(dev, c, &plan) || (found && cost >= best))
            continue;
        best = cost;
        *out = plan;
        found = true;
    }
    return found;
}

/* The cheapest of everything that is legal here, embedded first. Rare: only when the default
 * breaks a limit of this device, is not embedded where no compiler is, or has a span that does
 * not divide k. */
static enum iqt_status search(const struct iqt_device *dev, const struct iqt_choice *c,
                              struct iqt_plan *out)
{
    enum { MOST = 4096 };
    struct iqt_plan *plans = malloc(MOST * sizeof *plans);
    char name[IQT_PLAN_NAME_BYTES];
    size_t total;
    bool found;

    if (!plans)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a list of plans");
    total = iqt_plan_embedded(c->like.dialect, plans, MOST);
    found = cheapest(dev, c, plans, total < MOST ? total : MOST, out);
    if (!found) {
        total = iqt_plan_list(c->like.format, c->like.dialect, c->like.op, c->like.n,
                              c->like.layout, &dev->limits, plans, MOST);
        found = cheapest(dev, c, plans, total < MOST ? total : MOST, out);
    }
    free(plans);
    if (found)
        return IQT_OK;
    iqt_plan_name(&c->like, name);
    return iqt_fail(IQT_ERR_UNSUPPORTED, "%s has no legal plan like %s for %zu columns",
                    dev->info.spec, name, c->k);
}

/* Under dev->lock. */
static enum iqt_status decide(struct iqt_device *dev, struct iqt_choice *c)
{
    const struct iqt_plan standard =
        covering(c, iqt_plan_default_for(&dev->limits, c->like.format, c->like.dialect,
                                         c->like.op, c->like.n, c->like.layout));
    const struct iqt_plan split =
        covering(c, iqt_plan_split(&standard, &dev->limits, c->m, c->k));
    enum iqt_status status = IQT_ERR_UNSUPPORTED;
    struct iqt_plan plan;

    c->built = tuned(dev, c);
    if (c->built)
        return IQT_OK;
    /* Split kernels are not embedded: without a compiler the others are good enough. */
    if ((split.split > 1 || split.compute != standard.compute) && usable(dev, c, &split))
        status = build(dev, &split, &c->built);
    if (status == IQT_ERR_UNSUPPORTED && usable(dev, c, &standard))
        status = build(dev, &standard, &c->built);
    if (status != IQT_ERR_UNSUPPORTED)
        return status;
    IQT_TRY(search(dev, c, &plan));
    return build(dev, &plan, &c->built);
}

static struct iqt_choice **bucket_of(struct iqt_device *dev, const struct iqt_choice *c)
{
    const uint64_t key[] = { (uintptr_t)c->like.format,
                             (uint64_t)c->like.covers << 24 | (uint64_t)c->like.op << 16 |
                                 c->like.n << 8 | c->like.layout,
                             c->m, c->k };

    return &dev->choice[iqt_hash(key, sizeof key, 0) % IQT_CHOICE_BUCKETS];
}

static enum iqt_status choose(struct iqt_device *dev, const struct iqt_choice *wanted,
                              const struct iqt_built **out)
{
    struct iqt_choice **bucket = bucket_of(dev, wanted), *c = *bucket;
    enum iqt_status status;

    while (c && !(same_plan(&c->like, &wanted->like) && c->m == wanted->m &&
                  c->k == wanted->k))
        c = c->next;
    if (!c) {
        c = malloc(sizeof *c);
        if (!c)
            return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a choice of plan");
        *c = *wanted;
        status = decide(dev, c);
        if (status != IQT_OK) {
            free(c);
            return status;
        }
        c->next = *bucket;
        *bucket = c;
    }
    *out = c->built;
    return IQT_OK;
}

static enum iqt_status choose_for(struct iqt_device *dev, const struct iqt_matrix *w,
                                  enum iqt_op op, uint32_t n, enum iqt_covers covers,
                                  const struct iqt_built **out)
{
    const struct iqt_choice wanted = {
        .like = { .format = w->format,
                  .dialect = dev->backend->dialect,
                  .op = op,
                  .covers = covers,
                  .n = (uint8_t)n,
                  .layout = w->layout },
        .m = w->m,
        .k = w->k,
    };
    enum iqt_status status;

    pthread_mutex_lock(&dev->lock);
    status = choose(dev, &wanted, out);
    pthread_mutex_unlock(&dev->lock);
    return status;
}

enum iqt_status iqt_plan_choose(struct iqt_device *dev, const struct iqt_matrix *w,
                                enum iqt_op op, uint32_t n, const struct iqt_built **out)
{
    /* The CPU runs experts one after the other by its ordinary kernels. */
    const bool routed = w->experts && dev->backend->dialect != IQT_DIALECT_HOST;

    return choose_for(dev, w, op, w->experts ? 1 : n,
                      routed ? IQT_COVERS_ROUTED : IQT_COVERS_ONE, out);
}

enum iqt_status iqt_plan_choose_set(struct iqt_device *dev, const struct iqt_matrix *w,
                                    enum iqt_op op, uint32_t n,
                                    const struct iqt_built **out)
{
    /* Vulkan has no room for the parts of k in a set's parameters: short matrices go alone there. */
    if (dev->backend->dialect == IQT_DIALECT_GLSL) {
        const struct iqt_built *alone;

        IQT_TRY(iqt_plan_choose(dev, w, op, n, &alone));
        if (alone->plan.split > 1)
            return iqt_fail(IQT_ERR_UNSUPPORTED,
                            "%s has no plans for sets over parts of k", dev->info.spec);
    }
    return choose_for(dev, w, op, n, IQT_COVERS_SET, out);
}

void iqt_plans_forget(struct iqt_device *dev)
{
    pthread_mutex_lock(&dev->lock);
    for (size_t i = 0; i < IQT_CHOICE_BUCKETS; i++)
        while (dev->choice[i]) {
            struct iqt_choice *c = dev->choice[i];

            dev->choice[i] = c->next;
            free(c);
        }
    pthread_mutex_unlock(&dev->lock);
}

void iqt_plans_free(struct iqt_device *dev)
{
    iqt_plans_forget(dev);
    while (dev->built) {
        struct iqt_built *b = dev->built;

        dev->built = b->next;
        dev->backend->drop(dev->hw, b->kernel);
        free(b);
    }
}

enum iqt_status iqt_plan_used(struct iqt_device *dev, const struct iqt_matrix *w,
                              bool gated, uint32_t n, const char **name)
{
    const struct iqt_built *built = NULL;

    if (!dev || !w || !name)
        return iqt_fail(IQT_ERR_ARG, "iqt_plan_used: an argument is NULL");
    if (w->dev != dev)
        return iqt_fail(IQT_ERR_ARG, "iqt_plan_used: the matrix lives on another device");
    if (n < 1 || n > IQT_MAX_COLS)
        return iqt_fail(IQT_ERR_SHAPE, "n is %u, expected 1 .. %u", n, IQT_MAX_COLS);
    IQT_TRY(iqt_plan_choose(dev, w, gated ? IQT_OP_GATED : IQT_OP_MATVEC, n, &built));
    *name = built->name;
    return IQT_OK;
}

/* Where there is no kernel for sets, calls do without. */
static enum iqt_status prepare_one(struct iqt_device *dev, const struct iqt_matrix *w,
                                   enum iqt_op op, uint32_t n)
{
    const struct iqt_built *built;
    enum iqt_status status;

    IQT_TRY(iqt_plan_choose(dev, w, op, n, &built));
    if (w->experts || !dev->backend->launch_set)
        return IQT_OK;
    status = iqt_plan_choose_set(dev, w, op, n, &built);
    return status == IQT_ERR_UNSUPPORTED ? IQT_OK : status;
}

enum iqt_status iqt_prepare(struct iqt_device *dev, const struct iqt_matrix *w,
                            uint32_t max_n)
{
    const struct iqt_built *built;

    if (!dev || !w)
        return iqt_fail(IQT_ERR_ARG, "iqt_prepare: %s is NULL", dev ? "w" : "dev");
    if (w->dev != dev)
        return iqt_fail(IQT_ERR_ARG, "iqt_prepare: the matrix lives on another device");
    if (max_n < 1 || max_n > IQT_MAX_COLS)
        return iqt_fail(IQT_ERR_SHAPE, "max_n is %u, expected 1 .. %u", max_n,
                        IQT_MAX_COLS);
    if (w->format->decode != IQT_DECODE_FLOAT)
        IQT_TRY(iqt_kernel_get(dev, NULL, &built));
    for (uint32_t n = 1; n <= (w->experts ? 1 : max_n); n++)
        for (uint32_t op = 0; op < IQT_OPS; op++)
            IQT_TRY(prepare_one(dev, w, (enum iqt_op)op, n));
    return IQT_OK;
}
