/* iqtile imatrix: what its files share. */
#ifndef IQT_TOOLS_IMATRIX_H
#define IQT_TOOLS_IMATRIX_H

#include "io/imatrix.h"
#include "io/second_order.h"

/* ---- imatrix_make.c ---- */

/* An importance matrix from the activations in folder: files NAME.f32, or NAME.I.f32 for matrix I of a
 * stack, each rows of as many floats as the tensor NAME of model has columns. second as below. */
IQT_MUST_USE enum iqt_status iqt_imatrix_make(const struct iqt_gguf *model,
                                              const char *model_path, const char *folder,
                                              uint32_t chunk_size,
                                              struct iqt_second *second,
                                              size_t second_window,
                                              struct iqt_imatrix **out);

/* ---- imatrix_collect.c ---- */

/* From a model that reads a text, in chunks of chunk_size tokens; windows: at most so many, 0: all. second, empty
 * before, gets the second-order statistics in windows of at most second_window columns; NULL: nobody wants them. */
IQT_MUST_USE enum iqt_status iqt_imatrix_collect(const char *model, const char *text,
                                                 uint32_t chunk_size, uint32_t windows,
                                                 uint32_t threads,
                                                 struct iqt_second *second,
                                                 size_t second_window,
                                                 struct iqt_imatrix **out);

/* ---- imatrix_info.c ---- */

/* Entries and coverage on stdout; with a model also what of it has none, and lengths that do not fit. Returns
 * the number of defects. */
size_t iqt_imatrix_print(const struct iqt_imatrix *m, const struct iqt_gguf *model);
/* The rest of a first line, and a line for each text that inputs are from. */
void iqt_imatrix_print_texts(uint32_t chunk_size, const struct iqt_buf *datasets);

/* ---- second_info.c ---- */

/* The same of second-order statistics. */
size_t iqt_second_print(const struct iqt_second *s, const struct iqt_gguf *model);

#endif
