/* The GGUF reader on sound files, on files that it must refuse, and on split sets. */
#include "io/gguf_file.h"
#include "kernels/format.h"
#include "tests/check.h"
#include "tests/gguf_make.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct make_tensor two[] = {
    { "a.weight", 144, 2, { 512, 3 }, 3 * (4 + 272), MAKE_AUTO },
    { "b.norm", 0, 1, { 5 }, 20, MAKE_AUTO },
};

static const struct iqt_gguf *opened(const struct make *m, struct iqt_gguf **g)
{
    const enum iqt_status status = iqt_gguf_open_memory(m->b.data, m->b.bytes, g);

    if (status == IQT_OK)
        return *g;
    check_fail("cannot open: %s", iqt_last_error());
    return NULL;
}

/* The file is refused with this status and a text that has word. Frees m. */
static void refused(struct make *m, enum iqt_status expected, const char *word)
{
    struct iqt_gguf *g = NULL;
    const enum iqt_status status = iqt_gguf_open_memory(m->b.data, m->b.bytes, &g);

    check_true(status == expected && g == NULL, "%s, expected %s",
               iqt_status_name(status), iqt_status_name(expected));
    check_true(status == IQT_OK || strstr(iqt_last_error(), word) != NULL,
               "\"%s\" does not say \"%s\"", iqt_last_error(), word);
    if (status == IQT_OK)
        iqt_gguf_close(g);
    make_free(m);
}

/* ---- Sound files ---- */

static void make_keys(struct make *m)
{
    make_key_text(m, "general.architecture", "llama");
    make_key_number(m, "k.u8", IQT_GGUF_U8, 200);
    make_key_number(m, "k.i8", IQT_GGUF_I8, 0xff);
    make_key_number(m, "k.u16", IQT_GGUF_U16, 60000);
    make_key_number(m, "k.i16", IQT_GGUF_I16, 77);
    make_key_number(m, "k.u32", IQT_GGUF_U32, 4000000000u);
    make_key_number(m, "k.i32", IQT_GGUF_I32, 0x80000000u);
    make_key_number(m, "k.f32", IQT_GGUF_F32, 0x3f800000);
    make_key_number(m, "k.bool", IQT_GGUF_BOOL, 1);
    make_key_number(m, "k.u64", IQT_GGUF_U64, UINT64_MAX);
    make_key_number(m, "k.i64", IQT_GGUF_I64, 9);
    make_key_number(m, "k.f64", IQT_GGUF_F64, 0x3ff0000000000000u);
    make_key(m, "k.words", IQT_GGUF_ARRAY);
    make_array(m, IQT_GGUF_STRING, 2);
    make_text(m, "one");
    make_text(m, "");
    make_key(m, "k.nested", IQT_GGUF_ARRAY);
    make_array(m, IQT_GGUF_ARRAY, 2);
    make_array(m, IQT_GGUF_U16, 1);
    make_number(m, 5, 2);
    make_array(m, IQT_GGUF_STRING, 0);
}
enum { KEYS = 14 };

static void check_keys(const struct iqt_gguf *g)
{
    struct iqt_gguf_key key;
    uint64_t value = 0;

    check_true(iqt_gguf_key_count(g) == KEYS, "%zu keys", iqt_gguf_key_count(g));
    check_true(iqt_gguf_key_find(g, "general.architecture", &key) &&
                   key.type == IQT_GGUF_STRING && key.count == 5 &&
                   memcmp(key.data, "llama", 5) == 0,
               "string");
    check_true(iqt_gguf_key_find(g, "k.u8", &key) &&
                   iqt_gguf_key_unsigned(&key, &value) && value == 200 && key.count == 1,
               "u8 is %llu", (unsigned long long)value);
    check_true(iqt_gguf_key_find(g, "k.i8", &key) && !iqt_gguf_key_unsigned(&key, &value),
               "i8 -1 is no unsigned number");
    check_true(iqt_gguf_key_find(g, "k.i16", &key) &&
                   iqt_gguf_key_unsigned(&key, &value) && value == 77,
               "i16 is %llu", (unsigned long long)value);
    check_true(iqt_gguf_key_find(g, "k.u64", &key) &&
                   iqt_gguf_key_unsigned(&key, &value) && value == UINT64_MAX,
               "u64 is %llu", (unsigned long long)value);
    check_true(iqt_gguf_key_find(g, "k.f32", &key) && iqt_read_f32(key.data) == 1.0f &&
                   !iqt_gguf_key_unsigned(&key, &value),
               "f32");
    check_true(iqt_gguf_key_find(g, "k.words", &key) && key.type == IQT_GGUF_ARRAY &&
                   key.item == IQT_GGUF_STRING && key.count == 2 &&
                   iqt_read_u64(key.data) == 3 &&
                   memcmp((const char *)key.data + 8, "one", 3) == 0,
               "array of strings");
    check_true(iqt_gguf_key_find(g, "k.nested", &key) && key.item == IQT_GGUF_ARRAY &&
                   key.count == 2,
               "array of arrays");
    key = iqt_gguf_key_at(g, KEYS - 1);
    check_true(key.name_bytes == 8 && memcmp(key.name, "k.nested", 8) == 0,
               "the last key");
    check_true(!iqt_gguf_key_find(g, "k.", &key) && !iqt_gguf_key_find(g, "", &key),
               "a part of a name is found");
}

