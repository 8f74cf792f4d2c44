/* iqtile imatrix: what importance matrices hold, in another form, summed, and made from activations or a text. */
#include "tools/cli.h"
#include "tools/imatrix.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_SIZE = 512,
    ANY = 1 << 20
}; /* the context that llama.cpp's tool has by default */

struct imatrix_opts {
    const char *out, *form, *second;
    uint32_t chunk_size, windows, threads, columns;
};

static const struct iqt_opt imatrix_opts[] = {
    { "o", IQT_OPT_STRING, "OUT", "file to write", offsetof(struct imatrix_opts, out) },
    { "form", IQT_OPT_STRING, "FORM",
      "gguf or legacy; left out: gguf for names that end in .gguf",
      offsetof(struct imatrix_opts, form) },
    { "chunk-size", IQT_OPT_U32, "N",
      "inputs of a chunk of text, where a file does not say it (512)",
      offsetof(struct imatrix_opts, chunk_size) },
    { "windows", IQT_OPT_U32, "N", "collect: only the first chunks of the text (all)",
      offsetof(struct imatrix_opts, windows) },
    { "second-order", IQT_OPT_STRING, "FILE",
      "make, collect: also write second-order statistics, for quantize --second-order",
      offsetof(struct imatrix_opts, second) },
    { "columns", IQT_OPT_U32, "N",
      "of a block of second-order statistics, a multiple of 256 (1024)",
      offsetof(struct imatrix_opts, columns) },
    { "threads", IQT_OPT_U32, "N",
      "collect: threads (0 or left out: one per usable core)",
      offsetof(struct imatrix_opts, threads) },
    { 0 },
};

static uint32_t chunk_size(const struct imatrix_opts *o)
{
    return o->chunk_size > 0 ? o->chunk_size : CHUNK_SIZE;
}

static bool find_form(const struct imatrix_opts *o, enum iqt_imatrix_form *form)
{
    const size_t bytes = strlen(o->out);
    const bool gguf = bytes > 5 && strcmp(o->out + bytes - 5, ".gguf") == 0;

    *form = gguf ? IQT_IMATRIX_GGUF : IQT_IMATRIX_LEGACY;
    if (o->form == NULL)
        return true;
    *form = strcmp(o->form, "gguf") == 0 ? IQT_IMATRIX_GGUF : IQT_IMATRIX_LEGACY;
    return *form == IQT_IMATRIX_GGUF || strcmp(o->form, "legacy") == 0;
}

static enum iqt_status write_out(const struct imatrix_opts *o, struct iqt_imatrix *m)
{
    enum iqt_imatrix_form form;
    size_t dropped;

    if (!find_form(o, &form))
        return iqt_fail(IQT_ERR_UNKNOWN, "unknown form '%s'; the forms are gguf legacy",
                        o->form);
    if (form == IQT_IMATRIX_GGUF)
        IQT_TRY(iqt_imatrix_to_inputs(m, chunk_size(o)));
    IQT_TRY(iqt_imatrix_write(m, o->out, form, chunk_size(o), &dropped));
    if (dropped > 0)
        fprintf(stderr,
                "iqtile: %zu tensors are left out: 5 %% or more of their experts have no "
                "inputs, which the legacy form cannot say\n",
                dropped);
    return IQT_OK;
}

/* ---- Verbs ---- */

static enum iqt_status open_model(const char *path, struct iqt_gguf **out)
{
    *out = NULL;
    return path != NULL ? iqt_gguf_open(path, out) : IQT_OK;
}

/* What cannot be opened as a GGUF file is none of those: legacy matrices are not. */
static bool is_second(const char *path)
{
    struct iqt_gguf *g;
    bool is;

    if (iqt_gguf_open(path, &g) != IQT_OK)
        return false;
    is = iqt_second_is(g);
    iqt_gguf_close(g);
    return is;
}

