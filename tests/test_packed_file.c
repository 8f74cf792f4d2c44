/* Files of packed rows: what was written is read, and nothing else is. Every cut, every flipped bit and every
 * number that is not as expected has its sentence; a writer that dies leaves nothing under the name. */
#include "io/packed_file.h"
#include "tests/scratch.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 160, MANY_BLOCKS = (5 << 20) / 2 };

static char folder[64];
static char path[PATH_BYTES];

struct file {
    struct iqt_packed_key key;
    uint8_t *rows;
    uint64_t bytes;
};

/* Rows of about so many bytes, in groups of four. */
static struct file file_new(uint64_t bytes)
{
    struct file f = { .key = { { 1 + check_rand() % 3, 0, 256, 16 + check_rand() % 200, 4,
                                 check_rand(), 2, check_rand(), check_rand() } } };
    const uint64_t *n = f.key.number;

    f.key.number[IQT_PACKED_ROWS] =
        bytes / n[IQT_PACKED_MATRICES] / n[IQT_PACKED_ROW_BYTES] + 1;
    if (!iqt_packed_bytes(&f.key, &f.bytes))
        abort();
    f.rows = malloc(f.bytes);
    if (!f.rows)
        abort();
    check_rand_bytes(f.rows, f.bytes);
    return f;
}

/* In pieces of random sizes; stops before `until`. */
static enum iqt_status add_rows(struct iqt_packed_writer *w, const struct file *f,
                                uint64_t until)
{
    for (uint64_t at = 0; at < until;) {
        uint64_t part = 1 + check_rand() % (f->bytes / 3 + 1);

        part = part < until - at ? part : until - at;
        IQT_TRY(iqt_packed_add(w, f->rows + at, part));
        at += part;
    }
    return IQT_OK;
}

static enum iqt_status file_write(const struct file *f)
{
    struct iqt_packed_writer w;
    enum iqt_status status;

    IQT_TRY(iqt_packed_begin(path, &f->key, &w));
    status = add_rows(&w, f, f->bytes);
    if (status == IQT_OK)
        return iqt_packed_commit(&w);
    iqt_packed_discard(&w);
    return status;
}

/* All that a reader checks; *rows are the file's. */
static enum iqt_status read_bytes(const uint8_t *data, size_t bytes,
                                  const struct iqt_packed_key *key,
                                  struct iqt_packed_rows *rows)
{
    struct iqt_packed_blocks b;
    enum iqt_status status;

    IQT_TRY(iqt_packed_parse(path, data, bytes, key, rows));
    b = (struct iqt_packed_blocks){ .data = rows->data, .bytes = rows->bytes };
    b.hash = calloc(iqt_packed_block_count(b.bytes), sizeof *b.hash);
    if (!b.hash)
        abort();
    iqt_packed_blocks_hash(&b, 0, iqt_packed_block_count(b.bytes));
    status = iqt_packed_verify(path, rows, &b);
    free(b.hash);
    return status;
}

/* Copied, so that sanitizers see a step beyond the end. */
static void expect_refused(const uint8_t *data, size_t bytes,
                           const struct iqt_packed_key *key, const char *words,
                           const char *what)
{
    uint8_t *copy = malloc(bytes + 1);
    struct iqt_packed_rows rows;
    enum iqt_status status;

    if (!copy)
        abort();
    memcpy(copy, data, bytes);
    status = read_bytes(copy, bytes, key, &rows);
    check_true(status == IQT_ERR_FORMAT && strstr(iqt_last_error(), path) != NULL &&
                   strstr(iqt_last_error(), words) != NULL,
               "%s: %s '%s', expected IQT_ERR_FORMAT with '%s' and the file's name", what,
               iqt_status_name(status), status == IQT_OK ? "" : iqt_last_error(), words);
    free(copy);
}

/* ---- What is right ---- */

