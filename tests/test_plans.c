/* Plans inside the runtime: every embedded one computes right, tuned ones are taken or passed
 * over, forced ones are checked; the activation quantizer of the CPU; the workspace. */
#include "tests/problem.h"

#include "runtime/cpu.h"

enum { M = 21, N = IQT_MAX_COLS };

/* ---- Every embedded plan ---- */

static void plain(const struct problem *p, struct target *t, const struct iqt_matrix *w,
                  const struct iqt_plan *plan, uint32_t n)
{
    struct floats y = floats_new(p->m * n);
    const struct iqt_product product = { .struct_size = sizeof product,
                                         .w = w,
                                         .y = y.at };

    if (problem_run(p, t, n, &product, plan))
        problem_compare(p, y.at, p->m, n, 0, p->m);
    floats_check(&y, p->m, n, p->m);
    floats_free(&y);
}

/* The matrix gates itself: relu(g) * g is g * g or zero. */
static void gated(const struct problem *p, struct target *t, const struct iqt_matrix *w,
                  const struct iqt_plan *plan, uint32_t n)
{
    struct floats y = floats_new(p->m * n);
    const struct iqt_product product = {
        .struct_size = sizeof product, .w = w, .gate = w, .act = IQT_ACT_RELU, .y = y.at
    };
    size_t wrong = 0;

    if (problem_run(p, t, n, &product, plan))
        for (size_t i = 0; i < n * p->m; i++) {
            const double g = p->model.y[i], e = p->model.bound[i] * IQT_MODEL_RTOL;
            const double want = g > 0 ? g * g : 0;

            /* Within e of zero the sign itself is open. */
            wrong +=
                !(fabs((double)y.at[i] - want) <= 2 * fabs(g) * e + e * e + 1e-6 * want);
        }
    check_true(wrong == 0, "n %u: %zu results differ", n, wrong);
    floats_check(&y, p->m, n, p->m);
    floats_free(&y);
}

static void embedded_plan(struct target *t, const struct iqt_plan *plan)
{
    struct problem p = problem_new(plan->format, M, problem_k(plan->format, 512));
    struct iqt_matrix *w = problem_upload(&p, t, plan->layout);

    for (uint32_t n = plan->n; w && n >= 1; n -= n > 3 ? 3 : 1)
        (plan->op == IQT_OP_GATED ? gated : plain)(&p, t, w, plan, n);
    iqt_matrix_destroy(w);
    problem_free(&p);
}

static void test_embedded(struct target *t)
{
    enum { MOST = 8192 };
    struct iqt_plan *plans = calloc(MOST, sizeof *plans);
    const size_t count =
        plans ? iqt_plan_embedded(t->dev->backend->dialect, plans, MOST) : 0;
    char name[IQT_PLAN_NAME_BYTES];

    for (size_t i = 0; i < count && i < MOST; i++) {
        iqt_plan_name(&plans[i], name);
        if (plans[i].covers != IQT_COVERS_ONE) /* test_routed.c runs them */
            continue;
        if (plans[i].compute == IQT_COMPUTE_DOT && !t->dev->limits.dot4)
            continue; /* test_vulkan.c runs some of them all the same */
        if (!is_drawn(t, i, 12) || !check_begin("plan.%s.%s", t->name, name))
            continue;
        embedded_plan(t, &plans[i]);
        check_end();
    }
    free(plans);
}

/* ---- One column on matrix units: no default, so in no list of embedded plans ---- */

static void test_single(struct target *t, const struct iqt_format *f, enum iqt_op op)
{
    enum { MOST = 2048 };
    struct iqt_plan *plans = calloc(MOST, sizeof *plans);
    const size_t count =
        plans ? iqt_plan_list(f, t->dev->backend->dialect, op, 1, IQT_LAYOUT_PACKED,
                              &t->dev->limits, plans, MOST)
              : 0;
    char name[IQT_PLAN_NAME_BYTES];
    size_t found = 0;

    for (size_t i = 0; i < count && i < MOST; i++) {
        if (plans[i].compute != IQT_COMPUTE_MMA)
            continue;
        found++;
        iqt_plan_name(&plans[i], name);
        if (check_begin("plan.single.%s.%s", t->name, name)) {
            embedded_plan(t, &plans[i]);
            check_end();
        }
    }
    free(plans);
    if (check_begin("plan.single.%s.%s", t->name, f->name)) {
        check_true((found > 0) == (f->trellis && t->dev->limits.mma), "%zu plans", found);
        check_end();
    }
}

