/* Importance matrices: both kinds read, written and summed, what tensors use, coverage, and hostile files. */
#include "io/imatrix.h"
#include "tests/check.h"
#include "tests/imatrix_make.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const float sums[] = { 2, 4, 6, 8, 10, 12 };

static void make_legacy(struct make *m)
{
    make_field(m, 3, 4);
    put_legacy_entry(m, "blk.0.attn_q.weight", 2, sums, 4);
    put_legacy_entry(m, "blk.0.ffn_up.weight", 4, sums + 2, 4);
    put_legacy_entry(m, "a", 0, sums, 1);
    put_legacy_trailer(m, 2, "text.txt");
}

static const struct make_tensor tensors[] = {
    { "blk.0.ffn_up_exps.weight.in_sum2", 0, 2, { 2, 3 }, 24, MAKE_AUTO },
    { "blk.0.ffn_up_exps.weight.counts", 0, 2, { 1, 3 }, 12, MAKE_AUTO },
    { "b.weight.in_sum2", 0, 1, { 2 }, 8, MAKE_AUTO },
    { "b.weight.counts", 0, 1, { 1 }, 4, MAKE_AUTO },
    { "b.weight.in_sum", 0, 1, { 2 }, 8, MAKE_AUTO },
    { "ignored", 0, 1, { 2 }, 8, MAKE_AUTO },
};

static void make_gguf(struct make *m)
{
    static const float experts[] = { 2, 4, 0, 0, 30, 60 }, counts[] = { 2, 0, 10 };
    static const float signed_sums[] = { -1, 5 };

    make_start(m, 3, IQT_COUNT(tensors), 4);
    make_key_text(m, "general.type", "imatrix");
    make_key(m, "imatrix.datasets", IQT_GGUF_ARRAY);
    make_array(m, IQT_GGUF_STRING, 2);
    make_text(m, "one");
    make_text(m, "two");
    make_key_number(m, "imatrix.chunk_count", IQT_GGUF_U32, 7);
    make_key_number(m, "imatrix.chunk_size", IQT_GGUF_U32, 5);
    make_tensors(m, tensors, IQT_COUNT(tensors), 32);
    make_data(m, 32, 0);
    put_floats(m, experts, 6);
    put_floats(m, counts, 3);
    put_floats(m, sums, 2);
    put_floats(m, sums + 3, 1);
    put_floats(m, signed_sums, 2);
    put_floats(m, sums, 2);
}

