/* Writing GGUF files: round trips of real files and of made-up ones, split sets, and every way in
 * which writing can fail, after each of which nothing may stand under the final name. */
#include "tests/check.h"
#include "tests/gguf_copy.h"
#include "tests/gguf_make.h"

#include <dirent.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static const char *path_of(const char *name)
{
    static char path[8][64 + 256];
    static unsigned next;
    char *out = path[next++ % 8];

    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

/* Files in the folder; removes them. */
static unsigned sweep(void)
{
    DIR *dir = opendir(folder);
    unsigned count = 0;

    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_name[0] == '.')
            continue;
        count++;
        unlink(path_of(e->d_name));
    }
    closedir(dir);
    return count;
}

/* ---- Round trips ---- */

static bool same_bytes(const char *a, const char *b)
{
    char *x = NULL, *y = NULL;
    size_t x_bytes = 0, y_bytes = 0;
    const bool same = iqt_file_read(a, &x, &x_bytes) == IQT_OK &&
                      iqt_file_read(b, &y, &y_bytes) == IQT_OK && x_bytes == y_bytes &&
                      memcmp(x, y, x_bytes) == 0;

    free(x);
    free(y);
    return same;
}

static unsigned no_defects(const struct iqt_gguf *g)
{
    return (unsigned)iqt_gguf_doctor(g, NULL, NULL);
}

/* split: whether the copy is to be a set. */
static void check_copy(const struct iqt_gguf *g, const char *path, uint64_t split,
                       const char *first)
{
    struct iqt_gguf *copy;
    size_t at;

    if (gguf_copy(g, path, split, 1u << 20) != IQT_OK ||
        iqt_gguf_open(first, &copy) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        return;
    }
    at = gguf_keys_differ(g, copy);
    check_true(at == SIZE_MAX, "key %zu differs", at);
    at = gguf_tensors_differ(g, copy);
    check_true(at == SIZE_MAX, "tensor %zu differs", at);
    check_true(no_defects(copy) == no_defects(g), "%u defects, the original has %u",
               no_defects(copy), no_defects(g));
    iqt_gguf_close(copy);
}

static void round_trip(const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    struct iqt_gguf *g;

    if (!check_begin("gguf_write.round_trip.%s", name))
        return;
    if (iqt_gguf_open(path, &g) != IQT_OK) {
        check_fail("%s", iqt_last_error());
    } else {
        check_copy(g, path_of("copy.gguf"), 0, path_of("copy.gguf"));
        check_true(same_bytes(path, path_of("copy.gguf")), "the file is not the same");
        iqt_gguf_close(g);
    }
    check_true(sweep() == 1, "other files were left");
    check_end();
}

static void round_trips(const char *pattern)
{
    char full[512];
    glob_t found;

    snprintf(full, sizeof full, "%s/%s", check_data(), pattern);
    if (glob(full, 0, NULL, &found) != 0) {
        if (check_begin("gguf_write.round_trip"))
            check_fail("no files %s", full);
        return;
    }
    for (size_t i = 0; i < found.gl_pathc; i++)
        round_trip(found.gl_pathv[i]);
    globfree(&found);
}

/* ---- A small file of one's own ---- */

static struct iqt_gguf_tensor tensor(const char *name, uint32_t type, uint64_t k,
                                     uint64_t rows)
{
    return (struct iqt_gguf_tensor){ .name = name,
                                     .name_bytes = strlen(name),
                                     .dims = 2,
                                     .ne = { k, rows, 1, 1 },
                                     .type = type };
}

enum { SMALL = 3, SMALL_BYTES = 400 };

/* Three tensors of 100 floats each. */
static struct iqt_gguf_writer *small(void)
{
    static const char *const names[SMALL] = { "a", "b", "c" };
    struct iqt_gguf_writer *w = NULL;

    if (iqt_gguf_writer_create(&w) != IQT_OK ||
        iqt_gguf_writer_set_string(w, "general.name", "small") != IQT_OK)
        check_fail("%s", iqt_last_error());
    for (size_t i = 0; i < SMALL; i++) {
        const struct iqt_gguf_tensor t = tensor(names[i], 0, 100, 1);

        if (iqt_gguf_writer_add_tensor(w, &t) != IQT_OK)
            check_fail("%s", iqt_last_error());
    }
    return w;
}

