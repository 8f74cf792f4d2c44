/* AMD's matrix units in text: what each lane has of a product, by the compiler's macro for the generation.
 *
 *     mfma, gfx9     A  16 x 32  lane 16 h + i: row i, k = 8 h .. 8 h + 7     D  column i of rows 4 h .. 4 h + 3
 *     wmma, gfx12    A  16 x 16  lane 16 h + i: row i, k = 8 h .. 8 h + 7     D  column i of rows 8 h .. 8 h + 7
 *     wmma, gfx11    A  16 x 16  lanes i and 16 + i: row i, all k             D  lane 16 h + i: column i of rows
 *                                                                                h, 2 + h .. 14 + h
 *
 * B has columns as A has rows. (AMD Matrix Instruction Calculator, --architecture cdna3 --instruction
 * v_mfma_i32_16x16x32_i8; rdna4 and rdna3, v_wmma_i32_16x16x16_iu8; --detail-instruction.) Rows of A are chosen so
 * that a lane's sums are whole groups of four. Of blocks of 16 each half has products of its own. Lanes i and 16 + i
 * of gfx11 decode half of their row each and give it to the other. */
#include "codegen/emit_mma.h"

#include <string.h>

static const struct unit {
    const char *when;
    uint32_t wave, parts, next, x_parts, quads;
    const char *x_part, *quad, *group, *row;
    const char *text;
} units[] = {
    { "__GFX9__", IQT_MFMA_WAVE, 1, 0, 1, 1, "(lane / 16u)", "(lane / 16u)",
      "(column / R)", "(column % R)",
      "typedef int ivec __attribute__((vector_size(16)));\n"
      "FN ivec unit(ivec d, const uint *a, const uint *b)\n"
      "{\n"
      "    return __builtin_amdgcn_mfma_i32_16x16x32_i8((long)((unsigned long)a[1] << 32 | a[0]),\n"
      "                                                 (long)((unsigned long)b[1] << 32 | b[0]), d, 0, 0, 0);\n"
      "}\n" },
    { "__GFX12__", IQT_WMMA_WAVE, 2, 2, 2, 2, "(lane / 16u)", "(lane / 16u * 2u)",
      "(column / R)", "(column % R)",
      "typedef int ivec2 __attribute__((vector_size(8)));\n"
      "typedef int ivec __attribute__((vector_size(32)));\n"
      "FN ivec unit(ivec d, const uint *a, const uint *b)\n"
      "{\n"
      "    ivec2 m = { (int)a[0], (int)a[1] }, n = { (int)b[0], (int)b[1] };\n"
      "    return __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32_gfx12(true, m, true, n, d, false);\n"
      "}\n" },
    { "__GFX11__", IQT_WMMA_WAVE, 2, 2, 4, 2, "0u", "(lane / 16u * 2u)",
      "(column % 2u * 2u + column / 8u)", "(column / 2u % R)",
      "typedef int ivec4 __attribute__((vector_size(16)));\n"
      "typedef int ivec __attribute__((vector_size(32)));\n"
      "#define OTHER(x) __builtin_amdgcn_permlanex16(x, x, 0x76543210u, 0xfedcba98u, false, false)\n"
      "FN ivec unit(ivec d, const uint *a, const uint *b)\n"
      "{\n"
      "    bool upper = (THREAD & 16u) != 0u;\n"
      "    uint a0 = OTHER(a[0]), a1 = OTHER(a[1]);\n"
      "    ivec4 m = { (int)(upper ? a0 : a[0]), (int)(upper ? a1 : a[1]),\n"
      "                (int)(upper ? a[0] : a0), (int)(upper ? a[1] : a1) };\n"
      "    ivec4 n = { (int)b[0], (int)b[1], (int)b[2], (int)b[3] };\n"
      "    return __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32(true, m, true, n, d, false);\n"
      "}\n" },
};

/* products(): adds a half of a block, or the block, to d. Words of A are `of` words apart, and fewer than those of x
 * where halves share them. */
static const char products[] =
    "FN ivec products(ivec d, const uint *v, uint of, const uint *x, uint h)\n"
    "{\n"
    "    UNROLL\n"
    "    for (uint n = 0u; n < DEEP; n++) {\n"
    "        uint a[2], b[WIDE];\n"
    "        UNROLL\n"
    "        for (uint i = 0u; i < 2u; i++)\n"
    "            a[i] = v[WORD(h + n, i) % (2u * PARTS) * of];\n"
    "        UNROLL\n"
    "        for (uint i = 0u; i < WIDE; i++)\n"
    "            b[i] = x[X_WORD(h + n, i)];\n"
    "        d = unit(d, a, b);\n"
    "    }\n"
    "    return d;\n"
    "}\n"
    /* Shared memory serves a wave in order: only the compiler must be told. */
    "#define WAVE_FENCE(order) __builtin_amdgcn_fence(order, \"wavefront\")\n"
    "#define SYNC_WAVE (WAVE_FENCE(__ATOMIC_RELEASE), __builtin_amdgcn_wave_barrier(), "
    "WAVE_FENCE(__ATOMIC_ACQUIRE))\n";

