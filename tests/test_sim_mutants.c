/* Emitted CUDA and HIP kernels on the simulated machine: right and clean as they are, and caught, by a
 * fault or by wrong numbers, when one thing in their text is changed. */
#include "tests/sim_mutants.h"

/* ---- The mutants ---- */

#define SHMEM "matvec.iq4_k.cuda.n1.g16.r1.t4.s128.v4.u1.k1.native.i8.perm.shmem"
#define SHMEM_HIP "matvec.iq4_k.hip.n1.g16.r1.t4.s128.v4.u1.k1.native.i8.perm.shmem"
#define MANY "matvec.iq4_k.cuda.n4.g32.r2.t4.s64.v4.u1.k1.native.i8.perm.shmem"
#define PACKED "matvec.q6_k.cuda.n1.g8.r2.t32.s256.v16.u1.k1.packed.i8.none.subgroup"
#define SHUFFLE "matvec.iq4_ks.cuda.n1.g8.r2.t32.s64.v4.u1.k1.native.i8.perm.subgroup"
#define SHUFFLE_HIP "matvec.iq4_ks.hip.n1.g8.r2.t32.s64.v4.u1.k1.native.i8.perm.subgroup"
#define TABLE "matvec.iq2_kl.cuda.n1.g16.r1.t4.s256.v2.u1.k1.native.i8.shmem.shmem"
#define TRELLIS "matvec.iq2_kt.hip.n1.g16.r1.t4.s128.v4.u1.k1.native.i8.none.shmem"
#define TILE(format, dialect, n, lookup)                                              \
    "matvec." format "." dialect ".n" n ".g16.r4.t32.s64.v16.u1.k1.packed.i8." lookup \
    ".subgroup"
#define TILE4 TILE("iq4_k", "cuda", "1", "perm")
#define TILE2 TILE("iq2_k", "cuda", "1", "perm")
#define TILE4_MANY TILE("iq4_k", "cuda", "4", "perm")
#define TILE4_HIP TILE("iq4_k", "hip", "1", "perm")
#define TILE4_T8 "matvec.iq4_k.cuda.n4.g16.r4.t8.s64.v16.u1.k1.packed.i8.perm.subgroup"
#define TILE4_TREE "matvec.iq4_k.cuda.n1.g16.r4.t8.s64.v16.u1.k1.packed.i8.perm.shmem"
#define SPLIT "matvec.iq4_k.cuda.n4.g16.r4.t8.s64.v16.u1.k2.packed.i8.perm.subgroup"
#define SPLIT_HIP "matvec.iq4_k.hip.n2.g16.r4.t8.s64.v16.u1.k2.packed.i8.perm.shmem"
#define TILE5 TILE("iq5_k", "cuda", "1", "perm")
#define TILE5_HIP TILE("iq5_k", "hip", "1", "perm")
#define TILE6 TILE("iq6_k", "cuda", "1", "perm")
#define TILE_PAIRS TILE("iq2_kl", "cuda", "2", "perm")
#define TILE_KT TILE("iq2_kt", "hip", "1", "none")
#define TILE_KT3 TILE("iq3_kt", "cuda", "1", "none")
#define TILE_KT3_HIP TILE("iq3_kt", "hip", "1", "none")

#define HALF "matvec.iq4_k.cuda.n4.g32.r2.t4.s64.v4.u1.k1.native.f16.perm.shmem"
#define HALF_HIP "matvec.q5_k.hip.n2.g16.r1.t4.s32.v4.u1.k1.native.f16.none.shmem"

#define MMA(format, t, lookup) \
    "matvec." format ".cuda.n4.g32.r4.t" t ".s64.v16.u1.k1.packed.mma." lookup ".shmem"
#define MMA4 MMA("iq4_k", "8", "perm")
#define MMA5 MMA("iq5_ks", "4", "perm")
#define MMA_ONE(format) \
    "matvec." format ".cuda.n1.g32.r4.t8.s64.v16.u1.k1.packed.mma.none.shmem"
