/* Compiling and caching on Vulkan: what a broken text, an absent compiler, and damaged, cut or
 * foreign cache files do. Nothing of it may reach the driver or change a result. */
#include "tests/scratch.h"
#include "tests/vulkan_case.h"

#include <unistd.h>

enum { MAX_LISTED = 4096, PATH_BYTES = 4096, HASH = 0x1234, COMPILER = 77 };

static const char good_text[] = "#version 450\n"
                                "layout(local_size_x = 8) in;\n"
                                "void main() { }\n";
static const char bad_text[] = "#version 450\n"
                               "void main() { this is not GLSL; }\n";

static char cache_dir[] = "/tmp/iqtile-vulkan-cache-XXXXXX";

/* ---- Text to SPIR-V ---- */

static void check_compile(struct iqt_spirv_compiler *c)
{
    struct iqt_spirv good = { NULL, 0 }, bad = { NULL, 0 };
    enum iqt_status status;

    if (!check_begin("compile"))
        return;
    if (ok(iqt_spirv_compile(c, "good", good_text, strlen(good_text), &good),
           "good text"))
        check_true(good.words > 5 && good.word[0] == 0x07230203, "%zu words, first %#x",
                   good.words, good.word[0]);
    status = iqt_spirv_compile(c, "broken.plan", bad_text, strlen(bad_text), &bad);
    check_true(status == IQT_ERR_COMPILE && bad.word == NULL,
               "broken text: %s, expected IQT_ERR_COMPILE", iqt_status_name(status));
    check_true(strstr(iqt_last_error(), "broken.plan") != NULL &&
                   strstr(iqt_last_error(), "error") != NULL,
               "the reason is '%s'", iqt_last_error());
    iqt_spirv_free(&good);
    iqt_spirv_free(&bad);
    check_end();
}

/* A compiler that runs, but is none. */
static void check_wrong_compiler(void)
{
    static const char *const names[] = { "iqt-no-such-program", "libiqt-none.so.1",
                                         "false", "libc.so.6" };
    struct iqt_spirv_compiler *c;

    if (!check_begin("wrong_compiler"))
        return;
    for (size_t i = 0; i < IQT_COUNT(names); i++) {
        enum iqt_status status;

        setenv("IQT_GLSL_COMPILER", names[i], 1);
        status = iqt_spirv_compiler_open(&c);
        check_true(status == IQT_ERR_UNSUPPORTED &&
                       strstr(iqt_last_error(), names[i]) != NULL,
                   "%s: %s: %s", names[i], iqt_status_name(status), iqt_last_error());
    }
    unsetenv("IQT_GLSL_COMPILER");
    check_end();
}

/* ---- The SPIR-V cache ---- */

static bool reads_back(uint64_t hash, uint64_t compiler, const struct iqt_spirv *want)
{
    struct iqt_spirv got = { NULL, 0 };
    bool same;

    if (!iqt_spirv_cache_read(cache_dir, hash, compiler, &got))
        return false;
    same = got.words == want->words &&
           memcmp(got.word, want->word, got.words * sizeof(*got.word)) == 0;
    iqt_spirv_free(&got);
    return same;
}

/* Every length and every changed byte of a cache file. */
static void damage_spirv(const char *path, const struct iqt_spirv *want)
{
    char *data;
    size_t bytes;

    if (!ok(iqt_file_read(path, &data, &bytes), "read"))
        return;
    for (size_t i = 0; i < bytes; i++) {
        check_true(iqt_file_replace(path, data, i) == IQT_OK &&
                       !reads_back(HASH, COMPILER, want),
                   "cut to %zu of %zu bytes, it is still taken", i, bytes);
        data[i] ^= 0x40;
        check_true(iqt_file_replace(path, data, bytes) == IQT_OK &&
                       !reads_back(HASH, COMPILER, want),
                   "byte %zu of %zu changed, it is still taken", i, bytes);
        data[i] ^= 0x40;
    }
    ok(iqt_file_replace(path, data, bytes), "restore");
    check_true(reads_back(HASH, COMPILER, want), "the undamaged file is not taken");
    free(data);
}

