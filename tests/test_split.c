/* Plans that split k over workgroups, on every GPU: the exact model's numbers, equal bits at every
 * repetition, number of columns and order of threads and workgroups; biases, gates and residuals are
 * applied once. */
#include "tests/gpu_case.h"

enum { M = 45, COLS = 5, BEGIN = 5, ROWS = 30 };

struct scene {
    struct target *t;
    struct problem p, gate;
    struct iqt_matrix *w, *g;
    struct iqt_plan plan;
};

/* The default plan at several columns, its parts and its reduction drawn. */
static void draw_plan(struct scene *s, enum iqt_layout layout, enum iqt_op op)
{
    static const uint8_t cols[] = { 1, 4, 16 };
    const struct iqt_plan standard =
        iqt_plan_default(s->p.f, s->t->dev->backend->dialect, op,
                         cols[check_rand() % IQT_COUNT(cols)], layout);

    s->plan = iqt_plan_divisible(&standard);
    s->plan.split = (uint8_t)(2u << check_rand() % 4);
    if (check_rand() % 2 && s->plan.threads > 1)
        s->plan.reduce = IQT_REDUCE_SHMEM;
    check_true(iqt_plan_check(&s->plan, &s->t->dev->limits) == IQT_OK, "%s",
               iqt_last_error());
}

static void scene_open(struct scene *s, struct target *t, const struct iqt_format *f,
                       enum iqt_layout layout, enum iqt_op op)
{
    const size_t k = problem_k(f, 2048 + 512 * (check_rand() % 3));

    *s = (struct scene){ .t = t };
    s->p = problem_new(f, M, k);
    s->gate = problem_new(f, M, k);
    s->w = problem_upload(&s->p, t, layout);
    s->g = problem_upload(&s->gate, t, layout);
    draw_plan(s, layout, op);
}

static void scene_close(struct scene *s)
{
    iqt_matrix_destroy(s->w);
    iqt_matrix_destroy(s->g);
    problem_free(&s->p);
    problem_free(&s->gate);
}

static uint32_t columns(const struct scene *s)
{
    return s->plan.n < COLS ? s->plan.n : COLS;
}

/* Vectors [first, first + n) of x. */
static void run(const struct scene *s, uint32_t first, uint32_t n, float *y)
{
    const struct iqt_product p = { .struct_size = sizeof p, .w = s->w, .y = y };

    check_true(iqt_product_run(s->t->q, s->p.x.at + first * s->p.x_stride, s->p.x_stride,
                               n, &p, 1, &s->plan, NULL) == IQT_OK,
               "%s", iqt_last_error());
}

