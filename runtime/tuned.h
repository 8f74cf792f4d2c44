/* Where the tuner meets devices: tuned plans for products, and tuning a device. The database is
 * the context's; the library computes the same without it, only slower. */
#ifndef IQT_RUNTIME_TUNED_H
#define IQT_RUNTIME_TUNED_H

#include "tuner/database.h"
#include "runtime/runtime.h"

/* Opens the context's database. create: makes the file and its folder. IQT_ERR_DB as
 * iqt_db_open(), and when the context has none. */
IQT_MUST_USE enum iqt_status iqt_tuned_open(const struct iqt_context *ctx, bool create,
                                            struct iqt_db **out);

struct iqt_tune_device_options {
    enum iqt_tune_level level;
    uint64_t budget_ns;  /* 0: the level's own */
    uint64_t timeout_ns; /* of one verification or measurement; 0: 30 s */
    bool force;
    /* A program that ends up in iqt_worker_serve(), NULL-terminated. NULL: plans run in this
     * process, which a bad one may take down. CPU kernels always do: they were built with it. */
    const char *const *worker;
    void *user;
    /* The m rows of GGUF bytes of jobs[index], valid until the next call. */
    enum iqt_status (*weights)(void *user, size_t index, const void **rows);
    /* All of these may be NULL; see iqt_tune_calls. report gets every outcome, failed
     * candidates, too. */
    void (*progress)(void *user, uint64_t done, uint64_t total, const char *text);
    bool (*stop)(void *user);
    void (*report)(void *user, const struct iqt_tune_result *result);
};

/* Tunes the jobs and stores the results. Needs a usable database, except for the levels estimate
 * and never. IQT_ERR_INTERRUPTED: what was finished is stored, a later run goes on. */
IQT_MUST_USE enum iqt_status iqt_tune_device(
    struct iqt_device *dev, const struct iqt_tune_job *jobs, size_t count,
    const struct iqt_tune_device_options *options);

#endif