static void check_spirv_cache(void)
{
    uint32_t word[7] = { 0x07230203, 1, 2, 3, 4, 5, 6 };
    const struct iqt_spirv spirv = { word, IQT_COUNT(word) };
    char path[PATH_BYTES];

    if (!check_begin("spirv_cache"))
        return;
    check_true(!reads_back(HASH, COMPILER, &spirv), "an absent file is taken");
    if (ok(iqt_spirv_cache_write(cache_dir, HASH, COMPILER, &spirv), "write") &&
        iqt_spirv_cache_path(cache_dir, HASH, path, sizeof(path))) {
        check_true(reads_back(HASH, COMPILER, &spirv), "the file is not taken");
        check_true(!reads_back(HASH + 1, COMPILER, &spirv),
                   "another text's file is taken");
        check_true(!reads_back(HASH, COMPILER + 1, &spirv),
                   "another compiler's file is taken");
        check_true(reads_back(HASH, 0, &spirv),
                   "without a compiler, the file of an absent one is not taken");
        damage_spirv(path, &spirv);
    }
    check_true(!iqt_spirv_cache_path("", HASH, path, sizeof(path)),
               "no folder has a path");
    check_end();
}

/* ---- Building without a compiler ---- */

/* A legal plan that the library does not embed. */
static bool find_unembedded(const struct iqt_limits *limits, struct iqt_plan *out)
{
    static struct iqt_plan listed[MAX_LISTED], embedded[MAX_LISTED];
    const struct iqt_plan like = any_plan();
    const size_t e = iqt_plan_embedded(IQT_DIALECT_GLSL, embedded, MAX_LISTED);
    const size_t n = iqt_plan_list(like.format, IQT_DIALECT_GLSL, like.op, 1, like.layout,
                                   limits, listed, MAX_LISTED);

    for (size_t i = 0; i < n && i < MAX_LISTED; i++) {
        char name[IQT_PLAN_NAME_BYTES], other[IQT_PLAN_NAME_BYTES];
        bool found = false;

        iqt_plan_name(&listed[i], name);
        for (size_t j = 0; j < e && j < MAX_LISTED && !found; j++) {
            iqt_plan_name(&embedded[j], other);
            found = strcmp(name, other) == 0;
        }
        if (!found) {
            *out = listed[i];
            return true;
        }
    }
    return false;
}

/* Builds plan in a device opened for that; compiler NULL: the real one. */
static enum iqt_status build_alone(uint32_t index, const struct iqt_plan *plan,
                                   const char *compiler)
{
    const struct iqt_backend_options opt = { .cache_dir = cache_dir };
    struct iqt_device_info info;
    struct iqt_limits limits;
    struct iqt_kernel *kernel = NULL;
    struct iqt_hw *hw;
    enum iqt_status status;

    if (compiler != NULL)
        setenv("IQT_GLSL_COMPILER", compiler, 1);
    status = vulkan->open(&opt, index, &info, &limits, &hw);
    if (status == IQT_OK) {
        status = vulkan->build(hw, plan, &kernel);
        vulkan->drop(hw, kernel);
        vulkan->close(hw);
    }
    unsetenv("IQT_GLSL_COMPILER");
    return status;
}

static void check_no_compiler(const struct bench *b, uint32_t index)
{
    char name[IQT_PLAN_NAME_BYTES];
    struct iqt_plan plan;
    enum iqt_status status;

    if (!check_begin("no_compiler.vulkan:%u", index))
        return;
    if (!find_unembedded(&b->limits, &plan)) {
        check_fail("every legal plan is embedded");
        check_end();
        return;
    }
    iqt_plan_name(&plan, name);
    status = build_alone(index, &plan, "libiqt-none.so.1");
    check_true(status == IQT_ERR_UNSUPPORTED && strstr(iqt_last_error(), name) != NULL &&
                   strstr(iqt_last_error(), "libiqt-none.so.1") != NULL,
               "%s: %s: %s", name, iqt_status_name(status), iqt_last_error());
    ok(build_alone(index, &plan, NULL), "with a compiler");
    ok(build_alone(index, &plan, "libiqt-none.so.1"),
       "from the cache, without a compiler");
    check_end();
}

