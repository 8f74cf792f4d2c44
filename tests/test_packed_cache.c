/* Packed rows that are kept on disk: the same bytes and products as without, on every device; other weights, a
 * changed layout and damaged files are never used; what cannot be written costs a sentence. */
#include "kernels/interleave.h"
#include "tests/packed_case.h"

/* ---- The same with and without ---- */

static void check_taken(const struct problem *p, struct target *t, size_t experts,
                        const struct loaded *plain)
{
    char path[PATH_BYTES];
    struct loaded got;
    size_t same = 0;

    if (!find_file(path))
        return;
    const struct iqt_packed_key key = key_of(path);

    forge(path, &key, plain);
    if (load(p, t, experts, false, &got))
        for (size_t i = 0; i < plain->size; i++)
            same += (got.bytes[i] ^ plain->bytes[i]) == 0xff;
    check_true(same == plain->size, "%zu of %zu bytes came from the file", same,
               plain->size);
    unload(&got);
}

static void check_same(struct target *t, const struct iqt_format *f, size_t experts,
                       bool products)
{
    struct problem p = problem_new(f, M * (experts ? experts : 1), problem_k(f, K));
    struct loaded plain;

    keep_in(t, "");
    if (load(&p, t, experts, products, &plain)) {
        keep_in(t, kept);
        expect_same(&p, t, experts, products, &plain, "made");
        expect_note("", "made");
        expect_files(1, "made");
        expect_same(&p, t, experts, products, &plain, "kept");
        expect_note("", "kept");
        check_taken(&p, t, experts, &plain);
    }
    unload(&plain);
    scratch_remove(kept);
    problem_free(&p);
}

static void check_random(struct target *t, const struct iqt_format *f, size_t m, size_t k)
{
    struct problem p = random_problem(f, m, k);
    struct loaded plain;

    keep_in(t, "");
    if (load(&p, t, 0, false, &plain)) {
        keep_in(t, kept);
        expect_same(&p, t, 0, false, &plain, "made");
        expect_same(&p, t, 0, false, &plain, "kept");
        expect_note("", "kept");
        check_taken(&p, t, 0, &plain);
    }
    unload(&plain);
    scratch_remove(kept);
    free(p.bytes);
}

/* Of several stages and blocks, by several threads. */
static void check_large(struct target *t)
{
    enum { LARGE_K = 4096, LARGE_BYTES = 9 << 20 };
    const struct iqt_format *f;
    size_t row = 1;

    if (!check_begin("large.%s", t->name))
        return;
    f = draw_format();
    if (iqt_format_row_bytes(f, LARGE_K, &row) != IQT_OK)
        abort();
    check_random(t, f, LARGE_BYTES / row + check_rand() % 9, LARGE_K);
    check_end();
}

static void check_interleaved(struct target *t)
{
    for (const struct iqt_format *f = iqt_interleaved; f->name; f++)
        if (check_begin("interleaved.%s.%s", t->name, f->name)) {
            check_random(t, f, 4 * (1 + check_rand() % 9), K);
            check_end();
        }
}

static void check_formats(struct target *t)
{
    for (const struct iqt_format *f = iqt_formats; f->name; f++) {
        if (check_begin("same.%s.%s", t->name, f->name)) {
            check_same(t, f, 0, is_drawn(t, (size_t)(f - iqt_formats), 5));
            check_end();
        }
        if (check_begin("same.experts.%s.%s", t->name, f->name)) {
            check_same(t, f, EXPERTS, false);
            check_end();
        }
    }
}

/* ---- Never others ---- */

/* The file is not used, told about and made anew. */
static void expect_anew(struct scene *s, const char *words, const char *what)
{
    char *now = NULL;
    size_t bytes = 0;

    expect_same(&s->p, s->t, 0, false, &s->plain, what);
    expect_note(words, what);
    check_true(strstr(noted, s->path) != NULL, "%s: '%s' does not name %s", what, noted,
               s->path);
    check_true(iqt_file_read(s->path, &now, &bytes) == IQT_OK && bytes == s->bytes &&
                   memcmp(now, s->data, bytes) == 0,
               "%s: the file was not made anew", what);
    free(now);
    expect_files(1, what);
}

static void replace(struct scene *s, const void *data, size_t bytes)
{
    if (iqt_file_replace(s->path, data, bytes) != IQT_OK)
        check_fail("%s", iqt_last_error());
}

