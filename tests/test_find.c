/* Seeds found on every GPU there is, simulated ones included, are those that the CPU's search finds; rows
 * encoded with their help are the CPU's, byte for byte. */
#include "tests/check.h"
#include "quant/batch.h"
#include "runtime/runtime.h"

#include <iqtile/quant.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICES = 16, QUERIES = 49, MOST_BYTES = 4096 };

struct seat {
    char spec[32];
    struct iqt_context *ctx;
    struct iqt_device *dev;
    struct iqt_finder *finder;
};

static bool open_seat(struct seat *s)
{
    const struct iqt_context_options options = { .struct_size = sizeof(options),
                                                 .db_path = "" };

    return iqt_context_create(&options, &s->ctx) == IQT_OK &&
           iqt_device_open(s->ctx, s->spec, &s->dev) == IQT_OK &&
           iqt_finder_create(s->dev, &s->finder) == IQT_OK;
}

static void close_seat(struct seat *s)
{
    iqt_finder_destroy(s->finder);
    iqt_device_close(s->dev);
    iqt_context_destroy(s->ctx);
}

/* ---- Queries ---- */

static float sign(void)
{
    return check_rand() % 2 ? 1 : -1;
}

/* As encoders ask: weights of any size around values of any size. */
static void fill_plain(struct iqt_seed_query *q, uint32_t group, float spread)
{
    for (uint32_t i = 0; i < group; i++) {
        q->y[i] = spread * check_gauss();
        q->w[i] = expf(2 * check_gauss());
    }
}

/* Halfway between values, or on them, in the few places that count: hundreds of seeds are equal. */
static void fill_ties(struct iqt_seed_query *q, uint32_t group, float off)
{
    for (uint32_t i = 0; i < group; i++) {
        q->y[i] = (float)(int)(20 * check_gauss()) + off;
        q->w[i] = 0;
    }
    q->w[check_rand() % group] = 1;
    q->w[check_rand() % group] = 0.25f;
}

/* The ends of what a device is asked: no sum overflows, no product is below the normal numbers. */
static void fill_ends(struct iqt_seed_query *q, uint32_t group)
{
    for (uint32_t i = 0; i < group; i++) {
        const int y = (int)(check_rand() % 50) - 30;

        q->y[i] = y == 0 ? 0 : sign() * ldexpf(1, y < 19 ? y : 19);
        q->w[i] =
            ldexpf(1 + 0.5f * (float)(check_rand() % 2), (int)(check_rand() % 140) - 66);
    }
}

static double apart(const struct iqt_seed_query *q, const struct iqt_trellis_tree *t,
                    uint32_t point)
{
    double sum = 0;

    for (uint32_t i = 0; i < t->dims; i++)
        sum += q->w[i] * pow((double)q->y[i] - iqt_trellis_value(t, point, i), 2);
    return sum;
}

/* Moves the query to where the two nearest seeds are equally far, but for what is rounded: whoever rounds in
 * another way finds the other one every few times. */
static void fill_rounded(struct iqt_seed_query *q, const struct iqt_trellis_tree *t)
{
    double least[2] = { DBL_MAX, DBL_MAX }, all = 0;
    uint32_t best[2] = { 0, 0 };

    fill_plain(q, t->dims, 40);
    for (uint32_t p = 0; p < t->leaves * IQT_TREE_WIDE; p++) {
        const double d = apart(q, t, p);
        const uint32_t place = d < least[0] ? 0 : 1;

        if (d >= least[1])
            continue;
        least[1] = place == 0 ? least[0] : d;
        best[1] = place == 0 ? best[0] : p;
        least[0] = place == 0 ? d : least[0];
        best[0] = place == 0 ? p : best[0];
    }
    for (uint32_t i = 0; i < t->dims; i++)
        all += q->w[i] * pow((double)iqt_trellis_value(t, best[0], i) -
                                 iqt_trellis_value(t, best[1], i),
                             2);
    for (uint32_t i = 0; i < t->dims && all > 0; i++)
        q->y[i] += (float)((least[0] - least[1]) / (2 * all) *
                           ((double)iqt_trellis_value(t, best[0], i) -
                            iqt_trellis_value(t, best[1], i)));
}

static void fill(struct iqt_seed_query *q, const struct iqt_format *f,
                 struct iqt_trellis_tree *const *tree, uint32_t n)
{
    const uint32_t group = f->trellis->group;

