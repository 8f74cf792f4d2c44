/* What a run of quantize lost, as a page. */
#include "tools/error_page.h"
#include "tools/quantize.h"

#include <stdio.h>
#include <stdlib.h>

static void fill_row(const struct iqt_job *job, struct iqt_error_row *row)
{
    const struct iqt_gguf_tensor *t = &job->from;
    const bool encoded = job->type.name != NULL;

    *row = (struct iqt_error_row){
        .from = t->type_name != NULL ? t->type_name : "unknown",
        .to = encoded ? job->type.name : "as it is",
        .bytes = job->bytes,
        .weights = (double)t->ne[0] * (double)iqt_gguf_rows(t),
        .error = encoded ? iqt_relative_error(job->loss.missed, job->loss.all) : -1,
        .worst = job->worst,
    };
    iqt_escape(row->name, sizeof row->name, t->name, t->name_bytes);
    if (job->wanted != NULL)
        snprintf(row->note, sizeof row->note, " instead of %s", job->wanted);
}

enum iqt_status iqt_jobs_report(const struct iqt_jobs *jobs, const char *from,
                                const char *to, const char *settings, const char *path)
{
    struct iqt_error_row *row = malloc((jobs->count + 1) * sizeof *row);
    struct iqt_row_loss sum = { 0 };
    struct iqt_error_page page = {
        .title = "iqtile quantize",
        .lead = "What each tensor of a model lost when it was quantized.",
        .from = from,
        .to = to,
        .settings = settings,
        .meaning =
            "sqrt of the weighted squares of what is missed over those of the "
            "weights themselves; an element counts as the format's search counts "
            "it, by its importance where there is one; decoded as compute decodes it",
        .row = row,
        .rows = jobs->count,
    };
    enum iqt_status status;

    if (row == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a report of %zu tensors",
                        jobs->count);
    for (size_t i = 0; i < jobs->count; i++) {
        fill_row(&jobs->job[i], &row[i]);
        sum.missed += jobs->job[i].loss.missed;
        sum.all += jobs->job[i].loss.all;
    }
    page.error = iqt_relative_error(sum.missed, sum.all);
    status = iqt_error_page_write(&page, path);
    free(row);
    return status;
}
