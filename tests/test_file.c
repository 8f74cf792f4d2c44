/* Files and folders: mapping, reading, atomic replacing, the cache folder. */
#include "tests/scratch.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Files: in a folder of its own that every check leaves empty ---- */

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[16][160];
    static unsigned next;
    char *out = path[next++ % 16];

    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

static uint32_t entries(void)
{
    return scratch_entries(folder);
}

static bool holds(const char *path, const char *text)
{
    char *data;
    size_t bytes;
    bool same;

    if (iqt_file_read(path, &data, &bytes) != IQT_OK)
        return false;
    same = bytes == strlen(text) && strcmp(data, text) == 0; /* also: a NUL follows */
    free(data);
    return same;
}

static enum iqt_status put(const char *path, const char *text)
{
    return iqt_file_replace(path, text, strlen(text));
}

static void test_replace(void)
{
    const char *path = in_folder("a"), *alias = in_folder("link");
    struct stat st;

    if (!check_begin("file.replace"))
        return;
    check_true(put(path, "one") == IQT_OK && holds(path, "one"), "new file: %s",
               iqt_last_error());
    check_true(chmod(path, 0640) == 0, "chmod");
    check_true(put(path, "second") == IQT_OK && holds(path, "second"), "replaced: %s",
               iqt_last_error());
    check_true(stat(path, &st) == 0 && (st.st_mode & 0777) == 0640, "the mode is lost");
    check_true(symlink("a", alias) == 0 && put(alias, "third") == IQT_OK,
               "through a link: %s", iqt_last_error());
    check_true(lstat(alias, &st) == 0 && S_ISLNK(st.st_mode) && holds(path, "third"),
               "the link was replaced, not the file");
    check_true(put(path, "") == IQT_OK && holds(path, ""), "empty: %s", iqt_last_error());
    check_true(entries() == 2, "%u entries, expected the file and the link", entries());
    check_true(put(in_folder("no/such"), "x") == IQT_ERR_IO, "missing folder");
    check_true(put(folder, "x") == IQT_ERR_IO, "a folder is no file");
    unlink(path);
    unlink(alias);
    check_end();
}

/* A write that fails in the middle leaves the old file and nothing else. */
static void test_replace_fails(void)
{
    const char *path = in_folder("a");
    struct rlimit old, small;
    static char large[100000];

    if (!check_begin("file.replace_fails"))
        return;
    check_true(put(path, "old") == IQT_OK, "%s", iqt_last_error());
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){ 4096, old.rlim_max };
    setrlimit(RLIMIT_FSIZE, &small);
    const enum iqt_status status = iqt_file_replace(path, large, sizeof large);

    setrlimit(RLIMIT_FSIZE, &old);
    check_true(status == IQT_ERR_IO, "%s", iqt_status_name(status));
    check_true(holds(path, "old"), "the old file is gone");
    check_true(entries() == 1, "%u entries, expected 1: a temporary file stays",
               entries());
    unlink(path);
    check_end();
}

/* Renaming over a pipe or a device would destroy it. */
static void test_replace_special(void)
{
    char path[64], got[8] = "";
    int ends[2];
    struct stat st;

    if (!check_begin("file.replace_special"))
        return;
    check_true(pipe(ends) == 0, "pipe");
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    check_true(put(path, "text") == IQT_OK, "%s", iqt_last_error());
    check_true(read(ends[0], got, 7) == 4 && strcmp(got, "text") == 0, "the pipe got %s",
               got);
    check_true(fstat(ends[1], &st) == 0 && S_ISFIFO(st.st_mode), "the pipe is gone");
    close(ends[0]);
    close(ends[1]);
    check_end();
}

static void test_map(void)
{
    const char *path = in_folder("a");
    struct iqt_map map = { (const uint8_t *)"x", 1 };

    if (!check_begin("file.map"))
        return;
    check_true(put(path, "bytes") == IQT_OK && iqt_map_open(path, &map) == IQT_OK, "%s",
               iqt_last_error());
    check_true(map.bytes == 5 && memcmp(map.data, "bytes", 5) == 0, "other bytes");
    iqt_map_close(&map);
    check_true(map.data == NULL && map.bytes == 0, "closing leaves an empty map");
    check_true(put(path, "") == IQT_OK && iqt_map_open(path, &map) == IQT_OK &&
                   map.data == NULL && map.bytes == 0,
               "empty file");
    iqt_map_close(&map);
    check_true(iqt_map_open(folder, &map) == IQT_ERR_IO, "a folder was mapped");
    check_true(iqt_map_open(in_folder("none"), &map) == IQT_ERR_IO &&
                   strstr(iqt_last_error(), "none") != NULL,
               "missing file: %s", iqt_last_error());
    check_true(mkfifo(in_folder("pipe"), 0600) == 0 &&
                   iqt_map_open(in_folder("pipe"), &map) == IQT_ERR_IO,
               "a pipe was mapped, or opening it waited");
    unlink(in_folder("pipe"));
    unlink(path);
    check_end();
}

