/* The tuning database: what is kept, found, passed over, refused and left alone. */
#include "tests/database_make.h"

#include <sqlite3.h>
#include <sys/wait.h>

static void round_trip(void)
{
    struct iqt_db *db = open_new("round.db");
    const struct iqt_plan plan = plan_of("iq4_ks", 1, IQT_LAYOUT_PACKED, 3);
    const struct iqt_plan other = plan_of("iq4_ks", 1, IQT_LAYOUT_PACKED, 5);
    struct iqt_db_entry e = entry_of(&plan, 4096), out;

    check_true(find(db, &e.device, &plan, 1, 4096, &out) == IQT_DB_NONE,
               "found in nothing");
    store(db, &e);
    iqt_db_close(db);
    check_true(iqt_db_open(path_of("round.db"), false, fake_hash, &db) == IQT_OK,
               "reopen: %s", iqt_last_error());
    check_true(find(db, &e.device, &plan, 1, 4096, &out) == IQT_DB_EXACT, "not found");
    check_true(same_entry(&e, &out), "a field changed");
    /* The same shape class; then others. */
    check_true(find(db, &e.device, &plan, 1, 2049, &out) == IQT_DB_EXACT,
               "2049 is not 4096");
    check_true(find(db, &e.device, &plan, 1, 2048, &out) == IQT_DB_NONE, "2048 is 4096");
    check_true(find(db, &e.device, &plan, 1, 4097, &out) == IQT_DB_NONE, "4097 is 4096");
    check_true(find(db, &e.device, &plan, 2, 4096, &out) == IQT_DB_NONE,
               "n=1 serves n=2");
    /* A key has one winner. */
    iqt_plan_name(&other, e.plan);
    store(db, &e);
    check_true(count_all(db) == 1, "%llu winners of one key",
               (unsigned long long)count_all(db));
    find(db, &e.device, &plan, 1, 4096, &out);
    check_true(strcmp(out.plan, e.plan) == 0, "the old winner stayed");
    iqt_db_close(db);
}

static void larger_n_serves(void)
{
    struct iqt_db *db = open_new("columns.db");
    const struct iqt_plan four = plan_of("iq4_ks", 4, IQT_LAYOUT_PACKED, 3);
    const struct iqt_plan eight = plan_of("iq4_ks", 8, IQT_LAYOUT_PACKED, 3);
    struct iqt_db_entry a = entry_of(&four, 4096), b = entry_of(&eight, 4096), out;
    static const uint32_t wanted[17] = {
        0, 4, 4, 4, 4, 8, 8, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0
    };

    store(db, &b);
    store(db, &a);
    for (uint32_t n = 1; n <= 16; n++) {
        const enum iqt_db_match match = find(db, &a.device, &four, n, 4096, &out);

        check_true((match == IQT_DB_NONE) == (wanted[n] == 0), "n=%u: match %d", n,
                   match);
        check_true(match == IQT_DB_NONE || out.n == wanted[n], "n=%u got %u", n, out.n);
    }
    iqt_db_close(db);
}

static void failures_are_kept(void)
{
    struct iqt_db *db = open_new("failures.db");
    const struct iqt_plan good = plan_of("iq2_k", 1, IQT_LAYOUT_NATIVE, 0);
    const struct iqt_plan bad = plan_of("iq2_k", 1, IQT_LAYOUT_NATIVE, 1);
    struct iqt_db_entry e = entry_of(&good, 512), f = entry_of(&bad, 512), out;
    bool found;

    f.validity = IQT_VALID_TIMEOUT;
    f.ns = f.default_ns = f.spread_ns = 0;
    strcpy(f.reason, "no answer within 30.0 s");
    store(db, &f);
    check_true(find(db, &e.device, &good, 1, 512, &out) == IQT_DB_NONE,
               "a failure was found");
    store(db, &e);
    check_true(find(db, &e.device, &good, 1, 512, &out) == IQT_DB_EXACT &&
                   same_entry(&e, &out),
               "the winner is lost");
    check_true(iqt_db_find_failure(db, &e.device, &bad, 1, 512, 4096, &out, &found) ==
                       IQT_OK &&
                   found && same_entry(&f, &out),
               "the failure is lost");
    check_true(iqt_db_find_failure(db, &e.device, &good, 1, 512, 4096, &out, &found) ==
                       IQT_OK &&
                   !found,
               "a winner is a failure");
    /* A changed text deserves another try. */
    strcpy(changed_plan, f.plan);
    iqt_db_close(db);
    check_true(iqt_db_open(path_of("failures.db"), false, fake_hash, &db) == IQT_OK, "%s",
               iqt_last_error());
    check_true(iqt_db_find_failure(db, &e.device, &bad, 1, 512, 4096, &out, &found) ==
                       IQT_OK &&
                   !found,
               "a stale failure counts");
    changed_plan[0] = '\0';
    iqt_db_close(db);
}

