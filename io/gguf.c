/* Opens GGUF files and split sets, and hands out their keys and tensors.
 * Knows nothing of the bytes of a file (gguf_parse.c) and judges no tensor (gguf_doctor.c). */
#include "io/gguf_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUFFIX_BYTES = 20, /* "-00001-of-00003.gguf" */
    MAX_SPLITS = 99999,
    NEAR_NAMES = 3,   /* that a failed search suggests */
    NEAR_LENGTH = 64, /* longer names are not compared */
};

/* ---- One file ---- */

static void file_close(struct iqt_gguf_file *f)
{
    free(f->key_at);
    free(f->tensor_at);
    iqt_map_close(&f->map);
    free(f->path);
    *f = (struct iqt_gguf_file){ 0 };
}

static enum iqt_status file_open(const char *path, struct iqt_gguf_file *out)
{
    struct iqt_gguf_file f = { .path = strdup(path) };
    enum iqt_status status;

    if (f.path == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory to open %s", path);
    status = iqt_map_open(path, &f.map);
    if (status != IQT_OK)
        goto close_file;
    f.data = f.map.data;
    f.bytes = f.map.bytes;
    status = iqt_gguf_file_parse(&f);
    if (status != IQT_OK)
        goto close_file;
    *out = f;
    return IQT_OK;

close_file:
    file_close(&f);
    return status;
}

/* ---- Sets ---- */

/* Takes over f, also when it fails. */
static enum iqt_status set_add(struct iqt_gguf *g, struct iqt_gguf_file *f)
{
    struct iqt_gguf_file *files =
        realloc(g->files, (g->file_count + 1) * sizeof *g->files);

    if (files == NULL) {
        const enum iqt_status status =
            iqt_fail(IQT_ERR_NO_MEMORY, "%s: no memory for file %zu of the split set",
                     f->path, g->file_count + 1);

        file_close(f);
        return status;
    }
    f->tensor0 = g->tensor_count;
    g->tensor_count += f->tensors;
    g->files = files;
    g->files[g->file_count++] = *f;
    return IQT_OK;
}

static bool unsigned_key(const struct iqt_gguf_file *f, const char *name, uint64_t *out)
{
    struct iqt_gguf_key key;

    return iqt_gguf_file_find(f, name, &key) && iqt_gguf_key_unsigned(&key, out);
}

/* Whether f says that it is number no (from 0) of count. */
static enum iqt_status check_split(const struct iqt_gguf_file *f, uint64_t no,
                                   uint64_t count)
{
    uint64_t found_no = 0, found_count = 0;

    if (!unsigned_key(f, "split.no", &found_no) ||
        !unsigned_key(f, "split.count", &found_count))
        return iqt_fail(
            IQT_ERR_FORMAT,
            "%s: no usable keys split.no and split.count, expected %llu and %llu",
            f->path, (unsigned long long)no, (unsigned long long)count);
    if (found_no != no || found_count != count)
        return iqt_fail(
            IQT_ERR_FORMAT,
            "%s: split.no is %llu and split.count is %llu, expected %llu and %llu",
            f->path, (unsigned long long)found_no, (unsigned long long)found_count,
            (unsigned long long)no, (unsigned long long)count);
    return IQT_OK;
}

/* The number (from 1) in the name of a split file; false unless it ends as count demands. */
static bool parse_suffix(const char *path, uint64_t count, uint32_t *number)
{
    const size_t length = strlen(path);
    char expected[SUFFIX_BYTES + 1];
    const char *suffix = path + length - SUFFIX_BYTES;
    uint32_t no = 0;

    if (length < SUFFIX_BYTES)
        return false;
    for (uint32_t i = 1; i <= 5; i++) {
        if (suffix[i] < '0' || suffix[i] > '9')
            return false;
        no = no * 10 + (uint32_t)(suffix[i] - '0');
    }
    snprintf(expected, sizeof expected, "-%05u-of-%05u.gguf", no % 100000,
             (uint32_t)(count % 100000));
    *number = no;
    return strcmp(suffix, expected) == 0 && no >= 1 && no <= count;
}

static enum iqt_status open_sibling(const char *path, uint64_t no, uint64_t count,
                                    struct iqt_gguf *g)
{
    const int prefix = (int)(strlen(path) - SUFFIX_BYTES);
    struct iqt_buf name = { 0 };
    struct iqt_gguf_file f;
    enum iqt_status status;