static enum iqt_status print_first(const char *path, const struct iqt_gguf *model,
                                   size_t *defects)
{
    struct iqt_imatrix *m;

    IQT_TRY(iqt_imatrix_read(path, &m));
    *defects = iqt_imatrix_print(m, model);
    iqt_imatrix_destroy(m);
    return IQT_OK;
}

static enum iqt_status print_second(const char *path, const struct iqt_gguf *model,
                                    size_t *defects)
{
    struct iqt_second *s;

    IQT_TRY(iqt_second_read(path, &s));
    *defects = iqt_second_print(s, model);
    iqt_second_destroy(s);
    return IQT_OK;
}

static enum iqt_status info(const struct imatrix_opts *o, int count, char **args)
{
    struct iqt_gguf *model;
    enum iqt_status status;
    size_t defects = 0;

    (void)o;
    IQT_TRY(open_model(count > 1 ? args[1] : NULL, &model));
    status = (is_second(args[0]) ? print_second : print_first)(args[0], model, &defects);
    if (status == IQT_OK && defects > 0)
        status = iqt_fail(IQT_ERR_FORMAT, "%s: %zu defects", args[0], defects);
    iqt_gguf_close(model);
    return status;
}

static enum iqt_status convert(const struct imatrix_opts *o, int count, char **args)
{
    struct iqt_imatrix *m;
    enum iqt_status status;

    (void)count;
    IQT_TRY(iqt_imatrix_read(args[0], &m));
    status = write_out(o, m);
    iqt_imatrix_destroy(m);
    return status;
}

static enum iqt_status merge_one(const struct imatrix_opts *o, const char *path,
                                 struct iqt_imatrix *sum)
{
    struct iqt_imatrix *m;
    enum iqt_status status;

    IQT_TRY(iqt_imatrix_read(path, &m));
    status = iqt_imatrix_to_inputs(m, chunk_size(o));
    if (status == IQT_OK)
        status = iqt_imatrix_merge(sum, m);
    iqt_imatrix_destroy(m);
    return status;
}

static enum iqt_status merge_second_one(const char *path, struct iqt_second *sum)
{
    struct iqt_second *s;
    enum iqt_status status;

    IQT_TRY(iqt_second_read(path, &s));
    status = iqt_second_merge(sum, s);
    iqt_second_destroy(s);
    return status;
}

static enum iqt_status merge_second(const struct imatrix_opts *o, int count, char **args)
{
    struct iqt_second *sum;
    enum iqt_status status;

    IQT_TRY(iqt_second_create(o->out, &sum));
    status = IQT_OK;
    for (int i = 0; i < count && status == IQT_OK; i++)
        status = merge_second_one(args[i], sum);
    if (status == IQT_OK)
        status = iqt_second_write(sum, o->out);
    iqt_second_destroy(sum);
    return status;
}

static enum iqt_status merge(const struct imatrix_opts *o, int count, char **args)
{
    struct iqt_imatrix *sum;
    enum iqt_status status;

    if (is_second(args[0]))
        return merge_second(o, count, args);
    IQT_TRY(iqt_imatrix_create("the sum so far", &sum));
    status = iqt_imatrix_sort(sum);
    for (int i = 0; i < count && status == IQT_OK; i++)
        status = merge_one(o, args[i], sum);
    if (status == IQT_OK)
        status = write_out(o, sum);
    iqt_imatrix_destroy(sum);
    return status;
}

/* *out NULL: not asked for. */
static enum iqt_status make_second(const struct imatrix_opts *o, struct iqt_second **out)
{
    *out = NULL;
    return o->second != NULL ? iqt_second_create(o->second, out) : IQT_OK;
}

static size_t second_window(const struct imatrix_opts *o)
{
    return o->columns > 0 ? o->columns : IQT_SECOND_WINDOW;
}

