/* Simulated GPUs beside each other and beside other users of the same process: two devices and many
 * queues at once, a peer's context, a lost device, compiled kernels from disk and from the library. */
#include "tests/gpu_case.h"

#include "codegen/codegen.h"
#include "runtime/embedded.h"

#include <glob.h>
#include <unistd.h>
#include <zlib.h>

enum { M = 29, K = 256, ROUNDS = 6, THREADS = 4 };

/* The library's table of embedded PTX, as this test wants it: linked in the place of the real one. */
struct iqt_embedded_image planted_ptx[2] __asm__("iqt_embedded_ptx");

/* ---- Two devices, two queues on each, at once ---- */

struct worker {
    pthread_t thread;
    struct target *t;
    const struct problem *p;
    const struct iqt_matrix *w;
    uint32_t number;
    size_t failed, wrong;
};

static void *work(void *user)
{
    struct worker *w = user;
    struct iqt_mismatch worst;
    struct iqt_queue *q = NULL;
    float y[IQT_MAX_COLS * M];
    const struct iqt_product product = { .struct_size = sizeof product,
                                         .w = w->w,
                                         .y = y };

    w->failed += iqt_queue_create(w->t->dev, &q) != IQT_OK;
    for (uint32_t i = 0; q && i < ROUNDS; i++) {
        const uint32_t n = 1 + (i * 5 + w->number) % 4;

        if (iqt_matvec(q, w->p->x.at, w->p->x_stride, n, &product, 1) != IQT_OK)
            w->failed++;
        else
            w->wrong += !iqt_model_agrees(&w->p->model, y, M, n, 0, M, &worst);
    }
    iqt_queue_destroy(q);
    return NULL;
}

static void check_two_devices(struct gpu_api *g)
{
    struct targets two = { .count = 0 };
    struct worker w[THREADS] = { 0 };
    struct iqt_matrix *matrix[2] = { NULL };

    if (!check_begin("gpu.two_devices.%s", g->name))
        return;
    if (!target_open(&two, g->first, g->first) ||
        !target_open(&two, g->second, g->second))
        check_fail("%s", iqt_last_error());
    struct problem p = problem_new(iqt_format_find("iq5_ks"), M, K);
    g->set_order(IQT_SIM_RANDOM, check_seed());
    for (uint32_t i = 0; i < two.count; i++)
        matrix[i] = problem_upload(&p, &two.at[i], IQT_LAYOUT_PACKED);
    for (uint32_t i = 0; two.count == 2 && i < THREADS; i++) {
        w[i] = (struct worker){
            .t = &two.at[i % 2], .p = &p, .w = matrix[i % 2], .number = i
        };
        if (pthread_create(&w[i].thread, NULL, work, &w[i]) != 0)
            abort();
    }
    for (uint32_t i = 0; two.count == 2 && i < THREADS; i++) {
        pthread_join(w[i].thread, NULL);
        check_true(w[i].failed == 0 && w[i].wrong == 0,
                   "thread %u: %zu calls failed, %zu were wrong", i, w[i].failed,
                   w[i].wrong);
    }
    g->set_order(IQT_SIM_FORWARD, 0);
    iqt_matrix_destroy(matrix[0]);
    iqt_matrix_destroy(matrix[1]);
    problem_free(&p);
    targets_close(&two);
    check_end();
}

/* Warps as the devices have them. */
static void check_warps(struct gpu_api *g)
{
    struct targets two = { .count = 0 };
    const uint32_t want[] = { g->driver == &iqt_gpu_hip ? 64 : 32, 32 };

    if (!check_begin("gpu.warps.%s", g->name))
        return;
    if (target_open(&two, g->first, g->first) && target_open(&two, g->second, g->second))
        for (size_t i = 0; i < 2; i++)
            check_true(two.at[i].dev->info.subgroup_min == want[i] &&
                           two.at[i].dev->info.subgroup_max == want[i],
                       "%s has subgroups of %u .. %u", two.at[i].name,
                       two.at[i].dev->info.subgroup_min,
                       two.at[i].dev->info.subgroup_max);
    else
        check_fail("%s", iqt_last_error());
    targets_close(&two);
    check_end();
}

/* ---- A peer in the same process ---- */

static size_t count_calls(const struct gpu_api *g, const char *word)
{
    size_t count = 0;

    for (uint64_t i = 0; i < g->calls(); i++)
        count += strstr(g->call_name(i), word) != NULL;
    return count;
}