static void check_two(const struct iqt_gguf *g, const struct make *m)
{
    struct iqt_gguf_tensor t;

    check_true(iqt_gguf_tensor_count(g) == 2, "%zu tensors", iqt_gguf_tensor_count(g));
    t = iqt_gguf_tensor_at(g, 0);
    check_true(t.name_bytes == 8 && memcmp(t.name, "a.weight", 8) == 0 && t.dims == 2 &&
                   t.ne[0] == 512 && t.ne[1] == 3 && t.ne[2] == 1 && t.ne[3] == 1,
               "name or shape of a.weight");
    check_true(t.type == 144 && t.format == iqt_format_find("iq4_ks") &&
                   strcmp(t.type_name, "iq4_ks") == 0,
               "type of a.weight");
    check_true(t.bytes == 828 && t.offset == 0 && t.data == m->b.data + m->data,
               "a.weight: %llu bytes, row headers count", (unsigned long long)t.bytes);
    check_true(iqt_gguf_tensor_find(g, "b.norm", &t) == IQT_OK && t.offset == 832 &&
                   t.bytes == 20 && t.data == m->b.data + m->data + 832 &&
                   iqt_gguf_rows(&t) == 1,
               "b.norm");
}

static void test_sound(uint32_t version)
{
    struct make m = { 0 };
    struct iqt_gguf *g;

    if (!check_begin("gguf.sound.v%u", version))
        return;
    make_start(&m, version, 2, KEYS);
    make_keys(&m);
    make_tensors(&m, two, 2, 32);
    make_data(&m, 32, 852);
    if (opened(&m, &g) != NULL) {
        check_keys(g);
        check_two(g, &m);
        iqt_gguf_close(g);
    }
    make_free(&m);
    check_end();
}

static void test_empty(void)
{
    struct make m = { 0 };
    struct iqt_gguf *g;

    if (!check_begin("gguf.empty"))
        return;
    make_start(&m, 3, 0, 0);
    if (opened(&m, &g) != NULL) {
        struct iqt_gguf_tensor t;

        check_true(iqt_gguf_key_count(g) == 0 && iqt_gguf_tensor_count(g) == 0,
                   "not empty");
        check_true(iqt_gguf_tensor_find(g, "x", &t) == IQT_ERR_UNKNOWN,
                   "found in nothing");
        check_true(iqt_gguf_doctor(g, NULL, NULL) == 0, "an empty file has defects");
        iqt_gguf_close(g);
    }
    make_free(&m);
    check_end();
}

/* Row sizes of every format of the table, against the public call. */
static void test_sizes(void)
{
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        const struct iqt_gguf_tensor t = { .dims = 3,
                                           .ne = { f->superblock * 3, 5, 2, 1 },
                                           .type = f->gguf_type,
                                           .format = f };
        struct iqt_gguf_size size;
        size_t row = 0;

        if (!check_begin("gguf.size.%s", f->name))
            continue;
        size = iqt_gguf_size_of(&t);
        check_true(iqt_format_row_bytes(f, t.ne[0], &row) == IQT_OK &&
                       size.row_bytes == row && size.rows == 10 &&
                       size.bytes == 10 * row && size.flaw == IQT_GGUF_SOUND,
                   "%llu bytes of %zu a row", (unsigned long long)size.bytes, row);
        check_end();
    }
}

