/* The page of a report: one self-contained XHTML-clean HTML file with SVG charts. Gets finished
 * numbers; measures nothing. */
#ifndef IQT_TOOLS_REPORT_HTML_H
#define IQT_TOOLS_REPORT_HTML_H

#include "kernels/plan.h"

/* A time of one product: the fastest of the runs, and how far the median lies above it. */
struct iqt_report_time {
    double ns, spread;
    uint32_t runs;
};

struct iqt_report_device {
    struct iqt_device_info info;
    double bandwidth;   /* bytes/s */
    const char *method; /* how it was measured */
    double tune_s, total_s;
    uint32_t tuned; /* pairs that the tuner reached within the budget */
};

struct iqt_report_row {
    uint32_t device;
    const struct iqt_format *format;
    size_t m, k;
    uint32_t n;
    bool model_shape; /* false: a shape asked for, filled by tiling */
    char origin[128]; /* where the weights come from */
    uint64_t bytes;   /* of the matrix in GGUF: what a pass must read */
    char plan[IQT_PLAN_NAME_BYTES], base_plan[IQT_PLAN_NAME_BYTES];
    bool rotated;     /* weights rotated over more than twice the last-level cache */
    uint32_t checked; /* rows compared with the exact scalar model */
    double worst;     /* largest |difference| / sum |w x| of them */
    struct iqt_report_time base, best; /* equal when the default is the winner */
};

struct iqt_report {
    const struct iqt_report_device *devices;
    uint32_t device_count;
    const struct iqt_report_row *rows; /* by device, then bits per weight, then bytes */
    uint32_t row_count;
    const char *absent; /* backends without a device and why, one a line; "" */
    const char *files, *command, *date, *machine, *system;
    double seconds; /* of the whole run */
};

/* Derived numbers, so that table, page and JSON agree. */
double iqt_report_bits(
    const struct iqt_report_row *row); /* per weight, row headers included */
double iqt_report_rate(const struct iqt_report_row *row,
                       const struct iqt_report_time *time);
double iqt_report_share(const struct iqt_report *r, const struct iqt_report_row *row,
                        const struct iqt_report_time *time); /* of the bandwidth, 0 .. */
double iqt_report_gain(
    const struct iqt_report_row *row); /* default time / winner's time */
/* The median lies more than a quarter above the fastest run: the machine was not calm. */
bool iqt_report_noisy(const struct iqt_report_row *row);
/* Geometric mean of the gains of a device's rows; 1 when it has none. */
double iqt_report_mean_gain(const struct iqt_report *r, uint32_t device);

/* The style sheet, light and dark: every page of the program looks alike. */
extern const char iqt_report_style[];

void iqt_report_page(struct iqt_buf *b, const struct iqt_report *r);

/* tools/report_chart.c: the two charts of a device. */
void iqt_report_roofline(struct iqt_buf *b, const struct iqt_report *r, uint32_t device);
void iqt_report_bars(struct iqt_buf *b, const struct iqt_report *r, uint32_t device);

#endif
