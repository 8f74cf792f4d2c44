/* Plain products of every format, layout, device and number of columns against the exact scalar
 * model: values, equal bits for any number of columns, row ranges, strides, guards, splitting. */
#include "tests/problem_units.h"

/* Rows: one, prime, one less and one more than a workgroup's. */
static const struct shape {
    size_t m, k;
} shapes[] = { { 1, 256 }, { 13, 512 }, { 63, 1280 }, { 65, 32 }, { 33, 96 } };

static void values(struct target *t, const struct iqt_format *f, enum iqt_layout layout)
{
    for (size_t i = 0; i < IQT_COUNT(shapes); i++) {
        struct problem p = problem_new(f, shapes[i].m, problem_k(f, shapes[i].k));
        struct iqt_matrix *w = problem_upload(&p, t, layout);

        for (uint32_t n = 1; w && n <= IQT_MAX_COLS; n++)
            problem_check(&p, t, w, n);
        iqt_matrix_destroy(w);
        problem_free(&p);
    }
}

static void compare_bits(const float *one, const float *y, size_t m, uint32_t n)
{
    check_true(memcmp(one, y, m * n * sizeof(float)) == 0,
               "n %u: bits differ from one column at a time", n);
}

/* The plan that 16 columns use, with 1 .. 16 of its columns in use. */
static bool widest_plan(struct target *t, const struct iqt_matrix *w,
                        struct iqt_plan *out)
{
    const char *name;

    if (iqt_plan_used(t->dev, w, false, IQT_MAX_COLS, &name) == IQT_OK &&
        iqt_plan_parse(name, out) == IQT_OK)
        return true;
    check_fail("plan for %u columns: %s", IQT_MAX_COLS, iqt_last_error());
    return false;
}

static void bits(struct target *t, const struct iqt_format *f, enum iqt_layout layout)
{
    enum { M = 37 };
    struct problem p = problem_new(f, M, problem_k(f, 768));
    struct iqt_matrix *w = problem_upload(&p, t, layout);
    float one[IQT_MAX_COLS * M], y[IQT_MAX_COLS * M];
    struct iqt_product product = { .struct_size = sizeof product, .w = w };
    struct iqt_plan wide;

    if (!w || !widest_plan(t, w, &wide))
        goto free_problem;
    for (uint32_t c = 0; c < IQT_MAX_COLS; c++) {
        product.y = one + c * M;
        check_true(iqt_product_run(t->q, p.x.at + c * p.x_stride, 0, 1, &product, 1,
                                   &wide, NULL) == IQT_OK,
                   "column %u: %s", c, iqt_last_error());
    }
    product.y = y;
    for (uint32_t n = 1; n <= IQT_MAX_COLS; n++)
        if (problem_run(&p, t, n, &product, &wide))
            compare_bits(one, y, M, n);
free_problem:
    iqt_matrix_destroy(w);
    problem_free(&p);
}

static bool same_reduction(const char *a, const char *b)
{
    struct iqt_plan p, q;

    return iqt_plan_parse(a, &p) == IQT_OK && iqt_plan_parse(b, &q) == IQT_OK &&
           p.threads == q.threads && p.span == q.span && p.split == q.split &&
           p.compute == q.compute;
}

/* The plans a user gets: equal bits wherever the order of the sums is equal. */
static void chosen_bits(struct target *t, const struct iqt_format *f,
                        enum iqt_layout layout)
{
    enum { M = 21 };
    struct problem p = problem_new(f, M, problem_k(f, 512));
    struct iqt_matrix *w = problem_upload(&p, t, layout);
    float one[M], y[IQT_MAX_COLS * M];
    struct iqt_product single = { .struct_size = sizeof single, .w = w, .y = one };
    struct iqt_product product = { .struct_size = sizeof product, .w = w, .y = y };
    const char *name1 = "", *name = "";

    for (uint32_t n = 2; w && n <= IQT_MAX_COLS; n++) {
        if (iqt_plan_used(t->dev, w, false, 1, &name1) != IQT_OK ||
            iqt_plan_used(t->dev, w, false, n, &name) != IQT_OK) {
            check_fail("plan: %s", iqt_last_error());
            break;
        }
        if (!same_reduction(name1, name))
            continue;
        if (problem_run(&p, t, 1, &single, NULL) && problem_run(&p, t, n, &product, NULL))
            check_true(memcmp(one, y, sizeof one) == 0, "n %u: bits of %s differ from %s",
                       n, name, name1);
    }
    iqt_matrix_destroy(w);
    problem_free(&p);
}

