/* Rows of the tuning database: what is stored, what is found, what is stale. The file itself is
 * opened in database_file.c. */
#include "tuner/database_file.h"

#include <stdio.h>
#include <string.h>

/* Columns of a select, in the order of read_row(). */
#define COLUMNS                                                                              \
    "backend, device_id, device, arch, vendor, driver, plan, n, m, k, text_hash, validity, " \
    "reason, ns, default_ns, spread_ns, samples, level, time"
/* Of one key; ?1 .. are bound by bind_key(). */
#define SAME_KEY                                                                            \
    "format = ?1 AND dialect = ?2 AND op = ?3 AND layout = ?4 AND m_class = ?5 AND k = ?6 " \
    "AND backend = ?7 "
#define SAME_DEVICE "AND device_id = ?8 AND driver = ?9 "
#define MATCHES                                                         \
    "(?1 IS NULL OR backend = ?1) AND (?3 IS NULL OR format = ?3) AND " \
    "(?2 IS NULL OR backend = ?2 OR device_id = ?2 OR instr(lower(device), lower(?2)) > 0)"

uint64_t iqt_shape_class(uint64_t m)
{
    uint64_t class = 1;

    while (class < m && class < UINT64_C(1) << 62)
        class *= 2;
    return class;
}

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    sqlite3_bind_text(s, at, text, -1, SQLITE_TRANSIENT);
}

static void bind_key(sqlite3_stmt *s, const struct iqt_db_device *d,
                     const struct iqt_plan *p, uint64_t m, uint64_t k)
{
    bind_text(s, 1, p->format->name);
    sqlite3_bind_int(s, 2, (int)p->dialect);
    sqlite3_bind_int(s, 3, (int)p->op);
    sqlite3_bind_int(s, 4, (int)p->layout);
    sqlite3_bind_int64(s, 5, (int64_t)iqt_shape_class(m));
    sqlite3_bind_int64(s, 6, (int64_t)k);
    bind_text(s, 7, d->backend);
    bind_text(s, 8, d->id);
    bind_text(s, 9, d->driver);
}

static void bind_filter(sqlite3_stmt *s, const struct iqt_db_filter *f)
{
    bind_text(s, 1, f->backend);
    bind_text(s, 2, f->device);
    bind_text(s, 3, f->format);
}

static void copy_text(sqlite3_stmt *s, int at, char *out, size_t bytes)
{
    const char *text = (const char *)sqlite3_column_text(s, at);

    snprintf(out, bytes, "%s", text ? text : "");
}

static enum iqt_tune_level level_of(int value)
{
    return value >= 0 && value < IQT_TUNE_LEVELS ? (enum iqt_tune_level)value
                                                 : IQT_TUNE_NEVER;
}

static void read_row(sqlite3_stmt *s, struct iqt_db_entry *e)
{
    const int validity = sqlite3_column_int(s, 11);

    memset(e, 0, sizeof *e);
    copy_text(s, 0, e->device.backend, sizeof e->device.backend);
    copy_text(s, 1, e->device.id, sizeof e->device.id);
    copy_text(s, 2, e->device.name, sizeof e->device.name);
    copy_text(s, 3, e->device.arch, sizeof e->device.arch);
    copy_text(s, 4, e->device.vendor, sizeof e->device.vendor);
    copy_text(s, 5, e->device.driver, sizeof e->device.driver);
    copy_text(s, 6, e->plan, sizeof e->plan);
    e->n = (uint32_t)sqlite3_column_int64(s, 7);
    e->m = (uint64_t)sqlite3_column_int64(s, 8);
    e->k = (uint64_t)sqlite3_column_int64(s, 9);
    e->text_hash = (uint64_t)sqlite3_column_int64(s, 10);
    e->validity = validity >= 0 && validity < IQT_VALIDITIES ? (enum iqt_validity)validity
                                                             : IQT_VALID_CONSTRAINTS;
    copy_text(s, 12, e->reason, sizeof e->reason);
    e->ns = sqlite3_column_double(s, 13);
    e->default_ns = sqlite3_column_double(s, 14);
    e->spread_ns = sqlite3_column_double(s, 15);
    e->samples = (uint32_t)sqlite3_column_int64(s, 16);
    e->level = level_of(sqlite3_column_int(s, 17));
    e->time = sqlite3_column_int64(s, 18);
}

/* ---- Freshness ----------------------------------------------------------------------- */

