/* The cost model on cases computed by hand, the table of GPUs, and whole kernels from counts. */
#include "stats/predict.h"
#include "tests/check.h"
#include "tuner/candidates.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* 1000 lanes in all, 1e12 slots a second; its bandwidth is set so that 92 GB/s are reached. Latency
 * and launch are assumptions that change: results by hand are in multiples of them. */
static struct iqt_gpu toy = {
    .name = "toy",
    .aliases = "",
    .target = "",
    .kind = IQT_GPU_NVIDIA_HBM,
    .units = 10,
    .lanes = 100,
    .clock_ghz = 1,
};

static const struct hand {
    const char *name;
    struct iqt_model_input in;
    enum iqt_model_limit limit;
    double us, latencies; /* besides a launch */
} hands[] = {
    { "memory",
      { .bytes = 92e6,
        .weights = 1e6,
        .slots = 1,
        .groups = 100,
        .groups_unit = 10,
        .iterations = 1 },
      IQT_MODEL_MEMORY,
      1000,
      0 },
    { "issue",
      { .bytes = 92e3,
        .weights = 1e6,
        .slots = 10,
        .groups = 100,
        .groups_unit = 10,
        .iterations = 1 },
      IQT_MODEL_ISSUE,
      10,
      0 },
    /* A round of 100 groups at 1 us each a unit, ten a unit, and one more group alone. */
    { "tail",
      { .bytes = 92,
        .weights = 10.1e6,
        .slots = 1,
        .groups = 101,
        .groups_unit = 10,
        .iterations = 1 },
      IQT_MODEL_ISSUE,
      10 + 1,
      0 },
    /* Five of ten units have work: half the lanes. */
    { "short matrix",
      { .bytes = 92,
        .weights = 1e6,
        .slots = 10,
        .groups = 5,
        .groups_unit = 10,
        .iterations = 1 },
      IQT_MODEL_ISSUE,
      20,
      0 },
    { "latency",
      { .bytes = 92e3,
        .weights = 1e3,
        .slots = 1,
        .groups = 10,
        .groups_unit = 1,
        .iterations = 100 },
      IQT_MODEL_LATENCY,
      0,
      100 },
    /* Three rounds of ten groups because only one fits a unit. */
    { "occupancy",
      { .bytes = 92e3,
        .weights = 1e3,
        .slots = 1,
        .groups = 30,
        .groups_unit = 1,
        .iterations = 100 },
      IQT_MODEL_LATENCY,
      0,
      300 },
    { "tiny",
      { .bytes = 920,
        .weights = 1e3,
        .slots = 1,
        .groups = 1,
        .groups_unit = 8,
        .iterations = 1 },
      IQT_MODEL_LAUNCH,
      0,
      1 },
    { "not counted", { .bytes = 92e6, .weights = 1e6 }, IQT_MODEL_MEMORY, 1000, 0 },
};

static void check_hands(void)
{
    for (size_t i = 0; i < IQT_COUNT(hands); i++) {
        const struct hand *h = &hands[i];
        const struct iqt_gpu_kind_facts *kind = &iqt_gpu_kinds[toy.kind];
        const double us = h->us + h->latencies * kind->latency_ns / 1e3 + kind->launch_us;
        struct iqt_prediction p;

        if (!check_begin("model.%s", h->name))
            continue;
        iqt_model_predict(&toy, &h->in, &p);
        check_true(fabs(p.us - us) < 1e-6 * us, "%g us, by hand %g", p.us, us);
        check_true(p.limit == h->limit, "limited by %s, by hand %s",
                   iqt_model_limit_name(p.limit), iqt_model_limit_name(h->limit));
        check_true(fabs(p.gb_per_s * p.us * 1e3 - h->in.bytes) < 1e-6 * h->in.bytes,
                   "%g GB/s in %g us are not %g bytes", p.gb_per_s, p.us, h->in.bytes);
        check_end();
    }
}