static void fallback_order(void)
{
    struct iqt_db *db = open_new("fallback.db");
    const struct iqt_plan plan = plan_of("iq3_k", 1, IQT_LAYOUT_PACKED, 0);
    struct iqt_db_entry mine = entry_of(&plan, 4096), driver = mine, arch = mine,
                        vendor = mine;
    struct iqt_db_entry foreign = mine, out;
    const struct iqt_db_device device = mine.device;
    struct iqt_plan p;

    p = plan_of("iq3_k", 1, IQT_LAYOUT_PACKED, 1);
    iqt_plan_name(&p, driver.plan);
    strcpy(driver.device.driver, "driver 2");
    driver.time += 10;
    p = plan_of("iq3_k", 1, IQT_LAYOUT_PACKED, 2);
    iqt_plan_name(&p, arch.plan);
    strcpy(arch.device.id, "uuid-2");
    p = plan_of("iq3_k", 1, IQT_LAYOUT_PACKED, 3);
    iqt_plan_name(&p, vendor.plan);
    strcpy(vendor.device.id, "uuid-3");
    strcpy(vendor.device.arch, "gfx906");
    strcpy(foreign.device.id, "uuid-4");
    strcpy(foreign.device.arch, "sm_90");
    strcpy(foreign.device.vendor, "nvidia");

    store(db, &foreign);
    check_true(find(db, &device, &plan, 1, 4096, &out) == IQT_DB_NONE,
               "a stranger's plan");
    store(db, &vendor);
    check_true(find(db, &device, &plan, 1, 4096, &out) == IQT_DB_VENDOR &&
                   same_entry(&vendor, &out),
               "the vendor's plan is not found");
    store(db, &arch);
    check_true(find(db, &device, &plan, 1, 4096, &out) == IQT_DB_ARCH &&
                   same_entry(&arch, &out),
               "the architecture's plan is not found");
    store(db, &driver);
    check_true(find(db, &device, &plan, 1, 4096, &out) == IQT_DB_ARCH &&
                   same_entry(&driver, &out),
               "the newer of two of the architecture is not found");
    store(db, &mine);
    check_true(find(db, &device, &plan, 1, 4096, &out) == IQT_DB_EXACT &&
                   same_entry(&mine, &out),
               "the device's own plan is not found");
    /* Another backend on the same device is another world; so is a device without names. */
    struct iqt_db_device other = device;
    strcpy(other.backend, "cuda");
    check_true(find(db, &other, &plan, 1, 4096, &out) == IQT_DB_NONE,
               "another backend's plan");
    const struct iqt_db_device nobody = { .backend = "vulkan", .id = "uuid-9" };
    strcpy(mine.device.arch, "");
    strcpy(mine.device.vendor, "");
    store(db, &mine);
    check_true(find(db, &nobody, &plan, 1, 4096, &out) == IQT_DB_NONE,
               "two devices without names are alike");
    iqt_db_close(db);
}

/* The text of one plan changes, then of all: rows are passed over one by one, none is lost. */
static void stale_rows(void)
{
    struct iqt_db *db = open_new("stale.db");
    const struct iqt_plan a = plan_of("iq5_k", 1, IQT_LAYOUT_PACKED, 0);
    const struct iqt_plan b = plan_of("iq5_k", 1, IQT_LAYOUT_PACKED, 1);
    struct iqt_db_entry mine = entry_of(&a, 4096), other = entry_of(&b, 4096), out;
    struct iqt_db_entry more = entry_of(&b, 64);

    strcpy(other.device.id, "uuid-2");
    store(db, &mine);
    store(db, &other);
    store(db, &more);
    iqt_db_close(db);
    strcpy(changed_plan, mine.plan);
    check_true(iqt_db_open(path_of("stale.db"), false, fake_hash, &db) == IQT_OK, "%s",
               iqt_last_error());
    /* The device's own row is stale: the next best one serves. */
    check_true(find(db, &mine.device, &a, 1, 4096, &out) == IQT_DB_ARCH &&
                   same_entry(&other, &out),
               "a stale row hides a fresh one");
    check_true(!iqt_db_fresh(db, &mine) || mine.text_hash != 0, "hash 0 is fresh");
    check_true(find(db, &mine.device, &b, 1, 64, &out) == IQT_DB_EXACT,
               "a fresh row is lost");
    check_true(count_all(db) == 3, "stale rows were deleted");
    iqt_db_close(db);
    changed_plan[0] = '\0';
    emitter_version = 2;
    check_true(iqt_db_open(path_of("stale.db"), false, fake_hash, &db) == IQT_OK, "%s",
               iqt_last_error());
    check_true(find(db, &mine.device, &a, 1, 4096, &out) == IQT_DB_NONE, "all are stale");
    check_true(count_all(db) == 3, "stale rows were deleted");
    iqt_db_close(db);
    emitter_version = 1;
    check_true(iqt_db_open(path_of("stale.db"), false, fake_hash, &db) == IQT_OK, "%s",
               iqt_last_error());
    check_true(find(db, &mine.device, &a, 1, 4096, &out) == IQT_DB_EXACT,
               "the old text again");
    iqt_db_close(db);
}

