/* Contexts, devices, uploads, plans: what the public calls accept, refuse and say. */
#include "tests/problem.h"

#include "runtime/cpu.h"

/* A failure must have this status and a sentence that holds the words. */
static void expect(enum iqt_status got, enum iqt_status want, const char *words)
{
    check_true(got == want, "%s, expected %s", iqt_status_name(got),
               iqt_status_name(want));
    if (got == want && want != IQT_OK)
        check_true(strstr(iqt_last_error(), words) != NULL, "'%s' does not mention '%s'",
                   iqt_last_error(), words);
}

/* ---- Contexts ---- */

static void test_context(void)
{
    struct iqt_context_options options = { .struct_size = sizeof options };
    struct iqt_context *ctx = NULL;

    if (check_begin("context.options")) {
        expect(iqt_context_create(NULL, NULL), IQT_ERR_ARG, "NULL");
        options.struct_size = 1;
        expect(iqt_context_create(&options, &ctx), IQT_ERR_ARG, "struct_size");
        check_true(ctx == NULL, "out was written by a failing call");
        iqt_context_destroy(NULL);
        check_end();
    }
    if (check_begin("context.environment")) {
        options = (struct iqt_context_options){ .struct_size = sizeof options };
        setenv("IQT_DB", "some/tuned.db", 1);
        setenv("IQT_CACHE", "some/cache", 1);
        expect(iqt_context_create(&options, &ctx), IQT_OK, "");
        check_true(strcmp(ctx->db_path, "some/tuned.db") == 0, "db_path is %s",
                   ctx->db_path);
        check_true(strcmp(ctx->cache_dir, "some/cache") == 0, "cache is %s",
                   ctx->cache_dir);
        iqt_context_destroy(ctx);
        options.db_path = options.cache_dir = "";
        expect(iqt_context_create(&options, &ctx), IQT_OK, "");
        check_true(!ctx->db_path[0] && !ctx->cache_dir[0],
                   "options lost to the environment");
        iqt_context_destroy(ctx);
        unsetenv("IQT_DB");
        unsetenv("IQT_CACHE");
        check_end();
    }
}

/* ---- Devices ---- */

struct seen {
    struct iqt_context *ctx;
    size_t count;
    char last[32];
};

static void on_device(void *user, const struct iqt_device_info *info)
{
    struct seen *s = user;
    struct iqt_device *dev = NULL;

    snprintf(s->last, sizeof s->last, "%s", info->backend);
    s->count++;
    expect(iqt_device_open(s->ctx, info->spec, &dev), IQT_OK, "");
    if (!dev)
        return;
    check_true(strcmp(iqt_device_describe(dev)->spec, info->spec) == 0 &&
                   strcmp(iqt_device_describe(dev)->id, info->id) == 0,
               "%s describes itself in two ways", info->spec);
    check_true(info->name[0] && info->id[0] && info->arch[0], "%s has an empty text",
               info->spec);
    iqt_device_close(dev);
}

static void test_list(struct iqt_context *ctx)
{
    struct seen s = { .ctx = ctx };
    struct iqt_device *dev = NULL;

    if (check_begin("device.list")) {
        expect(iqt_device_list(ctx, on_device, &s), IQT_OK, "");
        check_true(s.count >= 1 && strcmp(s.last, "cpu") == 0,
                   "%zu devices, the last one of %s: the CPU must be last", s.count,
                   s.last);
        expect(iqt_device_open(ctx, NULL, &dev), IQT_OK, "");
        check_true(strstr(iqt_device_describe(dev)->features, "software") == NULL,
                   "%s is preferred to the CPU", iqt_device_describe(dev)->name);
        iqt_device_close(dev);
        check_end();
    }
    if (check_begin("device.unknown")) {
        dev = NULL;
        expect(iqt_device_open(ctx, "abacus", &dev), IQT_ERR_UNKNOWN, "cpu");
        expect(iqt_device_open(ctx, "abacus", &dev), IQT_ERR_UNKNOWN, "vulkan");
        expect(iqt_device_open(ctx, "cpu:1", &dev), IQT_ERR_UNKNOWN, "cpu:0");
        expect(iqt_device_open(ctx, "cpu:x", &dev), IQT_ERR_UNKNOWN, "index");
        expect(iqt_device_open(ctx, "cpu:", &dev), IQT_ERR_UNKNOWN, "index");
        expect(iqt_device_open(ctx, "cpu:-1", &dev), IQT_ERR_UNKNOWN, "index");
        expect(iqt_device_open(ctx, "cpu:4294967296", &dev), IQT_ERR_UNKNOWN, "index");
        expect(iqt_device_open(NULL, "cpu", &dev), IQT_ERR_ARG, "NULL");
        expect(iqt_device_open(ctx, "cpu", NULL), IQT_ERR_ARG, "NULL");
        check_true(dev == NULL, "out was written by a failing call");
        check_end();
    }
}