static double uniform(double least, double most)
{
    return least + (most - least) * (check_rand() / 4294967296.0);
}

/* The whole is neither less than any part nor more than all parts; more of anything is not faster;
 * where a unit has just the bytes in flight that it needs, memory and latency take equally long. */
static void check_random(void)
{
    if (!check_begin("model.random"))
        return;
    for (int i = 0; i < 1000; i++) {
        const struct iqt_gpu *gpu = &iqt_gpus[check_rand() % 20];
        const struct iqt_model_input in = { .bytes = uniform(1, 1e8),
                                            .weights = uniform(1, 1e8),
                                            .slots = uniform(0.1, 10),
                                            .groups = 1 + check_rand() % 10000,
                                            .groups_unit = 1 + check_rand() % 16,
                                            .iterations = 1 + check_rand() % 10 };
        struct iqt_model_input more = in, full = in;
        struct iqt_prediction p, q;
        double all = 0;

        iqt_model_predict(gpu, &in, &p);
        for (int l = 0; l < IQT_MODEL_LIMITS; l++) {
            check_true(p.us >= p.part_us[l] * (1 - 1e-9), "%g us, %s alone %g", p.us,
                       iqt_model_limit_name((enum iqt_model_limit)l), p.part_us[l]);
            all += p.part_us[l];
        }
        check_true(p.us <= all * (1 + 1e-9), "%g us, all parts together %g", p.us, all);
        more.bytes *= 2;
        more.slots *= 2;
        more.iterations *= 2;
        iqt_model_predict(gpu, &more, &q);
        check_true(q.us >= p.us, "twice the work takes %g instead of %g us", q.us, p.us);
        full.groups = gpu->units * in.groups_unit;
        iqt_model_predict(gpu, &full, &p);
        check_true(fabs(p.flight / p.flight_needed -
                        p.part_us[IQT_MODEL_MEMORY] / p.part_us[IQT_MODEL_LATENCY]) <
                       1e-6 * p.flight / p.flight_needed,
                   "%g of %g bytes in flight, memory %g us, latency %g us", p.flight,
                   p.flight_needed, p.part_us[IQT_MODEL_MEMORY],
                   p.part_us[IQT_MODEL_LATENCY]);
    }
    check_end();
}

/* ---- The table ---- */

static void check_found(const char *name, const struct iqt_gpu *gpu)
{
    const struct iqt_gpu *found = NULL;

    check_true(iqt_gpu_find(name, &found) == IQT_OK && found == gpu, "'%s' is %s, not %s",
               name, found ? found->name : iqt_last_error(), gpu->name);
}

static void check_gpu(const struct iqt_gpu *g)
{
    struct iqt_occupancy o;
    struct iqt_stats_target target;
    const struct iqt_occupancy_input use = { .threads = 128,
                                             .registers = 32,
                                             .wave = 64 };
    char name[64], aliases[128];

    check_found(g->name, g);
    snprintf(name, sizeof name, "%s %s",
             g->kind == IQT_GPU_INTEL ? "Intel"
             : g->kind == IQT_GPU_AMD_HBM || g->kind == IQT_GPU_AMD_GDDR
                 ? "AMD"
                 : "NVIDIA GeForce",
             g->name);
    check_found(name, g);
    snprintf(aliases, sizeof aliases, "%s", g->aliases);
    for (char *at = strtok(aliases, "|"); at != NULL; at = strtok(NULL, "|"))
        check_found(at, g);
    check_true(g->units >= 16 && g->units <= 512 && (g->lanes == 64 || g->lanes == 128),
               "%s: %u units, %u lanes", g->name, g->units, g->lanes);
    check_true(g->clock_ghz > 1 && g->clock_ghz < 3.5, "%s: %g GHz", g->name,
               g->clock_ghz);
    check_true(g->gb_per_s > 200 && g->gb_per_s <= 8000, "%s: %g GB/s", g->name,
               g->gb_per_s);
    check_true(g->cache_mib >= 3 && g->cache_mib <= 256, "%s: %g MiB", g->name,
               g->cache_mib);
    check_true((g->target[0] == '\0') == (g->kind == IQT_GPU_INTEL), "%s: target '%s'",
               g->name, g->target);
    if (g->target[0] == '\0')
        return;
    check_true(iqt_stats_target_parse(g->target, &target) == IQT_OK, "%s: %s", g->name,
               iqt_last_error());
    check_true(iqt_occupancy(g->target, &use, &o) == IQT_OK && o.waves > 0, "%s: %s",
               g->name, iqt_last_error());
}

