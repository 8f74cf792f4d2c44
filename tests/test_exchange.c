/* The exchange format: export, forget, import is the identity; a bad file changes nothing. */
#include "tests/database_make.h"

#include <jansson.h>

static const struct iqt_db_filter all = { 0 };

static void export(struct iqt_db *db, struct iqt_buf *out)
{
    *out = (struct iqt_buf){ 0 };
    check_true(iqt_db_export(db, &all, out) == IQT_OK, "export: %s", iqt_last_error());
}

/* Winners and failures of several keys. */
static void fill(struct iqt_db *db)
{
    static const char *const formats[] = { "iq4_ks", "iq2_kl", "iq3_kt", "iq6_k" };

    for (uint32_t i = 0; i < 24; i++) {
        const struct iqt_plan p =
            plan_of(formats[i % 4], i % 3 == 0 ? 4 : 1, (enum iqt_layout)(i / 4 % 2), i);
        struct iqt_db_entry e = entry_of(&p, 64u << i % 5);

        e.ns = 1e3 + check_rand() / 3.0;
        e.samples = 1 + check_rand() % 30;
        e.time += (int64_t)(check_rand() % 100000);
        if (i % 5 == 0) {
            e.validity = (enum iqt_validity)(1 + i / 5);
            e.ns = e.default_ns = e.spread_ns = 0;
            e.samples = 0;
            snprintf(e.reason, sizeof e.reason, "because \"%u\" \t\xc3\xa9", i);
        }
        store(db, &e);
    }
}

static void identity(void)
{
    struct iqt_db *db = open_new("identity.db");
    struct iqt_buf before, after;
    uint64_t count = 0, rows;

    fill(db);
    rows = count_all(db);
    export(db, &before);
    check_true(iqt_db_forget(db, &all, &count) == IQT_OK && count == rows, "forgot %llu",
               (unsigned long long)count);
    check_true(count_all(db) == 0, "%llu left", (unsigned long long)count_all(db));
    check_true(iqt_db_import(db, before.data, before.bytes, &count) == IQT_OK,
               "import: %s", iqt_last_error());
    check_true(count == rows, "imported %llu of %llu", (unsigned long long)count,
               (unsigned long long)rows);
    export(db, &after);
    check_true(before.bytes == after.bytes &&
                   memcmp(before.data, after.data, after.bytes) == 0,
               "the second export differs");
    /* Once more changes nothing. */
    check_true(iqt_db_import(db, before.data, before.bytes, &count) == IQT_OK &&
                   count == 0,
               "a second import took %llu", (unsigned long long)count);
    iqt_buf_free(&before);
    iqt_buf_free(&after);
    iqt_db_close(db);
}

/* The fields that the T4 results schema, version 1.0.0, requires and the words it allows. */
static void schema(void)
{
    static const char *const required[] = { "configuration", "times", "invalidity",
                                            "correctness" };
    struct iqt_db *db = open_new("schema.db");
    struct iqt_buf text;
    const json_t *item;
    size_t i;

    fill(db);
    export(db, &text);
    json_t *root = json_loads(iqt_buf_text(&text), 0, NULL);
    check_true(json_is_object(root), "not JSON");
    check_true(json_is_string(json_object_get(root, "schema_version")),
               "no schema_version");
    check_true(json_array_size(json_object_get(root, "results")) == count_all(db),
               "not one result per row");
    json_array_foreach(json_object_get(root, "results"), i, item)
    {
        enum iqt_validity validity;
        const char *word = json_string_value(json_object_get(item, "invalidity"));

        for (size_t f = 0; f < IQT_COUNT(required); f++)
            check_true(json_object_get(item, required[f]), "result %zu has no %s", i,
                       required[f]);
        check_true(word && iqt_validity_find(word, &validity), "result %zu is %s", i,
                   word);
        check_true(json_is_number(json_object_get(item, "correctness")), "result %zu", i);
        check_true(json_is_object(json_object_get(item, "configuration")), "result %zu",
                   i);
    }
    json_decref(root);
    iqt_buf_free(&text);
    iqt_db_close(db);
}

/* ---- Bad files ----------------------------------------------------------------------- */

/* One change to the last result of a good file; the sentence must name entry and field. */
static const struct fault {
    const char *object; /* NULL: the result itself */
    const char *field, *json, *named;
} faults[] = {
    { NULL, "invalidity", "\"fine\"", "invalidity" },
    { NULL, "invalidity", "7", "invalidity" },
    { NULL, "timestamp", "\"yesterday\"", "timestamp" },
    { NULL, "configuration", "[]", "plan" },
    { NULL, "measurements", "[]", "time" },
    { NULL, "iqtile", "null", "text_hash" },
    { "configuration", "plan", "\"matvec.iq9_k.glsl\"", "plan" },
    { "configuration", "n", "0", "n" },
    { "configuration", "n", "17", "n" },
    { "configuration", "n", "5", "n" },
    { "configuration", "k", "-4096", "k" },
    { "configuration", "k", "4100", "k" },
    { "configuration", "m", "1e300", "m" },
    { "iqtile", "backend", "\"\"", "backend" },
    { "iqtile", "device_id", "42", "device_id" },
    { "iqtile", "vendor", "\"0123456789012345678901234567890123456789\"", "vendor" },
    { "iqtile", "text_hash", "\"zzzzzzzzzzzzzzzz\"", "text_hash" },
    { "iqtile", "level", "\"heroic\"", "level" },
};

