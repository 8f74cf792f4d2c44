/* iqtile golden: any folder of files in the golden layout, on every device and in both layouts.
 * Knows the folder, the files and the report; golden_case.c and golden_run.c know the tests. */
#include "tools/golden_case.h"
#include "kernels/layout.h"
#include "runtime/verify.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct golden_opts {
    const char *device, *format, *layout, *columns, *cases, *one_hot;
};

static const struct iqt_opt golden_opts[] = {
    { "device", IQT_OPT_STRING, "DEVICE", "backend[:index] (default: all devices)",
      offsetof(struct golden_opts, device) },
    { "format", IQT_OPT_STRING, "FORMAT", "only files of this format",
      offsetof(struct golden_opts, format) },
    { "layout", IQT_OPT_STRING, "LAYOUT", "native or packed (default: both)",
      offsetof(struct golden_opts, layout) },
    { "n", IQT_OPT_STRING, "LIST", "numbers of columns (default: 1,2,5,16)",
      offsetof(struct golden_opts, columns) },
    { "cases", IQT_OPT_STRING, "PART",
      "products of all cases (default) or of a part of each file's: 2/3 for 2, 5, 8, ..",
      offsetof(struct golden_opts, cases) },
    { "one-hot", IQT_OPT_STRING, "PART",
      "of which of these there are products that show one weight each (default: all), or none",
      offsetof(struct golden_opts, one_hot) },
    { 0 },
};

enum { MAX_CASES = 4096 };

struct golden {
    const char *dir;
    const struct iqt_format *only; /* NULL: all */
    enum iqt_layout first, last;
    struct iqt_cli_columns columns;
    struct iqt_seat seat[IQT_CLI_MAX_DEVICES];
    size_t seats;
    uint32_t files; /* golden files seen, those without kernels included */
    uint64_t passed, failed;
    bool simulated; /* one of the devices */
    struct part {
        uint32_t first, of; /* from 0; of 0: none */
    } cases, one_hot;
};

static enum iqt_status open_seats(struct golden *g, const char *device)
{
    struct iqt_specs list;

    IQT_TRY(iqt_specs_find(device, &list));
    for (; g->seats < list.count; g->seats++) {
        struct iqt_seat *seat = &g->seat[g->seats];

        IQT_TRY(iqt_seat_open(list.spec[g->seats], NULL, seat));
        g->simulated |= iqt_device_simulated(iqt_device_describe(seat->dev));
    }
    return IQT_OK;
}

/* ---- One file ---- */

struct golden_file {
    struct iqt_gguf *gguf;
    const struct iqt_format *format;
    struct iqt_golden_case *cases;
    size_t count;
    uint32_t broken; /* cases that cannot be read */
};

static void read_cases(struct golden_file *f, const char *file)
{
    for (size_t i = 0; i < iqt_gguf_tensor_count(f->gguf) && f->count < MAX_CASES; i++) {
        bool found;
        const enum iqt_status status =
            iqt_golden_find(f->gguf, i, f->format, &found, &f->cases[f->count]);

        if (status != IQT_OK) {
            fprintf(stderr, "FAIL %s: %s\n", file, iqt_last_error());
            f->broken++;
        } else if (found) {
            f->count++;
        }
    }
}

static void print_kind(const struct iqt_golden_tally *t, const char *name,
                       enum iqt_golden_kind kind)
{
    if (t->failed[kind] > 0)
        printf(" %s FAILED (%u of %u cases)", name, t->failed[kind],
               t->failed[kind] + t->passed[kind]);
    else if (t->passed[kind] > 0)
        printf(" %s ok", name);
    else
        printf(" %s none", name);
}

/* "iq4_ks vulkan:0 packed: decode ok (9 cases), matvec ok (worst 3e-07), ..." */
static void print_line(const struct iqt_golden_tally *t)
{
    printf("%s:", t->where);
    print_kind(t, "decode", IQT_GOLDEN_DECODE);
    printf(" (%u tensors),", t->passed[IQT_GOLDEN_DECODE] + t->failed[IQT_GOLDEN_DECODE]);
    print_kind(t, "matvec", IQT_GOLDEN_MATVEC);
    printf(" (worst %.2g of %.0g),", t->worst_model, IQT_MODEL_RTOL);
    print_kind(t, "columns", IQT_GOLDEN_COLUMNS);
    printf(",");
    print_kind(t, "one-hot", IQT_GOLDEN_ONE_HOT);
    printf(" (%llu weights),", (unsigned long long)t->weights);
    print_kind(t, "y", IQT_GOLDEN_Y);
    printf(" (worst rms %.2g %%, with x in int8 %.2g %%)\n", 100 * t->worst_rms,
           100 * t->worst_plain);
    fflush(stdout);
}

