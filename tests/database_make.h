/* Databases in a folder of their own, with entries of a device that does not exist and texts that
 * change when a test says so. */
#ifndef IQT_TESTS_DATABASE_MAKE_H
#define IQT_TESTS_DATABASE_MAKE_H

#include "tests/check.h"
#include "tuner/database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/iqt-test-db-XXXXXX";
static uint64_t emitter_version =
    1; /* of the fake texts: a change makes every entry stale */
static char changed_plan[IQT_PLAN_NAME_BYTES]; /* the one plan whose text differs */

static enum iqt_status fake_hash(const struct iqt_plan *plan, uint64_t *out)
{
    char name[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(plan, name);
    *out =
        iqt_hash(name, strlen(name), emitter_version) ^ (strcmp(name, changed_plan) == 0);
    return IQT_OK;
}

static void make_folder(void)
{
    if (!mkdtemp(folder))
        abort();
}

/* Leaves nothing behind. */
static void remove_folder(void)
{
    char command[64];

    snprintf(command, sizeof command, "rm -r %s", folder);
    if (system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", folder);
}

static const char *path_of(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static struct iqt_db *open_new(const char *name)
{
    struct iqt_db *db = NULL;

    unlink(path_of(name));
    check_true(iqt_db_open(path_of(name), true, fake_hash, &db) == IQT_OK, "open: %s",
               iqt_last_error());
    if (!db)
        abort();
    return db;
}

static struct iqt_plan plan_of(const char *format, uint32_t n, enum iqt_layout layout,
                               size_t number)
{
    struct iqt_plan plans[2048];
    const size_t total = iqt_plan_list(iqt_format_find(format), IQT_DIALECT_GLSL,
                                       IQT_OP_MATVEC, n, layout, NULL, plans, 2048);

    if (total == 0)
        abort();
    return plans[number % total];
}

static struct iqt_db_entry entry_of(const struct iqt_plan *plan, uint64_t m)
{
    struct iqt_db_entry e = {
        .device = { "vulkan", "uuid-1", "Device \"One\"", "gfx1100", "amd", "driver 1" },
        .n = plan->n,
        .m = m,
        .k = 4096,
        .ns = 12345.678901234567,
        .default_ns = 23456.7,
        .spread_ns = 0.1,
        .samples = 7,
        .level = IQT_TUNE_QUICK,
        .time = 1700000000,
    };

    iqt_plan_name(plan, e.plan);
    return e;
}

static void store(struct iqt_db *db, const struct iqt_db_entry *e)
{
    check_true(iqt_db_store(db, e) == IQT_OK, "store: %s", iqt_last_error());
}

static enum iqt_db_match find(struct iqt_db *db, const struct iqt_db_device *device,
                              const struct iqt_plan *like, uint32_t n, uint64_t m,
                              struct iqt_db_entry *out)
{
    enum iqt_db_match match = IQT_DB_NONE;

    check_true(iqt_db_find(db, device, like, n, m, 4096, NULL, out, &match) == IQT_OK,
               "find: %s", iqt_last_error());
    return match;
}

static uint64_t count_all(struct iqt_db *db)
{
    const struct iqt_db_filter all = { 0 };
    uint64_t count = 0;

    check_true(iqt_db_count(db, &all, &count) == IQT_OK, "count: %s", iqt_last_error());
    return count;
}

static bool same_entry(const struct iqt_db_entry *a, const struct iqt_db_entry *b)
{
    return memcmp(&a->device, &b->device, sizeof a->device) == 0 &&
           strcmp(a->plan, b->plan) == 0 && a->n == b->n && a->m == b->m &&
           a->k == b->k && a->validity == b->validity &&
           strcmp(a->reason, b->reason) == 0 && a->ns == b->ns &&
           a->default_ns == b->default_ns && a->spread_ns == b->spread_ns &&
           a->samples == b->samples && a->level == b->level && a->time == b->time;
}

#endif