static char *with_fault(const struct iqt_buf *good, const struct fault *f)
{
    json_t *root = json_loads(iqt_buf_text(good), 0, NULL);
    json_t *results = json_object_get(root, "results");
    json_t *item = json_array_get(results, json_array_size(results) - 1);
    json_t *value = json_loads(f->json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    if (f->object)
        item = json_object_get(item, f->object);
    check_true(value && json_object_set_new(item, f->field, value) == 0, "cannot set %s",
               f->field);
    char *text = json_dumps(root, 0);
    json_decref(root);
    return text;
}

/* The database is empty before and after. */
static void rejected(struct iqt_db *db, const char *text, size_t bytes, const char *named)
{
    uint64_t count = 99;

    check_true(iqt_db_import(db, text, bytes, &count) == IQT_ERR_FORMAT,
               "%s was accepted", named);
    check_true(strstr(iqt_last_error(), named), "said '%s', not '%s'", iqt_last_error(),
               named);
    check_true(count == 99 && count_all(db) == 0, "%s: %llu rows came in", named,
               (unsigned long long)count_all(db));
}

static void all_or_nothing(void)
{
    struct iqt_db *source = open_new("source.db"), *db = open_new("target.db");
    struct iqt_buf good;

    for (uint32_t i = 0; i < 3; i++) {
        const struct iqt_plan p = plan_of("iq4_ks", 4, IQT_LAYOUT_PACKED, i);
        const struct iqt_db_entry e = entry_of(&p, 64u << i);

        store(source, &e);
    }
    export(source, &good);
    for (size_t i = 0; i < IQT_COUNT(faults); i++) {
        char *bad = with_fault(&good, &faults[i]);

        rejected(db, bad, strlen(bad), faults[i].named);
        check_true(strstr(iqt_last_error(), "result 3"), "said '%s'", iqt_last_error());
        free(bad);
    }
    static const char newer[] = "{\"schema_version\": \"2.0.0\", \"results\": []}";
    static const char empty[] = "{\"schema_version\": \"1.0.0\"}";
    rejected(db, newer, strlen(newer), "schema_version");
    rejected(db, empty, strlen(empty), "results");
    rejected(db, "", 0, "JSON");
    iqt_buf_free(&good);
    iqt_db_close(source);
    iqt_db_close(db);
}

/* Cut at every length, and with random bytes changed: refused, or taken as a whole. */
static void hostile(void)
{
    struct iqt_db *source = open_new("source.db"), *db = open_new("target.db");
    const struct iqt_plan p = plan_of("iq4_ks", 1, IQT_LAYOUT_PACKED, 0);
    const struct iqt_db_entry e = entry_of(&p, 64);
    struct iqt_buf good;
    uint64_t count;

    store(source, &e);
    export(source, &good);
    for (size_t bytes = 0; bytes < good.bytes - 2; bytes++)
        rejected(db, good.data, bytes, "JSON");
    for (uint32_t i = 0; i < 2000; i++) {
        char *copy = malloc(good.bytes);

        if (!copy)
            abort();
        memcpy(copy, good.data, good.bytes);
        for (uint32_t j = 0; j < 1 + i % 3; j++)
            copy[check_rand() % good.bytes] = (char)check_rand();
        if (iqt_db_import(db, copy, good.bytes, &count) != IQT_OK)
            check_true(iqt_last_error()[0] != '\0', "refused without a word");
        free(copy);
    }
    iqt_buf_free(&good);
    iqt_db_close(source);
    iqt_db_close(db);
}

/* ---- Merge --------------------------------------------------------------------------- */

static void merge(void)
{
    struct iqt_db *db = open_new("merge.db");
    const struct iqt_plan a = plan_of("iq4_ks", 1, IQT_LAYOUT_PACKED, 0);
    const struct iqt_plan b = plan_of("iq4_ks", 1, IQT_LAYOUT_PACKED, 1);
    struct iqt_db_entry mine = entry_of(&a, 4096), out;
    static const struct {
        uint32_t samples;
        double ns;
        bool stale, taken;
        const char *text;
    } cases[] = {
        { 3, 100, false, false, "fewer samples, faster" },
        { 10, 500, false, true, "more samples, slower" },
        { 5, 199, false, true, "as many samples, faster" },
        { 5, 201, false, false, "as many samples, slower" },
        { 50, 1, true, false, "stale" },
    };

    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        struct iqt_db_entry other = entry_of(&b, 4096);
        uint64_t taken = 0;
        enum iqt_db_match match;

        mine.samples = 5;
        mine.ns = 200;
        store(db, &mine);
        other.samples = cases[i].samples;
        other.ns = cases[i].ns;
        check_true(fake_hash(&b, &other.text_hash) == IQT_OK, "hash");
        other.text_hash += cases[i].stale;
        check_true(iqt_db_merge(db, &other, 1, &taken) == IQT_OK, "%s", iqt_last_error());
        check_true(taken == cases[i].taken, "%s: taken %llu", cases[i].text,
                   (unsigned long long)taken);
        match = find(db, &mine.device, &a, 1, 4096, &out);
        check_true(match == IQT_DB_EXACT, "%s: nothing is left", cases[i].text);
        check_true(same_entry(&out, cases[i].taken ? &other : &mine), "%s: the wrong one",
                   cases[i].text);
        check_true(count_all(db) == 1, "%s: two winners", cases[i].text);
    }
    iqt_db_close(db);
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    make_folder();
#define CHECK(name, ...)     \
    if (check_begin(name)) { \
        __VA_ARGS__;         \
        check_end();         \
    }
    CHECK("exchange.identity", identity())
    CHECK("exchange.schema", schema())
    CHECK("exchange.all_or_nothing", all_or_nothing())
    CHECK("exchange.hostile", hostile())
    CHECK("exchange.merge", merge())
    remove_folder();
    return check_done();
}
