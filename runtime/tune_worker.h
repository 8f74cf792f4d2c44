/* A process in which plans are tried, so that one that crashes or hangs costs only itself. The
 * weights are shared through a memory file; requests and replies are lines of JSON. */
#ifndef IQT_RUNTIME_TUNE_WORKER_H
#define IQT_RUNTIME_TUNE_WORKER_H

#include "tuner/tuner.h"
#include "runtime/runtime.h"

struct iqt_worker;

struct iqt_worker_options {
    const char *const
        *argv; /* a program that ends up in iqt_worker_serve(), NULL-terminated */
    const char *device; /* spec */
    struct iqt_backend_options backend;
    uint64_t timeout_ns;      /* of one request */
    bool (*stop)(void *user); /* may be NULL; polled while waiting */
    void *user;
};

/* Starts no process yet. The options' texts must outlive the worker. */
IQT_MUST_USE enum iqt_status iqt_worker_create(const struct iqt_worker_options *options,
                                               struct iqt_worker **out);
void iqt_worker_destroy(struct iqt_worker *w); /* NULL is allowed; ends the process */

/* As iqt_trial_load(), but the weights are copied. */
IQT_MUST_USE enum iqt_status iqt_worker_load(struct iqt_worker *w,
                                             const struct iqt_tune_job *job,
                                             const void *weights);
/* As iqt_trial_verify() and iqt_trial_measure(). A process that dies is a verdict of
 * IQT_VALID_RUNTIME, one that does not answer IQT_VALID_TIMEOUT; the next request gets a new
 * one. IQT_ERR_INTERRUPTED when stop() said so. */
IQT_MUST_USE enum iqt_status iqt_worker_verify(struct iqt_worker *w,
                                               const struct iqt_plan *plan,
                                               enum iqt_validity *verdict);
IQT_MUST_USE enum iqt_status iqt_worker_measure(struct iqt_worker *w,
                                                const struct iqt_plan *plan,
                                                uint32_t iterations, bool rotate,
                                                uint64_t *ns, enum iqt_validity *verdict);

/* The other side: serves requests on standard input and output until the input ends. */
IQT_MUST_USE enum iqt_status iqt_worker_serve(void);

enum { IQT_WORKER_WEIGHTS_FD = 3 };

#endif