static void test_reason(struct iqt_context *ctx)
{
    const char *why = NULL;

    if (check_begin("device.reason")) {
        expect(iqt_backend_reason(ctx, "cpu", &why), IQT_OK, "");
        check_true(why && !*why, "the CPU is absent: %s", why ? why : "(null)");
        expect(iqt_backend_reason(ctx, "abacus", &why), IQT_ERR_UNKNOWN, "cpu");
        for (size_t i = 0; iqt_backends[i]; i++) {
            struct iqt_device *dev = NULL;
            const enum iqt_status status =
                iqt_device_open(ctx, iqt_backends[i]->name, &dev);

            expect(iqt_backend_reason(ctx, iqt_backends[i]->name, &why), IQT_OK, "");
            check_true((status == IQT_OK) == (*why == '\0'),
                       "%s: open says %s, the reason is '%s'", iqt_backends[i]->name,
                       iqt_status_name(status), why);
            iqt_device_close(dev);
        }
        check_end();
    }
}

static void test_isa(struct iqt_context *ctx)
{
    struct iqt_device *dev = NULL;

    if (!check_begin("device.IQT_CPU"))
        return;
    setenv("IQT_CPU", "mmx", 1);
    expect(iqt_device_open(ctx, "cpu", &dev), IQT_ERR_UNKNOWN, "portable");
    expect(iqt_device_list(ctx, on_device, &(struct seen){ .ctx = ctx }), IQT_ERR_UNKNOWN,
           "IQT_CPU=mmx");
    for (size_t i = 0; iqt_cpu_isas[i]; i++) {
        setenv("IQT_CPU", iqt_cpu_isas[i], 1);
        dev = NULL;
        const enum iqt_status status = iqt_device_open(ctx, "cpu", &dev);

        if (status == IQT_OK)
            check_true(strcmp(dev->info.arch, iqt_cpu_isas[i]) == 0, "%s opened as %s",
                       iqt_cpu_isas[i], dev->info.arch);
        else
            expect(status, i ? IQT_ERR_UNSUPPORTED : IQT_OK, "portable");
        iqt_device_close(dev);
    }
    unsetenv("IQT_CPU");
    check_end();
}

/* ---- Uploads ---- */

static void test_upload(struct iqt_device *dev)
{
    enum { ROWS = 3, K = 512 };
    const struct iqt_format *f = iqt_format_find("iq4_ks"), *q8 = iqt_format_find("q8_0");
    const struct iqt_format *f16 = iqt_format_find("f16");
    struct problem p;
    struct iqt_matrix *w = NULL;
    const enum iqt_layout native = IQT_LAYOUT_NATIVE;

    if (!check_begin("matrix.refused"))
        return;
    p = problem_new(f, ROWS, K);
    expect(iqt_matrix_upload(NULL, f, ROWS, K, p.bytes, p.size, native, &w), IQT_ERR_ARG,
           "dev");
    expect(iqt_matrix_upload(dev, NULL, ROWS, K, p.bytes, p.size, native, &w),
           IQT_ERR_ARG, "format");
    expect(iqt_matrix_upload(dev, f, ROWS, K, NULL, p.size, native, &w), IQT_ERR_ARG,
           "bytes");
    expect(iqt_matrix_upload(dev, f, ROWS, K, p.bytes, p.size, native, NULL), IQT_ERR_ARG,
           "out");
    expect(iqt_matrix_upload(dev, f, ROWS, K, p.bytes, p.size, (enum iqt_layout)7, &w),
           IQT_ERR_ARG, "7");
    expect(iqt_matrix_upload(dev, f, 0, K, p.bytes, p.size, native, &w), IQT_ERR_SHAPE,
           "0 rows");
    expect(iqt_matrix_upload(dev, f, ROWS, 0, p.bytes, p.size, native, &w), IQT_ERR_SHAPE,
           "0 columns");
    expect(iqt_matrix_upload(dev, f, ROWS, K - 32, p.bytes, p.size, native, &w),
           IQT_ERR_SHAPE, "480");
    expect(iqt_matrix_upload(dev, f16, ROWS, 40, p.bytes, p.size, native, &w),
           IQT_ERR_SHAPE, "multiple of 32");
    expect(iqt_matrix_upload(dev, q8, ROWS, 33, p.bytes, p.size, native, &w),
           IQT_ERR_SHAPE, "33");
    /* A file written without row headers is short by them. */
    expect(iqt_matrix_upload(dev, f, ROWS, K, p.bytes, p.size - 4 * ROWS, native, &w),
           IQT_ERR_SHAPE, "828");
    expect(iqt_matrix_upload(dev, f, SIZE_MAX / 2, K, p.bytes, p.size, native, &w),
           IQT_ERR_SHAPE, "range");
    expect(iqt_matrix_upload(dev, f, ROWS, (size_t)1 << 40, p.bytes, p.size, native, &w),
           IQT_ERR_SHAPE, "range");
    check_true(w == NULL, "out was written by a failing call");
    iqt_matrix_destroy(NULL);
    problem_free(&p);
    check_end();
}