static enum iqt_status fill(struct iqt_gguf_writer *w, size_t tensors)
{
    char data[SMALL_BYTES];

    for (size_t i = 0; i < tensors; i++) {
        memset(data, (int)(i + 1), sizeof data);
        IQT_TRY(iqt_gguf_writer_data(w, data, sizeof data));
    }
    return IQT_OK;
}

static enum iqt_status write_small(const char *path, uint64_t split)
{
    struct iqt_gguf_writer *w = small();
    enum iqt_status status = iqt_gguf_writer_begin(w, path, split);

    if (status == IQT_OK)
        status = fill(w, SMALL);
    if (status == IQT_OK)
        status = iqt_gguf_writer_commit(w);
    iqt_gguf_writer_destroy(w);
    return status;
}

static void test_keys(void)
{
    static const uint32_t numbers[] = { 1, 2, 3 };
    const struct iqt_gguf_key array = { "list",       4, IQT_GGUF_ARRAY,
                                        IQT_GGUF_U32, 3, numbers };
    struct iqt_gguf_key nested = array, key;
    struct iqt_gguf_writer *w;
    struct iqt_gguf *g;

    if (!check_begin("gguf_write.keys"))
        return;
    w = small();
    nested.item = IQT_GGUF_ARRAY;
    check_true(iqt_gguf_writer_set_key(w, &nested) == IQT_ERR_UNSUPPORTED,
               "nested arrays");
    check_true(iqt_gguf_writer_set_u32(w, "split.no", 1) == IQT_ERR_ARG, "split.no");
    check_true(iqt_gguf_writer_set_u32(w, "general.alignment", 48) == IQT_ERR_ARG,
               "alignment 48");
    check_true(iqt_gguf_writer_set_u32(w, "general.alignment", 128) == IQT_OK &&
                   iqt_gguf_writer_set_key(w, &array) == IQT_OK &&
                   iqt_gguf_writer_set_string(w, "general.name", "renamed") == IQT_OK,
               "%s", iqt_last_error());
    check_true(iqt_gguf_writer_begin(w, path_of("k.gguf"), 0) == IQT_OK &&
                   fill(w, SMALL) == IQT_OK && iqt_gguf_writer_commit(w) == IQT_OK,
               "%s", iqt_last_error());
    iqt_gguf_writer_destroy(w);
    if (iqt_gguf_open(path_of("k.gguf"), &g) == IQT_OK) {
        check_true(iqt_gguf_key_count(g) == 3, "%zu keys", iqt_gguf_key_count(g));
        check_true(iqt_gguf_key_find(g, "list", &key) && key.count == 3 &&
                       memcmp(key.data, numbers, sizeof numbers) == 0,
                   "the array is not what was set");
        check_true(memcmp(iqt_gguf_key_at(g, 0).data, "renamed", 7) == 0,
                   "a replaced key keeps its place");
        check_true(iqt_gguf_tensor_at(g, 1).offset == 512, "offset %llu, expected 512",
                   (unsigned long long)iqt_gguf_tensor_at(g, 1).offset);
        check_true(no_defects(g) == 0, "%u defects", no_defects(g));
        iqt_gguf_close(g);
    } else {
        check_fail("%s", iqt_last_error());
    }
    sweep();
    check_end();
}

static void test_split(void)
{
    struct iqt_gguf_writer *w;
    struct iqt_gguf *g;
    uint64_t files = 0, bytes = 0;

    if (!check_begin("gguf_write.split"))
        return;
    w = small();
    check_true(iqt_gguf_writer_plan(w, 1000, &files, &bytes) == IQT_OK && files == 3,
               "%llu files, expected 3", (unsigned long long)files);
    iqt_gguf_writer_destroy(w);
    check_true(write_small(path_of("m.gguf"), 1000) == IQT_OK, "%s", iqt_last_error());
    if (iqt_gguf_open(path_of("m-00002-of-00003.gguf"), &g) == IQT_OK) {
        uint64_t found = 0;

        check_copy(g, path_of("whole.gguf"), 0, path_of("whole.gguf"));
        check_copy(g, path_of("two.gguf"), 1100, path_of("two-00001-of-00002.gguf"));
        check_true(no_defects(g) == 0, "%u defects", no_defects(g));
        for (size_t i = 0; i < 3; i++)
            found += g->files[i].bytes;
        check_true(found == bytes, "%llu bytes, planned %llu", (unsigned long long)found,
                   (unsigned long long)bytes);
        iqt_gguf_close(g);
    } else {
        check_fail("%s", iqt_last_error());
    }
    check_true(sweep() == 6, "other files were left");
    check_true(write_small(path_of("m.gguf"), 1u << 20) == IQT_OK &&
                   access(path_of("m.gguf"), F_OK) == 0,
               "one file is no set");
    sweep();
    check_end();
}

