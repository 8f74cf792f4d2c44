/* iqtile quantize: writes a GGUF file anew with its matrices in another type. Recipes that mix types are
 * not here yet: --pure gives all of them one type. */
#include "tools/cli.h"
#include "tools/quantize.h"

#include <stdlib.h>
#include <string.h>

struct quantize_opts {
    bool pure, dry_run, requantize;
    const char *split;
    uint32_t threads;
};

static const struct iqt_opt quantize_opts[] = {
    { "pure", IQT_OPT_FLAG, NULL,
      "every matrix gets TYPE; needed, since recipes are not here yet",
      offsetof(struct quantize_opts, pure) },
    { "dry-run", IQT_OPT_FLAG, NULL,
      "print what would become of each tensor, write nothing",
      offsetof(struct quantize_opts, dry_run) },
    { "allow-requantize", IQT_OPT_FLAG, NULL, "take quantized tensors as the source, too",
      offsetof(struct quantize_opts, requantize) },
    { "split-max-size", IQT_OPT_STRING, "SIZE",
      "write a set of files of at most this size: 500M, 4G, 3GiB",
      offsetof(struct quantize_opts, split) },
    { "threads", IQT_OPT_U32, "N", "threads (0 or left out: one per usable core)",
      offsetof(struct quantize_opts, threads) },
    { 0 },
};

static bool parse_size(const char *text, uint64_t *out)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {
        { "M", 1000000 }, { "G", 1000000000 }, { "MiB", 1u << 20 }, { "GiB", 1u << 30 }
    };
    const size_t digits = strspn(text, "0123456789");
    const unsigned long long value = digits < 10 ? strtoull(text, NULL, 10) : 0;

    for (size_t i = 0; i < IQT_COUNT(units); i++)
        if (strcmp(text + digits, units[i].name) == 0)
            *out = value * units[i].bytes;
    return digits > 0 && value > 0 && *out > 0;
}

static enum iqt_status write_file(struct iqt_jobs *jobs, const struct iqt_encoder *e,
                                  const struct quantize_opts *o, const char *path,
                                  uint64_t split, struct iqt_gguf_writer *w)
{
    struct iqt_pool *pool;
    enum iqt_status status = iqt_gguf_writer_begin(w, path, split);

    if (status != IQT_OK)
        return status;
    pool = iqt_pool_create(o->threads);
    status = iqt_jobs_run(jobs, e, pool, w);
    iqt_pool_destroy(pool);
    return status == IQT_OK ? iqt_gguf_writer_commit(w) : status;
}

static enum iqt_status quantize(const struct quantize_opts *o, const struct iqt_format *f,
                                const struct iqt_gguf *g, const char *path,
                                uint64_t split)
{
    struct iqt_encoder *e = NULL;
    struct iqt_gguf_writer *w = NULL;
    struct iqt_jobs jobs = { 0 };
    enum iqt_status status = iqt_encoder_create(f, &e);

    if (status == IQT_OK)
        status = iqt_jobs_create(g, f, o->requantize, &jobs);
    if (status == IQT_OK)
        status = iqt_gguf_writer_create(&w);
    if (status == IQT_OK)
        status = iqt_jobs_describe(&jobs, g, f, w);
    if (status == IQT_OK && !o->dry_run)
        status = write_file(&jobs, e, o, path, split, w);
    if (status == IQT_OK)
        iqt_jobs_print(&jobs, !o->dry_run);
    iqt_gguf_writer_destroy(w);
    iqt_jobs_free(&jobs);
    iqt_encoder_destroy(e);
    return status;
}

static int run(const void *opts, int count, char **args)
{
    const struct quantize_opts *o = opts;
    const struct iqt_format *f;
    struct iqt_gguf *g;
    uint64_t split = 0;
    enum iqt_status status;

    (void)count;
    if (!o->pure)
        return iqt_cli_usage(
            "quantize knows no recipes yet: give --pure for one type for "
            "all matrices");
    if (o->split != NULL && !parse_size(o->split, &split))
        return iqt_cli_usage(
            "--split-max-size needs a size such as 500M, 4G or 3GiB, got '%s'", o->split);
    status = iqt_cli_format(args[2], &f);
    if (status != IQT_OK)
        return iqt_cli_fail(status);
    iqt_cli_catch_interrupts();
    status = iqt_gguf_open(args[0], &g);
    if (status != IQT_OK)
        return iqt_cli_fail(status);
    status = quantize(o, f, g, args[1], split);
    iqt_gguf_close(g);
    return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
}

const struct iqt_command iqt_cmd_quantize = {
    .name = "quantize",
    .usage = "IN OUT TYPE --pure [options]",
    .summary = "write a GGUF file with its matrices in another type",
    .opts = quantize_opts,
    .opts_bytes = sizeof(struct quantize_opts),
    .min_args = 3,
    .max_args = 3,
    .run = run,
};