static void test_foreign(void)
{
    const struct make_tensor t = { "y", 28, 1, { 7 }, 56, MAKE_AUTO }; /* f64 */
    struct make m = { 0 };
    struct iqt_gguf *g;

    if (!check_begin("gguf.foreign_type"))
        return;
    make_start(&m, 3, 1, 0);
    make_tensors(&m, &t, 1, 32);
    make_data(&m, 32, 56);
    if (opened(&m, &g) != NULL) {
        const struct iqt_gguf_tensor found = iqt_gguf_tensor_at(g, 0);

        check_true(found.format == NULL && strcmp(found.type_name, "f64") == 0 &&
                       found.bytes == 56 && found.data != NULL,
                   "f64: %llu bytes", (unsigned long long)found.bytes);
        iqt_gguf_close(g);
    }
    make_free(&m);
    check_end();
}

static void test_find(void)
{
    static const struct make_tensor list[] = {
        { "blk.0.attn_q.weight", 0, 1, { 1 }, 4, MAKE_AUTO },
        { "blk.0.attn_\x1b.weight", 0, 1, { 1 }, 4, MAKE_AUTO },
        { "output.weight", 0, 1, { 1 }, 4, MAKE_AUTO },
        { "token_embd.weight", 0, 1, { 1 }, 4, MAKE_AUTO },
        { "zzzzzzzzzzzzzzzzzzzzzzzzzz", 0, 1, { 1 }, 4, MAKE_AUTO },
    };
    struct make m = { 0 };
    struct iqt_gguf_tensor t;
    struct iqt_gguf *g;

    if (!check_begin("gguf.find"))
        return;
    make_start(&m, 3, 5, 0);
    make_tensors(&m, list, 5, 32);
    make_data(&m, 32, 160);
    if (opened(&m, &g) != NULL) {
        check_true(iqt_gguf_tensor_find(g, "output.weight", &t) == IQT_OK &&
                       t.offset == 64,
                   "output.weight");
        check_true(iqt_gguf_tensor_find(g, "blk.0.atn_q.weight", &t) == IQT_ERR_UNKNOWN,
                   "a wrong name is found");
        check_true(strstr(iqt_last_error(), "nearest: blk.0.attn_q.weight, ") != NULL &&
                       strstr(iqt_last_error(), "zzz") == NULL &&
                       strstr(iqt_last_error(), "(memory)") != NULL,
                   "%s", iqt_last_error());
        check_true(strstr(iqt_last_error(), "attn_\\x1b.weight") != NULL, "raw name: %s",
                   iqt_last_error());
        iqt_gguf_close(g);
    }
    make_free(&m);
    check_end();
}

