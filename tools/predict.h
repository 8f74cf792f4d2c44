/* What `iqtile predict` is made of: the matrices that a token reads, and how results are printed. */
#ifndef IQT_TOOLS_PREDICT_H
#define IQT_TOOLS_PREDICT_H

#include "stats/predict.h"

#include <iqtile/gguf.h>

/* One matrix of a pass, or the experts of a tensor that a pass uses. */
struct iqt_predict_job {
    char name[96];
    const char *type;                /* its name; "unknown" */
    const struct iqt_format *format; /* NULL: has no kernels here */
    struct iqt_predict_product product;
    uint64_t experts, used; /* 0: no tensor of experts */
};

/* All of a pass. */
struct iqt_predict_work {
    struct iqt_predict_job *job;
    size_t count, capacity;
    uint32_t n;
    uint64_t used;          /* experts that a token uses, of the metadata; 0: not said */
    bool model;             /* of a file: totals mean something */
    bool has_experts, tied; /* tied: the output is the matrix of the embeddings */
    size_t unknown;         /* matrices of unknown size, left out */
};

/* On success the caller frees out. */
IQT_MUST_USE enum iqt_status iqt_predict_file(const struct iqt_gguf *g, uint32_t n,
                                              struct iqt_predict_work *out);
/* One matrix of each quantized format, or of `only`. shape: MxK. */
IQT_MUST_USE enum iqt_status iqt_predict_shape(const char *shape,
                                               const struct iqt_format *only, uint32_t n,
                                               struct iqt_predict_work *out);
void iqt_predict_work_free(struct iqt_predict_work *w);

/* A job's result. */
struct iqt_predict_row {
    const struct iqt_predict_job *job;
    struct iqt_plan plan; /* format NULL: not counted */
    double slots;         /* per weight; 0: not counted */
    struct iqt_prediction p;
};

struct iqt_predict_total {
    double us, bytes;
    double limit_us[IQT_MODEL_LIMITS]; /* of the matrices that this limits */
};
void iqt_predict_add(struct iqt_predict_total *t, const struct iqt_predict_row *row);

void iqt_predict_print_gpus(void);
void iqt_predict_print_head(const struct iqt_gpu *gpu, const struct iqt_predict_work *w);
void iqt_predict_print_row(const struct iqt_predict_row *row);
void iqt_predict_print_total(const struct iqt_gpu *gpu, const struct iqt_predict_work *w,
                             const struct iqt_predict_total *t);
void iqt_predict_csv_head(void);
void iqt_predict_csv_row(const struct iqt_gpu *gpu, const struct iqt_predict_row *row);
void iqt_predict_csv_total(const struct iqt_gpu *gpu, const struct iqt_predict_total *t);

#endif
