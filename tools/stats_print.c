/* The columns are a table, so that heads and rows cannot differ. */
#include "tools/stats_print.h"

#include "kernels/layout.h"
#include "stats/predict.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Columns of CSV ---- */

enum { CELL_BYTES = 160 };
typedef void (*cell_fn)(const struct iqt_stats_row *r, char out[CELL_BYTES]);

static double per_weight(const struct iqt_stats_row *r, double count)
{
    return r->stats.weights > 0 ? count / r->stats.weights : 0;
}

#define TEXT(name, ...)                                                   \
    static void name(const struct iqt_stats_row *r, char out[CELL_BYTES]) \
    {                                                                     \
        snprintf(out, CELL_BYTES, __VA_ARGS__);                           \
    }
TEXT(cell_format, "%s", r->plan ? r->plan->format->name : "")
TEXT(cell_n, "%u", r->n)
TEXT(cell_weights, "%u", r->stats.weights)
TEXT(cell_instructions, "%.4f", per_weight(r, r->stats.hot.instructions))
TEXT(cell_slots, "%.4f", per_weight(r, r->stats.hot_slots))
TEXT(cell_registers, "%u", r->stats.registers)
TEXT(cell_spills, "%u", r->stats.spill_bytes)
TEXT(cell_layout, "%s", r->plan ? iqt_layout_name(r->plan->layout) : "")
TEXT(cell_target, "%s", r->target->name)
TEXT(cell_compiler, "%s", r->stats.compiler)
TEXT(cell_cycles, "%.4f", per_weight(r, r->stats.hot.cycles))
TEXT(cell_whole0, "%.4f", r->stats.whole_slots[0])
TEXT(cell_whole1, "%.4f", r->stats.whole_slots[1])
TEXT(cell_unroll, "%u", r->stats.unroll)
TEXT(cell_inner, "%zu", r->stats.inner_loops)
TEXT(cell_memory, "%.0f", r->stats.hot.memory_slots)
TEXT(cell_mma, "%.0f", r->stats.hot.mma_slots)
TEXT(cell_bytes, "%.0f", r->stats.hot.bytes)
TEXT(cell_needed, "%.0f", r->stats.expected_bytes)
TEXT(cell_shared, "%u", r->stats.shared_bytes)
TEXT(cell_scalars, "%u", r->stats.scalars)
TEXT(cell_waves, "%u", r->stats.occupancy.waves)
TEXT(cell_occupancy, "%.3f",
     r->stats.occupancy.most ? (double)r->stats.occupancy.waves / r->stats.occupancy.most
                             : 0.0)
#undef TEXT

/* What the tuner takes the slots to be without a compiler. */
static void cell_estimated(const struct iqt_stats_row *r, char out[CELL_BYTES])
{
    const enum iqt_gpu_kind kind =
        r->target->isa == IQT_ISA_SASS ? IQT_GPU_NVIDIA_HBM : IQT_GPU_AMD_HBM;

    snprintf(out, CELL_BYTES, "%.4f",
             r->plan ? iqt_estimate_slots(kind, r->target->arch, r->plan) : 0.0);
}

static void cell_plan(const struct iqt_stats_row *r, char out[CELL_BYTES])
{
    out[0] = '\0';
    if (r->plan != NULL)
        iqt_plan_name(r->plan, out);
}

/* The classes follow these. */
static const struct {
    const char *name;
    cell_fn fn;
} columns[] = {
    { "format", cell_format },
    { "n", cell_n },
    { "plan", cell_plan },
    { "weights_per_iteration", cell_weights },
    { "instructions_per_weight", cell_instructions },
    { "slots_per_weight", cell_slots },
    { "registers", cell_registers },
    { "spill_bytes", cell_spills },
    { "layout", cell_layout },
    { "target", cell_target },
    { "compiler", cell_compiler },
    { "cycles_per_weight", cell_cycles },
    { "whole_4096", cell_whole0 },
    { "whole_14336", cell_whole1 },
    { "unroll", cell_unroll },
    { "inner_loops", cell_inner },
    { "memory_slots", cell_memory },
    { "mma_slots", cell_mma },
    { "loaded_bytes", cell_bytes },
    { "needed_bytes", cell_needed },
    { "shared_bytes", cell_shared },
    { "scalar_registers", cell_scalars },
    { "waves", cell_waves },
    { "occupancy", cell_occupancy },
    { "estimated_slots", cell_estimated },
};

