/* The value tables of the formats, for the format table and the reference decoders. Only
 * base halves are stored: every shifted half is the base plus the codebook's shift. */
#ifndef IQT_KERNELS_CODEBOOK_H
#define IQT_KERNELS_CODEBOOK_H

#include "kernels/format.h"

extern const int8_t iqt_values_q2[4], iqt_values_q3[8], iqt_values_q4[16],
    iqt_values_q5[32], iqt_values_q6[64];
extern const int8_t iqt_values_p2[64]; /* 32 pairs: even weight, odd weight */

extern const int8_t iqt_values_fours[2048]; /* 512 fours of magnitudes (iq3_s) */

extern const struct iqt_codebook iqt_codebook_q2, iqt_codebook_q3, iqt_codebook_q4,
    iqt_codebook_q5, iqt_codebook_q6, iqt_codebook_p2, iqt_codebook_fours;

/* iqt_trellis_kt8: 8 weights a seed (iq1_kt, iq2_kt); _abs: its magnitudes (iq3_kt);
 * iqt_trellis_kt4: 4 weights a seed (iq4_kt). */
extern const struct iqt_trellis iqt_trellis_kt8, iqt_trellis_kt8_abs, iqt_trellis_kt4;

#endif
