/* Kernels over tiles on the simulated machine, with integers in place of float scales, so that sums
 * are exact: every code at every place of a span, every block scale, all seeds of the trellis
 * formats, whatever row a launch begins with; and the same bits as from native rows. */
#include "tests/sim_case.h"

#include <math.h>
#include <stdio.h>

/* Columns: weight i counts in column i % COLUMNS, up to three times. Sums stay below 2^24. */
enum { K = 2048, SPANS = K / IQT_TILE_SPAN, COLUMNS = 12, BITS_ROWS = 13, BITS_K = 1024 };

/* Decoded by split permutes, by merged ones, in sweeps, and by matrix units: default plans of so many
 * columns, or this kind; one in so many formats, drawn by the seed. */
static const struct kind {
    uint32_t n;
    enum iqt_compute compute;
    uint32_t one_in;
    const char *amd; /* on this one of AMD's only; NULL: on both makers' */
} kinds[] = { { 1, IQT_COMPUTE_I8, 1, NULL },       { 2, IQT_COMPUTE_I8, 2, NULL },
              { 16, IQT_COMPUTE_I8, 6, NULL },      { 4, IQT_COMPUTE_MMA, 6, NULL },
              { 1, IQT_COMPUTE_MMA, 2, NULL },      { 2, IQT_COMPUTE_MMA, 2, NULL },
              { 16, IQT_COMPUTE_MMA, 2, NULL },     { 16, IQT_COMPUTE_MMA, 2, "gfx1100" },
              { 16, IQT_COMPUTE_MMA, 2, "gfx1201" } };
static const enum iqt_dialect dialects[] = { IQT_DIALECT_CUDA, IQT_DIALECT_HIP };

static const char *arch_of(enum iqt_dialect d)
{
    return d == IQT_DIALECT_CUDA ? "sm_90" : "gfx942";
}

/* ---- Rows that have everything ---- */

static void put(const struct iqt_field *f, uint8_t *block, uint32_t i, uint32_t value)
{
    for (uint32_t p = 0; p < IQT_MAX_PLANES && f->plane[p].width; p++)
        for (uint32_t b = 0; b < f->plane[p].width; b++) {
            const uint32_t bit = iqt_plane_bit(&f->plane[p], i) + b;
            const uint32_t set = value >> (f->plane[p].to + b) & 1;

            block[bit / 8] =
                (uint8_t)((block[bit / 8] & ~(1u << bit % 8)) | set << bit % 8);
        }
}

static uint32_t bits_of(const struct iqt_field *f)
{
    uint32_t bits = 0;

    for (uint32_t p = 0; p < IQT_MAX_PLANES && f->plane[p].width; p++)
        bits += f->plane[p].width;
    return bits;
}

static void put_one(const struct iqt_format *f, uint8_t *row, uint8_t *block)
{
    static const uint16_t half = 0x3c00;
    static const float one = 1;

    if (f->super.at == IQT_AT_SUPERBLOCK)
        memcpy(block + f->super.byte, &half, 2);
    else if (f->super.type == IQT_F32)
        memcpy(row + f->super.byte, &one, 4);
    else
        memcpy(row + f->super.byte, &half, 2);
}

/* Weights of a code. */
static uint32_t group_of(const struct iqt_format *f)
{
    return f->trellis ? f->trellis->group : f->codebook->dim;
}

/* Scales are counted through, seeds too; all else is random. n: of the superblock in all rows. */
static void fill_block(const struct iqt_format *f, uint8_t *block, uint32_t n)
{
    const uint32_t bits = bits_of(&f->scale.raw), group = group_of(f);

    for (uint32_t i = 0; i < 256; i += f->block) {
        const uint32_t count = n * 4 + i / IQT_TILE_SPAN + 3 * (i / f->block);

        put(&f->scale.raw, block, i, count);
        put(&f->scale.negative, block, i, count >> bits);
    }
    for (uint32_t i = 0; f->trellis && i < 256; i += group)
        put(&f->code, block, i, (n * 256 + i) / group);
}

