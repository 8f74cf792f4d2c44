/* Split sets of GGUF files: sound ones through each of their files, and every way in which
 * names and keys can disagree. */
#include "tests/check.h"
#include "tests/gguf_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[64];

static const char *path_of(const char *name)
{
    static char path[8][128];
    static unsigned next;
    char *out = path[next++ % 8];

    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

/* What one file says about itself. */
struct part {
    const char *name;
    uint64_t no, count;
    const char *tensor;
    uint64_t total; /* split.tensors.count; 0: no such key */
    bool no_keys;
};

static void write_part(const struct part *p)
{
    const struct make_tensor t = { p->tensor, 0, 1, { 3 }, 12, MAKE_AUTO };
    struct make m = { 0 };

    make_start(&m, 3, 1, p->no_keys ? 0 : p->total > 0 ? 3 : 2);
    if (!p->no_keys) {
        make_key_number(&m, "split.no", IQT_GGUF_U16, p->no);
        make_key_number(&m, "split.count", IQT_GGUF_U16, p->count);
        if (p->total > 0)
            make_key_number(&m, "split.tensors.count", IQT_GGUF_I32, p->total);
    }
    make_tensors(&m, &t, 1, 32);
    make_data(&m, 32, 12);
    m.b.data[m.data] = (char)p->no; /* data that tell the files apart */
    if (iqt_file_replace(path_of(p->name), m.b.data, m.b.bytes) != IQT_OK)
        check_fail("%s", iqt_last_error());
    make_free(&m);
}

static void refused(const char *name, enum iqt_status expected, const char *word)
{
    struct iqt_gguf *g = NULL;
    const enum iqt_status status = iqt_gguf_open(path_of(name), &g);

    check_true(status == expected && g == NULL, "%s: %s, expected %s", name,
               iqt_status_name(status), iqt_status_name(expected));
    check_true(strstr(iqt_last_error(), word) != NULL, "\"%s\" does not say \"%s\"",
               iqt_last_error(), word);
    if (status == IQT_OK)
        iqt_gguf_close(g);
}

static void clear(const struct part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        unlink(path_of(parts[i].name));
}

static const struct part good[] = {
    { "m-00001-of-00003.gguf", 0, 3, "a", 3, false },
    { "m-00002-of-00003.gguf", 1, 3, "b", 0, false },
    { "m-00003-of-00003.gguf", 2, 3, "c", 0, false },
};

static void count_defect(void *user, const struct iqt_gguf_defect *d)
{
    snprintf(user, 512, "%s|%s|%s", d->file, d->tensor, d->text);
}

static void test_sound(void)
{
    if (!check_begin("split.sound"))
        return;
    for (size_t i = 0; i < 3; i++)
        write_part(&good[i]);
    for (size_t i = 0; i < 3; i++) {
        struct iqt_gguf *g;

        if (iqt_gguf_open(path_of(good[i].name), &g) != IQT_OK) {
            check_fail("%s", iqt_last_error());
            continue;
        }
        check_true(iqt_gguf_tensor_count(g) == 3 && iqt_gguf_key_count(g) == 3,
                   "%zu tensors and %zu keys through %s", iqt_gguf_tensor_count(g),
                   iqt_gguf_key_count(g), good[i].name);
        for (uint32_t j = 0; j < 3; j++) {
            const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, j);

            check_true(t.file == j && t.name[0] == good[j].tensor[0] && t.data != NULL &&
                           *(const uint8_t *)t.data == j,
                       "tensor %u is of file %u", j, t.file);
        }
        check_true(iqt_gguf_doctor(g, NULL, NULL) == 0, "defects");
        iqt_gguf_close(g);
    }
    clear(good, 3);
    check_end();
}

static void test_missing(void)
{
    if (!check_begin("split.missing"))
        return;
    write_part(&good[0]);
    write_part(&good[2]);
    refused(good[0].name, IQT_ERR_IO, "m-00002-of-00003.gguf");
    refused(good[2].name, IQT_ERR_IO, "number 2 is missing");
    clear(good, 3);
    check_end();
}

/* Any sound set with one file replaced by a bad one, opened through its first file. */
static void test_bad_part(const char *name, size_t at, const struct part *bad,
                          const char *word)
{
    if (!check_begin("split.%s", name))
        return;
    for (size_t i = 0; i < 3; i++)
        write_part(i == at ? bad : &good[i]);
    refused(good[0].name, IQT_ERR_FORMAT, word);
    clear(good, 3);
    check_end();
}

