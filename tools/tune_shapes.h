/* The matrices that a tuning run is about, and the bytes they are filled with. */
#ifndef IQT_TOOLS_TUNE_SHAPES_H
#define IQT_TOOLS_TUNE_SHAPES_H

#include "kernels/format.h"

#include <iqtile/gguf.h>

/* Rows beyond this many bytes do not change which plan is best. */
#define IQT_TUNE_MOST_BYTES (UINT64_C(256) << 20)

/* One format and shape. */
struct iqt_tune_shape {
    const struct iqt_format *format;
    size_t m, k;
    uint64_t bytes;       /* of all matrices that have it */
    const uint8_t *rows;  /* m rows in the file; NULL: made when asked for */
    const uint8_t *model; /* rows of model_k weights to tile from; NULL: random */
    size_t model_rows, model_k;
};

struct iqt_tune_shapes {
    struct iqt_gguf *file; /* NULL: none */
    struct iqt_tune_shape *shape;
    size_t count;
    uint8_t *made; /* bytes of the shape that was asked for last */
    size_t made_of;
};

/* The shapes of path's matrices (NULL: none) and those of text, "MxK[,MxK...]" (NULL: without a
 * file 4096x4096,14336x4096, with one none). Shapes of text are made for each format of the
 * file, tiled from its rows, or for each quantized format, random. format NULL: all. */
IQT_MUST_USE enum iqt_status iqt_tune_shapes_open(const char *path, const char *text,
                                                  const struct iqt_format *format,
                                                  struct iqt_tune_shapes *out);
void iqt_tune_shapes_close(struct iqt_tune_shapes *s);
/* The GGUF bytes of a shape, valid until the next call. */
IQT_MUST_USE enum iqt_status iqt_tune_shape_rows(struct iqt_tune_shapes *s, size_t index,
                                                 const void **rows);

#endif