static void test_singles(struct target *t)
{
    if (t->dev->backend->dialect == IQT_DIALECT_CUDA)
        for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
            for (int op = 0; op < IQT_OPS; op++)
                test_single(t, f, (enum iqt_op)op);
}

/* ---- Tuned plans ---- */

struct answer {
    const char *backend;
    struct iqt_plan plan;
    size_t asked, closed;
};

static bool find(void *user, const struct iqt_device_info *info,
                 const struct iqt_plan *like, size_t m, size_t k, struct iqt_plan *out)
{
    struct answer *a = user;

    check_true(strcmp(info->backend, a->backend) == 0 && m == M && k == 256 &&
                   strcmp(like->format->name, "iq4_k") == 0 && like->n == 1,
               "the source is asked about another shape");
    a->asked++;
    *out = a->plan;
    return true;
}

static void close_answer(void *user)
{
    struct answer *a = user;

    a->closed++;
}

/* Offers one plan for an iq4_k matrix at one column, and says whether it was taken. */
static bool taken_as(struct target *t, const struct problem *p, enum iqt_layout layout,
                     struct iqt_plan offer)
{
    struct answer a = { t->dev->backend->name, .plan = offer };
    struct iqt_matrix *w = problem_upload(p, t, layout);
    char offered[IQT_PLAN_NAME_BYTES];
    const char *used = "";

    iqt_context_set_plans(t->ctx, (struct iqt_plan_source){ find, close_answer, &a });
    iqt_plans_forget(t->dev);
    iqt_plan_name(&offer, offered);
    for (uint32_t i = 0; w && i < 3; i++) {
        check_true(iqt_plan_used(t->dev, w, false, 1, &used) == IQT_OK, "plan: %s",
                   iqt_last_error());
        problem_check(p, t, w, 1);
    }
    check_true(a.asked == 1, "the source was asked %zu times for one shape", a.asked);
    iqt_context_set_plans(t->ctx, (struct iqt_plan_source){ .find = NULL });
    check_true(a.closed == 1, "the source was closed %zu times", a.closed);
    iqt_plans_forget(t->dev);
    iqt_matrix_destroy(w);
    return strcmp(offered, used) == 0;
}

static bool taken(struct target *t, const struct problem *p, struct iqt_plan offer)
{
    return taken_as(t, p, IQT_LAYOUT_PACKED, offer);
}

/* An embedded plan for one column that is not the default. */
static struct iqt_plan other_embedded(const struct iqt_plan *standard)
{
    enum { MOST = 8192 };
    struct iqt_plan *plans = calloc(MOST, sizeof *plans), found = *standard;
    const size_t count = plans ? iqt_plan_embedded(standard->dialect, plans, MOST) : 0;

    for (size_t i = 0; i < count && i < MOST; i++)
        if (plans[i].format == standard->format && plans[i].op == standard->op &&
            plans[i].n == standard->n && plans[i].layout == standard->layout &&
            plans[i].rows_thread != standard->rows_thread)
            found = plans[i];
    free(plans);
    return found;
}