static void check_table(void)
{
    const struct iqt_gpu *found;
    size_t count = 0, of[IQT_GPU_KINDS] = { 0 };

    if (check_begin("gpus.table")) {
        for (const struct iqt_gpu *g = iqt_gpus; g->name != NULL; g++, count++) {
            check_gpu(g);
            of[g->kind]++;
        }
        check_true(count >= 20, "%zu GPUs", count);
        for (int kind = 0; kind < IQT_GPU_KINDS; kind++)
            check_true(of[kind] >= 2, "%zu GPUs of kind %d", of[kind], kind);
        check_end();
    }
    if (check_begin("gpus.unknown")) {
        static const char long_name[] = "a name that is longer than any name of a GPU, "
                                        "and that must not be cut to one";
        static const char *const names[] = { "",    "RTX",   "GTX 1080",
                                             "H10", "H1000", long_name };

        for (size_t i = 0; i < IQT_COUNT(names); i++)
            check_true(iqt_gpu_find(names[i], &found) == IQT_ERR_UNKNOWN &&
                           strstr(iqt_last_error(), "MI300X") != NULL,
                       "'%s': %s", names[i], iqt_last_error());
        check_end();
    }
}

/* NULL, and a failure: the table has no such GPU. */
static const struct iqt_gpu *known(const char *name)
{
    const struct iqt_gpu *g = NULL;

    if (iqt_gpu_find(name, &g) != IQT_OK)
        check_fail("%s", iqt_last_error());
    return g;
}

/* Slots that a GPU issues in the time of one bit, as the project's issue budgets state them. */
static void check_budgets(void)
{
    static const struct {
        const char *name;
        double slots;
    } stated[] = { { "H100", 1.10 },   { "H200", 0.77 },    { "B200", 0.55 },
                   { "MI300X", 0.96 }, { "RTX 3090", 2.4 }, { "RTX 4090", 5.1 } };

    if (!check_begin("gpus.budgets"))
        return;
    for (size_t i = 0; i < IQT_COUNT(stated); i++) {
        const struct iqt_gpu *g = known(stated[i].name);

        if (g == NULL)
            continue;
        const double slots = g->units * g->lanes * g->clock_ghz / g->gb_per_s / 8;

        check_true(fabs(slots - stated[i].slots) < 0.015 * stated[i].slots,
                   "%s: %g slots a bit, stated %g", g->name, slots, stated[i].slots);
    }
    check_end();
}

/* Slots of a product make the int8 rate that NVIDIA states, in 10^12 operations a second. */
static void check_tensors(void)
{
    static const struct {
        const char *name;
        double tops; /* dense; data sheets and white papers */
    } stated[] = { { "T4", 130 },         { "A100", 624 }, { "RTX 3090", 284 },
                   { "RTX 4090", 660.6 }, { "L40S", 733 }, { "RTX 5090", 838 },
                   { "RTX 5080", 450 } };

    if (!check_begin("gpus.tensors"))
        return;
    for (size_t i = 0; i < IQT_COUNT(stated); i++) {
        const struct iqt_gpu *g = known(stated[i].name);

        if (g == NULL)
            continue;
        const double products = g->lanes / 32.0 / iqt_gpu_tensor(g->target)->slots;
        const double tops = g->units * g->clock_ghz * products * 2 * 16 * 8 * 32 / 1000;

        check_true(fabs(tops - stated[i].tops) < 0.01 * stated[i].tops,
                   "%s: %g TOPS, stated %g", g->name, tops, stated[i].tops);
    }
    check_end();
}

