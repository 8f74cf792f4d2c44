/* THE table of formats: the only place where a layout is written as data. All else (row
 * sizes, packed layouts, emitters, tests, benches, lists) is derived from it; format.h
 * explains the vocabulary. Layouts and type numbers are ik_llama.cpp's and ggml's. */
#include "kernels/codebook.h"
#include "kernels/decode_ref.h"

// clang-format off
/* A list of planes makes a field. Strides are bit distances per index bit i0 .. i7. */
#define FIELD(...) { .plane = { __VA_ARGS__ } }
#define PLANE(bit, width, to, ...) { bit, width, to, { __VA_ARGS__ } }

/* Planes that recur. byte: where the plane starts in the superblock; to: as in PLANE. */
#define B1(byte, to)       PLANE(8 * (byte), 1, to,   8, 16, 32, 64, 128, 1,   2,   4)
#define B2(byte, to)       PLANE(8 * (byte), 2, to,   8, 16, 32, 64, 128, 2,   4, 256)
#define N16(byte)          PLANE(8 * (byte), 4, 0,    8, 16, 32, 64,   4, 128, 256, 512)
#define N32(byte)          PLANE(8 * (byte), 4, 0,    8, 16, 32, 64, 128, 4, 256, 512)

/* Per block of 16 (s = i4 .. i7): a bit, a pair of bits, a nibble, a byte. */
#define EACH16(bit)        PLANE(bit, 1, 0,           0, 0, 0, 0,  1,  2,  4,  8)
#define PAIR16(bit, to)    PLANE(bit, 2, to,          0, 0, 0, 0,  2,  4,  8, 16)
#define S16(byte)          PLANE(8 * (byte), 4, 0,    0, 0, 0, 0,  4,  8, 16, 32)
#define BYTE16(byte)       PLANE(8 * (byte), 8, 0,    0, 0, 0, 0,  8, 16, 32, 64)

/* Per block of 32 (b = i5 .. i7). S32A: neighbours share a byte; S32B: b and b + 4 do. */
#define EACH32(bit, to)    PLANE(bit, 1, to,          0, 0, 0, 0, 0,  1,  2,  4)
#define PAIR32(bit, to)    PLANE(bit, 2, to,          0, 0, 0, 0, 0,  2,  4,  8)
#define S32A(byte)         PLANE(8 * (byte), 4, 0,    0, 0, 0, 0, 0,  4,  8, 16)
#define S32B(byte)         PLANE(8 * (byte), 4, 0,    0, 0, 0, 0, 0,  8, 16,  4)
#define BYTE32(bit, width) PLANE(bit, width, 0,       0, 0, 0, 0, 0,  8, 16, 32)

/* Bit k of the scale byte of iq4_kss: the lowest bit of word k of each block of 32. */
#define WORD_BIT(k, to)    PLANE(16 * (k), 1, to,     0, 0, 0, 0, 0, 128, 256, 512)

/* u16 seed per 8 weights. */
#define SEED16(byte)       PLANE(8 * (byte), 16, 0,   0, 0, 0, 16, 32, 64, 128, 256)

/* 6-bit scales and minima of ggml's q4_k and q5_k: 4 low bits, then 2 high bits. */
#define K4_LOW(bit, i7)    PLANE(bit, 4, 0,           0, 0, 0, 0, 0,  8, 16, i7)
#define K4_HIGH(bit)       PLANE(bit, 2, 4,           0, 0, 0, 0, 0,  8, 16,  2)
#define K4_SCALE           .raw = FIELD(K4_LOW(32, 64), K4_HIGH(36)), .mul = 1
#define K4_MIN             .raw = FIELD(K4_LOW(64, 36), K4_HIGH(68)), .mul = 1

/* Nibbles of 32 weights, the two halves of which share bytes. */
#define HALVES4(byte)      PLANE(8 * (byte), 4, 0,    8, 16, 32, 64, 4)

/* Weights stored one after another. */
#define RUN(bit, width)    PLANE(bit, width, 0, 1 * (width), 2 * (width), 4 * (width), \
                                 8 * (width), 16 * (width))
