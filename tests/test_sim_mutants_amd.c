/* Emitted HIP kernels for matrix units on the simulated machine: right and clean as they are, on each generation that
 * they are for, and caught when one thing in their text is changed. */
#include "tests/sim_mutants.h"

#define UNIT(format, g, t, lookup) \
    "matvec." format ".hip.n4.g" g ".r4.t" t ".s64.v16.u1.k1.packed.mma." lookup ".shmem"
#define MFMA3 UNIT("iq3_ks", "32", "16", "perm")
#define MFMA4 UNIT("iq4_k", "64", "8", "perm") /* two waves, two superblocks each */
#define MFMA5 UNIT("iq5_ks", "16", "16", "perm")
#define MFMA6 UNIT("iq6_k", "32", "8", "perm")
#define MFMA_KT1 UNIT("iq1_kt", "16", "16", "none")
#define MFMA_KT3 UNIT("iq3_kt", "64", "4", "none")
#define MFMA_KT4 UNIT("iq4_kt", "32", "16", "none")

#define WMMA3 UNIT("iq3_ks", "16", "16", "perm")
#define WMMA4 UNIT("iq4_k", "16", "16", "perm") /* two waves, two superblocks each */
#define WMMA4_GRAY UNIT("iq4_kss", "16", "8", "perm")
#define WMMA5 UNIT("iq5_ks", "16", "16", "perm")
#define WMMA6 UNIT("iq6_k", "16", "8", "perm")
#define WMMA_PAIRS UNIT("iq2_kl", "16", "8", "perm")
#define WMMA_KT1 UNIT("iq1_kt", "16", "16", "none")
#define WMMA_KT3 UNIT("iq3_kt", "16", "8", "none")
#define WMMA_KT4 UNIT("iq4_kt", "16", "32", "none")

