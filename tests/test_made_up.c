/* A format that no file has: new planes, new codebook, one table entry and one hand-written reference,
 * and it runs in every dialect with no other edit. Its planes are laid out so that no vector
 * order fits: the emitters' general paths are taken, too. */
#include "codegen/codegen.h"
#include "kernels/layout.h"
#include "kernels/quantized.h"
#include "runtime/cpu.h"
#include "runtime/runtime.h"
#include "runtime/verify.h"
#include "tests/check.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { M = 9, K = 768, N = 3 };

static const int8_t made_values[8] = { -101, -58, -33, -9, 4, 27, 61, 119 };
static const struct iqt_codebook made_codebook = {
    .name = "made", .value = made_values, .count = 8, .dim = 1, .shift = 3
};

/* 114 bytes: f16 d, 16 scales of 5 bits with the shift bit above each (12 bytes, across byte
 * borders), low and high code bits of consecutive weights beside each other inside a byte, and 4
 * unused bytes at the end. */
static void made_decode(const uint8_t *block, float d, enum iqt_decode_mode mode,
                        float *out)
{
    (void)mode;
    (void)d;
    for (uint32_t i = 0; i < 256; i++) {
        const uint32_t s = i / 16, at = 16 + 6 * s;
        const uint32_t six =
            (block[at / 8] | (uint32_t)block[at / 8 + 1] << 8) >> (at % 8) & 63u;
        const uint32_t low = block[14 + i / 4] >> (2 * (i % 4)) & 3u;
        const uint32_t high = block[78 + i / 8] >> i % 8 & 1u;
        const int value = made_values[low | high << 2] + (six >> 5 ? 3 : 0);
        const float dl =
            iqt_f16_to_f32(iqt_read_u16(block)) * (float)((int)(six & 31) - 11);

        out[i] = dl * (float)value;
    }
}

static const struct iqt_format made = {
    .name = "made_up",
    .gguf_type = 90001,
    .superblock = 256,
    .bytes = 114,
    .granule = 256,
    .block = 16,
    .decode = IQT_DECODE_CODEBOOK,
    .codebook = &made_codebook,
    .code.plane = {
        { .bit = 112, .width = 2, .stride = { 2, 4, 8, 16, 32, 64, 128, 256 } },
        { .bit = 624, .width = 1, .to = 2, .stride = { 1, 2, 4, 8, 16, 32, 64, 128 } },
    },
    .scale = { .raw.plane = { { .bit = 16, .width = 5, .stride = { 0, 0, 0, 0, 6, 12, 24, 48 } } },
               .mul = 1,
               .add = -11 },
    .shift.plane = { { .bit = 21, .width = 1, .stride = { 0, 0, 0, 0, 6, 12, 24, 48 } } },
    .super = { IQT_AT_SUPERBLOCK, IQT_F16, 0 },
    .gain = 1.0f,
    .decode_ref = made_decode,
};

struct problem {
    uint8_t *rows;
    size_t row_bytes;
    float x[N * K], y[N * M];
    struct iqt_model model;
};

static void problem_make(struct problem *p)
{
    struct iqt_rng rng = { check_seed() };

    p->row_bytes = iqt_layout_row_bytes(&made, IQT_LAYOUT_NATIVE, K);
    p->rows = malloc(M * p->row_bytes);
    iqt_random_rows(&made, K, M, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng, p->rows);
    for (size_t i = 0; i < N * K; i++)
        p->x[i] = iqt_rng_gauss(&rng);
    for (size_t i = 0; i < N * M; i++)
        p->y[i] = NAN;
    if (iqt_model_run(&made, p->rows, M, K, p->x, 0, N, &p->model) != IQT_OK)
        abort();
}

static void problem_check(struct problem *p, const char *what)
{
    struct iqt_mismatch worst;

    check_true(iqt_model_agrees(&p->model, p->y, 0, N, 0, M, &worst),
               "%s: row %zu column %u is %g, want %g", what, worst.row, worst.col,
               worst.got, worst.want);
}

static void problem_free(struct problem *p)
{
    iqt_model_free(&p->model);
    free(p->rows);
}

