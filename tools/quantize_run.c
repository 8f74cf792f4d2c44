/* Encodes the tensors of a file on all threads, a bounded part at a time, and streams them into the new
 * file. The bytes do not depend on the number of threads, nor do the errors: they are kept by row. */
#include "tools/cli.h"
#include "kernels/interleave.h"
#include "quant/batch.h"
#include "tools/quantize_journal.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    PART_WEIGHTS = 1 << 17, /* between two looks at Ctrl-C */
    COPY_BYTES = 16 << 20,
    TEXT = 256,
};

/* Rows [first, first + count) of a tensor. */
struct part {
    const struct iqt_job *job;
    float *importance;              /* a row each matrix; NULL: none */
    struct iqt_feedback *feedback;  /* of the matrix that the rows are in; NULL: none */
    size_t k, from_bytes, to_bytes; /* of a row */
    size_t first;
    uint8_t *out;
    uint8_t *together;         /* room for interleaved rows; NULL: as they are encoded */
    struct iqt_row_loss *loss; /* of each row */

    pthread_mutex_t lock; /* guards the first failure, by row */
    enum iqt_status status;
    size_t failed_row;
    char text[TEXT];
};

/* The text of a failure belongs to the thread that it happened on. */
static void report(struct part *p, size_t row, enum iqt_status status)
{
    pthread_mutex_lock(&p->lock);
    if (p->status == IQT_OK || row < p->failed_row) {
        p->status = status;
        p->failed_row = row;
        snprintf(p->text, sizeof p->text, "%s", iqt_last_error());
    }
    pthread_mutex_unlock(&p->lock);
}

static enum iqt_status check_finite(const struct part *p, size_t row, const float *x)
{
    const struct iqt_gguf_tensor *t = &p->job->from;
    char name[96];

    for (size_t i = 0; i < p->k; i++) {
        if (isfinite(x[i]))
            continue;
        iqt_escape(name, sizeof name, t->name, t->name_bytes);
        return iqt_fail(IQT_ERR_FORMAT,
                        "tensor %s: the weight in row %zu, column %zu is not finite: %g",
                        name, p->first + row, i, (double)x[i]);
    }
    return IQT_OK;
}

/* Each matrix of a stack, so each expert, has a row of its own. */
static const float *importance_of(const struct part *p, size_t row)
{
    const uint64_t *ne = p->job->from.ne;

    return p->importance == NULL
               ? NULL
               : p->importance + (p->first + row) / ne[1] % ne[2] * p->k;
}

static enum iqt_status encode_one(struct part *p, size_t row, float *x,
                                  struct iqt_row_work *work)
{
    const struct iqt_format *f = p->job->from.format;
    const uint8_t *from =
        iqt_row_apart(f, p->k, p->job->from.data, p->first + row, (uint8_t *)(x + p->k));
    const float *importance = importance_of(p, row);
    uint8_t *to = p->out + row * p->to_bytes;

    IQT_TRY(iqt_decode_row(iqt_format_base(f), from, p->k, IQT_DECODE_COMPUTE, x));
    IQT_TRY(check_finite(p, row, x));
    iqt_encode_row(p->job->encoder, p->k, x, importance, p->feedback, work, to);
    p->loss[row] =
        iqt_row_loss(iqt_format_base(p->job->to), p->k, x, importance, to, work);
    return IQT_OK;
}

/* batch NULL: rows stand alone. */
static void encode_some(struct part *p, struct iqt_batch *batch, size_t begin,
                        size_t count)
{
    struct iqt_row_work work = { 0 };
    /* Behind the floats there is room for a row that has to be taken apart. */
    float *x = malloc(p->k * sizeof *x + p->from_bytes);
    enum iqt_status status =
        iqt_row_work_create(iqt_format_base(p->job->to), p->k, &work);

    if (status == IQT_OK && x == NULL)
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for rows of %zu weights", p->k);
    if (status != IQT_OK)
        report(p, begin, status);
    work.batch = batch;
    for (size_t row = begin; row < begin + count && status == IQT_OK; row++) {
        status = iqt_cli_interrupted() ? iqt_fail(IQT_ERR_INTERRUPTED, "interrupted")
                                       : encode_one(p, row, x, &work);
        if (status != IQT_OK)
            report(p, row, status);
    }
    iqt_row_work_free(&work);
    free(x);
}

