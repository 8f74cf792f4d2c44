/* iqtile gpu-report: merges what scripts/gpu.sh left in a folder. Reads and writes; the files beside
 * it know how. */
#include "tools/cli.h"
#include "tools/gpu_report.h"

#include <stdlib.h>
#include <string.h>

struct gpu_report_opts {
    const char *json, *html;
    bool plans;
};

static const struct iqt_opt gpu_report_opts[] = {
    { "json", IQT_OPT_STRING, "OUT.json", "default: FOLDER/gpu-report.json",
      offsetof(struct gpu_report_opts, json) },
    { "html", IQT_OPT_STRING, "OUT.html", "default: FOLDER/gpu-report.html",
      offsetof(struct gpu_report_opts, html) },
    { "plans", IQT_OPT_FLAG, NULL,
      "only list the plans that ran and have no slots counted yet",
      offsetof(struct gpu_report_opts, plans) },
    { 0 },
};

/* Every plan once. */
static void print_plans(const struct iqt_gpu_report *r)
{
    for (size_t i = 0; i < r->cells; i++) {
        const struct iqt_gpu_cell *c = &r->cell[i];
        size_t j = 0;

        while (strcmp(r->cell[j].plan, c->plan) != 0)
            j++;
        if (j == i && c->plan[0] != '\0' && c->slots <= 0)
            printf("%s\n", c->plan);
    }
}

static enum iqt_status write_file(const char *folder, const char *name, const char *given,
                                  const struct iqt_buf *text)
{
    struct iqt_buf path = { 0 };
    enum iqt_status status = iqt_buf_check(text);

    if (given != NULL)
        iqt_buf_printf(&path, "%s", given);
    else
        iqt_buf_printf(&path, "%s/%s", folder, name);
    if (status == IQT_OK)
        status = iqt_buf_check(&path);
    if (status == IQT_OK)
        status = iqt_file_replace(path.data, text->data, text->bytes);
    if (status == IQT_OK)
        fprintf(stderr, "wrote %s\n", path.data);
    iqt_buf_free(&path);
    return status;
}

static enum iqt_status write_both(const char *folder, const struct gpu_report_opts *o,
                                  const struct iqt_gpu_report *r)
{
    struct iqt_buf json = { 0 }, page = { 0 };
    enum iqt_status status = iqt_gpu_json(&json, r);

    iqt_gpu_page(&page, r);
    if (status == IQT_OK)
        status = write_file(folder, "gpu-report.json", o->json, &json);
    if (status == IQT_OK)
        status = write_file(folder, "gpu-report.html", o->html, &page);
    iqt_buf_free(&json);
    iqt_buf_free(&page);
    return status;
}

static void print_stages(const struct iqt_gpu_report *r)
{
    for (uint32_t i = 0; i < IQT_GPU_STAGES; i++) {
        const struct iqt_gpu_stage *s = &r->stage[i];

        printf("%-12s %-11s %6.0f s  %s\n", iqt_gpu_stage_name(i),
               iqt_gpu_state_name(s->state), s->seconds, s->note);
    }
    for (uint32_t l = 0; l <= IQT_LAYOUT_PACKED; l++)
        if (r->copy[l] > 0)
            printf("%s: %s %.1f GB/s, n = 1: %.1f %% of it%s%s\n",
                   l == IQT_LAYOUT_NATIVE ? "native" : "packed", r->method[l],
                   r->copy[l] / 1e9, iqt_gpu_mean(r, IQT_GPU_PERCENT, l, 1),
                   iqt_gpu_disclaimer(r)[0] == '\0' ? "" : ", ", iqt_gpu_disclaimer(r));
}

static int run(const void *opts, int count, char **args)
{
    const struct gpu_report_opts *o = opts;
    struct iqt_gpu_report *r = calloc(1, sizeof(*r));
    enum iqt_status status;
    bool good;

    (void)count;
    if (r == NULL)
        return iqt_cli_fail(iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a report"));
    status = iqt_gpu_report_read(args[0], r);
    if (status == IQT_OK && o->plans) {
        print_plans(r);
    } else if (status == IQT_OK) {
        status = write_both(args[0], o, r);
        print_stages(r);
    }
    good = o->plans || iqt_gpu_report_good(r);
    iqt_gpu_report_free(r);
    free(r);
    if (status != IQT_OK)
        return iqt_cli_fail(status);
    return good ? IQT_EXIT_OK : IQT_EXIT_FAILED;
}

const struct iqt_command iqt_cmd_gpu_report = {
    .name = "gpu-report",
    .usage = "FOLDER [--json OUT.json] [--html OUT.html] [--plans]",
    .summary = "merge the stages of scripts/gpu.sh into one JSON and one page",
    .opts = gpu_report_opts,
    .opts_bytes = sizeof(struct gpu_report_opts),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
