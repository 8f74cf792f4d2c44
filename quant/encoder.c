/* The public calls: which formats have encoders, arguments, inputs that are not finite. */
#include "runtime/cpu.h"
#include "quant/batch.h"
#include "quant/plain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum iqt_status fail_unsupported(const struct iqt_format *f)
{
    struct iqt_buf names = { 0 };
    enum iqt_status status;

    for (const struct iqt_format *g = iqt_formats; g->name != NULL; g++)
        if (g->weighting.factor > 0)
            iqt_buf_printf(&names, " %s", g->name);
    status = iqt_fail(IQT_ERR_UNSUPPORTED, "no encoder for %s; there are encoders for%s",
                      f->name, iqt_buf_text(&names));
    iqt_buf_free(&names);
    return status;
}

/* What the instruction set `isa` of quant/isa.h exports. */
#define ISA_ENTRY(isa)                                       \
    {                                                        \
#isa, iqt_encode_group_##isa, iqt_trellis_find_##isa \
    }
#define ISA_DECLARE(isa)                                                                 \
    void iqt_encode_group_##isa(struct iqt_group *g, uint8_t *bytes, uint8_t *scale);    \
    uint32_t iqt_trellis_find_##isa(const struct iqt_trellis_tree *tree, const float *y, \
                                    const float *w, uint32_t start, float most)

ISA_DECLARE(portable);
#ifdef IQT_QUANT_X86
ISA_DECLARE(avx2);
ISA_DECLARE(avx512);
#endif

const struct iqt_quant_isa iqt_quant_isas[] = {
    ISA_ENTRY(portable),
#ifdef IQT_QUANT_X86
    ISA_ENTRY(avx2),
    ISA_ENTRY(avx512),
#endif
    { 0 },
};

/* The best one here, or $IQT_CPU. */
static enum iqt_status find_isa(const struct iqt_quant_isa **out)
{
    uint32_t index;

    IQT_TRY(iqt_cpu_isa(&index));
    *out = &iqt_quant_isas[0];
    for (const struct iqt_quant_isa *i = iqt_quant_isas; i->name != NULL; i++)
        if (strcmp(i->name, iqt_cpu_isas[index]) == 0)
            *out = i;
    return IQT_OK;
}

enum iqt_status iqt_encoder_create(const struct iqt_format *f, struct iqt_encoder **out)
{
    const struct iqt_encoder_opts opts = { .quality = IQT_QUALITY_DEFAULT };

    return iqt_encoder_create_with(f, &opts, out);
}

enum iqt_status iqt_encoder_create_with(const struct iqt_format *f,
                                        const struct iqt_encoder_opts *opts,
                                        struct iqt_encoder **out)
{
    struct iqt_encoder *e;
    enum iqt_status status;

    if (f == NULL || opts == NULL || out == NULL)
        return iqt_fail(IQT_ERR_ARG,
                        "iqt_encoder_create: format, options or output is NULL");
    if (opts->quality < IQT_QUALITY_DEFAULT || opts->quality > IQT_QUALITY_BEST)
        return iqt_fail(IQT_ERR_ARG, "iqt_encoder_create: %d is no quality",
                        (int)opts->quality);
    if (f->weighting.factor == 0)
        return fail_unsupported(f);
    e = calloc(1, sizeof *e);
    if (e == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for an encoder");
    e->format = f;
    e->find = opts->find;
    e->find_user = opts->find_user;
    status = iqt_is_plain(f) ? iqt_plain_create(f, &e->plain) : find_isa(&e->isa);
    if (status == IQT_OK && e->plain == NULL)
        status = iqt_tables_init(e, opts->quality);
    if (status != IQT_OK) {
        iqt_encoder_destroy(e);
        return status;
    }
    *out = e;
    return IQT_OK;
}

void iqt_encoder_destroy(struct iqt_encoder *e)
{
    if (e == NULL)
        return;
    for (size_t i = 0; i < IQT_COUNT(e->tree); i++)
        iqt_trellis_tree_destroy(e->tree[i]);
    iqt_plain_destroy(e->plain);
    free(e);
}

static enum iqt_status check_row(size_t row, size_t k, const float *x)
{
    for (size_t i = 0; i < k; i++)
        if (!isfinite(x[i]))
            return iqt_fail(IQT_ERR_ARG,
                            "the weight in row %zu, column %zu is not finite: %g", row, i,
                            (double)x[i]);
    return IQT_OK;
}

static enum iqt_status check_importance(size_t k, const float *importance)
{
    for (size_t i = 0; importance != NULL && i < k; i++)
        if (!isfinite(importance[i]) || importance[i] < 0)
            return iqt_fail(IQT_ERR_ARG,
                            "the importance of column %zu is %g, expected a "
                            "finite number not below 0",
                            i, (double)importance[i]);
    return IQT_OK;
}

/* ---- Rows that are encoded at once ---- */

struct together {
    const struct iqt_encoder *e;
    size_t k, bytes; /* of a row */
    const float *x, *importance;
    uint8_t *out;
};

static void encode_together(void *user, struct iqt_batch *batch, size_t row)
{
    const struct together *t = user;
    struct iqt_row_work work;
    const enum iqt_status status = iqt_row_work_create(t->e->format, t->k, &work);

    if (status != IQT_OK) {
        iqt_batch_fail(batch, status);
        return;
    }
    work.batch = batch;
    iqt_encode_row(t->e, t->k, t->x + row * t->k, t->importance, NULL, &work,
                   t->out + row * t->bytes);
    iqt_row_work_free(&work);
}

static enum iqt_status encode_asking(const struct together *t, size_t rows)
{
    for (size_t r = 0; r < rows; r++)
        IQT_TRY(check_row(r, t->k, t->x + r * t->k));
    return iqt_batch_run(t->e, rows, encode_together, (void *)t);
}

enum iqt_status iqt_encode_rows(const struct iqt_encoder *e, size_t rows, size_t k,
                                const float *x, const float *importance, void *out)
{
    struct iqt_row_work work;
    enum iqt_status status = IQT_OK;
    size_t bytes;

    if (e == NULL || x == NULL || out == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_encode_rows: encoder, rows or output is NULL");
    IQT_TRY(iqt_format_row_bytes(e->format, k, &bytes));
    IQT_TRY(check_importance(k, importance));
    if (iqt_encoder_asks(e)) {
        const struct together t = {
            .e = e, .k = k, .bytes = bytes, .x = x, .importance = importance, .out = out
        };

        return encode_asking(&t, rows);
    }
    IQT_TRY(iqt_row_work_create(e->format, k, &work));
    for (size_t r = 0; r < rows && status == IQT_OK; r++) {
        status = check_row(r, k, x + r * k);
        if (status == IQT_OK)
            iqt_encode_row(e, k, x + r * k, importance, NULL, &work,
                           (uint8_t *)out + r * bytes);
    }
    iqt_row_work_free(&work);
    return status;
}