void iqt_stats_csv_head(void)
{
    for (size_t i = 0; i < IQT_COUNT(columns); i++)
        printf("%s%s", i > 0 ? "," : "", columns[i].name);
    for (int c = 0; c < IQT_CLASSES; c++)
        printf(",%s", iqt_class_name((enum iqt_class)c));
    printf("\n");
}

void iqt_stats_csv_row(const struct iqt_stats_row *row)
{
    char cell[CELL_BYTES];

    for (size_t i = 0; i < IQT_COUNT(columns); i++) {
        columns[i].fn(row, cell);
        printf("%s%s", i > 0 ? "," : "", cell);
    }
    for (int c = 0; c < IQT_CLASSES; c++)
        printf(",%.0f", row->stats.hot.class[c]);
    printf("\n");
}

/* ---- Text ---- */

static const char *unit(const struct iqt_stats_target *t)
{
    return t->isa == IQT_ISA_SASS ? "slots" : "cycles";
}

void iqt_stats_print_head(const struct iqt_stats_target *target)
{
    printf(
        "%s per weight in the hot loop and in whole kernels of k = %u and %u, for %s\n\n",
        unit(target), iqt_stats_k[0], iqt_stats_k[1], target->name);
    printf("%-8s %2s %5s %7s %7s %7s %7s %5s %6s %7s  %s\n", "format", "n", "bits",
           unit(target), "instr", "k=4096", "k=14336", "regs", "spill", "waves", "plan");
}

/* The product that predictions are of. False: the plan cannot do it. */
static bool large_product(const struct iqt_stats_row *r, struct iqt_predict_product *p)
{
    size_t row_bytes;

    *p = (struct iqt_predict_product){ .m = 14336, .k = 4096, .n = r->n };
    if (r->plan == NULL || r->plan->op != IQT_OP_MATVEC ||
        iqt_format_row_bytes(r->plan->format, p->k, &row_bytes) != IQT_OK ||
        !iqt_plan_fits(r->plan, p->k))
        return false;
    p->weight_bytes = (double)p->m * (double)row_bytes;
    return true;
}

/* Few waves are enough when each has many bytes in flight: so they are shown. */
static void print_low_occupancy(const struct iqt_stats_row *r)
{
    const struct iqt_occupancy *o = &r->stats.occupancy;
    struct iqt_prediction worst = { 0 };
    const struct iqt_gpu *of = NULL;
    struct iqt_predict_product p;

    if (o->most == 0 || 2 * o->waves >= o->most)
        return;
    printf("%11s occupancy %.0f %%", "", 100.0 * o->waves / o->most);
    for (const struct iqt_gpu *g = iqt_gpus; g->name != NULL && large_product(r, &p);
         g++) {
        struct iqt_prediction out;

        if (strcmp(g->target, r->target->name) != 0)
            continue;
        iqt_predict(g, &r->stats, r->target->isa, r->plan, &p, &out);
        if (of == NULL ||
            out.flight * worst.flight_needed < worst.flight * out.flight_needed) {
            worst = out;
            of = g;
        }
    }
    if (of != NULL)
        printf(": %.0f bytes of a unit in flight, %s needs %.0f", worst.flight, of->name,
               worst.flight_needed);
    printf("\n");
}