/* So many that each code is missing nowhere but by a chance of 1e-9. */
static size_t rows_for(const struct iqt_format *f)
{
    const uint32_t bits = bits_of(&f->code);
    const size_t codes =
        f->trellis ? ((size_t)1 << bits) * group_of(f) / K : ((size_t)56 << bits) / SPANS;

    return (codes < 26 ? 26 : codes) + 1; /* no multiple of four */
}

static uint8_t *make_rows(const struct iqt_format *f, size_t rows)
{
    const size_t bytes = iqt_layout_row_bytes(f, IQT_LAYOUT_NATIVE, K);
    uint8_t *native = malloc(rows * bytes);
    struct iqt_rng rng = { check_seed() };

    if (native == NULL)
        abort();
    iqt_random_rows(f, K, rows, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng, native);
    for (size_t r = 0; r < rows; r++)
        for (size_t b = 0; b < K / 256; b++) {
            uint8_t *row = native + r * bytes, *block = row + f->row_head + b * f->bytes;

            put_one(f, row, block);
            fill_block(f, block, (uint32_t)(r * (K / 256) + b));
        }
    return native;
}

/* ---- Whether they do ---- */

/* Words of the file's gray code as the code plane reads them. */
static void ungray(const struct iqt_format *f, const uint8_t *block, uint8_t *out)
{
    memcpy(out, block, f->bytes);
    for (uint32_t i = 0; f->gray && i < f->bytes; i += 2) {
        const uint32_t w = (uint32_t)(block[i] | block[i + 1] << 8) & 0xfffe,
                       t = w ^ w >> 1;

        out[i] = (uint8_t)t;
        out[i + 1] = (uint8_t)(t >> 8);
    }
}

/* Codes of up to six bits: with either shift bit, at each place of a span. Scales: at each place.
 * Seeds: anywhere. */
struct coverage {
    uint8_t code[64][2][IQT_TILE_SPAN], scale[512][4], *seed;
};

static void cover(const struct iqt_format *f, const uint8_t *block, struct coverage *c)
{
    const uint32_t bits = bits_of(&f->scale.raw);
    uint8_t plain[512];

    ungray(f, block, plain);
    for (uint32_t i = 0; i < 256; i += group_of(f)) {
        const uint32_t code = iqt_field_get(&f->code, plain, i);
        const uint32_t shift = iqt_field_get(&f->shift, block, i);

        if (f->trellis)
            c->seed[code] = 1;
        else
            c->code[code][shift][i % IQT_TILE_SPAN] = 1;
    }
    for (uint32_t i = 0; i < 256; i += f->block)
        c->scale[iqt_field_get(&f->scale.raw, block, i) |
                 iqt_field_get(&f->scale.negative, block, i) << bits]
                [i % IQT_TILE_SPAN / f->block] = 1;
}

static size_t missing(const struct iqt_format *f, const struct coverage *c)
{
    const uint32_t shifts = iqt_field_empty(&f->shift) ? 1 : 2;
    const uint32_t codes = 1u << bits_of(&f->code);
    const uint32_t scales = 1u << (bits_of(&f->scale.raw) + bits_of(&f->scale.negative));
    size_t none = 0;

    for (uint32_t code = 0; code < codes; code++) {
        none += f->trellis && !c->seed[code];
        for (uint32_t s = 0; !f->trellis && s < shifts; s++)
            for (uint32_t i = 0; i < IQT_TILE_SPAN; i += group_of(f))
                none += !c->code[code][s][i];
    }
    for (uint32_t s = 0; s < scales; s++)
        for (uint32_t b = 0; b < IQT_TILE_SPAN / f->block; b++)
            none += !c->scale[s][b];
    return none;
}

