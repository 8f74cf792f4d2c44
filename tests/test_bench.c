/* The parts of bench that can be wrong without a clock: tiled matrices, shape lists, the check of
 * a timed product, and a read loop that reads everything. */
#include "tests/check.h"
#include "bench/bandwidth.h"
#include "bench/race.h"
#include "runtime/runtime.h"
#include "runtime/verify.h"

#include <stdlib.h>
#include <string.h>

enum { SOURCES = 2 };

struct source {
    struct iqt_gguf_tensor tensor[SOURCES];
    uint8_t *bytes[SOURCES];
    size_t row_bytes[SOURCES];
};

/* Two tensors of one format with different row lengths and few rows, full of noise. */
static void make_source(struct source *s, const struct iqt_format *f)
{
    static const size_t rows[SOURCES] = { 3, 2 }, superblocks[SOURCES] = { 2, 3 };

    for (size_t i = 0; i < SOURCES; i++) {
        const size_t k = superblocks[i] * f->superblock;

        s->row_bytes[i] = f->row_head + superblocks[i] * f->bytes;
        s->bytes[i] = malloc(rows[i] * s->row_bytes[i]);
        check_rand_bytes(s->bytes[i], rows[i] * s->row_bytes[i]);
        s->tensor[i] = (struct iqt_gguf_tensor){ .name = "t",
                                                 .name_bytes = 1,
                                                 .dims = 2,
                                                 .ne = { k, rows[i], 1, 1 },
                                                 .format = f,
                                                 .bytes = rows[i] * s->row_bytes[i],
                                                 .data = s->bytes[i] };
    }
}

static void free_source(struct source *s)
{
    for (size_t i = 0; i < SOURCES; i++)
        free(s->bytes[i]);
}

/* Rows of 3 superblocks out of source rows a0 a1 a2 (2 superblocks each) and b0 b1 (3 each):
 * which source row, and which of its superblocks, each superblock must be. */
struct piece {
    uint8_t tensor, row, superblock;
};
static const struct piece expected[][3] = {
    { { 0, 0, 0 }, { 0, 0, 1 }, { 0, 1, 0 } }, /* the rest of a1 is left out */
    { { 0, 2, 0 }, { 0, 2, 1 }, { 1, 0, 0 } },
    { { 1, 1, 0 }, { 1, 1, 1 }, { 1, 1, 2 } },
    { { 0, 0, 0 }, { 0, 0, 1 }, { 0, 1, 0 } }, /* and round again */
};

static void compare_tiles(const struct source *s, const struct iqt_bench_matrix *w)
{
    const struct iqt_format *f = w->format;

    for (size_t r = 0; r < IQT_COUNT(expected); r++) {
        const uint8_t *got = w->rows + r * (f->row_head + 3u * f->bytes);
        const struct piece *first = &expected[r][0];

        check_true(
            memcmp(got,
                   s->bytes[first->tensor] + first->row * s->row_bytes[first->tensor],
                   f->row_head) == 0,
            "row %zu has another header than its first source row", r);
        for (size_t j = 0; j < 3; j++) {
            const struct piece *p = &expected[r][j];
            const uint8_t *from = s->bytes[p->tensor] + p->row * s->row_bytes[p->tensor] +
                                  f->row_head + p->superblock * f->bytes;

            check_true(memcmp(got + f->row_head + j * f->bytes, from, f->bytes) == 0,
                       "row %zu superblock %zu is not that of tensor %u row %u", r, j,
                       p->tensor, p->row);
        }
    }
}

static void test_tile(const struct iqt_format *f)
{
    struct source s;
    struct iqt_bench_matrix w = { 0 };

    if (!check_begin("tile.%s", f->name))
        return;
    make_source(&s, f);
    if (iqt_bench_matrix_tile(s.tensor, SOURCES, IQT_COUNT(expected), 3u * f->superblock,
                              &w) == IQT_OK)
        compare_tiles(&s, &w);
    else
        check_fail("%s", iqt_last_error());
    check_true(w.bytes == IQT_COUNT(expected) * (f->row_head + 3u * f->bytes),
               "%zu bytes", w.bytes);
    iqt_bench_matrix_free(&w);
    check_true(iqt_bench_matrix_tile(s.tensor, SOURCES, 4, 3u * f->superblock + 1, &w) ==
                   IQT_ERR_SHAPE,
               "k that is no multiple of the superblock was accepted");
    check_true(iqt_bench_matrix_tile(s.tensor, 0, 4, f->superblock, &w) == IQT_ERR_ARG,
               "tiling without a source was accepted");
    free_source(&s);
    check_end();
}

