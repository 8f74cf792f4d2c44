/* The tuning database: one SQLite file a user, shared by processes and threads.
 *
 * A row is the winner for one key, or one failed plan of that key. The key is backend, device
 * identity and driver, format, op, n, shape class and layout. The shape class is (k exactly, m
 * rounded up to a power of two): k fixes how rows split, m only how many there are.
 *
 * A row counts only while the hash stored with it equals that of the text which its plan has
 * now. Stale rows are passed over one by one; a newer file or a damaged one is left as it is. */
#ifndef IQT_TUNER_DATABASE_H
#define IQT_TUNER_DATABASE_H

#include "tuner/tuner.h"

struct iqt_db;

/* Who measured. Texts are copied into entries; "" where nothing is known. */
struct iqt_db_device {
    char backend[16], id[64], name[256], arch[64], vendor[32], driver[256];
};

struct iqt_db_entry {
    struct iqt_db_device device;
    char plan
        [IQT_PLAN_NAME_BYTES]; /* with its format, op and layout the rest of the key: */
    uint32_t n;
    uint64_t m, k;
    uint64_t text_hash;
    enum iqt_validity validity;
    char reason[IQT_TUNE_REASON_BYTES];
    double ns, default_ns, spread_ns; /* 0 for failures */
    uint32_t samples;
    enum iqt_tune_level level;
    int64_t time; /* seconds since 1970 */
};

/* What a lookup or a listing is about. Texts NULL: any; device: a backend's name, a device's
 * identity, or a part of its name. */
struct iqt_db_filter {
    const char *backend, *device, *format;
};

typedef enum iqt_status (*iqt_text_hash_fn)(const struct iqt_plan *plan, uint64_t *out);

/* Opens or, with create, makes the file (its folder must exist). hash says which text a plan has
 * now. IQT_ERR_DB: missing, damaged, another program's, or of a newer version; the file is not
 * touched then. */
IQT_MUST_USE enum iqt_status iqt_db_open(const char *path, bool create,
                                         iqt_text_hash_fn hash, struct iqt_db **out);
void iqt_db_close(struct iqt_db *db); /* NULL is allowed */

/* Stores a winner (replacing the key's former one) or a failure (replacing the same plan's). The
 * text hash is filled in from the plan. */
IQT_MUST_USE enum iqt_status iqt_db_store(struct iqt_db *db,
                                          const struct iqt_db_entry *entry);

enum iqt_db_match { IQT_DB_NONE, IQT_DB_VENDOR, IQT_DB_ARCH, IQT_DB_EXACT };
/* The winner for `like`'s format, dialect, op and layout at n columns (else the next larger n
 * that was tuned) and shape class of m x k: of this device and driver, else of the newest of the
 * same architecture, else of the same backend and vendor. *match says which; IQT_DB_NONE leaves
 * *out untouched. limits may be NULL: rows with plans that are illegal under them are passed over. */
IQT_MUST_USE enum iqt_status iqt_db_find(
    struct iqt_db *db, const struct iqt_db_device *device, const struct iqt_plan *like,
    uint32_t n, uint64_t m, uint64_t k, const struct iqt_limits *limits,
    struct iqt_db_entry *out, enum iqt_db_match *match);
/* The failure on record for exactly this plan, device, driver, n and shape class. */
IQT_MUST_USE enum iqt_status iqt_db_find_failure(struct iqt_db *db,
                                                 const struct iqt_db_device *device,
                                                 const struct iqt_plan *plan, uint32_t n,
                                                 uint64_t m, uint64_t k,
                                                 struct iqt_db_entry *out, bool *found);

/* Calls fn for each row in a fixed order until it returns false. fn must not use db. */
typedef bool (*iqt_db_fn)(void *user, const struct iqt_db_entry *entry);
IQT_MUST_USE enum iqt_status iqt_db_list(struct iqt_db *db,
                                         const struct iqt_db_filter *filter, iqt_db_fn fn,
                                         void *user);
IQT_MUST_USE enum iqt_status iqt_db_forget(struct iqt_db *db,
                                           const struct iqt_db_filter *filter,
                                           uint64_t *count);
IQT_MUST_USE enum iqt_status iqt_db_count(struct iqt_db *db,
                                          const struct iqt_db_filter *filter,
                                          uint64_t *count);

/* Whether the row's plan still has the text that was measured. */
bool iqt_db_fresh(struct iqt_db *db, const struct iqt_db_entry *entry);

/* JSON in the T4 results format (schema 1.0.0), one result per row; what T4 has no field for is
 * in each result's "iqtile" object. */
IQT_MUST_USE enum iqt_status iqt_db_export(struct iqt_db *db,
                                           const struct iqt_db_filter *filter,
                                           struct iqt_buf *out);
/* All entries or none; the error names the entry and the field at fault. Of two winners for a key
 * the fresh one stays, then the better sampled one, then the faster one. */
IQT_MUST_USE enum iqt_status iqt_db_import(struct iqt_db *db, const char *json,
                                           size_t bytes, uint64_t *count);

/* For exchange.c: merges all entries in one transaction; *taken counts those that changed
 * something. */
IQT_MUST_USE enum iqt_status iqt_db_merge(struct iqt_db *db,
                                          const struct iqt_db_entry *entry, size_t count,
                                          uint64_t *taken);
uint64_t iqt_shape_class(uint64_t m); /* the next power of two */

#endif
