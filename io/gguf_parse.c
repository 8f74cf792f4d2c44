/* Header, keys and tensor table of one GGUF file, and the sizes that follow from them.
 * Every byte is hostile. Knows nothing of split sets and does not touch tensor data. */
#include "io/gguf_file.h"
#include "kernels/interleave.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    MIN_VERSION = 2,
    MAX_VERSION = 3,
    MAX_DIMS = 4,
    MAX_DEPTH = 4, /* arrays within arrays; the specification names no limit */
    TYPES = IQT_GGUF_F64 + 1,
    /* The least bytes that an entry takes: what bounds every count before it is believed. */
    MIN_KEY_BYTES = 8 + 4 + 1,
    MIN_TENSOR_BYTES = 8 + 4 + 4 + 8,
    NAME_TEXT = 80,
};

static const struct {
    const char *name;
    uint8_t bytes;     /* of a value; 0: it says its length itself */
    uint8_t min_bytes; /* that a value takes at least */
} types[TYPES] = {
    [IQT_GGUF_U8] = { "uint8", 1, 1 },      [IQT_GGUF_I8] = { "int8", 1, 1 },
    [IQT_GGUF_U16] = { "uint16", 2, 2 },    [IQT_GGUF_I16] = { "int16", 2, 2 },
    [IQT_GGUF_U32] = { "uint32", 4, 4 },    [IQT_GGUF_I32] = { "int32", 4, 4 },
    [IQT_GGUF_F32] = { "float32", 4, 4 },   [IQT_GGUF_BOOL] = { "bool", 1, 1 },
    [IQT_GGUF_STRING] = { "string", 0, 8 }, [IQT_GGUF_ARRAY] = { "array", 0, 12 },
    [IQT_GGUF_U64] = { "uint64", 8, 8 },    [IQT_GGUF_I64] = { "int64", 8, 8 },
    [IQT_GGUF_F64] = { "float64", 8, 8 },
};

const char *iqt_gguf_type_name(enum iqt_gguf_type type)
{
    return (unsigned)type < TYPES ? types[type].name : "unknown";
}

uint32_t iqt_gguf_type_bytes(enum iqt_gguf_type type)
{
    return (unsigned)type < TYPES ? types[type].bytes : 0;
}

/* ---- A place in the file that never leaves it ---- */

struct cursor {
    const struct iqt_gguf_file *f;
    uint64_t pos;
};

static uint64_t left(const struct cursor *c)
{
    return c->f->bytes - c->pos;
}

#define FAIL_AT(c, fmt, ...)                                      \
    iqt_fail(IQT_ERR_FORMAT, "%s: byte %llu: " fmt, (c)->f->path, \
             (unsigned long long)(c)->pos, __VA_ARGS__)

static enum iqt_status take(struct cursor *c, uint64_t bytes, const char *what,
                            const uint8_t **out)
{
    if (bytes > left(c))
        return FAIL_AT(c, "%s needs %llu bytes, the file has %llu more", what,
                       (unsigned long long)bytes, (unsigned long long)left(c));
    *out = c->f->data + c->pos;
    c->pos += bytes;
    return IQT_OK;
}

static enum iqt_status take_u32(struct cursor *c, const char *what, uint32_t *out)
{
    const uint8_t *p;

    IQT_TRY(take(c, 4, what, &p));
    *out = iqt_read_u32(p);
    return IQT_OK;
}

static enum iqt_status take_u64(struct cursor *c, const char *what, uint64_t *out)
{
    const uint8_t *p;

    IQT_TRY(take(c, 8, what, &p));
    *out = iqt_read_u64(p);
    return IQT_OK;
}

static enum iqt_status take_text(struct cursor *c, const char *what, const uint8_t **text,
                                 uint64_t *bytes)
{
    uint64_t length;

    IQT_TRY(take_u64(c, what, &length));
    IQT_TRY(take(c, length, what, text));
    *bytes = length;
    return IQT_OK;
}

static enum iqt_status take_type(struct cursor *c, const char *what,
                                 enum iqt_gguf_type *out)
{
    uint32_t type;

    IQT_TRY(take_u32(c, what, &type));
    if (type >= TYPES) {
        c->pos -= 4;
        return FAIL_AT(c, "%s is %u, the highest known is %u", what, type, TYPES - 1);
    }
    *out = (enum iqt_gguf_type)type;
    return IQT_OK;
}

/* ---- Keys ---- */

/* Everything up to the elements of an array, which only opening the file walks through. */
static enum iqt_status take_key(struct cursor *c, struct iqt_gguf_key *key)
{
    const uint8_t *p;
    uint64_t bytes;