/* ---- Counts ---- */

/* Bytes of activations by kind; float products cost slots that int8 ones do not. */
static void check_activations(const struct iqt_stats *s, const struct iqt_plan *i8,
                              const struct iqt_predict_product *product)
{
    static const struct {
        enum iqt_compute kind;
        double bytes;
    } kinds[] = { { IQT_COMPUTE_I8, 1.125 },
                  { IQT_COMPUTE_F16, 2.125 },
                  { IQT_COMPUTE_F32, 4 } };
    const double slots = iqt_estimate_slots(toy.kind, toy.target, i8);

    for (size_t i = 0; i < IQT_COUNT(kinds); i++) {
        const struct iqt_plan plan = iqt_plan_of_floats(*i8, kinds[i].kind);
        const double want = (product->weight_bytes + product->k * kinds[i].bytes +
                             (double)product->m * sizeof(float)) /
                            92e3;
        struct iqt_prediction p;

        iqt_predict(&toy, s, IQT_ISA_SASS, &plan, product, &p);
        check_true(fabs(p.part_us[IQT_MODEL_MEMORY] - want) < 1e-6,
                   "%s: memory %.9g us, expected %.9g", iqt_compute_name(plan.compute),
                   p.part_us[IQT_MODEL_MEMORY], want);
        check_true((iqt_estimate_slots(toy.kind, toy.target, &plan) > slots) ==
                       iqt_plan_is_asked_for(&plan),
                   "%s: %g slots, %g of int8", iqt_compute_name(plan.compute),
                   iqt_estimate_slots(toy.kind, toy.target, &plan), slots);
    }
}

/* 100 instructions outside the loop and 50 in it; two of its iterations are one of the text's four. */
static void check_counts(void)
{
    struct iqt_stats s = { .unroll = 2,
                           .wave = 32,
                           .once = { .instructions = 150 },
                           .loops = { .instructions = 50 },
                           .occupancy = { .waves = 12, .most = 48 } };
    struct iqt_predict_product product = { .m = 1000, .n = 1, .weight_bytes = 92e6 };
    struct iqt_plan plan;
    struct iqt_prediction p;

    if (!check_begin("model.counts"))
        return;
    if (iqt_plan_parse(
            "matvec.iq4_k.cuda.n1.g16.r4.t32.s64.v16.u1.k1.packed.i8.perm.subgroup",
            &plan) != IQT_OK)
        check_fail("%s", iqt_last_error());
    product.k = 7 * 32 * 64;
    check_true(iqt_stats_iterations(&s, &plan, product.k) == 4, "%g iterations",
               iqt_stats_iterations(&s, &plan, product.k));
    check_true(fabs(iqt_stats_whole(&s, IQT_ISA_SASS, &plan, product.k) -
                    300.0 * 32 / (4.0 * (double)product.k)) < 1e-9,
               "%g slots", iqt_stats_whole(&s, IQT_ISA_SASS, &plan, product.k));
    iqt_predict(&toy, &s, IQT_ISA_SASS, &plan, &product, &p);
    /* 63 groups of 16 rows, three of four waves fit a unit: two full rounds and three groups. */
    check_true(fabs(p.part_us[IQT_MODEL_LATENCY] -
                    3 * 4 * iqt_gpu_kinds[toy.kind].latency_ns / 1e3) < 1e-9,
               "latency %g us", p.part_us[IQT_MODEL_LATENCY]);
    const double bytes = 92e6 + product.k * 1.125 + 4000;

    check_true(p.limit == IQT_MODEL_MEMORY &&
                   fabs(p.part_us[IQT_MODEL_MEMORY] - bytes / 92e3) < 1e-6,
               "%s, memory %g us", iqt_model_limit_name(p.limit),
               p.part_us[IQT_MODEL_MEMORY]);
    iqt_predict(&toy, NULL, IQT_ISA_SASS, NULL, &product, &p);
    check_true(p.part_us[IQT_MODEL_ISSUE] == 0 && p.flight == 0 && p.us > bytes / 92e3,
               "issue %g us without counts", p.part_us[IQT_MODEL_ISSUE]);
    check_activations(&s, &plan, &product);
    check_end();
}

