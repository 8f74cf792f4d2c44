/* The public calls: which formats have encoders, arguments, inputs that are not finite. */
#include "quant/encoder.h"

#include <math.h>
#include <stdlib.h>

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

enum iqt_status iqt_encoder_create(const struct iqt_format *f, struct iqt_encoder **out)
{
    struct iqt_encoder *e;
    enum iqt_status status;

    if (f == NULL || out == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_encoder_create: format or output is NULL");
    if (f->weighting.factor == 0)
        return fail_unsupported(f);
    e = calloc(1, sizeof *e);
    if (e == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for an encoder");
    e->format = f;
    status = iqt_pick_init(e);
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
    IQT_TRY(iqt_row_work_create(e->format, k, &work));
    for (size_t r = 0; r < rows && status == IQT_OK; r++) {
        status = check_row(r, k, x + r * k);
        if (status == IQT_OK)
            iqt_encode_row(e, k, x + r * k, importance, &work,
                           (uint8_t *)out + r * bytes);
    }
    iqt_row_work_free(&work);
    return status;
}
