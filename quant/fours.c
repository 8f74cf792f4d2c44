/* Picks codes of a codebook of fours: magnitudes in steps of two from 1, signs beside them. A four lies in a
 * cell of the cube of steps; when the cell has a code that is the nearest whatever the weights, else the best
 * of those next to the cell. */
#include "quant/plain.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum {
    CELL_BITS = 3,
    CELLS = 1 << 4 * CELL_BITS,
    NEARBY = 24, /* more find less than a thousandth of the error */
};

/* Codes by their distance from the middle of a cell; the first is the cell's own, if any. */
struct iqt_fours {
    uint16_t code[CELLS][NEARBY];
    bool has_own[CELLS];
};

static int step_of(uint32_t cell, uint32_t n)
{
    return (int)(cell >> CELL_BITS * n & 7u);
}

static int distance(const struct iqt_codebook *book, uint32_t code, uint32_t cell)
{
    int sum = 0;

    for (uint32_t n = 0; n < 4; n++) {
        const int miss = book->value[4 * code + n] - (2 * step_of(cell, n) + 1);

        sum += miss * miss;
    }
    return sum;
}

/* Keeps the list sorted; equal ones stay in the order of their codes. */
static void list_cell(const struct iqt_codebook *book, uint32_t cell, uint16_t *list)
{
    int far[NEARBY];
    uint32_t count = 0;

    for (uint32_t code = 0; code < book->count; code++) {
        const int d = distance(book, code, cell);
        uint32_t at = count < NEARBY ? count++ : NEARBY;

        if (at == NEARBY && d >= far[NEARBY - 1])
            continue;
        at = at == NEARBY ? NEARBY - 1 : at;
        for (; at > 0 && far[at - 1] > d; at--) {
            far[at] = far[at - 1];
            list[at] = list[at - 1];
        }
        far[at] = d;
        list[at] = (uint16_t)code;
    }
}

static uint32_t cell_of(const float *y)
{
    uint32_t cell = 0;

    for (uint32_t n = 0; n < 4; n++) {
        const float step = 0.5f * y[n]; /* 1 .. 3 - : step 0, rounding down */
        const int whole = step > 7 ? 7 : (int)step;

        cell |= (uint32_t)whole << CELL_BITS * n;
    }
    return cell;
}

static uint32_t nearest(const struct iqt_plain *e, const float *y, const float *w)
{
    const int8_t *value = e->format->codebook->value;
    const uint32_t cell = cell_of(y);
    const uint16_t *list = e->fours->code[cell];
    float least = FLT_MAX;
    uint32_t best = list[0];

    for (uint32_t i = 0; i < NEARBY && !e->fours->has_own[cell]; i++) {
        const int8_t *v = value + 4 * list[i];
        const float a = y[0] - v[0], b = y[1] - v[1], c = y[2] - v[2], d = y[3] - v[3];
        const float cost = (w[0] * a * a + w[1] * b * b) + (w[2] * c * c + w[3] * d * d);

        best = cost < least ? list[i] : best;
        least = cost < least ? cost : least;
    }
    return best;
}

static void pick_fours(const struct iqt_plain *e, const struct iqt_plain_goal *goal,
                       float scale, struct iqt_plain_codes *out)
{
    const struct iqt_codebook *book = e->format->codebook;
    const float inv = fabsf(scale) > FLT_MIN ? 1 / scale : 0;
    const float far = 1e6f; /* a square must not overflow */

    for (uint32_t i = 0; i < e->format->block; i += 4) {
        float y[4];

        for (uint32_t n = 0; n < 4; n++) {
            y[n] = fabsf(goal->x[i + n] * inv);
            y[n] = y[n] < far ? y[n] : far;
        }
        const uint32_t code = nearest(e, y, goal->w + i);

        out->code[i] = (uint16_t)code;
        for (uint32_t n = 0; n < 4; n++)
            out->value[i + n] =
                copysignf(book->value[4 * code + n], goal->x[i + n] * inv);
    }
}

enum iqt_status iqt_fours_init(struct iqt_plain *e)
{
    const struct iqt_codebook *book = e->format->codebook;

    e->fours = malloc(sizeof *e->fours);
    if (e->fours == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the tables of an encoder");
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        list_cell(book, cell, e->fours->code[cell]);
        e->fours->has_own[cell] = distance(book, e->fours->code[cell][0], cell) == 0;
    }
    /* The largest weight at 15, the largest magnitude, or beside; smaller ends cut it off. */
    for (uint32_t t = 0; t < 13; t++)
        e->trial[e->trials++] = 17.0f - 0.5f * (float)t;
    e->pick = pick_fours;
    return IQT_OK;
}
