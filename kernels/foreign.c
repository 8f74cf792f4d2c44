/* Types that GGUF files may carry and that have no kernels here: enough to size, name and
 * check such tensors, nothing to compute with them. Left out are types whose size differs
 * between programs (q8_k, i2_s) and those that exist only in memory. */
#include "kernels/format.h"

// clang-format off
static const struct iqt_foreign_type types[] = {
    /*                type weights bytes head */
    /* ggml */
    { "q8_1",         9,     32,    36,    0 },
    { "iq2_xxs",     16,    256,    66,    0 },
    { "iq2_xs",      17,    256,    74,    0 },
    { "iq3_xxs",     18,    256,    98,    0 },
    { "iq1_s",       19,    256,    50,    0 },
    { "iq2_s",       22,    256,    82,    0 },
    { "i8",          24,      1,     1,    0 },
    { "i16",         25,      1,     2,    0 },
    { "i32",         26,      1,     4,    0 },
    { "i64",         27,      1,     8,    0 },
    { "f64",         28,      1,     8,    0 },
    { "iq1_m",       29,    256,    56,    0 },
    { "q4_0_4x4",    31,     32,    18,    0 },
    { "q4_0_4x8",    32,     32,    18,    0 },
    { "q4_0_8x8",    33,     32,    18,    0 },
    { "tq1_0",       34,    256,    54,    0 },
    { "tq2_0",       35,    256,    66,    0 },
    { "mxfp4",       39,     32,    17,    0 },
    { "nvfp4",       40,     64,    36,    0 },
    { "q1_0",        41,    128,    18,    0 },
    /* ik_llama.cpp */
    { "iq1_bn",     134,     64,    13,    2 },
    { "iq2_bn",     135,     64,    16,    4 },
    { "q8_kv",      151,     32,    32,    8 },
    /* ik_llama.cpp, several rows interleaved: bytes are those of one row */
    { "q4_0_r8",    202,     32,    18,    0 },
    { "q5_0_r4",    206,     32,    22,    0 },
    { "q8_0_r8",    208,     32,    34,    0 },
    { "q2_k_r4",    210,    256,    84,    0 },
    { "q3_k_r4",    211,    256,   110,    0 },
    { "q4_k_r4",    212,    256,   144,    0 },
    { "q5_k_r4",    213,    256,   176,    0 },
    { "q6_k_r4",    214,    256,   210,    0 },
    { "iq2_xxs_r4", 216,    256,    66,    0 },
    { "iq2_xs_r4",  217,    256,    74,    0 },
    { "iq3_xxs_r4", 218,    256,    98,    0 },
    { "iq1_s_r4",   219,     32,     6,    2 },
    { "iq4_nl_r4",  220,     32,    18,    0 },
    { "iq3_s_r4",   221,    256,   110,    0 },
    { "iq2_s_r4",   222,    256,    82,    0 },
    { "iq4_xs_r8",  223,    256,   136,    0 },
    { "iq1_m_r4",   229,     32,     7,    2 },
    { "bf16_r16",   230,      1,     2,    0 },
    { "q6_0_r4",    233,     32,    26,    0 },
    { "iq2_bn_r4",  335,     64,    16,    4 },
    { "mxfp4_r8",   353,     32,    17,    0 },
    { "q8_k_r16",   397,    256,   258,    0 },
    { "q8_kv_r8",   398,     32,    32,    4 },
    { "q8_k_r8",    399,    256,   258,    0 },
};
// clang-format on

const struct iqt_foreign_type *iqt_foreign_of_type(uint32_t gguf_type)
{
    for (size_t i = 0; i < IQT_COUNT(types); i++) {
        if (types[i].gguf_type == gguf_type)
            return &types[i];
    }
    return NULL;
}

const struct iqt_foreign_type *iqt_foreign_at(size_t i)
{
    return i < IQT_COUNT(types) ? &types[i] : NULL;
}
