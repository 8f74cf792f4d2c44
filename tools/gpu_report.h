/* A report of one GPU: what scripts/gpu.sh measured in stages, merged from the stages' files into
 * one JSON and one page. Measures nothing; files are hostile until they were read. */
#ifndef IQT_TOOLS_GPU_REPORT_H
#define IQT_TOOLS_GPU_REPORT_H

#include "kernels/plan.h"

#include <jansson.h>

enum {
    IQT_GPU_TEXT = 512,
    IQT_GPU_FACTS = 32,
    IQT_GPU_CELLS = 4096,
    IQT_GPU_SLOTS = 4096
};

enum iqt_gpu_stage_id {
    IQT_GPU_CHECK,
    IQT_GPU_GOLDEN,
    IQT_GPU_TUNE,
    IQT_GPU_BENCH_NATIVE,
    IQT_GPU_BENCH_PACKED,
    IQT_GPU_STATS,
    IQT_GPU_STAGES,
};

enum iqt_gpu_state {
    IQT_GPU_NOT_RUN,
    IQT_GPU_OK,
    IQT_GPU_LEFT_OUT, /* this machine lacks something; note says what */
    IQT_GPU_INTERRUPTED,
    IQT_GPU_FAILED, /* exit status, or results that make no sense */
};

struct iqt_gpu_stage {
    enum iqt_gpu_state state;
    int status; /* exit status */
    double seconds;
    char command[IQT_GPU_TEXT], note[IQT_GPU_TEXT];
};

struct iqt_gpu_fact {
    char name[64], value[IQT_GPU_TEXT];
};

/* One product of a bench stage, with what other stages know about it. */
struct iqt_gpu_cell {
    const struct iqt_format *format;
    enum iqt_layout layout;
    size_t m, k;
    uint32_t n;
    double seconds, rate; /* of a product; bytes of weights per second */
    double percent;       /* of the copy bandwidth of the same run */
    char plan[IQT_PLAN_NAME_BYTES];
    double gain;  /* over the default plan, as the tuner timed both; 0: unknown */
    double slots; /* per weight, of this very plan; 0: unknown */
    char error[IQT_GPU_TEXT]; /* not "": it failed, and nothing else is known */
};

/* A line of `iqtile stats --csv`. */
struct iqt_gpu_slots {
    char plan[IQT_PLAN_NAME_BYTES];
    double slots, instructions;
    uint32_t registers, spill_bytes;
};

struct iqt_gpu_report {
    struct iqt_gpu_fact fact[IQT_GPU_FACTS];
    size_t facts;
    struct iqt_device_info
        device; /* as `iqtile devices --json` said; spec "" : not known */
    struct iqt_gpu_stage stage[IQT_GPU_STAGES];
    double
        copy[IQT_LAYOUT_PACKED + 1]; /* bytes/s in the bench of each layout; 0: unknown */
    char method[IQT_LAYOUT_PACKED + 1][32];
    struct iqt_gpu_cell *cell;
    size_t cells;
    struct iqt_gpu_slots *slot;
    size_t slots;
};

/* ---- gpu_stages.c ---- */

/* Reads what the folder has. What is absent or broken becomes the state and the note of its stage;
 * an error only for a folder that is none, or for want of memory. */
IQT_MUST_USE enum iqt_status iqt_gpu_report_read(const char *folder,
                                                 struct iqt_gpu_report *r);
void iqt_gpu_report_free(struct iqt_gpu_report *r);
const char *iqt_gpu_stage_name(
    enum iqt_gpu_stage_id id); /* "bench-native": in file names */
const char *iqt_gpu_stage_title(enum iqt_gpu_stage_id id); /* for people */
const char *iqt_gpu_state_name(enum iqt_gpu_state state);
/* Marks the stage as failed, unless it is no success anyway. */
void iqt_gpu_stage_spoil(struct iqt_gpu_stage *s, const char *fmt, ...) IQT_PRINTF(2, 3);
/* A value of run.txt, "" when it is absent. */
const char *iqt_gpu_fact_of(const struct iqt_gpu_report *r, const char *name);
/* Whether every stage succeeded or was left out. */
bool iqt_gpu_report_good(const struct iqt_gpu_report *r);

/* ---- gpu_results.c: the files of stages that have numbers ---- */

void iqt_gpu_read_bench(struct iqt_gpu_report *r, enum iqt_layout layout,
                        const json_t *root);
void iqt_gpu_read_tune(struct iqt_gpu_report *r, const json_t *root);
void iqt_gpu_read_stats(struct iqt_gpu_report *r, char *csv);
void iqt_gpu_read_device(struct iqt_gpu_report *r, const char *spec, const json_t *root);
/* Gives every cell the slots of its plan. */
void iqt_gpu_join_slots(struct iqt_gpu_report *r);

/* ---- gpu_model.c: what follows from the numbers ---- */

/* "simulated", "software" or "" : whether figures are those of a GPU. */
const char *iqt_gpu_disclaimer(const struct iqt_gpu_report *r);

/* What the slot model says. A weight cannot take less time than its slots do on all lanes, nor less
 * than its bytes do at copy bandwidth. */
struct iqt_gpu_budget {
    uint32_t units, lanes; /* lanes of a unit */
    double hertz;
    double slots; /* per second; 0: clock, units or architecture are not known */
};
void iqt_gpu_budget(const struct iqt_gpu_report *r, struct iqt_gpu_budget *out);
/* Seconds by the model; 0: not known. */
double iqt_gpu_predict(const struct iqt_gpu_report *r, const struct iqt_gpu_budget *b,
                       const struct iqt_gpu_cell *c);

/* How well it predicts the products of n vectors. */
struct iqt_gpu_verdict {
    size_t count; /* products with slots */
    double rank;  /* correlation of ranks, slots against time per weight */
    double ratio, lo,
        hi; /* measured / predicted: geometric mean and extremes; 0: unknown */
};
void iqt_gpu_verdict(const struct iqt_gpu_report *r, uint32_t n,
                     struct iqt_gpu_verdict *out);

/* Products that go into charts: the largest shape with this n, by format and layout; NULL: none. */
const struct iqt_gpu_cell *iqt_gpu_cell_of(const struct iqt_gpu_report *r,
                                           const struct iqt_format *f,
                                           enum iqt_layout layout, uint32_t n);
enum iqt_gpu_value { IQT_GPU_PERCENT, IQT_GPU_GAIN };
double iqt_gpu_value_of(const struct iqt_gpu_cell *c, enum iqt_gpu_value v);
/* Geometric mean over the formats of iqt_gpu_cell_of(); 0: none. */
double iqt_gpu_mean(const struct iqt_gpu_report *r, enum iqt_gpu_value v,
                    enum iqt_layout layout, uint32_t n);

/* ---- writers ---- */

void iqt_gpu_bars(struct iqt_buf *b, const struct iqt_gpu_report *r, enum iqt_gpu_value v,
                  uint32_t n);
void iqt_gpu_scatter(struct iqt_buf *b, const struct iqt_gpu_report *r);
void iqt_gpu_page(struct iqt_buf *b, const struct iqt_gpu_report *r);
IQT_MUST_USE enum iqt_status iqt_gpu_json(struct iqt_buf *b,
                                          const struct iqt_gpu_report *r);

#endif