static void limits_hold(void)
{
    struct iqt_db *db = open_new("limits.db");
    const struct iqt_limits tiny = { .subgroup_min = 1,
                                     .subgroup_max = 1,
                                     .max_threads = 1 };
    struct iqt_plan wide = { 0 };
    struct iqt_db_entry out;
    enum iqt_db_match match;

    for (size_t i = 0; wide.threads <= 1; i++)
        wide = plan_of("iq4_ks", 1, IQT_LAYOUT_PACKED, i);
    const struct iqt_db_entry e = entry_of(&wide, 4096);
    store(db, &e);
    check_true(iqt_db_find(db, &e.device, &wide, 1, 4096, 4096, &tiny, &out, &match) ==
                       IQT_OK &&
                   match == IQT_DB_NONE,
               "a plan of %u threads for a device of one", wide.threads);
    iqt_db_close(db);
}

static void filters(void)
{
    static const struct {
        struct iqt_db_filter filter;
        uint64_t count;
    } cases[] = {
        { { 0 }, 4 },
        { { .format = "iq4_ks" }, 2 },
        { { .device = "uuid-1" }, 2 },
        { { .device = "device" }, 4 },
        { { .device = "vulkan" }, 4 },
        { { .backend = "cuda" }, 0 },
        { { .device = "uuid-2", .format = "iq2_ks", .backend = "vulkan" }, 1 },
        { { .device = "%" }, 0 },
    };
    struct iqt_db *db = open_new("filters.db");
    uint64_t count = 0;

    for (uint32_t i = 0; i < 4; i++) {
        const struct iqt_plan p =
            plan_of(i % 2 ? "iq4_ks" : "iq2_ks", 1, IQT_LAYOUT_PACKED, 0);
        struct iqt_db_entry e = entry_of(&p, 4096);

        if (i >= 2)
            strcpy(e.device.id, "uuid-2");
        store(db, &e);
    }
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        check_true(iqt_db_count(db, &cases[i].filter, &count) == IQT_OK &&
                       count == cases[i].count,
                   "filter %zu: %llu, not %llu", i, (unsigned long long)count,
                   (unsigned long long)cases[i].count);
    }
    check_true(iqt_db_forget(db, &cases[6].filter, &count) == IQT_OK && count == 1,
               "forgot %llu", (unsigned long long)count);
    check_true(count_all(db) == 3, "%llu left", (unsigned long long)count_all(db));
    iqt_db_close(db);
}

/* ---- Files --------------------------------------------------------------------------- */

/* The file cannot be used: a status and a sentence, and not a byte of it changes. */
static void refused(const char *name, const char *why)
{
    struct iqt_db *db = NULL;
    char *before, *after;
    size_t before_bytes, after_bytes;

    check_true(iqt_file_read(path_of(name), &before, &before_bytes) == IQT_OK, "read");
    const enum iqt_status status = iqt_db_open(path_of(name), true, fake_hash, &db);
    check_true(status == IQT_ERR_DB, "%s: %s", name, iqt_status_name(status));
    check_true(status != IQT_ERR_DB || strstr(iqt_last_error(), why), "%s: said '%s'",
               name, iqt_last_error());
    if (status == IQT_OK)
        iqt_db_close(db);
    check_true(iqt_file_read(path_of(name), &after, &after_bytes) == IQT_OK,
               "it is gone");
    check_true(before_bytes == after_bytes && memcmp(before, after, before_bytes) == 0,
               "%s: the file changed", name);
    free(before);
    free(after);
}

