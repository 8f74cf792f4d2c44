/* Which tensor of a file becomes what when all matrices get one type. Writes and encodes nothing. */
#include "tools/quantize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_TEXT = 96 };

/* Matrices by their dimensions that are not multiplied like others: the reference leaves them alone. */
static const char *const kept[] = {
    "_norm.weight",      "ssm_conv1d",    "ssm_x.weight", "ssm_dt.weight",
    "attn_rel_b.weight", "position_embd", "token_types",  "ffn_gate_inp.weight",
};

static bool is_kept(const struct iqt_gguf_tensor *t)
{
    char name[NAME_TEXT];

    iqt_escape(name, sizeof name, t->name, t->name_bytes);
    for (size_t i = 0; i < IQT_COUNT(kept); i++)
        if (strstr(name, kept[i]) != NULL)
            return true;
    return false;
}

/* Types of one number an element that are no weights: integers, doubles. */
static bool is_plain_number(const struct iqt_gguf_tensor *t)
{
    const struct iqt_foreign_type *foreign = iqt_foreign_of_type(t->type);

    return t->format == NULL && foreign != NULL && foreign->superblock == 1;
}

static enum iqt_status choose(const struct iqt_gguf_tensor *t, const struct iqt_format *f,
                              bool requantize, const struct iqt_format **to)
{
    char name[NAME_TEXT];

    *to = NULL;
    if (t->dims < 2 || t->ne[0] % f->granule != 0 || is_kept(t) || is_plain_number(t) ||
        t->format == f)
        return IQT_OK;
    iqt_escape(name, sizeof name, t->name, t->name_bytes);
    if (t->format == NULL)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "tensor %s has type %s, which cannot be decoded", name,
                        t->type_name != NULL ? t->type_name : "unknown");
    if (t->format->decode != IQT_DECODE_FLOAT && !requantize)
        return iqt_fail(
            IQT_ERR_ARG,
            "tensor %s is quantized already (%s): what it lost stays lost; give "
            "--allow-requantize to go on",
            name, t->type_name);
    *to = f;
    return IQT_OK;
}

static enum iqt_status plan(const struct iqt_gguf_tensor *t, const struct iqt_format *f,
                            bool requantize, struct iqt_job *out)
{
    struct iqt_job job = { .from = *t, .bytes = t->bytes };
    char name[NAME_TEXT];
    size_t row;

    if (t->data == NULL) {
        iqt_escape(name, sizeof name, t->name, t->name_bytes);
        return iqt_fail(IQT_ERR_FORMAT,
                        "the data of tensor %s are not all there; see iqtile doctor",
                        name);
    }
    IQT_TRY(choose(t, f, requantize, &job.to));
    if (job.to != NULL) {
        IQT_TRY(iqt_format_row_bytes(f, (size_t)t->ne[0], &row));
        job.bytes = row * iqt_gguf_rows(t); /* fewer than the source's: it fits */
    }
    *out = job;
    return IQT_OK;
}

enum iqt_status iqt_jobs_create(const struct iqt_gguf *g, const struct iqt_format *f,
                                bool requantize, struct iqt_jobs *out)
{
    struct iqt_jobs jobs = { .count = iqt_gguf_tensor_count(g) };
    enum iqt_status status = IQT_OK;

    jobs.job = calloc(jobs.count + 1, sizeof *jobs.job);
    if (jobs.job == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu tensors", jobs.count);
    for (size_t i = 0; i < jobs.count && status == IQT_OK; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, i);

        status = plan(&t, f, requantize, &jobs.job[i]);
        jobs.from_bytes += t.bytes;
        jobs.to_bytes += jobs.job[i].bytes;
        if (jobs.job[i].to != NULL)
            jobs.weights += t.ne[0] * iqt_gguf_rows(&t);
    }
    if (status != IQT_OK) {
        iqt_jobs_free(&jobs);
        return status;
    }
    *out = jobs;
    return IQT_OK;
}

void iqt_jobs_free(struct iqt_jobs *jobs)
{
    free(jobs->job);
    *jobs = (struct iqt_jobs){ 0 };
}

enum iqt_status iqt_jobs_describe(const struct iqt_jobs *jobs, const struct iqt_gguf *g,
                                  const struct iqt_format *f, struct iqt_gguf_writer *w)
{
    enum { QUANTIZATION_VERSION = 2 };

    IQT_TRY(iqt_gguf_writer_copy_keys(w, g));
    IQT_TRY(
        iqt_gguf_writer_set_u32(w, "general.quantization_version", QUANTIZATION_VERSION));
    IQT_TRY(iqt_gguf_writer_set_u32(w, "general.file_type", f->file_type));
    for (size_t i = 0; i < jobs->count; i++) {
        struct iqt_gguf_tensor t = jobs->job[i].from;

        if (jobs->job[i].to != NULL)
            t.type = jobs->job[i].to->gguf_type;
        IQT_TRY(iqt_gguf_writer_add_tensor(w, &t));
    }
    return IQT_OK;
}

/* ---- The table ---- */

static double error_of(const struct iqt_row_loss *loss)
{
    return loss->all > 0 ? sqrt(loss->missed / loss->all) : 0;
}

static void print_job(const struct iqt_job *job, bool done)
{
    const struct iqt_gguf_tensor *t = &job->from;
    const double weights = (double)t->ne[0] * (double)iqt_gguf_rows(t);
    char name[NAME_TEXT];

    iqt_escape(name, sizeof name, t->name, t->name_bytes);
    printf("%-32s %-8s %-8s %12llu %12llu %7.3f", name,
           t->type_name != NULL ? t->type_name : "unknown",
           job->to != NULL ? job->to->name : "as it is", (unsigned long long)t->bytes,
           (unsigned long long)job->bytes, 8 * (double)job->bytes / weights);
    if (done && job->to != NULL)
        printf(" %9.6f", error_of(&job->loss));
    printf("\n");
}

void iqt_jobs_print(const struct iqt_jobs *jobs, bool done)
{
    struct iqt_row_loss sum = { 0 };

    printf("%-32s %-8s %-8s %12s %12s %7s%s\n", "tensor", "from", "to", "bytes",
           "becomes", "bits", done ? "     error" : "");
    for (size_t i = 0; i < jobs->count; i++) {
        print_job(&jobs->job[i], done);
        sum.missed += jobs->job[i].loss.missed;
        sum.all += jobs->job[i].loss.all;
    }
    printf("%-32s %-8s %-8s %12llu %12llu %7s", "total", "", "",
           (unsigned long long)jobs->from_bytes, (unsigned long long)jobs->to_bytes, "");
    if (done)
        printf(" %9.6f", error_of(&sum));
    printf("\n");
}