static void use_once(const char *spec, const char *cache)
{
    const struct iqt_context_options options = { .struct_size = sizeof options,
                                                 .db_path = "",
                                                 .cache_dir = cache };
    struct problem p = problem_new(iqt_format_find("iq4_k"), M, K);
    struct target t = { .q = NULL };
    struct iqt_matrix *w = NULL;

    if (iqt_context_create(&options, &t.ctx) == IQT_OK &&
        iqt_device_open(t.ctx, spec, &t.dev) == IQT_OK &&
        iqt_queue_create(t.dev, &t.q) == IQT_OK)
        w = problem_upload(&p, &t, IQT_LAYOUT_PACKED);
    else
        check_fail("%s: %s", spec, iqt_last_error());
    for (uint32_t n = 1; w && n <= 2; n++)
        problem_check(&p, &t, w, n);
    iqt_matrix_destroy(w);
    iqt_queue_destroy(t.q);
    iqt_device_close(t.dev);
    iqt_context_destroy(t.ctx);
    problem_free(&p);
}

/* Its context, current on this thread, its memory and its stream are untouched: iqtile came and went. */
static void check_peer(struct gpu_api *g)
{
    struct gpu_caller peer;
    static float data[1000], back[1000];

    if (!check_begin("gpu.peer.%s", g->name))
        return;
    for (size_t i = 0; i < IQT_COUNT(data); i++)
        data[i] = check_gauss();
    if (gpu_caller_open(g, g->first, &peer)) {
        const uint64_t memory = gpu_buffer(&peer, data, sizeof data);
        void *const current = gpu_current(g);
        const struct iqt_sim_live before = g->live();

        g->calls_reset();
        use_once(g->first, NULL);
        use_once(g->second, NULL);
        const struct iqt_sim_live after = g->live();
        check_true(memcmp(&before, &after, sizeof after) == 0,
                   "objects were left behind");
        check_true(gpu_current(g) == current, "another context is current");
        check_true(count_calls(g, "CtxRetain") == count_calls(g, "CtxRelease"),
                   "%zu contexts retained, %zu released", count_calls(g, "CtxRetain"),
                   count_calls(g, "CtxRelease"));
        check_true(count_calls(g, "Reset") == 0, "the device was reset");
        gpu_read(&peer, memory, back, sizeof back, NULL);
        check_true(memcmp(data, back, sizeof back) == 0, "the peer's memory changed");
        gpu_ok(peer.api->free(memory), "free");
        gpu_caller_close(&peer);
    }
    check_end();
}

/* ---- A lost device ---- */

/* A kernel that is told to write to memory that is gone. */
static void lose_device(const struct gpu_caller *c, struct iqt_matrix *w)
{
    struct iqt_gpu_recorder *r = NULL;
    float zeros[K] = { 0 };
    const uint64_t x = gpu_buffer(c, zeros, sizeof zeros),
                   y = gpu_buffer(c, zeros, M * 4);
    const struct iqt_gpu_product p = { .struct_size = sizeof p, .w = w, .y = y };

    gpu_ok(c->api->free(y), "free");
    check_true(iqt_gpu_recorder_create(c->t.dev, 1, K, &r) == IQT_OK &&
                   iqt_gpu_record(r, NULL, x, 0, 1, &p, 1) == IQT_OK,
               "%s", iqt_last_error());
    check_true(c->api->stream_wait(NULL) == 700, "the write was not noticed");
    gpu_ok(c->api->free(x), "free");
    iqt_gpu_recorder_destroy(r);
}

static void check_lost(struct gpu_api *g)
{
    struct gpu_caller c;
    struct problem p;
    float y[M];

    if (!check_begin("gpu.lost.%s", g->name))
        return;
    setenv("IQT_CACHE", "", 1);
    g->set_check(1);
    p = problem_new(iqt_format_find("iq4_k"), M, K);
    if (gpu_caller_open(g, g->first, &c)) {
        struct iqt_matrix *w = problem_upload(&p, &c.t, IQT_LAYOUT_PACKED);
        const struct iqt_product product = { .struct_size = sizeof product,
                                             .w = w,
                                             .y = y };

        lose_device(&c, w);
        check_true(iqt_matvec(c.t.q, p.x.at, 0, 1, &product, 1) == IQT_ERR_DEVICE &&
                       strstr(iqt_last_error(), "700") != NULL,
                   "after a lost device: %s", iqt_last_error());
        iqt_matrix_destroy(w);
        gpu_caller_close(&c);
    }
    g->set_check(0);
    unsetenv("IQT_CACHE");
    use_once(g->first, NULL);
    problem_free(&p);
    check_end();
}

/* ---- Kernels from disk ---- */

static size_t compilations(struct gpu_api *g, const char *cache)
{
    g->calls_reset();
    use_once(g->first, cache);
    return count_calls(g, g->compile);
}