    *key = (struct iqt_gguf_key){ .count = 1 };
    IQT_TRY(take_text(c, "the name of a key", &p, &bytes));
    key->name = (const char *)p;
    key->name_bytes = (size_t)bytes;
    IQT_TRY(take_type(c, "the type of a key", &key->type));
    key->item = key->type;
    if (key->type == IQT_GGUF_ARRAY) {
        IQT_TRY(take_type(c, "the element type of an array", &key->item));
        IQT_TRY(take_u64(c, "the length of an array", &key->count));
        key->data = c->f->data + c->pos;
        return IQT_OK;
    }
    if (key->type == IQT_GGUF_STRING)
        IQT_TRY(take_text(c, "a string", &p, &key->count));
    else
        IQT_TRY(take(c, types[key->type].bytes, "a value", &p));
    key->data = p;
    return IQT_OK;
}

static enum iqt_status skip_items(struct cursor *c, enum iqt_gguf_type item,
                                  uint64_t count, uint32_t depth);

static enum iqt_status skip_item(struct cursor *c, enum iqt_gguf_type type,
                                 uint32_t depth)
{
    enum iqt_gguf_type item;
    const uint8_t *p;
    uint64_t count;

    if (type == IQT_GGUF_STRING)
        return take_text(c, "a string of an array", &p, &count);
    if (depth == MAX_DEPTH)
        return FAIL_AT(c, "arrays are nested deeper than %u", (unsigned)MAX_DEPTH);
    IQT_TRY(take_type(c, "the element type of an array", &item));
    IQT_TRY(take_u64(c, "the length of an array", &count));
    return skip_items(c, item, count, depth + 1);
}

static enum iqt_status skip_items(struct cursor *c, enum iqt_gguf_type item,
                                  uint64_t count, uint32_t depth)
{
    const uint8_t *p;

    if (count > left(c) / types[item].min_bytes)
        return FAIL_AT(
            c, "an array has %llu elements of type %s, the file has %llu more bytes",
            (unsigned long long)count, types[item].name, (unsigned long long)left(c));
    if (types[item].bytes > 0)
        return take(c, count * types[item].bytes, "an array", &p);
    for (uint64_t i = 0; i < count; i++)
        IQT_TRY(skip_item(c, item, depth));
    return IQT_OK;
}

static enum iqt_status skip_key(struct cursor *c)
{
    struct iqt_gguf_key key;

    IQT_TRY(take_key(c, &key));
    return key.type == IQT_GGUF_ARRAY ? skip_items(c, key.item, key.count, 1) : IQT_OK;
}

static enum iqt_status parse_keys(struct cursor *c, struct iqt_gguf_file *f)
{
    for (size_t i = 0; i < f->keys; i++) {
        f->key_at[i] = c->pos;
        IQT_TRY(skip_key(c));
    }
    return IQT_OK;
}

const uint8_t *iqt_gguf_file_key_bytes(const struct iqt_gguf_file *f, size_t i,
                                       size_t *bytes)
{
    struct cursor c = { f, f->key_at[i] };
    const enum iqt_status status = skip_key(&c);

    assert(status == IQT_OK); /* opening read the same bytes */
    (void)status;
    *bytes = (size_t)(c.pos - f->key_at[i]);
    return f->data + f->key_at[i];
}

struct iqt_gguf_key iqt_gguf_file_key(const struct iqt_gguf_file *f, size_t i)
{
    struct cursor c = { f, f->key_at[i] };
    struct iqt_gguf_key key;
    const enum iqt_status status = take_key(&c, &key);

    assert(status == IQT_OK); /* opening read the same bytes */
    (void)status;
    return key;
}

bool iqt_gguf_file_find(const struct iqt_gguf_file *f, const char *name,
                        struct iqt_gguf_key *out)
{
    const size_t length = strlen(name);

    for (size_t i = 0; i < f->keys; i++) {
        const struct iqt_gguf_key key = iqt_gguf_file_key(f, i);

        if (key.name_bytes == length && memcmp(key.name, name, length) == 0) {
            *out = key;
            return true;
        }
    }
    return false;
}