/* The table entry says what the hand-written reference says. */
static void check_entry(void)
{
    struct problem p;
    float out[K];

    if (!check_begin("entry"))
        return;
    problem_make(&p);
    if (iqt_decode_row(&made, p.rows, K, IQT_DECODE_COMPUTE, out) != IQT_OK)
        check_fail("%s", iqt_last_error());
    for (uint32_t i = 0; i < 256; i++) {
        const uint32_t code = iqt_field_get(&made.code, p.rows, i);
        const int scale = (int)iqt_field_get(&made.scale.raw, p.rows, i) - 11;
        const int value =
            made_values[code] + 3 * (int)iqt_field_get(&made.shift, p.rows, i);
        const float d = iqt_f16_to_f32(iqt_read_u16(p.rows));

        check_true(out[i] == d * (float)scale * (float)value, "weight %u", i);
    }
    problem_free(&p);
    check_end();
}

static bool compile_host(const struct iqt_plan *plan, const char *dir, const char *flags)
{
    struct iqt_buf text = { 0 };
    char path[256], command[1024];
    bool ok = iqt_emit_kernel(plan, &text) == IQT_OK;

    snprintf(path, sizeof(path), "%s/kernel.c", dir);
    ok = ok && iqt_file_replace(path, text.data, text.bytes) == IQT_OK;
    snprintf(
        command, sizeof(command),
        "cc -std=c11 -O1 -Wall -Wextra -Werror -shared -fPIC %s %s -o %s/kernel.so -lm",
        flags, path, dir);
    iqt_buf_free(&text);
    return ok && system(command) == 0;
}

static void run_host(struct problem *p, const struct iqt_plan *plan, const char *dir)
{
    struct iqt_packing packing;
    char path[256], symbol[IQT_PLAN_NAME_BYTES];
    const size_t row_bytes = iqt_layout_row_bytes(&made, plan->layout, K);
    uint8_t *rows = calloc(M + 1, row_bytes);
    int8_t *q = malloc(N * K);
    struct iqt_xs *xs = malloc(iqt_xs_bytes(N * K, true));

    iqt_packing_init(&packing, &made);
    if (plan->layout == IQT_LAYOUT_PACKED)
        iqt_pack_rows(&packing, K, M, p->rows, rows);
    else
        memcpy(rows, p->rows, M * row_bytes);
    iqt_cpu_quantize(NULL, p->x, K, K, N, q, xs);
    snprintf(path, sizeof(path), "%s/kernel.so", dir);
    iqt_kernel_symbol(plan, symbol);
    void *library = dlopen(path, RTLD_NOW);
    if (library == NULL) {
        check_fail("%s", dlerror());
    } else {
        iqt_host_fn fn;
        *(void **)&fn = dlsym(library, symbol);
        fn(&(struct iqt_host_args){ .w = rows,
                                    .gate = rows,
                                    .xq = q,
                                    .xs = xs,
                                    .more = iqt_x_more_of(xs, N * K / 32),
                                    .y = p->y,
                                    .p = { .rows = M,
                                           .k = K,
                                           .cols = N,
                                           .y_stride = M,
                                           .row_bytes = (uint32_t)row_bytes } },
           0, M);
        dlclose(library);
    }
    free(rows);
    free(q);
    free(xs);
}

static void check_host(enum iqt_layout layout, const char *isa, const char *flags)
{
    struct problem p;
    char dir[] = "/tmp/iqtile-made-up-XXXXXX", path[256];
    const struct iqt_plan plan =
        iqt_plan_default(&made, IQT_DIALECT_HOST, IQT_OP_MATVEC, N, layout);

    if (!check_begin("host.%s.%s", isa, iqt_layout_name(layout)))
        return;
    problem_make(&p);
    if (mkdtemp(dir) == NULL || !compile_host(&plan, dir, flags)) {
        check_fail("the emitted text does not compile with: cc %s", flags);
    } else {
        run_host(&p, &plan, dir);
        problem_check(&p, isa);
    }
    snprintf(path, sizeof(path), "rm -rf %s", dir);
    check_true(system(path) == 0, "%s stays behind", dir);
    problem_free(&p);
    check_end();
}