static void damage(const char *path, int kind)
{
    FILE *f = fopen(path, "r+b");

    if (!f)
        abort();
    if (kind == 0 && ftruncate(fileno(f), 40) != 0)
        abort();
    if (kind == 1 && (fseek(f, 2000, SEEK_SET) != 0 || fputs("damaged", f) < 0))
        abort();
    if (kind == 2 && ftruncate(fileno(f), 0) != 0)
        abort();
    fclose(f);
}

static void check_cache(struct gpu_api *g)
{
    char folder[] = "/tmp/iqtile-test-XXXXXX", pattern[64], command[64];
    glob_t files = { 0 };

    if (!check_begin("gpu.cache.%s", g->name))
        return;
    if (!mkdtemp(folder))
        abort();
    snprintf(pattern, sizeof pattern, "%s/%s/*.bin", folder, g->name);
    check_true(compilations(g, folder) > 0, "an empty cache, and nothing was compiled");
    check_true(glob(pattern, 0, NULL, &files) == 0 && files.gl_pathc >= 3,
               "%zu files in the cache", files.gl_pathc);
    check_true(compilations(g, folder) == 0, "compiled although it is in the cache");
    for (size_t i = 0; i < files.gl_pathc; i++)
        damage(files.gl_pathv[i], (int)(i % 3));
    check_true(compilations(g, folder) >= files.gl_pathc, "a damaged file was used");
    check_true(compilations(g, folder) == 0, "a damaged file was not replaced");
    globfree(&files);
    snprintf(command, sizeof command, "rm -r %s", folder);
    check_true(system(command) == 0, "%s", command);
    check_end();
}

/* ---- Kernels from the library ---- */

static struct iqt_plan first_plan(void)
{
    return iqt_plan_default(iqt_format_find("iq4_k"), IQT_DIALECT_CUDA, IQT_OP_MATVEC, 1,
                            IQT_LAYOUT_PACKED);
}

static void plant(const char *name, uint64_t hash, const void *image, size_t bytes)
{
    static uint32_t packed[1 << 18];
    uLongf room = sizeof packed;

    check_true(compress((Bytef *)packed, &room, image, bytes) == Z_OK, "image too large");
    planted_ptx[0] =
        (struct iqt_embedded_image){ name, hash, packed, (size_t)room, bytes };
}

/* The simulated driver takes no real PTX; an image in its place shows that the table is used. */
static void check_embedded(struct gpu_api *g)
{
    const struct iqt_plan plan = first_plan();
    const struct iqt_target target = { IQT_DIALECT_CUDA, "sm_90" };
    static const char real[] = ".version 8.0\n.target sm_75\n.address_size 64\n";
    struct iqt_buf text = { 0 }, image = { 0 };
    static char name[IQT_PLAN_NAME_BYTES];
    size_t all;

    if (!check_begin("gpu.embedded.%s", g->name))
        return;
    iqt_plan_name(&plan, name);
    check_true(iqt_emit_kernel(&plan, &text) == IQT_OK &&
                   iqt_compile(&target, iqt_buf_text(&text), &image) == IQT_OK,
               "%s", iqt_last_error());
    all = compilations(g, "");
    const uint64_t hash = iqt_hash(text.data, text.bytes, 0);
    plant(name, hash, image.data, image.bytes);
    check_true(compilations(g, "") == all - 1, "an embedded kernel was compiled");
    planted_ptx[0].text_hash++;
    check_true(compilations(g, "") == all, "a kernel of another text was used");
    plant(name, hash, real, sizeof real);
    check_true(compilations(g, "") == all, "refused PTX was not compiled anew");
    planted_ptx[0].plan = NULL;
    iqt_buf_free(&text);
    iqt_buf_free(&image);
    check_end();
}

static void check_unknown_target(struct gpu_api *g)
{
    static const char *const names[] = { "sm_50", "sm_999", "gfx9999", "gfx803" };
    struct iqt_buf out = { 0 };
    struct iqt_target target;

    if (!check_begin("gpu.unknown_target.%s", g->name))
        return;
    for (size_t i = 0; i < IQT_COUNT(names); i++) {
        check_true(iqt_target_parse(names[i], &target) == IQT_OK, "%s", iqt_last_error());
        check_true(iqt_compile(&target, "int x;", &out) == IQT_ERR_UNSUPPORTED &&
                       strstr(iqt_last_error(), names[i]) != NULL,
                   "%s: %s", names[i], iqt_last_error());
    }
    iqt_buf_free(&out);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    for (size_t i = 0; i < IQT_COUNT(gpu_apis); i++) {
        struct gpu_api *g = &gpu_apis[i];

        if (!gpu_open(g))
            continue;
        check_two_devices(g);
        check_warps(g);
        check_peer(g);
        check_cache(g);
        check_unknown_target(g);
        if (g->driver == &iqt_gpu_cuda)
            check_embedded(g);
        check_lost(g);
    }
    return check_done();
}