static void write_sql(const char *name, const char *sql)
{
    sqlite3 *raw;

    if (sqlite3_open(path_of(name), &raw) != SQLITE_OK ||
        sqlite3_exec(raw, sql, NULL, NULL, NULL) != SQLITE_OK)
        check_fail("%s: %s", sql, sqlite3_errmsg(raw));
    sqlite3_close(raw);
}

static void fill(struct iqt_db *db, size_t rows)
{
    for (size_t i = 0; i < rows; i++) {
        const struct iqt_plan p = plan_of("iq4_k", 1, IQT_LAYOUT_PACKED, i);
        struct iqt_db_entry e = entry_of(&p, 64);

        snprintf(e.device.id, sizeof e.device.id, "uuid-%zu", i);
        store(db, &e);
    }
}

static void damaged_files(void)
{
    struct iqt_db *db;
    char *bytes;
    size_t size;

    check_true(iqt_file_replace(path_of("text.db"),
                                "not a database at all, but long enough "
                                "to have a header of some kind............",
                                80) == IQT_OK,
               "write");
    refused("text.db", "not a database");
    db = open_new("whole.db");
    fill(db, 60);
    iqt_db_close(db);
    check_true(iqt_file_read(path_of("whole.db"), &bytes, &size) == IQT_OK, "read");
    check_true(size > 3 * 4096, "only %zu bytes", size);
    check_true(iqt_file_replace(path_of("cut.db"), bytes, size / 2) == IQT_OK, "write");
    refused("cut.db", "");
    memset(bytes + 4096, 0xa5, size - 4096);
    check_true(iqt_file_replace(path_of("holes.db"), bytes, size) == IQT_OK, "write");
    refused("holes.db", "");
    free(bytes);
    check_true(iqt_db_open(path_of("missing.db"), false, fake_hash, &db) == IQT_ERR_DB,
               "a missing file was opened");
    check_true(access(path_of("missing.db"), F_OK) != 0, "a missing file was made");
}

static void versions(void)
{
    struct iqt_db *db = open_new("newer.db");

    fill(db, 3);
    iqt_db_close(db);
    write_sql("newer.db", "PRAGMA journal_mode = DELETE; PRAGMA user_version = 2");
    refused("newer.db", "version 2");
    unlink(path_of("foreign.db"));
    write_sql("foreign.db", "CREATE TABLE other (x); INSERT INTO other VALUES (1)");
    refused("foreign.db", "not a tuning database");
}

/* Several processes and none loses a row. */
static void many_writers(void)
{
    enum { WRITERS = 4, ROWS = 25 };
    pid_t pid[WRITERS];
    struct iqt_db *db;
    int bad = 0;

    unlink(path_of("shared.db"));
    for (uint32_t w = 0; w < WRITERS; w++) {
        pid[w] = fork();
        if (pid[w] != 0)
            continue;
        /* Each makes the file if it is the first. */
        if (iqt_db_open(path_of("shared.db"), true, fake_hash, &db) != IQT_OK) {
            fprintf(stderr, "writer %u: %s\n", w, iqt_last_error());
            _exit(1);
        }
        for (uint32_t i = 0; i < ROWS; i++) {
            const struct iqt_plan p = plan_of("iq4_k", 1, IQT_LAYOUT_PACKED, i);
            struct iqt_db_entry e = entry_of(&p, 64);

            snprintf(e.device.id, sizeof e.device.id, "w%u-%u", w, i);
            if (iqt_db_store(db, &e) != IQT_OK) {
                fprintf(stderr, "writer %u: %s\n", w, iqt_last_error());
                _exit(1);
            }
        }
        iqt_db_close(db);
        _exit(0);
    }
    for (uint32_t w = 0; w < WRITERS; w++) {
        int state = 1;

        waitpid(pid[w], &state, 0);
        bad += state != 0;
    }
    check_true(bad == 0, "%d writers failed", bad);
    check_true(iqt_db_open(path_of("shared.db"), false, fake_hash, &db) == IQT_OK, "%s",
               iqt_last_error());
    check_true(count_all(db) == WRITERS * ROWS, "%llu rows",
               (unsigned long long)count_all(db));
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
    CHECK("database.round_trip", round_trip())
    CHECK("database.larger_n_serves", larger_n_serves())
    CHECK("database.failures_are_kept", failures_are_kept())
    CHECK("database.fallback_order", fallback_order())
    CHECK("database.stale_rows", stale_rows())
    CHECK("database.limits", limits_hold())
    CHECK("database.filters", filters())
    CHECK("database.damaged_files", damaged_files())
    CHECK("database.versions", versions())
    CHECK("database.many_writers", many_writers())
    remove_folder();
    return check_done();
}
