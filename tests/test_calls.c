/* How many launches a call is, on simulated GPUs and by the driver's own count: one for the activations
 * and one for each format. Sets and routed experts recorded on a stream give the numbers of the host
 * calls; a captured graph follows its ids. */
#include "tests/gpu_case.h"

enum { M = 45, K = 512, N = 3, MATRICES = 4, SHORT = 9, SPLIT_K = 4096 };
enum { EXPERTS = 3, TOKENS = 2, USED = 2, JOBS = TOKENS * USED, ROUNDS = 3 };
static const size_t rows[MATRICES] = { M, 9, 128, M };

struct scene {
    struct gpu_caller c;
    struct problem p[MATRICES]; /* three of one format and the gate, which is one, too */
    struct iqt_matrix *w[MATRICES], *f16;
    struct problem half;
    struct iqt_gpu_recorder *r;
    void *stream;
    uint64_t x_at, y_at[MATRICES + 1];
    float x[N * K];
};

static uint32_t launches(const struct gpu_api *g)
{
    uint32_t count = 0;
    const char *name;

    for (uint64_t i = 0; (name = g->call_name(i)) != NULL; i++)
        count += strstr(name, "LaunchKernel") != NULL;
    return count;
}

static void expect_launches(const struct gpu_api *g, uint32_t want, const char *what)
{
    const uint32_t got = launches(g);

    check_true(got == want, "%s: %u launches, expected %u", what, got, want);
    g->calls_reset();
}

static bool scene_open(struct scene *s, struct gpu_api *g, const char *spec)
{
    static const float nothing[N * 128];

    *s = (struct scene){ .r = NULL };
    if (!gpu_caller_open(g, spec, &s->c))
        return false;
    for (size_t i = 0; i < MATRICES; i++) {
        s->p[i] = problem_new(iqt_format_find("iq4_ks"), rows[i], K);
        s->w[i] = problem_upload(&s->p[i], &s->c.t, IQT_LAYOUT_PACKED);
    }
    s->half = problem_new(iqt_format_find("f16"), M, K);
    s->f16 = problem_upload(&s->half, &s->c.t, IQT_LAYOUT_PACKED);
    check_true(iqt_gpu_recorder_create(s->c.t.dev, N, K, &s->r) == IQT_OK, "%s",
               iqt_last_error());
    gpu_ok(s->c.api->stream_create(&s->stream, 1), "stream");
    for (size_t i = 0; i < N * K; i++)
        s->x[i] = check_gauss();
    s->x_at = gpu_buffer(&s->c, s->x, sizeof s->x);
    for (size_t i = 0; i <= MATRICES; i++)
        s->y_at[i] = gpu_buffer(&s->c, nothing, sizeof nothing);
    return true;
}

static void scene_close(struct scene *s)
{
    for (size_t i = 0; i <= MATRICES; i++)
        gpu_ok(s->c.api->free(s->y_at[i]), "free");
    gpu_ok(s->c.api->free(s->x_at), "free");
    gpu_ok(s->c.api->stream_destroy(s->stream), "stream_destroy");
    iqt_gpu_recorder_destroy(s->r);
    for (size_t i = 0; i < MATRICES; i++) {
        iqt_matrix_destroy(s->w[i]);
        problem_free(&s->p[i]);
    }
    iqt_matrix_destroy(s->f16);
    problem_free(&s->half);
    gpu_caller_close(&s->c);
}

/* ---- Several matrices ---- */

/* q, k and v of an attention, a gated pair, and a matrix of another format. */
static size_t fill(const struct scene *s, struct iqt_gpu_product p[5],
                   struct iqt_product h[5], float y[5][N * 128])
{
    for (size_t i = 0; i < 5; i++) {
        const struct iqt_matrix *w = i < 3 ? s->w[i] : i == 3 ? s->w[0] : s->f16;

        p[i] = (struct iqt_gpu_product){ .struct_size = sizeof p[i],
                                         .w = w,
                                         .gate = i == 3 ? s->w[3] : NULL,
                                         .y = s->y_at[i] };
        h[i] = (struct iqt_product){
            .struct_size = sizeof h[i], .w = w, .gate = p[i].gate, .y = y[i]
        };
    }
    p[1].row_begin = h[1].row_begin = 3;
    return 5;
}

