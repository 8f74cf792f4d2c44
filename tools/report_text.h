/* A report as a table for people and as JSON for machines; the same numbers as the page. */
#ifndef IQT_TOOLS_REPORT_TEXT_H
#define IQT_TOOLS_REPORT_TEXT_H

#include "tools/report_html.h"

#include <stdio.h>

void iqt_report_print_head(FILE *out);
void iqt_report_print_device(FILE *out, const struct iqt_report *r, uint32_t device);
void iqt_report_json(struct iqt_buf *b, const struct iqt_report *r);

#endif
