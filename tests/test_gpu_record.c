/* Products on a caller's stream of a simulated GPU: the numbers of iqt_matvec(), bit for bit, at once
 * or from a captured graph; the caller's context as it was; wrong streams and addresses refused. */
#include "tests/gpu_case.h"

enum { M = 45, K = 512, N = 3, STRIDE = M + 7, ROUNDS = 3 };

struct scene {
    struct gpu_caller c;
    struct problem p, gate;
    struct iqt_matrix *w, *g;
    struct iqt_gpu_recorder *r;
    float x[N * K], bias[M], residual[N * STRIDE], y[N * STRIDE];
    uint64_t x_at, bias_at, residual_at, y_at, y2_at;
    void *stream;
};

static void fill_buffers(struct scene *s)
{
    for (size_t i = 0; i < N * K; i++)
        s->x[i] = check_gauss();
    for (size_t i = 0; i < M; i++)
        s->bias[i] = check_gauss();
    for (size_t i = 0; i < N * STRIDE; i++) {
        s->residual[i] = check_gauss();
        s->y[i] = canary();
    }
    s->x_at = gpu_buffer(&s->c, s->x, sizeof s->x);
    s->bias_at = gpu_buffer(&s->c, s->bias, sizeof s->bias);
    s->residual_at = gpu_buffer(&s->c, s->residual, sizeof s->residual);
    s->y_at = gpu_buffer(&s->c, s->y, sizeof s->y);
    s->y2_at = gpu_buffer(&s->c, s->y, sizeof s->y);
}

static bool scene_open(struct scene *s, struct gpu_api *g, const char *spec,
                       const char *format)
{
    if (!gpu_caller_open(g, spec, &s->c))
        return false;
    s->p = problem_new(iqt_format_find(format), M, K);
    s->gate = problem_new(iqt_format_find(format), M, K);
    s->w = problem_upload(&s->p, &s->c.t, IQT_LAYOUT_PACKED);
    s->g = problem_upload(&s->gate, &s->c.t, IQT_LAYOUT_PACKED);
    check_true(iqt_prepare(s->c.t.dev, s->w, N) == IQT_OK, "%s", iqt_last_error());
    check_true(iqt_gpu_recorder_create(s->c.t.dev, N, K, &s->r) == IQT_OK, "%s",
               iqt_last_error());
    gpu_ok(s->c.api->stream_create(&s->stream, 1), "stream");
    fill_buffers(s);
    return true;
}

static void scene_close(struct scene *s)
{
    const uint64_t buffers[] = { s->x_at, s->bias_at, s->residual_at, s->y_at, s->y2_at };

    for (size_t i = 0; i < IQT_COUNT(buffers); i++)
        gpu_ok(s->c.api->free(buffers[i]), "free");
    gpu_ok(s->c.api->stream_destroy(s->stream), "stream_destroy");
    iqt_gpu_recorder_destroy(s->r);
    iqt_matrix_destroy(s->w);
    iqt_matrix_destroy(s->g);
    problem_free(&s->p);
    problem_free(&s->gate);
    gpu_caller_close(&s->c);
}

/* A sum with everything, and rows 5 .. 25 of a gated product. */
static void products_of(const struct scene *s, struct iqt_gpu_product out[2])
{
    out[0] = (struct iqt_gpu_product){ .struct_size = sizeof *out,
                                       .w = s->w,
                                       .bias = s->bias_at,
                                       .residual = s->residual_at,
                                       .y = s->y_at,
                                       .stride = STRIDE };
    out[1] = (struct iqt_gpu_product){ .struct_size = sizeof *out,
                                       .w = s->w,
                                       .gate = s->g,
                                       .act = IQT_ACT_SWIGLU_OAI,
                                       .limit = 7,
                                       .bias = s->bias_at,
                                       .gate_bias = s->bias_at,
                                       .y = s->y2_at,
                                       .stride = STRIDE,
                                       .row_begin = 5,
                                       .rows = 21 };
}

/* The same products by iqt_matvec(), canaries between the rows. */
static void expected(struct scene *s, const float *x, float *y, float *y2)
{
    const struct iqt_product p[] = {
        { .struct_size = sizeof *p,
          .w = s->w,
          .bias = s->bias,
          .residual = s->residual,
          .residual_stride = STRIDE,
          .y = y,
          .y_stride = STRIDE },
        { .struct_size = sizeof *p,
          .w = s->w,
          .gate = s->g,
          .act = IQT_ACT_SWIGLU_OAI,
          .limit = 7,
          .bias = s->bias,
          .gate_bias = s->bias,
          .y = y2,
          .y_stride = STRIDE,
          .row_begin = 5,
          .rows = 21 },
    };

    for (size_t i = 0; i < N * STRIDE; i++)
        y[i] = y2[i] = canary();
    check_true(iqt_matvec(s->c.t.q, x, 0, N, p, 2) == IQT_OK, "%s", iqt_last_error());
}

static void compare(struct scene *s, const float *x, const char *when)
{
    static float want[N * STRIDE], want2[N * STRIDE], got[N * STRIDE], got2[N * STRIDE];

    expected(s, x, want, want2);
    gpu_read(&s->c, s->y_at, got, sizeof got, s->stream);
    gpu_read(&s->c, s->y2_at, got2, sizeof got2, s->stream);
    check_true(memcmp(want, got, sizeof got) == 0, "%s: sum differs from iqt_matvec()",
               when);
    check_true(memcmp(want2, got2, sizeof got2) == 0,
               "%s: gated product differs from iqt_matvec()", when);
}

