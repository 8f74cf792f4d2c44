/* iqtile info: the keys and tensors of a GGUF file, for people and as JSON.
 * Output is a stream: no array or string of the file is held in memory. */
#include "tools/cli.h"
#include "tools/json_text.h"

#include <iqtile/gguf.h>

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    SHOWN_ITEMS = 4, /* of an array */
    SHOWN_TEXT = 64, /* bytes of a string */
    NAME_TEXT = 96,
    MAX_NAME_WIDTH = 48,
    MAX_TYPES = 256, /* more than there are known types */
};

struct options {
    bool json;
};

static const struct iqt_opt options[] = {
    { "json", IQT_OPT_FLAG, NULL, "print everything as one JSON object",
      offsetof(struct options, json) },
    { .name = NULL },
};

/* ---- Values ---- */

static void print_float(double value, int digits, bool json)
{
    if (json && !isfinite(value))
        fputs("null", stdout); /* JSON has no such numbers */
    else
        printf("%.*g", digits, value);
}

static int64_t signed_of(const uint8_t *p, uint32_t bytes)
{
    uint64_t value = p[bytes - 1] >= 0x80 ? UINT64_MAX : 0;

    for (uint32_t i = bytes; i-- > 0;)
        value = value << 8 | p[i];
    return (int64_t)value;
}

static uint64_t unsigned_of(const uint8_t *p, uint32_t bytes)
{
    uint64_t value = 0;

    for (uint32_t i = bytes; i-- > 0;)
        value = value << 8 | p[i];
    return value;
}

static void print_number(enum iqt_gguf_type type, const uint8_t *p, bool json)
{
    const uint32_t bytes = iqt_gguf_type_bytes(type);
    uint64_t bits;
    double wide;

    switch (type) {
    case IQT_GGUF_F32:
        print_float(iqt_read_f32(p), 9, json);
        break;
    case IQT_GGUF_F64:
        bits = iqt_read_u64(p);
        memcpy(&wide, &bits, sizeof wide);
        print_float(wide, 17, json);
        break;
    case IQT_GGUF_BOOL:
        fputs(p[0] != 0 ? "true" : "false", stdout);
        break;
    case IQT_GGUF_I8:
    case IQT_GGUF_I16:
    case IQT_GGUF_I32:
    case IQT_GGUF_I64:
        printf("%" PRId64, signed_of(p, bytes));
        break;
    default:
        printf("%" PRIu64, unsigned_of(p, bytes));
    }
}

static void print_string(const uint8_t *text, uint64_t bytes, bool json)
{
    char shown[SHOWN_TEXT];

    if (json) {
        json_text(stdout, (const char *)text, (size_t)bytes);
        return;
    }
    iqt_escape(shown, sizeof shown, (const char *)text, (size_t)bytes);
    printf("\"%s\"", shown);
}

static const uint8_t *print_items(enum iqt_gguf_type item, uint64_t count,
                                  const uint8_t *p, bool json);

/* Prints the element of an array at p; returns where the next one starts. */
static const uint8_t *print_item(enum iqt_gguf_type type, const uint8_t *p, bool json)
{
    if (type == IQT_GGUF_ARRAY)
        return print_items((enum iqt_gguf_type)iqt_read_u32(p), iqt_read_u64(p + 4),
                           p + 12, json);
    if (type == IQT_GGUF_STRING) {
        const uint64_t bytes = iqt_read_u64(p);

        print_string(p + 8, bytes, json);
        return p + 8 + bytes;
    }
    print_number(type, p, json);
    return p + iqt_gguf_type_bytes(type);
}

/* All of them in JSON; else the first ones, and of arrays within arrays none. */
static const uint8_t *print_items(enum iqt_gguf_type item, uint64_t count,
                                  const uint8_t *p, bool json)
{
    const uint64_t most = json ? count : item == IQT_GGUF_ARRAY ? 0 : SHOWN_ITEMS;

    fputc('[', stdout);
    for (uint64_t i = 0; i < count && i < most; i++) {
        fputs(i > 0 ? ", " : "", stdout);
        p = print_item(item, p, json);
    }
    fputs(count <= most ? "]" : most > 0 ? ", ...]" : "...]", stdout);
    return p;
}

static void print_value(const struct iqt_gguf_key *key, bool json)
{
    if (key->type == IQT_GGUF_ARRAY)
        print_items(key->item, key->count, key->data, json);
    else if (key->type == IQT_GGUF_STRING)
        print_string(key->data, key->count, json);
    else
        print_number(key->type, key->data, json);
}