static void test_tuned(struct target *t)
{
    const struct iqt_format *f = iqt_format_find("iq4_k");
    const struct iqt_plan standard =
        iqt_plan_default(f, IQT_DIALECT_HOST, IQT_OP_MATVEC, 1, IQT_LAYOUT_PACKED);
    struct iqt_plan offer;
    struct problem p;

    if (!check_begin("plan.tuned.%s", t->name))
        return;
    p = problem_new(f, M, 256);
    offer = other_embedded(&standard);
    check_true(offer.rows_thread != standard.rows_thread, "no second plan is embedded");
    check_true(taken(t, &p, offer), "a good plan was not taken");
    offer = standard;
    offer.format = iqt_format_find("iq5_k");
    check_true(!taken(t, &p, offer), "a plan of another format was taken");
    offer = standard;
    offer.layout = IQT_LAYOUT_NATIVE;
    check_true(!taken(t, &p, offer), "a plan of another layout was taken");
    offer = standard;
    offer.dialect = IQT_DIALECT_CUDA;
    check_true(!taken(t, &p, offer), "a plan of another dialect was taken");
    offer = standard;
    offer.threads = 7;
    check_true(!taken(t, &p, offer), "an illegal plan was taken");
    offer = standard;
    offer.n = 7; /* legal, but not built into the library */
    check_true(!taken(t, &p, offer), "a plan without a kernel was taken");
    problem_free(&p);
    check_end();
}

/* Nobody asked for float activations: a stored plan with them is passed over, whoever stored it. */
static void test_unasked(struct target *t)
{
    const struct iqt_format *f = iqt_format_find("iq4_k");
    struct iqt_plan offer =
        iqt_plan_default_for(&t->dev->limits, f, t->dev->backend->dialect, IQT_OP_MATVEC,
                             1, IQT_LAYOUT_NATIVE);
    struct problem p;

    if (!check_begin("plan.unasked.%s", t->name))
        return;
    p = problem_new(f, M, 256);
    offer.n = 2; /* not the default */
    check_true(taken_as(t, &p, IQT_LAYOUT_NATIVE, offer), "a good plan was not taken");
    for (uint32_t kind = IQT_COMPUTE_F16; kind <= IQT_COMPUTE_F32; kind++) {
        offer = iqt_plan_of_floats(offer, (enum iqt_compute)kind);
        check_true(iqt_plan_check(&offer, &t->dev->limits) == IQT_OK, "%s",
                   iqt_last_error());
        check_true(!taken_as(t, &p, IQT_LAYOUT_NATIVE, offer),
                   "a plan of kind %s was taken", iqt_compute_name(offer.compute));
    }
    problem_free(&p);
    check_end();
}

/* ---- Forced plans ---- */

static void test_forced(struct target *t)
{
    const struct iqt_format *f = iqt_format_find("iq4_k");
    struct iqt_plan plan =
        iqt_plan_default_for(&t->dev->limits, f, t->dev->backend->dialect, IQT_OP_MATVEC,
                             4, IQT_LAYOUT_PACKED);
    struct problem p;
    struct iqt_matrix *w;
    float y[N * M];
    struct iqt_product product = { .struct_size = sizeof product, .y = y };
    const char *name = "";
    uint64_t ns = 0;

    if (!check_begin("plan.forced.%s", t->name))
        return;
    p = problem_new(f, M, 256);
    product.w = w = problem_upload(&p, t, IQT_LAYOUT_PACKED);
    check_true(w && iqt_plan_used(t->dev, w, false, 4, &name) == IQT_OK &&
                   iqt_plan_parse(name, &plan) == IQT_OK && plan.n >= 4,
               "plan '%s' for 4 columns: %s", name, iqt_last_error());
    check_true(iqt_product_run(t->q, p.x.at, p.x_stride, 4, &product, 1, &plan, &ns) ==
                   IQT_OK,
               "%s", iqt_last_error());
    check_true(ns > 0, "a launch took no time");
    if (plan.n < N)
        check_true(iqt_product_run(t->q, p.x.at, p.x_stride, plan.n + 1u, &product, 1,
                                   &plan, NULL) == IQT_ERR_SHAPE,
                   "%u columns with a plan for %u", plan.n + 1u, plan.n);
    plan.op = IQT_OP_GATED;
    check_true(iqt_product_run(t->q, p.x.at, p.x_stride, 1, &product, 1, &plan, NULL) ==
                   IQT_ERR_ARG,
               "a gated plan for a plain product");
    plan.op = IQT_OP_MATVEC;
    plan.layout = IQT_LAYOUT_NATIVE;
    check_true(iqt_product_run(t->q, p.x.at, p.x_stride, 1, &product, 1, &plan, NULL) ==
                   IQT_ERR_ARG,
               "a native plan for packed weights");
    iqt_matrix_destroy(w);
    problem_free(&p);
    check_end();
}

