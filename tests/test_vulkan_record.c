/* Products in a caller's command buffer: this program makes its own VkDevice and buffers, records
 * several calls, submits them itself, and compares every bit with iqt_matvec() on the same
 * matrices. */
#include "tests/vulkan_caller.h"

#include "runtime/pass.h"
#include "runtime/vulkan_recorder.h"

/* ---- Checks ---- */

/* Products with everything, products that share activations, two calls with different k. */
static void check_record(struct caller *c)
{
    struct iqt_vulkan_product first[3], second;

    if (!check_begin("record.%s", c->dev->info.spec))
        return;
    fill_slots(c);
    first[0] = product(c, c->w, Y);
    first[0].bias = at(c, BIAS);
    first[0].residual = at(c, RESIDUAL);
    first[1] = product(c, c->w, Y2);
    first[1].gate = c->gate;
    first[1].act = IQT_ACT_SWIGLU_OAI;
    first[1].limit = 7.0f;
    first[1].bias = at(c, BIAS);
    first[1].gate_bias = at(c, GATE_BIAS);
    first[2] = product(c, c->other, Y3);
    first[2].row_begin = 5;
    first[2].rows = 21;
    second = product(c, c->wide, Y4);
    if (ok(begin(c), "begin") &&
        ok(iqt_vulkan_record(c->recorder, c->cmd, at(c, X), 0, N, first, 3), "record") &&
        ok(iqt_vulkan_record(c->recorder, c->cmd, at(c, X2), 0, N, &second, 1),
           "again") &&
        ok(end(c), "end")) {
        check_true(slot(c, Y)[0] != slot(c, Y)[0], "recording already computed y");
        ok(submit(c), "submit");
        compare(c, X, &first[0], Y, "bias and residual");
        compare(c, X, &first[1], Y2, "gated");
        compare(c, X, &first[2], Y3, "rows 5 .. 25");
        compare(c, X2, &second, Y4, "second call");
    }
    check_end();
}

/* Six products of one format are two dispatches, of four and of two, or one each on devices without arrays of
 * buffers; two gated ones are another. All differ in rows, biases and residuals. */
static void check_sets(struct caller *c)
{
    static const int y[8] = { Y, Y2, Y3, Y4, Y5, Y6, Y7, Y8 };
    const uint32_t members = c->dev->hw->members;
    struct iqt_vulkan_product p[8];

    if (!check_begin("sets.%u.%s", members, c->dev->info.spec))
        return;
    fill_slots(c);
    for (int i = 0; i < 8; i++) {
        p[i] = product(c, i % 2 ? c->gate : c->w, y[i]);
        p[i].row_begin = (size_t)(3 * i);
        p[i].rows = (size_t)(M - 3 * i - i * i / 2);
        if (i % 3 == 0)
            p[i].bias = at(c, BIAS);
        if (i % 3 == 1)
            p[i].residual = at(c, RESIDUAL);
    }
    for (int i = 6; i < 8; i++) {
        p[i].gate = c->gate;
        p[i].act = i == 6 ? IQT_ACT_SWIGLU_OAI : IQT_ACT_RELU;
        p[i].limit = 3.0f;
        p[i].gate_bias = at(c, GATE_BIAS);
    }
    if (ok(begin(c), "begin") &&
        ok(iqt_vulkan_record(c->recorder, c->cmd, at(c, X), 0, N, p, 8), "record") &&
        ok(end(c), "end") && ok(submit(c), "submit")) {
        check_true(c->recorder->sets.used == (members == 1 ? 9 : 4),
                   "%u launches, with %u members in a set", c->recorder->sets.used,
                   members);
        for (int i = 0; i < 8; i++)
            compare(c, X, &p[i], y[i], i < 6 ? "of a set" : "gated, of a set");
    }
    check_end();
}