static void check_damaged(struct target *t)
{
    struct scene s;

    if (!check_begin("damaged.%s", t->name))
        return;
    if (scene_open(&s, t)) {
        const size_t rows = s.bytes - IQT_PACKED_HEAD - IQT_PACKED_TAIL;
        const size_t ends[] = { 0, 8, 16, 88, IQT_PACKED_HEAD, IQT_PACKED_HEAD + rows };
        const struct {
            size_t at;
            const char *words;
        } flips[] = { { check_rand() % 8, "no file" },
                      { 8 + check_rand() % 8, "version" },
                      { 16 + check_rand() % (IQT_PACKED_HEAD - 16), "header" },
                      { IQT_PACKED_HEAD + check_rand() % rows, "rows are damaged" },
                      { s.bytes - IQT_PACKED_TAIL + check_rand() % 8,
                        "rows are damaged" },
                      { s.bytes - 1 - check_rand() % 56, "last bytes" } };

        for (size_t i = 0; i < IQT_COUNT(ends); i++)
            for (size_t less = 0; less <= (ends[i] > 0); less++) {
                replace(&s, s.data, ends[i] - less);
                expect_anew(&s, "bytes", "cut");
            }
        replace(&s, s.data, s.bytes - 1);
        expect_anew(&s, "too many or too few", "a byte less");
        for (size_t i = 0; i < IQT_COUNT(flips); i++) {
            const char bit = (char)(1u << check_rand() % 8);

            s.data[flips[i].at] ^= bit;
            replace(&s, s.data, s.bytes);
            s.data[flips[i].at] ^= bit;
            expect_anew(&s, flips[i].words, "flipped");
        }
    }
    scene_close(&s);
    check_end();
}

/* Whole files whose rows would give wrong products. */
static void check_foreign(struct target *t)
{
    static const struct {
        enum iqt_packed_number number;
        const char *words;
    } others[] = { { IQT_PACKED_LAYOUT, "hash of the layout" },
                   { IQT_PACKED_SOURCE, "hash of the weights" },
                   { IQT_PACKED_TYPE, "type of the weights" },
                   { IQT_PACKED_TILES, "kind of tiles" },
                   { IQT_PACKED_COLUMNS, "number of columns" } };
    struct scene s;

    if (!check_begin("foreign.%s", t->name))
        return;
    if (scene_open(&s, t))
        for (size_t i = 0; i < IQT_COUNT(others); i++) {
            struct iqt_packed_key key = key_of(s.path);

            key.number[others[i].number]++;
            forge(s.path, &key, &s.plain);
            expect_anew(&s, others[i].words, others[i].words);
        }
    scene_close(&s);
    check_end();
}

/* Devices that pack in different ways must not take each other's files; a new layout is such a way. */
static void check_layouts(struct targets *all, const struct iqt_format *f)
{
    uint64_t layout[MAX_TARGETS] = { 0 };
    struct loaded plain[MAX_TARGETS] = { 0 };
    char path[PATH_BYTES];

    if (!check_begin("layouts.%s", f->name))
        return;
    struct problem p = problem_new(f, 32, problem_k(f, K)); /* groups of four only */

    for (size_t i = 0; i < all->count; i++) {
        keep_in(&all->at[i], kept);
        if (load(&p, &all->at[i], 0, false, &plain[i]) && find_file(path))
            layout[i] = key_of(path).number[IQT_PACKED_LAYOUT];
        scratch_remove(kept);
        for (size_t j = 0; j < i; j++) {
            const bool same = plain[i].size == plain[j].size &&
                              memcmp(plain[i].bytes, plain[j].bytes, plain[i].size) == 0;

            check_true(same == (layout[i] == layout[j]),
                       "%s packs %s %s %s, the hashes of the layouts are %#llx and %#llx",
                       all->at[i].name, f->name, same ? "as" : "unlike", all->at[j].name,
                       (unsigned long long)layout[i], (unsigned long long)layout[j]);
        }
    }
    for (size_t i = 0; i < all->count; i++)
        unload(&plain[i]);
    problem_free(&p);
    check_end();
}

/* One bit of the weights is another: a file of its own, and the old one is good for the old ones. */
static void check_weights(struct target *t)
{
    struct loaded plain;
    struct scene s;

    if (!check_begin("weights.%s", t->name))
        return;
    if (scene_open(&s, t)) {
        const size_t at = check_rand() % s.p.size;

        s.p.bytes[at] ^= 1;
        keep_in(t, "");
        if (load(&s.p, t, 0, false, &plain)) {
            check_true(memcmp(plain.bytes, s.plain.bytes, plain.size) != 0,
                       "byte %zu of the weights is not in the packed rows", at);
            keep_in(t, kept);
            expect_same(&s.p, t, 0, false, &plain, "changed weights");
            expect_note("", "changed weights");
            expect_files(2, "changed weights");
        }
        unload(&plain);
        s.p.bytes[at] ^= 1;
        expect_same(&s.p, t, 0, false, &s.plain, "the old weights");
        expect_files(2, "the old weights");
    }
    scene_close(&s);
    check_end();
}

static void check_target(struct target *t)
{
    check_formats(t);
    check_large(t);
    check_interleaved(t);
    check_damaged(t);
    check_foreign(t);
    check_weights(t);
}

static void check_all(struct targets *all)
{
    for (const struct iqt_format *f = iqt_formats; f->name; f++)
        check_layouts(all, f);
}

int main(int argc, char **argv)
{
    return packed_main(argc, argv, check_target, check_all);
}
