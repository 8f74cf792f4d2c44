/* The compile gates: options, the order of the work, the report. See gates.h. */
#include "tests/gates/gates.h"

#include "kernels/tile_mma.h"
#include "runtime/compile.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage_text[] =
    "usage: gates [--all] [--dialect cuda|hip|glsl] [--target GLOB] [--filter GLOB] [--plan NAME]\n"
    "             [--seed N] [--budget SECONDS] [--cache FILE|none] [--csv] [--strict]\n"
    "\n"
    "Compiles every default plan for n = 1, 2, 4, 8, 16, and 200 legal plans drawn by the seed, and\n"
    "looks for spills. Without --all: a third of the default plans for sm_90, gfx942 and radv:navi21, drawn ones for a\n"
    "drawn target of their dialect, then as many of the others as the budget allows. --plan: this plan\n"
    "only, for all targets. --csv prints what each kernel uses. Spills of drawn plans, which a tuner\n"
    "would find slow, and of default plans on drawn targets are told and counted; --strict: they are\n"
    "failures, too. Interrupted, it goes on where it was: results are remembered.\n"
    "Exit 0 good, 1 failures, 77 no compiler at all.\n";

enum { PATH_BYTES = 4096, FAILURES_SHOWN = 40 };

struct options {
    const char *dialect, *target, *filter, *plan, *cache;
    uint64_t seed;
    double budget; /* seconds */
    bool all, csv, strict;
};

struct run {
    struct options opt;
    struct gate_kernels kernels;
    struct gate_item *item; /* what must be done first */
    uint32_t items;
    char (*compiler)[GATE_COMPILER]; /* of the targets; "" : not used or absent */
    struct gate_cache *cache;
    uint64_t start;
    uint32_t done, failed, spilled, excused, remembered, given, handled;
    uint32_t compiled[GATE_TARGETS], most[GATE_TARGETS];
};

/* ---- Options ---- */

static void bad_usage(const char *what)
{
    fprintf(stderr, "gates: %s\n%s", what, usage_text);
    exit(2);
}

static uint64_t parse_number(const char *text)
{
    char *end;
    const uint64_t value = strtoull(text, &end, 0);

    if (*text == '\0' || *end != '\0')
        bad_usage("not a number");
    return value;
}

static void parse_options(int argc, char **argv, struct options *o)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = { { "--dialect", &o->dialect },
                  { "--target", &o->target },
                  { "--filter", &o->filter },
                  { "--plan", &o->plan },
                  { "--cache", &o->cache } };

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        size_t t = 0;

        while (t < IQT_COUNT(texts) && strcmp(argv[i], texts[t].name) != 0)
            t++;
        if (strcmp(argv[i], "--all") == 0)
            o->all = true;
        else if (strcmp(argv[i], "--csv") == 0)
            o->csv = true;
        else if (strcmp(argv[i], "--strict") == 0)
            o->strict = true;
        else if (value == NULL)
            bad_usage("unknown or incomplete option");
        else if (t < IQT_COUNT(texts))
            *texts[t].to = argv[++i];
        else if (strcmp(argv[i], "--seed") == 0)
            o->seed = parse_number(argv[++i]);
        else if (strcmp(argv[i], "--budget") == 0)
            o->budget = (double)parse_number(argv[++i]);
        else
            bad_usage("unknown option");
    }
}

static bool target_wanted(const struct options *o, const struct gate_target *t)
{
    return (o->dialect == NULL ||
            strcmp(o->dialect, iqt_dialect_name(t->dialect)) == 0) &&
           (o->target == NULL || fnmatch(o->target, t->name, 0) == 0);
}

/* ---- Compilers ---- */

/* In shared memory: a probe may end its process. */
struct probe {
    const struct gate_target *target;
    char compiler[GATE_COMPILER], why[GATE_MESSAGE];
};

static void probe(void *shared)
{
    struct probe *p = shared;
    char compiler[GATE_COMPILER];

    if (gate_probe(p->target, compiler) == IQT_OK)
        memcpy(p->compiler, compiler, sizeof compiler);
    else
        snprintf(p->why, sizeof p->why, "%s", iqt_last_error());
}

static bool list_has(const char *list, const char *word)
{
    const size_t length = strlen(word);

    while (list != NULL && *list != '\0') {
        const size_t part = strcspn(list, ",");

        if (part == length && memcmp(list, word, length) == 0)
            return true;
        list += part + (list[part] == ',');
    }
    return false;
}

