/* iqtile compare: how much the weights of two model files differ, tensor by tensor. */
#include "tools/cli.h"
#include "tools/compare.h"
#include "tools/error_page.h"
#include "tools/json_text.h"

#include <math.h>
#include <stdlib.h>

enum { NAME_TEXT = 96 };

struct compare_opts {
    bool csv, json;
    const char *html;
    uint32_t threads;
};

static const struct iqt_opt compare_opts[] = {
    { "csv", IQT_OPT_FLAG, NULL, "print comma-separated values",
      offsetof(struct compare_opts, csv) },
    { "json", IQT_OPT_FLAG, NULL, "print one JSON object",
      offsetof(struct compare_opts, json) },
    { "html", IQT_OPT_STRING, "FILE.html", "also a page with charts by layer",
      offsetof(struct compare_opts, html) },
    { "threads", IQT_OPT_U32, "N", "threads (0 or left out: one per usable core)",
      offsetof(struct compare_opts, threads) },
    { 0 },
};

/* ---- What is printed ---- */

static const struct iqt_gguf_tensor *either(const struct iqt_pair *p)
{
    return p->match == IQT_MATCH_ONLY_B ? &p->b : &p->a;
}

static const char *type_of(const struct iqt_gguf_tensor *t)
{
    return t->name == NULL ? "-" : t->type_name != NULL ? t->type_name : "unknown";
}

static double bits_of(const struct iqt_gguf_tensor *t)
{
    return 8 * (double)t->bytes / ((double)t->ne[0] * (double)iqt_gguf_rows(t));
}

static void shape_of(const struct iqt_gguf_tensor *t, char *out, size_t bytes)
{
    size_t used = (size_t)snprintf(out, bytes, "%llu", (unsigned long long)t->ne[0]);

    for (uint32_t i = 1; i < t->dims && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, " x %llu",
                                 (unsigned long long)t->ne[i]);
}

/* Why there are no numbers. */
static void explain(const struct iqt_pair *p, char *out, size_t bytes)
{
    char a[40], b[40];

    snprintf(out, bytes, "%s", iqt_match_text(p->match));
    if (p->match != IQT_MATCH_SHAPES)
        return;
    shape_of(&p->a, a, sizeof a);
    shape_of(&p->b, b, sizeof b);
    snprintf(out, bytes, "other shapes: %s in A, %s in B", a, b);
}

/* ---- For people ---- */

static void print_line(const struct iqt_pair *p)
{
    const struct iqt_gguf_tensor *t = either(p);
    char name[NAME_TEXT], text[IQT_WORST_TEXT];

    iqt_escape(name, sizeof name, t->name, t->name_bytes);
    printf("%-32s %-8s %-8s", name, type_of(&p->a), type_of(&p->b));
    if (p->match != IQT_MATCH_DECODED) {
        explain(p, text, sizeof text);
        printf(" %s\n", text);
        return;
    }
    printf(" %7.3f %11.6f %11.4g %11.8f  %s", bits_of(&p->b),
           iqt_relative_error(p->missed, p->all), p->most, iqt_pair_cosine(p),
           p->missed != 0 ? iqt_worst_text(&p->worst, 2, text) : "");
    if (p->strange > 0)
        printf("  %llu not finite", (unsigned long long)p->strange);
    printf("\n");
}

/* Over all tensors that were compared. */
static struct iqt_pair sum_of(const struct iqt_pairs *pairs)
{
    struct iqt_pair sum = { .match = IQT_MATCH_DECODED };

    for (size_t i = 0; i < pairs->count; i++) {
        const struct iqt_pair *p = &pairs->pair[i];

        sum.missed += p->missed;
        sum.all += p->all;
        sum.other += p->other;
        sum.dot += p->dot;
        sum.most = fmax(sum.most, p->most);
    }
    return sum;
}

static void print_table(const struct iqt_pairs *pairs)
{
    const struct iqt_pair sum = sum_of(pairs);

    printf("%-32s %-8s %-8s %7s %11s %11s %11s  %s\n", "tensor", "A", "B", "bits B",
           "error", "largest", "cosine", "worst rows (error)");
    for (size_t i = 0; i < pairs->count; i++)
        print_line(&pairs->pair[i]);
    printf("%-32s %-8s %-8s %7s %11.6f %11.4g %11.8f\n", "all that was compared", "", "",
           "", iqt_relative_error(sum.missed, sum.all), sum.most, iqt_pair_cosine(&sum));
    if (pairs->unlike > 0)
        printf("%zu of %zu tensors cannot be compared\n", pairs->unlike, pairs->count);
}

/* ---- For programs ---- */

/* Names may hold what separates columns. */
static void print_quoted(const struct iqt_gguf_tensor *t)
{
    char name[NAME_TEXT];

    iqt_escape(name, sizeof name, t->name, t->name_bytes);
    putchar('"');
    for (const char *c = name; *c != '\0'; c++)
        printf(*c == '"' ? "\"\"" : "%c", *c);
    putchar('"');
}

static void print_csv(const struct iqt_pairs *pairs)
{
    printf("tensor,result,type_a,type_b,k,rows,bits_a,bits_b,error,largest,cosine,"
           "not_finite,worst_row,worst_error\n");
    for (size_t i = 0; i < pairs->count; i++) {
        const struct iqt_pair *p = &pairs->pair[i];
        const struct iqt_gguf_tensor *t = either(p);

        print_quoted(t);
        printf(",%s,%s,%s,%llu,%llu", iqt_match_text(p->match), type_of(&p->a),
               type_of(&p->b), (unsigned long long)t->ne[0],
               (unsigned long long)iqt_gguf_rows(t));
        if (p->match == IQT_MATCH_DECODED)
            printf(",%.4f,%.4f,%.9g,%.9g,%.12g,%llu,%llu,%.9g\n", bits_of(&p->a),
                   bits_of(&p->b), iqt_relative_error(p->missed, p->all), p->most,
                   iqt_pair_cosine(p), (unsigned long long)p->strange,
                   (unsigned long long)p->worst.row[0], p->worst.error[0]);
        else
            printf(",,,,,,,,\n");
    }
}