    *q = (struct iqt_seed_query){ .table =
                                      iqt_field_empty(&f->shift) ? 0 : check_rand() % 2 };
    switch (n % 7) {
    case 0:
        break; /* nothing counts */
    case 1:
    case 2:
        fill_ties(q, group, n % 7 == 1 ? 0 : 0.5f);
        break;
    case 3:
        fill_ends(q, group);
        break;
    case 4:
        fill_plain(q, group, 400);
        break;
    default:
        fill_rounded(q, tree[q->table]);
        return;
    }
    for (uint32_t i = 0; i < group; i++)
        q->y[i] = f->trellis->magnitude ? fabsf(q->y[i]) : q->y[i];
}

static bool make_trees(const struct iqt_format *f, struct iqt_trellis_tree *tree[2])
{
    for (uint32_t shift = 0; shift < 2; shift++)
        if (iqt_trellis_tree_create(f->trellis, iqt_seed_first(f, shift != 0),
                                    iqt_seed_count(f), &tree[shift]) != IQT_OK)
            return false;
    return true;
}

static void compare_codes(const struct iqt_format *f,
                          struct iqt_trellis_tree *const *tree,
                          const struct iqt_seed_query *query, const uint32_t *code)
{
    for (uint32_t i = 0; i < QUERIES; i++) {
        const struct iqt_trellis_tree *t = tree[query[i].table];
        const uint32_t point = iqt_quant_isas[0].trellis_find(t, query[i].y, query[i].w,
                                                              UINT32_MAX, FLT_MAX);

        check_true(code[i] == iqt_trellis_code(t, point),
                   "%s, query %u, table %u: code %u, the CPU finds %u", f->name, i,
                   query[i].table, code[i], iqt_trellis_code(t, point));
    }
}

static void test_seeds(const struct seat *s, const struct iqt_format *f)
{
    struct iqt_trellis_tree *tree[2] = { NULL };
    struct iqt_seed_query query[QUERIES];
    uint32_t code[QUERIES];

    if (!check_begin("find.seeds.%s.%s", s->spec, f->name))
        return;
    if (make_trees(f, tree)) {
        for (uint32_t i = 0; i < QUERIES; i++) {
            fill(&query[i], f, tree, i);
            code[i] = UINT32_MAX;
        }
        if (iqt_finder_find(s->finder, f, QUERIES, query, code) == IQT_OK)
            compare_codes(f, tree, query, code);
        else
            check_fail("%s", iqt_last_error());
    } else {
        check_fail("%s", iqt_last_error());
    }
    iqt_trellis_tree_destroy(tree[0]);
    iqt_trellis_tree_destroy(tree[1]);
    check_end();
}

/* ---- Rows ---- */

enum { K = 256, FEW = 3, MANY = 200 };

/* Rows as models have them, rows of nearly nothing, and a few far out: what is too small for a device must
 * be found without it. */
static void fill_row(float *x, uint32_t n)
{
    const float size = n % 3 == 2 ? 1e-30f : 1;

    for (uint32_t i = 0; i < K; i++) {
        x[i] = size * check_gauss();
        if (n % 3 == 1)
            x[i] *= check_rand() % 16 == 0 ? 1e6f : check_rand() % 4 == 0 ? 0 : 1e-6f;
    }
}

static void fill_importance(float *importance)
{
    for (uint32_t i = 0; i < K; i++)
        importance[i] =
            check_rand() % 8 == 0 ? 0 : expf((i % 32 == 0 ? 20 : 1) * check_gauss());
}

struct rows {
    float x[MANY * K], importance[K];
    uint8_t cpu[MANY * MOST_BYTES], device[MANY * MOST_BYTES];
};

static enum iqt_status encode(const struct iqt_format *f, const struct rows *r,
                              uint32_t rows, iqt_find_seeds_fn find, void *user,
                              uint8_t *out)
{
    const struct iqt_encoder_opts opts = { .quality = IQT_QUALITY_FAST,
                                           .find = find,
                                           .find_user = user };
    struct iqt_encoder *e;
    enum iqt_status status = iqt_encoder_create_with(f, &opts, &e);

    if (status != IQT_OK)
        return status;
    status = iqt_encode_rows(e, rows, K, r->x, rows == FEW ? r->importance : NULL, out);
    iqt_encoder_destroy(e);
    return status;
}

