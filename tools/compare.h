/* How much the tensors of two model files differ. */
#ifndef IQT_TOOLS_COMPARE_H
#define IQT_TOOLS_COMPARE_H

#include "runtime/cpu_pool.h"
#include "tools/worst.h"

#include <iqtile/gguf.h>

enum iqt_match {
    IQT_MATCH_DECODED, /* values were compared */
    IQT_MATCH_EQUAL,   /* no values to decode, but equal bytes */
    IQT_MATCH_BYTES,   /* other bytes, of a type that is not decoded */
    IQT_MATCH_TYPES,   /* a type that cannot be decoded against another */
    IQT_MATCH_SHAPES,
    IQT_MATCH_ONLY_A,
    IQT_MATCH_ONLY_B,
    IQT_MATCH_DATA, /* the data of one are not all there */
};

/* One tensor of either file; of those that are missing all is zero. */
struct iqt_pair {
    struct iqt_gguf_tensor a, b;
    enum iqt_match match;
    /* IQT_MATCH_DECODED: sums over all weights, in double */
    double missed;    /* (a - b)^2 */
    double all;       /* a^2 */
    double other;     /* b^2 */
    double dot;       /* a b */
    double most;      /* |a - b| */
    uint64_t strange; /* weights that are not finite on one side, or on both */
    struct iqt_worst worst;
};

struct iqt_pairs {
    struct iqt_pair *pair;
    size_t count, unlike; /* unlike: neither decoded nor equal */
};

/* Tensors of a in their order, then those that only b has. Weights are those that compute uses. With progress;
 * IQT_ERR_INTERRUPTED after Ctrl-C. */
IQT_MUST_USE enum iqt_status iqt_pairs_compare(const struct iqt_gguf *a,
                                               const struct iqt_gguf *b,
                                               struct iqt_pool *pool,
                                               struct iqt_pairs *out);
void iqt_pairs_free(struct iqt_pairs *pairs);
const char *iqt_match_text(enum iqt_match match);
double iqt_pair_cosine(const struct iqt_pair *p);

#endif