/* ---- Preparing, workspace ---- */

static size_t kernels(const struct iqt_device *dev)
{
    size_t count = 0;

    for (const struct iqt_built *b = dev->built; b; b = b->next)
        count++;
    return count;
}

static void test_prepare(struct target *t)
{
    struct problem p;
    struct iqt_matrix *w;
    size_t prepared;

    if (!check_begin("plan.prepare.%s", t->name))
        return;
    p = problem_new(iqt_format_find("iq6_k"), M, 256);
    w = problem_upload(&p, t, IQT_LAYOUT_NATIVE);
    check_true(w && iqt_prepare(t->dev, w, N) == IQT_OK, "%s", iqt_last_error());
    prepared = kernels(t->dev);
    for (uint32_t n = 1; w && n <= N; n++)
        problem_check(&p, t, w, n);
    check_true(kernels(t->dev) == prepared, "%zu kernels were built after iqt_prepare()",
               kernels(t->dev) - prepared);
    iqt_matrix_destroy(w);
    problem_free(&p);
    check_end();
}

static void test_workspace(struct target *t)
{
    static const uint32_t n[] = { 1, 4, 16, 2 };
    struct problem p;
    struct iqt_queue *q = NULL;
    struct iqt_matrix *w;
    float y[N * M];
    struct iqt_product product = { .struct_size = sizeof product, .y = y };
    size_t said = 0, most = 0;

    if (!check_begin("workspace.%s", t->name))
        return;
    p = problem_new(iqt_format_find("iq2_ks"), M, 256);
    product.w = w = problem_upload(&p, t, IQT_LAYOUT_PACKED);
    check_true(iqt_queue_create(t->dev, &q) == IQT_OK, "%s", iqt_last_error());
    for (size_t i = 0; q && w && i < IQT_COUNT(n); i++) {
        check_true(iqt_workspace_bytes(q, n[i], &product, 1, &said) == IQT_OK, "%s",
                   iqt_last_error());
        check_true(iqt_matvec(q, p.x.at, p.x_stride, n[i], &product, 1) == IQT_OK, "%s",
                   iqt_last_error());
        check_true(said == q->scratch_bytes, "said %zu bytes, holds %llu", said,
                   (unsigned long long)q->scratch_bytes);
        check_true(said >= most && said >= n[i] * 256 * 4, "%zu bytes for %u columns",
                   said, n[i]);
        most = said;
    }
    iqt_queue_destroy(q);
    iqt_matrix_destroy(w);
    problem_free(&p);
    check_end();
}

/* ---- The CPU's quantizer ---- */

static float odd_value(size_t block, size_t i)
{
    static const float special[] = { NAN,    INFINITY, -INFINITY, 1e-30f, 0x1p-100f,
                                     1e-45f, 3.4e38f,  0x1p-126f, -0.0f,  0.99e-30f };

    switch (block % 6) {
    case 0: /* ties: multiples of a half once the largest is 127 */
        return i == 0 ? 127.0f : (float)(check_rand() % 255) / 2.0f - 63.5f;
    case 1:
        return i == block % 32 ? special[block / 6 % IQT_COUNT(special)] : 1e-31f;
    case 2:
        return i == block % 32 ? special[block / 6 % IQT_COUNT(special)] : check_gauss();
    case 3:
        return ldexpf(check_gauss(), (int)(block % 250) - 125);
    default:
        return check_gauss();
    }
}

