/* One named check for each class of bug that kernels for these formats shipped with elsewhere.
 * Mixed gates are in test_product_fused.c, the decoders' own in the tests of formats. */
#include "tests/problem.h"

#include <sys/mman.h>

enum { M = 19, N = IQT_MAX_COLS };

static void set_x(struct problem *p, float (*value)(uint32_t col, size_t i))
{
    for (uint32_t c = 0; c < N; c++)
        for (size_t i = 0; i < p->k; i++)
            p->x.at[c * p->x_stride + i] = value(c, i);
    problem_remodel(p);
    problem_widen(p);
}

static void check_columns(const struct problem *p, struct target *t,
                          enum iqt_layout layout)
{
    struct iqt_matrix *w = problem_upload(p, t, layout);

    for (uint32_t n = 1; w && n <= N; n += n < 4 ? 1 : 4)
        problem_check(p, t, w, n);
    iqt_matrix_destroy(w);
}

static void with_x(struct target *t, const struct iqt_format *f, enum iqt_layout layout,
                   float (*value)(uint32_t col, size_t i))
{
    struct problem p = problem_new(f, M, problem_k(f, 512));

    set_x(&p, value);
    check_columns(&p, t, layout);
    problem_free(&p);
}

/* ---- Sums and ranges ---- */

/* Sums of a block kept in half precision overflow at 65504. */
static float all_large(uint32_t col, size_t i IQT_UNUSED)
{
    return col % 2 ? -1e4f : 1e4f;
}

static void block_sums(struct target *t, const struct iqt_format *f,
                       enum iqt_layout layout)
{
    with_x(t, f, layout, all_large);
}

/* Far outside half precision on both sides, yet finite in the result. */
static float magnitudes(uint32_t col, size_t i IQT_UNUSED)
{
    static const float size[] = { 1e30f, 4e-30f, 1e-30f, 1e-34f, 65504.0f, 7e4f };

    return size[col % IQT_COUNT(size)] * check_gauss();
}

static void large_activations(struct target *t, const struct iqt_format *f,
                              enum iqt_layout layout)
{
    with_x(t, f, layout, magnitudes);
}

/* Products of extreme codes in 16 bits saturate, pairs of them at the latest. */
static float full_range(uint32_t col, size_t i)
{
    return (i + col) % (1 + col % 4) ? -127.0f : 127.0f;
}

static void saturation(struct target *t, const struct iqt_format *f,
                       enum iqt_layout layout)
{
    for (uint32_t fill = IQT_FILL_ZEROS; fill < IQT_FILLS; fill++) {
        struct problem p = problem_new(f, M, problem_k(f, 512));
        struct iqt_rng rng = { .state = fill };

        iqt_random_rows(f, p.k, M, (enum iqt_fill)fill, IQT_MAGNITUDE_PLAIN, &rng,
                        p.bytes);
        set_x(&p, full_range);
        check_columns(&p, t, layout);
        problem_free(&p);
    }
}

/* Row scales from subnormal to the largest; float32 must carry them. */
static void scales(struct target *t, const struct iqt_format *f, enum iqt_layout layout)
{
    for (uint32_t size = IQT_MAGNITUDE_SMALL; size < IQT_MAGNITUDES; size++) {
        struct problem p = problem_new(f, M, problem_k(f, 512));
        struct iqt_rng rng = { .state = size };

        iqt_random_rows(f, p.k, M, IQT_FILL_RANDOM, (enum iqt_magnitude)size, &rng,
                        p.bytes);
        problem_remodel(&p);
        problem_widen(&p);
        check_columns(&p, t, layout);
        problem_free(&p);
    }
}

/* ---- Shapes ---- */

/* Wrong for 2 or 3 columns only, or from 9 on: every number of columns, each way of stopping
 * inside a kernel made for more. */
static void column_counts(struct target *t, const struct iqt_format *f,
                          enum iqt_layout layout)
{
    struct problem p = problem_new(f, M, problem_k(f, 768));
    struct iqt_matrix *w = problem_upload(&p, t, layout);