/* ---- Totals per type ---- */

struct total {
    const char *type; /* NULL: all unknown types together */
    uint64_t tensors, weights, bytes;
};

struct totals {
    struct total all, of[MAX_TYPES];
    size_t count;
};

static void add_up(uint64_t *sum, uint64_t value)
{
    if (!iqt_add(*sum, value, sum))
        *sum = UINT64_MAX;
}

static void total_add(struct total *total, uint64_t weights, uint64_t bytes)
{
    add_up(&total->tensors, 1);
    add_up(&total->weights, weights);
    add_up(&total->bytes, bytes);
}

static uint64_t weights_of(const struct iqt_gguf_tensor *t)
{
    uint64_t weights = 0;

    return iqt_mul(t->ne[0], iqt_gguf_rows(t), &weights) ? weights : UINT64_MAX;
}

static void totals_collect(const struct iqt_gguf *g, struct totals *totals)
{
    for (size_t i = 0; i < iqt_gguf_tensor_count(g); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, i);
        size_t at = 0;

        while (at < totals->count && totals->of[at].type != t.type_name)
            at++;
        if (at == totals->count) {
            assert(at < MAX_TYPES);
            totals->of[totals->count++].type = t.type_name;
        }
        total_add(&totals->of[at], weights_of(&t), t.bytes);
        total_add(&totals->all, weights_of(&t), t.bytes);
    }
}

static double bits_per_weight(uint64_t bytes, uint64_t weights)
{
    return weights > 0 ? 8.0 * (double)bytes / (double)weights : 0.0;
}

/* ---- For people ---- */

static size_t escaped_width(const char *name, size_t bytes, size_t width)
{
    char shown[NAME_TEXT];

    iqt_escape(shown, sizeof shown, name, bytes);
    if (strlen(shown) > width)
        width = strlen(shown);
    return width < MAX_NAME_WIDTH ? width : MAX_NAME_WIDTH;
}

static void print_keys(const struct iqt_gguf *g)
{
    size_t width = 0;

    for (size_t i = 0; i < iqt_gguf_key_count(g); i++) {
        const struct iqt_gguf_key key = iqt_gguf_key_at(g, i);

        width = escaped_width(key.name, key.name_bytes, width);
    }
    for (size_t i = 0; i < iqt_gguf_key_count(g); i++) {
        const struct iqt_gguf_key key = iqt_gguf_key_at(g, i);
        char name[NAME_TEXT];

        iqt_escape(name, sizeof name, key.name, key.name_bytes);
        printf("  %-*s  ", (int)width, name);
        if (key.type == IQT_GGUF_ARRAY)
            printf("%s[%" PRIu64 "] ", iqt_gguf_type_name(key.item), key.count);
        else
            printf("%s ", iqt_gguf_type_name(key.type));
        print_value(&key, false);
        putchar('\n');
    }
}

static void print_tensor(const struct iqt_gguf_tensor *t, size_t width)
{
    char name[NAME_TEXT], type[24], shape[96] = "scalar";
    int used = 0;

    iqt_escape(name, sizeof name, t->name, t->name_bytes);
    if (t->type_name != NULL)
        snprintf(type, sizeof type, "%s", t->type_name);
    else
        snprintf(type, sizeof type, "type %" PRIu32, t->type);
    for (uint32_t i = 0; i < t->dims; i++)
        used += snprintf(shape + used, sizeof shape - (size_t)used, "%s%" PRIu64,
                         i > 0 ? " x " : "", t->ne[i]);
    printf("  %-*s  %-12s %-22s", (int)width, name, type, shape);
    if (t->bytes > 0)
        printf(" %14" PRIu64 " %8.4f\n", t->bytes,
               bits_per_weight(t->bytes, weights_of(t)));
    else
        printf(" %14s %8s\n", "-", "-");
}

static void print_tensors(const struct iqt_gguf *g)
{
    size_t width = strlen("name");

    for (size_t i = 0; i < iqt_gguf_tensor_count(g); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, i);

        width = escaped_width(t.name, t.name_bytes, width);
    }
    printf("  %-*s  %-12s %-22s %14s %8s\n", (int)width, "name", "type", "shape", "bytes",
           "bits/w");
    for (size_t i = 0; i < iqt_gguf_tensor_count(g); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, i);

        print_tensor(&t, width);
    }
}

static void print_total(const char *name, const struct total *total)
{
    printf("  %-12s %7" PRIu64 " tensors %16" PRIu64 " weights %16" PRIu64
           " bytes %8.4f bits/w\n",
           name, total->tensors, total->weights, total->bytes,
           bits_per_weight(total->bytes, total->weights));
}

