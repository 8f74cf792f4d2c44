/* Routed experts with vectors in host memory, on every device: the bits of ordinary products of the
 * experts that the ids name, zeros where they name none, nothing beside the results. */
#include "tests/problem.h"

enum { EXPERTS = 5, M = 37, K = 512, TOKENS = 3, USED = 2, JOBS = TOKENS * USED };
enum { STRIDE = M + 4, X_STRIDE = K + 5 };

static const int32_t ids[JOBS] = { 4, 0, -1, 4, EXPERTS, 2 };

struct scene {
    struct target *t;
    struct problem up, gate; /* all experts' rows, one behind the other */
    struct iqt_matrix *w, *g;
    float bias[EXPERTS * M], gate_bias[EXPERTS * M];
    enum iqt_layout layout;
};

static struct iqt_matrix *upload(const struct problem *p, struct scene *s)
{
    struct iqt_matrix *w = NULL;

    check_true(iqt_experts_upload(s->t->dev, p->f, EXPERTS, M, p->k, p->bytes, p->size,
                                  s->layout, &w) == IQT_OK,
               "upload: %s", iqt_last_error());
    return w;
}

static void scene_open(struct scene *s, struct target *t, const struct iqt_format *f,
                       enum iqt_layout layout)
{
    const size_t k = problem_k(f, K);

    *s = (struct scene){ .t = t, .layout = layout };
    s->up = problem_new(f, EXPERTS * M, k);
    s->gate = problem_new(f, EXPERTS * M, k);
    s->w = upload(&s->up, s);
    s->g = upload(&s->gate, s);
    for (size_t i = 0; i < EXPERTS * M; i++) {
        s->bias[i] = check_gauss();
        s->gate_bias[i] = check_gauss();
    }
}

static void scene_close(struct scene *s)
{
    iqt_matrix_destroy(s->w);
    iqt_matrix_destroy(s->g);
    problem_free(&s->up);
    problem_free(&s->gate);
}

/* The ordinary plan beside the routed one. */
static bool plan_of(const struct scene *s, bool gated, struct iqt_plan *out)
{
    const char *name;

    if (iqt_plan_used(s->t->dev, s->w, gated, 1, &name) != IQT_OK ||
        iqt_plan_parse(name, out) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        return false;
    }
    out->covers = IQT_COVERS_ONE;
    return true;
}

static struct iqt_matrix *expert(const struct scene *s, const struct problem *p,
                                 int32_t id)
{
    const size_t bytes = p->size / EXPERTS;
    struct iqt_matrix *w = NULL;

    check_true(iqt_matrix_upload(s->t->dev, p->f, M, p->k, p->bytes + (size_t)id * bytes,
                                 bytes, s->layout, &w) == IQT_OK,
               "%s", iqt_last_error());
    return w;
}

static void expected(const struct scene *s, bool gated, const struct iqt_plan *plan,
                     int32_t id, const float *x, float *y)
{
    struct iqt_product p = { .struct_size = sizeof p, .act = IQT_ACT_GELU, .y = y };
    struct iqt_matrix *w, *g;

    memset(y, 0, M * sizeof *y);
    if (id < 0 || id >= EXPERTS)
        return;
    w = expert(s, &s->up, id);
    g = expert(s, &s->gate, id);
    p.w = w;
    p.bias = s->bias + (size_t)id * M;
    if (gated) {
        p.gate = g;
        p.gate_bias = s->gate_bias + (size_t)id * M;
    }
    check_true(iqt_product_run(s->t->q, x, 0, 1, &p, 1, plan, NULL) == IQT_OK, "%s",
               iqt_last_error());
    iqt_matrix_destroy(w);
    iqt_matrix_destroy(g);
}

static void check_call(struct scene *s, bool gated, bool x_per_slot)
{
    struct floats y = floats_new(JOBS * STRIDE);
    const struct iqt_routed p = {
        .struct_size = sizeof p,
        .w = s->w,
        .gate = gated ? s->g : NULL,
        .act = IQT_ACT_GELU,
        .bias = s->bias,
        .gate_bias = gated ? s->gate_bias : NULL,
        .ids = ids,
        .tokens = TOKENS,
        .used = USED,
        .x_per_slot = x_per_slot,
        .y = y.at,
        .y_stride = STRIDE,
    };
    struct iqt_plan plan;

    check_true(iqt_matvec_routed(s->t->q, s->up.x.at, s->up.x_stride, &p) == IQT_OK, "%s",
               iqt_last_error());
    floats_check(&y, STRIDE, JOBS, M);
    for (uint32_t j = 0; j < JOBS && plan_of(s, gated, &plan); j++) {
        const uint32_t vector = x_per_slot ? j : j / USED;
        float want[M];

        expected(s, gated, &plan, ids[j], s->up.x.at + vector * s->up.x_stride, want);
        check_true(memcmp(want, y.at + j * STRIDE, sizeof want) == 0,
                   "result %u of expert %d differs from its product", j, (int)ids[j]);
    }
    floats_free(&y);
}

