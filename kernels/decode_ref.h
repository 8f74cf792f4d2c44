/* The hand-written reference decoders, one per entry of the format table. They are written
 * from the formats' descriptions and never look at the table: a table tested against itself
 * proves nothing.
 *
 * block: one superblock; d: value of the row header (0 when the format has none); out: the
 * superblock's weights. Operations are those of ik_llama.cpp's to_float, in its order, so
 * that IQT_DECODE_REFERENCE gives the same bits. */
#ifndef IQT_KERNELS_DECODE_REF_H
#define IQT_KERNELS_DECODE_REF_H

#include "kernels/format.h"

typedef void iqt_ref_fn(const uint8_t *block, float d, enum iqt_decode_mode mode,
                        float *out);

extern iqt_ref_fn iqt_ref_iq2_k, iqt_ref_iq3_k, iqt_ref_iq4_k, iqt_ref_iq5_k,
    iqt_ref_iq6_k;
extern iqt_ref_fn iqt_ref_iq2_ks, iqt_ref_iq2_kl, iqt_ref_iq3_ks, iqt_ref_iq4_kss,
    iqt_ref_iq4_ks, iqt_ref_iq5_ks;
extern iqt_ref_fn iqt_ref_iq1_kt, iqt_ref_iq2_kt, iqt_ref_iq3_kt, iqt_ref_iq4_kt;
extern iqt_ref_fn iqt_ref_q8_0, iqt_ref_q6_k, iqt_ref_q5_k, iqt_ref_f16, iqt_ref_bf16,
    iqt_ref_f32;

#endif