/* The decode check needs no device: it is counted once, and shown in every line. */
static void count_tally(struct golden *g, const struct iqt_golden_tally *t,
                        int first_kind, int end_kind)
{
    for (int kind = first_kind; kind < end_kind; kind++) {
        g->passed += t->passed[kind];
        g->failed += t->failed[kind];
    }
}

static bool in_part(const struct part *p, size_t number)
{
    return p->of > 0 && number % p->of == p->first;
}

static enum iqt_status run_seat(struct golden *g, const struct golden_file *f,
                                size_t seat, enum iqt_layout layout,
                                const struct iqt_golden_tally *decode)
{
    struct iqt_golden_tally tally = *decode;
    /* Taken apart, interleaved types run the kernels of others: one case tells that they do. */
    const size_t cases = f->format->base_type != 0 ? 1 : f->count;
    char label[IQT_LABEL_BYTES];
    enum iqt_status status = IQT_OK;

    snprintf(tally.where, sizeof tally.where, "%s %s %s", iqt_format_name(f->format),
             iqt_device_label(iqt_device_describe(g->seat[seat].dev), label),
             iqt_layout_name(layout));
    for (size_t i = 0; i < cases && status == IQT_OK; i++) {
        if (cases > 1 && !in_part(&g->cases, i))
            continue;
        iqt_cli_progress(tally.where, i, cases);
        status = iqt_golden_run(&f->cases[i], &g->seat[seat], layout, &g->columns,
                                in_part(&g->one_hot, i), &tally);
    }
    iqt_cli_progress(tally.where, cases, cases);
    if (status == IQT_OK)
        print_line(&tally);
    count_tally(g, &tally, IQT_GOLDEN_DECODE + 1, IQT_GOLDEN_KINDS);
    return status;
}

static enum iqt_status run_cases(struct golden *g, struct golden_file *f,
                                 const char *file)
{
    struct iqt_golden_tally decode = { 0 };

    snprintf(decode.where, sizeof decode.where, "%s", iqt_format_name(f->format));
    read_cases(f, file);
    g->failed += f->broken;
    if (f->count + f->broken == 0) {
        fprintf(stderr, "FAIL %s: no tensor's name ends in .q\n", file);
        g->failed++;
    }
    for (size_t i = 0; i < f->count; i++)
        iqt_golden_decode(&f->cases[i], &decode);
    count_tally(g, &decode, IQT_GOLDEN_DECODE, IQT_GOLDEN_DECODE + 1);
    for (size_t s = 0; s < g->seats && f->count > 0; s++)
        for (int layout = g->first; layout <= (int)g->last; layout++)
            IQT_TRY(run_seat(g, f, s, layout, &decode));
    return IQT_OK;
}

static void print_skipped(struct golden *g, const char *file, const struct iqt_gguf *gguf,
                          uint32_t type)
{
    struct iqt_gguf_key key;
    char name[64] = "?";

    if (iqt_gguf_key_find(gguf, "golden.format", &key) && key.type == IQT_GGUF_STRING)
        iqt_escape(name, sizeof name, key.data, key.count);
    if (g->only != NULL)
        return;
    g->files++;
    printf("%s: %s skipped: no kernels for type %u\n", file, name, type);
}

static enum iqt_status run_gguf(struct golden *g, struct golden_file *f, const char *file)
{
    struct iqt_gguf_key key;
    uint32_t type;

    if (!iqt_gguf_key_find(f->gguf, "golden.type_id", &key)) {
        fprintf(stderr, "%s: not a golden file (no key golden.type_id), left out\n",
                file);
        return IQT_OK;
    }
    if (key.type != IQT_GGUF_U32) {
        fprintf(stderr, "FAIL %s: golden.type_id is no u32\n", file);
        g->files++;
        g->failed++;
        return IQT_OK;
    }
    type = iqt_read_u32(key.data);
    f->format = iqt_format_of_type(type);
    if (f->format == NULL) {
        print_skipped(g, file, f->gguf, type);
        return IQT_OK;
    }
    if (g->only != NULL && g->only != iqt_format_base(f->format))
        return IQT_OK;
    g->files++;
    return run_cases(g, f, file);
}

static enum iqt_status run_file(struct golden *g, const char *name)
{
    struct golden_file f = { .cases = calloc(MAX_CASES, sizeof *f.cases) };
    struct iqt_buf path = { 0 };
    enum iqt_status status;
    char shown[256];