static void check_coverage(const struct iqt_format *f, const uint8_t *native, size_t rows)
{
    const size_t bytes = iqt_layout_row_bytes(f, IQT_LAYOUT_NATIVE, K);
    struct coverage *c = calloc(1, sizeof *c);

    if (c == NULL || (c->seed = calloc(1, 1 << 16)) == NULL)
        abort();
    for (size_t r = 0; r < rows; r++)
        for (size_t b = 0; b < K / 256; b++)
            cover(f, native + r * bytes + f->row_head + b * f->bytes, c);
    check_true(missing(f, c) == 0, "%zu codes or scales are not in the test's rows",
               missing(f, c));
    free(c->seed);
    free(c);
}

/* ---- Exact sums ---- */

struct sums {
    uint8_t *native;
    size_t rows;
    int8_t *q;
    struct iqt_xs *s;
    double *y; /* [COLUMNS][rows] */
};

static void make_x(struct sums *m)
{
    static const int8_t value[] = { -3, -2, -1, 1, 2, 3 };

    m->q = calloc(COLUMNS, K);
    m->s = calloc(COLUMNS, K / IQT_X_BLOCK * sizeof *m->s);
    for (size_t i = 0; i < K; i++) {
        const size_t column = i % COLUMNS;
        struct iqt_xs *s = m->s + (column * K + i) / IQT_X_BLOCK;

        m->q[column * K + i] = value[check_rand() % IQT_COUNT(value)];
        s->d = 1;
        s->sum[i / 16 % 2] = (int16_t)(s->sum[i / 16 % 2] + m->q[column * K + i]);
    }
}

static struct sums sums_new(const struct iqt_format *f)
{
    const size_t bytes = iqt_layout_row_bytes(f, IQT_LAYOUT_NATIVE, K);
    struct sums m = { .rows = rows_for(f) };
    float w[K];

    m.native = make_rows(f, m.rows);
    m.y = calloc(COLUMNS * m.rows, sizeof *m.y);
    make_x(&m);
    for (size_t r = 0; r < m.rows; r++) {
        if (iqt_decode_row(f, m.native + r * bytes, K, IQT_DECODE_COMPUTE, w) != IQT_OK)
            abort();
        for (size_t i = 0; i < K; i++)
            m.y[i % COLUMNS * m.rows + r] +=
                m.q[i % COLUMNS * K + i] * rint((double)(w[i] / f->gain));
    }
    return m;
}

static void sums_free(struct sums *m)
{
    free(m->native);
    free(m->q);
    free(m->s);
    free(m->y);
}

/* Rows [begin, begin + rows) of `columns` columns are exact, all others have not been written. */
static void check_sums(const struct sim_case *c, const struct sums *m, size_t begin,
                       size_t rows, uint32_t columns)
{
    const float gain = c->plan.format->gain;
    size_t wrong = 0;

    for (uint32_t n = 0; n < COLUMNS; n++)
        for (size_t r = 0; r < m->rows; r++) {
            const float y = c->y[n * m->rows + r];
            const bool mine = r >= begin && r < begin + rows && n < columns;
            const float want = fmaf((float)m->y[n * m->rows + r], gain, c->bias[r]);

            if (mine ? y == want : isnan(y))
                continue;
            if (wrong++ == 0)
                check_fail("rows %zu to %zu: row %zu, column %u: %.9g, expected %.9g",
                           begin, begin + rows, r, n, (double)y,
                           mine ? (double)want : (double)NAN);
        }
    check_true(wrong < 2, "%zu values differ", wrong);
}

static void check_all_rows(struct sim_case *c, const struct sim_program *program,
                           const struct sums *m)
{
    struct iqt_params p = sim_case_range(c, 0, m->rows);

    p.flags = IQT_FLAG_BIAS;
    sim_case_forget(c);
    for (uint32_t column = 0; column < COLUMNS; column += p.cols)
        if (sim_case_launch(c, program, &p, column) != SIM_OK)
            check_fail("%s", iqt_sim_fault_text());
    check_sums(c, m, 0, m->rows, COLUMNS);
}

