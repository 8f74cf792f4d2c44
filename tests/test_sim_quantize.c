/* What makes int8 of activations, as emitted for CUDA and HIP, on the simulated machine: the model's bits, in both
 * orders, for any number of blocks; and other bits, or a fault, when one thing in its text is changed. */
#include "tests/halve_case.h"
#include "tests/sim_activations.h"

#include <stdio.h>

/* Vectors of three superblocks, which leave half of the last 512 free, and of blocks that fill no
 * workgroup, which have no second order. */
enum { COLS = 3, WHOLE_K = 768, ODD_K = 32 * 5, MORE = 5 };

struct made {
    uint32_t k;
    int8_t *q, *want; /* [COLS][k], behind them the order of lanes */
    size_t bytes;
    struct iqt_xs s[COLS * WHOLE_K / IQT_X_BLOCK], want_s[COLS * WHOLE_K / IQT_X_BLOCK];
};

static void made_open(struct made *m, uint32_t k, const float *x)
{
    const size_t plain = (size_t)COLS * k;

    m->k = k;
    m->bytes = plain + (k % 256 == 0 ? COLS * iqt_x_lanes_stride(k) : 0);
    m->q = calloc(m->bytes, 1);
    m->want = calloc(m->bytes, 1);
    if (m->q == NULL || m->want == NULL)
        abort();
    for (size_t c = 0; c < COLS; c++)
        iqt_quantize_ref(x + c * (k + MORE), k, m->want + c * k,
                         m->want_s + c * k / IQT_X_BLOCK);
    if (m->bytes > plain)
        iqt_x_lanes_ref(m->want, k, COLS, m->want + plain);
}

static void made_close(struct made *m)
{
    free(m->q);
    free(m->want);
}

/* Of what kernels read: the order of lanes has room between vectors, which nobody writes. */
static size_t wrong_bytes(const struct made *m)
{
    const size_t plain = (size_t)COLS * m->k;
    size_t count = 0;

    for (size_t i = 0; i < plain; i++)
        count += m->q[i] != m->want[i];
    for (size_t i = plain; i < m->bytes; i++)
        count += m->want[i] != 0 && m->q[i] != m->want[i];
    return count;
}

static size_t wrong_scales(const struct made *m)
{
    size_t count = 0;

    for (size_t b = 0; b < (size_t)COLS * m->k / IQT_X_BLOCK; b++)
        count += memcmp(&m->s[b], &m->want_s[b], sizeof m->s[b]) != 0 &&
                 !(isnan(m->s[b].d) && isnan(m->want_s[b].d));
    return count;
}

static bool run(enum iqt_dialect d, uint32_t warp, const char *text, const float *x,
                struct made *m)
{
    struct sim_activations a = {
        .helper = IQT_HELPER_QUANTIZE,
        .params = { .k = m->k,
                    .cols = COLS,
                    .x_stride = m->k + MORE,
                    .lanes_at = m->k % 256 == 0 ? COLS * m->k / 16 : 0 },
        .x = x,
        .made = m->q,
        .made_bytes = m->bytes,
        .s = m->s,
    };

    return sim_activations_run(d, warp, text, &a);
}

static void check_clean(enum iqt_dialect d, uint32_t warp, uint32_t k)
{
    char *text = sim_activations_text(IQT_HELPER_QUANTIZE, d);
    float x[HALVE_COUNT];
    struct made m;

    if (check_begin("quantize.%s%u.k%u", iqt_dialect_name(d), warp, k)) {
        halve_case_fill(x);
        made_open(&m, k, x);
        if (!run(d, warp, text, x, &m)) {
            check_fail("%s", iqt_sim_fault_text());
        } else {
            check_true(wrong_bytes(&m) == 0, "%zu bytes of %zu differ from the model",
                       wrong_bytes(&m), m.bytes);
            check_true(wrong_scales(&m) == 0, "%zu scales differ from the model",
                       wrong_scales(&m));
        }
        made_close(&m);
        check_end();
    }
    free(text);
}

/* All give other bits or a fault. */
static const struct mutant {
    const char *name, *find, *put;
    uint32_t k;
} mutants[] = {
    { "largest_of_two", "off < 8u", "off < 2u", WHOLE_K },
    { "largest_of_more", "off < 8u", "off < 16u", WHOLE_K },
    { "sum_of_block", "off < 4u", "off < 8u", WHOLE_K },
    { "sum_of_two", "off < 4u", "off < 2u", WHOLE_K },
    { "same_half", "FLOAT_OF(uint(sum)), 4u)", "FLOAT_OF(uint(sum)), 8u)", WHOLE_K },
    { "halves_swapped", "(uint(sum) & 0xffffu) | sum1 << 16",
      "(sum1 & 0xffffu) | uint(sum) << 16", WHOLE_K },
    { "unclamped", "i = mine ? i : four * p.cols - 1u;", "", ODD_K },
    { "all_write", "if (!mine)", "if (false)", WHOLE_K - 128 },
    { "other_scale", "if (i % 8u == 0u)", "if (i % 8u == 4u)", WHOLE_K },
    { "no_lanes", "p.lanes_at != 0u", "p.lanes_at == 0u", WHOLE_K },
    { "spans_of_four", "c % 4u * 8u + c / 4u % 8u", "c % 4u * 4u + c / 4u % 4u",
      WHOLE_K },
    { "natural", "c % 4u * 8u + c / 4u % 8u", "c % 32u", WHOLE_K },
    { "vectors_close", "(p.k + 511u) / 512u * 32u", "p.k / 16u", WHOLE_K },
    { "words_swapped", "* 4u + i % 4u] = word", "* 4u + (i ^ 1u) % 4u] = word", WHOLE_K },
    { "stride", "i / four * p.x_stride", "i / four * p.k", WHOLE_K },
};

static void check_mutant(const struct mutant *t)
{
    char *text = sim_activations_text(IQT_HELPER_QUANTIZE, IQT_DIALECT_CUDA);
    char *changed = sim_case_mutate(text, t->find, t->put);
    float x[HALVE_COUNT];
    struct made m;

    if (check_begin("mutant.%s", t->name)) {
        halve_case_fill(x);
        made_open(&m, t->k, x);
        if (changed == NULL)
            check_fail("the text has no '%s' any more: write the mutant anew", t->find);
        else if (run(IQT_DIALECT_CUDA, 32, changed, x, &m))
            check_true(wrong_bytes(&m) + wrong_scales(&m) > 0,
                       "'%s' for '%s' gives equal bits", t->put, t->find);
        made_close(&m);
        check_end();
    }
    free(changed);
    free(text);
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    if (sim_case_can()) {
        setenv("IQT_SIM_QUIET", "1", 1);
        for (int i = 0; i < 2; i++) {
            const uint32_t k = i == 0 ? WHOLE_K : ODD_K;

            check_clean(IQT_DIALECT_CUDA, 32, k);
            check_clean(IQT_DIALECT_HIP, 32, k);
            check_clean(IQT_DIALECT_HIP, 64, k);
        }
        for (size_t i = 0; i < IQT_COUNT(mutants); i++)
            check_mutant(&mutants[i]);
    }
    return check_done();
}