    iqt_escape(shown, sizeof shown, name, strlen(name));
    iqt_buf_printf(&path, "%s/%s", g->dir, name);
    status = f.cases == NULL ? iqt_fail(IQT_ERR_NO_MEMORY, "no memory for cases")
                             : iqt_buf_check(&path);
    if (status != IQT_OK)
        goto free_path;
    if (iqt_gguf_open(path.data, &f.gguf) == IQT_OK) {
        status = run_gguf(g, &f, shown);
        iqt_gguf_close(f.gguf);
    } else {
        /* Cannot tell whose file it was: a golden folder holds no broken ones. */
        fprintf(stderr, "FAIL %s: %s\n", shown, iqt_last_error());
        g->files++;
        g->failed++;
    }
free_path:
    iqt_buf_free(&path);
    for (size_t i = 0; i < f.count; i++)
        iqt_golden_free(&f.cases[i]);
    free(f.cases);
    return status;
}

/* ---- The folder ---- */

static int is_gguf(const struct dirent *entry)
{
    const size_t length = strlen(entry->d_name);

    return length > 5 && strcmp(entry->d_name + length - 5, ".gguf") == 0;
}

static enum iqt_status run_folder(struct golden *g)
{
    struct dirent **entry;
    enum iqt_status status = IQT_OK;
    const int count = scandir(g->dir, &entry, is_gguf, alphasort);

    if (count < 0)
        return iqt_fail(IQT_ERR_IO, "cannot read folder '%s': %s", g->dir,
                        strerror(errno));
    for (int i = 0; i < count; i++) {
        if (status == IQT_OK)
            status = run_file(g, entry[i]->d_name);
        free(entry[i]);
    }
    free(entry);
    if (status == IQT_OK && g->files == 0)
        status = iqt_fail(IQT_ERR_FORMAT, "'%s' has no golden file%s%s", g->dir,
                          g->only != NULL ? " of format " : "",
                          g->only != NULL ? iqt_format_name(g->only) : "");
    return status;
}

/* NULL: all. */
static enum iqt_status read_part(const char *option, const char *text, struct part *out)
{
    unsigned part = 1, of = 1;
    char rest;

    if (text != NULL && strcmp(text, "none") == 0)
        of = 0;
    else if (text != NULL && strcmp(text, "all") != 0 &&
             (sscanf(text, "%3u/%3u%c", &part, &of, &rest) != 2 || part == 0 ||
              part > of))
        return iqt_fail(IQT_ERR_ARG, "--%s '%s': expected all, none or a part like 2/3",
                        option, text);
    *out = (struct part){ .first = part - 1, .of = of };
    return IQT_OK;
}

static enum iqt_status read_opts(struct golden *g, const struct golden_opts *o)
{
    IQT_TRY(read_part("cases", o->cases, &g->cases));
    IQT_TRY(read_part("one-hot", o->one_hot, &g->one_hot));
    if (o->format != NULL)
        IQT_TRY(iqt_cli_format(o->format, &g->only));
    if (o->layout != NULL) {
        IQT_TRY(iqt_cli_layout(o->layout, &g->first));
        g->last = g->first;
    }
    IQT_TRY(iqt_cli_columns(o->columns != NULL ? o->columns : "1,2,5,16", &g->columns));
    return open_seats(g, o->device);
}

static int run(const void *opts, int count, char **args)
{
    struct golden g = { .dir = args[0],
                        .first = IQT_LAYOUT_NATIVE,
                        .last = IQT_LAYOUT_PACKED };
    enum iqt_status status = read_opts(&g, opts);

    (void)count;
    iqt_cli_catch_interrupts();
    if (status == IQT_OK)
        status = run_folder(&g);
    for (size_t i = 0; i < g.seats; i++)
        iqt_seat_close(&g.seat[i]);
    if (status != IQT_OK)
        return iqt_cli_fail(status);
    printf("%llu passed, %llu failed%s\n", (unsigned long long)g.passed,
           (unsigned long long)g.failed, g.simulated ? ", simulated" : "");
    return g.failed == 0 ? IQT_EXIT_OK : IQT_EXIT_FAILED;
}

const struct iqt_command iqt_cmd_golden = {
    .name = "golden",
    .usage = "DIR [--device D] [--format F] [--layout L] [--n LIST]",
    .summary = "test decoding and products against a folder of golden files",
    .opts = golden_opts,
    .opts_bytes = sizeof(struct golden_opts),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