/* The same products in one iqt_matvec() and one by one. */
static void check_matvec_sets(struct caller *c)
{
    static float together[6][N * M], alone[6][N * M];
    const struct iqt_matrix *w[6] = { c->w, c->gate, c->other, c->w, c->gate, c->w };
    struct iqt_product p[6];
    size_t in_sets = 0;

    if (!check_begin("matvec_sets.%u.%s", c->dev->hw->members, c->dev->info.spec))
        return;
    fill_slots(c);
    for (size_t i = 0; i < 6; i++)
        p[i] = (struct iqt_product){ .struct_size = sizeof(p[i]),
                                     .w = w[i],
                                     .bias = i % 2 ? slot(c, BIAS) : NULL,
                                     .row_begin = 2 * i,
                                     .y = together[i] };
    if (ok(iqt_matvec(c->q, slot(c, X), 0, N, p, 6), "together"))
        for (size_t i = 0; i < 6; i++)
            in_sets += c->q->pass[i].built->plan.covers == IQT_COVERS_SET;
    check_true(in_sets == (c->dev->hw->members == 1 ? 0 : 5), "%zu products in sets",
               in_sets);
    for (size_t i = 0; i < 6; i++) {
        p[i].y = alone[i];
        if (ok(iqt_matvec(c->q, slot(c, X), 0, N, &p[i], 1), "alone"))
            check_true(memcmp(together[i], alone[i], (M - 2 * i) * N * sizeof(float)) ==
                           0,
                       "product %zu of a set differs from what it is alone", i);
    }
    check_end();
}

/* One command buffer, submitted again with other activations; float weights; y onto residual. */
static void check_resubmit(struct caller *c)
{
    struct iqt_vulkan_product p[2];

    if (!check_begin("resubmit.%s", c->dev->info.spec))
        return;
    fill_slots(c);
    p[0] = product(c, c->floats, Y);
    p[1] = product(c, c->other, Y2);
    if (ok(begin(c), "begin") &&
        ok(iqt_vulkan_record(c->recorder, c->cmd, at(c, X), 0, N, p, 2), "record") &&
        ok(end(c), "end")) {
        for (int round = 0; round < 2; round++) {
            fill_slots(c);
            ok(submit(c), "submit");
            compare(c, X, &p[0], Y, "f16");
            compare(c, X, &p[1], Y2, "iq2_k");
        }
    }
    check_end();
}

/* A stride wider than the rows; y on top of the residual. */
static void check_strides(struct caller *c)
{
    enum { STRIDE = M + 9, X_STRIDE = K + 32 };
    float tight[N * K];
    struct iqt_vulkan_product p, same;

    if (!check_begin("strides.%s", c->dev->info.spec))
        return;
    fill_slots(c);
    p = product(c, c->w, Y);
    p.stride = STRIDE;
    p.residual = p.y;
    for (int i = 0; i < N * M; i++)
        slot(c, Y)[i / M * STRIDE + i % M] = slot(c, RESIDUAL)[i];
    for (int i = 0; i < N * K; i++)
        tight[i] = slot(c, X)[i / K * X_STRIDE + i % K];
    if (ok(begin(c), "begin") &&
        ok(iqt_vulkan_record(c->recorder, c->cmd, at(c, X), X_STRIDE, N, &p, 1),
           "record") &&
        ok(end(c), "end") && ok(submit(c), "submit")) {
        memcpy(slot(c, X), tight, sizeof(tight));
        for (int i = 0; i < N * M; i++)
            slot(c, Y2)[i] = slot(c, Y)[i / M * STRIDE + i % M];
        same = product(c, c->w, Y2);
        same.residual = at(c, RESIDUAL);
        compare(c, X, &same, Y2, "wide strides");
    }
    check_end();
}

/* Calls that fit into an empty recorder. */
static int count_fitting(struct caller *c, const struct iqt_vulkan_product *p)
{
    int fits = 0;

    if (!ok(begin(c), "begin"))
        return 0;
    while (fits <= LAUNCHES &&
           iqt_vulkan_record(c->recorder, c->cmd, at(c, X), 0, N, p, 1) == IQT_OK)
        fits++;
    ok(end(c), "end");
    return fits;
}