static void check_round_trip(uint64_t bytes)
{
    struct iqt_packed_rows rows;
    struct iqt_map map = { 0 };
    struct file f;

    if (check_begin("round_trip.%llu", (unsigned long long)bytes)) {
        f = file_new(bytes);
        check_true(file_write(&f) == IQT_OK && iqt_map_open(path, &map) == IQT_OK, "%s",
                   iqt_last_error());
        check_true(map.bytes == IQT_PACKED_HEAD + f.bytes + IQT_PACKED_TAIL,
                   "the file has %zu bytes, expected %llu", map.bytes,
                   (unsigned long long)(IQT_PACKED_HEAD + f.bytes + IQT_PACKED_TAIL));
        if (read_bytes(map.data, map.bytes, &f.key, &rows) != IQT_OK)
            check_fail("%s", iqt_last_error());
        else
            check_true(rows.bytes == f.bytes && rows.data == map.data + IQT_PACKED_HEAD &&
                           memcmp(rows.data, f.rows, f.bytes) == 0,
                       "%llu other rows, expected the %llu bytes that were written",
                       (unsigned long long)rows.bytes, (unsigned long long)f.bytes);
        iqt_map_close(&map);
        unlink(path);
        free(f.rows);
        check_end();
    }
}

static void check_sizes(void)
{
    static const struct {
        uint64_t matrices, rows, row_bytes, together, bytes; /* bytes 0: refused */
    } cases[] = {
        { 1, 1, 1, 1, 1 },          { 2, 5, 16, 4, 256 },
        { 1, 1, 1, 0, 0 },          { 0, 1, 1, 1, 0 },
        { 1, 0, 1, 1, 0 },          { 1, 1, 0, 1, 0 },
        { 1, UINT64_MAX, 1, 4, 0 }, { 1, UINT64_MAX / 2, 4, 1, 0 },
        { UINT64_MAX, 2, 1, 1, 0 }, { 1, INT64_MAX, 1, 1, 0 },
        { 1, 1, 1, UINT64_MAX, 0 },
    };

    if (!check_begin("sizes"))
        return;
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        const struct iqt_packed_key key = { { cases[i].matrices, cases[i].rows, 1,
                                              cases[i].row_bytes, cases[i].together } };
        uint64_t bytes = 0;
        const bool ok = iqt_packed_bytes(&key, &bytes);

        check_true(ok == (cases[i].bytes != 0) && bytes == cases[i].bytes,
                   "case %zu: %s, %llu bytes, expected %llu", i, ok ? "taken" : "refused",
                   (unsigned long long)bytes, (unsigned long long)cases[i].bytes);
    }
    check_end();
}

/* ---- What is wrong ---- */

static const uint8_t *damage_open(const char *name, struct file *f, struct iqt_map *map)
{
    if (!check_begin("%s", name))
        return NULL;
    *f = file_new(2000 + check_rand() % 2000);
    *map = (struct iqt_map){ 0 };
    if (file_write(f) != IQT_OK || iqt_map_open(path, map) != IQT_OK)
        check_fail("%s", iqt_last_error());
    return map->data;
}

static void damage_close(struct file *f, struct iqt_map *map)
{
    iqt_map_close(map);
    unlink(path);
    free(f->rows);
    check_end();
}

static void check_cut(void)
{
    struct file f;
    struct iqt_map map;
    const uint8_t *data = damage_open("cut", &f, &map);

    for (size_t i = 0; data && i < map.bytes; i++)
        expect_refused(data, i, &f.key, " bytes, ", "cut short");
    if (data)
        damage_close(&f, &map);
}

/* One bit of every byte of the file, and one byte more. */
static void check_flipped(void)
{
    struct file f;
    struct iqt_map map;
    const uint8_t *data = damage_open("flipped", &f, &map);
    uint8_t *copy;
    char what[48];

    if (!data)
        return;
    copy = calloc(1, map.bytes + 1);
    if (!copy)
        abort();
    memcpy(copy, data, map.bytes);
    expect_refused(copy, map.bytes + 1, &f.key, "too many or too few", "a byte more");
    for (size_t i = 0; i < map.bytes; i++) {
        const uint8_t bit = (uint8_t)(1u << check_rand() % 8);

        snprintf(what, sizeof what, "bit %#x of byte %zu flipped", bit, i);
        copy[i] ^= bit;
        expect_refused(copy, map.bytes, &f.key,
                       i < 8                                 ? "no file of packed rows"
                       : i < 16                              ? "version"
                       : i < IQT_PACKED_HEAD                 ? "header is damaged"
                       : i < map.bytes - IQT_PACKED_TAIL + 8 ? "rows are damaged"
                                                             : "last bytes are damaged",
                       what);
        copy[i] ^= bit;
    }
    free(copy);
    damage_close(&f, &map);
}

