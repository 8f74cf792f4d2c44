/* Encodes the tensors of a file on all threads, a bounded part at a time, and streams them into the new
 * file. The bytes do not depend on the number of threads, nor do the errors: they are kept by row. */
#include "tools/cli.h"
#include "tools/quantize.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    PART_WEIGHTS = 1 << 17, /* between two looks at Ctrl-C */
    COPY_BYTES = 16 << 20,
    TEXT = 256,
};

/* Rows [first, first + count) of a tensor. */
struct part {
    const struct iqt_encoder *encoder;
    const struct iqt_job *job;
    size_t k, from_bytes, to_bytes; /* of a row */
    size_t first;
    uint8_t *out;
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

static enum iqt_status encode_one(struct part *p, size_t row, float *x,
                                  struct iqt_row_work *work)
{
    const uint8_t *from =
        (const uint8_t *)p->job->from.data + (p->first + row) * p->from_bytes;
    uint8_t *to = p->out + row * p->to_bytes;

    IQT_TRY(iqt_decode_row(p->job->from.format, from, p->k, IQT_DECODE_COMPUTE, x));
    IQT_TRY(check_finite(p, row, x));
    iqt_encode_row(p->encoder, p->k, x, NULL, work, to);
    p->loss[row] = iqt_row_loss(p->job->to, p->k, x, NULL, to, work);
    return IQT_OK;
}

static void encode_rows(void *user, size_t begin, size_t count)
{
    struct part *p = user;
    struct iqt_row_work work = { 0 };
    float *x = malloc(p->k * sizeof *x);
    enum iqt_status status = iqt_row_work_create(p->job->to, p->k, &work);

    if (status == IQT_OK && x == NULL)
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for rows of %zu weights", p->k);
    if (status != IQT_OK)
        report(p, begin, status);
    for (size_t row = begin; row < begin + count && status == IQT_OK; row++) {
        status = iqt_cli_interrupted()
                     ? iqt_fail(IQT_ERR_INTERRUPTED, "interrupted; nothing was written")
                     : encode_one(p, row, x, &work);
        if (status != IQT_OK)
            report(p, row, status);
    }
    iqt_row_work_free(&work);
    free(x);
}

struct run {
    struct iqt_pool *pool;
    struct iqt_gguf_writer *writer;
    uint64_t done, weights; /* progress over all tensors */
};

static void show(const struct run *r, const struct iqt_job *job)
{
    char name[96], what[128];

    iqt_escape(name, sizeof name, job->from.name, job->from.name_bytes);
    snprintf(what, sizeof what, "quantize %s", name);
    iqt_cli_progress(what, r->done, r->weights);
}

static enum iqt_status encode_parts(struct run *r, struct part *p, struct iqt_job *job,
                                    size_t rows, size_t part_rows)
{
    for (; p->first < rows; p->first += part_rows) {
        const size_t count = rows - p->first < part_rows ? rows - p->first : part_rows;

        show(r, job);
        iqt_pool_run(r->pool, encode_rows, p, count, 1);
        if (p->status != IQT_OK)
            return iqt_fail(p->status, "%s", p->text);
        for (size_t i = 0; i < count; i++) {
            job->loss.missed += p->loss[i].missed;
            job->loss.all += p->loss[i].all;
        }
        IQT_TRY(iqt_gguf_writer_data(r->writer, p->out, count * p->to_bytes));
        r->done += (uint64_t)count * p->k;
    }
    return IQT_OK;
}

static enum iqt_status encode_tensor(struct run *r, struct iqt_job *job,
                                     const struct iqt_encoder *e)
{
    const size_t k = (size_t)job->from.ne[0], rows = (size_t)iqt_gguf_rows(&job->from);
    const size_t most = k < PART_WEIGHTS ? PART_WEIGHTS / k : 1;
    const size_t part_rows = rows < most ? rows : most;
    struct part p = { .encoder = e, .job = job, .k = k };
    enum iqt_status status;

    IQT_TRY(iqt_format_row_bytes(job->from.format, k, &p.from_bytes));
    IQT_TRY(iqt_format_row_bytes(job->to, k, &p.to_bytes));
    p.out = malloc(part_rows * p.to_bytes);
    p.loss = malloc(part_rows * sizeof *p.loss);
    pthread_mutex_init(&p.lock, NULL);
    status = p.out != NULL && p.loss != NULL
                 ? encode_parts(r, &p, job, rows, part_rows)
                 : iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu rows of %zu weights",
                            part_rows, k);
    pthread_mutex_destroy(&p.lock);
    free(p.loss);
    free(p.out);
    return status;
}

static enum iqt_status copy_tensor(struct run *r, const struct iqt_job *job)
{
    for (uint64_t at = 0; at < job->bytes; at += COPY_BYTES) {
        const uint64_t left = job->bytes - at;

        if (iqt_cli_interrupted())
            return iqt_fail(IQT_ERR_INTERRUPTED, "interrupted; nothing was written");
        IQT_TRY(iqt_gguf_writer_data(r->writer, (const uint8_t *)job->from.data + at,
                                     left < COPY_BYTES ? (size_t)left : COPY_BYTES));
    }
    return IQT_OK;
}

enum iqt_status iqt_jobs_run(struct iqt_jobs *jobs, const struct iqt_encoder *e,
                             struct iqt_pool *pool, struct iqt_gguf_writer *w)
{
    struct run r = { .pool = pool, .writer = w, .weights = jobs->weights };
    enum iqt_status status = IQT_OK;

    for (size_t i = 0; i < jobs->count && status == IQT_OK; i++)
        status = jobs->job[i].to != NULL ? encode_tensor(&r, &jobs->job[i], e)
                                         : copy_tensor(&r, &jobs->job[i]);
    iqt_cli_progress_hide();
    return status;
}