static void test_borrow(struct target *t)
{
    struct problem p;
    struct iqt_matrix *w;

    if (check_begin("matrix.borrows-native.%s", t->name)) {
        p = problem_new(iqt_format_find("iq3_ks"), 5, 256);
        w = problem_upload(&p, t, IQT_LAYOUT_NATIVE);
        /* Other bytes after the upload are seen: nothing was copied. */
        iqt_random_rows(p.f, p.k, p.m, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN,
                        &(struct iqt_rng){ 1 }, p.bytes);
        problem_remodel(&p);
        if (w)
            problem_check(&p, t, w, 2);
        iqt_matrix_destroy(w);
        problem_free(&p);
        check_end();
    }
    if (check_begin("matrix.copies-packed.%s", t->name)) {
        p = problem_new(iqt_format_find("iq3_ks"), 5, 256);
        w = problem_upload(&p, t, IQT_LAYOUT_PACKED);
        memset(p.bytes, 0xff, p.size);
        if (w)
            problem_check(&p, t, w, 2);
        iqt_matrix_destroy(w);
        problem_free(&p);
        check_end();
    }
}

/* Larger than the staging buffer and than the size from which threads pack. */
static void test_large_upload(struct target *t)
{
    struct problem p;
    struct iqt_matrix *w;

    if (!check_begin("matrix.staged.%s", t->name))
        return;
    p = problem_new(iqt_format_find("q8_0"), 2081, 2560);
    for (uint32_t layout = 0; layout < 2; layout++) {
        w = problem_upload(&p, t, (enum iqt_layout)layout);
        if (w)
            problem_check(&p, t, w, 1);
        iqt_matrix_destroy(w);
    }
    problem_free(&p);
    check_end();
}

/* Interleaved rows give the products of their base type: in a few rows, and staged by threads. */
static void test_interleaved(struct target *t)
{
    static const struct {
        const char *name;
        size_t m, k;
    } cases[] = { { "iq2_k_r4", 20, 512 }, { "iq5_ks_r4", 2080, 4096 } };

    if (!check_begin("matrix.interleaved.%s", t->name))
        return;
    for (uint32_t i = 0; i < 2 * IQT_COUNT(cases); i++) {
        const struct iqt_format *f = iqt_format_find(cases[i / 2].name);
        struct problem p =
            problem_new(iqt_format_base(f), cases[i / 2].m, cases[i / 2].k);
        uint8_t *units = malloc(p.size);
        struct iqt_matrix *w = NULL;

        if (units == NULL)
            abort();
        if (iqt_rows_interleave(f, p.m, p.k, p.bytes, units) != IQT_OK ||
            iqt_matrix_upload(t->dev, f, p.m, p.k, units, p.size,
                              i % 2 ? IQT_LAYOUT_PACKED : IQT_LAYOUT_NATIVE,
                              &w) != IQT_OK)
            check_fail("%s: %s", f->name, iqt_last_error());
        else
            problem_check(&p, t, w, 1);
        iqt_matrix_destroy(w);
        w = NULL;
        expect(iqt_matrix_upload(t->dev, f, 6, p.k, units, p.size, IQT_LAYOUT_NATIVE, &w),
               IQT_ERR_SHAPE, "6 rows");
        free(units);
        problem_free(&p);
    }
    check_end();
}

/* ---- Products that are refused ---- */

static void refuse(struct target *t, const float *x, size_t x_stride, uint32_t n,
                   const struct iqt_product *p, enum iqt_status want, const char *words)
{
    expect(iqt_matvec(t->q, x, x_stride, n, p, 1), want, words);
}

