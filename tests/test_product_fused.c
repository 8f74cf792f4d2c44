/* What rides along with a product: bias, residual, act(gate) * up, several matrices that share
 * one activation. Models in double, bounds carried through the activation functions. */
#include "tests/problem_units.h"

enum { M = 37, N = IQT_MAX_COLS };
static const uint32_t columns[] = { 1, 2, 4, 5, 16 };

/* Of these one or two where a kernel takes seconds to compile. */
static bool skips_column(const struct target *t, const struct iqt_format *f, size_t i)
{
    return strcmp(t->dev->backend->name, "vulkan") == 0 &&
           !check_draws((uint64_t)(f - iqt_formats) + i, 3);
}

/* ---- Bias and residual ---- */

struct extras {
    struct floats bias, gate_bias, residual;
    size_t stride; /* of residual */
};

static struct extras extras_new(size_t m, size_t gap)
{
    struct extras e = { .stride = m + gap };

    e.bias = floats_new(m);
    e.gate_bias = floats_new(m);
    e.residual = floats_new(N * e.stride);
    for (size_t i = 0; i < m; i++) {
        e.bias.at[i] = check_gauss();
        e.gate_bias.at[i] = check_gauss();
        for (uint32_t c = 0; c < N; c++)
            e.residual.at[c * e.stride + i] = check_gauss();
    }
    return e;
}

static void extras_free(struct extras *e)
{
    floats_free(&e->bias);
    floats_free(&e->gate_bias);
    floats_free(&e->residual);
}

/* The model of W x + bias + residual for rows from begin on; r is indexed from begin. */
static struct problem with_extras(const struct problem *p, const float *bias,
                                  const float *r, size_t stride, size_t begin,
                                  size_t rows)
{
    struct problem sum = *p;

    sum.model.y = malloc(N * p->m * sizeof(double));
    sum.model.bound = malloc(N * p->m * sizeof(double));
    if (!sum.model.y || !sum.model.bound)
        abort();
    for (uint32_t c = 0; c < N; c++)
        for (size_t i = 0; i < rows; i++) {
            const size_t at = c * p->m + begin + i;
            const double b = bias ? (double)bias[begin + i] : 0;
            const double add = r ? (double)r[c * stride + i] : 0;

            sum.model.y[at] = p->model.y[at] + b + add;
            sum.model.bound[at] = p->model.bound[at] + fabs(b) + fabs(add);
        }
    return sum;
}

static void one_sum(struct target *t, const struct problem *p, const struct iqt_matrix *w,
                    const struct extras *e, uint32_t flags, size_t begin, size_t rows,
                    uint32_t n)
{
    struct floats y = floats_new(n * rows);
    const struct iqt_product product = {
        .struct_size = sizeof product,
        .w = w,
        .bias = flags & IQT_FLAG_BIAS ? e->bias.at : NULL,
        .residual = flags & IQT_FLAG_RESIDUAL ? e->residual.at : NULL,
        .residual_stride = e->stride,
        .y = y.at,
        .row_begin = begin,
        .rows = rows,
    };
    struct problem sum =
        with_extras(p, product.bias, product.residual, e->stride, begin, rows);

    if (problem_run(p, t, n, &product, NULL))
        problem_compare(&sum, y.at, rows, n, begin, rows);
    floats_check(&y, rows, n, rows);
    iqt_model_free(&sum.model);
    floats_free(&y);
}

static void sums(struct target *t, const struct iqt_format *f, enum iqt_layout layout)
{
    struct problem p = problem_new(f, M, problem_k(f, 256));
    struct extras e = extras_new(M, 3);
    struct iqt_matrix *w = problem_upload(&p, t, layout);

    for (size_t i = 0; w && i < IQT_COUNT(columns); i++) {
        if (skips_column(t, f, i))
            continue;
        one_sum(t, &p, w, &e, IQT_FLAG_BIAS, 0, M, columns[i]);
        one_sum(t, &p, w, &e, IQT_FLAG_RESIDUAL, 0, M, columns[i]);
        one_sum(t, &p, w, &e, IQT_FLAG_BIAS | IQT_FLAG_RESIDUAL, 0, M, columns[i]);
        one_sum(t, &p, w, &e, IQT_FLAG_BIAS | IQT_FLAG_RESIDUAL, 11, 19, columns[i]);
    }
    iqt_matrix_destroy(w);
    extras_free(&e);
    problem_free(&p);
}