    for (uint32_t n = 1; w && n <= N; n++)
        problem_check(&p, t, w, n);
    iqt_matrix_destroy(w);
    problem_free(&p);
}

/* Row lengths and heights that no tile divides. */
static void odd_shapes(struct target *t, const struct iqt_format *f,
                       enum iqt_layout layout)
{
    static const struct {
        size_t m, k;
    } shapes[] = { { 1, 2816 }, { 101, 1280 }, { 2, 256 }, { 3, 3328 } };

    for (size_t i = 0; i < IQT_COUNT(shapes); i++) {
        struct problem p = problem_new(f, shapes[i].m, problem_k(f, shapes[i].k));

        check_columns(&p, t, layout);
        problem_free(&p);
    }
}

/* Rows of some formats are 2 mod 4 bytes long, and a caller's pointer may be odd. The memory ends
 * with the last row, so that a sanitizer sees a load behind it. */
static void unaligned_rows(struct target *t, const struct iqt_format *f,
                           enum iqt_layout layout)
{
    struct problem p = problem_new(f, M, problem_k(f, 512));
    uint8_t *aligned = p.bytes;

    for (size_t shift = 0; shift <= 3; shift++) {
        uint8_t *room = malloc(p.size + shift);

        if (!room)
            abort();
        p.bytes = room + shift;
        memcpy(p.bytes, aligned, p.size);
        check_columns(&p, t, layout);
        free(room);
    }
    p.bytes = aligned;
    problem_free(&p);
}

/* Small formats through large offsets: the last rows of a matrix of more than 4 GiB. Only the
 * pages that hold those rows are ever touched. CPU only: others would copy them. */
static void offset_overflow(struct target *t)
{
    const struct iqt_format *f = iqt_format_find("iq4_ks");
    struct problem p = problem_new(f, M, 2048);
    const size_t row = p.size / M, m = ((size_t)5 << 30) / row;
    uint8_t *all = mmap(NULL, m * row, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct iqt_matrix *w = NULL;
    float y[N * M];
    struct iqt_product product = { .struct_size = sizeof product,
                                   .y = y,
                                   .row_begin = m - M };

    if (all == MAP_FAILED) {
        check_skip("address_space", "cannot map 5 GiB");
        problem_free(&p);
        return;
    }
    memcpy(all + (m - M) * row, p.bytes, p.size);
    if (iqt_matrix_upload(t->dev, f, m, p.k, all, m * row, IQT_LAYOUT_NATIVE, &w) ==
        IQT_OK) {
        product.w = w;
        if (problem_run(&p, t, N, &product, NULL))
            problem_compare(&p, y, M, N, 0, M);
    } else {
        check_fail("upload: %s", iqt_last_error());
    }
    iqt_matrix_destroy(w);
    munmap(all, m * row);
    problem_free(&p);
}

static void test_offset_overflow(struct targets *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (strncmp(all->at[i].name, "cpu", 3) == 0 &&
            check_begin("bug.offset_overflow.%s", all->at[i].name)) {
            offset_overflow(&all->at[i]);
            check_end();
        }
}

/* ---- Poison ---- */

static float nothing(uint32_t col IQT_UNUSED, size_t i IQT_UNUSED)
{
    return 0;
}

/* What lies behind x is NaN, behind the weights 0xff: both as always in these problems. Here x
 * is zero, too, so that any stray byte shows: results are exactly the bias. */
static void tail_poison(struct target *t, const struct iqt_format *f,
                        enum iqt_layout layout)
{
    struct problem p = problem_new(f, M, problem_k(f, 256));
    struct iqt_matrix *w;
    float bias[M], y[N * M];
    struct iqt_product product = { .struct_size = sizeof product, .bias = bias, .y = y };
    size_t wrong = 0;

    set_x(&p, nothing);
    for (size_t i = 0; i < M; i++)
        bias[i] = i % 3 ? check_gauss() : 0;
    product.w = w = problem_upload(&p, t, layout);
    if (w && problem_run(&p, t, N, &product, NULL))
        for (size_t i = 0; i < N * M; i++)
            wrong += y[i] != bias[i % M];
    check_true(wrong == 0, "%zu results of zero activations are not the bias", wrong);
    iqt_matrix_destroy(w);
    problem_free(&p);
}

/* One bad activation makes its whole column not finite, and no other column. */
static void non_finite(struct target *t, const struct iqt_format *f,
                       enum iqt_layout layout)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    struct problem p = problem_new(f, M, problem_k(f, 512));
    struct iqt_matrix *w = problem_upload(&p, t, layout);
    float y[N * M], clean[N * M];
    struct iqt_product product = { .struct_size = sizeof product, .w = w, .y = clean };

    if (w && problem_run(&p, t, N, &product, NULL))
        for (size_t i = 0; i < IQT_COUNT(bad); i++) {
            const uint32_t col = check_rand() % N;
            float *x = &p.x.at[col * p.x_stride + check_rand() % p.k];
            const float saved = *x;
            size_t wrong = 0;

            *x = bad[i];
            product.y = y;
            wrong = problem_run(&p, t, N, &product, NULL) ? 0 : 1;
            for (size_t j = 0; j < N * M; j++)
                wrong += j / M == col ? isfinite(y[j]) : y[j] != clean[j];
            check_true(wrong == 0, "x = %g in column %u: %zu results are wrong",
                       (double)bad[i], col, wrong);
            *x = saved;
        }
    iqt_matrix_destroy(w);
    problem_free(&p);
}