void iqt_stats_print_row(const struct iqt_stats_row *r)
{
    const struct iqt_format *f = r->plan ? r->plan->format : NULL;
    char plan[CELL_BYTES], waves[24];

    cell_plan(r, plan);
    snprintf(waves, sizeof waves, "%u/%u", r->stats.occupancy.waves,
             r->stats.occupancy.most);
    printf("%-8s %2u %5.2f %7.2f %7.2f %7.2f %7.2f %5u %6u %7s  %s\n", f ? f->name : "-",
           r->n, f ? 8.0 * f->bytes / f->superblock : 0.0,
           per_weight(r, r->stats.hot_slots), per_weight(r, r->stats.hot.instructions),
           r->stats.whole_slots[0], r->stats.whole_slots[1], r->stats.registers,
           r->stats.spill_bytes, waves, plan);
    print_low_occupancy(r);
}

/* What the cost model makes of the counts, on every GPU that has this target. */
static void print_predictions(const struct iqt_stats_row *r)
{
    struct iqt_predict_product p;
    bool headed = false;

    if (!large_product(r, &p))
        return;
    for (const struct iqt_gpu *g = iqt_gpus; g->name != NULL; g++) {
        struct iqt_prediction out, estimate;

        if (strcmp(g->target, r->target->name) != 0)
            continue;
        if (!headed)
            printf("\n%-12s %9s %9s %-7s %21s   (prediction for %" PRIu64 " x %" PRIu64
                   ", not a measurement)\n",
                   "GPU", "us", "estimate", "limit", "in flight / needed", p.m, p.k);
        headed = true;
        iqt_predict(g, &r->stats, r->target->isa, r->plan, &p, &out);
        iqt_estimate(g, r->plan, &p, &estimate);
        printf("%-12s %9.2f %9.2f %-7s %10.0f / %8.0f   bytes of a unit\n", g->name,
               out.us, estimate.us, iqt_model_limit_name(out.limit), out.flight,
               out.flight_needed);
    }
}

void iqt_stats_print_classes(const struct iqt_stats_row *r)
{
    const struct iqt_stats *s = &r->stats;

    printf("\nhot loop: instructions %zu .. %zu of %zu, %u weights of a thread",
           s->loop.begin, s->loop.end - 1, s->instructions, s->weights);
    if (s->unroll > 1)
        printf(" (unrolled %u times by the compiler)", s->unroll);
    if (s->inner_loops > 0)
        printf("\n%zu loops inside are counted as if they ran once", s->inner_loops);
    printf("\n\n%-14s %7s %8s\n", "class", "instr", "/weight");
    for (int c = 0; c < IQT_CLASSES; c++)
        if (s->hot.class[c] > 0)
            printf("%-14s %7.0f %8.3f\n", iqt_class_name((enum iqt_class)c),
                   s->hot.class[c], per_weight(r, s->hot.class[c]));
    printf("%-14s %7.0f %8.3f\n", "all", s->hot.instructions,
           per_weight(r, s->hot.instructions));
    if (r->target->isa == IQT_ISA_SASS)
        printf("%-14s %7.0f %8.3f\n", "memory slots", s->hot.memory_slots,
               per_weight(r, s->hot.memory_slots));
    if (s->hot.mma_slots > 0)
        printf("%-14s %7.0f %8.3f\n", "mma slots", s->hot.mma_slots,
               per_weight(r, s->hot.mma_slots));
    printf("%-14s %7.0f %8.3f\n\n", unit(r->target), s->hot_slots,
           per_weight(r, s->hot_slots));
    printf("loads of a thread and iteration: %.0f bytes", s->hot.bytes);
    if (s->expected_bytes > 0)
        printf(", needed %.0f", s->expected_bytes);
    printf("\nshared memory of a workgroup: %u bytes", s->shared_bytes);
    if (s->occupancy.most > 0)
        printf("\noccupancy: %u of %u waves", s->occupancy.waves, s->occupancy.most);
    printf("\ncompiler: %s\n", s->compiler[0] != '\0' ? s->compiler : "unknown");
    print_predictions(r);
}
