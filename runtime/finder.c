/* Seeds of trellises found by a GPU's kernel: queries become jobs of one table each, a bounded number of them a
 * launch, in buffers that are made once. Knows nothing of encoders. */
#include "runtime/runtime.h"

#include "codegen/codegen.h"

#include <iqtile/quant.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUERIES = IQT_FIND_QUERIES,
    MOST_GROUP = 8, /* weights of a seed */
    MOST_JOBS = 1024,
    MOST_GROUPS = 4096, /* workgroups of a launch */
    GROUPS_A_UNIT = 8,  /* that a compute unit is to have */
    LEAST_SEEDS = 16,   /* of a thread, against what starting a workgroup costs */
    UNITS_UNKNOWN = 64,
    NOBODY = UINT32_MAX /* an answer that fills up a job */
};

struct iqt_finder {
    struct iqt_device *dev;
    pthread_mutex_t lock; /* guards everything below */
    struct iqt_stream *stream;
    struct iqt_mem *from, *to;
    uint32_t *job; /* the host's side of both */
    struct iqt_find_answer *answer;
    uint64_t *asker; /* of each query in job: its number in the call, or NOBODY */
    size_t queries;  /* in job */
};

static uint64_t most_job_bytes(void)
{
    return (uint64_t)MOST_JOBS * iqt_find_job_words(MOST_GROUP) * sizeof(uint32_t);
}

static const uint64_t answer_bytes =
    MOST_GROUPS * QUERIES * sizeof(struct iqt_find_answer);

static enum iqt_helper helper_of(const struct iqt_trellis *t)
{
    assert(t->group == 4 || t->group == MOST_GROUP);
    return t->group == 4 ? IQT_HELPER_FIND4 : IQT_HELPER_FIND8;
}

/* ---- Jobs ---- */

/* A query of nothing fills up a job. */
static void put_query(struct iqt_finder *f, const struct iqt_format *format,
                      const struct iqt_seed_query *q, bool table, uint64_t asker)
{
    const uint32_t group = format->trellis->group, n = f->queries % QUERIES;
    uint32_t *job = f->job + f->queries / QUERIES * iqt_find_job_words(group);
    uint32_t *y = job + IQT_FIND_HEAD + n * group, *w = y + QUERIES * group;

    if (n == 0)
        memset(job, 0, IQT_FIND_HEAD * sizeof *job);
    job[0] = iqt_seed_first(format, table);
    if (q != NULL) {
        memcpy(y, q->y, group * sizeof *y);
        memcpy(w, q->w, group * sizeof *w);
    } else {
        memset(y, 0, group * sizeof *y);
        memset(w, 0, group * sizeof *w);
    }
    f->asker[f->queries++] = asker;
}

/* Into how many parts a table is cut, so that few jobs keep a device busy, too. */
static uint32_t parts_of(const struct iqt_finder *f, uint32_t jobs, uint32_t seeds,
                         uint32_t threads)
{
    const uint32_t units = f->dev->info.compute_units;
    const uint32_t wanted = GROUPS_A_UNIT * (units > 0 ? units : UNITS_UNKNOWN);
    uint32_t parts = 1;

    while (jobs * parts < wanted && 2 * jobs * parts <= MOST_GROUPS &&
           seeds / parts >= 2 * LEAST_SEEDS * threads)
        parts *= 2;
    return parts;
}

static enum iqt_status launch(struct iqt_finder *f, const struct iqt_format *format,
                              uint32_t jobs, uint32_t parts)
{
    const struct iqt_backend *backend = f->dev->backend;
    const struct iqt_trellis *t = format->trellis;
    const uint64_t bytes = (uint64_t)jobs * iqt_find_job_words(t->group) * sizeof *f->job;
    const struct iqt_find_params params = { .jobs = jobs,
                                            .parts = parts,
                                            .seeds = iqt_seed_count(format) / parts,
                                            .multiplier = t->multiplier,
                                            .mask = t->mask,
                                            .centre = (uint32_t)t->centre,
                                            .magnitude = t->magnitude };
    struct iqt_launch l = {
        .bind = { [IQT_BIND_W] = { .mem = f->from, .bytes = bytes },
                  [IQT_BIND_Y] = { .mem = f->to, .bytes = answer_bytes } },
        .params = &params,
        .params_bytes = sizeof params,
        .groups = jobs * parts,
    };
    const struct iqt_built *built;

    IQT_TRY(iqt_helper_get(f->dev, helper_of(t), &built));
    l.kernel = built->kernel;
    IQT_TRY(backend->write(f->stream, f->from, 0, f->job, bytes));
    IQT_TRY(backend->launch(f->stream, &l));
    IQT_TRY(backend->finish(f->stream, NULL));
    return backend->read(f->stream, f->to, 0, f->answer,
                         (uint64_t)l.groups * QUERIES * sizeof *f->answer);
}

/* Of a query in a job: the nearest of all parts, which are in the order of codes. */
static uint32_t code_of(const struct iqt_finder *f, size_t query, uint32_t parts)
{
    const struct iqt_find_answer *a =
        f->answer + query / QUERIES * parts * QUERIES + query % QUERIES;
    struct iqt_find_answer best = *a;

    for (uint32_t part = 1; part < parts; part++)
        if (a[part * QUERIES].distance < best.distance)
            best = a[part * QUERIES];
    return best.code;
}