bool iqt_gguf_key_unsigned(const struct iqt_gguf_key *key, uint64_t *out)
{
    const uint32_t bytes = iqt_gguf_type_bytes(key->type);
    const uint8_t *p = key->data;
    uint64_t value = 0;

    if (bytes == 0 || key->type == IQT_GGUF_F32 || key->type == IQT_GGUF_F64 ||
        key->type == IQT_GGUF_BOOL)
        return false;
    for (uint32_t i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << 8 * i;
    if ((key->type == IQT_GGUF_I8 || key->type == IQT_GGUF_I16 ||
         key->type == IQT_GGUF_I32 || key->type == IQT_GGUF_I64) &&
        p[bytes - 1] >= 0x80)
        return false;
    *out = value;
    return true;
}

/* ---- Sizes ---- */

/* What a type says about sizes, whether it has kernels here or not. */
struct unit {
    uint64_t granule, bytes, row_head; /* bytes of granule weights */
};

static bool unit_of(const struct iqt_gguf_tensor *t, struct unit *out)
{
    const struct iqt_format *f = t->format;
    const struct iqt_foreign_type *foreign = iqt_foreign_of_type(t->type);

    if (f != NULL)
        *out = (struct unit){ f->granule, (uint64_t)f->bytes * f->granule / f->superblock,
                              f->row_head };
    else if (foreign != NULL)
        *out = (struct unit){ foreign->superblock, foreign->bytes, foreign->row_head };
    return f != NULL || foreign != NULL;
}

uint64_t iqt_gguf_rows(const struct iqt_gguf_tensor *t)
{
    uint64_t rows = 0;

    if (!iqt_mul(t->ne[1], t->ne[2], &rows) || !iqt_mul(rows, t->ne[3], &rows))
        return 0;
    return rows;
}

struct iqt_gguf_size iqt_gguf_size_of(const struct iqt_gguf_tensor *t)
{
    struct iqt_gguf_size size = { .flaw = IQT_GGUF_SOUND };
    bool empty = t->dims == 0;
    struct unit unit;

    for (uint32_t i = 0; i < MAX_DIMS; i++)
        empty |= t->ne[i] == 0;
    if (!unit_of(t, &unit)) {
        size.flaw = IQT_GGUF_UNKNOWN_TYPE;
        return size;
    }
    size.granule = unit.granule;
    size.row_head = unit.row_head;
    size.rows = iqt_gguf_rows(t);
    if (empty)
        size.flaw = IQT_GGUF_EMPTY;
    else if (t->ne[0] % unit.granule != 0)
        size.flaw = IQT_GGUF_BAD_ROW;
    else if (t->format != NULL && t->format->base_type != 0 &&
             t->ne[1] % IQT_UNIT_ROWS != 0)
        size.flaw = IQT_GGUF_BAD_UNIT;
    else if (size.rows == 0 ||
             !iqt_mul(t->ne[0] / unit.granule, unit.bytes, &size.row_bytes) ||
             !iqt_add(size.row_bytes, unit.row_head, &size.row_bytes) ||
             !iqt_mul(size.row_bytes, size.rows, &size.bytes))
        size.flaw = IQT_GGUF_TOO_LARGE;
    return size;
}

/* ---- Tensor table ---- */

static enum iqt_status take_tensor(struct cursor *c, struct iqt_gguf_tensor *t)
{
    const uint8_t *p;
    uint64_t bytes;

    *t = (struct iqt_gguf_tensor){ .ne = { 1, 1, 1, 1 } };
    IQT_TRY(take_text(c, "the name of a tensor", &p, &bytes));
    t->name = (const char *)p;
    t->name_bytes = (size_t)bytes;
    IQT_TRY(take_u32(c, "the number of dimensions", &t->dims));
    if (t->dims > MAX_DIMS) {
        char name[NAME_TEXT];

        c->pos -= 4;
        iqt_escape(name, sizeof name, t->name, t->name_bytes);
        return FAIL_AT(c, "tensor %s has %u dimensions, at most %u are possible", name,
                       t->dims, (unsigned)MAX_DIMS);
    }
    for (uint32_t i = 0; i < t->dims; i++)
        IQT_TRY(take_u64(c, "a dimension", &t->ne[i]));
    IQT_TRY(take_u32(c, "the type of a tensor", &t->type));
    return take_u64(c, "the offset of a tensor", &t->offset);
}

static enum iqt_status parse_tensors(struct cursor *c, struct iqt_gguf_file *f)
{
    for (size_t i = 0; i < f->tensors; i++) {
        struct iqt_gguf_tensor t;

        f->tensor_at[i] = c->pos;
        IQT_TRY(take_tensor(c, &t));
    }
    return IQT_OK;
}

struct iqt_gguf_tensor iqt_gguf_file_entry(const struct iqt_gguf_file *f, size_t i)
{
    struct cursor c = { f, f->tensor_at[i] };
    struct iqt_gguf_tensor t;
    const enum iqt_status status = take_tensor(&c, &t);

    assert(status == IQT_OK); /* opening read the same bytes */
    (void)status;
    return t;
}

struct iqt_gguf_tensor iqt_gguf_file_tensor(const struct iqt_gguf_file *f, size_t i)
{
    struct iqt_gguf_tensor t = iqt_gguf_file_entry(f, i);
    const struct iqt_foreign_type *foreign = iqt_foreign_of_type(t.type);
    uint64_t begin, end;

    t.format = iqt_format_of_type(t.type);
    t.type_name = t.format != NULL  ? t.format->name
                  : foreign != NULL ? foreign->name
                                    : NULL;
    t.bytes = iqt_gguf_size_of(&t).bytes;
    if (t.bytes > 0 && iqt_add(f->data_start, t.offset, &begin) &&
        iqt_add(begin, t.bytes, &end) && end <= f->bytes)
        t.data = f->data + begin;
    return t;
}

/* ---- The whole file ---- */

static enum iqt_status parse_version(struct cursor *c)
{
    const uint8_t *magic;
    uint32_t version;

    IQT_TRY(take(c, 4, "the magic \"GGUF\"", &magic));
    if (memcmp(magic, "GGUF", 4) != 0)
        return iqt_fail(
            IQT_ERR_FORMAT,
            "%s: byte 0: not a GGUF file: begins with %02x %02x %02x %02x, expected "
            "47 47 55 46",
            c->f->path, magic[0], magic[1], magic[2], magic[3]);
    IQT_TRY(take_u32(c, "the version", &version));
    if (version != 0 && (version & 0xffff) == 0)
        return iqt_fail(
            IQT_ERR_UNSUPPORTED,
            "%s: byte 4: version %08x: a big-endian file, only little-endian ones "
            "can be read",
            c->f->path, version);
    if (version < MIN_VERSION || version > MAX_VERSION)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "%s: byte 4: version is %u, expected %u or %u", c->f->path,
                        version, (unsigned)MIN_VERSION, (unsigned)MAX_VERSION);
    return IQT_OK;
}