static void print_text(const char *path, const struct iqt_gguf *g,
                       const struct totals *totals)
{
    printf("%s: %zu keys, %zu tensors\n\nkeys\n", path, iqt_gguf_key_count(g),
           iqt_gguf_tensor_count(g));
    print_keys(g);
    printf("\ntensors\n");
    print_tensors(g);
    printf("\ntypes\n");
    for (size_t i = 0; i < totals->count; i++)
        print_total(totals->of[i].type != NULL ? totals->of[i].type : "unknown",
                    &totals->of[i]);
    print_total("total", &totals->all);
}

/* ---- JSON ---- */

static void json_keys(const struct iqt_gguf *g)
{
    for (size_t i = 0; i < iqt_gguf_key_count(g); i++) {
        const struct iqt_gguf_key key = iqt_gguf_key_at(g, i);

        printf("%s\n  {\"name\": ", i > 0 ? "," : "");
        json_text(stdout, key.name, key.name_bytes);
        printf(", \"type\": \"%s\"", iqt_gguf_type_name(key.type));
        if (key.type == IQT_GGUF_ARRAY)
            printf(", \"item\": \"%s\", \"count\": %" PRIu64,
                   iqt_gguf_type_name(key.item), key.count);
        fputs(", \"value\": ", stdout);
        print_value(&key, true);
        putchar('}');
    }
}

static void json_type(const char *type)
{
    if (type != NULL)
        printf("\"%s\"", type);
    else
        fputs("null", stdout);
}

static void json_tensors(const struct iqt_gguf *g)
{
    for (size_t i = 0; i < iqt_gguf_tensor_count(g); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, i);

        printf("%s\n  {\"name\": ", i > 0 ? "," : "");
        json_text(stdout, t.name, t.name_bytes);
        fputs(", \"type\": ", stdout);
        json_type(t.type_name);
        printf(", \"type_id\": %" PRIu32 ", \"shape\": [", t.type);
        for (uint32_t d = 0; d < t.dims; d++)
            printf("%s%" PRIu64, d > 0 ? ", " : "", t.ne[d]);
        printf("], \"file\": %" PRIu32 ", \"offset\": %" PRIu64 ", \"bytes\": %" PRIu64
               ", \"bits_per_weight\": %.9g}",
               t.file, t.offset, t.bytes, bits_per_weight(t.bytes, weights_of(&t)));
    }
}

static void json_total(const struct total *total)
{
    printf("\"tensors\": %" PRIu64 ", \"weights\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"bits_per_weight\": %.9g}",
           total->tensors, total->weights, total->bytes,
           bits_per_weight(total->bytes, total->weights));
}

static void print_json(const char *path, const struct iqt_gguf *g,
                       const struct totals *totals)
{
    fputs("{\"file\": ", stdout);
    json_text(stdout, path, strlen(path));
    fputs(", \"keys\": [", stdout);
    json_keys(g);
    fputs("\n], \"tensors\": [", stdout);
    json_tensors(g);
    fputs("\n], \"types\": [", stdout);
    for (size_t i = 0; i < totals->count; i++) {
        printf("%s\n  {\"type\": ", i > 0 ? "," : "");
        json_type(totals->of[i].type);
        fputs(", ", stdout);
        json_total(&totals->of[i]);
    }
    fputs("\n], \"total\": {", stdout);
    json_total(&totals->all);
    fputs("}\n", stdout);
}

static int run(const void *opts, int count, char **args)
{
    const struct options *o = opts;
    struct totals totals = { .count = 0 };
    struct iqt_gguf *g;
    const enum iqt_status status = iqt_gguf_open(args[0], &g);

    (void)count;
    if (status != IQT_OK)
        return iqt_cli_fail(status);
    totals_collect(g, &totals);
    if (o->json)
        print_json(args[0], g, &totals);
    else
        print_text(args[0], g, &totals);
    iqt_gguf_close(g);
    if (fflush(stdout) != 0 || ferror(stdout))
        return iqt_cli_fail(iqt_fail(IQT_ERR_IO, "cannot write the results"));
    return IQT_EXIT_OK;
}

const struct iqt_command iqt_cmd_info = {
    .name = "info",
    .usage = "FILE [--json]",
    .summary =
        "keys and tensors of a GGUF file, with bits per weight and totals per type",
    .opts = options,
    .opts_bytes = sizeof(struct options),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
