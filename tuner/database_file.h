/* The SQLite file under the tuning database: opening, schema, statements, errors. */
#ifndef IQT_TUNER_DATABASE_FILE_H
#define IQT_TUNER_DATABASE_FILE_H

#include "tuner/database.h"

#include <pthread.h>
#include <sqlite3.h>

struct iqt_plan_hash {
    char plan[IQT_PLAN_NAME_BYTES]; /* "": empty slot */
    uint64_t hash;
};

struct iqt_db {
    sqlite3 *sql;
    char *path;
    iqt_text_hash_fn hash;
    pthread_mutex_t lock; /* of everything here */
    struct iqt_plan_hash hashes[256];
};

/* All of these are called with the lock held. */
IQT_MUST_USE enum iqt_status iqt_db_prepare(struct iqt_db *db, const char *sql,
                                            sqlite3_stmt **out);
/* Runs the statement to its end, if it is not there, and frees it. */
IQT_MUST_USE enum iqt_status iqt_db_finish(struct iqt_db *db, sqlite3_stmt *s);
IQT_MUST_USE enum iqt_status iqt_db_exec(struct iqt_db *db, const char *sql);
/* Commits a transaction whose work ended with status, or rolls it back; returns the failure. */
IQT_MUST_USE enum iqt_status iqt_db_end(struct iqt_db *db, enum iqt_status status);

#endif
