/* Uploads that keep their packed rows in a folder: what they told, what a device has, and files with other
 * rows. */
#ifndef IQT_TESTS_PACKED_CASE_H
#define IQT_TESTS_PACKED_CASE_H

#include "io/packed_file.h"
#include "tests/problem.h"
#include "tests/scratch.h"

#include <unistd.h>

enum { M = 29, K = 512, EXPERTS = 3, PATH_BYTES = 400, COLUMNS = 2 };

static char kept[80]; /* the folder of files, made by uploads */

/* What the context told during an upload. */
static char noted[1024];
static size_t notes;

static inline void on_note(void *user, const char *text)
{
    (void)user;
    notes++;
    snprintf(noted, sizeof noted, "%s", text);
}

static inline void keep_in(struct target *t, const char *path)
{
    free(t->ctx->packed_dir);
    t->ctx->packed_dir = strdup(path);
    t->ctx->note = on_note;
    if (!t->ctx->packed_dir)
        abort();
}

/* ---- Uploads ---- */

struct loaded {
    struct iqt_matrix *w;
    uint8_t *bytes; /* the device's */
    size_t size;
    float y[COLUMNS * M]; /* zeros with experts */
};

static inline struct iqt_matrix *upload(const struct problem *p, struct target *t,
                                        size_t experts)
{
    struct iqt_matrix *w = NULL;

    if (experts == 0)
        return problem_upload(p, t, IQT_LAYOUT_PACKED);
    if (iqt_experts_upload(t->dev, p->f, experts, M, p->k, p->bytes, p->size,
                           IQT_LAYOUT_PACKED, &w) != IQT_OK)
        check_fail("upload of experts: %s", iqt_last_error());
    return w;
}

/* With the folder that the context has. */
static inline bool load_bytes(const struct problem *p, struct target *t, size_t experts,
                              struct loaded *out)
{
    memset(out, 0, sizeof *out);
    out->w = upload(p, t, experts);
    if (!out->w)
        return false;
    out->size = (experts ? experts : 1) * out->w->expert_rows * out->w->row_bytes;
    out->bytes = malloc(out->size);
    if (!out->bytes)
        abort();
    if (t->dev->backend->read(t->q->stream, out->w->mem, 0, out->bytes, out->size) !=
        IQT_OK)
        check_fail("read: %s", iqt_last_error());
    return true;
}

/* products: software devices take seconds for one. */
static inline bool load(const struct problem *p, struct target *t, size_t experts,
                        bool products, struct loaded *out)
{
    struct iqt_product product = { .struct_size = sizeof product, .y = out->y };

    notes = 0;
    noted[0] = '\0';
    if (!load_bytes(p, t, experts, out))
        return false;
    product.w = out->w;
    if (products && experts == 0)
        problem_run(p, t, COLUMNS, &product, NULL);
    return true;
}

static inline void unload(struct loaded *l)
{
    iqt_matrix_destroy(l->w);
    free(l->bytes);
}

/* Loads again and compares. */
static inline void expect_same(const struct problem *p, struct target *t, size_t experts,
                               bool products, const struct loaded *want, const char *what)
{
    struct loaded got;

    if (load(p, t, experts, products, &got)) {
        check_true(got.size == want->size &&
                       memcmp(got.bytes, want->bytes, want->size) == 0,
                   "%s: other packed rows than without a folder", what);
        check_true(memcmp(got.y, want->y, sizeof got.y) == 0,
                   "%s: another product than without a folder", what);
    }
    unload(&got);
}

static inline void expect_note(const char *words, const char *what)
{
    if (!words[0])
        check_true(notes == 0, "%s: expected no note, got '%s'", what, noted);
    else
        check_true(notes == 1 && strstr(noted, words) != NULL,
                   "%s: %zu notes, the last is '%s', expected one with '%s'", what, notes,
                   noted, words);
}