#define RUN256(bit)        PLANE(bit, 1, 0, 1, 2, 4, 8, 16, 32, 64, 128)

#define HEAD_F16           .row_head = 2, .super = { IQT_AT_ROW, IQT_F16, 0 }
#define HEAD_F32           .row_head = 4, .super = { IQT_AT_ROW, IQT_F32, 0 }
#define SUPER_F16(byte)    .super = { IQT_AT_SUPERBLOCK, IQT_F16, byte }
/* A float that is added to all weights of a superblock: a minimum of -1 times it. */
#define ADDED_F16(byte)    .min = { .add = -1 }, .super_min = { IQT_AT_SUPERBLOCK, IQT_F16, byte }
#define SUPERBLOCK(size)   .superblock = 256, .granule = 256, .bytes = size
#define RUN32(grain, size) .superblock = 32, .granule = grain, .bytes = size

/* See struct iqt_crowded: products of n columns, or gated pairs of them. */
#define CROWDED_MATVEC(n, rows, threads) { false, n, rows, threads }
#define CROWDED_GATED(n, rows, threads)  { true, n, rows, threads }

/* What the reference's quantizer weighs errors with. */
#define WEIGH_SPREAD(factor) .weighting = { factor, 0.25f, false, false }
#define WEIGH_SQUARE         .weighting = { 2.0f, 0.0f, false, false }
#define WEIGH_SIZE           .weighting = { 2.25f, 0.0f, true, false }
#define WEIGH_BOTH           .weighting = { 2.0f, 1.0f, true, false }
#define WEIGH_EQUAL          .weighting = { 1.0f, 0.0f, false, true }