/* What lies behind the scales. */
static void check_more(const int8_t *q, struct iqt_xs *s, size_t blocks)
{
    const struct iqt_x_more m = iqt_x_more_of(s, blocks);

    for (size_t i = 0; i < 8 * blocks; i++) {
        const int8_t *four = q + 4 * i;
        const int32_t want = -128 * (four[0] + four[1] + four[2] + four[3]);

        check_true(m.starts[i] == want, "start %zu: %d, expected %d", i, m.starts[i],
                   want);
    }
    for (size_t i = 0; i < 3 * blocks; i++) {
        const bool all = i >= 2 * blocks;
        const size_t at = all ? i - 2 * blocks : i;
        const struct iqt_xs *x = &s[all ? at : at / 2];
        const float sum = (float)(all ? x->sum[0] + x->sum[1] : x->sum[at % 2]);
        const float dx = m.dx[all][at], got = m.sums[all][at], want = x->d * sum;

        check_true(
            memcmp(&dx, &x->d, sizeof dx) == 0 &&
                (memcmp(&got, &want, sizeof got) == 0 || (isnan(got) && isnan(want))),
            "block %zu of %u: %g and %g, expected %g and %g", at, all ? 32u : 16u,
            (double)dx, (double)got, (double)x->d, (double)want);
    }
}

static void compare_quantizers(struct iqt_pool *pool, const float *x, size_t stride,
                               size_t k, uint32_t cols)
{
    const size_t blocks = cols * k / IQT_X_BLOCK;
    int8_t *q = malloc(2 * cols * k);
    struct iqt_xs *s = malloc(iqt_xs_bytes(cols * k, true));
    struct iqt_xs *ref = malloc(blocks * sizeof *ref);

    if (!q || !s || !ref)
        abort();
    iqt_cpu_quantize(pool, x, stride, k, cols, q, s);
    check_more(q, s, blocks);
    for (uint32_t c = 0; c < cols; c++)
        iqt_quantize_ref(x + c * stride, k, q + cols * k + c * k,
                         ref + c * k / IQT_X_BLOCK);
    check_true(memcmp(q, q + cols * k, cols * k) == 0, "%u columns: values differ", cols);
    for (size_t b = 0; b < blocks; b++) {
        const struct iqt_xs *got = &s[b], *want = &ref[b];
        const bool nan = isnan(got->d) && isnan(want->d);

        check_true((nan || memcmp(&got->d, &want->d, sizeof got->d) == 0) &&
                       got->sum[0] == want->sum[0] && got->sum[1] == want->sum[1],
                   "block %zu: %g %d %d, expected %g %d %d", b, (double)got->d,
                   got->sum[0], got->sum[1], (double)want->d, want->sum[0], want->sum[1]);
    }
    free(q);
    free(s);
    free(ref);
}

static void test_quantizer(void)
{
    enum { K = 32 * 211, GAP = 3 };
    float *x;
    struct iqt_pool *pool;

    if (!check_begin("quantize.cpu"))
        return;
    x = malloc(N * (K + GAP) * sizeof(float));
    pool = iqt_pool_create(3);
    if (!x)
        abort();
    for (size_t c = 0; c < N; c++)
        for (size_t i = 0; i < K; i++)
            x[c * (K + GAP) + i] = odd_value(c * (K / 32) + i / 32, i % 32);
    compare_quantizers(NULL, x, K + GAP, K, 1);
    compare_quantizers(NULL, x, K + GAP, K, N);
    compare_quantizers(pool, x, K + GAP, K, N);
    iqt_pool_destroy(pool);
    free(x);
    check_end();
}

int main(int argc, char **argv)
{
    struct targets all;

    check_init(argc, argv);
    test_quantizer();
    targets_open(&all);
    for (size_t i = 0; i < all.count; i++) {
        test_embedded(&all.at[i]);
        test_singles(&all.at[i]);
        test_forced(&all.at[i]);
        test_prepare(&all.at[i]);
        test_workspace(&all.at[i]);
        if (all.at[i].dev->backend->dialect == IQT_DIALECT_HOST)
            test_tuned(&all.at[i]);
        else
            test_unasked(&all.at[i]);
    }
    targets_close(&all);
    return check_done();
}
