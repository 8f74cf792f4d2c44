/* Encodes superblocks whose weights are scale * code - minimum: both fitted to each block alone by weighted
 * least squares, then the two float scales that blocks share, levels and codes in turns, each for the
 * others as they are. */
#include "quant/plain.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum {
    LANES = 8,    /* of sums: a fixed order that compilers make vectors of */
    STEPS = 37,   /* ranges of a block that are tried */
    FINE = 5,     /* steps to either side of the best scale */
    REFITS = 6,   /* of the best one */
    GUESSES = 32, /* of a shared scale */
    PASSES = 4,   /* over levels and codes */
    MAX_BLOCKS = 16,
};

/* Sums are of floats: smaller a determinant says nothing, as where one weight counts more than all others. */
#define SINGULAR 1e-6

/* Weighted sums over a block at given codes: all that its error depends on. */
struct sums {
    double w, x, q, xq, qq, xx;
};

struct block {
    const float *x, *w;
    float code[IQT_BLOCK];
    struct sums sums;
    double scale, least; /* wanted: what fits the codes best */
    int level, least_level;
};

/* What levels there are: of the scale from 1 when there is only one, of the minimum from -1. */
struct range {
    int low, high;
};

struct super {
    const struct iqt_plain *e;
    struct block block[MAX_BLOCKS];
    uint32_t blocks, n; /* n: weights of a block */
    struct range levels, leasts;
    double d, dmin; /* as they come back from the file */
    int exponent;   /* of the row */
};

/* ---- One block ---- */

/* Codes for scale and minimum, and the sums there. */
static void pick(const struct super *s, struct block *b, double scale, double least)
{
    const float inv = scale > FLT_MIN ? (float)(1 / scale) : 0;
    const float add = (float)(least * inv), high = s->e->high;
    const float magic = 12582912.0f; /* 1.5 * 2^23: rounds to a whole number */

    for (uint32_t i = 0; i < s->n; i++) {
        const float v = b->x[i] * inv + add, above = v < 0 ? 0 : v;
        const float within = above > high ? high : above;

        b->code[i] = (within + magic) - magic;
    }
}

static void sum(const struct super *s, struct block *b)
{
    float q[LANES] = { 0 }, xq[LANES] = { 0 }, qq[LANES] = { 0 };

    for (uint32_t i = 0; i < s->n; i += LANES)
        for (uint32_t l = 0; l < LANES; l++) {
            const float wq = b->w[i + l] * b->code[i + l];

            q[l] += wq;
            xq[l] += wq * b->x[i + l];
            qq[l] += wq * b->code[i + l];
        }
    b->sums.q = b->sums.xq = b->sums.qq = 0;
    for (uint32_t l = 0; l < LANES; l++) {
        b->sums.q += (double)q[l];
        b->sums.xq += (double)xq[l];
        b->sums.qq += (double)qq[l];
    }
}

/* The sums that codes do not change. */
static void sum_constants(const struct super *s, struct block *b)
{
    b->sums = (struct sums){ 0 };
    for (uint32_t i = 0; i < s->n; i++) {
        const double w = (double)b->w[i], x = (double)b->x[i];

        b->sums.w += w;
        b->sums.x += w * x;
        b->sums.xx += w * x * x;
    }
}

static double loss(const struct sums *s, double scale, double least)
{
    return s->xx + scale * (scale * s->qq - 2 * s->xq - 2 * least * s->q) +
           least * (least * s->w + 2 * s->x);
}

static double best_least(const struct super *s, const struct sums *t, double scale)
{
    const double least = t->w > 0 ? (scale * t->q - t->x) / t->w : 0;

    return s->leasts.low >= 0 && least < 0 ? 0 : least;
}

/* Scale and minimum that fit the codes best. */
static void fit(const struct super *s, struct block *b)
{
    const struct sums *t = &b->sums;
    const double det = t->w * t->qq - t->q * t->q;

    b->scale = det > SINGULAR * t->w * t->qq ? (t->w * t->xq - t->x * t->q) / det : 0;
    b->least = best_least(s, t, b->scale);
    if (b->least == 0)
        b->scale = t->qq > 0 ? t->xq / t->qq : 0;
    if (b->scale < 0) {
        b->scale = 0;
        b->least = best_least(s, t, 0);
    }
}

/* Keeps the better one of what stands in b and of *best. */
static bool keep(struct block *b, struct block *best)
{
    if (loss(&b->sums, b->scale, b->least) >= loss(&best->sums, best->scale, best->least))
        return false;
    *best = *b;
    return true;
}