/* Matrices larger than a binding take several launches. */
static void check_chunks(struct caller *c)
{
    const uint64_t before = c->dev->max_binding;
    struct iqt_vulkan_product p;
    int fits;

    if (!check_begin("chunks.%s", c->dev->info.spec))
        return;
    fill_slots(c);
    p = product(c, c->other, Y);
    p.bias = at(c, BIAS);
    p.residual = at(c, RESIDUAL);
    p.row_begin = 2;
    p.rows = M - 2;
    c->dev->max_binding = iqt_round_up(45 * c->other->row_bytes, c->dev->offset_align);
    fits = count_fitting(c, &p);
    c->dev->max_binding = before;
    check_true(fits == LAUNCHES / 3, "%d calls of 1 + 2 launches fit into %d launches",
               fits, LAUNCHES);
    ok(submit(c), "submit");
    compare(c, X, &p, Y, "chunks");
    check_end();
}

/* A driver that tells of many units: short matrices are split over k, several at the same time, and
 * again and again with the same counters. */
static void check_split(struct caller *c)
{
    const struct iqt_vulkan_recorder_options options = {
        .struct_size = sizeof(options), .max_launches = 8, .max_n = N, .max_k = WIDE
    };
    const uint32_t units = c->dev->limits.compute_units;
    struct iqt_vulkan_recorder *r = NULL;
    struct iqt_vulkan_product p[2];
    const char *plan = "";

    if (!check_begin("split.%s", c->dev->info.spec))
        return;
    c->dev->limits.compute_units = 256;
    iqt_plans_forget(c->dev);
    fill_slots(c);
    p[0] = product(c, c->wide, Y);
    p[1] = product(c, c->wide, Y2);
    p[1].bias = at(c, BIAS);
    if (ok(iqt_plan_used(c->dev, c->wide, false, N, &plan), "plan") &&
        ok(iqt_vulkan_recorder_create(c->dev, &options, &r), "recorder") &&
        ok(begin(c), "begin") &&
        ok(iqt_vulkan_record(r, c->cmd, at(c, X2), 0, N, p, 2), "record") &&
        ok(end(c), "end"))
        for (int round = 0; round < 3; round++) {
            fill_slots(c);
            ok(submit(c), "submit");
            compare(c, X2, &p[0], Y, "in parts");
            compare(c, X2, &p[1], Y2, "in parts, with a bias");
        }
    check_true(strstr(plan, ".k1.") == NULL, "%d rows by plan %s", M, plan);
    iqt_vulkan_recorder_destroy(r);
    c->dev->limits.compute_units = units;
    iqt_plans_forget(c->dev);
    check_end();
}

/* ---- Routed experts ---- */

enum { EXPERTS = 4, TOKENS = 2, USED = 2, JOBS = TOKENS * USED };

static struct iqt_matrix *upload_experts(struct caller *c)
{
    const struct iqt_format *f = iqt_format_find("iq4_ks");
    struct iqt_rng rng = { check_seed() };
    struct iqt_matrix *w = NULL;
    uint8_t *bytes;
    size_t row;

    if (!ok(iqt_format_row_bytes(f, K, &row), "row"))
        return NULL;
    bytes = malloc(row * M * EXPERTS);
    if (bytes == NULL)
        abort();
    iqt_random_rows(f, K, M * EXPERTS, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng, bytes);
    ok(iqt_experts_upload(c->dev, f, EXPERTS, M, K, bytes, row * M * EXPERTS,
                          IQT_LAYOUT_PACKED, &w),
       "upload");
    free(bytes);
    return w;
}

/* Ids change between two submissions of one command buffer. */
static void submit_routed(struct caller *c, const struct iqt_matrix *w, const char *what)
{
    for (int round = 0; round < 2; round++) {
        int32_t ids[JOBS];
        float want[JOBS * M];
        const struct iqt_routed same = { .struct_size = sizeof(same),
                                         .w = w,
                                         .bias = slot(c, BIAS),
                                         .ids = ids,
                                         .tokens = TOKENS,
                                         .used = USED,
                                         .y = want };

        for (int j = 0; j < JOBS; j++)
            ids[j] = j == round ? -1 - round : (int32_t)(check_rand() % EXPERTS);
        fill_slots(c);
        memcpy(slot(c, Y5), ids, sizeof(ids));
        if (!ok(submit(c), what) ||
            !ok(iqt_matvec_routed(c->q, slot(c, X), 0, &same), what))
            return;
        check_true(memcmp(want, slot(c, Y), sizeof(want)) == 0,
                   "%s: differs from iqt_matvec_routed()", what);
    }
}