/* ---- Estimates ---- */

static struct iqt_plan estimated(const struct iqt_gpu *gpu, const struct iqt_format *f,
                                 size_t m, double *us, double *default_us)
{
    static const struct iqt_limits limits = { .subgroup_min = 32,
                                              .subgroup_max = 32,
                                              .max_threads = 1024,
                                              .shared_bytes = 48 << 10,
                                              .compute_units = 132,
                                              .subgroup_ops = true,
                                              .dot4 = true };
    const struct iqt_tune_options o = { .level = IQT_TUNE_ESTIMATE,
                                        .dialect = IQT_DIALECT_CUDA,
                                        .limits = &limits,
                                        .gpu = gpu };
    const struct iqt_tune_job job = { .format = f, .n = 1, .m = m, .k = 4096 };
    const struct iqt_plan fallback =
        iqt_plan_default(f, o.dialect, job.op, job.n, IQT_LAYOUT_PACKED);
    struct iqt_predict_product p = { .m = m, .k = 4096, .n = 1 };
    struct iqt_prediction out;
    struct iqt_plan plan = { 0 };
    size_t row = 0;

    check_true(iqt_candidates_estimate(&o, &job, IQT_LAYOUT_PACKED, &plan) == IQT_OK &&
                   iqt_format_row_bytes(f, 4096, &row) == IQT_OK,
               "%s", iqt_last_error());
    p.weight_bytes = (double)(m * row);
    iqt_estimate(gpu, &fallback, &p, &out);
    *default_us = out.us;
    iqt_estimate(gpu, &plan, &p, &out);
    *us = out.us;
    return plan;
}

/* A large matrix that waits for memory keeps its default; one that is bound by issue and has
 * one workgroup more than the GPU has units gets smaller ones. */
static void check_estimates(void)
{
    const struct iqt_gpu *gpu = NULL;
    const struct iqt_format *f = iqt_format_find("iq4_k");
    char name[IQT_PLAN_NAME_BYTES], standard[IQT_PLAN_NAME_BYTES];
    struct iqt_plan plan;
    double us, default_us;

    if (!check_begin("model.estimates"))
        return;
    check_true(iqt_gpu_find("H200", &gpu) == IQT_OK, "%s", iqt_last_error());
    plan = iqt_plan_default(f, IQT_DIALECT_CUDA, IQT_OP_MATVEC, 1, IQT_LAYOUT_PACKED);
    iqt_plan_name(&plan, standard);
    plan = estimated(gpu, f, 16 * 132 * 32, &us, &default_us);
    iqt_plan_name(&plan, name);
    check_true(strcmp(name, standard) == 0, "%s at %g us for %s at %g", name, us,
               standard, default_us);
    plan = estimated(gpu, iqt_format_find("iq3_kt"), 16 * 133, &us, &default_us);
    iqt_plan_name(&plan, name);
    check_true(us < 0.9 * default_us && iqt_plan_groups(&plan, 16 * 133) > 133,
               "one group too many: %s at %g us, default %g", name, us, default_us);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    toy.gb_per_s = 92 / iqt_gpu_kinds[toy.kind].efficiency;
    check_hands();
    check_random();
    check_table();
    check_budgets();
    check_tensors();
    check_counts();
    check_estimates();
    return check_done();
}