static const struct mutant mfma[] = {
    { "words_of_a", MFMA5, "a[1] << 32 | a[0]", "a[0] << 32 | a[1]" },
    { "words_of_b", MFMA5, "b[1] << 32 | b[0]", "b[0] << 32 | b[1]" },
    { "group_of_a", MFMA5, "OWN_GROUP (column / R)", "OWN_GROUP (column % R)" },
    { "row_of_a", MFMA5, "OWN_ROW (column % R)", "OWN_ROW (column / R)" },
    { "quarter_of_a", MFMA5, "own_row + 4u * own", "own_row + 4u * (own ^ 1u)" },
    { "quarter_of_x", MFMA5, "+ 8u * own;", "+ 8u * (own ^ 1u);" },
    { "rows_of_d", MFMA5, "all_scales + quad *", "all_scales + OWN_GROUP *" },
    { "own_superblock", MFMA5, "u + lane % LANES / 4u", "u" },
    { "own_span", MFMA5, "lane % 4u * 16u;", "0u;" },
    { "superblock", MFMA3, "(4u * s + i) * STEP", "i * STEP" },
    { "set_of_copy", MFMA3, "(own_set * 4u + own_group) * R",
      "(own_set + own_group * SETS) * R" },
    { "set_of_scales", MFMA3, "(4u * m + d) * SCALES_STEP", "d * SCALES_STEP" },
    { "set_of_codes", MFMA3, "m * SET_STEP", "0u * SET_STEP" },
    { "gap", MFMA_KT1, "own_row += OWN_ROW / 2u * 8u;", "" },
    { "byte_of_seed", MFMA_KT4, "x << 16", "x << 15" },
    { "top_bit", MFMA3, "5u - 2u * part - w", "4u - 2u * part - w" },
    { "lower_half", MFMA4, "x[b][0] &= ~upper;", "" },
    { "upper_half", MFMA4, "x[b][1] & upper", "x[b][1]" },
    { "half_of_scale", MFMA4, "LANES * (2u * b + h)", "LANES * (2u * b)" },
    { "scale_of_row", MFMA4, "scale[r] * dx[b]", "scale[r ^ 1u] * dx[b]" },
    { "block_of_dx", MFMA5, "FLOAT_OF(xs_two.z)", "FLOAT_OF(xs_two.x)" },
    { "shift", MFMA4, "c = products(c, shift,", "(void)products(c, shift," },
    { "shift_of_row", MFMA4, "128u + OWN_ROW", "128u + OWN_GROUP" },
    { "shift_of_half", MFMA4, " + own / 2u * 4u];", "];" },
    { "fifth_bit", MFMA5, "<< 2u * part + w", "<< 2u * part" },
    { "word_of_half", MFMA6, "x[b][1] = x[b][2] = 0u", "x[b][1] = x[b][2] = x[b][0]" },
    { "rest_of_seed", MFMA_KT1, "q[2] >> 7", "q[2] >> 6" },
    { "field_of_seed", MFMA_KT1, "part == 2u ? 12u : 5u", "part == 2u ? 12u : 4u" },
    { "bytes_of_seeds", MFMA_KT1, "PERM(e[0], e[1], 0x06040200u), 0u",
      "PERM(e[0], e[1], 0x07050301u), 0u" },
    { "sign", MFMA_KT3, "q[2u + b] << 2u * part + w", "q[2u + b] << part + w" },
    { "magnitude", MFMA_KT3, "v[2u * w + 1u] = turn & 0x01010101u",
      "v[2u * w + 1u] = 0u" },
    { "bit_of_seed", MFMA_KT4, "bits[0] << 8", "bits[0] << 7" },
    { "magic", MFMA4, "- 12582912.0f", "- 12582900.0f" },
    { "no_copy_sync", MFMA4, "            SYNC_WAVE;\n", "" },
    { "no_sync_before_copy", MFMA4, "SYNC_WAVE; // before", "; // before" },
    { "no_barrier", MFMA4, "BARRIER; // the sums", "; // the sums" },
    { "no_barrier_of_sums", MFMA4, "    BARRIER;\n    for (uint i = wave",
      "    for (uint i = wave" },
    { "chunk", MFMA4, "u += CHUNKS * SUPERS)", "u += SUPERS)" },
    { "step_of_x", MFMA4, "xq += CHUNKS * SUPERS", "xq += SUPERS" },
    { "step_of_dx", MFMA4, "xs += CHUNKS * SUPERS", "xs += SUPERS" },
    { "first_of_x", MFMA4, "wave * SUPERS * 256u", "0u" },
    { "column", MFMA4, "column < p.cols ? column : p.cols - 1u", "column" },
    { "parts", MFMA4, "j < CHUNKS; j++", "j + 1u < CHUNKS; j++" },
    { "row", MFMA4, "16u + group * R", "16u + group" },
    { "rows_unguarded", MFMA4, "if (row < p.rows && c < p.cols)", "if (c < p.cols)" },
    { "columns_unguarded", MFMA4, "if (row < p.rows && c < p.cols)",
      "if (row < p.rows)" },
    { "not_all_lanes", MFMA4, "for (uint m = 0u; m < SETS; m++)",
      "for (uint m = lane == 5u ? 1u : 0u; m < SETS; m++)" },
};

/* RDNA3. */
static const struct mutant gfx11[] = {
    { "words_of_a", WMMA5, "(int)(upper ? a0 : a[0]), (int)(upper ? a1 : a[1])",
      "(int)(upper ? a1 : a[1]), (int)(upper ? a0 : a[0])" },
    { "words_of_b", WMMA5, "(int)b[2], (int)b[3]", "(int)b[3], (int)b[2]" },
    { "unsigned_a", WMMA5, "iu8_w32(true, m, true, n", "iu8_w32(false, m, true, n" },
    { "unsigned_b", WMMA5, "iu8_w32(true, m, true, n", "iu8_w32(true, m, false, n" },
    { "half_of_row", WMMA5, "(THREAD & 16u) != 0u", "(THREAD & 16u) == 0u" },
    { "same_order", WMMA5, "(THREAD & 16u) != 0u", "true" },
    { "not_given", WMMA5, "a0 = OTHER(a[0])", "a0 = a[0]" },
    { "lane_of_other", WMMA5, "0x76543210u", "0x76543201u" },
    { "parts_of_x", WMMA6, "(i) % 2u * 4u + (i) / 2u * 2u + (h)", "2u * (i) + (h)" },
    { "next_of_x", WMMA5, "X_PARTS 4u\n#define X_NEXT 1u",
      "X_PARTS 4u\n#define X_NEXT 2u" },
    { "group_of_a", WMMA5, "(column % 2u * 2u + column / 8u)", "(column / R)" },
    { "row_of_a", WMMA5, "(column / 2u % R)", "(column % R)" },
    { "rows_of_d", WMMA5, "OWN_ROW (column / 2u % R)\n#define QUAD (lane / 16u * 2u)",
      "OWN_ROW (column / 2u % R)\n#define QUAD (lane / 16u)" },
    { "parts", WMMA5, "X_PARTS 4u", "X_PARTS 2u" },
    { "no_copy_sync", WMMA4, "            SYNC_WAVE;\n", "" },
    { "no_sync_before_copy", WMMA3, "SYNC_WAVE; // before", "; // before" },
    { "no_barrier", WMMA4, "BARRIER; // the sums", "; // the sums" },
    { "not_all_lanes", WMMA4, "for (uint m = 0u; m < SETS; m++)",
      "for (uint m = lane == 5u ? 1u : 0u; m < SETS; m++)" },
};