/* A table for count entries of at least min_bytes each, once the file can hold so many. */
static enum iqt_status table_create(const struct cursor *c, const char *what,
                                    uint64_t count, uint64_t min_bytes, uint64_t **out)
{
    uint64_t *table = NULL;

    if (count > left(c) / min_bytes)
        return FAIL_AT(c, "the header counts %llu %s, the file has %llu more bytes",
                       (unsigned long long)count, what, (unsigned long long)left(c));
    if (count > 0) {
        table = malloc((size_t)count * sizeof *table);
        if (table == NULL)
            return iqt_fail(IQT_ERR_NO_MEMORY, "%s: no memory for a table of %llu %s",
                            c->f->path, (unsigned long long)count, what);
    }
    *out = table;
    return IQT_OK;
}

static enum iqt_status find_alignment(struct iqt_gguf_file *f)
{
    struct iqt_gguf_key key;
    uint64_t value = 0;

    f->alignment = IQT_GGUF_ALIGNMENT;
    if (!iqt_gguf_file_find(f, IQT_GGUF_ALIGNMENT_KEY, &key))
        return IQT_OK;
    if (!iqt_gguf_key_unsigned(&key, &value) || value == 0 || value > UINT32_MAX ||
        (value & (value - 1)) != 0)
        return iqt_fail(IQT_ERR_FORMAT,
                        "%s: byte %llu: " IQT_GGUF_ALIGNMENT_KEY
                        " (%s) is %llu, expected a power of two",
                        f->path,
                        (unsigned long long)((const uint8_t *)key.data - f->data),
                        iqt_gguf_type_name(key.type), (unsigned long long)value);
    f->alignment = (uint32_t)value;
    return IQT_OK;
}

enum iqt_status iqt_gguf_file_parse(struct iqt_gguf_file *f)
{
    struct cursor c = { f, 0 };
    uint64_t tensors, keys;

    IQT_TRY(parse_version(&c));
    IQT_TRY(take_u64(&c, "the number of tensors", &tensors));
    IQT_TRY(take_u64(&c, "the number of keys", &keys));
    IQT_TRY(table_create(&c, "keys", keys, MIN_KEY_BYTES, &f->key_at));
    f->keys = (size_t)keys;
    IQT_TRY(parse_keys(&c, f));
    IQT_TRY(table_create(&c, "tensors", tensors, MIN_TENSOR_BYTES, &f->tensor_at));
    f->tensors = (size_t)tensors;
    IQT_TRY(parse_tensors(&c, f));
    IQT_TRY(find_alignment(f));
    f->data_start = iqt_round_up(c.pos, f->alignment);
    return IQT_OK;
}