static void name_failure(const struct scene *s, const float *want, const float *got,
                         size_t count, const char *what)
{
    char name[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(&s->plan, name);
    check_true(memcmp(want, got, count * sizeof *want) == 0, "%s: other bits %s", name,
               what);
}

static void check_bits(const struct scene *s, const float *want)
{
    const uint32_t n = columns(s);
    float again[COLS * M];

    run(s, 0, n, again);
    name_failure(s, want, again, n * M, "at the second call");
    for (uint32_t c = 0; c < n; c++) {
        run(s, c, 1, again);
        name_failure(s, want + c * M, again, M, "alone");
    }
}

static void check_plain(struct target *t, const struct iqt_format *f,
                        enum iqt_layout layout)
{
    struct scene s;
    float y[COLS * M];

    scene_open(&s, t, f, layout, IQT_OP_MATVEC);
    run(&s, 0, columns(&s), y);
    problem_compare(&s.p, y, M, columns(&s), 0, M);
    check_bits(&s, y);
    scene_close(&s);
}

/* Everything at once, rows in the middle of a tile: against the same plan in one part. */
static void run_gated(const struct scene *s, const struct iqt_plan *plan, float *y)
{
    static float bias[M], gate_bias[M], residual[COLS * ROWS];
    struct iqt_product p = { .struct_size = sizeof p,
                             .w = s->w,
                             .gate = s->g,
                             .act = IQT_ACT_SILU,
                             .bias = bias,
                             .gate_bias = gate_bias,
                             .residual = residual,
                             .residual_stride = ROWS,
                             .row_begin = BEGIN,
                             .rows = ROWS,
                             .y = y };

    for (size_t i = 0; i < M; i++)
        bias[i] = gate_bias[i] = (float)(i + 1);
    for (size_t i = 0; i < COLS * ROWS; i++)
        residual[i] = (float)i;
    check_true(iqt_product_run(s->t->q, s->p.x.at, s->p.x_stride, columns(s), &p, 1, plan,
                               NULL) == IQT_OK,
               "%s", iqt_last_error());
}

static void check_gated(struct target *t, const struct iqt_format *f,
                        enum iqt_layout layout)
{
    struct scene s;
    struct iqt_plan one;
    float want[COLS * ROWS], got[COLS * ROWS], largest = 0;

    scene_open(&s, t, f, layout, IQT_OP_GATED);
    one = s.plan;
    one.split = 1;
    run_gated(&s, &one, want);
    run_gated(&s, &s.plan, got);
    /* A small product is a large factor and a gate whose sums nearly cancel: it is off by what they are. */
    for (size_t i = 0; i < columns(&s) * ROWS; i++)
        largest = fmaxf(largest, fabsf(want[i]));
    for (size_t i = 0; i < columns(&s) * ROWS; i++)
        check_true(
            fabsf(want[i] - got[i]) <= 1e-3f * (fabsf(want[i]) + 1) + 1e-6f * largest,
            "value %zu: %.9g in parts, %.9g in one", i, (double)got[i], (double)want[i]);
    scene_close(&s);
}

/* One case in so many: each is two kernels, of which software drivers compile one a second. */
static void check_some(struct target *t, const char *name, problem_fn fn, uint32_t one_in)
{
    uint64_t number = 0;

    for (const struct iqt_format *f = iqt_formats; f->name; f++)
        for (uint32_t l = IQT_LAYOUT_NATIVE; l <= IQT_LAYOUT_PACKED; l++) {
            if (!check_draws(number++, one_in) ||
                !check_begin("%s.%s.%s.%s", name, t->name, f->name,
                             iqt_layout_name((enum iqt_layout)l)))
                continue;
            fn(t, f, (enum iqt_layout)l);
            check_end();
        }
}

static void check_orders(struct gpu_api *g, const char *spec)
{
    struct targets one = { .count = 0 };
    struct scene s;
    float want[COLS * M];

    if (!check_begin("split.orders.%s", spec))
        return;
    g->set_check(1);
    if (target_open(&one, spec, spec)) {
        scene_open(&s, &one.at[0], iqt_format_find("iq3_ks"), IQT_LAYOUT_PACKED,
                   IQT_OP_MATVEC);
        run(&s, 0, columns(&s), want);
        for (int order = IQT_SIM_REVERSE; order <= IQT_SIM_RANDOM; order++) {
            float got[COLS * M];

            g->set_order((enum iqt_sim_order)order, check_rand());
            run(&s, 0, columns(&s), got);
            name_failure(&s, want, got, columns(&s) * M, "in another order");
        }
        scene_close(&s);
        targets_close(&one);
    } else {
        check_fail("%s", iqt_last_error());
    }
    g->set_order(IQT_SIM_FORWARD, 1);
    g->set_check(0);
    check_end();
}

/* Short matrices are split where the units are known, at every n in the same way; others are not. */
static void check_choice(void)
{
    const struct iqt_format *f = iqt_format_find("iq4_ks");
    struct iqt_limits limits = { .subgroup_min = 32,
                                 .subgroup_max = 32,
                                 .max_threads = 1024,
                                 .shared_bytes = 49152,
                                 .compute_units = 132,
                                 .subgroup_ops = true,
                                 .dot4 = true };
    const struct iqt_plan plain =
        iqt_plan_default(f, IQT_DIALECT_CUDA, IQT_OP_MATVEC, 1, IQT_LAYOUT_PACKED);
    uint32_t split = 0;

    if (!check_begin("split.choice"))
        return;
    split = iqt_plan_split(&plain, &limits, 512, 14336).split;
    check_true(split > 1, "512 rows on 132 units in one part");
    for (uint32_t n = 1; n <= IQT_MAX_COLS; n++)
        for (uint32_t op = 0; op < IQT_OPS; op++) {
            const struct iqt_plan p = iqt_plan_default(
                f, IQT_DIALECT_CUDA, (enum iqt_op)op, n, IQT_LAYOUT_PACKED);

            check_true(iqt_plan_split(&p, &limits, 512, 14336).split == split,
                       "another split at n %u", n);
        }
    check_true(iqt_plan_split(&plain, &limits, 65536, 4096).split == 1,
               "65536 rows in parts");
    check_true(iqt_plan_split(&plain, &limits, 512, 256).split == 1,
               "4 spans for 32 threads in parts");
    limits.compute_units = 0;
    check_true(iqt_plan_split(&plain, &limits, 512, 14336).split == 1,
               "split for unknown units");
    check_end();
}

int main(int argc, char **argv)
{
    struct targets all = { .count = 0 };

    check_init(argc, argv);
    check_choice();
    targets_open_gpus(&all);
    for (size_t i = 0; i < all.count; i++) {
        check_some(&all.at[i], "split", check_plain, 14);
        check_some(&all.at[i], "split.gated", check_gated, 40);
    }
    targets_close(&all);
    for (size_t i = 0; i < IQT_COUNT(gpu_apis); i++)
        if (gpu_open(&gpu_apis[i])) {
            check_orders(&gpu_apis[i], gpu_apis[i].first);
            check_orders(&gpu_apis[i], gpu_apis[i].second);
        }
    return check_done();
}
