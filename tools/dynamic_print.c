/* Tables of counted launches; columns as in tools/stats_print.c. */
#include "tools/dynamic_print.h"

#include <inttypes.h>
#include <stdio.h>

enum { BUFFERS = IQT_DYNAMIC_Y }; /* that are read */

static double per_weight(const struct iqt_dynamic_row *r, uint64_t count)
{
    return (double)count / r->d.weights;
}

static double primitive(const struct iqt_dynamic_row *r, enum iqt_sim_primitive p)
{
    return per_weight(r, r->d.counted.primitive[p]);
}

static double sectors_needed(const struct iqt_dynamic_row *r, enum iqt_dynamic_buffer b)
{
    return r->d.needed[b] / IQT_SIM_SECTOR;
}

/* ---- CSV ---- */

void iqt_dynamic_csv_head(void)
{
    printf("format,n,plan,arch,m,k");
    for (int b = 0; b < BUFFERS; b++) {
        const char *const name[] = { "w", "x", "xs" };

        printf(
            ",%s_requested_bytes,%s_needed_bytes,%s_ratio,%s_sectors,%s_needed_sectors,"
            "%s_fetched_sectors,%s_lines,%s_least_lines",
            name[b], name[b], name[b], name[b], name[b], name[b], name[b], name[b]);
    }
    printf(",y_sectors,bank_conflicts");
    for (int p = 0; p < IQT_SIM_PRIMITIVES; p++)
        printf(",%s_per_weight", iqt_dynamic_primitive_name((enum iqt_sim_primitive)p));
    printf("\n");
}

void iqt_dynamic_csv_row(const struct iqt_dynamic_row *r)
{
    char plan[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(r->plan, plan);
    printf("%s,%u,%s,%s,%u,%u", r->plan->format->name, r->n, plan, r->arch, r->m, r->k);
    for (int i = 0; i < BUFFERS; i++) {
        const enum iqt_dynamic_buffer b = (enum iqt_dynamic_buffer)i;
        const struct iqt_sim_traffic *t = &r->d.traffic[b];

        printf(",%" PRIu64 ",%.0f,%.4f,%" PRIu64 ",%.0f,%" PRIu64 ",%" PRIu64 ",%" PRIu64,
               t->requested, r->d.needed[b], iqt_dynamic_ratio(&r->d, b), t->sectors,
               sectors_needed(r, b), t->fetched, t->lines, t->least_lines);
    }
    printf(",%" PRIu64 ",%" PRIu64, r->d.traffic[IQT_DYNAMIC_Y].written,
           r->d.counted.conflicts);
    for (int p = 0; p < IQT_SIM_PRIMITIVES; p++)
        printf(",%.4f", primitive(r, (enum iqt_sim_primitive)p));
    printf("\n");
}

/* ---- Text ---- */

void iqt_dynamic_print_head(const struct iqt_dynamic_row *r)
{
    printf("counted while the emitted text ran on the simulated machine (%s), %u x %u\n"
           "w, sect, fetch: weight bytes asked for, sectors asked for, sectors fetched a "
           "workgroup, by needed ones\nlines: passes through L1 for x by needed ones; "
           "confl: extra passes of shared memory; the rest a weight\n\n",
           r->arch, r->m, r->k);
    printf("%-8s %2s %6s %6s %6s %6s %6s %6s %6s %6s %6s %6s %6s %7s  %s\n", "format",
           "n", "w", "sect", "fetch", "lines", "confl", "dot4", "perm", "mul", "fma",
           "lop3", "funnel", "convert", "plan");
}

void iqt_dynamic_print_row(const struct iqt_dynamic_row *r)
{
    const enum iqt_dynamic_buffer w = IQT_DYNAMIC_WEIGHTS;
    const struct iqt_sim_traffic *x = &r->d.traffic[IQT_DYNAMIC_X];
    static const enum iqt_sim_primitive shown[] = { IQT_SIM_DOT4,  IQT_SIM_PERM,
                                                    IQT_SIM_MUL,   IQT_SIM_FMA,
                                                    IQT_SIM_LOGIC, IQT_SIM_FUNNEL };
    char plan[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(r->plan, plan);
    printf("%-8s %2u %6.3f %6.3f %6.3f %6.2f %6" PRIu64, r->plan->format->name, r->n,
           iqt_dynamic_ratio(&r->d, w), iqt_dynamic_sector_ratio(&r->d, w),
           iqt_dynamic_fetch_ratio(&r->d, w),
           x->least_lines > 0 ? (double)x->lines / (double)x->least_lines : 0.0,
           r->d.counted.conflicts);
    for (size_t i = 0; i < IQT_COUNT(shown); i++)
        printf(" %6.3f", primitive(r, shown[i]));
    printf(" %7.3f  %s\n", primitive(r, IQT_SIM_CONVERT), plan);
}

static void print_buffers(const struct iqt_dynamic_row *r)
{
    printf("\n%-9s %10s %10s %7s %9s %9s %9s %9s %9s\n", "buffer", "bytes", "needed",
           "ratio", "sectors", "needed", "fetched", "lines", "least");
    for (int i = 0; i < BUFFERS; i++) {
        const enum iqt_dynamic_buffer b = (enum iqt_dynamic_buffer)i;
        const struct iqt_sim_traffic *t = &r->d.traffic[b];

        printf("%-9s %10" PRIu64 " %10.0f %7.3f %9" PRIu64 " %9.0f %9" PRIu64 " %9" PRIu64
               " %9" PRIu64 "\n",
               iqt_dynamic_buffer_name(b), t->requested, r->d.needed[b],
               iqt_dynamic_ratio(&r->d, b), t->sectors, sectors_needed(r, b), t->fetched,
               t->lines, t->least_lines);
    }
}

static double each(uint64_t sum, const struct iqt_sim_site *s)
{
    return (double)sum / (double)s->executions;
}

static void print_sites(const struct iqt_dynamic_row *r)
{
    printf("\n%-9s %5s %-5s %10s %6s %8s %6s %6s %6s %6s\n", "buffer", "bytes", "",
           "times", "lanes", "sectors", "least", "loose", "lines", "confl");
    for (uint32_t i = 0; i < r->d.counted.sites; i++) {
        const struct iqt_sim_site *s = &r->d.counted.site[i];

        printf("%-9s %5u %-5s %10" PRIu64 " %6.1f %8.1f %6.1f %6.1f %6.1f %6.1f%s\n",
               s->argument < 0
                   ? "shared"
                   : iqt_dynamic_buffer_name(iqt_dynamic_buffer_of(s->argument)),
               s->bytes, s->write ? "write" : "read", s->executions, each(s->lanes, s),
               each(s->sectors, s), each(s->least, s), each(s->loose, s),
               each(s->lines, s), each(s->conflicts, s),
               iqt_dynamic_uncoalesced(&r->d, i) ? "  uncoalesced" : "");
    }
}

void iqt_dynamic_print_detail(const struct iqt_dynamic_row *r)
{
    print_buffers(r);
    print_sites(r);
    printf("\n%-9s %10s %8s\n", "primitive", "times", "/weight");
    for (int p = 0; p < IQT_SIM_PRIMITIVES; p++)
        if (r->d.counted.primitive[p] > 0)
            printf("%-9s %10" PRIu64 " %8.4f\n",
                   iqt_dynamic_primitive_name((enum iqt_sim_primitive)p),
                   r->d.counted.primitive[p], primitive(r, (enum iqt_sim_primitive)p));
}