/* ---- Order ---- */

/* Results that depend on who comes first: many repetitions, bit by bit. */
static void repeatable(struct target *t, const struct iqt_format *f,
                       enum iqt_layout layout)
{
    enum { ROWS = 203, TIMES = 12, COLS = 3 };
    struct problem p = problem_new(f, ROWS, problem_k(f, 512));
    struct iqt_matrix *w = problem_upload(&p, t, layout);
    float first[COLS * ROWS], y[COLS * ROWS];
    struct iqt_product product = { .struct_size = sizeof product, .w = w, .y = first };

    if (w && problem_run(&p, t, COLS, &product, NULL)) {
        product.y = y;
        for (uint32_t i = 0; i < TIMES; i++)
            if (problem_run(&p, t, COLS, &product, NULL))
                check_true(memcmp(first, y, sizeof y) == 0, "call %u has other bits", i);
    }
    iqt_matrix_destroy(w);
    problem_free(&p);
}

/* A queue's scratch keeps what larger calls left in it: a small call must not see it. */
static void stale_scratch(struct target *t, const struct iqt_format *f,
                          enum iqt_layout layout)
{
    struct problem small = problem_new(f, 3, problem_k(f, 256));
    struct problem large = problem_new(f, 67, problem_k(f, 1024));
    struct iqt_matrix *a = problem_upload(&small, t, layout);
    struct iqt_matrix *b = problem_upload(&large, t, layout);

    for (uint32_t i = 0; a && b && i < 3; i++) {
        problem_check(&large, t, b, N - i);
        problem_check(&small, t, a, 1 + i);
    }
    iqt_matrix_destroy(a);
    iqt_matrix_destroy(b);
    problem_free(&small);
    problem_free(&large);
}

static const struct {
    const char *name;
    problem_fn fn;
} bugs[] = {
    { "bug.block_sums", block_sums },
    { "bug.large_activations", large_activations },
    { "bug.int16_saturation", saturation },
    { "bug.scale_range", scales },
    { "bug.column_counts", column_counts },
    { "bug.odd_shapes", odd_shapes },
    { "bug.unaligned_rows", unaligned_rows },
    { "bug.tail_poison", tail_poison },
    { "bug.non_finite", non_finite },
    { "bug.repeatable", repeatable },
    { "bug.stale_scratch", stale_scratch },
};

int main(int argc, char **argv)
{
    struct targets all;

    check_init(argc, argv);
    targets_open(&all);
    for (size_t i = 0; i < IQT_COUNT(bugs); i++)
        for_each_format(&all, bugs[i].name, 5, bugs[i].fn);
    test_offset_overflow(&all);
    targets_close(&all);
    return check_done();
}