static void encode_rows(void *user, size_t begin, size_t count)
{
    encode_some(user, NULL, begin, count);
}

static void encode_asking(void *user, struct iqt_batch *batch, size_t row)
{
    encode_some(user, batch, row, 1);
}

/* Rows of a part, on all threads or, where a device finds seeds, all at once. */
static enum iqt_status encode_part(const struct iqt_run *run, struct part *p,
                                   size_t count)
{
    if (iqt_encoder_asks(p->job->encoder))
        IQT_TRY(iqt_batch_run(p->job->encoder, count, encode_asking, p));
    else
        iqt_pool_run(run->pool, encode_rows, p, count, 1);
    return p->status == IQT_OK ? IQT_OK : iqt_fail(p->status, "%s", p->text);
}

/* Progress over all tensors. */
struct progress {
    const struct iqt_run *run;
    uint64_t done; /* weights */
};

static void show(const struct progress *at, const struct iqt_job *job)
{
    char name[96], what[128];

    iqt_escape(name, sizeof name, job->from.name, job->from.name_bytes);
    snprintf(what, sizeof what, "quantize %s", name);
    iqt_cli_progress(what, at->done, at->run->jobs->weights);
}

/* What was encoded goes out; its errors are added up by row. */
static enum iqt_status finish_part(struct progress *at, const struct part *p,
                                   struct iqt_job *job, size_t count)
{
    const struct iqt_run *run = at->run;

    for (size_t i = 0; i < count; i++) {
        job->loss.missed += p->loss[i].missed;
        job->loss.all += p->loss[i].all;
        iqt_worst_add(&job->worst, p->first + i,
                      iqt_relative_error(p->loss[i].missed, p->loss[i].all));
    }
    if (p->together != NULL)
        IQT_TRY(iqt_rows_interleave(job->to, count, p->k, p->out, p->together));
    IQT_TRY(iqt_gguf_writer_data(run->to, p->together != NULL ? p->together : p->out,
                                 count * p->to_bytes));
    iqt_gguf_release(run->from, &job->from, p->first * p->from_bytes,
                     count * p->from_bytes);
    at->done += (uint64_t)count * p->k;
    return iqt_journal_note(run->journal, run->jobs, run->to, false);
}

/* The mean of the diagonal that is added to it, as GPTQ does. */
#define DAMPING 0.01

/* The factors of the matrix that row p->first is in, made anew where a matrix begins. */
static enum iqt_status load_feedback(const struct progress *at, struct part *p)
{
    const struct iqt_second_entry *e = p->job->second;
    const size_t matrix =
        p->first / (size_t)p->job->from.ne[1] % (e != NULL ? e->matrices : 1);
    char name[96];
    enum iqt_status status;

    if (e == NULL || iqt_format_base(p->job->to)->decode == IQT_DECODE_FLOAT ||
        (p->feedback != NULL && p->first % p->job->from.ne[1] != 0))
        return IQT_OK;
    iqt_feedback_destroy(p->feedback);
    p->feedback = NULL;
    status = iqt_feedback_create(e->columns, e->window,
                                 e->sum + 4 * matrix * e->columns * e->window, DAMPING,
                                 at->run->pool, &p->feedback);
    if (status != IQT_ERR_FORMAT)
        return status;
    iqt_escape(name, sizeof name, e->name, strlen(e->name));
    return iqt_fail(status, "tensor %s, matrix %zu: %s", name, matrix, iqt_last_error());
}

/* Rows of one matrix, as many as a part has. */
static size_t rows_of_part(const struct part *p, size_t rows, size_t part_rows)
{
    const size_t matrix = (size_t)p->job->from.ne[1], left = matrix - p->first % matrix;
    const size_t most = p->job->second != NULL && left < part_rows ? left : part_rows;

    return rows - p->first < most ? rows - p->first : most;
}

static enum iqt_status encode_parts(struct progress *at, struct part *p,
                                    struct iqt_job *job, size_t rows, size_t part_rows)
{
    for (size_t count; p->first < rows; p->first += count) {
        count = rows_of_part(p, rows, part_rows);
        show(at, job);
        IQT_TRY(load_feedback(at, p));
        IQT_TRY(encode_part(at->run, p, count));
        IQT_TRY(finish_part(at, p, job, count));
    }
    return IQT_OK;
}