/* Launches that begin and end anywhere in groups of four rows. */
static void check_ranges(struct sim_case *c, const struct sim_program *program,
                         const struct sums *m)
{
    static const struct {
        size_t begin, rows;
    } ranges[] = {
        { 1, 3 }, { 1, 4 }, { 2, 1 }, { 2, 17 }, { 3, 1 }, { 3, 22 }, { 4, 9 }
    };

    for (size_t i = 0; i < IQT_COUNT(ranges); i++) {
        struct iqt_params p = sim_case_range(c, ranges[i].begin, ranges[i].rows);

        p.flags = IQT_FLAG_BIAS;
        p.cols = i % c->plan.n + 1;
        sim_case_forget(c);
        if (sim_case_launch(c, program, &p, 0) != SIM_OK)
            check_fail("%s", iqt_sim_fault_text());
        check_sums(c, m, ranges[i].begin, ranges[i].rows, p.cols);
    }
}

/* The default plan for so many columns, by that kind of compute. */
static struct iqt_plan plan_of(const struct iqt_format *f, enum iqt_dialect d,
                               const struct kind *kind)
{
    struct iqt_plan plan = iqt_plan_default(f, d, IQT_OP_MATVEC, 1, IQT_LAYOUT_PACKED);

    plan = iqt_plan_divisible(&plan);
    plan.n = (uint8_t)kind->n;
    if (kind->compute == IQT_COMPUTE_MMA) {
        plan.compute = IQT_COMPUTE_MMA;
        plan.rows_group = d == IQT_DIALECT_CUDA ? 32 : 16;
        plan.reduce = IQT_REDUCE_SHMEM;
    }
    return plan;
}

static bool drawn(const char *name, const struct kind *kind)
{
    return check_draws(iqt_hash(name, strlen(name), kind->n) >> 8, kind->one_in);
}

static void check_exact(const struct iqt_format *f, enum iqt_dialect d,
                        const struct kind *kind)
{
    const struct iqt_plan plan = plan_of(f, d, kind);
    struct sim_program program;
    struct sim_case c;
    struct sums m;
    char *text;

    if (iqt_plan_check(&plan, NULL) != IQT_OK || (kind->amd && d != IQT_DIALECT_HIP) ||
        !drawn(f->name, kind) ||
        !check_begin("exact.%s.%s.n%u.%s", f->name, kind->amd ? kind->amd : arch_of(d),
                     kind->n, iqt_compute_name(kind->compute)))
        return;
    m = sums_new(f);
    check_coverage(f, m.native, m.rows);
    sim_case_open(&c, &plan, m.rows, K, COLUMNS, m.native, m.q, m.s);
    text = sim_case_text(&plan);
    if (sim_case_compile_on(kind->amd ? kind->amd : arch_of(d), &program, &plan, text,
                            false)) {
        check_all_rows(&c, &program, &m);
        check_ranges(&c, &program, &m);
        sim_module_unload(program.module);
    }
    free(text);
    sim_case_close(&c);
    sums_free(&m);
    check_end();
}

/* ---- Native and packed ---- */

/* The plan of native rows that adds the same products in the same order. */
static struct iqt_plan native_of(struct iqt_plan plan)
{
    plan.layout = IQT_LAYOUT_NATIVE;
    plan.vec = (uint8_t)iqt_plan_native_vec(plan.format);
    return plan;
}

/* y: 3 columns, in launches of n. */
static void run_bits(const char *arch, const struct iqt_plan *plan, const uint8_t *native,
                     const int8_t *q, const struct iqt_xs *s, float *y)
{
    struct sim_program program;
    struct sim_case c;
    char *text = sim_case_text(plan);

    sim_case_open(&c, plan, BITS_ROWS, BITS_K, 3, native, q, s);
    sim_case_forget(&c);
    if (sim_case_compile_on(arch, &program, plan, text, false)) {
        for (uint32_t column = 0; column < 3; column += plan->n) {
            struct iqt_params p = sim_case_range(&c, 0, BITS_ROWS);

            p.cols = 3 - column < plan->n ? 3 - column : plan->n;
            if (sim_case_launch(&c, &program, &p, column) != SIM_OK)
                check_fail("%s", iqt_sim_fault_text());
        }
        sim_module_unload(program.module);
    }
    memcpy(y, c.y, 3 * BITS_ROWS * sizeof *y);
    free(text);
    sim_case_close(&c);
}

