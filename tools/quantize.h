/* iqtile quantize: which tensor becomes what, and doing it. */
#ifndef IQT_TOOLS_QUANTIZE_H
#define IQT_TOOLS_QUANTIZE_H

#include "io/gguf_write.h"
#include "io/imatrix.h"
#include "io/second_order.h"
#include "quant/encoder.h"
#include "quant/recipe.h"
#include "runtime/cpu_pool.h"
#include "tools/worst.h"

#include <iqtile/gguf.h>

/* What becomes of one tensor. */
struct iqt_job {
    struct iqt_gguf_tensor from;
    struct iqt_type type; /* name NULL: copied as it is */
    const struct iqt_format
        *to;            /* of type; NULL: copied, or a type that nothing here encodes */
    bool open;          /* its type is chosen later, under a budget */
    bool by_name;       /* or left alone: no pattern has a say */
    const char *wanted; /* the type that the rows cannot have; NULL: it is type */
    double wanted_bytes;
    uint64_t bytes;                             /* afterwards */
    const struct iqt_encoder *encoder;          /* since iqt_jobs_encoders() */
    const struct iqt_imatrix_entry *importance; /* NULL: none */
    const struct iqt_second_entry *second;      /* NULL: no error feedback */
    struct iqt_row_loss loss;                   /* once it is encoded */
    struct iqt_worst worst;                     /* the same */
};

struct iqt_jobs {
    struct iqt_job *job;
    size_t count;
    uint64_t weights; /* to encode */
    uint64_t from_bytes, to_bytes;
    enum iqt_quality quality;
    struct iqt_finder *finder;    /* of seeds, on a device; NULL: the CPU finds them */
    struct iqt_encoder **encoder; /* each format's once */
    size_t encoders;
};

/* What was asked for. */
struct iqt_quantize_plan {
    const struct iqt_recipe *recipe; /* NULL: all matrices become pure */
    struct iqt_type pure;            /* name NULL: types are chosen later */
    uint16_t file_type;              /* general.file_type; 0: left as it is */
    struct iqt_user_rules rules;
    enum iqt_quality quality;
    struct iqt_finder *finder; /* of seeds, on a device; NULL: the CPU finds them */
    bool requantize;           /* quantized tensors are sources, too */
    bool fallback;             /* other types where rows do not fit */
    struct iqt_recipe_model model;
    const struct iqt_imatrix *imatrix; /* NULL: none */
    const struct iqt_second *second;   /* the same */
};

/* ---- quantize_model.c ---- */

/* What recipes ask about, from the keys of a file. */
struct iqt_recipe_model iqt_model_describe(const struct iqt_gguf *g);

/* ---- quantize_plan.c ---- */

/* IQT_ERR_ARG names a tensor that is quantized unless requantize, one whose rows do not fit unless
 * fallback, and a rule that matches nothing. */
IQT_MUST_USE enum iqt_status iqt_jobs_create(const struct iqt_gguf *g,
                                             struct iqt_quantize_plan *plan,
                                             struct iqt_jobs *out);
/* IQT_ERR_UNSUPPORTED names a tensor whose type has no encoder. */
IQT_MUST_USE enum iqt_status iqt_jobs_encoders(struct iqt_jobs *jobs);
void iqt_jobs_free(struct iqt_jobs *jobs);
/* The same keys, what the reference says about types and importance, and the tensors as they will be. */
IQT_MUST_USE enum iqt_status iqt_jobs_describe(const struct iqt_jobs *jobs,
                                               const struct iqt_gguf *g,
                                               const struct iqt_quantize_plan *plan,
                                               struct iqt_gguf_writer *w);

/* ---- quantize_print.c ---- */

/* A line a tensor, a total and what fallbacks cost, on stdout; errors when done. */
void iqt_jobs_print(const struct iqt_jobs *jobs, bool done);

/* ---- quantize_report.c ---- */

/* The same as an HTML page. */
IQT_MUST_USE enum iqt_status iqt_jobs_report(const struct iqt_jobs *jobs,
                                             const char *from, const char *to,
                                             const char *settings, const char *path);

/* ---- quantize_run.c ---- */

struct iqt_run {
    struct iqt_jobs *jobs;
    struct iqt_pool *pool;
    const struct iqt_gguf *from;
    struct iqt_gguf_writer *to;
    struct iqt_journal *journal; /* since iqt_jobs_write() */
    struct iqt_gguf_mark start;  /* what an earlier run did */
};

/* Encodes or copies every tensor from run->start on, in order; shows progress, notes it in the journal.
 * IQT_ERR_INTERRUPTED after Ctrl-C. */
IQT_MUST_USE enum iqt_status iqt_jobs_run(struct iqt_run *run);

/* ---- quantize_write.c ---- */

/* The whole output, or nothing under its name. resume: goes on with what a killed or interrupted run left. */
IQT_MUST_USE enum iqt_status iqt_jobs_write(struct iqt_run *run, const char *path,
                                            uint64_t split, bool resume);

#endif
