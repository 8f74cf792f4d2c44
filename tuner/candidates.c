/* Lists and ranks the plans of a job. Decides who takes part and in which order; knows nothing of
 * time. */
#include "tuner/candidates.h"

#include "kernels/layout.h"
#include "tuner/estimate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Kernels for the CPU cannot be compiled at run time: its candidates are those embedded. */
static enum iqt_status list_embedded(const struct iqt_tune_job *job,
                                     enum iqt_layout layout, struct iqt_plan **out,
                                     size_t *count)
{
    const size_t total = iqt_plan_embedded(IQT_DIALECT_HOST, NULL, 0);
    struct iqt_plan *plan = malloc((total + 1) * sizeof *plan);
    size_t kept = 0;

    if (!plan)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu plans", total);
    iqt_plan_embedded(IQT_DIALECT_HOST, plan, total);
    for (size_t i = 0; i < total; i++)
        if (plan[i].format == job->format && plan[i].op == job->op &&
            plan[i].n >= job->n && plan[i].layout == layout)
            plan[kept++] = plan[i];
    *out = plan;
    *count = kept;
    return IQT_OK;
}

/* Legal plans of one layout; *out is malloc'ed. */
static enum iqt_status list_plans(const struct iqt_tune_options *o,
                                  const struct iqt_tune_job *job, enum iqt_layout layout,
                                  struct iqt_plan **out, size_t *count)
{
    if (o->dialect == IQT_DIALECT_HOST)
        return list_embedded(job, layout, out, count);

    struct iqt_plan *plan = malloc(IQT_MOST_CANDIDATES * sizeof *plan);

    if (!plan)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %d plans", IQT_MOST_CANDIDATES);
    const size_t total = iqt_plan_list(job->format, o->dialect, job->op, job->n, layout,
                                       o->limits, plan, IQT_MOST_CANDIDATES);
    *out = plan;
    *count = total < IQT_MOST_CANDIDATES ? total : IQT_MOST_CANDIDATES;
    return IQT_OK;
}

static int by_rank(const void *a, const void *b)
{
    const struct iqt_entrant *x = a, *y = b;

    if (x->fallback != y->fallback)
        return x->fallback ? -1 : 1;
    if (x->cost != y->cost)
        return x->cost < y->cost ? -1 : 1;
    if (x->rough != y->rough)
        return x->rough < y->rough ? -1 : 1;
    /* Equal estimates must not depend on the sort: names decide. */
    char name_x[IQT_PLAN_NAME_BYTES], name_y[IQT_PLAN_NAME_BYTES];
    iqt_plan_name(&x->plan, name_x);
    iqt_plan_name(&y->plan, name_y);
    return strcmp(name_x, name_y);
}

