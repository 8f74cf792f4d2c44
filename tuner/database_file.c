/* Opens the tuning database. Decides when a file is ours, whole and of a version that this
 * program understands; a file that is not is never written to. */
#include "tuner/database_file.h"

#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, APPLICATION = 0x69717464 /* "iqtd" */, PATIENCE_MS = 10000 };

static const char schema[] =
    "CREATE TABLE result ("
    " format TEXT NOT NULL, dialect INTEGER NOT NULL, op INTEGER NOT NULL,"
    " layout INTEGER NOT NULL, m_class INTEGER NOT NULL, k INTEGER NOT NULL,"
    " backend TEXT NOT NULL, device_id TEXT NOT NULL, driver TEXT NOT NULL,"
    " n INTEGER NOT NULL, plan TEXT NOT NULL,"
    " device TEXT NOT NULL, arch TEXT NOT NULL, vendor TEXT NOT NULL, m INTEGER NOT NULL,"
    " text_hash INTEGER NOT NULL, validity INTEGER NOT NULL, reason TEXT NOT NULL,"
    " ns REAL NOT NULL, default_ns REAL NOT NULL, spread_ns REAL NOT NULL,"
    " samples INTEGER NOT NULL, level INTEGER NOT NULL, time INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX result_key ON result (format, k, m_class, n, layout, op, dialect,"
    " backend, device_id, driver, plan);";

static enum iqt_status fail(const struct iqt_db *db)
{
    return iqt_fail(IQT_ERR_DB, "tuning database %s: %s", db->path,
                    sqlite3_errmsg(db->sql));
}

enum iqt_status iqt_db_prepare(struct iqt_db *db, const char *sql, sqlite3_stmt **out)
{
    if (sqlite3_prepare_v2(db->sql, sql, -1, out, NULL) != SQLITE_OK)
        return fail(db);
    return IQT_OK;
}

enum iqt_status iqt_db_finish(struct iqt_db *db, sqlite3_stmt *s)
{
    enum iqt_status status = IQT_OK;

    /* A select is finished where its caller stopped reading; anything else runs now. */
    if (!sqlite3_stmt_readonly(s))
        while (sqlite3_step(s) == SQLITE_ROW)
            ;
    if (sqlite3_reset(s) != SQLITE_OK)
        status = fail(db);
    sqlite3_finalize(s);
    return status;
}

enum iqt_status iqt_db_exec(struct iqt_db *db, const char *sql)
{
    if (sqlite3_exec(db->sql, sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail(db);
    return IQT_OK;
}

enum iqt_status iqt_db_end(struct iqt_db *db, enum iqt_status status)
{
    if (status == IQT_OK)
        status = iqt_db_exec(db, "COMMIT");
    if (status != IQT_OK)
        sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

static enum iqt_status read_number(struct iqt_db *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *s;

    IQT_TRY(iqt_db_prepare(db, sql, &s));
    const int got = sqlite3_step(s);
    if (got == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0);
    IQT_TRY(iqt_db_finish(db, s));
    if (got != SQLITE_ROW)
        return iqt_fail(IQT_ERR_DB, "tuning database %s: no answer to %s", db->path, sql);
    return IQT_OK;
}

/* Every page is looked at: the file is small, and a wrong plan found later costs more. */
static enum iqt_status check_whole(struct iqt_db *db)
{
    sqlite3_stmt *s;
    enum iqt_status status = IQT_OK;

    IQT_TRY(iqt_db_prepare(db, "PRAGMA quick_check(1)", &s));
    if (sqlite3_step(s) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(s, 0);

        if (!text || strcmp(text, "ok") != 0)
            status = iqt_fail(IQT_ERR_DB, "tuning database %s is damaged: %s", db->path,
                              text ? text : "no answer");
    }
    const enum iqt_status end = iqt_db_finish(db, s);
    return status != IQT_OK ? status : end;
}

/* Reads only. *fresh: a new, empty file. */
static enum iqt_status check_version(struct iqt_db *db, bool *fresh)
{
    int64_t application, version, tables;

    IQT_TRY(read_number(db, "PRAGMA application_id", &application));
    IQT_TRY(read_number(db, "PRAGMA user_version", &version));
    IQT_TRY(read_number(db, "SELECT count(*) FROM sqlite_master", &tables));
    *fresh = application == 0 && version == 0 && tables == 0;
    if (*fresh)
        return IQT_OK;
    if (application != APPLICATION)
        return iqt_fail(IQT_ERR_DB, "%s is an SQLite file, but not a tuning database",
                        db->path);
    if (version > VERSION)
        return iqt_fail(
            IQT_ERR_DB,
            "tuning database %s has version %lld, this program knows %d: use a "
            "newer iqtile or another file",
            db->path, (long long)version, VERSION);
    if (version < 1)
        return iqt_fail(IQT_ERR_DB, "tuning database %s has version %lld", db->path,
                        (long long)version);
    return IQT_OK;
}

static enum iqt_status make_tables(struct iqt_db *db)
{
    bool fresh;

    /* Another process may have been faster since the first look. */
    IQT_TRY(check_version(db, &fresh));
    if (!fresh)
        return IQT_OK;
    IQT_TRY(iqt_db_exec(db, schema));
    IQT_TRY(iqt_db_exec(db, "PRAGMA application_id = 1769043044"));
    return iqt_db_exec(db, "PRAGMA user_version = 1");
}

static enum iqt_status prepare_file(struct iqt_db *db)
{
    bool fresh;

    sqlite3_busy_timeout(db->sql, PATIENCE_MS);
    sqlite3_extended_result_codes(db->sql, 1);
    /* One snapshot: another process may be making the tables between two reads. */
    IQT_TRY(iqt_db_exec(db, "BEGIN"));
    IQT_TRY(iqt_db_end(db, check_version(db, &fresh)));
    if (fresh) {
        IQT_TRY(iqt_db_exec(db, "BEGIN IMMEDIATE"));
        IQT_TRY(iqt_db_end(db, make_tables(db)));
    } else {
        IQT_TRY(check_whole(db));
    }
    /* Readers and one writer at once. Not every file system can do it, and the switch fails
     * while others have the file open: correct without. */
    sqlite3_exec(db->sql, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    sqlite3_exec(db->sql, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
    return IQT_OK;
}

enum iqt_status iqt_db_open(const char *path, bool create, iqt_text_hash_fn hash,
                            struct iqt_db **out)
{
    const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
    struct iqt_db *db = calloc(1, sizeof *db);
    enum iqt_status status = IQT_ERR_NO_MEMORY;

    if (!db || !(db->path = strdup(path))) {
        free(db);
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the tuning database %s", path);
    }
    db->hash = hash;
    pthread_mutex_init(&db->lock, NULL);
    if (sqlite3_open_v2(path, &db->sql, flags, NULL) != SQLITE_OK)
        status = iqt_fail(IQT_ERR_DB, "tuning database %s: %s", path,
                          db->sql ? sqlite3_errmsg(db->sql) : "no memory");
    else
        status = prepare_file(db);
    if (status != IQT_OK) {
        iqt_db_close(db);
        return status;
    }
    *out = db;
    return IQT_OK;
}

void iqt_db_close(struct iqt_db *db)
{
    if (!db)
        return;
    sqlite3_close(db->sql);
    pthread_mutex_destroy(&db->lock);
    free(db->path);
    free(db);
}