#define ONE1 MMA_ONE("iq1_kt")
#define ONE2 MMA_ONE("iq2_kt")
#define ONE3 MMA_ONE("iq3_kt")
#define ONE4 MMA_ONE("iq4_kt")
#define TWO2 "matvec.iq2_kt.cuda.n2.g32.r4.t8.s64.v16.u1.k1.packed.mma.none.shmem"
#define TWO3 "matvec.iq3_kt.cuda.n2.g32.r4.t8.s64.v16.u1.k1.packed.mma.none.shmem"
#define MMA_KT1 MMA("iq1_kt", "16", "none")

static const struct mutant mutants[] = {
    { "no_barrier_in_tree", SHMEM, "        BARRIER;\n        if (tid % T < off)",
      "        if (tid % T < off)" },
    { "no_barrier_between_trees", MANY,
      "    BARRIER; // earlier results have been read\n", "" },
    { "divergent_barrier", SHMEM, "        BARRIER;\n        if (tid % T < off)",
      "        if (tid % T < off)\n            BARRIER;\n        if (tid % T < off)" },
    { "tree_off_by_one", SHMEM, "tree[tid + off]", "tree[tid + off + 1u]" },
    { "tree_one_thread_more", SHMEM, "if (tid % T < off)", "if (tid % T <= off)" },
    { "tree_uninitialised", SHMEM, "    tree[tid] = x;",
      "    if (tid > 0u) tree[tid] = x;" },
    { "tree_too_short", SHMEM, "off = T / 2u", "off = T / 4u" },
    { "tree_too_small", SHMEM, "float tree[64]", "float tree[63]" },
    { "y_unguarded", SHMEM, "row < p.rows && c < p.cols", "c < p.cols" },
    { "columns_unguarded", MANY, "row < p.rows && c < p.cols", "row < p.rows" },
    { "rows_unclamped", SHMEM, "(first + r < p.rows ? first + r : p.rows - 1u)",
      "(first + r)" },
    { "columns_unclamped", MANY, "c < p.cols ? c : p.cols - 1u", "c" },
    { "permute_swapped", SHMEM, "__byte_perm(lo, hi,", "__byte_perm(hi, lo," },
    { "permute_swapped_hip", SHMEM_HIP, "perm(hi, lo, codes)", "perm(lo, hi, codes)" },
    { "table_swapped", SHMEM, "permute(0xf6eaddcfu, 0xbfad9881u, s)",
      "permute(0xbfad9881u, 0xf6eaddcfu, s)" },
    { "blend_bit", SHMEM, "(c >> 3 & 0x01010101u)", "(c >> 2 & 0x01010101u)" },
    { "load_off_by_one", PACKED, "u * 4u + 3u)", "u * 4u + 4u)" },
    { "load_unaligned", PACKED, "w_vec(w_row[r] + 16u *", "w_vec(w_row[r] + 4u + 16u *" },
    { "word_of_neighbour", SHMEM, "w_u32(at[r] + 20u + part",
      "w_u32(at[r] + 24u + part" },
    { "scale_address", SHMEM, "w_u8(at[r] + 8u + part * 4u)",
      "w_u8(at[r] + 9u + part * 4u)" },
    { "scale_offset", SHMEM, "<< 4) - 32)", "<< 4) - 31)" },
    { "stride", SHMEM, "u += T)", "u += T + 1u)" },
    { "one_span_more", SHMEM, "u = lane; u < spans", "u = lane; u <= spans" },
    { "sum_of_other_half", SHMEM, "int(xs.y << 16) >> 16", "int(xs.y) >> 16" },
    { "activation_of_neighbour", SHMEM, "dot4(v[r * 8u + 1u], xa.y",
      "dot4(v[r * 8u + 1u], xa.x" },
    { "no_activation_scale", SHMEM, "FMA(d[r] * dx, pair", "FMA(d[r], pair" },
    { "block_scale", SHMEM, "scale0[r] * float(dot0)", "scale1[r] * float(dot0)" },
    { "bias_row", SHMEM, "bias[p.row0 + row]", "bias[p.row0 + row + 1u]" },
    { "y_row", SHMEM, "c * p.y_stride + row;", "c * p.y_stride + row + 1u;" },
    { "shuffle_mask", SHUFFLE, "(0xffffffffu, x, mask)", "(0x0000ffffu, x, mask)" },
    { "shuffle_lane", SHUFFLE, "(0xffffffffu, x, mask)",
      "(0xffffffffu, x, (mask) ^ 1u)" },
    { "shuffle_lane_hip", SHUFFLE_HIP, "(lane ^ mask) << 2", "(lane ^ mask ^ 1u) << 2" },
    { "shuffle_address_hip", SHUFFLE_HIP, "(lane ^ mask) << 2", "(lane ^ mask)" },
    { "shared_table_entry", TABLE, "table[5] = 0x2fd8u;", "table[5] = 0x2fd9u;" },
    { "shared_table_unset", TABLE, "table[5] = 0x2fd8u;", "" },
    { "trellis_multiplier", TRELLIS, "0xcbac1fedu", "0xcbac1fefu" },
    { "trellis_mask", TRELLIS, "0x3f3f3f3fu", "0x3f3f3f1fu" },
    { "trellis_mean", TRELLIS, "- 126;", "- 125;" },

    /* Tiles. */
    { "tile.table_swapped", TILE4, "PERM(t[0], t[1], c)", "PERM(t[1], t[0], c)" },
    { "tile.table_entry", TILE4, "t[2] = 0x271a0e02u", "t[2] = 0x271a0e03u" },
    { "tile.table_hip", TILE4_HIP, "PERM(t[0], t[1], c) ^", "PERM(t[1], t[0], c) ^" },
    { "tile.both_hip", TILE4_HIP, "PERM(t[0], t[1], c) ^", "PERM(t[0], t[1], c) +" },
    { "tile.foreign_selector", TILE4, "c ^ 0x88888888u", "c ^ 0x88888880u" },
    { "tile.foreign_selector_hip", TILE4_HIP, "c ^ 0x08080808u", "c" },
    { "tile.high_half", TILE4, "PERM(t[0], t[1], HIGH(c))", "PERM(t[0], t[1], c)" },
    { "tile.blend_selector", TILE4_MANY, "0xd9c8u", "0xd9c9u" },
    { "tile.blend_swapped", TILE4_MANY,
      "BLEND(m0, PERM(t[0], t[1], c), PERM(t[2], t[3], z))",
      "BLEND(m0, PERM(t[2], t[3], z), PERM(t[0], t[1], c))" },
    { "tile.eights", TILE5, "(g & m)\n    sel[1]", "(g & m)\n    sel[2]" },
    { "tile.fifth_bit", TILE5, "q[8u + b] << j", "q[8u + b] << (j ^ 1u)" },
    { "tile.fifth_bit_hip", TILE5_HIP, "q[8u + b] << i", "q[9u - b] << i" },
    { "tile.lop3", TILE5, "0x88888888u, 0xf8)", "0x88888888u, 0xe8)" },
    { "tile.cubic", TILE6, "0x41824182u", "0x41864182u" },
    { "tile.cubic_shift", TILE6, "* 0x00010001u + 0x65fb65fbu",
      "* 0x00010001u + 0x65fc65fbu" },
    { "tile.pairs_of_x", TILE_PAIRS, "0x6420u); y", "0x7531u); y" },
    { "tile.pairs_table", TILE_PAIRS, "look(t + 8,", "look(t," },
    { "tile.multiplier", TILE_KT, "0xac1fedu", "0xac1fefu" },
    { "tile.multiplier_high", TILE_KT, "MAD24(x << 16, 0xcb00u",
      "MAD24(x << 16, 0xca00u" },
    { "tile.trellis_mask", TILE_KT, "0x3f3f3f3fu", "0x3f3f3f1fu" },
    { "tile.trellis_mean", TILE_KT3, "0x01010101u, -126", "0x01010101u, -125" },
    { "tile.takes_away", TILE_KT3, "i -= less;", "i += less;" },
    { "tile.trellis_mean_hip", TILE_KT3_HIP, "BYTES(m[0], 0x00820082u)",
      "BYTES(m[0], 0x00810082u)" },
    { "tile.upper_sum_hip", TILE_KT3_HIP, "BYTES_HIGH(m[3]", "BYTES(m[3]" },
    { "tile.bytes_of_sums_hip", TILE_KT3_HIP, "0x06040200u", "0x05040200u" },
    { "tile.trellis_sign", TILE_KT3, "q[4u + b] << i", "q[4u + b] << (7u - i)" },
    { "tile.sums_swapped", TILE_KT3, "PERM(s[0], s[1], 0x0040u)",
      "PERM(s[1], s[0], 0x0040u)" },
    { "tile.vector_off_by_one", TILE4, "w_codes + 64u * j)", "w_codes + 64u * j + 64u)" },
    { "tile.vector_unaligned", TILE4, "w_codes + 64u * j)", "w_codes + 64u * j + 4u)" },
    { "tile.span", TILE4, "lane % 4u * 16u;", "lane % 4u * 32u;" },
    { "tile.superblock", TILE4, "lane / 4u * 512u", "lane / 4u * 576u" },
    { "tile.record", TILE4, "p.k / 256u * 512u + lane", "p.k / 256u * 508u + lane" },
    { "tile.record_of_span", TILE4, "w_record + 40u + lane % 4u * 4u",
      "w_record + 40u + lane % 4u * 2u" },
    { "tile.fields_end", TILE4, "w_record + 56u + lane % 4u * 2u",
      "w_record + 40u + lane % 4u * 2u" },
    { "tile.row_scales", TILE4, "super.x : super.y", "super.y : super.x" },
    { "tile.no_row_scale", TILE4, "FMA(d[r] * dx, pair", "FMA(dx, pair" },
    { "tile.block_scale", TILE4, "scales[2u * 0u] * whole[0]",
      "scales[2u * 0u + 1u] * whole[0]" },
    { "tile.counts", TILE2, "fours, 0x8880u", "fours, 0x0000u" },
    { "tile.counts_sign", TILE2, "0x80808080u, 0x6a)", "0x00808080u, 0x6a)" },
    { "tile.counts_shift", TILE2, "!= 0u ? t[1] : t[0]", "!= 0u ? t[0] : t[1]" },
    { "tile.scale_offset", TILE4, "-32.0f - 8388608.0f", "-31.0f - 8388608.0f" },
    { "tile.scale_of_half", TILE4, "scale_at[2u * b + 1u]", "scale_at[2u * b]" },
    { "tile.shift_bit", TILE4, "f & 1u << at", "f & 2u << at" },
    { "tile.row_header", TILE_KT3, "tile + r * 4u + head", "tile + head" },
    { "tile.group_unclamped", TILE4, "(first / R < last ? first / R : last)",
      "(first / R)" },
    { "tile.first_row", TILE4, "first + r - p.skip;", "first + r;" },
    { "tile.y_unguarded", TILE4, "row < p.rows && c < p.cols", "c < p.cols" },
    { "tile.columns_unguarded", TILE4_MANY, "row < p.rows && c < p.cols",
      "row < p.rows" },
    { "tile.columns_unclamped", TILE4_MANY,
      "xq += c + 1u < p.cols ? (p.k + 511u) / 512u * 32u : 0u;",
      "xq += (p.k + 511u) / 512u * 32u;" },
    { "tile.columns_close", TILE4_MANY,
      "? (p.k + 511u) / 512u * 32u :", "? p.k / 16u :" },
    { "tile.x_of_lane", TILE4, "lane / 8u * 32u + lane % 8u", "lane * 4u" },
    { "tile.second_x", TILE4, "xb = xq[8]", "xb = xq[1u]" },
    { "tile.x_of_block", TILE4, "x4 + 16u * b", "x4 + 2u * b" },
    { "tile.x_scale_of_block", TILE4, "b == 0u ? both.x : both.z", "both.x" },
    { "tile.column", TILE4_MANY, "xt += c + 1u < p.cols ? p.k / 32u : 0u;", "" },
    { "tile.stride_of_x", TILE4_T8, "x2 += T * 2u;", "x2 += T;" },
    { "tile.stride_of_codes", TILE4_T8, "w_codes += T / 4u * 512u;", "w_codes += 512u;" },
    { "tile.sums_unset", TILE4, "w_sum[i] = 0.0f;", ";" },
    { "tile.sum_of_other", TILE4_MANY, "lane == i % T ?", "lane == (i ^ 1u) % T ?" },
    { "tile.sums_of_later", TILE4_T8, "w_mine[i / T] = i % T == 0u ||",
      "w_mine[0] = i % T == 0u ||" },
    { "tile.shuffle_mask", TILE4, "(0xffffffffu, x, mask)", "(0x0000ffffu, x, mask)" },
    { "tile.shuffle_too_few", TILE4_T8, "off = T / 2u", "off = T / 4u" },
    { "tile.shuffle_address_hip", TILE4_HIP, "(lane ^ mask) << 2", "(lane ^ mask)" },
    { "tile.no_barrier", TILE4_TREE, "        BARRIER;\n        if (tid % T < off)",
      "        if (tid % T < off)" },
    { "split.no_release", SPLIT, "    RELEASE;\n", "" },
    { "split.no_acquire", SPLIT, "    ACQUIRE;\n", "" },
    { "split.no_release_hip", SPLIT_HIP, "(__ATOMIC_RELEASE, \"agent\")",
      "(__ATOMIC_RELEASE, \"workgroup\")" },
    { "split.no_barrier", SPLIT, "    BARRIER;\n    if (arrived", "    if (arrived" },
    { "split.first_adds", SPLIT, "arrived != K - 1u", "arrived != 0u" },
    { "split.counter_left", SPLIT, "work[launch.counters + group] = 0u;", ";" },
    { "split.one_part_less", SPLIT, "part < K; part++", "part < K - 1u; part++" },
    { "split.part_of_neighbour", SPLIT, "group * K + part) * 1u",
      "group * K + part / 2u) * 1u" },
    { "split.same_spans", SPLIT, "x4 = xq4 + (lane + part * T)", "x4 = xq4 + (lane)" },
    { "split.step", SPLIT, "x2 += STEP * 2u;", "x2 += T * 2u;" },
    { "tile.tree_uninitialised", TILE4_TREE, "    tree[tid] = x;",
      "    if (tid > 0u) tree[tid] = x;" },

    /* float16 activations. */
    { "half.no_scale", HALF, "dot0 * dx", "dot0" },
    { "half.scale_twice", HALF, "dot1 * dx", "dot1 * dx * dx" },
    { "half.scale_of_neighbour", HALF, "xs2[block].x", "xs2[block ^ 1u].x" },
    { "half.no_scale_of_minimum", HALF_HIP, "-x_sum0 * dx", "-x_sum0" },
    { "half.words_swapped", HALF, "halves(h0.x, h0.y)", "halves(h0.y, h0.x)" },
    { "half.upper", HALF, "F16(a >> 16)", "F16(a)" },
    { "half.upper_hip", HALF_HIP, "F16(b >> 16)", "F16(b)" },
    { "half.vector_of_neighbour", HALF, "xq4[block * 4u + 1u]", "xq4[block * 4u + 2u]" },
    { "half.column_unclamped", HALF, "c < p.cols ? c : p.cols - 1u", "c" },
    { "half.shift_sum", HALF, "x_sum0 += sum4(x3);", "" },

    /* Matrix units. */
    { "mma.rows_of_a", MMA5, "\"r\"(a0), \"r\"(a1), \"r\"(a2)",
      "\"r\"(a0), \"r\"(a2), \"r\"(a1)" },
    { "mma.words_of_b", MMA5, "\"r\"(b0), \"r\"(b1)", "\"r\"(b1), \"r\"(b0)" },
    { "mma.rows_of_c", MMA5, "r = 2u * m + j / 2u", "r = 2u * m + j % 2u" },
    { "mma.columns_of_c", MMA5, "dx[j % 2u]", "dx[j / 2u]" },
    { "mma.half", MMA4, "v1[j + 1u], x[h], x[h]", "v1[j + 1u], x[0], x[h]" },
    { "mma.shift", MMA4, "mma_16(c, s0[0], s1[0], x[h]);", "" },
    { "mma.shift_of_row", MMA4, "REPEAT(bits, r)", "REPEAT(bits, r ^ 1u)" },
    { "mma.fifth_bit", MMA5, "1u << part)", "1u << (part ^ 1u))" },
    { "mma.seed", MMA_KT1, "q[2] >> 7", "q[2] >> 6" },
    { "mma.seed_bits", MMA_KT1, "FROM_LANE(e[1], i)", "FROM_LANE(e[0], i)" },
    { "mma.mean", MMA_KT1, "offset[i] = 0x82828282u", "offset[i] = 0x83838383u" },
    { "mma.magic", MMA4, "- 12582912.0f", "- 12582900.0f" },
    { "mma.scale_of_span", MMA4, "+ h], i);", "+ h], 0);" },
    { "mma.place", MMA5, "word[i] = n / 4u * STEP", "word[i] = n / 4u * 16u" },
    { "mma.no_copy_barrier", MMA4, "        SYNC_WARP;\n", "" },
    { "mma.no_barrier_before_copy", MMA4, "SYNC_WARP; // before", "; // before" },
    { "mma.chunk", MMA4, "u += CHUNKS)", "u += 1u)" },
    { "mma.records", MMA4, "w_record += CHUNKS", "w_record += 1u" },
    { "mma.column", MMA4, "c < p.cols ? c : p.cols - 1u", "c" },
    { "mma.column_of_scale", MMA4, "xs2 + c1 *", "xs2 + c0 *" },
    { "mma.no_barrier", MMA4, "    BARRIER;\n    for (uint i = chunk",
      "    for (uint i = chunk" },
    { "mma.parts", MMA4, "j < CHUNKS; j++", "j + 1u < CHUNKS; j++" },
    { "mma.parts_of_other", MMA4, "w_parts[warp - chunk + j]", "w_parts[warp]" },
    { "mma.row", MMA4, "THREAD / 4u % 8u) * R", "THREAD / 4u % 4u) * R" },
    { "mma.rows_unguarded", MMA4, "if (row < p.rows && c < p.cols)", "if (c < p.cols)" },
    { "mma.not_all_lanes", MMA4, "    for (uint m = 0u; m < 2u; m++) {",
      "    for (uint m = THREAD % 32u == 5u ? 1u : 0u; m < 2u; m++) {" },
};