static void refuse_products(struct target *t, const struct iqt_product *good,
                            const float *x, const struct iqt_matrix *shorter,
                            const struct iqt_matrix *narrow)
{
    const float extra[8] = { 0 };
    struct iqt_product p = *good;

    expect(iqt_matvec(NULL, x, 0, 1, good, 1), IQT_ERR_ARG, "queue");
    expect(iqt_matvec(t->q, x, 0, 1, good, 0), IQT_ERR_ARG, "no products");
    expect(iqt_matvec(t->q, x, 0, 1, NULL, 1), IQT_ERR_ARG, "no products");
    refuse(t, NULL, 0, 1, good, IQT_ERR_ARG, "x is NULL");
    refuse(t, x, 255, 1, good, IQT_ERR_SHAPE, "255");
    refuse(t, x, 0, 0, good, IQT_ERR_SHAPE, "n is 0");
    refuse(t, x, 0, 17, good, IQT_ERR_SHAPE, "n is 17");
#define BAD(field, value, status, words)       \
    do {                                       \
        p = *good;                             \
        p.field = (value);                     \
        refuse(t, x, 0, 1, &p, status, words); \
    } while (0)
    BAD(struct_size, 8, IQT_ERR_ARG, "struct_size");
    BAD(w, NULL, IQT_ERR_ARG, "w is NULL");
    BAD(y, NULL, IQT_ERR_ARG, "y is NULL");
    BAD(y_stride, 4, IQT_ERR_SHAPE, "y_stride");
    BAD(row_begin, 5, IQT_ERR_SHAPE, "5 rows");
    BAD(rows, 6, IQT_ERR_SHAPE, "5 rows");
    BAD(row_begin, SIZE_MAX, IQT_ERR_SHAPE, "5 rows");
    BAD(rows, SIZE_MAX, IQT_ERR_SHAPE, "5 rows");
    BAD(gate_bias, extra, IQT_ERR_ARG, "without a gate");
    BAD(gate, shorter, IQT_ERR_SHAPE, "4 rows");
    BAD(gate, narrow, IQT_ERR_SHAPE, "512");
    p = *good;
    p.gate = p.w;
    p.act = (enum iqt_act)9;
    refuse(t, x, 0, 1, &p, IQT_ERR_ARG, "activation 9");
    p.act = IQT_ACT_SWIGLU_OAI;
    refuse(t, x, 0, 1, &p, IQT_ERR_ARG, "limit");
    p = *good;
    p.residual = extra;
    p.residual_stride = 3;
    refuse(t, x, 0, 1, &p, IQT_ERR_SHAPE, "residual_stride");
#undef BAD
}

static void test_refused(struct target *t, struct target *other)
{
    struct problem p = problem_new(iqt_format_find("iq2_k"), 5, 256);
    struct problem shorter = problem_new(p.f, 4, 256), narrow = problem_new(p.f, 5, 512);
    float y[5];
    struct iqt_product good = { .struct_size = sizeof good, .y = y };
    struct iqt_matrix *w[] = { problem_upload(&p, t, IQT_LAYOUT_NATIVE),
                               problem_upload(&shorter, t, IQT_LAYOUT_NATIVE),
                               problem_upload(&narrow, t, IQT_LAYOUT_NATIVE) };
    size_t bytes;

    good.w = w[0];
    if (check_begin("product.refused")) {
        refuse_products(t, &good, p.x.at, w[1], w[2]);
        expect(iqt_matvec(other->q, p.x.at, 0, 1, &good, 1), IQT_ERR_ARG,
               "another device");
        expect(iqt_workspace_bytes(t->q, 1, &good, 1, NULL), IQT_ERR_ARG, "NULL");
        expect(iqt_workspace_bytes(t->q, 17, &good, 1, &bytes), IQT_ERR_SHAPE, "17");
        expect(iqt_prepare(t->dev, w[0], 17), IQT_ERR_SHAPE, "17");
        expect(iqt_prepare(other->dev, w[0], 1), IQT_ERR_ARG, "another device");
        check_end();
    }
    for (size_t i = 0; i < IQT_COUNT(w); i++)
        iqt_matrix_destroy(w[i]);
    problem_free(&p);
    problem_free(&shorter);
    problem_free(&narrow);
}

/* For what does not depend on the device: the CPU, twice. */
static void test_cpu(void)
{
    struct targets two = { .count = 0 };

    if (!target_open(&two, "cpu", "cpu") || !target_open(&two, "cpu", "other")) {
        if (check_begin("device.cpu")) {
            check_fail("no CPU device: %s", iqt_last_error());
            check_end();
        }
        targets_close(&two);
        return;
    }
    test_upload(two.at[0].dev);
    test_borrow(&two.at[0]);
    test_refused(&two.at[0], &two.at[1]);
    targets_close(&two);
}

int main(int argc, char **argv)
{
    struct iqt_context *ctx = NULL;
    struct targets all;

    check_init(argc, argv);
    test_context();
    if (iqt_context_create(NULL, &ctx) != IQT_OK)
        return 1;
    test_list(ctx);
    test_reason(ctx);
    test_isa(ctx);
    iqt_context_destroy(ctx);
    test_cpu();
    targets_open(&all);
    for (size_t i = 0; i < all.count; i++) {
        test_large_upload(&all.at[i]);
        test_interleaved(&all.at[i]);
    }
    targets_close(&all);
    return check_done();
}