static void compare(const struct scene *s, const struct iqt_product *h, uint64_t y_at)
{
    const size_t m = h->w->m - h->row_begin;
    float got[N * 128];

    gpu_read(&s->c, y_at, got, N * m * sizeof *got, s->stream);
    check_true(memcmp(got, h->y, N * m * sizeof *got) == 0,
               "a recorded product of %zu rows differs from iqt_matvec()", m);
}

static void count_calls(struct scene *s)
{
    static const struct {
        const char *what;
        size_t first, count;
        uint32_t want;
    } calls[] = { { "one matrix", 0, 1, 2 },
                  { "three matrices of a format", 0, 3, 2 },
                  { "a gate and its matrix", 3, 1, 2 },
                  { "a float matrix", 4, 1, 1 },
                  { "three matrices, a gated pair, a float matrix", 0, 5, 4 } };
    static float y[5][N * 128];
    const struct gpu_api *g = s->c.g;
    struct iqt_gpu_product p[5];
    struct iqt_product h[5];

    fill(s, p, h, y);
    for (size_t i = 0; i < IQT_COUNT(calls); i++) {
        const size_t first = calls[i].first, count = calls[i].count;

        g->calls_reset();
        check_true(iqt_matvec(s->c.t.q, s->x, 0, N, h + first, count) == IQT_OK, "%s",
                   iqt_last_error());
        expect_launches(g, calls[i].want, calls[i].what);
        check_true(iqt_gpu_record(s->r, s->stream, s->x_at, 0, N, p + first, count) ==
                       IQT_OK,
                   "%s", iqt_last_error());
        expect_launches(g, calls[i].want, calls[i].what);
        for (size_t j = first; j < first + count; j++)
            compare(s, &h[j], s->y_at[j]);
    }
}

/* Members of a set are right, whatever set they are in. */
static void compare_models(struct scene *s)
{
    static float y[3][N * 128];
    struct iqt_product h[3];

    for (size_t i = 0; i < 3; i++)
        h[i] =
            (struct iqt_product){ .struct_size = sizeof h[i], .w = s->w[i], .y = y[i] };
    for (size_t i = 0; i < 3; i++) {
        check_true(iqt_matvec(s->c.t.q, s->p[i].x.at, s->p[i].x_stride, N, h, 3) ==
                       IQT_OK,
                   "%s", iqt_last_error());
        problem_compare(&s->p[i], y[i], rows[i], N, 0, rows[i]);
    }
}

/* A gated pair by plans of each kind: only float32 activations need no launch of their own. Numbers of 11 bits
 * lose nothing by halving, so that both float kinds give equal bits. */
static void count_floats(struct scene *s)
{
    static const struct {
        enum iqt_compute kind;
        uint32_t want;
    } kinds[] = { { IQT_COMPUTE_I8, 2 }, { IQT_COMPUTE_F16, 2 }, { IQT_COMPUTE_F32, 1 } };
    static float x[N * K], y[IQT_COUNT(kinds)][N * M];
    struct iqt_matrix *w = problem_upload(&s->p[0], &s->c.t, IQT_LAYOUT_NATIVE);
    const struct iqt_plan usual =
        iqt_plan_default_for(&s->c.t.dev->limits, s->p[0].f, s->c.t.dev->backend->dialect,
                             IQT_OP_GATED, N, IQT_LAYOUT_NATIVE);

    for (size_t i = 0; i < N * K; i++)
        x[i] = (float)(int)(check_rand() % 4095) - 2047;
    for (size_t i = 0; w && i < IQT_COUNT(kinds); i++) {
        const struct iqt_plan plan = iqt_plan_of_floats(usual, kinds[i].kind);
        const struct iqt_product product = {
            .struct_size = sizeof product, .w = w, .gate = w, .y = y[i]
        };
        char name[IQT_PLAN_NAME_BYTES];

        iqt_plan_name(&plan, name);
        s->c.g->calls_reset();
        check_true(iqt_matvec_by_plan(s->c.t.q, name, x, 0, N, &product, 1) == IQT_OK,
                   "%s", iqt_last_error());
        expect_launches(s->c.g, kinds[i].want, name);
    }
    check_true(memcmp(y[1], y[2], sizeof y[1]) == 0,
               "f16 and f32 differ where halving loses nothing");
    check_true(memcmp(y[0], y[2], sizeof y[0]) != 0, "int8 has the bits of f32");
    iqt_matrix_destroy(w);
}