/* One column of a trellis on CUDA's matrix units. */
static const struct mutant of_one[] = {
    { "one.column_of_b", ONE2, "quad == 2u * part ?", "quad == 2u * part + 1u ?" },
    { "one.column_of_c", ONE2, "i / N * 2u + i % N])", "i / N * 2u + i % N + 1u])" },
    { "one.span", ONE2, "X_WORDS * part : zeros", "X_WORDS * (part ^ 1u) : zeros" },
    { "one.every_column", ONE2, "quad == 2u * part ?", "quad < 8u ?" },
    { "one.x_order", ONE2, "w % 2u * 8u + w / 2u", "w" },
    { "one.x_repeated", ONE2, "odd.y = REPEAT(own0.y, 1u)",
      "odd.y = REPEAT(own0.y, 2u)" },
    { "one.x_of_lane", ONE2, "32u * u + THREAD % 32u", "32u * u + THREAD % 16u" },
    { "one.x_of_other_warp", ONE2, "256u * warp", "256u * 0u" },
    { "one.scale_of_x", ONE2, "4u * u + part]", "4u * u + (part ^ 1u)]" },
    { "one.rows_of_a", ONE2, "STATE(1, 4u * j + 3u), xr.z",
      "STATE(0, 4u * j + 3u), xr.z" },
    { "one.mean", ONE2, "0x7e7eu", "0x7d7du" },
    { "one.mean_of_half", ONE2, "0x7e7eu", "0x007eu" },
    { "one.base", ONE2, "= 0x4b400000u ^", "= 0x4b400800u ^" },
    { "one.seed", ONE2, "i % 2u ? 0x0100u : 0x0001u", "0x0001u" },
    { "one.seed_add", ONE2, "0x0001u, 4096u", "0x0001u, 4095u" },
    { "one.scale_code", ONE2, "at % 8u & 0x0f0f0f0fu", "at % 4u & 0x0f0f0f0fu" },
    { "one.scale_of_row", ONE2, "8u * r + scale_at[b]", "8u * (r ^ 1u) + scale_at[b]" },
    { "one.tile", ONE2, "+ 16u * part;", "+ 16u * (part ^ 1u);" },
    { "one.record", ONE2, "+ part * 4u;", "+ (part ^ 1u) * 4u;" },
    { "one.chunk", ONE2, "u += CHUNKS)", "u += 1u)" },
    { "one.no_copy_barrier", ONE2, "            SYNC_WARP;\n", "" },
    { "one.no_barrier_before_copy", ONE2, "SYNC_WARP; // the last", "; // the last" },
    { "one.zeros_unwritten", ONE2, "    BARRIER;\n    uint quad", "    uint quad" },
    { "one.no_barrier", ONE2, "    BARRIER;\n    uint thread", "    uint thread" },
    { "one.row_of_part", ONE2, "upper ? keep1 : keep0;", "upper ? keep0 : keep1;" },
    { "one.row_of_odd", ONE2, "odd ? high0 : low0;", "odd ? low0 : high0;" },
    { "one.quad", ONE2, "SHUFFLE_XOR(upper ? keep0 : keep1, 2u)",
      "SHUFFLE_XOR(upper ? keep0 : keep1, 1u)" },
    { "one.parts", ONE2, "j < CHUNKS; j++", "j + 1u < CHUNKS; j++" },
    { "one.rows_unguarded", ONE2, "if (row < p.rows && c < p.cols)", "if (c < p.cols)" },
    { "two.columns_of_b", TWO2, "quad / 2u == part ?",
      "quad / 2u == part && quad % 2u == 0u ?" },
    { "two.columns_of_c", TWO2, "i / N * 2u + i % N])", "i / N * 2u])" },
    { "two.columns_turned", TWO2, "(quad % 2u) + X_WORDS", "(1u - quad % 2u) + X_WORDS" },
    { "two.column_of_x", TWO2, "[second * (p.k / 8u)", "[0u * (p.k / 8u)" },
    { "two.column_of_scale", TWO2, "dx[i % N]", "dx[0]" },
    { "two.column_of_mean", TWO2, "mean[i % N]", "mean[0]" },
    { "two.sums", TWO2, "w_sums[64u * i +", "w_sums[" },
    { "two.magnitudes", TWO3, "x_warp + 68u + THREAD", "x_warp + 64u + THREAD" },
    { "one.rests", ONE1, "bits(e, 16u * r)", "bits(e, 16u * (r ^ 1u))" },
    { "one.split_seed", ONE1, "f << 5 & 0x1fc0u", "f << 5 & 0x1f80u" },
    { "one.sums_of_bytes", ONE3, "ones[2], ones[3]", "ones[0], ones[1]" },
    { "one.sums_once", ONE3,
      "mma_unsigned(s, s0[1], s1[1], s0[3], s1[3], ones[0], ones[1]);", "" },
    { "one.sums_signed", ONE3, "s32.u8.u8.s32", "s32.s8.s8.s32" },
    { "one.two", ONE3, "= 0x00000202u ^", "= 0x00000000u ^" },
    { "one.signs", ONE3, "1u << 2u * i + j", "1u << 2u * i" },
    { "one.signs_of_row", ONE3, "(2u * m + k) + 4u + b]", "(2u * m) + 4u + b]" },
    { "one.turn", ONE3, "0x7f7f7f7fu, 0x96", "0x80808080u, 0x96" },
    { "one.ones", ONE3, "0xffffu, 0x4b400000u", "0x0000u, 0x4b400000u" },
    { "one.shift", ONE4, "f >> 15, w, 17u", "0u, w, 17u" },
    { "one.shift_bit", ONE4, "& 0x8000u", "& 0x4000u" },
    { "one.spare", ONE4, "w[3] << 6", "w[3] << 5" },
};

