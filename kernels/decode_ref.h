/* The hand-written reference decoders, one per entry of the format table. They are
 * written from the formats' descriptions and never look at the table: a table that is
 * tested against itself proves nothing.
 *
 * p: one superblock; d: value of the row header (0 when the format has none); out: the
 * superblock's weights. The operations are those of ik_llama.cpp's to_float in its order,
 * so that IQT_DECODE_REFERENCE gives the same bits. */
#ifndef IQT_KERNELS_DECODE_REF_H
#define IQT_KERNELS_DECODE_REF_H

#include "kernels/format.h"

/* Head of a declaration or definition; most decoders need neither d nor mode. */
#define IQT_REF(format)                                                    \
    void iqt_ref_##format(IQT_UNUSED const uint8_t *p, IQT_UNUSED float d, \
                          IQT_UNUSED enum iqt_decode_mode mode, IQT_UNUSED float *out)

IQT_REF(iq2_k);
IQT_REF(iq3_k);
IQT_REF(iq4_k);
IQT_REF(iq5_k);
IQT_REF(iq6_k);

IQT_REF(iq2_ks);
IQT_REF(iq2_kl);
IQT_REF(iq3_ks);
IQT_REF(iq4_kss);
IQT_REF(iq4_ks);
IQT_REF(iq5_ks);

IQT_REF(iq1_kt);
IQT_REF(iq2_kt);
IQT_REF(iq3_kt);
IQT_REF(iq4_kt);

IQT_REF(q8_0);
IQT_REF(q6_k);
IQT_REF(q5_k);
IQT_REF(q4_k);
IQT_REF(q3_k);
IQT_REF(q2_k);
IQT_REF(iq4_xs);
IQT_REF(iq3_s);
IQT_REF(q6_0);
IQT_REF(q5_0);
IQT_REF(q5_1);
IQT_REF(q4_0);
IQT_REF(q4_1);
IQT_REF(iq4_nl);
IQT_REF(f16);
IQT_REF(bf16);
IQT_REF(f32);

#endif
