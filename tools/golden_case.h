/* One case of a golden file: quantized rows, what the reference decodes them to, and, where the
 * file has them, activations and results. Files may be hostile: all sizes are checked here. */
#ifndef IQT_TOOLS_GOLDEN_CASE_H
#define IQT_TOOLS_GOLDEN_CASE_H

#include "tools/cli.h"
#include "runtime/runtime.h"

#include <iqtile/gguf.h>

struct iqt_golden_case {
    char name[64]; /* printable; may be cut */
    const struct iqt_format *format;
    size_t m, k, row_bytes;
    const uint8_t *q;
    uint8_t *apart;     /* q when the file's rows are interleaved; else NULL */
    const uint8_t *deq; /* float32 [m][k], any alignment */
    const uint8_t *x,
        *y; /* float32 [k], float64 [m], any alignment; NULL: not in the file */
};

/* Reads tensor `at` as a case when its name ends in ".q"; *found false when it does not. */
IQT_MUST_USE enum iqt_status iqt_golden_find(const struct iqt_gguf *g, size_t at,
                                             const struct iqt_format *f, bool *found,
                                             struct iqt_golden_case *out);

void iqt_golden_free(struct iqt_golden_case *c);

/* What is tested of a case. */
enum iqt_golden_kind {
    IQT_GOLDEN_DECODE,  /* reference decode against .deq, bit for bit */
    IQT_GOLDEN_MATVEC,  /* products against the exact model */
    IQT_GOLDEN_COLUMNS, /* columns of a product against the same columns alone */
    IQT_GOLDEN_ONE_HOT, /* decode through the kernel, every column */
    IQT_GOLDEN_Y,       /* products against .y */
    IQT_GOLDEN_KINDS,
};

/* Counts, and the worst values seen. Failures are described on stderr as they happen, after
 * `where` ("iq4_ks vulkan:0 packed"). */
struct iqt_golden_tally {
    char where[128];
    uint32_t passed[IQT_GOLDEN_KINDS], failed[IQT_GOLDEN_KINDS];
    double worst_model; /* |difference| / sum |w x| */
    double worst_rms; /* relative, against .y, of x and its rounding remainder together */
    double worst_plain; /* the same of x alone: mostly the rounding of x to int8 */
    uint64_t weights;   /* compared by one-hot products */
};

/* Enters a result into the tally; a status other than IQT_OK is a failure. */
void iqt_golden_note(struct iqt_golden_tally *t, enum iqt_golden_kind kind,
                     const char *name, enum iqt_status status);

void iqt_golden_decode(const struct iqt_golden_case *c, struct iqt_golden_tally *tally);
/* All kinds but decode, one-hot only if wanted, the products with each of these numbers of columns.
 * IQT_ERR_INTERRUPTED when the user asked to stop. */
IQT_MUST_USE enum iqt_status iqt_golden_run(const struct iqt_golden_case *c,
                                            const struct iqt_seat *seat,
                                            enum iqt_layout layout,
                                            const struct iqt_cli_columns *cols,
                                            bool one_hot, struct iqt_golden_tally *tally);

#endif
