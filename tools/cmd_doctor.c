/* iqtile doctor: every structural defect of a GGUF file, one line each.
 * What a defect is decides io/gguf_doctor.c. */
#include "tools/cli.h"
#include "tools/json_text.h"

#include <iqtile/gguf.h>

#include <inttypes.h>
#include <string.h>

struct options {
    bool json;
};

static const struct iqt_opt options[] = {
    { "json", IQT_OPT_FLAG, NULL, "print the defects as one JSON object",
      offsetof(struct options, json) },
    { .name = NULL },
};

static void print_text(void *user, const struct iqt_gguf_defect *d)
{
    (void)user;
    if (d->tensor[0] != '\0')
        printf("%s: tensor %s: byte %" PRIu64 ": %s\n", d->file, d->tensor, d->offset,
               d->text);
    else
        printf("%s: byte %" PRIu64 ": %s\n", d->file, d->offset, d->text);
}

static void json_member(const char *name, const char *text)
{
    printf("\"%s\": ", name);
    json_text(stdout, text, strlen(text));
    fputs(", ", stdout);
}

static void print_json(void *user, const struct iqt_gguf_defect *d)
{
    bool *first = user;

    fputs(*first ? "\n  {" : ",\n  {", stdout);
    *first = false;
    json_member("file", d->file);
    json_member("tensor", d->tensor);
    json_member("text", d->text);
    printf("\"offset\": %" PRIu64 "}", d->offset);
}

static size_t diagnose_text(const struct iqt_gguf *g)
{
    const size_t defects = iqt_gguf_doctor(g, print_text, NULL);

    if (defects == 0)
        printf("no defects in %zu tensors\n", iqt_gguf_tensor_count(g));
    else
        printf("%zu defect%s in %zu tensors\n", defects, defects == 1 ? "" : "s",
               iqt_gguf_tensor_count(g));
    return defects;
}

static size_t diagnose_json(const char *path, const struct iqt_gguf *g)
{
    bool first = true;
    size_t defects;

    fputs("{", stdout);
    json_member("file", path);
    printf("\"tensors\": %zu, \"defects\": [", iqt_gguf_tensor_count(g));
    defects = iqt_gguf_doctor(g, print_json, &first);
    printf("%s], \"count\": %zu}\n", first ? "" : "\n", defects);
    return defects;
}

static int run(const void *opts, int count, char **args)
{
    const struct options *o = opts;
    struct iqt_gguf *g;
    size_t defects;
    const enum iqt_status status = iqt_gguf_open(args[0], &g);

    (void)count;
    if (status != IQT_OK)
        return iqt_cli_fail(status);
    defects = o->json ? diagnose_json(args[0], g) : diagnose_text(g);
    iqt_gguf_close(g);
    if (fflush(stdout) != 0 || ferror(stdout))
        return iqt_cli_fail(iqt_fail(IQT_ERR_IO, "cannot write the results"));
    return defects == 0 ? IQT_EXIT_OK : IQT_EXIT_FAILED;
}

const struct iqt_command iqt_cmd_doctor = {
    .name = "doctor",
    .usage = "FILE [--json]",
    .summary = "every structural defect of a GGUF file; exit code 1 if there is any",
    .opts = options,
    .opts_bytes = sizeof(struct options),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