static void compare_rows(const struct iqt_format *f, uint32_t rows,
                         iqt_find_seeds_fn find, void *user)
{
    static struct rows r;
    size_t bytes = 0;

    for (uint32_t i = 0; i < rows; i++)
        fill_row(r.x + (size_t)i * K, i);
    fill_importance(r.importance);
    if (iqt_format_row_bytes(f, K, &bytes) != IQT_OK || bytes > MOST_BYTES ||
        encode(f, &r, rows, NULL, NULL, r.cpu) != IQT_OK ||
        encode(f, &r, rows, find, user, r.device) != IQT_OK) {
        check_fail("%s: %s", f->name, iqt_last_error());
        return;
    }
    for (uint32_t i = 0; i < rows; i++)
        check_true(memcmp(r.cpu + i * bytes, r.device + i * bytes, bytes) == 0,
                   "%s: row %u of %u differs", f->name, i, rows);
}

static void test_rows(const struct seat *s, const struct iqt_format *f)
{
    if (!check_begin("find.rows.%s.%s", s->spec, f->name))
        return;
    compare_rows(f, FEW, iqt_finder_find, s->finder);
    check_end();
}

/* ---- Batches, answered by the CPU ---- */

struct oracle {
    struct iqt_trellis_tree *tree[2];
    size_t most, calls, fail_at; /* fail_at 0: never */
    size_t unfit;                /* for devices without numbers below the normal ones */
};

static bool is_unfit(const struct iqt_seed_query *q)
{
    for (uint32_t i = 0; i < 8; i++)
        if ((q->y[i] != 0 && fabsf(q->y[i]) < 0x1p-30f) || !(fabsf(q->y[i]) <= 1e6f) ||
            (q->w[i] != 0 && !(q->w[i] >= 0x1p-66f)) || !(q->w[i] <= 0x1p80f))
            return true;
    return false;
}

static enum iqt_status ask_oracle(void *user, const struct iqt_format *f, size_t count,
                                  const struct iqt_seed_query *query, uint32_t *code)
{
    struct oracle *o = user;

    if (++o->calls == o->fail_at)
        return iqt_fail(IQT_ERR_DEVICE, "%s: the oracle is tired", f->name);
    o->most = count > o->most ? count : o->most;
    for (size_t i = 0; i < count; i++) {
        const struct iqt_trellis_tree *t = o->tree[query[i].table];

        o->unfit += is_unfit(&query[i]);
        code[i] =
            iqt_trellis_code(t, iqt_quant_isas[0].trellis_find(t, query[i].y, query[i].w,
                                                               UINT32_MAX, FLT_MAX));
    }
    return IQT_OK;
}

/* Many rows ask together, each gets its own answers, and a failure is told. */
static void test_batches(const struct iqt_format *f)
{
    struct oracle o = { .most = 0 };
    static struct rows r;

    if (!check_begin("find.batches.%s", f->name))
        return;
    if (make_trees(f, o.tree)) {
        compare_rows(f, MANY, ask_oracle, &o);
        check_true(o.most > 64 * 32u / f->trellis->group,
                   "at most %zu seeds were asked for at once", o.most);
        check_true(o.unfit == 0, "%zu questions are unfit for devices", o.unfit);
        for (uint32_t i = 0; i < FEW * K; i++)
            r.x[i] = check_gauss();
        o.fail_at = 3;
        o.calls = 0;
        check_true(encode(f, &r, FEW, ask_oracle, &o, r.device) == IQT_ERR_DEVICE,
                   "a failure was not told");
    } else {
        check_fail("%s", iqt_last_error());
    }
    iqt_trellis_tree_destroy(o.tree[0]);
    iqt_trellis_tree_destroy(o.tree[1]);
    check_end();
}

/* ---- Batches with error feedback ---- */

enum { WINDOW = 64, FED = 5 };

struct fed {
    const struct iqt_encoder *e;
    struct iqt_feedback *feedback;
    const float *x;
    size_t bytes;
    uint8_t *out;
};

static void encode_fed(void *user, struct iqt_batch *batch, size_t row)
{
    const struct fed *f = user;
    struct iqt_row_work work;

    if (iqt_row_work_create(f->e->format, K, &work) != IQT_OK)
        abort();
    work.batch = batch;
    iqt_encode_row(f->e, K, f->x + row * K, NULL, f->feedback, &work,
                   f->out + row * f->bytes);
    iqt_row_work_free(&work);
}

/* Columns that tell of their neighbours. */
static struct iqt_feedback *make_feedback(void)
{
    static float h[K * WINDOW];
    struct iqt_feedback *f = NULL;