/* A copy that has not one byte more, so that sanitizers see reads past it. */
static enum iqt_status parse(const char *data, size_t bytes, char **copy,
                             struct iqt_imatrix **out)
{
    *copy = malloc(bytes > 0 ? bytes : 1);
    *out = NULL;
    if (*copy == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the test");
    memcpy(*copy, data, bytes);
    return iqt_imatrix_parse(*copy, bytes, out);
}

static bool has_means(const struct iqt_imatrix *m, const char *name, size_t columns,
                      size_t matrices, const float *expected)
{
    const struct iqt_imatrix_entry *e = iqt_imatrix_find(m, name);
    float means[16];

    if (e == NULL || columns * matrices > IQT_COUNT(means) ||
        e->columns * e->matrices != columns * matrices)
        return false;
    iqt_imatrix_means(e, columns, matrices, means);
    return memcmp(means, expected, columns * matrices * sizeof *means) == 0;
}

static void test_legacy(void)
{
    static const float q[] = { 1, 2, 3, 4 }, up[] = { 1.5f, 2, 2.5f, 3 }, a[] = { 2 };
    struct make m = { 0 };
    struct iqt_imatrix *im;
    char *copy;

    if (!check_begin("imatrix.legacy"))
        return;
    make_legacy(&m);
    if (parse(m.b.data, m.b.bytes, &copy, &im) == IQT_OK) {
        check_true(im->entries == 3 && im->chunks == 2 && im->in_calls, "%zu entries",
                   im->entries);
        check_true(strcmp(iqt_buf_text(&im->datasets), "text.txt\n") == 0,
                   "another text");
        check_true(has_means(im, "blk.0.attn_q.weight", 4, 1, q) &&
                       has_means(im, "blk.0.ffn_up.weight", 4, 1, up) &&
                       has_means(im, "a", 1, 1, a),
                   "other means");
        check_true(iqt_imatrix_find(im, "b") == NULL, "an entry that is not there");
    } else {
        check_fail("%s", iqt_last_error());
    }
    iqt_imatrix_destroy(im);
    free(copy);
    make_free(&m);
    check_end();
}

static void test_gguf(void)
{
    static const float experts[] = { 1, 2, 1, 1, 3, 6 }, b[] = { 0.25f, 0.5f };
    struct make m = { 0 };
    struct iqt_imatrix *im;
    char *copy;

    if (!check_begin("imatrix.gguf"))
        return;
    make_gguf(&m);
    if (parse(m.b.data, m.b.bytes, &copy, &im) == IQT_OK) {
        const struct iqt_imatrix_entry *e =
            iqt_imatrix_find(im, "blk.0.ffn_up_exps.weight");
        const struct iqt_imatrix_seen seen = iqt_imatrix_seen(e, 3);

        check_true(im->entries == 2 && im->chunks == 7 && im->chunk_size == 5,
                   "%zu entries", im->entries);
        check_true(strcmp(iqt_buf_text(&im->datasets), "one\ntwo\n") == 0, "other texts");
        check_true(seen.matrices == 3 && seen.never == 1 && seen.zeros == 0,
                   "seen %zu, %zu", seen.never, seen.zeros);
        check_true(has_means(im, "blk.0.ffn_up_exps.weight", 2, 3, experts) &&
                       has_means(im, "b.weight", 2, 1, b),
                   "other means");
    } else {
        check_fail("%s", iqt_last_error());
    }
    iqt_imatrix_destroy(im);
    free(copy);
    make_free(&m);
    check_end();
}

/* ---- What a tensor uses ---- */

static void test_match(void)
{
    static const struct {
        const char *name;
        uint64_t columns, matrices;
        const char *entry, *error; /* both NULL: none, and that is right */
    } cases[] = {
        { "blk.0.attn_q.weight", 4, 1, "blk.0.attn_q.weight", NULL },
        { "blk.0.attn_q.weight", 2, 2, "blk.0.attn_q.weight", NULL },
        { "blk.0.ffn_gate.weight", 4, 1, "blk.0.ffn_up.weight", NULL },
        { "blk.0.attn_v.weight", 4, 1, NULL, NULL },
        { "blk.0.attn_q.weight", 5, 1, NULL, "4 columns" },
        { "blk.0.attn_q.weight", 4, 2, NULL, "of 2 matrices" },
        { "blk.0.attn_q.weight", UINT64_MAX, 2, NULL, "blk.0.attn_q.weight" },
        { "blk.1.ffn_up_exps.weight", 2, 1, "blk.1.ffn_gate_up_exps.weight", NULL },
        { "blk.1.attn_v_b.weight", 2, 1, "blk.1.attn_kv_b.weight", NULL },
        { "zero.weight", 2, 1, NULL, "all zero" },
        { "token_embd.weight", 7, 1, NULL, NULL },
    };
    static const float zeros[2];
    struct make m = { 0 };
    struct iqt_imatrix *im;
    char *copy;

    if (!check_begin("imatrix.match"))
        return;
    make_field(&m, 6, 4);
    put_legacy_entry(&m, "blk.0.ffn_up.weight", 4, sums + 2, 4);
    put_legacy_entry(&m, "blk.0.attn_q.weight", 2, sums, 4);
    put_legacy_entry(&m, "token_embd.weight", 2, sums, 4);
    put_legacy_entry(&m, "zero.weight", 2, zeros, 2);
    put_legacy_entry(&m, "blk.1.ffn_gate_up_exps.weight", 2, sums, 2);
    put_legacy_entry(&m, "blk.1.attn_kv_b.weight", 2, sums, 2);
    check_true(parse(m.b.data, m.b.bytes, &copy, &im) == IQT_OK, "%s", iqt_last_error());
    for (size_t i = 0; i < IQT_COUNT(cases) && im != NULL; i++) {
        const uint64_t ne[4] = { cases[i].columns, 8, cases[i].matrices, 1 };
        const struct iqt_imatrix_entry *e = NULL;
        const enum iqt_status status = iqt_imatrix_match(im, cases[i].name, ne, &e);

        check_true((status == IQT_OK) == (cases[i].error == NULL), "case %zu: %s", i,
                   iqt_last_error());
        check_true(status == IQT_OK ||
                       (strstr(iqt_last_error(), cases[i].error) != NULL &&
                        strstr(iqt_last_error(), "(memory)") != NULL),
                   "case %zu: %s", i, iqt_last_error());
        check_true((e == NULL) == (cases[i].entry == NULL) &&
                       (e == NULL || strcmp(e->name, cases[i].entry) == 0),
                   "case %zu uses %s", i, e != NULL ? e->name : "none");
    }
    iqt_imatrix_destroy(im);
    free(copy);
    make_free(&m);
    check_end();
}

/* ---- Writing ---- */

struct files {
    char path[3][64];
};

static void name_files(struct files *f)
{
    for (size_t i = 0; i < IQT_COUNT(f->path); i++)
        snprintf(f->path[i], sizeof f->path[i], "/tmp/test-imatrix-%ld-%zu",
                 (long)getpid(), i);
}

static void remove_files(const struct files *f)
{
    for (size_t i = 0; i < IQT_COUNT(f->path); i++)
        unlink(f->path[i]);
}

/* Legacy to legacy, and through GGUF and back, are the same bytes. */
static void test_forms(void)
{
    struct make m = { 0 };
    struct iqt_imatrix *im = NULL, *other = NULL;
    struct files f;
    char *copy, *back = NULL;
    size_t dropped, bytes = 0;

    if (!check_begin("imatrix.forms"))
        return;
    name_files(&f);
    make_field(&m, 2, 4);
    put_legacy_entry(&m, "blk.0.ffn_up.weight", 4, sums + 2, 4);
    put_legacy_entry(&m, "blk.0.attn_q.weight", 3, sums, 3);
    put_legacy_trailer(&m, 9, "text.txt");
    check_true(parse(m.b.data, m.b.bytes, &copy, &im) == IQT_OK &&
                   iqt_imatrix_write(im, f.path[0], IQT_IMATRIX_LEGACY, 512, &dropped) ==
                       IQT_OK &&
                   iqt_imatrix_to_inputs(im, 512) == IQT_OK &&
                   iqt_imatrix_write(im, f.path[1], IQT_IMATRIX_GGUF, 512, &dropped) ==
                       IQT_OK &&
                   iqt_imatrix_read(f.path[1], &other) == IQT_OK &&
                   iqt_imatrix_write(other, f.path[2], IQT_IMATRIX_LEGACY, 1, &dropped) ==
                       IQT_OK,
               "%s", iqt_last_error());
    for (size_t i = 0; i < 3; i += 2) {
        check_true(iqt_file_read(f.path[i], &back, &bytes) == IQT_OK &&
                       bytes == m.b.bytes && memcmp(back, m.b.data, bytes) == 0,
                   "file %zu: %zu bytes differ from %zu", i, bytes, m.b.bytes);
        free(back);
        back = NULL;
    }
    iqt_imatrix_destroy(other);
    iqt_imatrix_destroy(im);
    free(copy);
    make_free(&m);
    remove_files(&f);
    check_end();
}

/* An expert that was never seen: its entry has no place in the legacy form, unless they are very few. */
static void test_unseen(void)
{
    enum { EXPERTS = 40 };
    struct iqt_imatrix *im = NULL, *back = NULL;
    struct iqt_imatrix_entry *e = NULL;
    float own[2 * EXPERTS], means[EXPERTS];
    struct files f;
    size_t dropped = 0;
    char *name;

    if (!check_begin("imatrix.unseen"))
        return;
    name_files(&f);
    for (size_t i = 0; i < EXPERTS; i++) {
        own[i] = i == 5 ? 0 : 512 * (float)(i + 1);
        own[EXPERTS + i] = i == 5 ? 0 : 512;
    }
    check_true(iqt_imatrix_create("made", &im) == IQT_OK &&
                   iqt_imatrix_append(im, strdup("few"), &e) == IQT_OK,
               "%s", iqt_last_error());
    *e = (struct iqt_imatrix_entry){ .name = e->name,
                                     .columns = 1,
                                     .matrices = EXPERTS,
                                     .sum2 = (uint8_t *)own,
                                     .count = (uint8_t *)(own + EXPERTS) };
    check_true(iqt_imatrix_append(im, strdup("many"), &e) == IQT_OK, "%s",
               iqt_last_error());
    name = e->name;
    *e = im->entry[0];
    e->name = name;
    e->matrices = 10;
    check_true(iqt_imatrix_sort(im) == IQT_OK &&
                   iqt_imatrix_write(im, f.path[0], IQT_IMATRIX_LEGACY, 512, &dropped) ==
                       IQT_OK &&
                   iqt_imatrix_read(f.path[0], &back) == IQT_OK,
               "%s", iqt_last_error());
    check_true(dropped == 1 && back != NULL && back->entries == 1, "%zu are dropped",
               dropped);
    if (back != NULL) {
        iqt_imatrix_means(&back->entry[0], 1, EXPERTS, means);
        for (size_t i = 0; i < EXPERTS; i++)
            check_true(means[i] == (i == 5 ? 1 : (float)(i + 1)), "mean %zu is %g", i,
                       (double)means[i]);
    }
    iqt_imatrix_destroy(back);
    iqt_imatrix_destroy(im);
    remove_files(&f);
    check_end();
}

static void test_merge(void)
{
    static const float q[] = { 1, 2, 3, 4 }, experts[] = { 1, 2, 1, 1, 3, 6 };
    struct make legacy = { 0 }, gguf = { 0 };
    struct iqt_imatrix *sum = NULL, *a = NULL, *b = NULL;
    char *copy_a, *copy_b;

    if (!check_begin("imatrix.merge"))
        return;
    make_legacy(&legacy);
    make_gguf(&gguf);
    check_true(parse(legacy.b.data, legacy.b.bytes, &copy_a, &a) == IQT_OK &&
                   parse(gguf.b.data, gguf.b.bytes, &copy_b, &b) == IQT_OK &&
                   iqt_imatrix_create("sum", &sum) == IQT_OK &&
                   iqt_imatrix_sort(sum) == IQT_OK &&
                   iqt_imatrix_to_inputs(a, 64) == IQT_OK,
               "%s", iqt_last_error());
    for (int i = 0; i < 2 && sum != NULL; i++)
        check_true(iqt_imatrix_merge(sum, a) == IQT_OK &&
                       iqt_imatrix_merge(sum, b) == IQT_OK,
                   "%s", iqt_last_error());
    /* What was summed outlives what it came from, and twice the same has the same means. */
    iqt_imatrix_destroy(a);
    iqt_imatrix_destroy(b);
    free(copy_a);
    free(copy_b);
    check_true(sum->entries == 5 && sum->chunks == 18, "%zu entries, %u chunks",
               sum->entries, sum->chunks);
    check_true(has_means(sum, "blk.0.attn_q.weight", 4, 1, q) &&
                   has_means(sum, "blk.0.ffn_up_exps.weight", 2, 3, experts),
               "other means");
    check_true(iqt_imatrix_count(iqt_imatrix_find(sum, "blk.0.attn_q.weight"), 0) == 256,
               "another count");
    check_true(iqt_imatrix_find(sum, "b.weight")->sum != NULL,
               "the sums of inputs are lost");
    iqt_imatrix_destroy(sum);
    make_free(&legacy);
    make_free(&gguf);
    check_end();
}

/* ---- Hostile files ---- */

static void test_refused(void)
{
    const float bad[] = { 1, NAN }, negative[] = { 1, -1 };
    static const struct make_tensor alone[] = {
        { "a.in_sum2", 0, 1, { 2 }, 8, MAKE_AUTO },
        { "b.counts", 0, 1, { 1 }, 4, MAKE_AUTO },
    };
    static const char *const words[] = { "w: the sum of column 1 of 2 is nan",
                                         "is -1",
                                         "twice",
                                         "too many",
                                         "b.counts",
                                         "a.in_sum2 without" };
    struct make m[IQT_COUNT(words)] = { { .fields = 0 } };
    struct iqt_imatrix *im;
    char *copy;

    if (!check_begin("imatrix.refused"))
        return;
    for (size_t i = 0; i < 4; i++)
        make_field(&m[i], i == 2 ? 2 : 1, 4);
    put_legacy_entry(&m[0], "w", 1, bad, 2);
    put_legacy_entry(&m[1], "w", 1, negative, 2);
    put_legacy_entry(&m[2], "w", 1, sums, 2);
    put_legacy_entry(&m[2], "w", 1, sums, 2);
    put_legacy_entry(&m[3], "w", 1, sums, 2);
    put_legacy_trailer(&m[3], 1, "x");
    make_bytes(&m[3], "y", 1);
    for (size_t i = 4; i < 6; i++) {
        make_start(&m[i], 3, 6 - i, 0);
        make_tensors(&m[i], alone, 6 - i, 32);
        make_data(&m[i], 32, 0);
        put_floats(&m[i], sums, 2);
        put_floats(&m[i], sums, 1);
    }
    for (size_t i = 0; i < IQT_COUNT(words); i++) {
        check_true(parse(m[i].b.data, m[i].b.bytes, &copy, &im) == IQT_ERR_FORMAT &&
                       strstr(iqt_last_error(), words[i]) != NULL,
                   "case %zu: %s", i, iqt_last_error());
        iqt_imatrix_destroy(im);
        free(copy);
        make_free(&m[i]);
    }
    check_end();
}

/* Opens, or is refused because of the file; then everything is touched. */
static void try_bytes(const char *data, size_t bytes, const char *what, size_t at)
{
    struct iqt_imatrix *im;
    char *copy;
    const enum iqt_status status = parse(data, bytes, &copy, &im);

    check_true(status == IQT_OK || status == IQT_ERR_FORMAT ||
                   status == IQT_ERR_UNSUPPORTED,
               "%s %zu: %s", what, at, iqt_last_error());
    for (size_t i = 0; im != NULL && i < im->entries; i++) {
        const struct iqt_imatrix_entry *e = &im->entry[i];
        float *means = malloc((e->columns * e->matrices + 1) * sizeof *means);

        if (means != NULL)
            iqt_imatrix_means(e, e->columns, e->matrices, means);
        check_true(iqt_imatrix_find(im, e->name) == e, "%s %zu: an entry is lost", what,
                   at);
        free(means);
    }
    iqt_imatrix_destroy(im);
    free(copy);
}

static void try_all(struct make *m)
{
    static const uint64_t extremes[] = { 0,          1,          0x7fffffff,
                                         0x80000000, UINT64_MAX, UINT64_MAX / 4,
                                         1u << 20 };

    for (size_t bytes = 0; bytes < m->b.bytes; bytes++)
        try_bytes(m->b.data, bytes, "cut after", bytes);
    for (size_t i = 0; i < m->fields; i++)
        for (size_t x = 0; x < IQT_COUNT(extremes); x++) {
            char *at = m->b.data + m->field[i].at, old[8];

            memcpy(old, at, m->field[i].bytes);
            memcpy(at, &extremes[x], m->field[i].bytes);
            try_bytes(m->b.data, m->b.bytes, "field", i);
            memcpy(at, old, m->field[i].bytes);
        }
    for (size_t i = 0; i < 2000; i++) {
        char *at = m->b.data + check_rand() % m->b.bytes, old = *at;

        *at = (char)check_rand();
        try_bytes(m->b.data, m->b.bytes, "random", i);
        *at = old;
    }
}

static void test_hostile(void)
{
    struct make legacy = { 0 }, gguf = { 0 };

    if (!check_begin("imatrix.hostile"))
        return;
    make_legacy(&legacy);
    make_gguf(&gguf);
    try_all(&legacy);
    try_all(&gguf);
    make_free(&legacy);
    make_free(&gguf);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    test_legacy();
    test_gguf();
    test_match();
    test_forms();
    test_unseen();
    test_merge();
    test_refused();
    test_hostile();
    return check_done();
}