static inline void expect_files(uint32_t count, const char *what)
{
    const uint32_t got = access(kept, F_OK) == 0 ? scratch_entries(kept) : 0;

    check_true(got == count, "%s: %u files are kept, expected %u", what, got, count);
}

/* The one file in the folder. */
static inline bool find_file(char path[PATH_BYTES])
{
    DIR *dir = opendir(kept);

    path[0] = '\0';
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.')
            snprintf(path, PATH_BYTES, "%s/%s", kept, e->d_name);
    if (dir)
        closedir(dir);
    check_true(path[0] != '\0', "no file is kept in %s", kept);
    return path[0] != '\0';
}

/* A whole file with this key, whose rows are the other way round: who gets them has read the file. */
static inline void forge(const char *path, const struct iqt_packed_key *key,
                         const struct loaded *plain)
{
    uint8_t *rows = malloc(plain->size);
    struct iqt_packed_writer w;

    if (!rows)
        abort();
    for (size_t i = 0; i < plain->size; i++)
        rows[i] = (plain->bytes[i] ^ 0xff);
    if (iqt_packed_begin(path, key, &w) != IQT_OK ||
        iqt_packed_add(&w, rows, plain->size) != IQT_OK ||
        iqt_packed_commit(&w) != IQT_OK)
        check_fail("%s", iqt_last_error());
    free(rows);
}

static inline struct iqt_packed_key key_of(const char *path)
{
    struct iqt_packed_key key = { { 0 } };
    struct iqt_map map;

    if (iqt_map_open(path, &map) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        return key;
    }
    for (int i = 0; i < IQT_PACKED_NUMBERS; i++)
        key.number[i] = iqt_read_u64(map.data + 16 + 8 * i);
    iqt_map_close(&map);
    return key;
}

/* ---- Weights ---- */

/* Another one with every seed. */
static inline const struct iqt_format *draw_format(void)
{
    size_t count = 0;

    while (iqt_format_at(count) != NULL)
        count++;
    return iqt_format_at(check_rand() % count);
}

/* Any bytes are weights to a packer. */
static inline struct problem random_problem(const struct iqt_format *f, size_t m,
                                            size_t k)
{
    struct problem p = { .f = f, .m = m, .k = k };
    size_t row = 0;

    if (iqt_format_row_bytes(f, k, &row) != IQT_OK)
        abort();
    p.size = m * row;
    p.bytes = malloc(p.size);
    if (!p.bytes)
        abort();
    check_rand_bytes(p.bytes, p.size);
    return p;
}

/* ---- A file that is kept ---- */

struct scene {
    struct target *t;
    struct problem p;
    struct loaded plain;
    char path[PATH_BYTES]; /* of the kept file */
    char *data;            /* what it holds */
    size_t bytes;
};

static inline bool scene_open(struct scene *s, struct target *t)
{
    const struct iqt_format *f = draw_format();

    *s = (struct scene){ .t = t, .p = problem_new(f, M, problem_k(f, K)) };
    keep_in(t, "");
    if (!load(&s->p, t, 0, false, &s->plain))
        return false;
    keep_in(t, kept);
    expect_same(&s->p, t, 0, false, &s->plain, "made");
    return find_file(s->path) && iqt_file_read(s->path, &s->data, &s->bytes) == IQT_OK;
}

static inline void scene_close(struct scene *s)
{
    unload(&s->plain);
    free(s->data);
    problem_free(&s->p);
    scratch_remove(kept);
}

/* ---- Every device ---- */

/* together: may be NULL. */
static inline int packed_main(int argc, char **argv, void (*each)(struct target *t),
                              void (*together)(struct targets *all))
{
    char folder[] = "/tmp/iqt_packed.XXXXXX";
    struct targets all;

    check_init(argc, argv);
    scratch_make(folder);
    snprintf(kept, sizeof kept, "%s/a/kept", folder);
    targets_open(&all);
    for (size_t i = 0; i < all.count; i++)
        each(&all.at[i]);
    if (together)
        together(&all);
    targets_close(&all);
    scratch_remove(folder);
    return check_done();
}

#endif
