/* Codebooks and trellis constants: what the codes of a format stand for.
 * The values are those of ik_llama.cpp (MIT licence, Copyright (C) Iwan Kawrakow): the
 * tables are rounded cubics, q4 is the IQ4_NL table, p2 pairs values of q3. */
#include "kernels/codebook.h"

// clang-format off
const int8_t iqt_values_q2[4] = { -31, -13, 1, 17 };

const int8_t iqt_values_q3[8] = { -63, -40, -23, -10, 1, 13, 28, 47 };

const int8_t iqt_values_q4[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10,   1,  13,  25,  38,  53,  69,  89, 113,
};

const int8_t iqt_values_q5[32] = {
    -126, -114, -103, -92, -83, -74, -65, -57, -50, -43, -36, -30, -24, -18, -12,  -6,
      -1,    5,   11,  17,  23,  29,  36,  43,  51,  59,  68,  77,  87,  97, 109, 121,
};

const int8_t iqt_values_q6[64] = {
    -127, -121, -115, -109, -104, -98, -93, -88, -84, -79, -74, -70, -66, -62, -58, -54,
     -51,  -47,  -44,  -40,  -37, -34, -31, -28, -25, -22, -19, -16, -13, -11,  -8,  -5,
      -2,    0,    3,    6,    9,  12,  14,  17,  20,  23,  27,  30,  33,  36,  40,  44,
      47,   51,   55,   59,   63,  68,  72,  77,  82,  87,  92,  98, 103, 109, 115, 121,
};

const int8_t iqt_values_p2[64] = {
    -63, -23,  -63,  13,  -40, -63,  -40, -10,  -40,  13,  -40,  47,  -23, -40,  -23, -23,
    -23,   1,  -23,  13,  -23,  28,  -10, -63,  -10,   1,  -10,  13,  -10,  47,    1, -23,
      1, -10,    1,   1,    1,  13,    1,  28,   13, -40,   13, -23,   13, -10,   13,   1,
     13,  13,   28, -63,   28, -23,   28,   1,   28,  28,   28,  47,   47, -23,   47,  13,
};

/*                                            name  values        count dim shift */
const struct iqt_codebook iqt_codebook_q2 = { "q2", iqt_values_q2,  4,  1,  5 };
const struct iqt_codebook iqt_codebook_q3 = { "q3", iqt_values_q3,  8,  1,  4 };
const struct iqt_codebook iqt_codebook_q4 = { "q4", iqt_values_q4, 16,  1,  4 };
const struct iqt_codebook iqt_codebook_q5 = { "q5", iqt_values_q5, 32,  1,  2 };
const struct iqt_codebook iqt_codebook_q6 = { "q6", iqt_values_q6, 64,  1,  1 };
const struct iqt_codebook iqt_codebook_p2 = { "p2", iqt_values_p2, 32,  2,  0 };

/* One generator for all: the mask leaves 6 bits of a byte, the centre is 4 * 63 / 2. */
#define GENERATOR \
    .multiplier = 0xcbac1fedu, .mask = 0x3f3f3f3fu, .centre = 126, .seed_add = 4096

const struct iqt_trellis
    iqt_trellis_kt8     = { GENERATOR, .group = 8 },
    iqt_trellis_kt8_abs = { GENERATOR, .group = 8, .magnitude = true },
    iqt_trellis_kt4     = { GENERATOR, .group = 4, .shift_add = 32768 };
// clang-format on