static void test_read(void)
{
    char *data = NULL, path[64];
    size_t bytes = 0;
    int ends[2];
    static char large[40000];

    if (!check_begin("file.read"))
        return;
    check_true(iqt_file_read(in_folder("none"), &data, &bytes) == IQT_ERR_IO,
               "missing file");
    check_true(iqt_file_read(folder, &data, &bytes) == IQT_ERR_IO, "a folder was read");
    check_rand_bytes(large, sizeof large);
    check_true(pipe(ends) == 0 && write(ends[1], large, sizeof large) == sizeof large,
               "pipe");
    close(ends[1]);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    check_true(iqt_file_read(path, &data, &bytes) == IQT_OK && bytes == sizeof large &&
                   memcmp(data, large, bytes) == 0 && data[bytes] == '\0',
               "pipe: %zu bytes", bytes);
    free(data);
    close(ends[0]);
    check_end();
}

static void test_dirs(void)
{
    char path[200];
    struct stat st;

    if (!check_begin("file.folders"))
        return;
    snprintf(path, sizeof path, "%s//x/y/z/", folder);
    check_true(iqt_dir_make(path) == IQT_OK && stat(path, &st) == 0 &&
                   S_ISDIR(st.st_mode),
               "%s", iqt_last_error());
    check_true(iqt_dir_make(path) == IQT_OK, "existing: %s", iqt_last_error());
    check_true(put(in_folder("file"), "") == IQT_OK &&
                   iqt_dir_make(in_folder("file/x")) == IQT_ERR_IO &&
                   iqt_dir_make(in_folder("file")) == IQT_ERR_IO,
               "a file became a folder");
    check_true(iqt_dir_make("") == IQT_ERR_IO, "a folder without a name");
    rmdir(in_folder("x/y/z"));
    rmdir(in_folder("x/y"));
    rmdir(in_folder("x"));
    unlink(in_folder("file"));
    check_true(entries() == 0, "%u entries left", entries());
    check_end();
}

/* Room is that of the file's folder, whether or not there is such a file. */
static void test_room(void)
{
    if (!check_begin("file.room"))
        return;
    check_true(iqt_room_check(in_folder("a"), 1) == IQT_OK, "one byte: %s",
               iqt_last_error());
    check_true(iqt_room_check(in_folder("a"), INT64_MAX) == IQT_ERR_IO &&
                   strstr(iqt_last_error(), "not enough room") != NULL &&
                   strstr(iqt_last_error(), "9223372036854775807") != NULL,
               "2^63 - 1 bytes: '%s', expected that there is not enough room",
               iqt_last_error());
    check_true(iqt_room_check(in_folder("no/such"), 1) == IQT_ERR_IO, "missing folder");
    check_end();
}

static void test_cache_dir(void)
{
    static const struct {
        const char *xdg, *home, *expected; /* expected NULL: IQT_ERR_IO */
    } cases[] = {
        { "/c", "/h", "/c/iqtile" },
        { NULL, "/h", "/h/.cache/iqtile" },
        { "", "/h", "/h/.cache/iqtile" },
        { "relative", "/h", "/h/.cache/iqtile" },
        { NULL, NULL, NULL },
        { NULL, "", NULL },
    };
    char out[64];

    if (!check_begin("file.cache_dir"))
        return;
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        cases[i].xdg != NULL ? setenv("XDG_CACHE_HOME", cases[i].xdg, 1)
                             : unsetenv("XDG_CACHE_HOME");
        cases[i].home != NULL ? setenv("HOME", cases[i].home, 1) : unsetenv("HOME");
        memset(out, 'x', sizeof out - 1);
        out[sizeof out - 1] = '\0';
        const enum iqt_status status = iqt_cache_dir(out, sizeof out);

        if (cases[i].expected == NULL)
            check_true(status == IQT_ERR_IO && out[0] == 'x', "case %zu gives %s", i,
                       out);
        else
            check_true(status == IQT_OK && strcmp(out, cases[i].expected) == 0,
                       "case %zu gives %s", i, out);
    }
    setenv("HOME", "/h", 1);
    check_true(iqt_cache_dir(out, 17) == IQT_OK && iqt_cache_dir(out, 16) == IQT_ERR_IO,
               "the size of the buffer is ignored");
    check_end();
}

int main(int argc, char **argv)
{
    snprintf(folder, sizeof folder, "/tmp/iqt_test_file.XXXXXX");
    check_init(argc, argv);
    scratch_make(folder);
    test_replace();
    test_replace_fails();
    test_replace_special();
    test_map();
    test_read();
    test_dirs();
    test_room();
    test_cache_dir();
    rmdir(folder);
    return check_done();
}