/* JSON has no infinities. */
static void print_number(const char *name, double value)
{
    printf(isfinite(value) ? ",\"%s\":%.12g" : ",\"%s\":null", name, value);
}

static void print_json_worst(const struct iqt_worst *worst)
{
    printf(",\"worst_rows\":[");
    for (size_t i = 0; i < IQT_WORST_ROWS && worst->error[i] >= 0; i++) {
        printf("%s{\"row\":%llu", i > 0 ? "," : "", (unsigned long long)worst->row[i]);
        print_number("error", worst->error[i]);
        printf("}");
    }
    printf("]");
}

static void print_json_pair(const struct iqt_pair *p)
{
    const struct iqt_gguf_tensor *t = either(p);

    printf("{\"tensor\":");
    json_text(stdout, t->name, t->name_bytes);
    printf(",\"result\":\"%s\",\"type_a\":\"%s\",\"type_b\":\"%s\"",
           iqt_match_text(p->match), type_of(&p->a), type_of(&p->b));
    if (p->match == IQT_MATCH_DECODED) {
        print_number("bits_a", bits_of(&p->a));
        print_number("bits_b", bits_of(&p->b));
        print_number("error", iqt_relative_error(p->missed, p->all));
        print_number("largest", p->most);
        print_number("cosine", iqt_pair_cosine(p));
        printf(",\"not_finite\":%llu", (unsigned long long)p->strange);
        print_json_worst(&p->worst);
    }
    printf("}");
}

static void print_json(const struct iqt_pairs *pairs)
{
    printf("{\"tensors\":[");
    for (size_t i = 0; i < pairs->count; i++) {
        printf(i > 0 ? ",\n" : "\n");
        print_json_pair(&pairs->pair[i]);
    }
    printf("\n],\"not_compared\":%zu}\n", pairs->unlike);
}

static void fill_row(const struct iqt_pair *p, struct iqt_error_row *row)
{
    const struct iqt_gguf_tensor *t = either(p);
    const bool compared = p->match == IQT_MATCH_DECODED;

    *row = (struct iqt_error_row){
        .from = type_of(&p->a),
        .to = type_of(&p->b),
        .bytes = p->match == IQT_MATCH_ONLY_A ? p->a.bytes : p->b.bytes,
        .weights = (double)t->ne[0] * (double)iqt_gguf_rows(t),
        .error = compared ? iqt_relative_error(p->missed, p->all) : -1,
        .worst = p->worst,
    };
    iqt_escape(row->name, sizeof row->name, t->name, t->name_bytes);
    if (!compared)
        explain(p, row->note, sizeof row->note);
}

static enum iqt_status write_page(const struct iqt_pairs *pairs, char **args,
                                  const char *path)
{
    const struct iqt_pair sum = sum_of(pairs);
    struct iqt_error_row *row = malloc((pairs->count + 1) * sizeof *row);
    const struct iqt_error_page page = {
        .title = "iqtile compare",
        .lead = "How far the weights of one model are from those of another.",
        .from = args[0],
        .to = args[1],
        .meaning = "sqrt(sum (a - b)^2 / sum a^2) of the weights that compute uses",
        .error = iqt_relative_error(sum.missed, sum.all),
        .row = row,
        .rows = pairs->count,
    };
    enum iqt_status status;

    if (row == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu tensors", pairs->count);
    for (size_t i = 0; i < pairs->count; i++)
        fill_row(&pairs->pair[i], &row[i]);
    status = iqt_error_page_write(&page, path);
    free(row);
    return status;
}

static enum iqt_status compare(const struct compare_opts *o, const struct iqt_gguf *a,
                               const struct iqt_gguf *b, char **args, size_t *unlike)
{
    struct iqt_pairs pairs;
    struct iqt_pool *pool = iqt_pool_create(o->threads);
    enum iqt_status status = iqt_pairs_compare(a, b, pool, &pairs);

    iqt_pool_destroy(pool);
    IQT_TRY(status);
    if (o->csv)
        print_csv(&pairs);
    else if (o->json)
        print_json(&pairs);
    else
        print_table(&pairs);
    *unlike = pairs.unlike;
    if (o->html != NULL)
        status = write_page(&pairs, args, o->html);
    iqt_pairs_free(&pairs);
    return status;
}

static int run(const void *opts, int count, char **args)
{
    const struct compare_opts *o = opts;
    struct iqt_gguf *a = NULL, *b = NULL;
    size_t unlike = 0;
    enum iqt_status status;

    (void)count;
    if (o->csv && o->json)
        return iqt_cli_usage("--csv and --json are two forms of one output");
    iqt_cli_catch_interrupts();
    status = iqt_gguf_open(args[0], &a);
    if (status == IQT_OK)
        status = iqt_gguf_open(args[1], &b);
    if (status == IQT_OK)
        status = compare(o, a, b, args, &unlike);
    iqt_gguf_close(b);
    iqt_gguf_close(a);
    if (status != IQT_OK)
        return iqt_cli_fail(status);
    return unlike == 0 ? IQT_EXIT_OK : IQT_EXIT_FAILED;
}

const struct iqt_command iqt_cmd_compare = {
    .name = "compare",
    .usage = "A B [options]",
    .summary = "per-tensor difference of the weights of two model files of any types",
    .opts = compare_opts,
    .opts_bytes = sizeof(struct compare_opts),
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