static void search(const struct super *s, struct block *b)
{
    float low = b->x[0], high = b->x[0];
    struct block best;

    for (uint32_t i = 1; i < s->n; i++) {
        low = fminf(low, b->x[i]);
        high = fmaxf(high, b->x[i]);
    }
    if (s->leasts.low >= 0)
        low = fminf(low, 0);
    sum_constants(s, b);
    memset(b->code, 0, sizeof b->code);
    fit(s, b);
    best = *b;
    for (int i = 0; i < STEPS && high > low; i++) {
        const double end = (double)s->e->high;
        const double steps = 0.85 * end - 0.9 + (0.2 * end + 1.8) * i / STEPS;

        pick(s, b, ((double)high - (double)low) / steps, -(double)low);
        sum(s, b);
        fit(s, b);
        keep(b, &best);
    }
    const struct block found = best;

    for (int i = -FINE; i <= FINE; i++) {
        pick(s, b, found.scale * (1 + 0.005 * i), found.least);
        sum(s, b);
        fit(s, b);
        keep(b, &best);
    }
    *b = best;
    for (uint32_t i = 0; i < REFITS; i++) {
        pick(s, b, best.scale, best.least);
        sum(s, b);
        fit(s, b);
        if (!keep(b, &best))
            break;
    }
    *b = best;
}

/* ---- The scales that blocks share ---- */

/* As a file holds it, in the file's units. */
static uint16_t stored(const struct super *s, double d)
{
    return iqt_f32_to_f16((float)fmax(-65504, fmin(65504, ldexp(d, s->exponent))));
}

static double rounded(const struct super *s, double d)
{
    return ldexp((double)iqt_f16_to_f32(stored(s, d)), -s->exponent);
}

static int level_of(double wanted, double d, struct range range)
{
    const double level = d != 0 ? rint(wanted / d) : 0;

    return (int)fmin(fmax(level, range.low), range.high);
}

/* The shared scale under which the nearest levels miss the wanted values least; weights: what a miss
 * counts. */
static double guess(const struct super *s, const double *wanted, const double *weight,
                    struct range range)
{
    double most = 0, best = 0, least = DBL_MAX;

    if (range.low == range.high)
        return rounded(s, wanted[0] / range.low);
    for (uint32_t b = 0; b < s->blocks; b++)
        most = fmax(most, wanted[b]);
    for (int i = 0; i < 2 * GUESSES && most > 0; i++) {
        const bool is_fit = i % 2 != 0;
        double missed = 0, wl = 0, ll = 0;
        double d = rounded(s, most / (range.high * (0.96 + 0.02 * (i / 2))));

        for (int turn = 0; turn <= is_fit; turn++) {
            missed = wl = ll = 0;
            for (uint32_t b = 0; b < s->blocks; b++) {
                const double level = level_of(wanted[b], d, range);
                const double miss = wanted[b] - d * level;

                missed += weight[b] * miss * miss;
                wl += weight[b] * wanted[b] * level;
                ll += weight[b] * level * level;
            }
            if (turn < is_fit)
                d = ll > 0 ? rounded(s, wl / ll) : d;
        }
        if (missed < least) {
            least = missed;
            best = d;
        }
    }
    return best;
}

static void guess_shared(struct super *s)
{
    double wanted[MAX_BLOCKS] = { 0 }, weight[MAX_BLOCKS] = { 0 };

    for (uint32_t b = 0; b < s->blocks; b++) {
        wanted[b] = s->block[b].scale;
        weight[b] = s->block[b].sums.qq;
    }
    s->d = guess(s, wanted, weight, s->levels);
    for (uint32_t b = 0; b < s->blocks; b++) {
        struct block *k = &s->block[b];

        k->level = level_of(k->scale, s->d, s->levels);
        k->least = best_least(s, &k->sums, s->d * k->level);
        wanted[b] = k->least;
        weight[b] = k->sums.w;
    }
    s->dmin = guess(s, wanted, weight, s->leasts);
    for (uint32_t b = 0; b < s->blocks; b++)
        s->block[b].least_level = level_of(wanted[b], s->dmin, s->leasts);
}

/* ---- Levels and codes for them ---- */

/* The best of the levels around the wanted scale; for each the minimum that goes with it, and its
 * neighbours. */
