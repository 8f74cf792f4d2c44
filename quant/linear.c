/* Encoders of linear codes without a minimum (their values are whole numbers, so the nearest is a rounding)
 * and of codes that are floats. */
#include "quant/plain.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Adding and taking away 1.5 * 2^23 rounds to a whole number, ties to even. */
static float nearest_whole(float v)
{
    const float magic = 12582912.0f;

    return (v + magic) - magic;
}

static float inverse(float scale)
{
    return fabsf(scale) > FLT_MIN ? 1 / scale : 0;
}

static float clamped(const struct iqt_plain *e, float v)
{
    const float above = v < e->low ? e->low : v;

    return above > e->high ? e->high : above;
}

static void pick_whole(const struct iqt_plain *e, const struct iqt_plain_goal *goal,
                       float scale, struct iqt_plain_codes *out)
{
    const float inv = inverse(scale);
    const int add = e->format->code_add;

    for (uint32_t i = 0; i < e->format->block; i++) {
        out->value[i] = nearest_whole(clamped(e, goal->x[i] * inv));
        out->code[i] = (uint16_t)((int)out->value[i] - add);
    }
}

/* ---- The scale of one block ---- */

enum { LANES = 8 }; /* of sums: a fixed order that compilers make vectors of */

/* The sums at the values nearest for a scale of 1 / inv. */
static struct iqt_plain_fit sums_at(const struct iqt_plain *e,
                                    const struct iqt_plain_goal *goal, float inv)
{
    float value[IQT_BLOCK], xv[LANES] = { 0 }, vv[LANES] = { 0 };
    const uint32_t n = e->format->block;
    const float low = e->low, high = e->high;
    struct iqt_plain_fit s = { 0 };

    for (uint32_t i = 0; i < n; i++) {
        const float v = goal->x[i] * inv, above = v < low ? low : v;

        value[i] = nearest_whole(above > high ? high : above);
    }
    for (uint32_t i = 0; i < n; i += LANES)
        for (uint32_t l = 0; l < LANES; l++) {
            const float v = value[i + l], wv = goal->w[i + l] * v;

            xv[l] += wv * goal->x[i + l];
            vv[l] += wv * v;
        }
    for (uint32_t l = 0; l < LANES; l++) {
        s.xv += (double)xv[l];
        s.vv += (double)vv[l];
    }
    return s;
}

/* Keeps the scale that fits the values at inv when that leaves less. */
static bool try_inverse(const struct iqt_plain *e, const struct iqt_plain_goal *goal,
                        double inv, struct iqt_plain_fit *best)
{
    struct iqt_plain_fit s = sums_at(e, goal, (float)inv);
    const double gain = s.vv > 0 ? s.xv * s.xv / s.vv : 0;

    if (s.vv <= 0 || gain <= best->xv * best->scale)
        return false;
    if (s.xv < 0 && e->levels > 1 && e->level[0].value >= 0)
        return false;
    s.scale = s.xv / s.vv;
    *best = s;
    return true;
}

/* The weight of largest magnitude at the end of the range, beyond it or a fifth below, with either sign;
 * then around the best of these, and what the fit leads to. */
static struct iqt_plain_fit search_whole(const struct iqt_plain *e,
                                         const struct iqt_plain_goal *goal)
{
    enum { COARSE = 32, FINE = 6, REFITS = 4 };
    const double end = -(double)e->low, step = (0.25 * end + 1.8) / COARSE;
    struct iqt_plain_fit best = { 0 };
    double largest = 0, found = 0;

    for (uint32_t i = 0; i < e->format->block; i++) {
        if (fabs((double)goal->x[i]) > fabs(largest))
            largest = (double)goal->x[i];
        best.xx += (double)goal->w[i] * goal->x[i] * goal->x[i];
    }
    const double xx = best.xx;

    for (int t = 0; t <= COARSE && fabs(largest) > (double)FLT_MIN; t++)
        for (int sign = -1; sign <= 1; sign += 2) {
            const double inv = sign * (end + 0.9 - step * t) / largest;

            found = try_inverse(e, goal, inv, &best) ? inv : found;
        }
    for (int t = -FINE; t <= FINE && found != 0; t++)
        (void)try_inverse(e, goal, found * (1 + t * step / end / FINE), &best);
    for (int n = 0; n < REFITS && best.scale != 0; n++)
        if (!try_inverse(e, goal, 1 / best.scale, &best))
            break;
    best.xx = xx;
    return best;
}

static uint32_t bits_of(const struct iqt_field *f)
{
    uint32_t bits = 0;

    for (uint32_t n = 0; n < IQT_MAX_PLANES; n++)
        bits += f->plane[n].width;
    return bits;
}

void iqt_linear_init(struct iqt_plain *e)
{
    const struct iqt_format *f = e->format;
    const uint32_t codes = 1u << bits_of(&f->code);

    /* Signed codes stay symmetric: negating the lowest one would overflow its byte. */
    e->low = f->code_signed ? 1.0f - (float)(codes / 2) : (float)f->code_add;
    e->high =
        f->code_signed ? (float)(codes / 2 - 1) : (float)(int)codes - 1 + f->code_add;
    e->pick = pick_whole;
    e->search = search_whole;
}

/* ---- Floats ---- */

/* Nearest, ties to even; what would round to infinity becomes the largest number. */
static uint16_t to_bf16(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    bits += 0x7fffu + (bits >> 16 & 1u);
    return (uint16_t)((bits & 0x7fffffffu) < 0x7f800000u
                          ? bits >> 16
                          : (bits >> 16 & 0x8000u) | 0x7f7fu);
}

void iqt_encode_floats(enum iqt_float type, size_t k, const float *x, uint8_t *out)
{
    for (size_t i = 0; i < k; i++) {
        const uint16_t half = type == IQT_F16
                                  ? iqt_f32_to_f16(fminf(fmaxf(x[i], -65504), 65504))
                                  : to_bf16(x[i]);

        if (type == IQT_F32)
            memcpy(out + 4 * i, &x[i], 4);
        else
            memcpy(out + 2 * i, &half, 2);
    }
}
