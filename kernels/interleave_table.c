/* Types whose rows come in units of four with their bits interleaved (ik_llama.cpp's _R4): where a unit
 * keeps each plane of the four rows. All else about them is what their base type says. */
#include "kernels/interleave.h"

#include <stddef.h>

// clang-format off
/* Strides per index bit i0 .. i7 and then per bit of the row's number. */
#define UNIT(field, n, bit, ...) { offsetof(struct iqt_format, field), n, bit, { __VA_ARGS__ } }

/* Byte: where the plane starts in a superblock of the unit. Codes of 4, 2 and 1 bits; bits and bit pairs
 * of blocks; scales of one byte. */
#define CODE4(n, byte)     UNIT(code, n, 8 * (byte), 8, 16, 256, 4, 128, 512, 1024, 2048, 32, 64)
#define CODE2(n, byte)     UNIT(code, n, 8 * (byte), 8, 16,   2, 4, 128, 256,  512, 1024, 32, 64)
#define CODE1_Q3(n, byte)  UNIT(code, n, 8 * (byte), 8, 16,   1, 2,   4, 128,  256,  512, 32, 64)
#define CODE1_Q5(n, byte)  UNIT(code, n, 8 * (byte), 8, 16,   4, 1,   2, 128,  256,  512, 32, 64)
#define BIT16(field, byte) UNIT(field, 0, 8 * (byte), 0, 0, 0, 0, 32, 1, 2, 4, 8, 16)
#define LOW16(byte)        UNIT(scale.raw, 0, 8 * (byte), 0, 0, 0, 0, 32, 64, 128, 4, 8, 16)
#define HIGH16(byte)       UNIT(scale.raw, 1, 8 * (byte), 0, 0, 0, 0, 32, 64, 2, 4, 8, 16)
#define BYTE32(field, bit) UNIT(field, 0, bit, 0, 0, 0, 0, 0, 32, 64, 128, 8, 16)
#define SHIFTED32          BYTE32(shift, 0), BYTE32(scale.raw, 1)
#define END                { 0, 0, 0, { 0 } }

static const struct iqt_unit_plane
    codes2[]  = { BIT16(shift, 8), LOW16(16), CODE2(0, 48), END },
    codes3[]  = { BIT16(shift, 8), BIT16(scale.negative, 16), LOW16(24), CODE2(0, 56),
                 CODE1_Q3(1, 312), END },
    codes4[]  = { BIT16(shift, 8), HIGH16(16), LOW16(32), CODE4(0, 64), END },
    codes5[]  = { BIT16(shift, 8), HIGH16(16), LOW16(32), CODE4(0, 64), CODE1_Q5(1, 576), END },
    scaled4[] = { SHIFTED32, CODE4(0, 32), END },
    scaled5[] = { SHIFTED32, CODE4(0, 32), CODE1_Q5(1, 544), END };

#define LIKE(weights, size, head) \
    .superblock = weights, .granule = weights, .bytes = size, .row_head = head

const struct iqt_format iqt_interleaved[] = {
    { .name = "iq2_k_r4",  .gguf_type = 337, .base_type = 137, LIKE(256,  76, 0),
      .unit = codes2,  .file_type = 338 },
    { .name = "iq3_k_r4",  .gguf_type = 338, .base_type = 138, LIKE(256, 110, 0),
      .unit = codes3,  .file_type = 339 },
    { .name = "iq4_k_r4",  .gguf_type = 339, .base_type = 139, LIKE(256, 144, 0),
      .unit = codes4,  .file_type = 340 },
    { .name = "iq5_k_r4",  .gguf_type = 340, .base_type = 140, LIKE(256, 176, 0),
      .unit = codes5,  .file_type = 341 },
    { .name = "iq4_ks_r4", .gguf_type = 344, .base_type = 144, LIKE(256, 136, 4),
      .unit = scaled4, .file_type = 345 },
    { .name = "iq5_ks_r4", .gguf_type = 352, .base_type = 152, LIKE(256, 168, 4),
      .unit = scaled5, .file_type = 350 },
    { .name = NULL },
};
// clang-format on