static void one_range(struct target *t, const struct problem *p,
                      const struct iqt_matrix *w, size_t begin, size_t rows)
{
    enum { N = 3, GAP = 7 };
    const size_t taken = rows ? rows : p->m - begin, stride = taken + GAP;
    struct floats y = floats_new(N * stride);
    const struct iqt_product product = {
        .struct_size = sizeof product,
        .w = w,
        .y = y.at,
        .y_stride = stride,
        .row_begin = begin,
        .rows = rows,
    };

    if (problem_run(p, t, N, &product, NULL))
        problem_compare(p, y.at, stride, N, begin, taken);
    floats_check(&y, stride, N, taken);
    floats_free(&y);
}

static void ranges(struct target *t, const struct iqt_format *f, enum iqt_layout layout)
{
    static const struct {
        size_t begin, rows;
    } parts[] = { { 0, 1 }, { 1, 1 }, { 5, 0 }, { 17, 13 }, { 70, 1 }, { 0, 71 } };
    struct problem p = problem_new(f, 71, problem_k(f, 256));
    struct iqt_matrix *w = problem_upload(&p, t, layout);

    for (size_t i = 0; w && i < IQT_COUNT(parts); i++)
        one_range(t, &p, w, parts[i].begin, parts[i].rows);
    iqt_matrix_destroy(w);
    problem_free(&p);
}

/* A device that binds little at a time: the call becomes many launches at aligned offsets. */
static void split(struct target *t, const struct iqt_format *f, enum iqt_layout layout)
{
    const uint64_t binding = t->dev->max_binding;
    const uint32_t align = t->dev->offset_align;
    struct problem p = problem_new(f, 211, problem_k(f, 256));
    struct iqt_matrix *w = problem_upload(&p, t, layout);

    t->dev->offset_align = 256;
    t->dev->max_binding = 1024 + 512 + 9 * iqt_layout_row_bytes(f, layout, p.k);
    if (t->dev->max_binding < 16 * 4 * p.k)
        t->dev->max_binding = 16 * 4 * p.k;
    for (uint32_t n = 1; w && n <= IQT_MAX_COLS; n += 5)
        problem_check(&p, t, w, n);
    if (w)
        one_range(t, &p, w, 19, 103);
    t->dev->max_binding = binding;
    t->dev->offset_align = align;
    iqt_matrix_destroy(w);
    problem_free(&p);
}

/* x = one unit vector: the kernel must return a column of decoded weights. */
static void one_hot(struct target *t, const struct iqt_format *f, enum iqt_layout layout)
{
    struct problem p = problem_new(f, 5, problem_k(f, 256));
    struct iqt_matrix *w = problem_upload(&p, t, layout);

    for (size_t j = 0; w && j < p.k; j += IQT_MAX_COLS) {
        for (uint32_t c = 0; c < IQT_MAX_COLS; c++) {
            memset(p.x.at + c * p.x_stride, 0, p.k * sizeof(float));
            p.x.at[c * p.x_stride + j + c] = 1;
        }
        problem_remodel(&p);
        problem_widen(&p);
        problem_check(&p, t, w, IQT_MAX_COLS);
    }
    iqt_matrix_destroy(w);
    problem_free(&p);
}

/* ---- Float activations: plans by name, as a caller asks for them ---- */

enum { FLOATS_M = 37, FLOATS_N = 4 };

/* Kernels of 16 columns compile for seconds. */
static uint32_t most_columns(void)
{
    return getenv("IQT_ALL") != NULL ? IQT_MAX_COLS : FLOATS_N;
}

/* The default plan of n columns with float activations; false: its rows cannot have them. */
static bool plan_of_floats(const struct target *t, const struct iqt_matrix *w, uint32_t n,
                           enum iqt_compute kind, struct iqt_plan *out)
{
    *out = iqt_plan_of_floats(iqt_plan_default_for(&t->dev->limits, w->format,
                                                   t->dev->backend->dialect,
                                                   IQT_OP_MATVEC, n, w->layout),
                              kind);
    out->split = n == 1 ? 2 : 1;
    return iqt_plan_check(out, &t->dev->limits) == IQT_OK;
}