/* Blocks of a hash in another order. */
static void check_swapped(void)
{
    enum { PART = 1 << 20 };
    struct file f;
    struct iqt_map map = { 0 };
    uint8_t *copy;

    if (!check_begin("swapped"))
        return;
    f = file_new(MANY_BLOCKS);
    if (file_write(&f) != IQT_OK || iqt_map_open(path, &map) != IQT_OK)
        check_fail("%s", iqt_last_error());
    copy = malloc(map.bytes);
    if (!copy)
        abort();
    memcpy(copy, map.data, map.bytes);
    memcpy(copy + IQT_PACKED_HEAD, map.data + IQT_PACKED_HEAD + PART, PART);
    memcpy(copy + IQT_PACKED_HEAD + PART, map.data + IQT_PACKED_HEAD, PART);
    expect_refused(copy, map.bytes, &f.key, "rows are damaged", "two blocks swapped");
    free(copy);
    damage_close(&f, &map);
}

/* Files that are whole, but of something else. */
static void check_foreign(void)
{
    static const char *const words[IQT_PACKED_NUMBERS] = {
        "matrices",          "rows", "columns", "packed row",
        "together",          "type", "tiles",   "hash of the weights",
        "hash of the layout"
    };
    struct file f;
    struct iqt_map map;
    const uint8_t *data = damage_open("foreign", &f, &map);

    for (int i = 0; data && i < IQT_PACKED_NUMBERS; i++) {
        struct iqt_packed_key other = f.key;

        other.number[i] += 1 + check_rand();
        expect_refused(data, map.bytes, &other, words[i], words[i]);
    }
    if (data)
        damage_close(&f, &map);
}

/* ---- Writers that do not come to their end ---- */

static bool is_there(void)
{
    return access(path, F_OK) == 0;
}

static void check_discard(void)
{
    struct iqt_packed_writer w;
    struct file f;

    if (check_begin("discard")) {
        f = file_new(3000);
        check_true(iqt_packed_begin(path, &f.key, &w) == IQT_OK &&
                       add_rows(&w, &f, f.bytes / 2) == IQT_OK,
                   "%s", iqt_last_error());
        check_true(!is_there(), "%s is there before it is whole", path);
        iqt_packed_discard(&w);
        check_true(scratch_entries(folder) == 0,
                   "a discarded writer left %u files, expected none",
                   scratch_entries(folder));
        free(f.rows);
        check_end();
    }
}

/* More than any disk has: nothing is begun. */
static void check_room(void)
{
    struct iqt_packed_key key = { { 1, INT64_MAX / 32, 1, 16, 1 } };
    struct iqt_packed_writer w;

    if (!check_begin("room"))
        return;
    check_true(iqt_packed_begin(path, &key, &w) == IQT_ERR_IO &&
                   strstr(iqt_last_error(), "not enough room") != NULL,
               "'%s', expected that there is not enough room", iqt_last_error());
    check_true(scratch_entries(folder) == 0, "%u files, expected none",
               scratch_entries(folder));
    check_end();
}

/* Killed after a random part of the rows, more than a block of which is on the disk. */
static void check_killed(void)
{
    struct iqt_packed_writer w;
    struct file f;
    uint64_t until;
    int how = 0;
    pid_t child;

    if (check_begin("killed")) {
        f = file_new(MANY_BLOCKS);
        until = f.bytes / 2 + check_rand() % (f.bytes / 2);
        fflush(NULL);
        child = fork();
        if (child == 0) {
            if (iqt_packed_begin(path, &f.key, &w) == IQT_OK &&
                add_rows(&w, &f, until) == IQT_OK)
                raise(SIGKILL);
            _exit(1);
        }
        check_true(child > 0 && waitpid(child, &how, 0) == child && WIFSIGNALED(how),
                   "the writer was to be killed, its status is %d", how);
        check_true(!is_there(), "a writer that was killed left %s", path);
        free(f.rows);
        check_end();
    }
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    snprintf(folder, sizeof folder, "/tmp/iqt_test_packed.XXXXXX");
    scratch_make(folder);
    snprintf(path, sizeof path, "%s/rows.iqtp", folder);
    check_sizes();
    check_round_trip(1);
    check_round_trip(3000);
    check_round_trip(1 << 20);
    check_round_trip(MANY_BLOCKS);
    check_cut();
    check_flipped();
    check_swapped();
    check_foreign();
    check_discard();
    check_room();
    check_killed();
    scratch_remove(folder);
    return check_done();
}