/* ---- Refusals ---- */

static void test_tensors(void)
{
    static const struct {
        const char *what;
        uint32_t type;
        uint64_t k, rows;
        enum iqt_status expected;
    } cases[] = {
        { "type", 9999, 32, 1, IQT_ERR_UNSUPPORTED },
        { "row", 8, 33, 1, IQT_ERR_SHAPE },
        { "empty", 0, 0, 1, IQT_ERR_SHAPE },
        { "huge", 0, 1ull << 40, 1ull << 40, IQT_ERR_SHAPE },
    };
    struct iqt_gguf_writer *w;
    struct iqt_gguf_tensor t = tensor("a", 0, 4, 1);

    if (!check_begin("gguf_write.tensors"))
        return;
    w = small();
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        const struct iqt_gguf_tensor bad =
            tensor(cases[i].what, cases[i].type, cases[i].k, cases[i].rows);

        check_true(iqt_gguf_writer_add_tensor(w, &bad) == cases[i].expected &&
                       strstr(iqt_last_error(), cases[i].what) != NULL,
                   "%s: %s", cases[i].what, iqt_last_error());
    }
    t.dims = 5;
    check_true(iqt_gguf_writer_add_tensor(w, &t) == IQT_ERR_ARG, "5 dimensions");
    t.dims = 1;
    check_true(iqt_gguf_writer_add_tensor(w, &t) == IQT_OK &&
                   iqt_gguf_writer_begin(w, path_of("t.gguf"), 0) == IQT_ERR_ARG &&
                   strstr(iqt_last_error(), "named a") != NULL,
               "two tensors of a name: %s", iqt_last_error());
    iqt_gguf_writer_destroy(w);
    check_true(sweep() == 0, "files were left");
    check_end();
}

static void test_order(void)
{
    struct iqt_gguf_writer *w;
    char byte = 0;

    if (!check_begin("gguf_write.order"))
        return;
    w = small();
    check_true(iqt_gguf_writer_data(w, &byte, 1) == IQT_ERR_ARG, "data before begin");
    check_true(iqt_gguf_writer_begin(w, path_of("o.gguf"), 0) == IQT_OK, "%s",
               iqt_last_error());
    check_true(iqt_gguf_writer_set_u32(w, "late", 1) == IQT_ERR_ARG, "a key after begin");
    check_true(fill(w, 2) == IQT_OK, "%s", iqt_last_error());
    check_true(iqt_gguf_writer_commit(w) == IQT_ERR_ARG &&
                   strstr(iqt_last_error(), "only 2 of 3") != NULL,
               "an incomplete file: %s", iqt_last_error());
    check_true(iqt_gguf_writer_data(w, &byte, 1) == IQT_ERR_ARG, "data after a failure");
    iqt_gguf_writer_destroy(w);
    check_true(sweep() == 0, "files were left");
    check_end();
}

static void test_folders(void)
{
    if (!check_begin("gguf_write.folders"))
        return;
    check_true(write_small(path_of("absent/m.gguf"), 0) == IQT_ERR_IO &&
                   strstr(iqt_last_error(), "absent") != NULL,
               "a folder that is not there: %s", iqt_last_error());
    check_true(write_small(folder, 0) == IQT_ERR_IO &&
                   strstr(iqt_last_error(), "folder") != NULL,
               "a folder as the file: %s", iqt_last_error());
    check_true(write_small("/dev/null", 0) == IQT_ERR_IO, "a device as the file");
    /* /proc refuses new files to everybody, root included. */
    check_true(write_small("/proc/self/m.gguf", 0) == IQT_ERR_IO,
               "a folder not writable");
    check_end();
}