/* RDNA4. */
static const struct mutant gfx12[] = {
    { "words_of_a", WMMA5, "m = { (int)a[0], (int)a[1] }",
      "m = { (int)a[1], (int)a[0] }" },
    { "words_of_b", WMMA5, "n = { (int)b[0], (int)b[1] }",
      "n = { (int)b[1], (int)b[0] }" },
    { "unsigned_a", WMMA5, "gfx12(true, m, true, n", "gfx12(false, m, true, n" },
    { "unsigned_b", WMMA5, "gfx12(true, m, true, n", "gfx12(true, m, false, n" },
    { "rows_of_d", WMMA5, "QUAD (lane / 16u * 2u)", "QUAD (1u - lane / 16u)" },
    { "parts", WMMA5, "#define NEXT_PART 2u", "#define NEXT_PART 1u" },
    { "not_all_lanes", WMMA4, "for (uint m = 0u; m < SETS; m++)",
      "for (uint m = lane == 5u ? 1u : 0u; m < SETS; m++)" },
};

/* Behind the shorter decoder of waves of 64. */
#define MERGED_Q4                                        \
    "    UNROLL\n    for (uint w = 0u; w < 2u; w++) {\n" \
    "        uint c = word >> 4u * w & 0x0f0f0f0fu;\n"   \
    "        v[w] ="

