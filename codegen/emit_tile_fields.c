/* The fields of a tile's blocks: functions that read block scales and shift bits; the table words that a kernel keeps. */
#include "codegen/emit_tile.h"

#include "codegen/emit_mma.h"

/* Bits 0 .. 7 are the lowest bits of the block's eight words of 16 bits. */
static const char gray_fields[] =
    "FN uint fields(const uint *q, uint b)\n{\n"
    "    uint y = (q[4u * b] & 0x10001u) + (q[4u * b + 1u] & 0x10001u) * 4u +\n"
    "             (q[4u * b + 2u] & 0x10001u) * 16u + (q[4u * b + 3u] & 0x10001u) * 64u;\n"
    "    return y | y >> 15;\n"
    "}\n";
/* Two bits a word, between its seeds. */
static const char spare_fields[] =
    "FN uint fields(const uint *q, uint b)\n{\n"
    "    return (q[4u * b] >> 15 & 0x03u) | (q[4u * b + 1u] >> 13 & 0x0cu) |\n"
    "           (q[4u * b + 2u] >> 11 & 0x30u) | (q[4u * b + 3u] >> 9 & 0xc0u);\n"
    "}\n";

/* scale(e, n): sixteen times the tile's n-th: four bits on top of a byte, less 8 by turning the
 * topmost over, which a permute extends by its sign. */
static void emit_counts(struct iqt_emit *e)
{
    iqt_emit_open(e, "FN int scale(const uint *e, uint n, const uint *t)");
    iqt_emit_line(e, "uint w = e[n / 8u];");
    iqt_emit_line(
        e,
        "uint fours = LOP3(n %% 2u ? w : w << 4, t[2], 0x80808080u, 0x6a); // (a & b) ^ c");
    iqt_emit_line(e,
                  "return (int)PERM(fours, fours, 0x8880u + 0x1111u * (n %% 8u / 2u));");
    iqt_emit_close(e);
}

/* scale(f, at): the stored bits put into the mantissa of 2^23 make a float without a conversion; one
 * exact multiply-add takes 2^23 off and scales. */
static void emit_scale(struct iqt_emit *e, const struct iqt_tile *t)
{
    if (t->format->scale.table) {
        iqt_emit_open(e, "FN float scale(uint f, uint at, const uint *t)");
        iqt_emit_line(e, "uint c = f >> at & 15u;");
        iqt_emit_line(e, "int low = dot4(PERM(t[0], t[1], c), 1u, 0);");
        iqt_emit_line(e, "return float(dot4(PERM(t[2], t[3], c ^ 8u), 1u, low));");
        iqt_emit_close(e);
        return;
    }
    iqt_emit_open(e, "FN float scale(uint f, uint at, const uint *t)");
    iqt_emit_line(e, "uint to = at < %uu ? at : %uu;", 23u - t->scale_bits,
                  23u - t->scale_bits);
    iqt_emit_line(e, "float k = %d.0f / float(1u << to);", t->scale_mul);
    iqt_emit_line(e, "float m = FLOAT_OF((f >> (at - to) & %uu << to) | t[MAGIC]);",
                  (1u << t->scale_bits) - 1);
    iqt_emit_line(e, "return FMA(m, k, %d.0f - 8388608.0f * k);", t->scale_add);
    iqt_emit_close(e);
}

/* lack(f, at): what a block's value words lack, from its shift bit. */
static void emit_lack(struct iqt_emit *e, const struct iqt_tile *t,
                      const struct iqt_tile_values *v)
{
    iqt_emit_open(e, "FN float lack(uint f, uint at, const uint *t)");
    iqt_emit_line(e, "float k = %d.0f / float(1u << at);", t->format->codebook->shift);
    iqt_emit_line(e, "float m = FLOAT_OF((f & 1u << at) | t[MAGIC]);");
    iqt_emit_line(e, "return FMA(m, k, %d.0f - 8388608.0f * k);", v->offset);
    iqt_emit_close(e);
}