static void check_routed(struct caller *c)
{
    const uint64_t before = c->dev->max_binding;
    struct iqt_matrix *w;
    struct iqt_vulkan_routed p = { .struct_size = sizeof(p),
                                   .bias = at(c, BIAS),
                                   .ids = at(c, Y5),
                                   .tokens = TOKENS,
                                   .used = USED,
                                   .y = at(c, Y) };

    if (!check_begin("routed.%s", c->dev->info.spec))
        return;
    w = upload_experts(c);
    p.w = w;
    if (w == NULL) {
        check_end();
        return;
    }
    if (ok(begin(c), "begin") &&
        ok(iqt_vulkan_record_routed(c->recorder, c->cmd, at(c, X), 0, &p), "record") &&
        ok(end(c), "end"))
        submit_routed(c, w, "routed");
    c->dev->max_binding = iqt_round_up(3 * w->expert_rows * w->row_bytes, 64);
    if (ok(begin(c), "begin") &&
        ok(iqt_vulkan_record_routed(c->recorder, c->cmd, at(c, X), 0, &p), "record") &&
        ok(end(c), "end")) {
        c->dev->max_binding = before;
        submit_routed(c, w, "routed in pieces");
    }
    c->dev->max_binding = before;
    p.ids.bytes = 4 * JOBS - 1;
    check_true(iqt_vulkan_record_routed(c->recorder, c->cmd, at(c, X), 0, &p) ==
                   IQT_ERR_SHAPE,
               "a short buffer of ids");
    iqt_vulkan_recorder_reset(c->recorder);
    iqt_matrix_destroy(w);
    check_end();
}

struct mistake {
    const char *what;
    enum iqt_status want;
    struct iqt_vulkan_product p;
    struct iqt_vulkan_buffer x;
    uint32_t n;
    size_t x_stride;
};

static void expect(struct caller *c, const struct mistake *m)
{
    const enum iqt_status status =
        iqt_vulkan_record(c->recorder, c->cmd, m->x, m->x_stride, m->n, &m->p, 1);

    check_true(status == m->want, "%s: %s (%s), expected %s", m->what,
               iqt_status_name(status), status == IQT_OK ? "" : iqt_last_error(),
               iqt_status_name(m->want));
}

static void check_mistakes(struct caller *c)
{
    const struct mistake right = { "right", IQT_OK, product(c, c->w, Y), at(c, X), N, 0 };
    struct mistake m;

    if (!check_begin("mistakes.%s", c->dev->info.spec))
        return;
    fill_slots(c);
    ok(begin(c), "begin");
#define MISTAKE(text, status, change) \
    m = right;                        \
    m.what = text;                    \
    m.want = status;                  \
    change;                           \
    expect(c, &m)
    MISTAKE("offset", IQT_ERR_ARG, m.x.offset += 4);
    MISTAKE("short x", IQT_ERR_SHAPE, m.x.bytes = N * K * 4 - 1);
    MISTAKE("short y", IQT_ERR_SHAPE, m.p.y.bytes = N * M * 4 - 1);
    MISTAKE("short bias", IQT_ERR_SHAPE, m.p.bias = at(c, BIAS);
            m.p.bias.bytes = M * 4 - 1);
    MISTAKE("no y", IQT_ERR_ARG, m.p.y.buffer = VK_NULL_HANDLE);
    MISTAKE("no x", IQT_ERR_ARG, m.x.buffer = VK_NULL_HANDLE);
    MISTAKE("n 0", IQT_ERR_SHAPE, m.n = 0);
    MISTAKE("n too large", IQT_ERR_SHAPE, m.n = N + 1);
    MISTAKE("rows", IQT_ERR_SHAPE, m.p.row_begin = 70; m.p.rows = 6);
    MISTAKE("row overflow", IQT_ERR_SHAPE, m.p.row_begin = 1; m.p.rows = SIZE_MAX);
    MISTAKE("stride", IQT_ERR_SHAPE, m.p.stride = M - 1);
    MISTAKE("stride overflow", IQT_ERR_SHAPE, m.p.stride = SIZE_MAX);
    MISTAKE("struct_size", IQT_ERR_ARG, m.p.struct_size = 0);
    MISTAKE("gate format", IQT_ERR_UNSUPPORTED, m.p.gate = c->other);
    MISTAKE("gate shape", IQT_ERR_SHAPE, m.p.gate = c->wide);
    MISTAKE("gate_bias alone", IQT_ERR_ARG, m.p.gate_bias = at(c, GATE_BIAS));
    MISTAKE("limit", IQT_ERR_ARG, m.p.gate = c->gate; m.p.act = IQT_ACT_SWIGLU_OAI);
    MISTAKE("float stride", IQT_ERR_UNSUPPORTED, m.p.w = c->floats; m.x_stride = K + 4);
    for (int i = 0; i < LAUNCHES / 2; i++)
        expect(c, &right);
    MISTAKE("no launch left", IQT_ERR_NO_MEMORY, (void)0);
#undef MISTAKE
    ok(end(c), "end");
    check_end();
}

