/* How `iqtile predict` shows its results. Everything says that it is a prediction. */
#include "tools/predict.h"

#include <inttypes.h>
#include <stdio.h>

static const char label[] = "prediction, not a measurement";

void iqt_predict_add(struct iqt_predict_total *t, const struct iqt_predict_row *row)
{
    t->us += row->p.us;
    t->limit_us[row->p.limit] += row->p.us;
    t->bytes += row->p.us * row->p.gb_per_s * 1e3;
}

void iqt_predict_print_gpus(void)
{
    printf("%-12s %-8s %5s %5s %6s %7s %7s %11s%s\n", "GPU", "target", "units", "lanes",
           "GHz", "GB/s", "MiB", "slots/byte", "");
    for (const struct iqt_gpu *g = iqt_gpus; g->name != NULL; g++)
        printf("%-12s %-8s %5" PRIu32 " %5" PRIu32 " %6.3f %7.1f %7.1f %11.2f%s\n",
               g->name, g->target[0] ? g->target : "-", g->units, g->lanes, g->clock_ghz,
               g->gb_per_s, g->cache_mib,
               g->units * g->lanes * g->clock_ghz / g->gb_per_s,
               g->target[0] ? "" : "  no compiler: memory bound only");
}

/* ---- Text ---- */

void iqt_predict_print_head(const struct iqt_gpu *gpu, const struct iqt_predict_work *w)
{
    const struct iqt_gpu_kind_facts *kind = &iqt_gpu_kinds[gpu->kind];

    printf("%s\n\n", label);
    printf("%s: %" PRIu32 " units x %" PRIu32
           " lanes at %.3f GHz, %.0f GB/s; assumed: %.0f %% "
           "of it reached, %.0f ns latency, %.0f us a launch\n",
           gpu->name, gpu->units, gpu->lanes, gpu->clock_ghz, gpu->gb_per_s,
           100 * kind->efficiency, kind->latency_ns, kind->launch_us);
    if (gpu->target[0] == '\0')
        printf("no compiler for this GPU here: what memory allows, nothing else\n");
    if (w->has_experts && w->used > 0)
        printf("experts: %" PRIu64 " a token (metadata), those of %" PRIu32
               " columns all different\n",
               w->used, w->n);
    if (w->has_experts && w->used == 0)
        printf("experts: the file does not say how many a token uses; assumed: all\n");
    if (w->tied)
        printf("no output.weight: token_embd.weight is taken for it\n");
    if (w->unknown > 0)
        printf("%zu matrices of unknown size are left out\n", w->unknown);
    printf("\n%-28s %-8s %15s %6s %9s %7s %-7s %8s %8s %8s\n", "matrix", "type",
           "rows x k", "slots", "us", "GB/s", "limit", "memory", "issue", "latency");
}

void iqt_predict_print_row(const struct iqt_predict_row *r)
{
    const struct iqt_predict_job *j = r->job;
    char shape[48], slots[16] = "-";

    snprintf(shape, sizeof shape, "%" PRIu64 " x %" PRIu64, j->product.m, j->product.k);
    if (r->slots > 0)
        snprintf(slots, sizeof slots, "%.2f", r->slots);
    printf("%-28s %-8s %15s %6s %9.2f %7.0f %-7s %8.2f %8.2f %8.2f", j->name, j->type,
           shape, slots, r->p.us, r->p.gb_per_s, iqt_model_limit_name(r->p.limit),
           r->p.part_us[IQT_MODEL_MEMORY], r->p.part_us[IQT_MODEL_ISSUE],
           r->p.part_us[IQT_MODEL_LATENCY]);
    if (j->experts > 0)
        printf("  %" PRIu64 " of %" PRIu64 " experts", j->used, j->experts);
    printf("\n");
}

void iqt_predict_print_total(const struct iqt_gpu *gpu, const struct iqt_predict_work *w,
                             const struct iqt_predict_total *t)
{
    const double bound_us = t->bytes / (gpu->gb_per_s * 1e3);
    const char *what = w->n == 1 ? "token" : "pass";

    printf(
        "\n%s: products alone (no attention, norms, quantizing of activations), each matrix "
        "a launch\n",
        label);
    printf("a %s: %.1f us, %.0f bytes, at most %.1f tokens/s", what, t->us, t->bytes,
           w->n * 1e6 / t->us);
    if (w->n > 1)
        printf(" with %" PRIu32 " columns a pass", w->n);
    printf("\nbandwidth alone: %.1f us, at most %.1f tokens/s\n", bound_us,
           w->n * 1e6 / bound_us);
    printf("time by limit:");
    for (int l = 0; l < IQT_MODEL_LIMITS; l++)
        printf(" %s %.0f %%", iqt_model_limit_name((enum iqt_model_limit)l),
               100 * t->limit_us[l] / t->us);
    printf("\n");
    if (t->bytes < gpu->cache_mib * 1024 * 1024)
        printf("all of it fits the cache of %.1f MiB: a second token can be faster\n",
               gpu->cache_mib);
}

/* ---- CSV ---- */

void iqt_predict_csv_head(void)
{
    printf(
        "basis,gpu,matrix,type,rows,k,n,weight_bytes,plan,slots_per_weight,us,gb_per_s,"
        "limit,memory_us,issue_us,latency_us,launch_us,flight_bytes,flight_needed_bytes\n");
}

/* Names of tensors come from files: quoted, quotes doubled. */
static void print_quoted(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

void iqt_predict_csv_row(const struct iqt_gpu *gpu, const struct iqt_predict_row *r)
{
    const struct iqt_predict_product *p = &r->job->product;
    char plan[IQT_PLAN_NAME_BYTES] = "";

    if (r->plan.format != NULL)
        iqt_plan_name(&r->plan, plan);
    printf("prediction,%s,", gpu->name);
    print_quoted(r->job->name);
    printf(",%s,%" PRIu64 ",%" PRIu64 ",%" PRIu32 ",%.0f,%s,%.4f,%.4f,%.2f,%s",
           r->job->type, p->m, p->k, p->n, p->weight_bytes, plan, r->slots, r->p.us,
           r->p.gb_per_s, iqt_model_limit_name(r->p.limit));
    for (int l = 0; l < IQT_MODEL_LIMITS; l++)
        printf(",%.4f", r->p.part_us[l]);
    printf(",%.0f,%.0f\n", r->p.flight, r->p.flight_needed);
}

void iqt_predict_csv_total(const struct iqt_gpu *gpu, const struct iqt_predict_total *t)
{
    printf("prediction,%s,total,,,,,%.0f,,,%.4f,%.2f,,,,,,,\n", gpu->name, t->bytes,
           t->us, t->bytes / (t->us * 1e3));
}
