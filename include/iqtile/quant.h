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
    IQT_QUALITY_BEST, /* slow; loses least */
};

/* What an encoder of a trellis format asks: the seed of a table whose values v minimise the sum of
 * w[i] * (y[i] - v[i])^2 over the weights of a seed, summed in the order of i in single precision with nothing
 * fused; the lowest of equals. y is finite, w finite and not below 0. */
struct iqt_seed_query {
    float y[8], w[8]; /* trellises of four weights a seed: the first four */
    uint32_t table;   /* 0, or 1 for blocks with the shift bit */
};
/* Answers count queries: code[i] is the code that the format stores. Called by one thread of each call of
 * iqt_encode_rows() at a time. */
typedef enum iqt_status (*iqt_find_seeds_fn)(void *user, const struct iqt_format *f,
                                             size_t count,
                                             const struct iqt_seed_query *query,
                                             uint32_t *code);

struct iqt_encoder_opts {
    enum iqt_quality quality;
    /* Who finds seeds, such as iqt_finder_find() with user a finder; formats without seeds never ask. The bytes
     * are the same. NULL: the CPU, on the caller's thread. Else iqt_encode_rows() starts threads of its own, so
     * that many rows ask at once. */
    iqt_find_seeds_fn find;
    void *find_user;
};
/* The same with options. */
IQT_API IQT_MUST_USE enum iqt_status iqt_encoder_create_with(
    const struct iqt_format *f, const struct iqt_encoder_opts *opts,
    struct iqt_encoder **out);
IQT_API void iqt_encoder_destroy(struct iqt_encoder *e); /* NULL is allowed */

/* Finds seeds on a GPU. Any number of encoders and threads may share a finder; the device must outlive it.
 * IQT_ERR_UNSUPPORTED for a device without the kernels, such as a CPU. */
struct iqt_finder;
IQT_API IQT_MUST_USE enum iqt_status iqt_finder_create(struct iqt_device *dev,
                                                       struct iqt_finder **out);
IQT_API void iqt_finder_destroy(struct iqt_finder *finder); /* NULL is allowed */
/* An iqt_find_seeds_fn. IQT_ERR_UNSUPPORTED for a format without seeds. */
IQT_API IQT_MUST_USE enum iqt_status iqt_finder_find(void *finder,
                                                     const struct iqt_format *f,
                                                     size_t count,
                                                     const struct iqt_seed_query *query,
                                                     uint32_t *code);

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