_Static_assert(IQT_COUNT(mutants) >= 20, "at least 20 planted faults are kept");

static const char *arch_of(const char *plan, uint32_t warp)
{
    return strstr(plan, ".hip.") == NULL ? "sm_90" : warp == 64 ? "gfx942" : "gfx1100";
}

int main(int argc, char **argv)
{
    static const struct {
        const char *plan;
        uint32_t warp;
    } clean[] = {
        { SHMEM, 32 },      { SHMEM_HIP, 32 },   { SHMEM_HIP, 64 },   { MANY, 32 },
        { SHUFFLE, 32 },    { SHUFFLE_HIP, 32 }, { SHUFFLE_HIP, 64 }, { TABLE, 32 },
        { TRELLIS, 32 },    { TRELLIS, 64 },     { PACKED, 32 },      { TILE4, 32 },
        { TILE4_MANY, 32 }, { TILE4_HIP, 64 },   { TILE4_T8, 32 },    { TILE4_TREE, 32 },
        { TILE5, 32 },      { TILE5_HIP, 32 },   { TILE6, 32 },       { TILE_PAIRS, 32 },
        { TILE_KT, 64 },    { TILE_KT3, 32 },    { SPLIT, 32 },       { SPLIT_HIP, 64 },
        { MMA4, 32 },       { MMA5, 32 },        { MMA_KT1, 32 },     { ONE1, 32 },
        { ONE2, 32 },       { ONE3, 32 },        { ONE4, 32 },        { HALF, 32 },
        { HALF_HIP, 32 },   { HALF_HIP, 64 },    { TILE_KT3_HIP, 64 }
    };

    check_init(argc, argv);
    if (!sim_case_can())
        return check_done();
    setenv("IQT_SIM_QUIET", "1", 1);
    setenv("IQT_SIM_OPT", "-Og", 0); /* each text runs once: half the time to compile */
    for (size_t i = 0; i < IQT_COUNT(clean); i++)
        check_clean(arch_of(clean[i].plan, clean[i].warp), clean[i].plan);
    for (size_t i = 0; i < IQT_COUNT(mutants); i++)
        check_mutant(arch_of(mutants[i].plan, 64), &mutants[i]);
    for (size_t i = 0; i < IQT_COUNT(of_one); i++)
        check_mutant("sm_90", &of_one[i]);
    return check_done();
}