/* How a workgroup is cut into waves. */
static void emit_shape(struct iqt_emit *e, const struct unit *u)
{
    const struct iqt_mfma_shape s = iqt_mfma_shape_of(e->plan, u->wave);

    iqt_emit_line(e, "#define WAVE %uu // lanes", u->wave);
    iqt_emit_line(e, "#define LANES %uu // of a wave, with tiles of one group", s.lanes);
    iqt_emit_line(e, "#define SUPERS %uu // superblocks of a wave", s.lanes / 4);
    iqt_emit_line(e, "#define CHUNKS %uu // waves that share rows", s.waves);
    iqt_emit_line(e, "#define EACH %uu // sums of a lane",
                  iqt_mma_sums(e->plan, u->wave));
    iqt_emit_line(e, "#define STEP %uu // bytes of a tile's copy", s.step);
    iqt_emit_line(e, "#define GROUP_STEP %uu // to the second group's copies", s.group);
    iqt_emit_line(e, "#define PAIR_STEP %uu // to the third one's", s.pair);
    iqt_emit_line(e, "#define SET_STEP %uu // to the next set's", s.set);
    iqt_emit_line(e, "#define SCALES_AT %uu // behind all of them", s.scales_at);
    iqt_emit_line(e, "#define SCALES_STEP %uu // of a group", s.scales);
    iqt_emit_line(e, "#define WAVE_STEP %uu // of a wave's", s.wave);
    iqt_emit_line(e, "%s uvec4 stage[%u];", e->spell->shared,
                  iqt_mma_shared(e->plan, u->wave) / 16u);
}

/* Which words of a lane's parts go into product h of a block: two side by side, or one of each part. */
static void emit_places(struct iqt_emit *e, const struct unit *u,
                        const struct iqt_tile *t)
{
    const struct iqt_mma_lane *lane = iqt_mma_lane_of(t->format, e->plan->dialect);
    const uint32_t halves = iqt_tile_halves(t);
    const bool apart = u->parts > 1 && halves == 2 && lane->x != IQT_MMA_X_EIGHT;

    iqt_emit_line(e, "#define DEEP %uu // products of a half or block",
                  u->parts > 1 && halves == 1 ? 2u : 1u);
    iqt_emit_line(e, "#define WIDE %uu // words of x in a product",
                  2 * u->x_parts / u->parts);
    iqt_emit_line(e, "#define WORD(h, i) (%s)",
                  apart ? "2u * (i) + (h)" : "2u * (h) + (i)");
    iqt_emit_line(e, "#define X_WORD(h, i) (%s)",
                  !apart           ? "WIDE * (h) + (i)"
                  : u->x_parts > 2 ? "(i) % 2u * 4u + (i) / 2u * 2u + (h)"
                                   : "2u * (i) + (h)");
}

static void emit_unit(struct iqt_emit *e, const struct unit *u, const struct iqt_tile *t)
{
    emit_shape(e, u);
    iqt_emit_line(e, "#define PARTS %uu // of a block, that a lane has", u->parts);
    iqt_emit_line(e, "#define NEXT_PART %uu", u->next);
    iqt_emit_line(e, "#define X_PART %s // the same of x, the first", u->x_part);
    iqt_emit_line(e, "#define X_PARTS %uu", u->x_parts);
    iqt_emit_line(e, "#define X_NEXT %uu", 4 / u->x_parts % 4);
    iqt_emit_line(e, "#define X_WORDS %uu",
                  2 * (u->parts > 1 ? u->x_parts : iqt_tile_halves(t)));
    iqt_emit_line(e, "#define OWN_GROUP %s // of a lane's row of A", u->group);
    iqt_emit_line(e, "#define OWN_ROW %s", u->row);
    iqt_emit_line(e, "#define QUAD %s // group of its first sums", u->quad);
    iqt_emit_line(e, "#define QUADS %uu", u->quads);
    emit_places(e, u, t);
    iqt_buf_printf(e->out, "%s", u->text);
}

void iqt_emit_mfma_functions(struct iqt_emit *e, const struct iqt_tile *t)
{
    const char *begin = "#if";

    for (size_t i = 0; i < IQT_COUNT(units); i++) {
        if (!iqt_mma_fits_wave(e->plan, units[i].wave))
            continue;
        iqt_emit_line(e, "%s defined(%s)", begin, units[i].when);
        emit_unit(e, &units[i], t);
        begin = "#elif";
    }
    iqt_emit_line(e, "#else");
    iqt_emit_line(e, "#error \"no matrix unit that this plan is for\"");
    iqt_emit_line(e, "#endif");
    iqt_emit_line(e, "#define SETS %uu // of four groups of rows",
                  e->plan->rows_group / IQT_MFMA_ROWS);
    iqt_emit_line(e,
                  "#define GROUP_AT(g) ((g) / 2u * PAIR_STEP + (g) %% 2u * GROUP_STEP)");
    iqt_emit_line(e, "#define w_parts ((float (*)[EACH][WAVE])stage)");
    if (e->plan->op == IQT_OP_GATED)
        iqt_emit_line(e, "#define gate_parts (w_parts + CHUNKS)");
    iqt_buf_printf(e->out, "%s", products);
}

/* ---- Tables ---- */

void iqt_emit_mfma_table(struct iqt_emit *e, const struct iqt_tile *t,
                         const uint32_t *word, uint32_t n)
{
    uint32_t both[IQT_TILE_TABLE_WORDS];

    iqt_tile_table_both(t, 0, both);
    if (memcmp(both, word, n * sizeof *word) == 0) {
        iqt_emit_tile_words(e, word, n);
    } else {
        iqt_emit_line(e, "#if defined(__GFX9__)");
        iqt_emit_tile_words(e, word, n);
        iqt_emit_line(e, "#else");
        iqt_emit_tile_words(e, both, n);
        iqt_emit_line(e, "#endif");
    }
    if (!iqt_mfma_lifts(t))
        return;
    iqt_tile_table_both(t, t->format->codebook->shift, both);
    iqt_emit_line(e, "#define TABLE %uu // words", n);
    iqt_emit_line(e, "uint lifted[TABLE];");
    for (uint32_t i = 0; i < n; i++)
        iqt_emit_line(e, "lifted[%u] = 0x%08xu ^ zero;", i, both[i]);
    iqt_emit_line(e, "(void)lifted;");
}