static enum iqt_status load_importance(struct part *p)
{
    const size_t matrices = (size_t)p->job->from.ne[2];

    if (p->job->importance == NULL)
        return IQT_OK;
    p->importance = malloc(matrices * p->k * sizeof *p->importance);
    if (p->importance == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu x %zu columns", matrices,
                        p->k);
    iqt_imatrix_means(p->job->importance, p->k, matrices, p->importance);
    return IQT_OK;
}

/* Rows that are encoded between two looks at Ctrl-C; a device wants as many as can ask it at once. */
static size_t part_rows_of(const struct iqt_job *job, size_t k)
{
    const size_t some = PART_WEIGHTS / k, whole = some / IQT_UNIT_ROWS * IQT_UNIT_ROWS;
    const size_t least =
        iqt_encoder_asks(job->encoder) ? IQT_ROWS_AT_ONCE : IQT_UNIT_ROWS;

    static_assert(IQT_ROWS_AT_ONCE % IQT_UNIT_ROWS == 0, "whole units");
    return whole > least ? whole : least;
}

/* done: bytes that an earlier run has written. */
static enum iqt_status encode_tensor(struct progress *at, struct iqt_job *job,
                                     uint64_t done)
{
    const size_t k = (size_t)job->from.ne[0], rows = (size_t)iqt_gguf_rows(&job->from);
    const size_t most = part_rows_of(job, k), part_rows = rows < most ? rows : most;
    struct part p = { .job = job, .k = k };
    enum iqt_status status;

    IQT_TRY(iqt_format_row_bytes(job->from.format, k, &p.from_bytes));
    IQT_TRY(iqt_format_row_bytes(job->to, k, &p.to_bytes));
    IQT_TRY(load_importance(&p));
    p.first = (size_t)(done / p.to_bytes);
    at->done += (uint64_t)p.first * k;
    p.out = malloc(part_rows * p.to_bytes);
    p.loss = malloc(part_rows * sizeof *p.loss);
    if (job->to->base_type != 0)
        p.together = malloc(part_rows * p.to_bytes);
    pthread_mutex_init(&p.lock, NULL);
    status =
        p.out != NULL && p.loss != NULL && (p.together != NULL || job->to->base_type == 0)
            ? encode_parts(at, &p, job, rows, part_rows)
            : iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu rows of %zu weights",
                       part_rows, k);
    pthread_mutex_destroy(&p.lock);
    free(p.loss);
    free(p.together);
    free(p.out);
    free(p.importance);
    iqt_feedback_destroy(p.feedback);
    return status;
}

static enum iqt_status copy_tensor(const struct iqt_run *run, const struct iqt_job *job,
                                   uint64_t done)
{
    for (uint64_t at = done; at < job->bytes; at += COPY_BYTES) {
        const uint64_t left = job->bytes - at;
        const size_t some = left < COPY_BYTES ? (size_t)left : COPY_BYTES;

        if (iqt_cli_interrupted())
            return iqt_fail(IQT_ERR_INTERRUPTED, "interrupted");
        IQT_TRY(
            iqt_gguf_writer_data(run->to, (const uint8_t *)job->from.data + at, some));
        iqt_gguf_release(run->from, &job->from, at, some);
        IQT_TRY(iqt_journal_note(run->journal, run->jobs, run->to, false));
    }
    return IQT_OK;
}

enum iqt_status iqt_jobs_run(struct iqt_run *run)
{
    struct progress at = { .run = run };
    enum iqt_status status = IQT_OK;

    for (size_t i = 0; i < run->jobs->count && status == IQT_OK; i++) {
        struct iqt_job *job = &run->jobs->job[i];
        const uint64_t done = i < run->start.tensor    ? job->bytes
                              : i == run->start.tensor ? run->start.bytes
                                                       : 0;

        if (done == 0)
            job->worst = iqt_worst_none;
        status = job->encoder != NULL ? encode_tensor(&at, job, done)
                                      : copy_tensor(run, job, done);
    }
    iqt_cli_progress_hide();
    return status;
}