static void record(struct scene *s, void *stream)
{
    struct iqt_gpu_product p[2];

    products_of(s, p);
    check_true(iqt_gpu_record(s->r, stream, s->x_at, 0, N, p, 2) == IQT_OK, "%s",
               iqt_last_error());
}

static void check_streams(struct gpu_api *g, const char *spec, const char *format)
{
    struct scene s = { .r = NULL };
    void *const before = gpu_current(g);

    if (!check_begin("gpu.record.%s.%s", spec, format))
        return;
    if (scene_open(&s, g, spec, format)) {
        void *const current = gpu_current(g);

        record(&s, s.stream);
        check_true(gpu_current(g) == current, "recording changed the current context");
        compare(&s, s.x, "own stream");
        record(&s, NULL);
        gpu_ok(s.c.api->stream_wait(NULL), "wait");
        compare(&s, s.x, "default stream");
        scene_close(&s);
    }
    check_true(gpu_current(g) == before, "closing left another context");
    check_end();
}

/* ---- Graphs ---- */

static void replay(struct scene *s, void *graph)
{
    int (*launch)(void *, void *);
    static float x[N * K];

    *(void **)&launch = gpu_symbol(s->c.g, s->c.g->replay);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < N * K; i++)
            x[i] = check_gauss();
        gpu_ok(s->c.api->write_async(s->x_at, x, sizeof x, s->stream), "write");
        gpu_ok(launch(graph, s->stream), "launch");
        compare(s, x, "replay");
    }
}

/* Whatever a capture forbids breaks it, and its end says so. */
static void check_capture(struct gpu_api *g, const char *spec)
{
    int (*begin)(void *, int), (*end)(void *, void **), (*drop)(void *);
    int (*instantiate)(void **, void *, unsigned long long);
    struct scene s = { .r = NULL };
    void *graph = NULL, *executable = NULL;

    if (!check_begin("gpu.capture.%s", spec))
        return;
    *(void **)&begin = gpu_symbol(g, g->begin_capture);
    *(void **)&end = gpu_symbol(g, g->end_capture);
    *(void **)&drop = gpu_symbol(g, g->drop_graph);
    *(void **)&instantiate = gpu_symbol(g, g->instantiate);
    if (scene_open(&s, g, spec, "iq3_k")) {
        gpu_ok(begin(s.stream, 0), "begin");
        record(&s, s.stream);
        gpu_ok(end(s.stream, &graph), "the capture was broken: end");
        gpu_ok(instantiate(&executable, graph, 0), "instantiate");
        if (executable)
            replay(&s, executable);
        gpu_ok(drop(graph), "drop");
        scene_close(&s);
    }
    check_end();
}

/* ---- Mistakes ---- */

static void refused(struct scene *s, void *stream, const struct iqt_gpu_product *p,
                    uint32_t n, enum iqt_status want, const char *word)
{
    const enum iqt_status got = iqt_gpu_record(s->r, stream, s->x_at, 0, n, p, 1);

    check_true(got == want && strstr(iqt_last_error(), word) != NULL,
               "%s (%s), expected %s with '%s'", iqt_status_name(got), iqt_last_error(),
               iqt_status_name(want), word);
}

static void check_mistakes(struct gpu_api *g)
{
    struct scene s = { .r = NULL };
    struct gpu_caller other;
    struct iqt_gpu_product p[2], bad;
    struct iqt_gpu_recorder *r = NULL;
    void *foreign = NULL;

    if (!check_begin("gpu.record.%s.mistakes", g->name))
        return;
    if (scene_open(&s, g, g->first, "iq4_ks") && gpu_caller_open(g, g->second, &other)) {
        products_of(&s, p);
        gpu_ok(other.api->stream_create(&foreign, 1), "stream");
        refused(&s, foreign, p, N, IQT_ERR_ARG, "stream belongs to");
        refused(&s, s.stream, p, N + 1, IQT_ERR_NO_MEMORY, "room for");
        bad = p[0];
        bad.y = s.y_at + 4;
        refused(&s, s.stream, &bad, N, IQT_ERR_ARG, "multiple of");
        bad = p[0];
        bad.y = s.x_at;
        refused(&s, s.stream, &bad, N, IQT_ERR_ARG, "overlaps");
        bad = p[0];
        bad.rows = M + 1;
        refused(&s, s.stream, &bad, N, IQT_ERR_SHAPE, "exceed");
        gpu_ok(other.api->stream_destroy(foreign), "stream_destroy");
        check_true(iqt_gpu_recorder_create(other.t.dev, 17, K, &r) == IQT_ERR_SHAPE,
                   "a recorder for 17 vectors");
        gpu_caller_close(&other);
    }
    scene_close(&s);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    for (size_t i = 0; i < IQT_COUNT(gpu_apis); i++) {
        struct gpu_api *g = &gpu_apis[i];

        if (!gpu_open(g))
            continue;
        check_streams(g, g->first, "iq4_ks");
        check_streams(g, g->second, "iq2_kt");
        check_streams(g, g->first, "f16");
        check_capture(g, g->first);
        check_capture(g, g->second);
        check_mistakes(g);
    }
    return check_done();
}