/* A CPU device has no command buffers. */
static void check_other_backend(struct caller *c)
{
    const struct iqt_vulkan_recorder_options options = {
        .struct_size = sizeof(options), .max_launches = 1, .max_n = 1, .max_k = 32
    };
    struct iqt_vulkan_recorder *r = NULL;
    struct iqt_device *cpu = NULL;

    if (!check_begin("other_backend.%s", c->dev->info.spec))
        return;
    if (ok(iqt_device_open(c->ctx, "cpu", &cpu), "cpu"))
        check_true(iqt_vulkan_recorder_create(cpu, &options, &r) == IQT_ERR_UNSUPPORTED,
                   "a recorder on the CPU");
    iqt_device_close(cpu);
    check_end();
}

static void check_quiet(struct caller *c, bool validated)
{
    if (!check_begin("quiet.%s", c->dev->info.spec))
        return;
    check_true(c->locks > 0 && c->locks == c->unlocks, "%d locks, %d unlocks", c->locks,
               c->unlocks);
    check_true(!validated || atomic_load(&c->vk->messages) == 0,
               "%u messages of the validation layer, see above",
               atomic_load(&c->vk->messages));
    check_end();
}

/* A caller who did not enable what sets need: every product goes alone. */
static void check_without_sets(uint32_t index)
{
    struct caller c;
    const enum iqt_status status = caller_open(&c, index, false);

    if (check_begin("without_sets.%u", index)) {
        check_true(status == IQT_OK && c.dev->hw->members == 1, "%s",
                   status == IQT_OK ? "there are sets" : iqt_last_error());
        check_end();
    }
    if (status == IQT_OK) {
        check_sets(&c);
        check_matvec_sets(&c);
    }
    caller_close(&c);
}

static void check_device(const struct found *found, uint32_t index)
{
    struct caller c;
    const enum iqt_status status = caller_open(&c, index, true);

    if (status == IQT_OK) {
        check_record(&c);
        check_sets(&c);
        check_matvec_sets(&c);
        check_resubmit(&c);
        check_strides(&c);
        check_chunks(&c);
        check_split(&c);
        check_routed(&c);
        check_mistakes(&c);
        check_other_backend(&c);
        check_quiet(&c, found->validated);
    } else if (check_begin("adopt.%u", index)) {
        check_fail("%s: %s", iqt_status_name(status), iqt_last_error());
        check_end();
    }
    caller_close(&c);
}

int main(int argc, char **argv)
{
    struct found found;

    check_init(argc, argv);
    found_scan(&found);
    if (check_begin("scan")) {
        found_any(&found);
        check_end();
    }
    for (uint32_t i = 0; i < found.count; i++)
        check_device(&found, i);
    for (uint32_t i = 0; i < found.count; i++)
        check_without_sets(i);
    return check_done();
}