/* Answers what is in jobs, if anything is. */
static enum iqt_status flush(struct iqt_finder *f, const struct iqt_format *format,
                             uint32_t *code)
{
    const size_t queries = f->queries;
    const uint32_t jobs = (uint32_t)(queries / QUERIES), seeds = iqt_seed_count(format);
    const uint32_t parts =
        parts_of(f, jobs, seeds, iqt_helper_threads(helper_of(format->trellis)));

    f->queries = 0;
    if (queries == 0)
        return IQT_OK;
    IQT_TRY(launch(f, format, jobs, parts));
    for (size_t i = 0; i < queries; i++) {
        const uint32_t found = code_of(f, i, parts);

        if (found >= seeds)
            return iqt_fail(IQT_ERR_DEVICE,
                            "%s: the search for seeds of %s answered %u, expected a code "
                            "below %u",
                            f->dev->info.spec, format->name, found, seeds);
        if (f->asker[i] != NOBODY)
            code[f->asker[i]] = found;
    }
    return IQT_OK;
}

/* The queries of a table; the last job is filled up. */
static enum iqt_status find_table(struct iqt_finder *f, const struct iqt_format *format,
                                  bool table, size_t count,
                                  const struct iqt_seed_query *query, uint32_t *code)
{
    for (size_t i = 0; i < count; i++) {
        if ((query[i].table != 0) != table)
            continue;
        if (f->queries == MOST_JOBS * QUERIES)
            IQT_TRY(flush(f, format, code));
        put_query(f, format, &query[i], table, i);
    }
    while (f->queries % QUERIES != 0)
        put_query(f, format, NULL, table, NOBODY);
    return IQT_OK;
}

/* ---- Calls ---- */

static enum iqt_status check_finder(const struct iqt_finder *f,
                                    const struct iqt_format *format, size_t count,
                                    const struct iqt_seed_query *query,
                                    const uint32_t *code)
{
    if (f == NULL || format == NULL || (count > 0 && (query == NULL || code == NULL)))
        return iqt_fail(IQT_ERR_ARG,
                        "iqt_finder_find: finder, format, queries or codes are NULL");
    if (format->trellis == NULL)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "%s has no seeds to find, expected a trellis format",
                        format->name);
    if (count >= NOBODY)
        return iqt_fail(IQT_ERR_ARG,
                        "iqt_finder_find: %zu queries, expected less than %u", count,
                        NOBODY);
    return IQT_OK;
}

enum iqt_status iqt_finder_find(void *finder, const struct iqt_format *format,
                                size_t count, const struct iqt_seed_query *query,
                                uint32_t *code)
{
    struct iqt_finder *f = finder;
    enum iqt_status status = IQT_OK;

    IQT_TRY(check_finder(f, format, count, query, code));
    pthread_mutex_lock(&f->lock);
    f->queries = 0;
    for (int table = 0; table < 2 && status == IQT_OK; table++)
        status = find_table(f, format, table != 0, count, query, code);
    if (status == IQT_OK)
        status = flush(f, format, code);
    pthread_mutex_unlock(&f->lock);
    return status;
}

static enum iqt_status start(struct iqt_finder *f)
{
    const struct iqt_backend *backend = f->dev->backend;
    const struct iqt_built *built;

    /* Compilers are missed here, and not in the middle of a model. */
    IQT_TRY(iqt_helper_get(f->dev, IQT_HELPER_FIND4, &built));
    IQT_TRY(iqt_helper_get(f->dev, IQT_HELPER_FIND8, &built));
    f->job = malloc(most_job_bytes());
    f->answer = malloc(answer_bytes);
    f->asker = malloc(MOST_JOBS * QUERIES * sizeof *f->asker);
    if (f->job == NULL || f->answer == NULL || f->asker == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %d jobs of a search for seeds",
                        MOST_JOBS);
    IQT_TRY(backend->stream_create(f->dev->hw, &f->stream));
    IQT_TRY(backend->alloc(f->dev->hw, most_job_bytes(), NULL, &f->from));
    return backend->alloc(f->dev->hw, answer_bytes, NULL, &f->to);
}

enum iqt_status iqt_finder_create(struct iqt_device *dev, struct iqt_finder **out)
{
    struct iqt_finder *f;
    enum iqt_status status;

    if (dev == NULL || out == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_finder_create: %s is NULL",
                        dev == NULL ? "device" : "output");
    if (dev->backend->dialect == IQT_DIALECT_HOST)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "%s has no kernel that finds seeds, expected a device of cuda, "
                        "hip or vulkan",
                        dev->info.spec);
    f = calloc(1, sizeof *f);
    if (f == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a search for seeds");
    f->dev = dev;
    pthread_mutex_init(&f->lock, NULL);
    status = start(f);
    if (status != IQT_OK) {
        iqt_finder_destroy(f);
        return status;
    }
    *out = f;
    return IQT_OK;
}

void iqt_finder_destroy(struct iqt_finder *f)
{
    if (f == NULL)
        return;
    if (f->from != NULL)
        f->dev->backend->free(f->dev->hw, f->from);
    if (f->to != NULL)
        f->dev->backend->free(f->dev->hw, f->to);
    if (f->stream != NULL)
        f->dev->backend->stream_destroy(f->stream);
    pthread_mutex_destroy(&f->lock);
    free(f->job);
    free(f->answer);
    free(f->asker);
    free(f);
}