/* y is the residual, as in x += W h of a transformer. */
static void in_place(struct target *t, const struct iqt_format *f, enum iqt_layout layout)
{
    struct problem p = problem_new(f, M, problem_k(f, 256));
    struct extras e = extras_new(M, 0);
    struct iqt_matrix *w = problem_upload(&p, t, layout);

    for (size_t i = 0; w && i < IQT_COUNT(columns); i++) {
        const uint32_t n = columns[i];
        struct floats y = floats_new(n * M);
        const struct iqt_product product = {
            .struct_size = sizeof product, .w = w, .residual = y.at, .y = y.at
        };
        struct problem sum = with_extras(&p, NULL, e.residual.at, M, 0, M);

        memcpy(y.at, e.residual.at, n * M * sizeof(float));
        if (problem_run(&p, t, n, &product, NULL))
            problem_compare(&sum, y.at, M, n, 0, M);
        floats_check(&y, M, n, M);
        iqt_model_free(&sum.model);
        floats_free(&y);
    }
    iqt_matrix_destroy(w);
    extras_free(&e);
    problem_free(&p);
}

/* ---- Gated products ---- */

static double act(enum iqt_act kind, double limit, double g)
{
    const double capped = g < limit ? g : limit;

    switch (kind) {
    case IQT_ACT_SILU:
        return g / (1 + exp(-g));
    case IQT_ACT_GELU:
        return 0.5 * g * (1 + tanh(sqrt(2 / M_PI) * (g + 0.044715 * g * g * g)));
    case IQT_ACT_RELU:
        return g > 0 ? g : 0;
    case IQT_ACT_SWIGLU_OAI:
        return capped / (1 + exp(-1.702 * capped));
    }
    return NAN;
}

/* The slopes of all four activations stay below this. */
static const double steepest = 1.2;

/* y = act(g) * u + r with its bound, from models of g and u that include the biases. */
static void gated_model(struct problem *u, const struct problem *g,
                        const struct iqt_product *p, size_t r_stride)
{
    const bool oai = p->act == IQT_ACT_SWIGLU_OAI;
    const double limit = (double)p->limit;

    for (uint32_t c = 0; c < N; c++)
        for (size_t i = 0; i < u->m; i++) {
            const size_t at = c * u->m + i;
            const double gv = g->model.y[at], a = act(p->act, limit, gv);
            const double raw = u->model.y[at];
            const double up = oai ? fmin(fmax(raw, -limit), limit) + 1 : raw;
            const double r = p->residual ? (double)p->residual[c * r_stride + i] : 0;
            /* In units of the model's relative tolerance. */
            const double g_error = g->model.bound[at], u_error = u->model.bound[at] + oai;
            const double a_error = steepest * g_error + fabs(a) + 0.2 * fabs(gv);

            u->model.y[at] = a * up + r;
            u->model.bound[at] = a_error * (fabs(up) + IQT_MODEL_RTOL * u_error) +
                                 fabs(a) * u_error + fabs(r);
        }
}

static void scale_x(struct problem *p, double factor)
{
    for (uint32_t c = 0; c < N; c++)
        for (size_t i = 0; i < p->k; i++)
            p->x.at[c * p->x_stride + i] *= (float)factor;
    problem_remodel(p);
    problem_widen(p);
}

static double rms(const struct problem *p)
{
    double sum = 0;

    for (size_t i = 0; i < N * p->m; i++)
        sum += p->model.y[i] * p->model.y[i];
    return sqrt(sum / (double)(N * p->m));
}

/* Two matrices for one x, scaled so that the gate's values spread over the bend of its
 * activation. */
struct pair {
    struct problem u, g;
    struct iqt_matrix *w, *gate;
    struct extras e;
};