    iqt_buf_printf(&name, "%.*s-%05u-of-%05u.gguf", prefix, path, (uint32_t)no + 1,
                   (uint32_t)count);
    status = iqt_buf_check(&name);
    if (status != IQT_OK)
        goto free_name;
    status = file_open(iqt_buf_text(&name), &f);
    if (status == IQT_ERR_IO)
        iqt_error_set(
            "%s: the split set has %llu files, number %llu is missing: expected %s", path,
            (unsigned long long)count, (unsigned long long)no + 1, iqt_buf_text(&name));
    if (status != IQT_OK)
        goto free_name;
    status = check_split(&f, no, count);
    if (status == IQT_OK)
        status = set_add(g, &f);
    else
        file_close(&f);

free_name:
    iqt_buf_free(&name);
    return status;
}

/* Adds first and its siblings in the order of their numbers. Takes over first. */
static enum iqt_status open_set(const char *path, uint64_t count,
                                struct iqt_gguf_file *first, struct iqt_gguf *g)
{
    enum iqt_status status = IQT_OK;
    uint32_t number = 0;

    if (count > MAX_SPLITS)
        status =
            iqt_fail(IQT_ERR_FORMAT, "%s: split.count is %llu, at most %u are possible",
                     path, (unsigned long long)count, (unsigned)MAX_SPLITS);
    else if (!parse_suffix(path, count, &number))
        status = iqt_fail(
            IQT_ERR_FORMAT,
            "%s: one of a split set of %llu files by its keys, but its name does "
            "not end in -NNNNN-of-%05u.gguf",
            path, (unsigned long long)count, (uint32_t)count);
    else
        status = check_split(first, number - 1, count);
    for (uint64_t i = 0; i < count && status == IQT_OK; i++) {
        if (i + 1 == number) {
            status = set_add(g, first);
            *first = (struct iqt_gguf_file){ 0 };
        } else {
            status = open_sibling(path, i, count, g);
        }
    }
    file_close(first);
    return status;
}

static enum iqt_status set_create(struct iqt_gguf **out)
{
    struct iqt_gguf *g = calloc(1, sizeof *g);

    if (g == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory to open a GGUF file");
    *out = g;
    return IQT_OK;
}

enum iqt_status iqt_gguf_open(const char *path, struct iqt_gguf **out)
{
    struct iqt_gguf *g;
    struct iqt_gguf_file f;
    enum iqt_status status;
    uint64_t count = 0;

    if (path == NULL || out == NULL)
        return iqt_fail(IQT_ERR_ARG, "path and out must not be NULL");
    IQT_TRY(set_create(&g));
    status = file_open(path, &f);
    if (status == IQT_OK)
        status = unsigned_key(&f, "split.count", &count) && count > 1
                     ? open_set(path, count, &f, g)
                     : set_add(g, &f);
    if (status != IQT_OK) {
        iqt_gguf_close(g);
        return status;
    }
    *out = g;
    return IQT_OK;
}

enum iqt_status iqt_gguf_open_memory(const void *data, size_t bytes,
                                     struct iqt_gguf **out)
{
    struct iqt_gguf *g;
    struct iqt_gguf_file f = { .path = strdup("(memory)"), .data = data, .bytes = bytes };
    enum iqt_status status;
    uint64_t count = 0;

    if (f.path == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory to open a GGUF file");
    status = set_create(&g);
    if (status != IQT_OK)
        goto close_file;
    status = iqt_gguf_file_parse(&f);
    if (status == IQT_OK && unsigned_key(&f, "split.count", &count) && count > 1)
        status =
            iqt_fail(IQT_ERR_FORMAT, "one of %llu split files cannot be read from memory",
                     (unsigned long long)count);
    if (status != IQT_OK)
        goto close_set;
    status = set_add(g, &f);
    if (status != IQT_OK) {
        iqt_gguf_close(g);
        return status;
    }
    *out = g;
    return IQT_OK;

close_set:
    iqt_gguf_close(g);
close_file:
    file_close(&f);
    return status;
}

void iqt_gguf_close(struct iqt_gguf *g)
{
    if (g == NULL)
        return;
    for (size_t i = 0; i < g->file_count; i++)
        file_close(&g->files[i]);
    free(g->files);
    free(g);
}

/* ---- What is inside ---- */

size_t iqt_gguf_key_count(const struct iqt_gguf *g)
{
    return g->files[0].keys;
}

struct iqt_gguf_key iqt_gguf_key_at(const struct iqt_gguf *g, size_t i)
{
    return iqt_gguf_file_key(&g->files[0], i);
}

bool iqt_gguf_key_find(const struct iqt_gguf *g, const char *name,
                       struct iqt_gguf_key *out)
{
    return iqt_gguf_file_find(&g->files[0], name, out);
}

size_t iqt_gguf_tensor_count(const struct iqt_gguf *g)
{
    return g->tensor_count;
}

/* The last file whose tensors start at or before number i. */
static size_t file_of(const struct iqt_gguf *g, size_t i)
{
    size_t low = 0, high = g->file_count;

    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;

        if (g->files[middle].tensor0 <= i)
            low = middle;
        else
            high = middle;
    }
    return low;
}

struct iqt_gguf_tensor iqt_gguf_entry_at(const struct iqt_gguf *g, size_t i)
{
    const size_t file = file_of(g, i);
    struct iqt_gguf_tensor t =
        iqt_gguf_file_entry(&g->files[file], i - g->files[file].tensor0);