/* Finds the compilers of the wanted targets; false when a required one is missing. */
static bool find_compilers(struct run *r)
{
    struct probe *p = gate_shared_memory(sizeof *p);
    bool ok = p != NULL;

    for (uint32_t i = 0; i < GATE_TARGETS && p != NULL; i++) {
        const struct gate_target *t = &gate_targets[i];

        if (!target_wanted(&r->opt, t))
            continue;
        *p = (struct probe){ .target = t };
        if (!gate_in_child(probe, p))
            snprintf(p->why, sizeof p->why, "its compiler ends the process");
        memcpy(r->compiler[i], p->compiler, GATE_COMPILER);
        if (*p->compiler != '\0')
            continue;
        if (list_has(getenv("IQT_REQUIRE"), t->need)) {
            fprintf(stderr, "FAIL %s: IQT_REQUIRE has '%s', but: %s\n", t->name, t->need,
                    p->why);
            ok = false;
        } else {
            fprintf(stderr, "SKIP %s: %s\n", t->name, p->why);
        }
    }
    return ok;
}

static bool has_dialect(const struct run *r, enum iqt_dialect d)
{
    for (uint32_t i = 0; i < GATE_TARGETS; i++)
        if (gate_targets[i].dialect == d && *r->compiler[i] != '\0')
            return true;
    return false;
}

/* ---- The work ---- */

static enum iqt_status collect(struct run *r)
{
    struct iqt_plan plan;

    if (r->opt.plan != NULL) {
        IQT_TRY(iqt_plan_parse(r->opt.plan, &plan));
        return gate_add(&r->kernels, &plan, false);
    }
    for (int d = 0; d < IQT_DIALECTS; d++)
        if (has_dialect(r, (enum iqt_dialect)d)) {
            IQT_TRY(gate_add_defaults(&r->kernels, (enum iqt_dialect)d));
            IQT_TRY(gate_add_sampled(&r->kernels, (enum iqt_dialect)d, r->opt.seed));
        }
    return IQT_OK;
}

/* Text for a matrix unit is for the targets that have it. */
static bool is_usable(const struct run *r, uint32_t target, const struct gate_kernel *k)
{
    const struct gate_target *t = &gate_targets[target];

    return t->dialect == k->plan.dialect && *r->compiler[target] != '\0' &&
           (k->plan.compute != IQT_COMPUTE_MMA ||
            (iqt_target_has_mma(t->name) &&
             iqt_mma_fits_wave(&k->plan, iqt_target_wave(t->name))));
}

/* The target that must be done for a kernel: of default plans their dialect's reference, where it is
 * wanted and has a compiler, else a drawn one that default plans share. */
static uint32_t drawn_target(const struct run *r, const struct gate_kernel *k)
{
    uint32_t usable[GATE_TARGETS], count = 0;
    const uint64_t number = k->sampled ? k->hash : (uint64_t)k->plan.dialect;

    for (uint32_t i = 0; i < GATE_TARGETS; i++) {
        if (!is_usable(r, i, k))
            continue;
        if (gate_targets[i].reference && !k->sampled)
            return i;
        usable[count++] = i;
    }
    return count > 0 ? usable[gate_random(r->opt.seed, number) % count] : GATE_TARGETS;
}

static void shuffle(struct gate_item *item, uint32_t count, uint64_t seed)
{
    for (uint32_t i = count; i > 1; i--) {
        const uint32_t other = gate_random(~seed, i) % i;
        const struct gate_item kept = item[i - 1];

        item[i - 1] = item[other];
        item[other] = kept;
    }
}

/* A third of the family's kernels; of the types that recipes mix in a ninth: they are made of the same parts. */
static bool is_due(const struct run *r, const struct gate_kernel *kernel, uint32_t number)
{
    enum { FIRST_OF_FAMILY = 100 }; /* GGUF types below are ggml's */
    const struct iqt_format *f = kernel->plan.format;

    return f == NULL ||
           gate_random(r->opt.seed, number) % (f->gguf_type >= FIRST_OF_FAMILY ? 3 : 9) ==
               0;
}

/* What must be done, then the rest in an order drawn by the seed. */
static enum iqt_status arrange(struct run *r)
{
    uint32_t musts = 0;