/* What a decoder takes of the shift bit: a mask of selectors, the cubic's last term, the bit. */
static void emit_shift_mask(struct iqt_emit *e, const struct iqt_tile *t)
{
    const uint32_t ones =
        e->plan->dialect == IQT_DIALECT_CUDA ? 0x44444444u : 0x04040404u;

    iqt_emit_open(e, "FN uint mask(uint f, uint at)");
    if (t->family == IQT_TILE_Q2)
        iqt_emit_line(
            e,
            "return at < 3u ? MUL(f & 1u << at, 0x%08xu >> at) : MUL(f >> at & 1u, 0x%08xu);",
            ones, ones);
    else if (t->family == IQT_TILE_Q6)
        iqt_emit_line(e, "return (f >> at & 1u) * 0x00010001u + 0x65fb65fbu;");
    else
        iqt_emit_line(e, "return f >> at & 1u;");
    iqt_emit_close(e);
}

/* Inside the word that has them: those behind the split are in a word of their own. */
static void emit_positions(struct iqt_emit *e, const struct iqt_tile *t, const char *name,
                           const uint8_t at[4])
{
    const uint32_t base = t->split && at[0] >= t->split ? t->split : 0;

    iqt_emit_line(e, "const uint %s[4] = { %uu, %uu, %uu, %uu };", name, at[0] - base,
                  at[1] - base, at[2] - base, at[3] - base);
}

void iqt_emit_tile_functions(struct iqt_emit *e, const struct iqt_tile *t,
                             const struct iqt_tile_values *v)
{
    iqt_emit_line(e, "#define MAGIC %d // of the table's words", IQT_TILE_TABLE_WORDS);
    if (iqt_tile_scales_in_words(t->family)) {
        iqt_buf_printf(e->out, "%s",
                       t->family == IQT_TILE_KT4 ? spare_fields : gray_fields);
    } else {
        iqt_emit_open(e, "FN uint bits(const uint *e, uint at)");
        iqt_emit_line(e, "return FUNNEL(e[at / 32u + 1u], e[at / 32u], at %% 32u);");
        iqt_emit_close(e);
    }
    if (v != NULL && iqt_emit_tile_counts(e))
        emit_counts(e);
    else
        emit_scale(e, t);
    if (v == NULL)
        return;
    if (iqt_tile_lacks(t, v) && iqt_tile_has_shift(t))
        emit_lack(e, t, v);
    if (iqt_tile_takes_shift(t, v))
        emit_shift_mask(e, t);
}

/* ---- Tables ---- */

void iqt_emit_tile_words(struct iqt_emit *e, const uint32_t *word, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        iqt_emit_line(e, "t[%u] = 0x%08xu ^ zero;", i, word[i]);
}

/* Words that stay in registers: known to the compiler, or uniform, they would be moved to one anew for
 * each permute. A launch has fewer than 2^26 rows: a binding is below 4 GiB. */
void iqt_emit_tile_table(struct iqt_emit *e, const struct iqt_tile *t)
{
    const bool cuda = e->plan->dialect == IQT_DIALECT_CUDA;
    const bool mma = e->plan->compute == IQT_COMPUTE_MMA;
    uint32_t word[IQT_TILE_TABLE_WORDS];
    const uint32_t n =
        cuda || mma ? iqt_tile_table(t, e->plan->dialect, iqt_emit_tile_merges(e), word)
                    : iqt_tile_table_both(t, 0, word);

    iqt_emit_line(
        e, "uint zero = first >> 31; // always 0, but no constant and not uniform");
    iqt_emit_line(e, "uint t[MAGIC + 1];");
    iqt_emit_line(e, "t[MAGIC] = 0x4b000000u ^ zero; // 2^23");
    if (!cuda && mma)
        iqt_emit_mfma_table(e, t, word, n);
    else
        iqt_emit_tile_words(e, word, n);
    emit_positions(e, t, "scale_at", t->scale_bit);
    emit_positions(e, t, "shift_at", t->shift_bit);
    iqt_emit_line(e, "(void)scale_at; (void)shift_at; (void)t;");
}
