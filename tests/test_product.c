/* Plain products of every format, layout, device and number of columns against the exact scalar
 * model: values, equal bits for any number of columns, row ranges, strides, guards, splitting. */
#include "tests/problem.h"

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

/* Plans that take float activations as they are, by name as a caller would. */
static void floats(struct target *t, const struct iqt_format *f, enum iqt_layout layout)
{
    enum { M = 37 };
    const enum iqt_dialect dialect = t->dev->backend->dialect;
    struct problem p = problem_new(f, M, problem_k(f, 512));
    struct iqt_matrix *w = problem_upload(&p, t, layout);

    problem_remodel_floats(&p);
    problem_widen(&p);
    for (uint32_t n = 1; w && n <= IQT_MAX_COLS; n += 15) {
        struct iqt_plan plan = iqt_plan_of_floats(
            iqt_plan_default_for(&t->dev->limits, f, dialect, IQT_OP_MATVEC, n, layout));
        struct floats y = floats_new(M * n);
        const struct iqt_product product = { .struct_size = sizeof product,
                                             .w = w,
                                             .y = y.at };
        char name[IQT_PLAN_NAME_BYTES];

        plan.split = n == 1 ? 2 : 1;
        iqt_plan_name(&plan, name);
        if (iqt_plan_check(&plan, &t->dev->limits) == IQT_OK) {
            check_true(iqt_matvec_by_plan(t->q, name, p.x.at, p.x_stride, n, &product,
                                          1) == IQT_OK,
                       "%s: %s", name, iqt_last_error());
            problem_compare(&p, y.at, M, n, 0, M);
            floats_check(&y, M, n, M);
        }
        floats_free(&y);
    }
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
    for_each_format(&all, "product.values", values);
    for_each_format(&all, "product.bits", bits);
    for_each_format(&all, "product.chosen-bits", chosen_bits);
    for_each_format(&all, "product.ranges", ranges);
    for_each_format(&all, "product.split", split);
    for_each_format(&all, "product.one-hot", one_hot);
    for_each_format(&all, "product.floats", floats);
    for_each_unit(&all, "product.units", IQT_OP_MATVEC, unit);
    targets_close(&all);
    return check_done();
}