static void test_room(void)
{
    struct iqt_gguf_writer *w;
    const struct iqt_gguf_tensor t = tensor("big", 0, 1ull << 40, 1ull << 16);

    if (!check_begin("gguf_write.room"))
        return;
    w = small();
    check_true(iqt_gguf_writer_add_tensor(w, &t) == IQT_OK, "%s", iqt_last_error());
    check_true(iqt_gguf_writer_begin(w, path_of("r.gguf"), 0) == IQT_ERR_IO &&
                   strstr(iqt_last_error(), "are needed") != NULL &&
                   strstr(iqt_last_error(), "are available") != NULL,
               "%s", iqt_last_error());
    iqt_gguf_writer_destroy(w);
    check_true(sweep() == 0, "files were left");
    check_end();
}

/* A disk that fills up while data are written; the old file survives. */
static void test_full(void)
{
    struct rlimit old, small_limit;
    uint64_t splits[] = { 0, 600 };

    if (!check_begin("gguf_write.full"))
        return;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small_limit = old;
    small_limit.rlim_cur = 500;
    for (size_t i = 0; i < IQT_COUNT(splits); i++) {
        check_true(iqt_file_replace(path_of("f.gguf"), "old", 3) == IQT_OK, "%s",
                   iqt_last_error());
        setrlimit(RLIMIT_FSIZE, &small_limit);
        check_true(write_small(path_of("f.gguf"), splits[i]) == IQT_ERR_IO,
                   "a full disk");
        setrlimit(RLIMIT_FSIZE, &old);
        check_true(same_bytes(path_of("f.gguf"), path_of("f.gguf")) && sweep() == 1,
                   "the old file is lost, or others were left");
    }
    check_end();
}

/* A name that becomes a folder while the set is written: the last rename fails. */
static void test_rename(void)
{
    struct iqt_gguf_writer *w;

    if (!check_begin("gguf_write.rename"))
        return;
    w = small();
    check_true(iqt_gguf_writer_begin(w, path_of("n.gguf"), 1000) == IQT_OK &&
                   fill(w, SMALL) == IQT_OK,
               "%s", iqt_last_error());
    check_true(mkdir(path_of("n-00001-of-00003.gguf"), 0777) == 0, "mkdir");
    check_true(iqt_gguf_writer_commit(w) == IQT_ERR_IO, "renamed over a folder");
    iqt_gguf_writer_destroy(w);
    check_true(rmdir(path_of("n-00001-of-00003.gguf")) == 0 && sweep() == 0,
               "files were left");
    check_end();
}

/* Killed at any place: no file under the final name. */
static void test_killed(void)
{
    if (!check_begin("gguf_write.killed"))
        return;
    for (size_t tensors = 0; tensors <= SMALL; tensors++) {
        int state = 0;
        const pid_t child = fork();

        if (child == 0) {
            struct iqt_gguf_writer *w = small();

            if (iqt_gguf_writer_begin(w, path_of("x.gguf"), 0) == IQT_OK &&
                fill(w, tensors) == IQT_OK)
                raise(SIGKILL);
            _exit(1);
        }
        check_true(waitpid(child, &state, 0) == child && WIFSIGNALED(state), "no child");
        check_true(access(path_of("x.gguf"), F_OK) != 0, "a file after %zu tensors",
                   tensors);
        sweep();
    }
    check_end();
}

/* The mode of the old file and a link to it stay. */
static void test_replace(void)
{
    struct stat st;

    if (!check_begin("gguf_write.replace"))
        return;
    check_true(iqt_file_replace(path_of("real"), "old", 3) == IQT_OK &&
                   chmod(path_of("real"), 0640) == 0 &&
                   symlink("real", path_of("link.gguf")) == 0,
               "%s", iqt_last_error());
    check_true(write_small(path_of("link.gguf"), 0) == IQT_OK, "%s", iqt_last_error());
    check_true(lstat(path_of("link.gguf"), &st) == 0 && S_ISLNK(st.st_mode),
               "the link is lost");
    check_true(stat(path_of("real"), &st) == 0 && (st.st_mode & 0777) == 0640 &&
                   st.st_size > 1000,
               "mode %o, %lld bytes", (unsigned)st.st_mode, (long long)st.st_size);
    sweep();
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    snprintf(folder, sizeof folder, "/tmp/iqtile-write-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    round_trips("golden/*.gguf");
    round_trips("golden/other/*.gguf");
    round_trips("../examples/models/*.gguf");
    test_keys();
    test_split();
    test_tensors();
    test_order();
    test_folders();
    test_room();
    test_full();
    test_rename();
    test_killed();
    test_replace();
    sweep();
    rmdir(folder);
    return check_done();
}