/* ---- The driver's pipeline cache ---- */

/* Opens the device and says whether the file on disk was taken; closing writes it again. */
static bool cache_taken(uint32_t index, char path[PATH_BYTES])
{
    struct bench b;
    bool taken = false;

    if (ok(bench_open(&b, index, cache_dir), "open")) {
        taken = b.hw->cache_hash != 0;
        check_true(iqt_vk_cache_path(b.hw, path, PATH_BYTES), "no path");
    }
    bench_close(&b);
    return taken;
}

static void damage_pipeline_cache(uint32_t index, const char *path, char *data,
                                  size_t bytes)
{
    const size_t offsets[] = { 0, 8, 16, 24, 32, 40, bytes - 1 };
    char ignored[PATH_BYTES];

    for (size_t i = 0; i < IQT_COUNT(offsets); i++) {
        const size_t at = offsets[i] < bytes ? offsets[i] : bytes - 1;

        check_true(iqt_file_replace(path, data, at) == IQT_OK &&
                       !cache_taken(index, ignored),
                   "cut to %zu of %zu bytes, it is taken", at, bytes);
        data[at] ^= 1;
        check_true(iqt_file_replace(path, data, bytes) == IQT_OK &&
                       !cache_taken(index, ignored),
                   "byte %zu of %zu changed, it is taken", at, bytes);
        data[at] ^= 1;
        check_true(cache_taken(index, ignored), "after %zu: closing did not mend it", at);
    }
}

/* An intact file of another driver: its checksum is right, its header is not. */
static void plant_foreign(const char *path, char *data, size_t bytes)
{
    enum { FRONT = 24, UUID_AT = FRONT + 16 };
    uint64_t hash;

    data[UUID_AT] ^= 1;
    hash = iqt_hash(data + FRONT, bytes - FRONT, 0);
    memcpy(data + 16, &hash, sizeof(hash));
    ok(iqt_file_replace(path, data, bytes), "write");
}

static void check_pipeline_cache(uint32_t index)
{
    char path[PATH_BYTES], *data;
    size_t bytes;

    if (!check_begin("pipeline_cache.vulkan:%u", index))
        return;
    cache_taken(index, path);
    if (ok(iqt_file_read(path, &data, &bytes), "closing wrote no cache")) {
        check_true(cache_taken(index, path), "the file of the last run is not taken");
        damage_pipeline_cache(index, path, data, bytes);
        plant_foreign(path, data, bytes);
        check_true(!cache_taken(index, path), "another driver's file is taken");
        check_true(cache_taken(index, path),
                   "closing did not replace another driver's file");
        free(data);
    }
    check_end();
}

/* A cache folder that cannot be made costs nothing but time. */
static void check_no_folder(uint32_t index)
{
    const struct iqt_plan plan = any_plan();
    struct bench b;

    if (!check_begin("no_folder.vulkan:%u", index))
        return;
    if (ok(bench_open(&b, index, "/dev/null/cache"), "open"))
        run_plan(&b, &plan, ROWS, COLS, NULL);
    bench_close(&b);
    check_end();
}

/* ---- Main ---- */

static void check_devices(const struct found *found)
{
    for (uint32_t i = 0; i < found->count; i++) {
        struct bench b;

        if (bench_open(&b, i, "") == IQT_OK)
            check_no_compiler(&b, i);
        bench_close(&b);
        check_pipeline_cache(i);
        check_no_folder(i);
    }
}

int main(int argc, char **argv)
{
    struct iqt_spirv_compiler *compiler = NULL;
    struct found found;

    check_init(argc, argv);
    scratch_make(cache_dir);
    found_scan(&found);
    check_spirv_cache();
    check_wrong_compiler();
    if (iqt_spirv_compiler_open(&compiler) == IQT_OK) {
        check_compile(compiler);
        check_devices(&found);
    } else if (check_begin("compiler")) {
        check_skip("glslc", "%s", iqt_last_error());
        check_end();
    }
    if (check_begin("devices")) {
        found_any(&found);
        check_end();
    }
    iqt_spirv_compiler_close(compiler);
    scratch_remove(cache_dir);
    return check_done();
}