/* What both take from the same lines. */
static const struct mutant wmma[] = {
    { "quarter_of_a", WMMA5, "own_row + 4u * own", "own_row + 4u * (own ^ 1u)" },
    { "quarter_of_x", WMMA5, "+ 8u * own;", "+ 8u * (own ^ 1u);" },
    { "word_of_a", WMMA4, "v[WORD(h + n, i) %", "v[(WORD(h + n, i) ^ 1u) %" },
    { "word_of_x", WMMA5, "b[i] = x[X_WORD(h + n, i)];", "b[i] = x[i];" },
    { "second_product", WMMA5, "v[WORD(h + n, i)", "v[WORD(h, i)" },
    { "half", WMMA4, "v[WORD(h + n, i)", "v[WORD(1u - h, i)" },
    { "half_of_words", WMMA6, "b[i] = x[X_WORD(h + n, i)];",
      "b[i] = x[X_WORD(h + n, i) ^ 1u];" },
    { "second_group", WMMA5, "(4u * m + d) * SCALES_STEP", "4u * m * SCALES_STEP" },
    { "rows_of_second_group", WMMA5, "c[R * d + r]", "c[R * (1u - d) + r]" },
    { "half_of_scale", WMMA4, "LANES * (2u * b + h)", "LANES * (2u * b)" },
    { "scale_of_row", WMMA4, "scale[r] * dx[b]", "scale[r ^ 1u] * dx[b]" },
    { "block_of_dx", WMMA5, "FLOAT_OF(xs_two.z)", "FLOAT_OF(xs_two.x)" },
    { "shift", WMMA4, "bits[0] != 0u ?", "bits[0] == 0u ?" },
    { "shift_of_none", WMMA3, "? lifted[w] : t[w]", "? t[w] : t[w]" },
    { "shift_of_half", WMMA4, " + own / 2u * 4u];", "];" },
    { "foreign_eight", WMMA4, "c) ^ PERM(t[2]", "c) & PERM(t[2]" },
    { "own_eight", WMMA4, "t[3], c ^ 0x08080808u);\n    }\n}\n#endif",
      "t[3], c);\n    }\n}\n#endif" },
    { "gray", WMMA4_GRAY, "word ^= word >> 1;\n" MERGED_Q4, MERGED_Q4 },
    { "fives", WMMA5, "*high = t + 4", "*high = t" },
    { "fifth_bit", WMMA5, "high[3], c ^ 0x08080808u));", "high[3], c));" },
    { "pairs", WMMA_PAIRS, "PERM(x0, x1, 0x07050301u)", "PERM(x0, x1, 0x07060504u)" },
    { "pairs_of_odd", WMMA_PAIRS, "*u_high = u + 4", "*u_high = t + 4" },
    { "carry", WMMA_KT3, "(turn & 0x01010101u) ^", "(turn & 0u) ^" },
    { "sign", WMMA_KT3, "^ x & 0x80808080u", "^ x & 0u" },
    { "rest_of_seed", WMMA_KT1, "q[2] >> 7", "q[2] >> 6" },
    { "field_of_seed", WMMA_KT1, "part == 2u ? 12u : 5u", "part == 2u ? 12u : 4u" },
    { "start_of_seed", WMMA_KT1, "part == 1u ? 19u : 13u", "part == 1u ? 19u : 12u" },
    { "bit_of_seed", WMMA_KT4, "bits[0] << 8", "bits[0] << 7" },
    { "magic", WMMA4, "- 12582912.0f", "- 12582900.0f" },
    { "own_superblock", WMMA5, "u + lane % LANES / 4u", "u" },
    { "last_superblock", WMMA5, "s > 0u && u + s >= supers", "s > 0u" },
    { "chunk", WMMA4, "u += CHUNKS * SUPERS)", "u += SUPERS)" },
    { "step_of_x", WMMA3, "xq += CHUNKS * SUPERS", "xq += SUPERS" },
    { "step_of_dx", WMMA3, "xs += CHUNKS * SUPERS", "xs += SUPERS" },
    { "column", WMMA4, "column < p.cols ? column : p.cols - 1u", "column" },
    { "parts_of_sums", WMMA4, "j < CHUNKS; j++", "j + 1u < CHUNKS; j++" },
    { "row", WMMA4, "16u + group * R", "16u + group" },
    { "row_of_group", WMMA4, "quad + i / R % QUADS", "quad" },
    { "rows_unguarded", WMMA4, "if (row < p.rows && c < p.cols)", "if (c < p.cols)" },
};

static void check_table(const char *arch, const struct mutant *m, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_mutant(arch, &m[i]);
}

static void check_waves_of_32(const char *arch)
{
    static const char *const clean[] = { WMMA3,      WMMA4,    WMMA4_GRAY, WMMA5,   WMMA6,
                                         WMMA_PAIRS, WMMA_KT1, WMMA_KT3,   WMMA_KT4 };

    for (size_t i = 0; i < IQT_COUNT(clean); i++)
        check_clean(arch, clean[i]);
    check_table(arch, wmma, IQT_COUNT(wmma));
}

int main(int argc, char **argv)
{
    static const char *const clean[] = { MFMA3,    MFMA4,    MFMA5,   MFMA6,
                                         MFMA_KT1, MFMA_KT3, MFMA_KT4 };

    check_init(argc, argv);
    if (!sim_case_can())
        return check_done();
    setenv("IQT_SIM_QUIET", "1", 1);
    setenv("IQT_SIM_OPT", "-Og", 0); /* each text runs once: half the time to compile */
    for (size_t i = 0; i < IQT_COUNT(clean); i++)
        check_clean("gfx942", clean[i]);
    check_table("gfx942", mfma, IQT_COUNT(mfma));
    check_waves_of_32("gfx1100");
    check_table("gfx1100", gfx11, IQT_COUNT(gfx11));
    check_waves_of_32("gfx1201");
    check_table("gfx1201", gfx12, IQT_COUNT(gfx12));
    return check_done();
}