    r->item = calloc(r->kernels.count * GATE_TARGETS + 1, sizeof *r->item);
    if (r->item == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu kernels", r->kernels.count);
    for (uint32_t k = 0; k < r->kernels.count; k++) {
        const struct gate_kernel *kernel = &r->kernels.kernel[k];
        const uint32_t drawn = drawn_target(r, kernel);

        if (r->opt.filter != NULL && fnmatch(r->opt.filter, kernel->name, 0) != 0)
            continue;
        for (uint32_t t = 0; t < GATE_TARGETS; t++) {
            const bool must =
                r->opt.all || r->opt.plan != NULL || (t == drawn && is_due(r, kernel, k));
            struct gate_item *at = &r->item[r->items];

            if (!is_usable(r, t, kernel))
                continue;
            *at = (struct gate_item){ k, t, must };
            if (must) { /* in front of the others */
                r->item[r->items] = r->item[musts];
                r->item[musts++] = (struct gate_item){ k, t, true };
            }
            r->items++;
        }
    }
    shuffle(r->item + musts, r->items - musts, r->opt.seed);
    return IQT_OK;
}

/* ---- Running ---- */

static double seconds(const struct run *r)
{
    return (double)(iqt_now_ns() - r->start) * 1e-9;
}

static void show_progress(const struct run *r)
{
    static double last;
    const double now = seconds(r);
    const uint32_t made = r->done - r->remembered;

    if (!isatty(STDERR_FILENO) && !r->opt.all)
        return;
    if (now < last + (isatty(STDERR_FILENO) ? 0.5 : 30.0))
        return;
    last = now;
    fprintf(stderr, "%s%u of %u kernels, %u remembered, %u failed, %.0f s",
            isatty(STDERR_FILENO) ? "\r\033[K" : "", r->done, r->items, r->remembered,
            r->failed, now);
    if (r->opt.all && made > 10)
        fprintf(stderr, ", about %.0f s left", now / made * (r->items - r->done));
    fputs(isatty(STDERR_FILENO) ? "" : "\n", stderr);
}

/* A failure, or what is only counted. */
static void complain(struct run *r, const struct gate_result *result)
{
    const struct gate_item *it = &r->item[result->item];
    const struct gate_kernel *k = &r->kernels.kernel[it->kernel];
    const struct gate_target *t = &gate_targets[it->target];
    /* A target that stands in for a reference whose compiler is absent is a drawn one. */
    const bool drawn =
        result->spills && (k->sampled || !it->must || !t->reference) && !r->opt.strict;
    uint32_t *count = drawn ? &r->spilled : &r->failed;

    if (*result->message == '\0')
        return;
    if (result->spills && t->excused != NULL &&
        strstr(r->compiler[it->target], t->excused) != NULL)
        r->excused++;
    else if ((*count)++ < FAILURES_SHOWN)
        fprintf(stderr, "%s%s %s %s: %s | repeat: gates --plan %s --target %s\n",
                isatty(STDERR_FILENO) ? "\r\033[K" : "", drawn ? "SPILL" : "FAIL",
                t->name, k->name, result->message, k->name, t->name);
}

static void report(struct run *r, const struct gate_result *result)
{
    const struct gate_item *it = &r->item[result->item];
    const struct gate_kernel *k = &r->kernels.kernel[it->kernel];
    const struct gate_target *t = &gate_targets[it->target];
    const struct iqt_binary_info *i = &result->info;

    r->done++;
    r->compiled[it->target]++;
    if (i->registers > r->most[it->target])
        r->most[it->target] = i->registers;
    if (r->opt.csv && result->compiled)
        printf("%s,%s,%u,%u,%u,%u,%u\n", k->name, t->name, i->registers, i->scalars,
               i->spills, i->stack_bytes, i->shared_bytes);
    complain(r, result);
    show_progress(r);
}

static uint64_t key_of(const struct run *r, uint32_t item)
{
    const struct gate_item *it = &r->item[item];

    return gate_cache_key(r->kernels.kernel[it->kernel].hash,
                          gate_targets[it->target].name, r->compiler[it->target]);
}

static bool remembered(struct run *r, uint32_t item)
{
    const struct gate_item *it = &r->item[item];
    struct gate_result result = { .item = item, .compiled = true };

    if (!gate_cache_find(r->cache, key_of(r, item), &result.info))
        return false;
    gate_judge(&r->kernels.kernel[it->kernel], &gate_targets[it->target], &result);
    r->remembered++;
    report(r, &result);
    return true;
}

static void take_one(struct run *r, struct gate_pool *pool)
{
    struct gate_result result;

    if (!gate_pool_take(pool, &result))
        return;
    r->handled++;
    if (result.compiled)
        gate_cache_add(r->cache, key_of(r, result.item), &result.info);
    report(r, &result);
}

/* Until all is done or, past what must be, the budget is spent. */
static bool run_items(struct run *r)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct gate_pool *pool = gate_pool_create(cores < 1    ? 1
                                              : cores > 64 ? 64
                                                           : (unsigned)cores,
                                              &r->kernels, r->item);
    bool ok = pool != NULL;