static void test_bad_sibling(void)
{
    if (!check_begin("split.broken_sibling"))
        return;
    for (size_t i = 0; i < 3; i++)
        write_part(&good[i]);
    if (iqt_file_replace(path_of(good[1].name), "GGUF\3\0\0", 7) != IQT_OK)
        check_fail("%s", iqt_last_error());
    refused(good[2].name, IQT_ERR_FORMAT, "m-00002-of-00003.gguf: byte 4");
    clear(good, 3);
    check_end();
}

/* The name must say what the keys say. */
static void test_names(void)
{
    static const char *const bad[] = {
        "whole.gguf",
        "m-00001-of-00004.gguf",
        "m-00000-of-00003.gguf",
        "m-00004-of-00003.gguf",
        "m-0a001-of-00003.gguf",
        "x",
    };

    if (!check_begin("split.names"))
        return;
    for (size_t i = 0; i < IQT_COUNT(bad); i++) {
        const struct part p = { bad[i], 0, 3, "a", 0, false };

        write_part(&p);
        refused(bad[i], IQT_ERR_FORMAT, "does not end in -NNNNN-of-00003.gguf");
        unlink(path_of(bad[i]));
    }
    check_end();
}

/* split.count 0 or 1, and names of split files without the keys, are single files. */
static void test_single(void)
{
    static const struct part parts[] = {
        { "one.gguf", 0, 1, "a", 1, false },
        { "zero.gguf", 0, 0, "a", 0, false },
        { "m-00001-of-00003.gguf", 0, 0, "a", 0, true },
    };

    if (!check_begin("split.single"))
        return;
    for (size_t i = 0; i < IQT_COUNT(parts); i++) {
        struct iqt_gguf *g;

        write_part(&parts[i]);
        if (iqt_gguf_open(path_of(parts[i].name), &g) == IQT_OK) {
            check_true(iqt_gguf_tensor_count(g) == 1, "%s", parts[i].name);
            iqt_gguf_close(g);
        } else {
            check_fail("%s", iqt_last_error());
        }
    }
    clear(parts, IQT_COUNT(parts));
    check_end();
}

/* The doctor on a set: names twice in different files, a wrong total. */
static void test_doctor(const char *name, size_t at, const struct part *bad,
                        const char *file, const char *word)
{
    char text[512] = "";
    struct iqt_gguf *g;

    if (!check_begin("split.doctor.%s", name))
        return;
    for (size_t i = 0; i < 3; i++)
        write_part(i == at ? bad : &good[i]);
    if (iqt_gguf_open(path_of(good[0].name), &g) == IQT_OK) {
        const size_t defects = iqt_gguf_doctor(g, count_defect, text);

        check_true(defects == 1 && strstr(text, word) != NULL &&
                       strstr(text, file) != NULL,
                   "%zu defects, last: %s", defects, text);
        iqt_gguf_close(g);
    } else {
        check_fail("%s", iqt_last_error());
    }
    clear(good, 3);
    check_end();
}

int main(int argc, char **argv)
{
    const struct part swapped = { good[1].name, 2, 3, "b", 0, false };
    const struct part other_set = { good[2].name, 2, 4, "c", 0, false };
    const struct part no_keys = { good[1].name, 1, 3, "b", 0, true };
    const struct part first_swapped = { good[0].name, 1, 3, "a", 0, false };
    const struct part twice = { good[2].name, 2, 3, "a", 0, false };
    const struct part total = { good[0].name, 0, 3, "a", 7, false };

    snprintf(folder, sizeof folder, "/tmp/iqt_test_split.XXXXXX");
    check_init(argc, argv);
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    test_sound();
    test_missing();
    test_bad_part("wrong_number", 1, &swapped, "split.no is 2");
    test_bad_part("wrong_count", 2, &other_set, "split.count is 4");
    test_bad_part("no_keys", 1, &no_keys, "no usable keys");
    test_bad_part("wrong_first", 0, &first_swapped, "split.no is 1");
    test_bad_sibling();
    test_names();
    test_single();
    test_doctor("duplicate", 2, &twice, "m-00003-of-00003.gguf|a|", "duplicate name");
    test_doctor("total", 0, &total, "m-00001-of-00003.gguf||",
                "split.tensors.count is 7");
    rmdir(folder);
    return check_done();
}
