/* Emitted CUDA and HIP kernels on the simulated machine: right and clean as they are, and caught, by a
 * fault or by wrong numbers, when one thing in their text is changed. */
#include "codegen/codegen.h"
#include "kernels/layout.h"
#include "kernels/quantized.h"
#include "runtime/verify.h"
#include "sim/simt.h"
#include "tests/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { M = 13, K = 1024, N = 3, SLACK = 32 };

/* ---- One product in simulated memory ---- */

struct world {
    struct iqt_plan plan;
    struct iqt_model model;
    uint8_t *w;
    int8_t *xq;
    struct iqt_xs *xs;
    float *bias, *y;
    float host_bias[M];
    struct iqt_params params;
};

static void *device_copy(const void *from, size_t bytes)
{
    void *p = sim_alloc(bytes + SLACK, 0);

    if (p == NULL)
        abort();
    sim_fill(p, 0, bytes + SLACK);
    sim_copy(p, from, bytes);
    return p;
}

static uint8_t *make_rows(struct world *w, uint8_t *native)
{
    const struct iqt_format *f = w->plan.format;
    const size_t bytes = iqt_layout_row_bytes(f, w->plan.layout, K);
    uint8_t *rows = calloc(M, bytes);
    struct iqt_packing packing;
    struct iqt_rng rng = { check_seed() };

    iqt_random_rows(f, K, M, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng, native);
    if (w->plan.layout == IQT_LAYOUT_PACKED) {
        iqt_packing_init(&packing, f);
        iqt_pack_rows(&packing, K, M, native, rows);
    } else {
        memcpy(rows, native, M * bytes);
    }
    w->params.row_bytes = (uint32_t)bytes;
    return rows;
}

static void world_open(struct world *w, const char *plan)
{
    uint8_t *native, *rows;
    float *x = calloc(N, K * sizeof *x);
    int8_t *q = calloc(N, K);
    struct iqt_xs *s = calloc(N, K / IQT_X_BLOCK * sizeof *s);

    *w = (struct world){ .w = NULL };
    if (iqt_plan_parse(plan, &w->plan) != IQT_OK ||
        iqt_plan_check(&w->plan, NULL) != IQT_OK) {
        check_fail("%s: %s", plan, iqt_last_error());
        abort();
    }
    native = calloc(M, iqt_layout_row_bytes(w->plan.format, IQT_LAYOUT_NATIVE, K));
    rows = make_rows(w, native);
    for (size_t i = 0; i < (size_t)N * K; i++)
        x[i] = check_gauss();
    for (size_t i = 0; i < N; i++)
        iqt_quantize_ref(x + i * K, K, q + i * K, s + i * K / IQT_X_BLOCK);
    if (iqt_model_run(w->plan.format, native, M, K, x, 0, N, &w->model) != IQT_OK)
        abort();
    for (size_t i = 0; i < M; i++)
        w->host_bias[i] = (float)(i + 1) * 3;
    w->params.rows = M;
    w->params.k = K;
    w->params.cols = w->plan.n < N ? w->plan.n : N;
    w->params.y_stride = M;
    w->params.flags = IQT_FLAG_BIAS;
    w->w = device_copy(rows, (size_t)M * w->params.row_bytes);
    w->xq = device_copy(q, (size_t)N * K);
    w->xs = device_copy(s, N * K / IQT_X_BLOCK * sizeof *s);
    w->bias = sim_alloc(sizeof w->host_bias, 0); /* exactly: no slack hides an error */
    sim_copy(w->bias, w->host_bias, sizeof w->host_bias);
    w->y = sim_alloc((size_t)M * N * sizeof(float), 0);
    free(native);
    free(rows);
    free(x);
    free(q);
    free(s);
}

static void world_close(struct world *w)
{
    sim_free(w->w);
    sim_free(w->xq);
    sim_free(w->xs);
    sim_free(w->bias);
    sim_free(w->y);
    iqt_model_free(&w->model);
}

/* ---- Running a text ---- */

static bool right(const struct world *w)
{
    float y[M * N];

    memcpy(y, w->y, sizeof y);
    for (size_t i = 0; i < (size_t)M * w->params.cols; i++)
        y[i] -= w->host_bias[i % M];
    for (size_t i = 0; i < (size_t)M * w->params.cols; i++)
        if (!(fabs((double)y[i] - w->model.y[i]) <=
              1e-5 * w->model.bound[i] + 1e-5 * (double)w->host_bias[i % M]))
            return false;
    return true;
}

static enum sim_result launch(const struct world *w, const struct sim_kernel *k,
                              uint32_t warp)
{
    const void *none = NULL;
    void *args[] = { (void *)&w->w,  (void *)&w->w,    (void *)&w->xq,
                     (void *)&w->xs, (void *)&w->bias, &none,
                     &none,          (void *)&w->y,    (void *)&w->params };
    const uint32_t grid[3] = { iqt_plan_groups(&w->plan, M), 1, 1 };
    const uint32_t block[3] = { iqt_plan_threads(&w->plan), 1, 1 };

    memset(w->y, 0xff, (size_t)M * N * sizeof(float)); /* NaN */
    return sim_run(k, grid, block, warp, args);
}