    for (uint32_t i = 0; i < r->items && ok; i++) {
        if (remembered(r, i))
            continue;
        if (!r->item[i].must && seconds(r) > r->opt.budget)
            continue;
        while (ok && !gate_pool_give(pool, i)) {
            ok = r->given > r->handled;
            if (ok)
                take_one(r, pool);
        }
        r->given += ok;
    }
    while (ok && r->handled < r->given)
        take_one(r, pool);
    gate_pool_free(pool);
    return ok;
}

static void summarize(const struct run *r)
{
    for (uint32_t i = 0; i < GATE_TARGETS; i++)
        if (r->compiled[i] > 0)
            fprintf(stderr, "%-12s %4u kernels, at most %3u registers  %s\n",
                    gate_targets[i].name, r->compiled[i], r->most[i], r->compiler[i]);
    fprintf(stderr,
            "%u of %u kernels and targets in %.0f s, %u of them remembered; %u failed\n",
            r->done, r->items, seconds(r), r->remembered, r->failed);
    if (r->spilled > 0)
        fprintf(stderr, "%u drawn kernels spill (--strict makes that a failure)\n",
                r->spilled);
    if (r->excused > 0)
        fprintf(stderr, "%u spills are the fault of an old compiler (work.c)\n",
                r->excused);
    if (r->failed > 0)
        fprintf(stderr, "repeat all: gates --seed %" PRIu64 "%s%s\n", r->opt.seed,
                r->opt.dialect ? " --dialect " : "",
                r->opt.dialect ? r->opt.dialect : "");
}

static struct gate_cache *open_cache(const char *given)
{
    char folder[PATH_BYTES - 16], path[PATH_BYTES] = "";

    if (given != NULL)
        snprintf(path, sizeof path, "%s", strcmp(given, "none") == 0 ? "" : given);
    else if (iqt_cache_dir(folder, sizeof folder) == IQT_OK &&
             iqt_dir_make(folder) == IQT_OK)
        snprintf(path, sizeof path, "%s/gates.txt", folder);
    return gate_cache_open(path);
}

static int run_all(struct run *r)
{
    if (!find_compilers(r))
        return 1;
    if (collect(r) != IQT_OK || arrange(r) != IQT_OK) {
        fprintf(stderr, "gates: %s\n", iqt_last_error());
        return 1;
    }
    if (r->items == 0) {
        fprintf(stderr, "gates: nothing to compile: no compiler, or no kernel matches\n");
        return 77;
    }
    if (r->opt.csv)
        printf("plan,target,registers,scalars,spills,private_bytes,shared_bytes\n");
    if (!run_items(r)) {
        fprintf(stderr, "gates: no worker process could be started\n");
        return 1;
    }
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    summarize(r);
    return r->failed > 0;
}

int main(int argc, char **argv)
{
    static char compiler[GATE_TARGETS][GATE_COMPILER];
    struct run r = { .opt = { .seed =
                                  (iqt_now_ns() ^ (uint64_t)getpid() << 20) & 0xffffffff,
                              .budget = 50 },
                     .compiler = compiler,
                     .start = iqt_now_ns() };
    int code;

    parse_options(argc, argv, &r.opt);
    fprintf(stderr, "seed %" PRIu64 "\n", r.opt.seed);
    unsetenv("IQT_SIM"); /* the real compilers */
    r.cache = open_cache(r.opt.cache);
    code = r.cache != NULL ? run_all(&r) : 1;
    gate_cache_close(r.cache);
    free(r.item);
    free(r.kernels.kernel);
    return code;
}
