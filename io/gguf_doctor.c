/* Structural defects of a GGUF set: tables first, then where data lie, then what scales say.
 * Linear in the size of the files but for the sorts of the tables. Beyond the tables it takes 8
 * bytes an entry. Repairs nothing. */
#include "io/gguf_doctor.h"
#include "kernels/interleave.h"

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
    else if (size->flaw == IQT_GGUF_BAD_UNIT)
        iqt_gguf_report(r, t, entry, "has %llu rows, expected a multiple of %d for %s",
                        ne[1], IQT_UNIT_ROWS, t->type_name);
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

/* ---- Sorts: of numbers of entries, which are read again for each comparison ---- */

typedef int (*order_fn)(const void *a, const void *b, void *g);

/* The numbers 0 .. count in the order of fn; NULL, after telling so, when that is impossible. */
static uint32_t *sorted(struct iqt_gguf_report *r, size_t count, const char *what,
                        order_fn fn)
{
    uint32_t *order = count < UINT32_MAX ? malloc((count + 1) * sizeof *order) : NULL;

    if (order == NULL) {
        iqt_gguf_report(r, NULL, 0, "not checked for %s: no memory to sort %zu entries",
                        what, count);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, count, sizeof *order, fn, (void *)(uintptr_t)r->g);
    return order;
}

static int by_number(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_place(const void *a, const void *b, void *g)
{
    const uint32_t *x = a, *y = b;
    const struct iqt_gguf_tensor t = iqt_gguf_entry_at(g, *x),
                                 u = iqt_gguf_entry_at(g, *y);

    if (t.file != u.file)
        return by_number(t.file, u.file);
    return t.offset != u.offset ? by_number(t.offset, u.offset) : by_number(*x, *y);
}

static int by_text(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    const int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);

    return order != 0 ? order : by_number(a_bytes, b_bytes);
}

static int by_tensor_name(const void *a, const void *b, void *g)
{
    const uint32_t *x = a, *y = b;
    const struct iqt_gguf_tensor t = iqt_gguf_entry_at(g, *x),
                                 u = iqt_gguf_entry_at(g, *y);
    const int order = by_text(t.name, t.name_bytes, u.name, u.name_bytes);

    return order != 0 ? order : by_number(*x, *y);
}

static int by_key_name(const void *a, const void *b, void *g)
{
    const uint32_t *x = a, *y = b;
    const struct iqt_gguf_key k = iqt_gguf_key_at(g, *x), l = iqt_gguf_key_at(g, *y);
    const int order = by_text(k.name, k.name_bytes, l.name, l.name_bytes);

    return order != 0 ? order : by_number(*x, *y);
}

/* ---- Overlaps ---- */

static void report_overlap(struct iqt_gguf_report *r, const struct iqt_gguf_tensor *t,
                           const struct iqt_gguf_tensor *next)
{
    const uint64_t begin = begin_of(r->g, t), next_begin = begin_of(r->g, next);
    char name[NAME_TEXT], hint[80];

    iqt_escape(name, sizeof name, next->name, next->name_bytes);
    iqt_gguf_report(
        r, t, begin,
        "needs %llu bytes, overlaps %s at byte %llu after %llu: %llu bytes short%s",
        (unsigned long long)t->bytes, name, (unsigned long long)next_begin,
        (unsigned long long)(next_begin - begin),
        (unsigned long long)(t->bytes - (next_begin - begin)),
        headless(r->g, t, next_begin - begin, hint));
}

/* Tensors by their place: each is compared with the one before that reaches furthest. */
static void check_overlap(struct iqt_gguf_report *r)
{
    const size_t count = r->g->tensor_count;
    uint32_t *order = sorted(r, count, "overlaps", by_place);
    struct iqt_gguf_tensor furthest = { 0 };
    uint64_t end = 0, t_end; /* end: of furthest */

    for (size_t i = 0; order != NULL && i < count; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(r->g, order[i]);
        const uint64_t begin = begin_of(r->g, &t);

        /* A tensor of unknown size is a point; one outside of the file is reported already. */
        if (begin > r->g->files[t.file].bytes ||
            iqt_gguf_size_of(&t).flaw == IQT_GGUF_EMPTY)
            continue;
        if (furthest.file != t.file)
            end = 0;
        if (end > begin)
            report_overlap(r, &furthest, &t);
        if (!iqt_add(begin, t.bytes, &t_end))
            t_end = UINT64_MAX;
        if (t_end >= end) {
            end = t_end;
            furthest = t;
        }
    }
    free(order);
}

/* ---- Names ---- */

static void check_tensor_names(struct iqt_gguf_report *r)
{
    const size_t count = r->g->tensor_count;
    uint32_t *order = sorted(r, count, "duplicate names", by_tensor_name);

    for (size_t i = 1; order != NULL && i < count; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_entry_at(r->g, order[i]);
        const struct iqt_gguf_tensor before = iqt_gguf_entry_at(r->g, order[i - 1]);

        if (by_text(t.name, t.name_bytes, before.name, before.name_bytes) == 0)
            iqt_gguf_report(r, &t, entry_of(r->g, &t),
                            "duplicate name: tensors %u and %u have it", order[i - 1],
                            order[i]);
    }
    free(order);
}

static void check_key_names(struct iqt_gguf_report *r)
{
    const size_t count = iqt_gguf_key_count(r->g);
    uint32_t *order = sorted(r, count, "duplicate keys", by_key_name);

    for (size_t i = 1; order != NULL && i < count; i++) {
        const struct iqt_gguf_key key = iqt_gguf_key_at(r->g, order[i]);
        const struct iqt_gguf_key before = iqt_gguf_key_at(r->g, order[i - 1]);
        char name[NAME_TEXT];

        if (by_text(key.name, key.name_bytes, before.name, before.name_bytes) != 0)
            continue;
        iqt_escape(name, sizeof name, key.name, key.name_bytes);
        iqt_gguf_report(r, NULL, r->g->files[0].key_at[order[i]],
                        "duplicate key %s: keys %u and %u have the name", name,
                        order[i - 1], order[i]);
    }
    free(order);
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
    check_tensor_names(&r);
    check_key_names(&r);
    check_tensors(&r);
    check_overlap(&r);
    iqt_gguf_check_values(&r);
    return r.count;
}