/* A kernel and the device that runs it. */
struct side {
    struct iqt_plan plan;
    const char *arch;
};

static void check_same(const struct iqt_format *f, const struct side side[2],
                       const char *name)
{
    float x[BITS_K], y[2][3 * BITS_ROWS];
    int8_t q[3 * BITS_K];
    struct iqt_xs s[3 * BITS_K / IQT_X_BLOCK];
    struct iqt_rng rng = { check_seed() };
    uint8_t *rows;
    size_t differ = 0;

    if (!check_begin("%s", name))
        return;
    rows = calloc(BITS_ROWS, iqt_layout_row_bytes(f, IQT_LAYOUT_NATIVE, BITS_K));
    iqt_random_rows(f, BITS_K, BITS_ROWS, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng,
                    rows);
    for (size_t c = 0; c < 3; c++) {
        for (size_t i = 0; i < BITS_K; i++)
            x[i] = check_gauss();
        iqt_quantize_ref(x, BITS_K, q + c * BITS_K, s + c * BITS_K / IQT_X_BLOCK);
    }
    for (size_t i = 0; i < 2; i++)
        run_bits(side[i].arch, &side[i].plan, rows, q, s, y[i]);
    for (size_t i = 0; i < 3 * BITS_ROWS; i++)
        differ += memcmp(&y[0][i], &y[1][i], sizeof y[0][i]) != 0 || isnan(y[0][i]);
    check_true(differ == 0, "%zu of %d sums have other bits; %.9g and %.9g", differ,
               3 * BITS_ROWS, (double)y[0][0], (double)y[1][0]);
    free(rows);
    check_end();
}

static void check_bits(const struct iqt_format *f, enum iqt_dialect d, uint32_t n)
{
    const struct kind kind = { n, IQT_COMPUTE_I8, 1, NULL };
    const struct iqt_plan packed = plan_of(f, d, &kind);
    const struct side sides[2] = { { packed, arch_of(d) },
                                   { native_of(packed), arch_of(d) } };
    char name[64];

    snprintf(name, sizeof name, "bits.%s.%s.n%u", f->name, iqt_dialect_name(d), n);
    check_same(f, sides, name);
}

/* AMD's generations: one wave takes a row's weights from left to right, whatever its size. */
static void check_generations(const struct iqt_format *f)
{
    static const char *const others[] = { "gfx1100", "gfx1201" };
    const struct kind kind = { 3, IQT_COMPUTE_MMA, 1, NULL };
    struct side sides[2] = { { plan_of(f, IQT_DIALECT_HIP, &kind), "gfx942" } };
    char name[64];

    sides[0].plan.threads = 16;
    sides[1].plan = sides[0].plan;
    sides[1].plan.threads = 8;
    if (iqt_plan_check(&sides[0].plan, NULL) != IQT_OK)
        return;
    for (size_t i = 0; i < IQT_COUNT(others); i++) {
        sides[1].arch = others[i];
        snprintf(name, sizeof name, "bits.%s.%s", f->name, others[i]);
        check_same(f, sides, name);
    }
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    if (!sim_case_can())
        return check_done();
    setenv("IQT_SIM_QUIET", "1", 1);
    for (const struct iqt_format *f = iqt_formats; f->name; f++)
        for (size_t d = 0; d < IQT_COUNT(dialects); d++)
            if (iqt_tile_family_of(f, dialects[d]) != IQT_TILE_NONE) {
                for (size_t n = 0; n < IQT_COUNT(kinds); n++)
                    check_exact(f, dialects[d], &kinds[n]);
                check_bits(f, dialects[d], 1);
                check_bits(f, dialects[d], 2);
                if (dialects[d] == IQT_DIALECT_HIP)
                    check_generations(f);
            }
    return check_done();
}
