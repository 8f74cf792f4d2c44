/* Structural defects of a GGUF set: tables first, then where data lie, then what scales say.
 * Linear in the size of the files but for two sorts of the tensor table, and in memory of the
 * order of that table. Repairs nothing. */
#include "io/gguf_doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_TEXT = 160 };

void iqt_gguf_report(struct iqt_gguf_report *r, const struct iqt_gguf_tensor *t,
                     uint64_t offset, const char *fmt, ...)
{
    const struct iqt_gguf_file *f = &r->g->files[t != NULL ? t->file : 0];
    char text[512], name[NAME_TEXT] = "";
    struct iqt_gguf_defect defect = { f->path, name, text, offset };
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (t != NULL)
        iqt_escape(name, sizeof name, t->name, t->name_bytes);
    r->count++;
    if (r->fn != NULL)
        r->fn(r->user, &defect);
}

/* ---- One tensor by itself ---- */

/* Where the tensor's data start in the file; UINT64_MAX when that is beyond 64 bits. */
static uint64_t begin_of(const struct iqt_gguf *g, const struct iqt_gguf_tensor *t)
{
    uint64_t begin = UINT64_MAX;

    iqt_add(g->files[t->file].data_start, t->offset, &begin);
    return begin;
}

/* Where its entry stands in the tensor table: the place to look at for a wrong number there. */
static uint64_t entry_of(const struct iqt_gguf *g, const struct iqt_gguf_tensor *t)
{
    return (uint64_t)((const uint8_t *)t->name - g->files[t->file].data) - 8;
}

static void check_size(struct iqt_gguf_report *r, const struct iqt_gguf_tensor *t,
                       const struct iqt_gguf_size *size)
{
    const unsigned long long ne[] = { t->ne[0], t->ne[1], t->ne[2], t->ne[3] };
    const uint64_t entry = entry_of(r->g, t);

    if (size->flaw == IQT_GGUF_UNKNOWN_TYPE)
        iqt_gguf_report(r, t, entry, "unknown type %u: its size cannot be checked",
                        t->type);
    if (t->dims == 0)
        iqt_gguf_report(r, t, entry, "has 0 dimensions, expected 1 to 4");
    else if (ne[0] == 0 || ne[1] == 0 || ne[2] == 0 || ne[3] == 0)
        iqt_gguf_report(r, t, entry, "is %llu x %llu x %llu x %llu: a dimension is 0",
                        ne[0], ne[1], ne[2], ne[3]);
    else if (size->flaw == IQT_GGUF_BAD_ROW)
        iqt_gguf_report(r, t, entry,
                        "has rows of %llu, expected a multiple of %llu for %s", ne[0],
                        (unsigned long long)size->granule, t->type_name);
    else if (size->flaw == IQT_GGUF_TOO_LARGE)
        iqt_gguf_report(r, t, entry,
                        "is %llu x %llu x %llu x %llu: more bytes than 64 bits can count",
                        ne[0], ne[1], ne[2], ne[3]);
}

static void check_alignment(struct iqt_gguf_report *r, const struct iqt_gguf_tensor *t)
{
    const uint32_t alignment = r->g->files[t->file].alignment;

    if (t->offset % alignment != 0)
        iqt_gguf_report(r, t, begin_of(r->g, t),
                        "offset is %llu, expected a multiple of the alignment %u",
                        (unsigned long long)t->offset, alignment);
}

/* ---- Room ---- */

/* What to add when available bytes are what the tensor would take without row headers: a
 * writer that knows no row headers, then pads to the alignment. */
static const char *headless(const struct iqt_gguf *g, const struct iqt_gguf_tensor *t,
                            uint64_t available, char out[80])
{
    const struct iqt_gguf_size size = iqt_gguf_size_of(t);
    const uint64_t heads = size.rows * size.row_head; /* at most size.bytes */
    const uint64_t bare = size.bytes - heads;

    out[0] = '\0';
    if (heads > 0 && available >= bare && available - bare < g->files[t->file].alignment)
        snprintf(out, 80, ": written without row headers (%llu x %llu bytes)?",
                 (unsigned long long)size.rows, (unsigned long long)size.row_head);
    return out;
}

static void check_inside(struct iqt_gguf_report *r, const struct iqt_gguf_tensor *t)
{
    const uint64_t begin = begin_of(r->g, t), bytes = r->g->files[t->file].bytes;
    char hint[80];

    if (begin > bytes || (begin == bytes && t->bytes > 0))
        iqt_gguf_report(r, t, begin,
                        "offset %llu is outside of the file: it ends at byte %llu",
                        (unsigned long long)t->offset, (unsigned long long)bytes);
    else if (t->bytes > bytes - begin)
        iqt_gguf_report(r, t, begin,
                        "needs %llu bytes, %llu are left in the file: %llu bytes short%s",
                        (unsigned long long)t->bytes, (unsigned long long)(bytes - begin),
                        (unsigned long long)(t->bytes - (bytes - begin)),
                        headless(r->g, t, bytes - begin, hint));
}

static void check_tensors(struct iqt_gguf_report *r)
{
    for (size_t i = 0; i < r->g->tensor_count; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(r->g, i);
        const struct iqt_gguf_size size = iqt_gguf_size_of(&t);

        check_size(r, &t, &size);
        check_alignment(r, &t);
        check_inside(r, &t);
    }
}

/* Where a tensor's data lie, for sorting. */
struct span {
    uint64_t begin;
    uint32_t file;
    uint64_t tensor;
};

static int span_order(const void *a, const void *b)
{
    const struct span *x = a, *y = b;

    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->tensor < y->tensor ? -1 : x->tensor > y->tensor;
}