static void test_golden(void)
{
    char folder[512], path[1024];
    unsigned files = 0;

    if (!check_begin("gguf.golden"))
        return;
    snprintf(folder, sizeof folder, "%s/golden", check_data());
    DIR *dir = opendir(folder);

    for (struct dirent *e = dir != NULL ? readdir(dir) : NULL; e != NULL;
         e = readdir(dir)) {
        struct iqt_gguf *g;

        if (strstr(e->d_name, ".gguf") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        files++;
        if (iqt_gguf_open(path, &g) != IQT_OK) {
            check_fail("%s", iqt_last_error());
            continue;
        }
        check_true(iqt_gguf_tensor_count(g) == 34, "%s: %zu tensors", path,
                   iqt_gguf_tensor_count(g));
        check_true(iqt_gguf_doctor(g, NULL, NULL) == 0, "%s has defects", path);
        iqt_gguf_close(g);
    }
    if (dir != NULL)
        closedir(dir);
    check_true(files == 21, "%u golden files in %s, expected 21", files, folder);
    check_end();
}

/* ---- Files to refuse ---- */

static void test_header(void)
{
    struct make m = { 0 };

    if (!check_begin("gguf.header"))
        return;
    make_bytes(&m, "", 0);
    refused(&m, IQT_ERR_FORMAT, "magic");
    make_bytes(&m, "GGML....................", 24);
    refused(&m, IQT_ERR_FORMAT, "not a GGUF file");
    make_start(&m, 1, 0, 0);
    refused(&m, IQT_ERR_UNSUPPORTED, "version is 1");
    make_start(&m, 4, 0, 0);
    refused(&m, IQT_ERR_UNSUPPORTED, "version is 4");
    make_start(&m, 0, 0, 0);
    refused(&m, IQT_ERR_UNSUPPORTED, "version is 0");
    make_start(&m, 0x03000000, 0, 0);
    refused(&m, IQT_ERR_UNSUPPORTED, "big-endian");
    check_end();
}

static void test_counts(void)
{
    struct make m = { 0 };

    if (!check_begin("gguf.counts"))
        return;
    make_start(&m, 3, UINT64_MAX, 0);
    refused(&m, IQT_ERR_FORMAT, "tensors");
    make_start(&m, 3, 0, 1ull << 61); /* times 8 is 0 in 64 bits */
    refused(&m, IQT_ERR_FORMAT, "keys");
    make_start(&m, 3, 0, 1);
    make_key(&m, "k", IQT_GGUF_ARRAY);
    make_array(&m, IQT_GGUF_U64, 1ull << 61);
    refused(&m, IQT_ERR_FORMAT, "2305843009213693952 elements");
    make_start(&m, 3, 0, 1);
    make_key(&m, "k", IQT_GGUF_STRING);
    make_number(&m, UINT64_MAX - 20, 8);
    refused(&m, IQT_ERR_FORMAT, "18446744073709551595 bytes");
    make_start(&m, 3, 0, 1);
    make_key(&m, "k", (enum iqt_gguf_type)13);
    make_number(&m, 0, 8);
    refused(&m, IQT_ERR_FORMAT, "type of a key is 13");
    check_end();
}

static void test_dims(void)
{
    const struct make_tensor t = { "t\n", 0, 5, { 1, 1, 1, 1 }, 4, 0 };
    struct make m = { 0 };

    if (!check_begin("gguf.dims"))
        return;
    make_start(&m, 3, 1, 0);
    make_text(&m, t.name);
    make_number(&m, 5, 4);
    make_data(&m, 32, 64);
    refused(&m, IQT_ERR_FORMAT, "t\\n has 5 dimensions");
    check_end();
}

/* depth arrays within one another; the innermost is empty. */
static void make_nested(struct make *m, uint32_t depth)
{
    make_start(m, 3, 0, 1);
    make_key(m, "k", IQT_GGUF_ARRAY);
    for (uint32_t i = 1; i < depth; i++)
        make_array(m, IQT_GGUF_ARRAY, 1);
    make_array(m, IQT_GGUF_U8, 0);
}

static void test_nesting(void)
{
    struct make m = { 0 };
    struct iqt_gguf *g;

    if (!check_begin("gguf.nesting"))
        return;
    make_nested(&m, 4);
    if (opened(&m, &g) != NULL)
        iqt_gguf_close(g);
    make_free(&m);
    make_nested(&m, 5);
    refused(&m, IQT_ERR_FORMAT, "nested deeper than 4");
    make_nested(&m, 1000000); /* as deep recursion this would end the process */
    refused(&m, IQT_ERR_FORMAT, "nested deeper than 4");
    check_end();
}

static void test_alignment(void)
{
    static const uint32_t bad[] = { 0, 3, 48, UINT32_MAX };
    struct make m = { 0 };
    struct iqt_gguf *g;

    if (!check_begin("gguf.alignment"))
        return;
    for (uint32_t alignment = 1; alignment <= 4096; alignment *= 8) {
        make_start(&m, 3, 2, 1);
        make_key_number(&m, "general.alignment", IQT_GGUF_U32, alignment);
        make_tensors(&m, two, 2, alignment);
        make_data(&m, alignment, 8192 + 20);
        if (opened(&m, &g) != NULL) {
            check_true(iqt_gguf_tensor_at(g, 0).data == m.b.data + m.data, "alignment %u",
                       alignment);
            check_true(iqt_gguf_doctor(g, NULL, NULL) == 0, "defects at %u", alignment);
            iqt_gguf_close(g);
        }
        make_free(&m);
    }
    for (size_t i = 0; i < IQT_COUNT(bad); i++) {
        make_start(&m, 3, 0, 1);
        make_key_number(&m, "general.alignment", IQT_GGUF_U32, bad[i]);
        refused(&m, IQT_ERR_FORMAT, "power of two");
    }
    make_start(&m, 3, 0, 1);
    make_key_text(&m, "general.alignment", "32");
    refused(&m, IQT_ERR_FORMAT, "power of two");
    make_start(&m, 3, 1, 1); /* the data section starts far outside of the file */
    make_key_number(&m, "general.alignment", IQT_GGUF_U32, 1u << 31);
    make_tensors(&m, two, 1, 32);
    if (opened(&m, &g) != NULL) {
        check_true(iqt_gguf_tensor_at(g, 0).data == NULL, "data outside of the file");
        iqt_gguf_close(g);
    }
    make_free(&m);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    test_sound(2);
    test_sound(3);
    test_empty();
    test_sizes();
    test_foreign();
    test_find();
    test_golden();
    test_header();
    test_counts();
    test_dims();
    test_nesting();
    test_alignment();
    return check_done();
}
