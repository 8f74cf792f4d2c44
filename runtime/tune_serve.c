/* The worker's side of tuning: answers requests one by one with what the trial says. Runs in a
 * process of its own, which the parent may kill at any time. */
#include "runtime/tune_worker.h"

#include "runtime/tune_trial.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct server {
    FILE *in, *out;
    struct iqt_context *ctx;
    struct iqt_device *dev;
    struct iqt_trial *trial;
    void *weights;
    size_t bytes;
};

struct answer {
    enum iqt_validity verdict;
    uint64_t ns;
};

static enum iqt_status map_weights(struct server *s)
{
    struct stat info;

    if (fstat(IQT_WORKER_WEIGHTS_FD, &info) != 0 || info.st_size <= 0)
        return iqt_fail(IQT_ERR_IO, "the tuning worker got no weights");
    void *data =
        mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, IQT_WORKER_WEIGHTS_FD, 0);
    if (data == MAP_FAILED)
        return iqt_fail(IQT_ERR_NO_MEMORY, "cannot map %lld bytes of weights",
                        (long long)info.st_size);
    s->weights = data;
    s->bytes = (size_t)info.st_size;
    return IQT_OK;
}

static enum iqt_status open_device(struct server *s, const char *spec, const char *cache,
                                   int threads)
{
    const struct iqt_context_options options = {
        .struct_size = sizeof options,
        .db_path = "",
        .cache_dir = cache,
        .cpu_threads = (uint32_t)threads,
    };

    IQT_TRY(iqt_context_create(&options, &s->ctx));
    IQT_TRY(iqt_device_open(s->ctx, spec, &s->dev));
    return iqt_trial_create(s->dev, &s->trial);
}

/* The one load of a process: a new job gets a new process. */
static enum iqt_status load(struct server *s, json_t *request, struct answer *answer)
{
    const char *spec, *cache, *format;
    struct iqt_tune_job job = { 0 };
    int threads, op, n;
    json_int_t m, k;
    size_t row_bytes;

    (void)answer;
    if (s->trial ||
        json_unpack(request, "{s:s, s:s, s:i, s:s, s:i, s:i, s:I, s:I}", "device", &spec,
                    "cache", &cache, "threads", &threads, "format", &format, "op", &op,
                    "n", &n, "m", &m, "k", &k) != 0)
        return iqt_fail(IQT_ERR_INTERNAL, "the tuning worker got a bad request");
    job.format = iqt_format_find(format);
    job.op = op == IQT_OP_GATED ? IQT_OP_GATED : IQT_OP_MATVEC;
    job.n = (uint32_t)n;
    job.m = (size_t)m;
    job.k = (size_t)k;
    IQT_TRY(map_weights(s));
    IQT_TRY(iqt_format_row_bytes(job.format, job.k, &row_bytes));
    if (s->bytes != job.m * row_bytes)
        return iqt_fail(IQT_ERR_INTERNAL, "the tuning worker got %zu bytes, expected %zu",
                        s->bytes, job.m * row_bytes);
    IQT_TRY(open_device(s, spec, cache, threads));
    return iqt_trial_load(s->trial, &job, s->weights);
}

static enum iqt_status verify(struct server *s, json_t *request, struct answer *answer)
{
    struct iqt_plan plan;

    IQT_TRY(iqt_plan_parse(json_string_value(json_object_get(request, "plan")), &plan));
    return iqt_trial_verify(s->trial, &plan, &answer->verdict);
}

static enum iqt_status measure(struct server *s, json_t *request, struct answer *answer)
{
    const json_int_t iterations =
        json_integer_value(json_object_get(request, "iterations"));
    struct iqt_plan plan;

    IQT_TRY(iqt_plan_parse(json_string_value(json_object_get(request, "plan")), &plan));
    return iqt_trial_measure(s->trial, &plan, (uint32_t)iterations,
                             json_is_true(json_object_get(request, "rotate")),
                             &answer->ns, &answer->verdict);
}

static const struct verb {
    const char *name;
    enum iqt_status (*run)(struct server *s, json_t *request, struct answer *answer);
    bool needs_trial; /* and a plan */
} verbs[] = {
    { "load", load, false },
    { "verify", verify, true },
    { "measure", measure, true },
};

static enum iqt_status serve_one(struct server *s, json_t *request, struct answer *answer)
{
    const char *name = json_string_value(json_object_get(request, "do"));

    for (size_t i = 0; name && i < IQT_COUNT(verbs); i++) {
        if (strcmp(verbs[i].name, name) != 0)
            continue;
        if (verbs[i].needs_trial &&
            (!s->trial || !json_is_string(json_object_get(request, "plan"))))
            break;
        return verbs[i].run(s, request, answer);
    }
    return iqt_fail(IQT_ERR_INTERNAL, "the tuning worker got a bad request");
}

static bool reply(struct server *s, enum iqt_status status, const struct answer *answer)
{
    const bool good = status == IQT_OK && answer->verdict == IQT_VALID_CORRECT;
    json_t *text = json_string(good ? "" : iqt_last_error());
    json_t *line =
        json_pack("{s:i, s:s, s:o, s:I}", "status", (int)status, "validity",
                  iqt_validity_name(answer->verdict), "text",
                  text ? text : json_string("?"), "ns", (json_int_t)answer->ns);
    const bool sent = line && json_dumpf(line, s->out, JSON_COMPACT) == 0 &&
                      fputc('\n', s->out) != EOF && fflush(s->out) == 0;

    json_decref(line);
    return sent;
}

static void serve_all(struct server *s)
{
    char *line = NULL;
    size_t capacity = 0;
    bool going = true;

    while (going && getline(&line, &capacity, s->in) > 0) {
        struct answer answer = { .verdict = IQT_VALID_CORRECT };
        json_t *request = json_loads(line, 0, NULL);

        going = reply(s, serve_one(s, request, &answer), &answer);
        json_decref(request);
    }
    free(line);
}

enum iqt_status iqt_worker_serve(void)
{
    struct server s = { 0 };
    /* What drivers print must not end up among the replies. */
    const int out = dup(STDOUT_FILENO);

    if (out < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return iqt_fail(IQT_ERR_IO, "the tuning worker has no standard output");
    s.in = stdin;
    s.out = fdopen(out, "w");
    if (!s.out) {
        close(out);
        return iqt_fail(IQT_ERR_IO, "the tuning worker has no standard output");
    }
    serve_all(&s);
    iqt_trial_destroy(s.trial);
    iqt_device_close(s.dev);
    iqt_context_destroy(s.ctx);
    if (s.weights)
        munmap(s.weights, s.bytes);
    fclose(s.out);
    return IQT_OK;
}
