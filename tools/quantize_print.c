/* The table of a run of quantize: tensor, from, to, bytes, bits a weight, error; what fallbacks cost. */
#include "tools/quantize.h"

#include <math.h>
#include <stdio.h>

enum { NAME_TEXT = 96 };

struct totals {
    struct iqt_row_loss loss;
    double weights, wanted_bytes, instead_bytes;
    size_t fallbacks;
};

static double error_of(const struct iqt_row_loss *loss)
{
    return loss->all > 0 ? sqrt(loss->missed / loss->all) : 0;
}

static double weights_of(const struct iqt_gguf_tensor *t)
{
    return (double)t->ne[0] * (double)iqt_gguf_rows(t);
}

static void print_job(const struct iqt_job *job, bool done)
{
    const struct iqt_gguf_tensor *t = &job->from;
    char name[NAME_TEXT], worst[IQT_WORST_TEXT];

    iqt_escape(name, sizeof name, t->name, t->name_bytes);
    printf("%-32s %-8s %-8s %12llu %12llu %7.3f", name,
           t->type_name != NULL ? t->type_name : "unknown",
           job->type.name != NULL ? job->type.name : "as it is",
           (unsigned long long)t->bytes, (unsigned long long)job->bytes,
           8 * (double)job->bytes / weights_of(t));
    if (done && job->type.name != NULL)
        printf(" %9.6f  %s", error_of(&job->loss), iqt_worst_text(&job->worst, 2, worst));
    if (job->wanted != NULL)
        printf("  instead of %s", job->wanted);
    printf("\n");
}

static void add(struct totals *sum, const struct iqt_job *job)
{
    sum->loss.missed += job->loss.missed;
    sum->loss.all += job->loss.all;
    sum->weights += weights_of(&job->from);
    if (job->wanted == NULL)
        return;
    sum->fallbacks++;
    sum->wanted_bytes += job->wanted_bytes;
    sum->instead_bytes += (double)job->bytes;
}

void iqt_jobs_print(const struct iqt_jobs *jobs, bool done)
{
    struct totals sum = { 0 };

    printf("%-32s %-8s %-8s %12s %12s %7s%s\n", "tensor", "from", "to", "bytes",
           "becomes", "bits", done ? "     error  worst rows (error)" : "");
    for (size_t i = 0; i < jobs->count; i++) {
        print_job(&jobs->job[i], done);
        add(&sum, &jobs->job[i]);
    }
    if (sum.fallbacks > 0)
        printf(
            "%zu tensors cannot have their type: %+.0f bytes, %+.3f bits a weight of the file\n",
            sum.fallbacks, sum.instead_bytes - sum.wanted_bytes,
            8 * (sum.instead_bytes - sum.wanted_bytes) / sum.weights);
    printf("%-32s %-8s %-8s %12llu %12llu %7.3f", "total", "", "",
           (unsigned long long)jobs->from_bytes, (unsigned long long)jobs->to_bytes,
           sum.weights > 0 ? 8 * (double)jobs->to_bytes / sum.weights : 0);
    if (done)
        printf(" %9.6f", error_of(&sum.loss));
    printf("\n");
}