static bool same_plan(const struct iqt_plan *a, const struct iqt_plan *b)
{
    char x[IQT_PLAN_NAME_BYTES], y[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(a, x);
    iqt_plan_name(b, y);
    return strcmp(x, y) == 0;
}

/* In steps of two per cent: what the model cannot tell apart is equal, and iqt_plan_cost() decides. */
static double cost_of(const struct iqt_tune_options *o, const struct iqt_tune_job *job,
                      const struct iqt_plan *plan)
{
    const double step = log(1.02);
    struct iqt_predict_product p = { .m = job->m, .k = job->k, .n = job->n };
    struct iqt_prediction out;

    if (o->gpu == NULL)
        return iqt_plan_cost(plan, o->limits, job->m, job->k);
    p.weight_bytes = (double)job->m *
                     (double)iqt_layout_row_bytes(job->format, IQT_LAYOUT_NATIVE, job->k);
    iqt_estimate(o->gpu, plan, &p, &out);
    return exp(step * round(log(out.us) / step));
}

static void enter(const struct iqt_tune_options *o, const struct iqt_tune_job *job,
                  const struct iqt_plan *plan, bool fallback, struct iqt_entrant *out)
{
    *out = (struct iqt_entrant){
        .plan = *plan,
        .fallback = fallback,
        .cost = cost_of(o, job, plan),
        .rough = iqt_plan_cost(plan, o->limits, job->m, job->k),
    };
}

/* A plan in one part, and in as many as a short matrix allows. */
enum { SPLITS = 5 };
static size_t enter_splits(const struct iqt_tune_options *o,
                           const struct iqt_tune_job *job, struct iqt_plan plan,
                           const struct iqt_plan *fallback, struct iqt_entrant *out)
{
    size_t kept = 0;

    for (uint32_t i = 0; i < SPLITS && iqt_plan_fits(&plan, job->k); i++) {
        plan.split = (uint8_t)(1u << i);
        if (i > 0 && !iqt_plan_may_split(&plan, o->limits, job->m, job->k))
            break;
        if (!same_plan(&plan, fallback))
            enter(o, job, &plan, false, &out[kept++]);
    }
    return kept;
}

/* One layout in rank order, the default first; *out is malloc'ed. */
static enum iqt_status gather(const struct iqt_tune_options *o,
                              const struct iqt_tune_job *job, enum iqt_layout layout,
                              struct iqt_entrant **out, size_t *count)
{
    const struct iqt_plan standard =
        iqt_plan_default_for(o->limits, job->format, o->dialect, job->op, job->n, layout);
    const struct iqt_plan fallback = iqt_plan_split(&standard, o->limits, job->m, job->k);
    struct iqt_plan *plan;
    size_t total, kept = 0;

    IQT_TRY(list_plans(o, job, layout, &plan, &total));
    struct iqt_entrant *e = malloc((SPLITS * total + 1) * sizeof *e);
    if (!e) {
        free(plan);
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu candidates", total);
    }
    enter(o, job, &fallback, true, &e[kept++]);
    for (size_t i = 0; i < total; i++)
        kept += enter_splits(o, job, plan[i], &fallback, &e[kept]);
    qsort(e, kept, sizeof *e, by_rank);
    free(plan);
    *out = e;
    *count = kept;
    return IQT_OK;
}

enum iqt_status iqt_candidates(const struct iqt_tune_options *options,
                               const struct iqt_tune_job *job,
                               const bool wanted[IQT_LAYOUTS], size_t most,
                               struct iqt_entrant **out, size_t *count)
{
    struct iqt_entrant *of[IQT_LAYOUTS] = { NULL }, *all = NULL;
    size_t counts[IQT_LAYOUTS] = { 0 }, total = 0;
    enum iqt_status status = IQT_OK;

    for (uint32_t l = 0; l < IQT_LAYOUTS && status == IQT_OK; l++) {
        if (wanted[l])
            status = gather(options, job, (enum iqt_layout)l, &of[l], &counts[l]);
        counts[l] = counts[l] < most + 1 ? counts[l] : most + 1;
        total += counts[l];
    }
    if (status == IQT_OK)
        all = malloc((total + 1) * sizeof *all);
    if (status == IQT_OK && !all)
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu candidates", total);
    for (size_t rank = 0, next = 0; all && next < total; rank++)
        for (uint32_t l = 0; l < IQT_LAYOUTS; l++)
            if (rank < counts[l])
                all[next++] = of[l][rank];
    for (uint32_t l = 0; l < IQT_LAYOUTS; l++)
        free(of[l]);
    if (status != IQT_OK)
        return status;
    *out = all;
    *count = total;
    return IQT_OK;
}

enum iqt_status iqt_candidates_estimate(const struct iqt_tune_options *options,
                                        const struct iqt_tune_job *job,
                                        enum iqt_layout layout, struct iqt_plan *out)
{
    struct iqt_entrant *e;
    size_t count;

    IQT_TRY(gather(options, job, layout, &e, &count));
    /* The default leads, the others are in the order of their cost. */
    *out = count > 1 && e[1].cost < e[0].cost ? e[1].plan : e[0].plan;
    free(e);
    return IQT_OK;
}