/* Emitting a text takes about as long as a small product: each plan's hash is kept. */
static bool current_hash(struct iqt_db *db, const struct iqt_plan *plan, uint64_t *out)
{
    struct iqt_plan_hash *slot;
    char name[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(plan, name);
    slot = &db->hashes[iqt_hash(name, strlen(name), 0) % IQT_COUNT(db->hashes)];
    if (strcmp(slot->plan, name) != 0) {
        if (db->hash(plan, &slot->hash) != IQT_OK) {
            slot->plan[0] = '\0';
            return false;
        }
        memcpy(slot->plan, name, sizeof name);
    }
    *out = slot->hash;
    return true;
}

/* The row's plan, when it exists, fits k and still has the measured text. */
static bool fresh_plan(struct iqt_db *db, const struct iqt_db_entry *e,
                       struct iqt_plan *plan)
{
    uint64_t hash;

    return iqt_plan_parse(e->plan, plan) == IQT_OK &&
           iqt_plan_check(plan, NULL) == IQT_OK && plan->n >= e->n &&
           iqt_plan_fits(plan, e->k) && current_hash(db, plan, &hash) &&
           hash == e->text_hash;
}

bool iqt_db_fresh(struct iqt_db *db, const struct iqt_db_entry *entry)
{
    struct iqt_plan plan;

    pthread_mutex_lock(&db->lock);
    const bool fresh = fresh_plan(db, entry, &plan);
    pthread_mutex_unlock(&db->lock);
    return fresh;
}

/* ---- Store and merge ----------------------------------------------------------------- */

static enum iqt_status insert(struct iqt_db *db, const struct iqt_db_entry *e,
                              const struct iqt_plan *p)
{
    static const char sql[] =
        "INSERT INTO result (format, dialect, op, layout, m_class, k, backend, device_id, "
        "driver, n, plan, device, arch, vendor, m, text_hash, validity, reason, ns, "
        "default_ns, spread_ns, samples, level, time) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, "
        "?18, ?19, ?20, ?21, ?22, ?23, ?24)";
    sqlite3_stmt *s;

    IQT_TRY(iqt_db_prepare(db, sql, &s));
    bind_key(s, &e->device, p, e->m, e->k);
    sqlite3_bind_int64(s, 10, e->n);
    bind_text(s, 11, e->plan);
    bind_text(s, 12, e->device.name);
    bind_text(s, 13, e->device.arch);
    bind_text(s, 14, e->device.vendor);
    sqlite3_bind_int64(s, 15, (int64_t)e->m);
    sqlite3_bind_int64(s, 16, (int64_t)e->text_hash);
    sqlite3_bind_int(s, 17, (int)e->validity);
    bind_text(s, 18, e->reason);
    sqlite3_bind_double(s, 19, e->ns);
    sqlite3_bind_double(s, 20, e->default_ns);
    sqlite3_bind_double(s, 21, e->spread_ns);
    sqlite3_bind_int64(s, 22, e->samples);
    sqlite3_bind_int(s, 23, (int)e->level);
    sqlite3_bind_int64(s, 24, e->time);
    return iqt_db_finish(db, s);
}

/* A key has one winner; a plan has one row. */
static enum iqt_status make_room(struct iqt_db *db, const struct iqt_db_entry *e,
                                 const struct iqt_plan *p)
{
    static const char sql[] =
        "DELETE FROM result WHERE " SAME_KEY SAME_DEVICE
        "AND n = ?10 AND (plan = ?11 OR (validity = 0 AND ?12 = 0))";
    sqlite3_stmt *s;

    IQT_TRY(iqt_db_prepare(db, sql, &s));
    bind_key(s, &e->device, p, e->m, e->k);
    sqlite3_bind_int64(s, 10, e->n);
    bind_text(s, 11, e->plan);
    sqlite3_bind_int(s, 12, (int)e->validity);
    return iqt_db_finish(db, s);
}

static enum iqt_status put(struct iqt_db *db, const struct iqt_db_entry *e,
                           const struct iqt_plan *p)
{
    IQT_TRY(make_room(db, e, p));
    return insert(db, e, p);
}

enum iqt_status iqt_db_store(struct iqt_db *db, const struct iqt_db_entry *entry)
{
    struct iqt_db_entry e = *entry;
    struct iqt_plan plan;
    enum iqt_status status;

    IQT_TRY(iqt_plan_parse(entry->plan, &plan));
    pthread_mutex_lock(&db->lock);
    if (!current_hash(db, &plan, &e.text_hash)) {
        /* Its own message stands; a plan that emits nothing has nothing to compare later. */
        e.text_hash = 0;
    }
    status = iqt_db_exec(db, "BEGIN IMMEDIATE");
    if (status == IQT_OK)
        status = iqt_db_end(db, put(db, &e, &plan));
    pthread_mutex_unlock(&db->lock);
    return status;
}

/* The row that e would replace: the key's winner, or the failure of the same plan. */
static enum iqt_status find_rival(struct iqt_db *db, const struct iqt_db_entry *e,
                                  const struct iqt_plan *p, struct iqt_db_entry *out,
                                  bool *found)
{
    static const char sql[] =
        "SELECT " COLUMNS " FROM result WHERE " SAME_KEY SAME_DEVICE
        "AND n = ?10 AND (plan = ?11 OR (validity = 0 AND ?12 = 0)) "
        "ORDER BY validity LIMIT 1";
    sqlite3_stmt *s;

    IQT_TRY(iqt_db_prepare(db, sql, &s));
    bind_key(s, &e->device, p, e->m, e->k);
    sqlite3_bind_int64(s, 10, e->n);
    bind_text(s, 11, e->plan);
    sqlite3_bind_int(s, 12, (int)e->validity);
    *found = sqlite3_step(s) == SQLITE_ROW;
    if (*found)
        read_row(s, out);
    return iqt_db_finish(db, s);
}

/* Fresh before stale, then more samples, then faster. A failure on record is never overruled by
 * a file: the plan is tried again only when its text changes. */
static bool prevails(struct iqt_db *db, const struct iqt_db_entry *e,
                     const struct iqt_db_entry *rival)
{
    struct iqt_plan plan;
    const bool fresh = fresh_plan(db, e, &plan),
               rival_fresh = fresh_plan(db, rival, &plan);

    if (fresh != rival_fresh)
        return fresh;
    if (rival->validity != IQT_VALID_CORRECT || e->validity != IQT_VALID_CORRECT)
        return e->validity != IQT_VALID_CORRECT && rival->validity == IQT_VALID_CORRECT;
    if (e->samples != rival->samples)
        return e->samples > rival->samples;
    return e->ns < rival->ns;
}

static enum iqt_status merge_all(struct iqt_db *db, const struct iqt_db_entry *entry,
                                 size_t count, uint64_t *taken)
{
    *taken = 0;
    for (size_t i = 0; i < count; i++) {
        struct iqt_db_entry rival;
        struct iqt_plan plan;
        bool found;

        IQT_TRY(iqt_plan_parse(entry[i].plan, &plan));
        IQT_TRY(find_rival(db, &entry[i], &plan, &rival, &found));
        if (found && !prevails(db, &entry[i], &rival))
            continue;
        IQT_TRY(put(db, &entry[i], &plan));
        ++*taken;
    }
    return IQT_OK;
}

enum iqt_status iqt_db_merge(struct iqt_db *db, const struct iqt_db_entry *entry,
                             size_t count, uint64_t *taken)
{
    uint64_t changed = 0;
    enum iqt_status status;

    pthread_mutex_lock(&db->lock);
    status = iqt_db_exec(db, "BEGIN IMMEDIATE");
    if (status == IQT_OK)
        status = iqt_db_end(db, merge_all(db, entry, count, &changed));
    pthread_mutex_unlock(&db->lock);
    if (status == IQT_OK)
        *taken = changed;
    return status;
}

/* ---- Lookup -------------------------------------------------------------------------- */

/* Ways to look, best first. ?10: columns; ?11: architecture; ?12: vendor. Rows of the smallest
 * sufficient n come first, the newest first among those. */
static const struct step {
    enum iqt_db_match match;
    const char *sql;
} steps[] = {
#define WINNERS \
    "SELECT " COLUMNS " FROM result WHERE validity = 0 AND n >= ?10 AND " SAME_KEY
#define NEWEST "ORDER BY n, time DESC, rowid DESC"
    { IQT_DB_EXACT, WINNERS SAME_DEVICE NEWEST },
    { IQT_DB_ARCH, WINNERS "AND arch = ?11 AND arch != '' " NEWEST },
    { IQT_DB_VENDOR, WINNERS "AND vendor = ?12 AND vendor != '' " NEWEST },
};

/* The first row that is still fresh, legal here and made for enough columns. */
static bool first_usable(struct iqt_db *db, sqlite3_stmt *s,
                         const struct iqt_limits *limits, struct iqt_db_entry *out)
{
    struct iqt_db_entry e;
    struct iqt_plan plan;

    while (sqlite3_step(s) == SQLITE_ROW) {
        read_row(s, &e);
        if (!fresh_plan(db, &e, &plan))
            continue;
        if (limits && iqt_plan_check(&plan, limits) != IQT_OK)
            continue;
        *out = e;
        return true;
    }
    return false;
}

static enum iqt_status find(struct iqt_db *db, const struct iqt_db_device *device,
                            const struct iqt_plan *like, uint32_t n, uint64_t m,
                            uint64_t k, const struct iqt_limits *limits,
                            struct iqt_db_entry *out, enum iqt_db_match *match)
{
    *match = IQT_DB_NONE;
    for (size_t i = 0; i < IQT_COUNT(steps) && *match == IQT_DB_NONE; i++) {
        sqlite3_stmt *s;

        IQT_TRY(iqt_db_prepare(db, steps[i].sql, &s));
        bind_key(s, device, like, m, k);
        sqlite3_bind_int64(s, 10, n);
        bind_text(s, 11, device->arch);
        bind_text(s, 12, device->vendor);
        if (first_usable(db, s, limits, out))
            *match = steps[i].match;
        IQT_TRY(iqt_db_finish(db, s));
    }
    return IQT_OK;
}

enum iqt_status iqt_db_find(struct iqt_db *db, const struct iqt_db_device *device,
                            const struct iqt_plan *like, uint32_t n, uint64_t m,
                            uint64_t k, const struct iqt_limits *limits,
                            struct iqt_db_entry *out, enum iqt_db_match *match)
{
    pthread_mutex_lock(&db->lock);
    const enum iqt_status status = find(db, device, like, n, m, k, limits, out, match);
    pthread_mutex_unlock(&db->lock);
    return status;
}

static enum iqt_status find_failure(struct iqt_db *db, const struct iqt_db_device *device,
                                    const struct iqt_plan *plan, uint32_t n, uint64_t m,
                                    uint64_t k, struct iqt_db_entry *out, bool *found)
{
    static const char sql[] = "SELECT " COLUMNS " FROM result WHERE " SAME_KEY SAME_DEVICE
                              "AND n = ?10 AND plan = ?11 AND validity != 0";
    char name[IQT_PLAN_NAME_BYTES];
    struct iqt_db_entry e;
    uint64_t hash;
    sqlite3_stmt *s;

    iqt_plan_name(plan, name);
    IQT_TRY(iqt_db_prepare(db, sql, &s));
    bind_key(s, device, plan, m, k);
    sqlite3_bind_int64(s, 10, n);
    bind_text(s, 11, name);
    *found = false;
    if (sqlite3_step(s) == SQLITE_ROW) {
        read_row(s, &e);
        *found = current_hash(db, plan, &hash) && hash == e.text_hash;
    }
    if (*found)
        *out = e;
    return iqt_db_finish(db, s);
}

enum iqt_status iqt_db_find_failure(struct iqt_db *db, const struct iqt_db_device *device,
                                    const struct iqt_plan *plan, uint32_t n, uint64_t m,
                                    uint64_t k, struct iqt_db_entry *out, bool *found)
{
    pthread_mutex_lock(&db->lock);
    const enum iqt_status status = find_failure(db, device, plan, n, m, k, out, found);
    pthread_mutex_unlock(&db->lock);
    return status;
}

/* ---- Listing ------------------------------------------------------------------------- */

static enum iqt_status list(struct iqt_db *db, const struct iqt_db_filter *filter,
                            iqt_db_fn fn, void *user)
{
    static const char sql[] =
        "SELECT " COLUMNS " FROM result WHERE " MATCHES
        " ORDER BY backend, device_id, driver, format, op, k, m_class, n, "
        "layout, validity, plan";
    struct iqt_db_entry e;
    sqlite3_stmt *s;

    IQT_TRY(iqt_db_prepare(db, sql, &s));
    bind_filter(s, filter);
    while (sqlite3_step(s) == SQLITE_ROW) {
        read_row(s, &e);
        if (!fn(user, &e))
            break;
    }
    return iqt_db_finish(db, s);
}

enum iqt_status iqt_db_list(struct iqt_db *db, const struct iqt_db_filter *filter,
                            iqt_db_fn fn, void *user)
{
    pthread_mutex_lock(&db->lock);
    const enum iqt_status status = list(db, filter, fn, user);
    pthread_mutex_unlock(&db->lock);
    return status;
}

enum iqt_status iqt_db_forget(struct iqt_db *db, const struct iqt_db_filter *filter,
                              uint64_t *count)
{
    enum iqt_status status;
    uint64_t gone = 0;
    sqlite3_stmt *s;

    pthread_mutex_lock(&db->lock);
    status = iqt_db_prepare(db, "DELETE FROM result WHERE " MATCHES, &s);
    if (status == IQT_OK) {
        bind_filter(s, filter);
        status = iqt_db_finish(db, s);
        gone = (uint64_t)sqlite3_changes(db->sql);
    }
    pthread_mutex_unlock(&db->lock);
    if (status == IQT_OK)
        *count = gone;
    return status;
}

enum iqt_status iqt_db_count(struct iqt_db *db, const struct iqt_db_filter *filter,
                             uint64_t *count)
{
    enum iqt_status status;
    uint64_t rows = 0;
    sqlite3_stmt *s;

    pthread_mutex_lock(&db->lock);
    status = iqt_db_prepare(db, "SELECT count(*) FROM result WHERE " MATCHES, &s);
    if (status == IQT_OK) {
        bind_filter(s, filter);
        if (sqlite3_step(s) == SQLITE_ROW)
            rows = (uint64_t)sqlite3_column_int64(s, 0);
        status = iqt_db_finish(db, s);
    }
    pthread_mutex_unlock(&db->lock);
    if (status == IQT_OK)
        *count = rows;
    return status;
}