static void test_shape_lists(void)
{
    static const char *const bad[] = {
        "x",    "4x",   "4",    "0x4",  "4x0",
        "-4x4", "4x4;", "4x4 ", "4 x4", "99999999999999999999x1"
    };
    const char *list = "4096x14336,1x2";
    size_t m = 0, k = 0;

    if (!check_begin("shape_list"))
        return;
    check_true(iqt_bench_shape_parse(&list, &m, &k) == IQT_OK && m == 4096 && k == 14336,
               "first shape: %zu x %zu", m, k);
    check_true(iqt_bench_shape_parse(&list, &m, &k) == IQT_OK && m == 1 && k == 2 &&
                   *list == '\0',
               "second shape: %zu x %zu", m, k);
    for (size_t i = 0; i < IQT_COUNT(bad); i++) {
        list = bad[i];
        m = k = 7;
        check_true(iqt_bench_shape_parse(&list, &m, &k) == IQT_ERR_ARG && m == 7 &&
                       k == 7 && list == bad[i],
                   "\"%s\" was accepted or changed an output", bad[i]);
    }
    check_end();
}

/* The loop itself compares the sum of what it read; here it must do so for odd sizes. */
static void test_read_loop(void)
{
    static const uint64_t bytes[] = { 1 << 20, (1 << 20) + 4096 + 8, 3 << 19 };

    if (!check_begin("read_loop"))
        return;
    for (size_t i = 0; i < IQT_COUNT(bytes); i++) {
        for (uint32_t threads = 1; threads <= 3; threads++) {
            struct iqt_bandwidth found = { 0 };

            check_true(iqt_bandwidth_read_loop(threads, bytes[i], &found) == IQT_OK, "%s",
                       iqt_last_error());
            check_true(found.bytes_per_s > 0 && found.bytes <= bytes[i] &&
                           found.bytes + threads * 128 > bytes[i],
                       "%u threads read %llu of %llu bytes", threads,
                       (unsigned long long)found.bytes, (unsigned long long)bytes[i]);
        }
    }
    check_end();
}

static void check_race(struct iqt_device *dev, struct iqt_bench_matrix *w,
                       enum iqt_layout layout)
{
    struct iqt_race *race = NULL;
    struct iqt_race_time time[2];
    struct iqt_plan plan;
    double worst = -1;
    uint32_t rows = 0;
    const char *name;

    if (iqt_race_open(dev, w, layout, &race) != IQT_OK ||
        iqt_plan_used(dev, race->matrix[0], false, 2, &name) != IQT_OK ||
        iqt_plan_parse(name, &plan) != IQT_OK ||
        iqt_race_verify(race, &plan, 2, &rows, &worst) != IQT_OK ||
        iqt_race_spread(race, 5 * w->bytes) != IQT_OK) {
        check_fail("%s", iqt_last_error());
    } else {
        const struct iqt_plan twice[2] = { plan, plan };

        check_true(rows > 0 && worst >= 0 && worst <= IQT_MODEL_RTOL, "%u rows, worst %g",
                   rows, worst);
        check_true(race->copies == 5, "%u copies instead of 5", race->copies);
        check_true(iqt_race_run(race, twice, 2, 2, 0.001, time) == IQT_OK &&
                       time[0].ns > 0 && time[0].runs >= 3 &&
                       time[1].runs == time[0].runs,
                   "times of a race");
        /* The device has the old bytes; the model now sees a changed last row. */
        memset(w->owned + (w->m - 1) * (w->bytes / w->m) + w->format->row_head, 0x3c,
               w->format->bytes);
        check_true(iqt_race_verify(race, &plan, 2, &rows, &worst) == IQT_ERR_INTERNAL,
                   "a changed superblock in the last row was not noticed");
    }
    iqt_race_close(race);
}

static void test_race(struct iqt_device *dev, const struct iqt_format *f,
                      enum iqt_layout layout)
{
    struct iqt_bench_matrix w = { 0 };

    if (f->decode == IQT_DECODE_FLOAT ||
        !check_begin("race.%s.%s", f->name,
                     layout == IQT_LAYOUT_NATIVE ? "native" : "packed"))
        return;
    if (iqt_bench_matrix_random(f, 130, 512, check_rand(), &w) == IQT_OK)
        check_race(dev, &w, layout);
    else
        check_fail("%s", iqt_last_error());
    iqt_bench_matrix_free(&w);
    check_end();
}

int main(int argc, char **argv)
{
    const struct iqt_context_options options = {
        .struct_size = sizeof(options), .db_path = "", .cache_dir = "", .cpu_threads = 2
    };
    struct iqt_context *ctx = NULL;
    struct iqt_device *dev = NULL;

    check_init(argc, argv);
    test_shape_lists();
    test_read_loop();
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
        test_tile(f);
    if (iqt_context_create(&options, &ctx) == IQT_OK &&
        iqt_device_open(ctx, "cpu", &dev) == IQT_OK) {
        for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
            test_race(dev, f, IQT_LAYOUT_NATIVE);
            test_race(dev, f, IQT_LAYOUT_PACKED);
        }
    } else if (check_begin("race")) {
        check_fail("%s", iqt_last_error());
        check_end();
    }
    iqt_device_close(dev);
    iqt_context_destroy(ctx);
    return check_done();
}