static void run_by_name(const struct problem *p, struct target *t,
                        const struct iqt_plan *plan, const struct iqt_matrix *w,
                        uint32_t n, struct floats *y)
{
    const struct iqt_product product = { .struct_size = sizeof product,
                                         .w = w,
                                         .y = y->at };
    char name[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(plan, name);
    check_true(iqt_matvec_by_plan(t->q, name, p->x.at, p->x_stride, n, &product, 1) ==
                   IQT_OK,
               "%s: %s", name, iqt_last_error());
    floats_check(y, FLOATS_M, n, FLOATS_M);
}

static void floats_as(struct problem *p, struct target *t, const struct iqt_matrix *w,
                      enum iqt_compute kind)
{
    problem_remodel_as(p, kind);
    problem_widen(p);
    for (uint32_t n = 1; n <= most_columns(); n += most_columns() - 1) {
        struct floats y = floats_new(FLOATS_M * n);
        struct iqt_plan plan;

        if (plan_of_floats(t, w, n, kind, &plan)) {
            run_by_name(p, t, &plan, w, n, &y);
            problem_compare(p, y.at, FLOATS_M, n, 0, FLOATS_M);
        }
        floats_free(&y);
    }
}

static void floats(struct target *t, const struct iqt_format *f, enum iqt_layout layout)
{
    struct problem p = problem_new(f, FLOATS_M, problem_k(f, 512));
    struct iqt_matrix *w = problem_upload(&p, t, layout);

    if (w) {
        floats_as(&p, t, w, IQT_COMPUTE_F32);
        p.x.at[3 * p.x_stride + p.k - 1] =
            INFINITY; /* the column's results are no numbers */
        floats_as(&p, t, w, IQT_COMPUTE_F16);
    }
    iqt_matrix_destroy(w);
    problem_free(&p);
}

/* What halving may do to x at the most, in place of x: 2^-11 of it, the half of the last of 11 bits, and 2^-28
 * of the largest of the 32, below which it becomes 0. */
static void replace_by_errors(struct problem *p)
{
    for (size_t i = 0; i < IQT_MAX_COLS * p->x_stride; i += p->x_stride)
        for (size_t j = 0; j < p->k; j += IQT_X_BLOCK) {
            float *x = p->x.at + i + j, most = 0;

            for (size_t e = 0; e < IQT_X_BLOCK; e++)
                most = fmaxf(most, fabsf(x[e]));
            for (size_t e = 0; e < IQT_X_BLOCK; e++)
                x[e] = 0x1p-11f * fabsf(x[e]) + 0x1p-28f * most;
        }
}

enum { TIE, NEXT, SHORT }; /* columns that differ from the others, see below */

/* Activations of a wide range. Columns TIE and NEXT have a single one: halfway between two of 11 bits, which uses the
 * bound up, and just below the upper of the two, which would be twice the bound away if its bits were cut off.
 * Column SHORT has 11 bits everywhere. */
static void fill_wide(struct problem *p)
{
    for (uint32_t c = 0; c < IQT_MAX_COLS; c++)
        for (size_t j = 0; j < p->k; j++) {
            float *x = &p->x.at[c * p->x_stride + j];

            *x = c == TIE     ? (j == p->k / 2 ? 1 + 0x1p-11f : 0)
                 : c == NEXT  ? (j == p->k / 2 ? 1 + 0x1p-10f - 0x1p-23f : 0)
                 : c == SHORT ? (float)(int)(check_rand() % 4095) - 2047
                              : ldexpf(*x, -(int)(check_rand() % 40));
        }
}

/* The two products differ by the sum of |w| times what halving may do, and each is its own sums' rounding
 * away from the exact one. */
static void halves(struct target *t, const struct iqt_format *f, enum iqt_layout layout)
{
    enum { N = FLOATS_N };
    struct problem p = problem_new(f, FLOATS_M, problem_k(f, 512));
    struct iqt_matrix *w = problem_upload(&p, t, layout);
    struct floats y32 = floats_new(FLOATS_M * N), y16 = floats_new(FLOATS_M * N);
    struct iqt_plan f32, f16;
    struct iqt_model exact;

    fill_wide(&p);
    if (w && plan_of_floats(t, w, N, IQT_COMPUTE_F32, &f32) &&
        plan_of_floats(t, w, N, IQT_COMPUTE_F16, &f16)) {
        run_by_name(&p, t, &f32, w, N, &y32);
        run_by_name(&p, t, &f16, w, N, &y16);
        check_true(memcmp(y16.at + SHORT * FLOATS_M, y32.at + SHORT * FLOATS_M,
                          FLOATS_M * sizeof(float)) == 0,
                   "f16 and f32 differ where halving loses nothing");
        problem_remodel_as(&p, IQT_COMPUTE_F32);
        problem_widen(&p);
        exact = p.model;
        p.model = (struct iqt_model){ 0 };
        replace_by_errors(&p);
        problem_remodel_as(&p, IQT_COMPUTE_F32);
        for (size_t i = 0; i < FLOATS_M * N; i++) {
            const double apart = fabs((double)y16.at[i] - (double)y32.at[i]);
            const double halving = p.model.bound[i];
            const double sums =
                IQT_MODEL_RTOL * (2 * exact.bound[i] + halving) + exact.tiny;

            check_true(
                apart <= halving + sums,
                "row %zu, column %zu: f16 and f32 are %.3g apart, expected %.3g at "
                "most",
                i % FLOATS_M, i / FLOATS_M, apart, halving + sums);
            if (i / FLOATS_M == TIE) /* w (1 + 2^-11) has become w */
                check_true(apart >= 0x1p-11 / (1 + 0x1p-11) * fabs(exact.y[i]) - sums,
                           "row %zu: f16 is only %.3g away from %.6g times 1 + 2^-11", i,
                           apart, exact.y[i]);
        }
        iqt_model_free(&exact);
    }
    floats_free(&y32);
    floats_free(&y16);
    iqt_matrix_destroy(w);
    problem_free(&p);
}

/* Each column alone by the plan of `name`: the bits of y. */
static void same_columns(struct target *t, const struct problem *p,
                         const struct iqt_matrix *w, const struct iqt_plan *plan,
                         const char *name, const float *y)
{
    struct floats one = floats_new(p->m);
    const struct iqt_product product = { .struct_size = sizeof product,
                                         .w = w,
                                         .y = one.at };

    for (uint32_t c = 0; c < plan->n; c++) {
        check_true(iqt_product_run(t->q, p->x.at + c * p->x_stride, 0, 1, &product, 1,
                                   plan, NULL) == IQT_OK,
                   "%s, column %u: %s", name, c, iqt_last_error());
        check_true(memcmp(one.at, y + c * p->m, p->m * sizeof(float)) == 0,
                   "%s, %zu x %zu, column %u: bits differ from the column's alone", name,
                   p->m, p->k, c);
    }
    floats_check(&one, p->m, 1, p->m);
    floats_free(&one);
}

/* A drawn plan for matrix units, any shape. */
static void unit(struct target *t, const struct iqt_plan *plan)
{
    const size_t m = 1 + check_rand() % 150, k = 256 * (1 + check_rand() % 9);
    struct problem p = problem_new(plan->format, m, k);
    struct iqt_matrix *w = problem_upload(&p, t, IQT_LAYOUT_PACKED);
    struct floats y = floats_new(m * plan->n);
    const struct iqt_product product = { .struct_size = sizeof product,
                                         .w = w,
                                         .y = y.at };
    struct iqt_mismatch worst;
    char name[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(plan, name);
    if (w && problem_run(&p, t, plan->n, &product, plan)) {
        check_true(
            iqt_model_agrees(&p.model, y.at, m, plan->n, 0, m, &worst),
            "%s, %zu x %zu: %zu values differ; row %zu, column %u: %.9g, expected %.9g",
            name, m, k, worst.count, worst.row, worst.col, worst.got, worst.want);
        same_columns(t, &p, w, plan, name, y.at);
    }
    floats_check(&y, m, plan->n, m);
    floats_free(&y);
    iqt_matrix_destroy(w);
    problem_free(&p);
}

int main(int argc, char **argv)
{
    struct targets all;

    check_init(argc, argv);
    targets_open(&all);
    for_each_format(&all, "product.values", 5, values);
    for_each_format(&all, "product.bits", 5, bits);
    for_each_format(&all, "product.chosen-bits", 5, chosen_bits);
    for_each_format(&all, "product.ranges", 5, ranges);
    for_each_format(&all, "product.split", 5, split);
    for_each_format(&all, "product.one-hot", 5, one_hot);
    for_each_format(&all, "product.floats", 8, floats);
    for_each_unit(&all, "product.units", IQT_OP_MATVEC, unit);
    for_each_format(&all, "product.halves", 8, halves);
    targets_close(&all);
    return check_done();
}
