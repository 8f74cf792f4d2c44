/* A thread a row, subgroups of eight, on software devices: these load lane by lane, so a lane loads an eighth
 * of the activations and gives it to the others; a table has a word in each lane, and a permute of lanes looks it up.
 * Values are bytes from 0, so that products need no sign and fit multiplications of 16 bits; the sum of the activations
 * corrects what they are too large. */
#include "codegen/emit_lanes.h"

#include "codegen/emit_block.h"

enum { LANES = IQT_PLAN_SHARING_LANES, X_LOAD = 16 /* int8 that a load has */ };

int iqt_emit_lanes_offset(const struct iqt_format *f)
{
    switch (f->decode) {
    case IQT_DECODE_TRELLIS:
        return f->trellis->magnitude ? -128 : -f->trellis->centre;
    case IQT_DECODE_LINEAR:
        return f->code_signed ? -(1 << (f->code_signed - 1)) : f->code_add;
    default:
        return -128;
    }
}

/* ---- Tables ---- */

/* Entries of a lane: as many as a word has, but one where the lanes have that many words. */
static uint32_t entries_of_word(const struct iqt_codebook *c)
{
    return c->dim == 1 && c->count <= LANES ? 1 : 4u / c->dim;
}

static uint32_t word_of(const struct iqt_codebook *c, uint32_t number)
{
    const uint32_t values = entries_of_word(c) * c->dim;
    uint32_t word = 0;

    for (uint32_t i = 0; i < values && number * values + i < c->count * c->dim; i++)
        word |= (uint32_t)(uint8_t)(c->value[number * values + i] + 128) << 8 * i;
    return word;
}

static uint32_t tables_of(const struct iqt_codebook *c)
{
    return (c->count / entries_of_word(c) + LANES - 1) / LANES;
}

void iqt_emit_lanes_fill(struct iqt_emit *e)
{
    const struct iqt_codebook *c = e->plan->format->codebook;

    for (uint32_t t = 0; t < tables_of(c); t++) {
        iqt_emit_line(e, "table%u = 0x%08xu;", t, word_of(c, LANES * t));
        for (uint32_t i = 1; i < LANES; i++)
            iqt_emit_line(e, "table%u = LANE == %uu ? 0x%08xu : table%u;", t, i,
                          word_of(c, LANES * t + i), t);
    }
}

/* Both tables are read in any case: in a branch lanes would be idle. */
static void emit_entry(struct iqt_emit *e)
{
    const struct iqt_codebook *c = e->plan->format->codebook;
    const uint32_t each = entries_of_word(c), bits = 8u * c->dim, words = c->count / each;

    for (uint32_t t = 0; t < tables_of(c); t++)
        iqt_emit_line(e, "uint table%u;", t);
    iqt_emit_open(e, "uint pick(uint code)");
    for (uint32_t t = 0; t < tables_of(c); t++)
        iqt_emit_line(e, "uint t%u = subgroupShuffle(table%u, code / %uu & %uu);", t, t,
                      each, (words < LANES ? words : LANES) - 1);
    if (tables_of(c) == 2)
        iqt_emit_line(e, "t0 = (code & %uu) != 0u ? t1 : t0;", each * LANES);
    if (each == 1)
        iqt_emit_line(e, "return t0;");
    else
        iqt_emit_line(e, "return t0 >> (code & %uu) * %uu & %uu;", each - 1, bits,
                      (1u << bits) - 1);
    iqt_emit_close(e);
}

void iqt_emit_lanes_lookup(struct iqt_emit *e)
{
    emit_entry(e);
    if (e->plan->format->codebook->dim == 1) {
        iqt_emit_open(e, "uint lut(uint c)");
        iqt_emit_line(e, "return pick(c) | pick(c >> 8) << 8 | pick(c >> 16) << 16 | "
                         "pick(c >> 24) << 24;");
        iqt_emit_close(e);
        return;
    }
    iqt_emit_line(e, "uint lut0(uint c) { return pick(c) | pick(c >> 8) << 16; }");
    iqt_emit_line(e, "uint lut1(uint c) { return pick(c >> 16) | pick(c >> 24) << 16; }");
}

/* ---- Activations ---- */

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void iqt_emit_lanes_load(struct iqt_emit *e)
{
    const uint32_t span = e->plan->span, of_span = span / X_LOAD,
                   loads = (of_span + LANES - 1) / LANES;

    iqt_emit_line(e, "uvec4 x_lanes[N * %uu];", loads);
    iqt_emit_line(e, "uvec2 s_lanes[N];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint c = 0u; c < N; c++)");
    iqt_emit_line(e, "uint col = c < p.cols ? c : p.cols - 1u;");
    for (uint32_t i = 0; i < loads; i++)
        iqt_emit_line(
            e,
            "x_lanes[c * %uu + %uu] = xq4[%s * (p.k / 16u) + u * %uu + %uu + (LANE & %uu)];",
            loads, i, iqt_emit_column(e), of_span, i * LANES, least(of_span, LANES) - 1);
    iqt_emit_line(e, "s_lanes[c] = xs2[%s * (p.k / 32u) + u * %uu + (LANE & %uu)];",
                  iqt_emit_column(e), span / 32, span / 32 - 1);
    iqt_emit_close(e);
}

void iqt_emit_lanes_x(struct iqt_emit *e, uint32_t block)
{
    const uint32_t of_span = e->plan->span / X_LOAD,
                   loads = (of_span + LANES - 1) / LANES;

    for (uint32_t i = 0; i < 2; i++)
        iqt_emit_line(e, "uvec4 x%c = subgroupShuffle(x_lanes[c * %uu + %uu], %uu);",
                      "ab"[i], loads, (2 * block + i) / LANES, (2 * block + i) % LANES);
    iqt_emit_line(e, "uvec2 xs = subgroupShuffle(s_lanes[c], %uu);", block);
}