    t.file = (uint32_t)file;
    return t;
}

struct iqt_gguf_tensor iqt_gguf_tensor_at(const struct iqt_gguf *g, size_t i)
{
    const size_t file = file_of(g, i);
    struct iqt_gguf_tensor t =
        iqt_gguf_file_tensor(&g->files[file], i - g->files[file].tensor0);

    t.file = (uint32_t)file;
    return t;
}

void iqt_gguf_release(const struct iqt_gguf *g, const struct iqt_gguf_tensor *t,
                      uint64_t at, uint64_t bytes)
{
    const struct iqt_gguf_file *f = &g->files[t->file];

    if (t->data != NULL && f->map.data != NULL)
        iqt_map_release(&f->map, (size_t)((const uint8_t *)t->data - f->data + at),
                        (size_t)bytes);
}

/* ---- Search ---- */

/* Letters to insert, delete or replace to get from one name to the other. */
static uint32_t distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    uint32_t row[NEAR_LENGTH + 1];

    for (uint32_t j = 0; j <= b_bytes; j++)
        row[j] = j;
    for (size_t i = 0; i < a_bytes; i++) {
        uint32_t diagonal = row[0];

        row[0]++;
        for (size_t j = 0; j < b_bytes; j++) {
            uint32_t best = diagonal + (a[i] != b[j]);

            diagonal = row[j + 1];
            if (best > diagonal + 1)
                best = diagonal + 1;
            if (best > row[j] + 1)
                best = row[j] + 1;
            row[j + 1] = best;
        }
    }
    return row[b_bytes];
}

struct near {
    uint32_t distance;
    size_t tensor;
};

/* Keeps the nearest names in ascending order of distance. */
static void near_insert(struct near list[NEAR_NAMES], size_t *count,
                        struct near candidate)
{
    size_t at = *count;

    while (at > 0 && list[at - 1].distance > candidate.distance)
        at--;
    if (at == NEAR_NAMES)
        return;
    if (*count < NEAR_NAMES)
        (*count)++;
    memmove(&list[at + 1], &list[at], (*count - 1 - at) * sizeof list[0]);
    list[at] = candidate;
}

static enum iqt_status fail_unknown(const struct iqt_gguf *g, const char *name)
{
    const size_t length = strlen(name);
    struct near list[NEAR_NAMES];
    size_t count = 0;
    struct iqt_buf text = { 0 };
    enum iqt_status status;

    for (size_t i = 0; i < g->tensor_count && length <= NEAR_LENGTH; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_entry_at(g, i);

        if (t.name_bytes <= NEAR_LENGTH)
            near_insert(list, &count,
                        (struct near){ distance(name, length, t.name, t.name_bytes), i });
    }
    for (size_t i = 0; i < count; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, list[i].tensor);
        char shown[4 * NEAR_LENGTH];

        iqt_escape(shown, sizeof shown, t.name, t.name_bytes);
        iqt_buf_printf(&text, "%s%s", i == 0 ? "; nearest: " : ", ", shown);
    }
    status = iqt_fail(IQT_ERR_UNKNOWN, "%s: no tensor %s among %zu%s", g->files[0].path,
                      name, g->tensor_count, iqt_buf_text(&text));
    iqt_buf_free(&text);
    return status;
}

enum iqt_status iqt_gguf_tensor_find(const struct iqt_gguf *g, const char *name,
                                     struct iqt_gguf_tensor *out)
{
    const size_t length = strlen(name);

    for (size_t i = 0; i < g->tensor_count; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_entry_at(g, i);

        if (t.name_bytes == length && memcmp(t.name, name, length) == 0) {
            *out = iqt_gguf_tensor_at(g, i);
            return IQT_OK;
        }
    }
    return fail_unknown(g, name);
}