static void settle(const struct super *s, struct block *b)
{
    struct block best = *b, trial = *b;
    double least_loss = DBL_MAX;
    const int middle = level_of(b->scale, s->d, s->levels);

    for (int level = middle - 1; level <= middle + 1; level++) {
        if (level < s->levels.low || level > s->levels.high)
            continue;
        const double scale = s->d * level;
        const int centre = level_of(best_least(s, &b->sums, scale), s->dmin, s->leasts);

        for (int l = centre - 1; l <= centre + 1; l++) {
            if (l < s->leasts.low || l > s->leasts.high)
                continue;
            pick(s, &trial, scale, s->dmin * l);
            sum(s, &trial);
            const double missed = loss(&trial.sums, scale, s->dmin * l);

            if (missed >= least_loss)
                continue;
            least_loss = missed;
            trial.level = level;
            trial.least_level = l;
            best = trial;
        }
    }
    *b = best;
    fit(s, b);
}

static double loss_of_all(const struct super *s, double d, double dmin)
{
    double sum = 0;

    for (uint32_t b = 0; b < s->blocks; b++)
        sum += loss(&s->block[b].sums, d * s->block[b].level,
                    dmin * s->block[b].least_level);
    return sum;
}

/* Both shared scales by least squares over all blocks, kept when it helps after rounding. */
static void refit_shared(struct super *s)
{
    double ll = 0, lm = 0, mm = 0, lx = 0, mx = 0, d, dmin;

    for (uint32_t b = 0; b < s->blocks; b++) {
        const struct block *k = &s->block[b];
        const double l = k->level, m = k->least_level;

        ll += l * l * k->sums.qq;
        lm += l * m * k->sums.q;
        mm += m * m * k->sums.w;
        lx += l * k->sums.xq;
        mx -= m * k->sums.x;
    }
    const double det = ll * mm - lm * lm;

    if (det > SINGULAR * ll * mm) {
        d = (lx * mm + mx * lm) / det;
        dmin = (mx * ll + lx * lm) / det;
    } else {
        d = ll > 0 ? lx / ll : 0;
        dmin = 0;
    }
    d = rounded(s, d);
    dmin = rounded(s, dmin);
    if (d >= 0 && (s->leasts.low < 0 || dmin >= 0) &&
        loss_of_all(s, d, dmin) < loss_of_all(s, s->d, s->dmin)) {
        s->d = d;
        s->dmin = dmin;
    }
}

/* ---- Superblocks ---- */

static struct range range_of(const struct iqt_field *f, int only)
{
    int width = 0;

    for (uint32_t n = 0; n < IQT_MAX_PLANES; n++)
        width += f->plane[n].width;
    return width == 0 ? (struct range){ only, only }
                      : (struct range){ 0, (1 << width) - 1 };
}

static void put(const struct super *s, uint8_t *out)
{
    const struct iqt_format *f = s->e->format;
    const uint16_t d = stored(s, s->d), dmin = stored(s, s->dmin);

    memcpy(out + f->super.byte, &d, sizeof d);
    memcpy(out + f->super_min.byte, &dmin, sizeof dmin);
    for (uint32_t b = 0; b < s->blocks; b++) {
        const struct block *k = &s->block[b];

        iqt_field_set(&f->scale.raw, out, b * s->n, (uint32_t)k->level);
        iqt_field_set(&f->min.raw, out, b * s->n, (uint32_t)k->least_level);
        for (uint32_t i = 0; i < s->n; i++)
            iqt_field_set(&f->code, out, b * s->n + i, (uint32_t)k->code[i]);
    }
}

void iqt_encode_affine(const struct iqt_plain *e, const struct iqt_plain_goal *goal,
                       int exponent, uint8_t *out)
{
    const struct iqt_format *f = e->format;
    struct super s = { .e = e,
                       .blocks = f->superblock / f->block,
                       .n = f->block,
                       .levels = range_of(&f->scale.raw, 1),
                       .leasts = range_of(&f->min.raw, f->min.add),
                       .exponent = exponent };

    for (uint32_t b = 0; b < s.blocks; b++) {
        s.block[b] = (struct block){ .x = goal->x + b * s.n, .w = goal->w + b * s.n };
        search(&s, &s.block[b]);
    }
    guess_shared(&s);
    for (uint32_t pass = 0; pass < PASSES; pass++) {
        for (uint32_t b = 0; b < s.blocks; b++)
            settle(&s, &s.block[b]);
        refit_shared(&s);
    }
    put(&s, out);
}