static void report_overlap(struct iqt_gguf_report *r, const struct span *a, uint64_t end,
                           const struct span *b)
{
    const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(r->g, a->tensor);
    const struct iqt_gguf_tensor next = iqt_gguf_tensor_at(r->g, b->tensor);
    const uint64_t available = b->begin - a->begin;
    char name[NAME_TEXT], hint[80];

    iqt_escape(name, sizeof name, next.name, next.name_bytes);
    iqt_gguf_report(
        r, &t, a->begin,
        "needs %llu bytes, overlaps %s at byte %llu after %llu: %llu bytes short%s",
        (unsigned long long)t.bytes, name, (unsigned long long)b->begin,
        (unsigned long long)available, (unsigned long long)(end - b->begin),
        headless(r->g, &t, available, hint));
}

/* Tensors by their place: each is compared with the one before that reaches furthest. */
static void check_overlap(struct iqt_gguf_report *r)
{
    const size_t count = r->g->tensor_count;
    struct span *spans = malloc((count + 1) * sizeof *spans);
    size_t used = 0, furthest = 0;
    uint64_t end = 0; /* of furthest */

    if (spans == NULL) {
        iqt_gguf_report(r, NULL, 0, "no memory to look for overlaps among %zu tensors",
                        count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(r->g, i);
        const uint64_t begin = begin_of(r->g, &t);

        /* A tensor of unknown size is a point; one outside of the file is reported already. */
        if (begin <= r->g->files[t.file].bytes &&
            iqt_gguf_size_of(&t).flaw != IQT_GGUF_EMPTY)
            spans[used++] = (struct span){ begin, t.file, i };
    }
    qsort(spans, used, sizeof *spans, span_order);
    for (size_t i = 0; i < used; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(r->g, spans[i].tensor);
        uint64_t t_end = UINT64_MAX;

        if (i > 0 && spans[i].file != spans[furthest].file)
            end = 0;
        if (end > spans[i].begin)
            report_overlap(r, &spans[furthest], end, &spans[i]);
        iqt_add(spans[i].begin, t.bytes, &t_end);
        if (t_end >= end) {
            end = t_end;
            furthest = i;
        }
    }
    free(spans);
}

/* ---- Names ---- */

struct name {
    const char *text;
    uint64_t bytes, number;
};

static int name_order(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    const int order = memcmp(x->text, y->text, x->bytes < y->bytes ? x->bytes : y->bytes);

    if (order != 0)
        return order;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static bool same_name(const struct name *a, const struct name *b)
{
    return a->bytes == b->bytes && memcmp(a->text, b->text, a->bytes) == 0;
}

static void check_tensor_names(struct iqt_gguf_report *r, struct name *names)
{
    const size_t count = r->g->tensor_count;

    for (size_t i = 0; i < count; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(r->g, i);

        names[i] = (struct name){ t.name, t.name_bytes, i };
    }
    qsort(names, count, sizeof *names, name_order);
    for (size_t i = 1; i < count; i++) {
        if (same_name(&names[i - 1], &names[i])) {
            const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(r->g, names[i].number);

            iqt_gguf_report(r, &t, entry_of(r->g, &t),
                            "duplicate name: tensors %llu and %llu have it",
                            (unsigned long long)names[i - 1].number,
                            (unsigned long long)names[i].number);
        }
    }
}

static void check_key_names(struct iqt_gguf_report *r, struct name *names)
{
    const struct iqt_gguf_file *f = &r->g->files[0];

    for (size_t i = 0; i < f->keys; i++) {
        const struct iqt_gguf_key key = iqt_gguf_file_key(f, i);

        names[i] = (struct name){ key.name, key.name_bytes, i };
    }
    qsort(names, f->keys, sizeof *names, name_order);
    for (size_t i = 1; i < f->keys; i++) {
        char shown[NAME_TEXT];

        if (!same_name(&names[i - 1], &names[i]))
            continue;
        iqt_escape(shown, sizeof shown, names[i].text, names[i].bytes);
        iqt_gguf_report(r, NULL, f->key_at[names[i].number],
                        "duplicate key %s: keys %llu and %llu have the name", shown,
                        (unsigned long long)names[i - 1].number,
                        (unsigned long long)names[i].number);
    }
}

static void check_names(struct iqt_gguf_report *r)
{
    const size_t tensors = r->g->tensor_count, keys = r->g->files[0].keys;
    const size_t count = tensors > keys ? tensors : keys;
    struct name *names = malloc((count + 1) * sizeof *names);

    if (names == NULL) {
        iqt_gguf_report(r, NULL, 0, "no memory to look for duplicates among %zu names",
                        count);
        return;
    }
    check_tensor_names(r, names);
    check_key_names(r, names);
    free(names);
}

/* A split set says how many tensors it has in all. */
static void check_total(struct iqt_gguf_report *r)
{
    const struct iqt_gguf_file *f = &r->g->files[0];
    struct iqt_gguf_key key;
    uint64_t total;

    if (r->g->file_count < 2 || !iqt_gguf_file_find(f, "split.tensors.count", &key) ||
        !iqt_gguf_key_unsigned(&key, &total) || total == r->g->tensor_count)
        return;
    iqt_gguf_report(r, NULL, (uint64_t)((const uint8_t *)key.data - f->data),
                    "split.tensors.count is %llu, the %zu files have %zu tensors",
                    (unsigned long long)total, r->g->file_count, r->g->tensor_count);
}

size_t iqt_gguf_doctor(const struct iqt_gguf *g, iqt_gguf_defect_fn fn, void *user)
{
    struct iqt_gguf_report r = { g, fn, user, 0 };

    check_total(&r);
    check_names(&r);
    check_tensors(&r);
    check_overlap(&r);
    iqt_gguf_check_values(&r);
    return r.count;
}