const struct iqt_format iqt_formats[] = {
    /* ---- Trellis: row header f32, blocks of 32 ---- */
    { .name = "iq1_kt", .gguf_type = 158, SUPERBLOCK(56), HEAD_F32, .block = 32,
      .decode = IQT_DECODE_TRELLIS, .trellis = &iqt_trellis_kt8, .gain = 1.0f,
      .code  = FIELD(PLANE( 64, 8,  0,  0, 0, 0, 8, 16, 32, 64, 128),
                     PLANE(320, 4,  8,  0, 0, 0, 8, 16, 32, 64,   4),
                     PLANE(  4, 1, 12,  0, 0, 0, 1,  2,  8, 16,  32)),
      .scale = { .raw = FIELD(BYTE32(0, 4)), .table = iqt_values_q4 },
      .decode_ref = iqt_ref_iq1_kt, .file_type = 156, WEIGH_SPREAD(2.0f), .unshrink = 0.77f },
    { .name = "iq2_kt", .gguf_type = 153, SUPERBLOCK(68), HEAD_F32, .block = 32,
      .decode = IQT_DECODE_TRELLIS, .trellis = &iqt_trellis_kt8, .gain = 1.05f,
      .code  = FIELD(SEED16(4)),
      .scale = { .raw = FIELD(S32B(0)), .table = iqt_values_q4 },
      .decode_ref = iqt_ref_iq2_kt, .file_type = 151, WEIGH_SPREAD(2.0f), .unshrink = 1.0f },
    { .name = "iq3_kt", .gguf_type = 154, SUPERBLOCK(100), HEAD_F32, .block = 32,
      .decode = IQT_DECODE_TRELLIS, .trellis = &iqt_trellis_kt8_abs, .gain = 1.01f,
      .code  = FIELD(SEED16(4)),
      .sign  = FIELD(B1(68, 0)),
      .scale = { .raw = FIELD(S32B(0)), .mul = 1 },
      .decode_ref = iqt_ref_iq3_kt, .file_type = 152, WEIGH_SPREAD(2.0f), .unshrink = 1.0f },
    { .name = "iq4_kt", .gguf_type = 155, SUPERBLOCK(128), HEAD_F32, .block = 32,
      .decode = IQT_DECODE_TRELLIS, .trellis = &iqt_trellis_kt4, .gain = 1.0f,
      .code  = FIELD(PLANE(256, 8,  0,  0, 0, 8, 16, 32, 64, 128, 256),
                     PLANE(768, 4,  8,  0, 0, 8, 16, 32, 64, 128,   4),
                     PLANE(  8, 3, 12,  0, 0, 3,  6, 12, 32,  64, 128)),
      .shift = FIELD(PLANE(  0, 1,  0,  0, 0, 0,  0,  0, 32,  64, 128)),
      .scale = { .raw = FIELD(PLANE(1, 7, 0,  0, 0, 0, 0, 0, 32, 64, 128)),
                 .mul = 1, .add = -64 },
      .crowded = { CROWDED_GATED(16, 1, 256) },
      .decode_ref = iqt_ref_iq4_kt, .file_type = 153, WEIGH_SPREAD(2.0f), .unshrink = 1.0f },

    /* ---- Codebook, row header, blocks of 32 ---- */
    { .name = "iq2_ks", .gguf_type = 145, SUPERBLOCK(70), HEAD_F16, .block = 32,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_q2, .gain = 1.0f,
      .code  = FIELD(B2(6, 0)),
      .shift = FIELD(EACH32(0, 0)),
      .scale = { .raw = FIELD(S32A(2), EACH32(8, 4)), .mul = 1, .add = -16 },
      .decode_ref = iqt_ref_iq2_ks, .file_type = 147, WEIGH_SPREAD(1.5f), .unshrink = 0.4f },
    { .name = "iq2_kl", .gguf_type = 157, SUPERBLOCK(86), HEAD_F16, .block = 32,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_p2, .gain = 1.0f,
      .code  = FIELD(PLANE( 48, 4, 0,  0, 8, 16, 32, 64, 4, 128, 256),
                     PLANE(560, 1, 4,  0, 8, 16, 32, 64, 1,   2,   4)),
      .scale = { .raw = FIELD(S32B(2), PAIR32(0, 4)), .mul = 1, .add = -32 },
      .decode_ref = iqt_ref_iq2_kl, .file_type = 155, WEIGH_SIZE, .unshrink = 0.75f },
    { .name = "iq3_ks", .gguf_type = 156, SUPERBLOCK(102), HEAD_F16, .block = 32,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_q3, .gain = 1.0f,
      .code  = FIELD(B2(6, 0), B1(70, 2)),
      .shift = FIELD(EACH32(8, 0)),
      .scale = { .raw = FIELD(S32B(2), EACH32(0, 4)), .mul = 1, .add = -16 },
      .decode_ref = iqt_ref_iq3_ks, .file_type = 154, WEIGH_SQUARE, .unshrink = 0.75f },
    { .name = "iq4_kss", .gguf_type = 146, SUPERBLOCK(128), HEAD_F32, .block = 32,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_q4, .gain = 1.0f,
      .gray  = true,
      .code  = FIELD(PLANE(0, 4, 0,  8, 16, 32, 64, 4, 128, 256, 512)),
      .shift = FIELD(WORD_BIT(0, 0)),
      .scale = { .raw = FIELD(WORD_BIT(1, 0), WORD_BIT(2, 1), WORD_BIT(3, 2),
                              WORD_BIT(4, 3), WORD_BIT(5, 4), WORD_BIT(6, 5),
                              WORD_BIT(7, 6)),
                 .mul = 2, .add = -127 },
      .crowded = { CROWDED_GATED(4, 2, 512) },
      .decode_ref = iqt_ref_iq4_kss, .file_type = 148, WEIGH_SQUARE, .unshrink = 0.75f },
    { .name = "iq4_ks", .gguf_type = 144, SUPERBLOCK(136), HEAD_F32, .block = 32,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_q4, .gain = 1.0f,
      .code  = FIELD(N16(8)),
      .shift = FIELD(BYTE32(0, 1)),
      .scale = { .raw = FIELD(BYTE32(1, 7)), .mul = 2, .add = -127 },
      .decode_ref = iqt_ref_iq4_ks, .file_type = 145, WEIGH_SQUARE, .unshrink = 0.75f },
    { .name = "iq5_ks", .gguf_type = 152, SUPERBLOCK(168), HEAD_F32, .block = 32,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_q5, .gain = 1.0f,
      .code  = FIELD(N32(8), B1(136, 4)),
      .shift = FIELD(BYTE32(0, 1)),
      .scale = { .raw = FIELD(BYTE32(1, 7)), .mul = 2, .add = -127 },
      .decode_ref = iqt_ref_iq5_ks, .file_type = 150, WEIGH_SQUARE, .unshrink = 0.75f },

    /* ---- Codebook, scale f16 in every superblock, blocks of 16 ---- */
    { .name = "iq2_k", .gguf_type = 137, SUPERBLOCK(76), SUPER_F16(0), .block = 16,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_q2, .gain = 1.0f,
      .code  = FIELD(B2(12, 0)),
      .shift = FIELD(EACH16(16)),
      .scale = { .raw = FIELD(S16(4)), .mul = 1, .add = -8 },
      .crowded = { CROWDED_GATED(4, 2, 512) },
      .decode_ref = iqt_ref_iq2_k, .file_type = 138, WEIGH_SPREAD(1.5f), .unshrink = 0.75f },
    { .name = "iq3_k", .gguf_type = 138, SUPERBLOCK(110), SUPER_F16(0), .block = 16,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_q3, .gain = 1.0f,
      .code  = FIELD(B2(14, 0), B1(78, 2)),
      .shift = FIELD(EACH16(16)),
      .scale = { .raw = FIELD(S16(6)), .mul = 2, .add = 1,
                 .negative = FIELD(EACH16(32)) },
      .decode_ref = iqt_ref_iq3_k, .file_type = 139, WEIGH_SPREAD(1.5f), .unshrink = 0.75f },
    { .name = "iq4_k", .gguf_type = 139, SUPERBLOCK(144), SUPER_F16(0), .block = 16,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_q4, .gain = 1.0f,
      .code  = FIELD(N16(16)),
      .shift = FIELD(EACH16(16)),
      .scale = { .raw = FIELD(S16(8), PAIR16(32, 4)), .mul = 1, .add = -32 },
      .decode_ref = iqt_ref_iq4_k, .file_type = 140, WEIGH_SQUARE, .unshrink = 0.75f },
    { .name = "iq5_k", .gguf_type = 140, SUPERBLOCK(176), SUPER_F16(0), .block = 16,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_q5, .gain = 1.0f,
      .code  = FIELD(N32(16), B1(144, 4)),
      .shift = FIELD(EACH16(16)),
      .scale = { .raw = FIELD(S16(8), PAIR16(32, 4)), .mul = 1, .add = -32 },
      .decode_ref = iqt_ref_iq5_k, .file_type = 141, WEIGH_SPREAD(2.0f), .unshrink = 0.75f },
    { .name = "iq6_k", .gguf_type = 141, SUPERBLOCK(212), SUPER_F16(0), .block = 16,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_q6, .gain = 1.0f,
      .code  = FIELD(N32(20), B2(148, 4)),
      .shift = FIELD(EACH16(16)),
      .scale = { .raw = FIELD(BYTE16(4)), .mul = 1, .is_signed = 8 },
      .decode_ref = iqt_ref_iq6_k, .file_type = 142, WEIGH_SPREAD(2.0f), .unshrink = 0.75f },

    /* ---- Types of ggml that recipes mix in ---- */
    { .name = "q8_0", .gguf_type = 8, RUN32(32, 34), SUPER_F16(0), .block = 32,
      .decode = IQT_DECODE_LINEAR, .code_signed = 8, .gain = 1.0f,
      .code  = FIELD(RUN(16, 8)),
      .decode_ref = iqt_ref_q8_0, .file_type = 7, WEIGH_EQUAL },
    { .name = "q6_k", .gguf_type = 14, SUPERBLOCK(210), SUPER_F16(208), .block = 16,
      .decode = IQT_DECODE_LINEAR, .code_add = -32, .gain = 1.0f,
      .code  = FIELD(PLANE(0, 4, 0,  8, 16, 32, 64, 128, 256, 4, 512), B2(128, 4)),
      .scale = { .raw = FIELD(BYTE16(192)), .mul = 1, .is_signed = 8 },
      .crowded = { CROWDED_MATVEC(4, 2, 256) },
      .decode_ref = iqt_ref_q6_k, .file_type = 18, WEIGH_SPREAD(2.0f) },
    { .name = "q5_k", .gguf_type = 13, SUPERBLOCK(176), SUPER_F16(0), .block = 32,
      .decode = IQT_DECODE_LINEAR, .gain = 1.0f,
      .code  = FIELD(N32(48), B1(16, 4)),
      .scale = { K4_SCALE },
      .min   = { K4_MIN },
      .super_min = { IQT_AT_SUPERBLOCK, IQT_F16, 2 },
      .decode_ref = iqt_ref_q5_k, .file_type = 16, WEIGH_BOTH },
    { .name = "q4_k", .gguf_type = 12, SUPERBLOCK(144), SUPER_F16(0), .block = 32,
      .decode = IQT_DECODE_LINEAR, .gain = 1.0f,
      .code  = FIELD(N32(16)),
      .scale = { K4_SCALE },
      .min   = { K4_MIN },
      .super_min = { IQT_AT_SUPERBLOCK, IQT_F16, 2 },
      .decode_ref = iqt_ref_q4_k, .file_type = 14, WEIGH_BOTH },
    { .name = "q3_k", .gguf_type = 11, SUPERBLOCK(110), SUPER_F16(108), .block = 16,
      .decode = IQT_DECODE_LINEAR, .code_add = -4, .gain = 1.0f,
      .code  = FIELD(B2(32, 0), B1(0, 2)),
      .scale = { .raw = FIELD(PLANE(768, 4, 0,  0, 0, 0, 0, 8, 16, 32, 4),
                              PLANE(832, 2, 4,  0, 0, 0, 0, 8, 16,  2, 4)),
                 .mul = 1, .add = -32 },
      .decode_ref = iqt_ref_q3_k, .file_type = 11, WEIGH_SPREAD(2.0f) },
    { .name = "q2_k", .gguf_type = 10, SUPERBLOCK(84), SUPER_F16(80), .block = 16,
      .decode = IQT_DECODE_LINEAR, .gain = 1.0f,
      .code  = FIELD(B2(16, 0)),
      .scale = { .raw = FIELD(PLANE(0, 4, 0,  0, 0, 0, 0, 8, 16, 32, 64)), .mul = 1 },
      .min   = { .raw = FIELD(PLANE(4, 4, 0,  0, 0, 0, 0, 8, 16, 32, 64)), .mul = 1 },
      .super_min = { IQT_AT_SUPERBLOCK, IQT_F16, 82 },
      .crowded = { CROWDED_MATVEC(4, 2, 512) },
      .decode_ref = iqt_ref_q2_k, .file_type = 10, WEIGH_SIZE },
    { .name = "iq4_xs", .gguf_type = 23, SUPERBLOCK(136), SUPER_F16(0), .block = 32,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_q4, .gain = 1.0f,
      .code  = FIELD(N16(8)),
      .scale = { .raw = FIELD(S32A(4), PAIR32(16, 4)), .mul = 1, .add = -32 },
      .decode_ref = iqt_ref_iq4_xs, .file_type = 30, WEIGH_SPREAD(2.0f) },
    { .name = "iq3_s", .gguf_type = 21, SUPERBLOCK(110), SUPER_F16(0), .block = 32,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_fours, .gain = 1.0f,
      .code  = FIELD(PLANE( 16, 8, 0,  0, 0, 8, 16, 32, 64, 128, 256),
                     PLANE(528, 1, 8,  0, 0, 1,  2,  4,  8,  16,  32)),
      .sign  = FIELD(RUN256(592)),
      .scale = { .raw = FIELD(S32A(106)), .mul = 2, .add = 1 },
      .decode_ref = iqt_ref_iq3_s, .file_type = 26, WEIGH_SPREAD(2.0f) },
    { .name = "q6_0", .gguf_type = 133, RUN32(32, 26), SUPER_F16(0), .block = 32,
      .decode = IQT_DECODE_LINEAR, .code_add = -32, .gain = 1.0f,
      .code  = FIELD(HALVES4(10), PLANE(16, 2, 4,  8, 16, 32, 4, 2)),
      .decode_ref = iqt_ref_q6_0, .file_type = 135, WEIGH_SPREAD(2.0f) },
    { .name = "q5_0", .gguf_type = 6, RUN32(32, 22), SUPER_F16(0), .block = 32,
      .decode = IQT_DECODE_LINEAR, .code_add = -16, .gain = 1.0f,
      .code  = FIELD(HALVES4(6), PLANE(16, 1, 4,  1, 2, 4, 8, 16)),
      .decode_ref = iqt_ref_q5_0, .file_type = 8, WEIGH_EQUAL },
    { .name = "q5_1", .gguf_type = 7, RUN32(32, 24), SUPER_F16(0), .block = 32,
      .decode = IQT_DECODE_LINEAR, .gain = 1.0f,
      .code  = FIELD(HALVES4(8), PLANE(32, 1, 4,  1, 2, 4, 8, 16)),
      ADDED_F16(2),
      .crowded = { CROWDED_MATVEC(4, 2, 896) },
      .decode_ref = iqt_ref_q5_1, .file_type = 9, WEIGH_EQUAL },
    { .name = "q4_0", .gguf_type = 2, RUN32(32, 18), SUPER_F16(0), .block = 32,
      .decode = IQT_DECODE_LINEAR, .code_add = -8, .gain = 1.0f,
      .code  = FIELD(HALVES4(2)),
      .decode_ref = iqt_ref_q4_0, .file_type = 2, WEIGH_EQUAL },
    { .name = "q4_1", .gguf_type = 3, RUN32(32, 20), SUPER_F16(0), .block = 32,
      .decode = IQT_DECODE_LINEAR, .gain = 1.0f,
      .code  = FIELD(HALVES4(4)),
      ADDED_F16(2),
      .decode_ref = iqt_ref_q4_1, .file_type = 3, WEIGH_EQUAL },
    { .name = "iq4_nl", .gguf_type = 20, RUN32(32, 18), SUPER_F16(0), .block = 32,
      .decode = IQT_DECODE_CODEBOOK, .codebook = &iqt_codebook_q4, .gain = 1.0f,
      .code  = FIELD(HALVES4(2)),
      .decode_ref = iqt_ref_iq4_nl, .file_type = 25, WEIGH_SPREAD(2.0f) },
    { .name = "f16", .gguf_type = 1, RUN32(1, 64), .block = 32,
      .decode = IQT_DECODE_FLOAT, .element = IQT_F16, .gain = 1.0f,
      .code  = FIELD(RUN(0, 16)),
      .decode_ref = iqt_ref_f16, .file_type = 1, WEIGH_EQUAL },
    { .name = "bf16", .gguf_type = 30, RUN32(1, 64), .block = 32,
      .decode = IQT_DECODE_FLOAT, .element = IQT_BF16, .gain = 1.0f,
      .code  = FIELD(RUN(0, 16)),
      .decode_ref = iqt_ref_bf16, .file_type = 32, WEIGH_EQUAL },
    { .name = "f32", .gguf_type = 0, RUN32(1, 128), .block = 32,
      .decode = IQT_DECODE_FLOAT, .element = IQT_F32, .gain = 1.0f,
      .code  = FIELD(RUN(0, 32)),
      .crowded = { CROWDED_GATED(1, 2, 896) },
      .decode_ref = iqt_ref_f32, WEIGH_EQUAL },
    { .name = NULL },
};
// clang-format on