    for (int i = 0; i < K; i++)
        for (int j = 0; j < WINDOW; j++)
            h[i * WINDOW + j] = powf(0.8f, (float)abs(i % WINDOW - j));
    if (iqt_feedback_create(K, WINDOW, h, 0.01, NULL, &f) != IQT_OK)
        abort();
    return f;
}

static void compare_fed(struct fed *f, struct rows *r)
{
    f->out = r->cpu;
    for (size_t i = 0; i < FED; i++)
        encode_fed(f, NULL, i);
    f->out = r->device;
    check_true(iqt_encoder_asks(f->e) &&
                   iqt_batch_run(f->e, FED, encode_fed, f) == IQT_OK,
               "%s", iqt_last_error());
    check_true(memcmp(r->cpu, r->device, FED * f->bytes) == 0,
               "%s: rows with error feedback differ", f->e->format->name);
}

static void test_feedback(const struct iqt_format *format)
{
    static struct rows r;
    struct oracle o = { .most = 0 };
    const struct iqt_encoder_opts opts = { .find = ask_oracle, .find_user = &o };
    struct fed f = { .x = r.x };
    struct iqt_encoder *e = NULL;

    if (!check_begin("find.feedback.%s", format->name))
        return;
    for (uint32_t i = 0; i < FED; i++)
        fill_row(r.x + (size_t)i * K, i);
    if (make_trees(format, o.tree) &&
        iqt_format_row_bytes(format, K, &f.bytes) == IQT_OK &&
        iqt_encoder_create_with(format, &opts, &e) == IQT_OK) {
        f.e = e;
        f.feedback = make_feedback();
        compare_fed(&f, &r);
        check_true(o.calls > 0, "nothing was asked");
        iqt_feedback_destroy(f.feedback);
    } else {
        check_fail("%s", iqt_last_error());
    }
    iqt_encoder_destroy(e);
    iqt_trellis_tree_destroy(o.tree[0]);
    iqt_trellis_tree_destroy(o.tree[1]);
    check_end();
}

/* ---- Refusals ---- */

static void test_refusals(void)
{
    struct iqt_finder *finder = NULL;
    struct iqt_context *ctx = NULL;
    struct iqt_device *dev = NULL;

    if (!check_begin("find.refusals"))
        return;
    if (iqt_context_create(NULL, &ctx) == IQT_OK &&
        iqt_device_open(ctx, "cpu", &dev) == IQT_OK)
        check_true(iqt_finder_create(dev, &finder) == IQT_ERR_UNSUPPORTED &&
                       strstr(iqt_last_error(), "cpu:0") != NULL,
                   "%s", iqt_last_error());
    else
        check_fail("%s", iqt_last_error());
    check_true(iqt_finder_create(NULL, &finder) == IQT_ERR_ARG, "no device");
    iqt_device_close(dev);
    iqt_context_destroy(ctx);
    check_end();
}

/* ---- Devices ---- */

struct specs {
    char spec[DEVICES][32];
    size_t count;
};

static void on_device(void *user, const struct iqt_device_info *info)
{
    struct specs *list = user;

    if (strcmp(info->backend, "cpu") != 0 && list->count < DEVICES)
        memcpy(list->spec[list->count++], info->spec, sizeof(info->spec));
}

static void test_device(const char *spec)
{
    struct seat s = { .ctx = NULL };

    memcpy(s.spec, spec, sizeof s.spec);
    if (!open_seat(&s) && check_begin("find.open.%s", spec)) {
        check_fail("%s", iqt_last_error());
        check_end();
    }
    for (const struct iqt_format *f = iqt_formats; f->name != NULL && s.finder != NULL;
         f++)
        if (f->trellis != NULL) {
            test_seeds(&s, f);
            if (check_draws((uint64_t)(f - iqt_formats), 2))
                test_rows(&s, f);
        }
    close_seat(&s);
}

int main(int argc, char **argv)
{
    struct specs list = { .count = 0 };
    struct iqt_context *ctx;

    check_init(argc, argv);
    setenv("IQT_SIM", "cuda,hip", 0);
    if (iqt_context_create(NULL, &ctx) == IQT_OK &&
        iqt_device_list(ctx, on_device, &list) == IQT_OK)
        iqt_context_destroy(ctx);
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
        if (f->trellis != NULL) {
            test_batches(f);
            test_feedback(f);
        }
    test_refusals();
    if (list.count == 0 && check_begin("find.gpu")) {
        check_skip("vulkan", "no GPU, not even a simulated one");
        check_end();
    }
    for (size_t i = 0; i < list.count; i++)
        test_device(list.spec[i]);
    return check_done();
}
