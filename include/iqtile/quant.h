/* Quantizing rows of weights: floats to the bytes that GGUF files hold.
 *
 * An encoder belongs to one format and is immutable: any number of threads may encode with it at
 * once. Equal rows give equal bytes, in any order and on any number of threads. */
#ifndef IQTILE_QUANT_H
#define IQTILE_QUANT_H

#include <iqtile/iqtile.h>

#ifdef __cplusplus
extern "C" {
#endif

struct iqt_encoder;

/* IQT_ERR_UNSUPPORTED for a format without an encoder; the text lists those that have one. Encoders of
 * trellis formats hold tables of a few MiB: make one, not one a row. */
IQT_API IQT_MUST_USE enum iqt_status iqt_encoder_create(const struct iqt_format *f,
                                                        struct iqt_encoder **out);

/* How long to search for what suits the weights; docs/quantizer.md has what each costs and gains. */
enum iqt_quality {
    IQT_QUALITY_DEFAULT, /* loses less than the reference's quantizer, and is faster */
    IQT_QUALITY_FAST,
    IQT_QUALITY_BEST, /* slow; errors count by the importance alone */
};
struct iqt_encoder_opts {
    enum iqt_quality quality;
};
/* The same with options. */
IQT_API IQT_MUST_USE enum iqt_status iqt_encoder_create_with(
    const struct iqt_format *f, const struct iqt_encoder_opts *opts,
    struct iqt_encoder **out);
IQT_API void iqt_encoder_destroy(struct iqt_encoder *e); /* NULL is allowed */

/* Encodes rows of k weights so that the sum of w * (x - weight)^2 over each row is small, where weight is
 * what IQT_DECODE_COMPUTE decodes and w grows with the importance.
 *
 * x           rows * k finite floats
 * importance  k floats, finite and not negative, one a column; the reference's element weights are
 *             made of them. NULL: what the reference uses without an importance matrix
 * out         rows * iqt_format_row_bytes() bytes
 *
 * Weights beyond the range of the format's scales are clamped. IQT_ERR_SHAPE for a k that the format
 * cannot have; IQT_ERR_ARG names row and column of an input that is not finite. */
IQT_API IQT_MUST_USE enum iqt_status iqt_encode_rows(const struct iqt_encoder *e,
                                                     size_t rows, size_t k,
                                                     const float *x,
                                                     const float *importance, void *out);

#ifdef __cplusplus
}
#endif
#endif