static void check_format(struct target *t, const struct iqt_format *f,
                         enum iqt_layout layout)
{
    const bool gated = check_rand() % 2;
    struct scene s;

    scene_open(&s, t, f, layout);
    check_call(&s, gated, check_rand() % 2);
    scene_close(&s);
}

/* A device that binds two experts at a time gives the same bits. */
static void check_pieces(struct target *t)
{
    const struct iqt_format *f = iqt_format_find("iq4_ks");
    const uint64_t most = t->dev->max_binding;
    struct scene s;

    if (!check_begin("routed.pieces.%s", t->name))
        return;
    scene_open(&s, t, f, IQT_LAYOUT_PACKED);
    t->dev->max_binding =
        2 * s.w->expert_rows * s.w->row_bytes + t->dev->offset_align + 32;
    check_call(&s, false, true);
    t->dev->max_binding = most;
    scene_close(&s);
    check_end();
}

static void refuse(struct target *t, const struct iqt_routed *p, enum iqt_status want,
                   const char *word)
{
    static float x[JOBS * X_STRIDE];
    const enum iqt_status got = iqt_matvec_routed(t->q, x, X_STRIDE, p);

    check_true(got == want && strstr(iqt_last_error(), word) != NULL,
               "%s (%s), expected %s with '%s'", iqt_status_name(got), iqt_last_error(),
               iqt_status_name(want), word);
}

static void check_mistakes(struct target *t)
{
    static float y[JOBS * M];
    struct iqt_matrix *w, *none = NULL;
    struct iqt_routed p = { .struct_size = sizeof p, .ids = ids, .y = y };
    struct iqt_routed bad;
    struct scene s;

    if (!check_begin("routed.mistakes.%s", t->name))
        return;
    scene_open(&s, t, iqt_format_find("iq4_ks"), IQT_LAYOUT_NATIVE);
    w = expert(&s, &s.up, 1);
    p.w = s.w;
    p.tokens = TOKENS;
    p.used = USED;
    bad = p, bad.w = w;
    refuse(t, &bad, IQT_ERR_ARG, "no matrix of experts");
    bad = p, bad.gate = w;
    refuse(t, &bad, IQT_ERR_SHAPE, "gate differs");
    bad = p, bad.used = 0;
    refuse(t, &bad, IQT_ERR_SHAPE, "0 experts each");
    bad = p, bad.y_stride = M - 1;
    refuse(t, &bad, IQT_ERR_SHAPE, "strides");
    bad = p, bad.gate_bias = s.bias;
    refuse(t, &bad, IQT_ERR_ARG, "without a gate");
    bad = p, bad.ids = NULL;
    refuse(t, &bad, IQT_ERR_ARG, "ids is NULL");
    const struct iqt_product plain = { .struct_size = sizeof plain, .w = s.w, .y = y };
    check_true(iqt_matvec(t->q, s.up.x.at, 0, 1, &plain, 1) == IQT_ERR_ARG,
               "an ordinary product of experts");
    check_true(iqt_experts_upload(t->dev, s.up.f, EXPERTS + 1, M, K, s.up.bytes,
                                  s.up.size, IQT_LAYOUT_NATIVE, &none) == IQT_ERR_SHAPE,
               "more experts than bytes");
    iqt_matrix_destroy(w);
    scene_close(&s);
    check_end();
}

int main(int argc, char **argv)
{
    struct targets all;

    check_init(argc, argv);
    targets_open(&all);
    for_each_format(&all, "routed", 5, check_format);
    for (size_t i = 0; i < all.count; i++) {
        if (strcmp(all.at[i].dev->backend->name, "vulkan") == 0)
            check_pieces(&all.at[i]);
        if (i == 0 || i + 1 == all.count)
            check_mistakes(&all.at[i]);
    }
    targets_close(&all);
    return check_done();
}