static void check_sets(struct gpu_api *g, const char *spec)
{
    struct scene s;

    if (!check_begin("calls.sets.%s", spec))
        return;
    if (scene_open(&s, g, spec)) {
        count_calls(&s);
        count_floats(&s);
        compare_models(&s);
        scene_close(&s);
    }
    check_end();
}

/* A short matrix with long rows is split over k by default, recorded and not, alone and in sets, in as
 * many launches as any other. */
static void check_short(struct gpu_api *g, const char *spec)
{
    static float y[2][N * SHORT];
    struct gpu_caller c;
    struct iqt_gpu_recorder *r = NULL;
    struct iqt_matrix *w[2];
    const char *name = "";

    if (!check_begin("calls.short.%s", spec))
        return;
    if (gpu_caller_open(g, spec, &c)) {
        struct problem p[2] = { problem_new(iqt_format_find("iq3_k"), SHORT, SPLIT_K),
                                problem_new(iqt_format_find("iq3_k"), SHORT, SPLIT_K) };
        const uint64_t x_at = gpu_buffer(&c, p[0].x.at, N * p[0].x_stride * 4);
        uint64_t y_at[2];
        struct iqt_gpu_product product[2];

        for (size_t i = 0; i < 2; i++) {
            w[i] = problem_upload(&p[i], &c.t, IQT_LAYOUT_PACKED);
            y_at[i] = gpu_buffer(&c, y[i], sizeof y[i]);
            product[i] = (struct iqt_gpu_product){ .struct_size = sizeof *product,
                                                   .w = w[i],
                                                   .y = y_at[i] };
        }
        check_true(iqt_plan_used(c.t.dev, w[0], false, N, &name) == IQT_OK &&
                       strstr(name, ".k1.") == NULL,
                   "%d rows by plan %s", SHORT, name);
        check_true(iqt_gpu_recorder_create(c.t.dev, N, p[0].x_stride, &r) == IQT_OK, "%s",
                   iqt_last_error());
        for (size_t count = 1; count <= 2; count++)
            for (int again = 0; again < 2; again++) {
                g->calls_reset();
                check_true(iqt_gpu_record(r, NULL, x_at, p[0].x_stride, N, product,
                                          count) == IQT_OK,
                           "%s", iqt_last_error());
                expect_launches(g, 2, "short matrices");
                gpu_read(&c, y_at[0], y[0], sizeof y[0], NULL);
                problem_compare(&p[0], y[0], SHORT, N, 0, SHORT);
            }
        for (size_t i = 0; i < 2; i++) {
            gpu_ok(c.api->free(y_at[i]), "free");
            iqt_matrix_destroy(w[i]);
            problem_free(&p[i]);
        }
        gpu_ok(c.api->free(x_at), "free");
        iqt_gpu_recorder_destroy(r);
        gpu_caller_close(&c);
    }
    check_end();
}

/* ---- Routed experts ---- */

struct experts {
    struct problem up, gate;
    struct iqt_matrix *w, *g;
    uint64_t ids_at, y_at;
};

static void experts_open(struct scene *s, struct experts *e)
{
    const struct iqt_format *f = iqt_format_find("iq4_ks");
    static const int32_t first[JOBS] = { 0, 1, 2, 0 };
    static const float nothing[JOBS * M];

    e->up = problem_new(f, EXPERTS * M, K);
    e->gate = problem_new(f, EXPERTS * M, K);
    check_true(iqt_experts_upload(s->c.t.dev, f, EXPERTS, M, K, e->up.bytes, e->up.size,
                                  IQT_LAYOUT_PACKED, &e->w) == IQT_OK &&
                   iqt_experts_upload(s->c.t.dev, f, EXPERTS, M, K, e->gate.bytes,
                                      e->gate.size, IQT_LAYOUT_PACKED, &e->g) == IQT_OK &&
                   iqt_prepare(s->c.t.dev, e->w, 1) == IQT_OK,
               "%s", iqt_last_error());
    e->ids_at = gpu_buffer(&s->c, first, sizeof first);
    e->y_at = gpu_buffer(&s->c, nothing, sizeof nothing);
}

static void experts_close(struct scene *s, struct experts *e)
{
    gpu_ok(s->c.api->free(e->ids_at), "free");
    gpu_ok(s->c.api->free(e->y_at), "free");
    iqt_matrix_destroy(e->w);
    iqt_matrix_destroy(e->g);
    problem_free(&e->up);
    problem_free(&e->gate);
}