/* GLSL for real: text compiled at run time, on the first Vulkan device. Every span in turn. */
static void run_vulkan(struct problem *p, struct iqt_device *dev,
                       const struct iqt_plan *plan)
{
    struct iqt_matrix *w = NULL;
    struct iqt_queue *q = NULL;
    char name[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(plan, name);
    if (iqt_matrix_upload(dev, &made, M, K, p->rows, M * p->row_bytes, plan->layout,
                          &w) != IQT_OK ||
        iqt_queue_create(dev, &q) != IQT_OK) {
        check_fail("%s", iqt_last_error());
    } else {
        const struct iqt_product product = { .struct_size = sizeof(product),
                                             .w = w,
                                             .y = p->y };

        if (iqt_product_run(q, p->x, 0, N, &product, 1, plan, NULL) == IQT_OK)
            problem_check(p, name);
        else
            check_fail("%s: %s", name, iqt_last_error());
    }
    iqt_queue_destroy(q);
    iqt_matrix_destroy(w);
}

static void check_vulkan(enum iqt_layout layout)
{
    enum { MOST = 2048 };
    static struct iqt_plan list[MOST];
    const struct iqt_context_options options = { .struct_size = sizeof(options),
                                                 .db_path = "",
                                                 .cache_dir = "" };
    struct iqt_context *ctx = NULL;
    struct iqt_device *dev = NULL;
    struct problem p;

    if (!check_begin("glsl.%s", iqt_layout_name(layout)))
        return;
    problem_make(&p);
    if (iqt_context_create(&options, &ctx) != IQT_OK ||
        iqt_device_open(ctx, "vulkan", &dev) != IQT_OK) {
        check_skip("vulkan", "%s", iqt_last_error());
    } else {
        const size_t count = iqt_plan_list(&made, IQT_DIALECT_GLSL, IQT_OP_MATVEC, N,
                                           layout, &dev->limits, list, MOST);

        check_true(count > 0, "no legal plan");
        for (size_t i = check_rand() % count; i < count; i += count / 2 + 1)
            run_vulkan(&p, dev, &list[i]);
    }
    iqt_device_close(dev);
    iqt_context_destroy(ctx);
    problem_free(&p);
    check_end();
}

/* CUDA and HIP: the text compiles; it runs through the simulated drivers once those exist. */
static void check_compiles(enum iqt_dialect d, const char *need, const char *probe,
                           const char *compile)
{
    char path[256], command[1024];

    if (!check_begin("compiles.%s", iqt_dialect_name(d)))
        return;
    if (system(probe) != 0) {
        check_skip(need, "no compiler for %s", iqt_dialect_name(d));
        check_end();
        return;
    }
    for (uint32_t layout = 0; layout < 2; layout++) {
        const struct iqt_plan plan =
            iqt_plan_default(&made, d, IQT_OP_GATED, 4, (enum iqt_layout)layout);
        struct iqt_buf text = { 0 };

        snprintf(path, sizeof(path), "/tmp/iqtile-made-up-%d.%s", (int)getpid(),
                 iqt_dialect_name(d));
        check_true(iqt_emit_kernel(&plan, &text) == IQT_OK &&
                       iqt_file_replace(path, text.data, text.bytes) == IQT_OK,
                   "%s", iqt_last_error());
        snprintf(command, sizeof(command), compile, path);
        check_true(system(command) == 0, "%s", command);
        unlink(path);
        iqt_buf_free(&text);
    }
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    check_entry();
    for (uint32_t layout = 0; layout < 2; layout++) {
        check_host((enum iqt_layout)layout, "portable", "");
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx2"))
            check_host((enum iqt_layout)layout, "avx2", "-mavx2 -mfma -mf16c");
#endif
        check_vulkan((enum iqt_layout)layout);
    }
    check_compiles(IQT_DIALECT_CUDA, "nvcc", "command -v nvcc >/dev/null",
                   "nvcc -x cu -arch=sm_75 -ptx %s -o /dev/null");
    check_compiles(IQT_DIALECT_HIP, "clang", "command -v clang >/dev/null",
                   "clang -x hip --cuda-device-only --no-gpu-bundle-output "
                   "--offload-arch=gfx90a -O1 -nogpulib -nogpuinc -c %s -o /dev/null");
    return check_done();
}
