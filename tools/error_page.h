/* The page of what tensors lost: charts of error and of bits per weight over the layers, all numbers in a table. Gets
 * finished numbers; shared by quantize and compare. */
#ifndef IQT_TOOLS_ERROR_PAGE_H
#define IQT_TOOLS_ERROR_PAGE_H

#include "tools/worst.h"

enum { IQT_ERROR_NAME = 96 };

struct iqt_error_row {
    char name[IQT_ERROR_NAME]; /* escaped for terminals, not for HTML */
    const char *from, *to;     /* types */
    uint64_t bytes;
    double weights, error; /* error below 0: none, because of what note says */
    struct iqt_worst worst;
    char note[120];
};

struct iqt_error_page {
    const char *title, *lead, *from, *to; /* what this is; one file, the other */
    const char *settings;                 /* NULL: not shown */
    const char *meaning;                  /* of the error */
    double error;                         /* of all */
    const struct iqt_error_row *row;
    size_t rows;
};

/* error_page.c: writes the whole file. */
IQT_MUST_USE enum iqt_status iqt_error_page_write(const struct iqt_error_page *page,
                                                  const char *path);

/* ---- error_chart.c ---- */

enum { IQT_ERROR_KINDS = 24 };
/* A kind of tensor that layers have: "attn_q" of blk.N.attn_q.weight. */
struct iqt_error_kinds {
    char name[IQT_ERROR_KINDS][IQT_ERROR_NAME];
    size_t count, layers; /* layers: the highest number and one */
};
/* In the order of the file; kinds without any error are left out, and what is beyond IQT_ERROR_KINDS, too. */
void iqt_error_kinds_find(const struct iqt_error_page *page, struct iqt_error_kinds *out);
/* bits: bits per weight, else the error. */
void iqt_error_chart(struct iqt_buf *b, const struct iqt_error_page *page,
                     const struct iqt_error_kinds *kinds, bool bits);
/* Style of the series, light and dark, and the legend. */
extern const char iqt_error_style[];
void iqt_error_legend(struct iqt_buf *b, const struct iqt_error_kinds *kinds);
double iqt_error_bits(const struct iqt_error_row *row);

#endif
