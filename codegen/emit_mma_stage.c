/* Codes of an mma kernel: from device memory in whole vectors to shared memory, from there to the lane that
 * wants them. Where they lie: kernels/tile_mma.h. */
#include "codegen/emit_mma.h"

enum { R = IQT_TILE_ROWS };

static struct iqt_mma_stage stage_of(const struct iqt_emit *e)
{
    return iqt_mma_stage_of(e->plan);
}

/* ---- The words that a lane wants ---- */

static const struct {
    const char *name, *word, *half; /* from which word n of a row on; bytes in it */
} places[IQT_MMA_PLACES] = {
    [IQT_MMA_SAME] = { "same", "0u", "0u" },
    [IQT_MMA_SAME_HALF] = { "same_half", "0u", "part % 2u * 2u" },
    [IQT_MMA_WORD] = { "word", "part", "0u" },
    [IQT_MMA_HALF] = { "half", "part / 2u", "part % 2u * 2u" },
    [IQT_MMA_PAIR] = { "pair", "part / 2u", "0u" },
    [IQT_MMA_ENDS] = { "ends", "(part == 2u ? 0u : 2u)", "0u" },
};

static bool is_half(uint32_t place)
{
    return place == IQT_MMA_HALF || place == IQT_MMA_SAME_HALF;
}

/* Bytes from the vector that holds word n, for each n % 4: a lane's words may lie in the next one. */
static void emit_places(struct iqt_emit *e, const struct iqt_mma_lane *lane)
{
    for (uint32_t p = 0; p < IQT_MMA_PLACES; p++) {
        bool used = false;

        for (uint32_t i = 0; i < lane->loads; i++)
            used |= lane->load[i].place == p;
        if (!used)
            continue;
        iqt_emit_line(e, "uint %s[4];", places[p].name);
        iqt_emit_line(e, "UNROLL");
        iqt_emit_open(e, "for (uint i = 0u; i < 4u; i++)");
        iqt_emit_line(e, "uint n = i + %s;", places[p].word);
        iqt_emit_line(e, "%s[i] = n / 4u * STEP + n %% 4u * 4u + %s;", places[p].name,
                      places[p].half);
        iqt_emit_close(e);
    }
}

void iqt_emit_mma_codes(struct iqt_emit *e, const struct iqt_tile *t,
                        const struct iqt_mma_lane *lane)
{
    const uint32_t spans = stage_of(e).spans;

    iqt_emit_line(e, "uint q[%u];", R * lane->loads);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    iqt_emit_line(
        e,
        "const uchar *c = own_stage + 128u * (i %% %uu) + (16u * quad ^ 32u * (i %% %uu));",
        spans, spans);
    for (uint32_t i = 0; i < lane->loads; i++) {
        const uint32_t place = lane->load[i].place;

        iqt_emit_scope(e);
        iqt_emit_line(e, "uint n = %uu * r + %uu;", iqt_mma_staged_words(t),
                      lane->load[i].word);
        iqt_emit_line(
            e, "q[%uu * r + %uu] = *(const %s *)(c + STEP * (n / 4u) + %s[n %% 4u]);",
            lane->loads, i, is_half(place) ? "ushort" : "uint", places[place].name);
        iqt_emit_close(e);
    }
    iqt_emit_close(e);
}

/* ---- The copy ---- */

void iqt_emit_mma_stage_functions(struct iqt_emit *e)
{
    const struct iqt_mma_stage s = stage_of(e);
    const uint32_t warps = iqt_plan_threads(e->plan) / 32u;

    iqt_emit_line(e, "#define STEP %uu // bytes from vector to vector of a span", s.step);
    iqt_emit_line(e, "#define SYNC_WARP __syncwarp()");
    iqt_emit_line(e, "%s uvec4 stage[%u][%u];", e->spell->shared, warps,
                  s.bytes / warps / 16u);
    if (e->plan->op == IQT_OP_GATED)
        iqt_emit_line(e, "#define gate_parts ((float (*)[EACH][32])stage)");
}

void iqt_emit_mma_stage_start(struct iqt_emit *e, const struct iqt_mma_lane *lane)
{
    const struct iqt_mma_stage s = stage_of(e);

    emit_places(e, lane);
    iqt_emit_line(
        e, "uint quad = THREAD / 4u %% 8u, from = part %% %uu * 16u + part / %uu * 64u;",
        s.spans, s.spans);
    iqt_emit_line(e, "uchar *own_stage = (uchar *)stage[warp];");
    iqt_emit_line(e,
                  "uchar *put = own_stage + part / %uu * STEP + part %% %uu * 128u + "
                  "(16u * quad ^ part %% %uu * 32u);",
                  s.spans, s.spans, s.spans);
}

/* Of a lane's own span. The last eight codes of 32 are the top bits of three words. */
static void emit_words(struct iqt_emit *e, const struct iqt_tile *t)
{
    if (t->family != IQT_TILE_Q3) {
        iqt_emit_line(e, "const uint *a = q;");
        return;
    }
    iqt_emit_line(e, "uint a[%u];", 8 * R);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint j = 0u; j < %uu; j++)", 2 * R);
    iqt_emit_line(e, "uint c0 = q[3u * j], c1 = q[3u * j + 1u], c2 = q[3u * j + 2u];");
    iqt_emit_line(e, "a[4u * j] = c0; a[4u * j + 1u] = c1; a[4u * j + 2u] = c2;");
    iqt_emit_line(
        e,
        "uint low = LOP3(c0 >> 3, 0x11111111u, c1 >> 2 & 0x22222222u, 0xea); // (a & b) | c");
    iqt_emit_line(e, "a[4u * j + 3u] = LOP3(c2 >> 1, 0x44444444u, low, 0xea);");
    iqt_emit_close(e);
}

static void emit_pieces(struct iqt_emit *e, const struct iqt_tile *t,
                        const struct iqt_mma_stage *s, uint32_t pieces)
{
    if (iqt_mma_stages_spans(t))
        emit_words(e, t);
    iqt_emit_line(e, "uvec4 piece[%u];", pieces);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint j = 0u; j < %uu; j++)", pieces);
    if (iqt_mma_stages_spans(t)) {
        iqt_emit_line(e, "piece[j].x = a[4u * j]; piece[j].y = a[4u * j + 1u];");
        iqt_emit_line(e, "piece[j].z = a[4u * j + 2u]; piece[j].w = a[4u * j + 3u];");
    } else {
        iqt_emit_line(e,
                      "piece[j] = *(const uvec4 *)(%s_codes + from + 16u * i + %uu * j);",
                      e->prefix, s->spans == 4 ? 64u : 128u);
    }
    iqt_emit_close(e);
}

void iqt_emit_mma_stage(struct iqt_emit *e, const struct iqt_tile *t)
{
    const struct iqt_mma_stage s = stage_of(e);
    const uint32_t pieces = iqt_mma_staged_words(t) * s.spans / 4u;

    iqt_emit_open(e, "if (i %% %uu == 0u)", s.spans);
    emit_pieces(e, t, &s, pieces);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint j = 0u; j < %uu; j++)", pieces);
    iqt_emit_line(e, "    *(uvec4 *)(put + %uu * STEP * j) = piece[j];", 4u / s.spans);
    iqt_emit_line(e, "SYNC_WARP;");
    iqt_emit_close(e);
}

void iqt_emit_mma_stage_end(struct iqt_emit *e)
{
    const struct iqt_mma_stage s = stage_of(e);

    iqt_emit_line(e, "if (i %% %uu == %uu)", s.spans, s.spans - 1u);
    iqt_emit_line(e, "    SYNC_WARP; // before the next copy");
}