static struct pair pair_new(struct target *t, const struct iqt_format *f,
                            const struct iqt_format *gf, enum iqt_layout layout,
                            enum iqt_layout gate_layout, size_t want)
{
    const size_t k = problem_k(f, want) > problem_k(gf, want) ? problem_k(f, want)
                                                              : problem_k(gf, want);
    struct pair p = { .u = problem_new(f, M, k), .g = problem_new(gf, M, k) };
    const double size = rms(&p.g);

    memcpy(p.g.x.at, p.u.x.at, p.u.x.count * sizeof(float));
    scale_x(&p.u, 2 / size);
    scale_x(&p.g, 2 / size);
    p.e = extras_new(M, 3);
    p.w = problem_upload(&p.u, t, layout);
    p.gate = problem_upload(&p.g, t, gate_layout);
    return p;
}

static void pair_free(struct pair *p)
{
    iqt_matrix_destroy(p->w);
    iqt_matrix_destroy(p->gate);
    extras_free(&p->e);
    problem_free(&p->u);
    problem_free(&p->g);
}

/* plan NULL: the chosen one. */
static void one_gated(struct target *t, const struct pair *p, enum iqt_act kind,
                      uint32_t n, bool extras, const struct iqt_plan *plan)
{
    struct floats y = floats_new(n * M);
    const struct iqt_product product = {
        .struct_size = sizeof product,
        .w = p->w,
        .gate = p->gate,
        .act = kind,
        .limit = 1.5f,
        .bias = extras ? p->e.bias.at : NULL,
        .gate_bias = extras ? p->e.gate_bias.at : NULL,
        .residual = extras ? p->e.residual.at : NULL,
        .residual_stride = p->e.stride,
        .y = y.at,
    };
    struct problem u = with_extras(&p->u, product.bias, NULL, 0, 0, M);
    struct problem g = with_extras(&p->g, product.gate_bias, NULL, 0, 0, M);

    gated_model(&u, &g, &product, p->e.stride);
    if (problem_run(&p->u, t, n, &product, plan))
        problem_compare(&u, y.at, M, n, 0, M);
    floats_check(&y, M, n, M);
    iqt_model_free(&u.model);
    iqt_model_free(&g.model);
    floats_free(&y);
}

static void all_gated(struct target *t, const struct pair *p)
{
    for (uint32_t kind = IQT_ACT_SILU; p->w && p->gate && kind <= IQT_ACT_SWIGLU_OAI;
         kind++)
        for (size_t i = 0; i < IQT_COUNT(columns); i++)
            for (uint32_t extras = skips_column(t, p->w->format, i) ? 2 : 0; extras < 2;
                 extras++)
                one_gated(t, p, (enum iqt_act)kind, columns[i], extras, NULL);
}

static void gated(struct target *t, const struct iqt_format *f, enum iqt_layout layout)
{
    struct pair p = pair_new(t, f, f, layout, layout, 256);

    all_gated(t, &p);
    pair_free(&p);
}

/* A drawn plan for matrix units. */
static void gated_unit(struct target *t, const struct iqt_plan *plan)
{
    struct pair p = pair_new(t, plan->format, plan->format, IQT_LAYOUT_PACKED,
                             IQT_LAYOUT_PACKED, 256 * (1 + check_rand() % 5));

    if (p.w && p.gate) {
        one_gated(t, &p, IQT_ACT_SILU, plan->n, true, plan);
        one_gated(t, &p, IQT_ACT_SWIGLU_OAI, 1 + check_rand() % plan->n, false, plan);
    }
    pair_free(&p);
}

/* ---- Matrices of different kinds in one call ---- */

static const struct {
    const char *format;
    enum iqt_layout layout;
} kinds[] = {
    { "iq4_ks", IQT_LAYOUT_NATIVE }, { "iq4_ks", IQT_LAYOUT_PACKED },
    { "iq3_k", IQT_LAYOUT_PACKED },  { "q8_0", IQT_LAYOUT_NATIVE },
    { "f16", IQT_LAYOUT_NATIVE },    { "iq2_kt", IQT_LAYOUT_PACKED },
};