/* Whether any order of threads gives a fault or wrong numbers; also when it does not compile. */
static bool wrong(const struct world *w, const char *text, uint32_t warp)
{
    const bool cuda = w->plan.dialect == IQT_DIALECT_CUDA;
    const char *arch = cuda ? "sm_90" : warp == 64 ? "gfx942" : "gfx1100";
    char symbol[IQT_PLAN_NAME_BYTES], *image, *log;
    size_t bytes;
    bool caught = false;

    if (!sim_compile(cuda ? SIM_CUDA : SIM_HIP, text, arch, 1, &image, &bytes, &log)) {
        check_fail("does not compile: %.300s", log);
        free(log);
        return true;
    }
    free(log);
    struct sim_module *module = sim_module_load(image, arch);
    iqt_kernel_symbol(&w->plan, symbol);
    const struct sim_kernel *k = module ? sim_module_kernel(module, symbol) : NULL;
    if (!k)
        check_fail("no kernel %s in the image", symbol);
    for (int order = IQT_SIM_FORWARD; k && order <= IQT_SIM_RANDOM && !caught; order++) {
        iqt_sim_set_order(order, check_seed());
        caught = launch(w, k, warp) != SIM_OK || !right(w);
    }
    sim_module_unload(module);
    free(image);
    return caught;
}

static char *text_of(const struct iqt_plan *plan)
{
    struct iqt_buf text = { 0 };

    if (iqt_emit_kernel(plan, &text) != IQT_OK)
        abort();
    return text.data;
}

/* ---- The mutants ---- */

#define SHMEM "matvec.iq4_k.cuda.n1.g16.r1.t4.s128.v16.u1.packed.perm.shmem"
#define SHMEM_HIP "matvec.iq4_k.hip.n1.g16.r1.t4.s128.v16.u1.packed.perm.shmem"
#define MANY "matvec.iq4_k.cuda.n4.g32.r2.t4.s64.v16.u1.packed.perm.shmem"
#define SHUFFLE "matvec.iq4_ks.cuda.n1.g8.r2.t32.s64.v16.u1.packed.perm.subgroup"
#define SHUFFLE_HIP "matvec.iq4_ks.hip.n1.g8.r2.t32.s64.v16.u1.packed.perm.subgroup"
#define TABLE "matvec.iq2_kl.cuda.n1.g16.r1.t4.s256.v16.u1.packed.shmem.shmem"
#define TRELLIS "matvec.iq2_kt.hip.n1.g16.r1.t4.s128.v16.u1.packed.none.shmem"

