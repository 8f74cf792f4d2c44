/* Which plan is fastest, decided by call-backs that verify and measure. Pure: knows plans, no
 * devices, no drivers, no clock of its own; a test drives it with a fake clock.
 *
 * A job is one matrix shape at one number of columns. Both layouts take part in it and each gets
 * its own winner, because the caller of the library fixes the layout at upload. A plan is timed
 * only after it verified; a plan that failed is recorded and not tried again; a winner replaces
 * the default plan only when it is clearly faster (no harm). */
#ifndef IQT_TUNER_TUNER_H
#define IQT_TUNER_TUNER_H

#include "kernels/plan.h"
#include "tuner/gpu_table.h"

enum { IQT_LAYOUTS = IQT_LAYOUT_PACKED + 1, IQT_TUNE_REASON_BYTES = 192 };

/* How much time a device gets; deeper levels come later. */
enum iqt_tune_level {
    IQT_TUNE_NEVER,      /* what the database has, else defaults */
    IQT_TUNE_ESTIMATE,   /* the cost model's winner, nothing is run */
    IQT_TUNE_QUICK,      /* 2 minutes */
    IQT_TUNE_PATIENT,    /* 20 minutes */
    IQT_TUNE_EXHAUSTIVE, /* every legal plan, no limit */
    IQT_TUNE_LEVELS,
};
const char *iqt_tune_level_name(enum iqt_tune_level level);
bool iqt_tune_level_find(const char *name, enum iqt_tune_level *out);

/* What became of a candidate; the words are those of the T4 results format. */
enum iqt_validity {
    IQT_VALID_CORRECT,
    IQT_VALID_COMPILE,     /* its text did not compile */
    IQT_VALID_RUNTIME,     /* it crashed or the driver failed it */
    IQT_VALID_TIMEOUT,     /* it did not come back */
    IQT_VALID_CORRECTNESS, /* it computed something else */
    IQT_VALID_CONSTRAINTS, /* this device or build cannot run it */
    IQT_VALIDITIES,
};
const char *iqt_validity_name(enum iqt_validity validity);
bool iqt_validity_find(const char *name, enum iqt_validity *out);

struct iqt_tune_job {
    const struct iqt_format *format;
    enum iqt_op op;
    uint32_t n; /* columns, 1 .. IQT_MAX_COLS */
    size_t m, k;
    uint64_t
        bytes; /* weights that the shape stands for, over all matrices that have it: jobs
                     * with more come first and get more time */
};

enum iqt_tune_source {
    IQT_TUNED_TIMED,     /* measured now */
    IQT_TUNED_REUSED,    /* a fresh entry of the same or a deeper level existed */
    IQT_TUNED_ESTIMATED, /* cost model or default, nothing measured */
    IQT_TUNED_BUDGET,    /* the budget ended before this job: default kept */
    IQT_TUNED_UNSTEADY, /* the anchor drifted in too many rounds: default kept, not to be stored */
    IQT_TUNED_FAILED, /* this one candidate failed: validity and reason say how */
};

/* The outcome of a job for one layout, or one failed candidate of it. */
struct iqt_tune_result {
    struct iqt_tune_job job;
    enum iqt_tune_source source;
    enum iqt_tune_level level;
    struct iqt_plan plan;
    enum iqt_validity validity;
    char reason[IQT_TUNE_REASON_BYTES]; /* "" when correct */
    double ns, default_ns;              /* a call's minimum; 0: not measured */
    double spread_ns;                   /* median absolute deviation of plan's samples */
    uint32_t samples;
};

struct iqt_tune_calls {
    void *user;
    /* Runs the plan and compares it. A status other than IQT_OK ends the whole tuning; what is
     * the plan's own fault goes into *verdict, its sentence into iqt_last_error(). */
    enum iqt_status (*verify)(void *user, const struct iqt_plan *plan,
                              const struct iqt_tune_job *job, enum iqt_validity *verdict);
    /* Nanoseconds of so many calls one after the other, on weights that stay in the cache or are
     * rotated over more than it holds. Errors as with verify. */
    enum iqt_status (*measure)(void *user, const struct iqt_plan *plan,
                               const struct iqt_tune_job *job, uint32_t iterations,
                               bool rotate, uint64_t *ns, enum iqt_validity *verdict);
    uint64_t (*now)(void *user); /* monotonic nanoseconds */
    /* May be NULL. Parts of total that are done; done == total at the end. */
    void (*progress)(void *user, uint64_t done, uint64_t total, const char *text);
    bool (*stop)(void *user); /* may be NULL; polled between measurements */
    /* May be NULL. A fresh result of this level or a deeper one that makes the job needless. */
    bool (*known)(void *user, const struct iqt_tune_job *job, enum iqt_layout layout,
                  enum iqt_tune_level level, struct iqt_tune_result *out);
    /* May be NULL. Whether the plan is on record as failed. */
    bool (*failed)(void *user, const struct iqt_plan *plan,
                   const struct iqt_tune_job *job);
    /* Every outcome, at once: the journal. Failed candidates come as IQT_TUNED_FAILED. */
    enum iqt_status (*record)(void *user, const struct iqt_tune_result *result);
};

struct iqt_tune_options {
    enum iqt_tune_level level;
    enum iqt_dialect dialect;
    const struct iqt_limits *limits; /* may be NULL */
    /* What the device is in the table of GPUs: plans are ranked by the cost model's microseconds. NULL:
     * not there, by iqt_plan_cost(). */
    const struct iqt_gpu *gpu;
    double bytes_per_ns; /* memory bandwidth; 0: unknown, weights always rotate */
    uint64_t budget_ns;  /* 0: the level's own */
    bool force;          /* do not reuse results; failures stay on record */
};

/* Tunes the jobs, those with most bytes first (equal ones in the given order). IQT_ERR_INTERRUPTED
 * when stop() said so; everything recorded until then is complete and a later run goes on from
 * there. */
IQT_MUST_USE enum iqt_status iqt_tune_run(const struct iqt_tune_job *jobs, size_t count,
                                          const struct iqt_tune_options *options,
                                          const struct iqt_tune_calls *calls);

#endif