/* Up and gate of different formats or layouts cannot run in one kernel. */
static void test_mixed_gate(struct targets *all)
{
    for (size_t i = 0; i < all->count; i++)
        for (size_t a = 0; a < IQT_COUNT(kinds); a++) {
            const size_t b = (a + 1) % IQT_COUNT(kinds);
            struct target *t = &all->at[i];

            if (!check_begin("bug.mixed_gate.%s.%s-%s", t->name, kinds[a].format,
                             kinds[b].format))
                continue;
            struct pair p = pair_new(t, iqt_format_find(kinds[a].format),
                                     iqt_format_find(kinds[b].format), kinds[a].layout,
                                     kinds[b].layout, 256);
            all_gated(t, &p);
            pair_free(&p);
            check_end();
        }
}

static void shared_bits(struct target *t, const float *x, size_t stride, uint32_t n,
                        const struct iqt_product *products, float *const *want)
{
    for (size_t i = 0; i < IQT_COUNT(kinds); i++) {
        const size_t bytes = n * products[i].w->m * sizeof(float);

        memcpy(want[i], products[i].y, bytes);
        check_true(iqt_matvec(t->q, x, stride, n, &products[i], 1) == IQT_OK &&
                       memcmp(want[i], products[i].y, bytes) == 0,
                   "n %u: %s alone has other bits than in a shared call", n,
                   kinds[i].format);
    }
}

/* All kinds in one call, of different heights: the activations are prepared once. */
static void test_shared(struct targets *all)
{
    enum { K = 512 };

    for (size_t at = 0; at < all->count; at++) {
        struct target *t = &all->at[at];
        struct problem p[IQT_COUNT(kinds)];
        struct iqt_product products[IQT_COUNT(kinds)];
        struct floats y[IQT_COUNT(kinds)], copy[IQT_COUNT(kinds)];
        float *want[IQT_COUNT(kinds)];

        if (!check_begin("product.shared.%s", t->name))
            continue;
        for (size_t i = 0; i < IQT_COUNT(kinds); i++) {
            p[i] = problem_new(iqt_format_find(kinds[i].format), 8 + 13 * i, K);
            memcpy(p[i].x.at, p[0].x.at, p[0].x.count * sizeof(float));
            problem_remodel(&p[i]);
            y[i] = floats_new(N * p[i].m);
            copy[i] = floats_new(N * p[i].m);
            want[i] = copy[i].at;
            products[i] =
                (struct iqt_product){ .struct_size = sizeof products[i],
                                      .w = problem_upload(&p[i], t, kinds[i].layout),
                                      .y = y[i].at };
        }
        for (size_t c = 0; c < IQT_COUNT(columns); c++) {
            const uint32_t n = columns[c];

            check_true(iqt_matvec(t->q, p[0].x.at, p[0].x_stride, n, products,
                                  IQT_COUNT(kinds)) == IQT_OK,
                       "n %u: %s", n, iqt_last_error());
            for (size_t i = 0; i < IQT_COUNT(kinds); i++)
                problem_compare(&p[i], y[i].at, p[i].m, n, 0, p[i].m);
            shared_bits(t, p[0].x.at, p[0].x_stride, n, products, want);
        }
        for (size_t i = 0; i < IQT_COUNT(kinds); i++) {
            iqt_matrix_destroy((struct iqt_matrix *)(uintptr_t)products[i].w);
            floats_free(&y[i]);
            floats_free(&copy[i]);
            problem_free(&p[i]);
        }
        check_end();
    }
}

int main(int argc, char **argv)
{
    struct targets all;

    check_init(argc, argv);
    targets_open(&all);
    for_each_format(&all, "product.sums", 8, sums);
    for_each_format(&all, "product.in-place", 8, in_place);
    for_each_format(&all, "product.gated", 8, gated);
    for_each_unit(&all, "product.gated-units", IQT_OP_GATED, gated_unit);
    test_mixed_gate(&all);
    test_shared(&all);
    targets_close(&all);
    return check_done();
}