static const struct mutant {
    const char *name, *plan, *find, *put;
} mutants[] = {
    { "no_barrier_in_tree", SHMEM, "        BARRIER;\n        if (tid % T < off)",
      "        if (tid % T < off)" },
    { "no_barrier_between_trees", MANY,
      "    BARRIER; // earlier results have been read\n", "" },
    { "divergent_barrier", SHMEM, "        BARRIER;\n        if (tid % T < off)",
      "        if (tid % T < off)\n            BARRIER;\n        if (tid % T < off)" },
    { "tree_off_by_one", SHMEM, "tree[tid + off]", "tree[tid + off + 1u]" },
    { "tree_one_thread_more", SHMEM, "if (tid % T < off)", "if (tid % T <= off)" },
    { "tree_uninitialised", SHMEM, "    tree[tid] = x;",
      "    if (tid > 0u) tree[tid] = x;" },
    { "tree_too_short", SHMEM, "off = T / 2u", "off = T / 4u" },
    { "tree_too_small", SHMEM, "float tree[64]", "float tree[63]" },
    { "y_unguarded", SHMEM, "row < p.rows && c < p.cols", "c < p.cols" },
    { "columns_unguarded", MANY, "row < p.rows && c < p.cols", "row < p.rows" },
    { "rows_unclamped", SHMEM, "(first + r < p.rows ? first + r : p.rows - 1u)",
      "(first + r)" },
    { "columns_unclamped", MANY, "c < p.cols ? c : p.cols - 1u", "c" },
    { "permute_swapped", SHMEM, "__byte_perm(lo, hi,", "__byte_perm(hi, lo," },
    { "permute_swapped_hip", SHMEM_HIP, "perm(hi, lo, codes)", "perm(lo, hi, codes)" },
    { "table_swapped", SHMEM, "permute(0xf6eaddcfu, 0xbfad9881u, s)",
      "permute(0xbfad9881u, 0xf6eaddcfu, s)" },
    { "blend_bit", SHMEM, "(c >> 3 & 0x01010101u)", "(c >> 2 & 0x01010101u)" },
    { "load_off_by_one", SHMEM, "u * 4u + 3u)", "u * 4u + 4u)" },
    { "load_unaligned", SHMEM, "w_vec(w_row[r] + 16u *", "w_vec(w_row[r] + 4u + 16u *" },
    { "scale_address", SHMEM, "w_u8(at[r] + 8u + part * 4u)",
      "w_u8(at[r] + 9u + part * 4u)" },
    { "scale_offset", SHMEM, "<< 4) - 32;", "<< 4) - 31;" },
    { "stride", SHMEM, "u += T)", "u += T + 1u)" },
    { "one_span_more", SHMEM, "u = lane; u < spans", "u = lane; u <= spans" },
    { "sum_of_other_half", SHMEM, "int(xs.y << 16) >> 16", "int(xs.y) >> 16" },
    { "activation_of_neighbour", SHMEM, "dot4(v[r * 8u + 1u], xa.y",
      "dot4(v[r * 8u + 1u], xa.x" },
    { "no_activation_scale", SHMEM, "FMA(dx, float(dot0)", "FMA(1.0f, float(dot0)" },
    { "bias_row", SHMEM, "bias[p.row0 + row]", "bias[p.row0 + row + 1u]" },
    { "y_row", SHMEM, "c * p.y_stride + row;", "c * p.y_stride + row + 1u;" },
    { "shuffle_mask", SHUFFLE, "(0xffffffffu, x, mask)", "(0x0000ffffu, x, mask)" },
    { "shuffle_lane", SHUFFLE, "(0xffffffffu, x, mask)",
      "(0xffffffffu, x, (mask) ^ 1u)" },
    { "shuffle_lane_hip", SHUFFLE_HIP, "(lane ^ mask) << 2", "(lane ^ mask ^ 1u) << 2" },
    { "shuffle_address_hip", SHUFFLE_HIP, "(lane ^ mask) << 2", "(lane ^ mask)" },
    { "shared_table_entry", TABLE, "table[5] = 0x2fd8u;", "table[5] = 0x2fd9u;" },
    { "shared_table_unset", TABLE, "table[5] = 0x2fd8u;", "" },
    { "trellis_multiplier", TRELLIS, "0xcbac1fedu", "0xcbac1fefu" },
    { "trellis_mask", TRELLIS, "0x3f3f3f3fu", "0x3f3f3f1fu" },
    { "trellis_mean", TRELLIS, "- 126;", "- 125;" },
};

_Static_assert(IQT_COUNT(mutants) >= 20, "at least 20 planted faults are kept");

static char *mutate(const char *text, const struct mutant *m)
{
    const char *at = strstr(text, m->find);
    const size_t length = strlen(text) + strlen(m->put) + 1;
    char *out;

    if (at == NULL)
        return NULL;
    out = malloc(length);
    snprintf(out, length, "%.*s%s%s", (int)(at - text), text, m->put,
             at + strlen(m->find));
    return out;
}

static void check_mutant(const struct mutant *m)
{
    struct world w;
    char *text, *changed;

    if (!check_begin("mutant.%s", m->name))
        return;
    world_open(&w, m->plan);
    text = text_of(&w.plan);
    changed = mutate(text, m);
    if (changed == NULL)
        check_fail("the text of %s has no '%s' any more: write the mutant anew", m->plan,
                   m->find);
    else
        check_true(wrong(&w, changed, w.plan.dialect == IQT_DIALECT_HIP ? 64 : 32),
                   "%s: '%s' for '%s' was not noticed", m->plan, m->put, m->find);
    free(changed);
    free(text);
    world_close(&w);
    check_end();
}

static void check_clean(const char *plan, uint32_t warp)
{
    struct world w;
    char *text;

    if (!check_begin("clean.%s.warp%u", plan, warp))
        return;
    world_open(&w, plan);
    text = text_of(&w.plan);
    iqt_sim_faults_reset();
    check_true(!wrong(&w, text, warp), "is not right in every order: %s",
               iqt_sim_fault_text());
    free(text);
    world_close(&w);
    check_end();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *plan;
        uint32_t warp;
    } clean[] = { { SHMEM, 32 },       { SHMEM_HIP, 32 }, { SHMEM_HIP, 64 },
                  { MANY, 32 },        { SHUFFLE, 32 },   { SHUFFLE_HIP, 32 },
                  { SHUFFLE_HIP, 64 }, { TABLE, 32 },     { TRELLIS, 32 },
                  { TRELLIS, 64 } };

    check_init(argc, argv);
    if (!sim_can_compile()) {
        if (check_begin("sim")) {
            check_skip("sim", "no C++ compiler: it simulates a GPU");
            check_end();
        }
        return check_done();
    }
    setenv("IQT_SIM_QUIET", "1", 1);
    for (size_t i = 0; i < IQT_COUNT(clean); i++)
        check_clean(clean[i].plan, clean[i].warp);
    for (size_t i = 0; i < IQT_COUNT(mutants); i++)
        check_mutant(&mutants[i]);
    return check_done();
}