/* The matrix last: it is what the command was asked for. */
static enum iqt_status write_both(const struct imatrix_opts *o, struct iqt_imatrix *m,
                                  const struct iqt_second *second)
{
    if (second != NULL)
        IQT_TRY(iqt_second_write(second, o->second));
    return write_out(o, m);
}

static enum iqt_status make(const struct imatrix_opts *o, int count, char **args)
{
    struct iqt_imatrix *m = NULL;
    struct iqt_second *second;
    struct iqt_gguf *model;
    enum iqt_status status;

    (void)count;
    IQT_TRY(iqt_gguf_open(args[0], &model));
    status = make_second(o, &second);
    if (status == IQT_OK)
        status = iqt_imatrix_make(model, args[0], args[1], chunk_size(o), second,
                                  second_window(o), &m);
    if (status == IQT_OK)
        status = write_both(o, m, second);
    iqt_imatrix_destroy(m);
    iqt_second_destroy(second);
    iqt_gguf_close(model);
    return status;
}

static enum iqt_status collect(const struct imatrix_opts *o, int count, char **args)
{
    struct iqt_imatrix *m = NULL;
    struct iqt_second *second;
    enum iqt_status status;

    (void)count;
    iqt_cli_catch_interrupts();
    IQT_TRY(make_second(o, &second));
    status = iqt_imatrix_collect(args[0], args[1], chunk_size(o), o->windows, o->threads,
                                 second, second_window(o), &m);
    if (status == IQT_OK)
        status = write_both(o, m, second);
    iqt_imatrix_destroy(m);
    iqt_second_destroy(second);
    return status;
}

static const struct verb {
    const char *name, *takes;
    int least, most;
    bool writes, reads_inputs;
    enum iqt_status (*run)(const struct imatrix_opts *o, int count, char **args);
} verbs[] = {
    { "info", "FILE [MODEL]", 1, 2, false, false, info },
    { "convert", "FILE -o OUT", 1, 1, true, false, convert },
    { "merge", "FILE... -o OUT", 1, ANY, true, false, merge },
    { "make", "MODEL FOLDER -o OUT", 2, 2, true, true, make },
    { "collect", "MODEL TEXT -o OUT", 2, 2, true, true, collect },
};

static int run(const void *opts, int count, char **args)
{
    const struct imatrix_opts *o = opts;
    const struct verb *verb = NULL;
    enum iqt_status status;

    for (size_t i = 0; i < IQT_COUNT(verbs); i++)
        if (strcmp(args[0], verbs[i].name) == 0)
            verb = &verbs[i];
    if (verb == NULL)
        return iqt_cli_usage(
            "unknown word '%s' after imatrix; expected info, convert, merge, "
            "make or collect",
            args[0]);
    if (count - 1 < verb->least || count - 1 > verb->most ||
        verb->writes != (o->out != NULL))
        return iqt_cli_usage("imatrix %s takes %s", verb->name, verb->takes);
    if ((o->second != NULL || o->columns > 0) && !verb->reads_inputs)
        return iqt_cli_usage("--second-order and --columns are for make and collect");
    if (o->second != NULL && strcmp(o->second, o->out) == 0)
        return iqt_cli_usage("-o and --second-order are the same file, %s", o->out);
    if (o->columns % IQT_SECOND_STEP != 0)
        return iqt_cli_usage("--columns needs a multiple of %d, got %u", IQT_SECOND_STEP,
                             o->columns);
    status = verb->run(o, count - 1, args + 1);
    return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
}

const struct iqt_command iqt_cmd_imatrix = {
    .name = "imatrix",
    .usage = "info FILE [MODEL] | convert FILE | merge FILE... | make MODEL FOLDER | "
             "collect MODEL TEXT [-o OUT]",
    .summary =
        "importance matrices: coverage, forms, sums; made from activations or a text",
    .opts = imatrix_opts,
    .opts_bytes = sizeof(struct imatrix_opts),
    .min_args = 2,
    .max_args = -1,
    .run = run,
};