static void record_experts(struct scene *s, const struct experts *e)
{
    const struct iqt_gpu_routed p = { .struct_size = sizeof p,
                                      .w = e->w,
                                      .gate = e->g,
                                      .ids = e->ids_at,
                                      .tokens = TOKENS,
                                      .used = USED,
                                      .y = e->y_at };

    check_true(iqt_gpu_record_routed(s->r, s->stream, s->x_at, 0, &p) == IQT_OK, "%s",
               iqt_last_error());
}

static void compare_experts(struct scene *s, const struct experts *e, const int32_t *ids)
{
    float want[JOBS * M], got[JOBS * M];
    const struct iqt_routed p = { .struct_size = sizeof p,
                                  .w = e->w,
                                  .gate = e->g,
                                  .ids = ids,
                                  .tokens = TOKENS,
                                  .used = USED,
                                  .y = want };

    gpu_read(&s->c, e->y_at, got, sizeof got, s->stream);
    check_true(iqt_matvec_routed(s->c.t.q, s->x, 0, &p) == IQT_OK, "%s",
               iqt_last_error());
    check_true(memcmp(want, got, sizeof got) == 0,
               "ids %d, %d, %d, %d: differs from iqt_matvec_routed()", (int)ids[0],
               (int)ids[1], (int)ids[2], (int)ids[3]);
}

/* New ids in the same buffer, among them some that are no expert's. */
static void replay(struct scene *s, const struct experts *e, void *graph)
{
    int (*launch)(void *, void *);

    *(void **)&launch = gpu_symbol(s->c.g, s->c.g->replay);
    for (int round = 0; round < ROUNDS; round++) {
        int32_t ids[JOBS];

        for (size_t i = 0; i < JOBS; i++)
            ids[i] = (int32_t)(check_rand() % (EXPERTS + 2)) - 1;
        gpu_ok(s->c.api->write_async(e->ids_at, ids, sizeof ids, s->stream), "write");
        gpu_ok(launch(graph, s->stream), "launch");
        compare_experts(s, e, ids);
    }
}

static void check_captured(struct gpu_api *g, struct scene *s, const struct experts *e)
{
    int (*begin)(void *, int), (*end)(void *, void **), (*drop)(void *);
    int (*instantiate)(void **, void *, unsigned long long);
    void *graph = NULL, *executable = NULL;

    *(void **)&begin = gpu_symbol(g, g->begin_capture);
    *(void **)&end = gpu_symbol(g, g->end_capture);
    *(void **)&drop = gpu_symbol(g, g->drop_graph);
    *(void **)&instantiate = gpu_symbol(g, g->instantiate);
    gpu_ok(begin(s->stream, 0), "begin");
    record_experts(s, e);
    gpu_ok(end(s->stream, &graph), "the capture was broken: end");
    gpu_ok(instantiate(&executable, graph, 0), "instantiate");
    if (executable)
        replay(s, e, executable);
    gpu_ok(drop(graph), "drop");
}

static void check_routed(struct gpu_api *g, const char *spec)
{
    static const int32_t first[JOBS] = { 0, 1, 2, 0 };
    struct scene s;
    struct experts e;
    struct iqt_gpu_routed bad = { .struct_size = sizeof bad };

    if (!check_begin("calls.routed.%s", spec))
        return;
    if (scene_open(&s, g, spec)) {
        experts_open(&s, &e);
        g->calls_reset();
        record_experts(&s, &e);
        expect_launches(g, 2, "routed experts");
        compare_experts(&s, &e, first);
        check_captured(g, &s, &e);
        bad.w = e.w;
        bad.tokens = bad.used = 1;
        bad.y = e.y_at;
        check_true(iqt_gpu_record_routed(s.r, s.stream, s.x_at, 0, &bad) == IQT_ERR_ARG,
                   "without ids");
        bad.ids = e.ids_at;
        bad.tokens = 100;
        check_true(iqt_gpu_record_routed(s.r, s.stream, s.x_at, 0, &bad) ==
                       IQT_ERR_NO_MEMORY,
                   "100 tokens for a recorder of %d", N);
        experts_close(&s, &e);
        scene_close(&s);
    }
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    for (size_t i = 0; i < IQT_COUNT(gpu_apis); i++) {
        struct gpu_api *g = &gpu_apis[i];

        if (!gpu_open(g))
            continue;
        check_sets(g, g->first);
        check_short(g, g->first);
        check_routed(g, g->first);
        check_routed(g, g->second);
    }
    return check_done();
}
