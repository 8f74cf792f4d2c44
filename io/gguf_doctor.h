/* What the parts of the doctor share: whom to tell about a defect. */
#ifndef IQT_IO_GGUF_DOCTOR_H
#define IQT_IO_GGUF_DOCTOR_H

#include "io/gguf_file.h"

struct iqt_gguf_report {
    const struct iqt_gguf *g;
    iqt_gguf_defect_fn fn; /* NULL: only count */
    void *user;
    size_t count;
};

/* Tells of one defect. t NULL: of the first file. offset counts from the start of the file. */
void iqt_gguf_report(struct iqt_gguf_report *r, const struct iqt_gguf_tensor *t,
                     uint64_t offset, const char *fmt, ...) IQT_PRINTF(4, 5);

/* gguf_values.c: non-finite scales and floats. */
void iqt_gguf_check_values(struct iqt_gguf_report *r);

#endif
