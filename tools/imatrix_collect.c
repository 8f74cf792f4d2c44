/* Makes an importance matrix from a model and a text: the float32 evaluation reads the text, and the squares
 * of what each matrix is multiplied with are summed. */
#include "eval/forward.h"
#include "eval/dense.h"
#include "eval/tokens.h"
#include "tools/cli.h"
#include "tools/imatrix.h"

#include <stdlib.h>
#include <string.h>

/* The matrices of a layer by what they are multiplied with. */
static const struct {
    enum iqt_lm_input input;
    const char *name;
} matrices[] = {
    { IQT_LM_ATTENTION_IN, "attn_q" },   { IQT_LM_ATTENTION_IN, "attn_k" },
    { IQT_LM_ATTENTION_IN, "attn_v" },   { IQT_LM_ATTENTION_OUT, "attn_output" },
    { IQT_LM_FEED_FORWARD, "ffn_gate" }, { IQT_LM_FEED_FORWARD, "ffn_up" },
    { IQT_LM_DOWN, "ffn_down" },
};

struct collector {
    struct iqt_pool *pool;
    struct iqt_lm lm;
    struct iqt_lm_work *work;
    uint32_t *token;
    size_t tokens, window, windows;
    int64_t begin;     /* the token that windows begin with; -1: none */
    double *sum, **of; /* all, and of [layer][input] */
    size_t values[IQT_LM_INPUTS];
    struct iqt_second *second; /* NULL: not asked for; else entries of [layer][input] */
    float *partial;            /* a panel that is not full */
};

/* ---- Second order ---- */

static const char *const inputs[IQT_LM_INPUTS] = {
    [IQT_LM_ATTENTION_IN] = "attn_q",
    [IQT_LM_ATTENTION_OUT] = "attn_output",
    [IQT_LM_FEED_FORWARD] = "ffn_up",
    [IQT_LM_DOWN] = "ffn_down",
};

struct panel {
    struct iqt_second_entry *entry;
    const float *x;
};

static void add_rows(void *user, size_t begin, size_t count)
{
    const struct panel *p = user;

    iqt_second_add(p->entry, 0, p->x, begin, count);
}

static void watch_second(const struct collector *c, struct iqt_second_entry *e,
                         const float *x, size_t values, size_t count)
{
    enum { TILE = 16 };

    for (size_t t = 0; t < count; t += IQT_PANEL) {
        struct panel p = { e, x + t * values };

        if (count - t < IQT_PANEL) {
            memset(c->partial, 0, values * IQT_PANEL * sizeof *c->partial);
            for (size_t i = 0; i < values; i++)
                memcpy(c->partial + i * IQT_PANEL, p.x + i * IQT_PANEL,
                       (count - t) * sizeof *c->partial);
            p.x = c->partial;
        }
        iqt_pool_run(c->pool, add_rows, &p, values, TILE);
    }
    e->own_count[0] += (float)count;
}

static enum iqt_status make_second(struct collector *c, const char *text, size_t window)
{
    struct iqt_second_entry *e;
    size_t most = 0;

    for (size_t l = 0; l < c->lm.layers; l++)
        for (size_t i = 0; i < IQT_LM_INPUTS; i++) {
            struct iqt_buf name = { 0 };
            enum iqt_status status;

            iqt_buf_printf(&name, "blk.%zu.%s.weight", l, inputs[i]);
            status = iqt_buf_check(&name);
            if (status == IQT_OK)
                status =
                    iqt_second_append(c->second, name.data, c->values[i],
                                      iqt_second_window(c->values[i], window), 1, &e);
            iqt_buf_free(&name);
            IQT_TRY(status);
            most = c->values[i] > most ? c->values[i] : most;
        }
    c->partial = malloc((most + 1) * IQT_PANEL * sizeof *c->partial);
    c->second->chunks = (uint32_t)c->windows;
    c->second->chunk_size = (uint32_t)c->window;
    iqt_buf_printf(&c->second->datasets, "%s\n", text);
    return c->partial != NULL ? IQT_OK
                              : iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a panel");
}

/* ---- First order ---- */

static void watch(void *user, enum iqt_lm_input input, size_t layer, const float *x,
                  size_t values, size_t count)
{
    const struct collector *c = user;
    double *sum = c->of[layer * IQT_LM_INPUTS + input];

    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < values; i++) {
            const double value = x[iqt_panel_at(values, t, i)];

            sum[i] += value * value;
        }
    if (c->second != NULL)
        watch_second(c, &c->second->entry[layer * IQT_LM_INPUTS + input], x, values,
                     count);
}

static enum iqt_status make_sums(struct collector *c)
{
    const size_t q = c->lm.heads * c->lm.head;
    const size_t values[IQT_LM_INPUTS] = { c->lm.width, q, c->lm.width,
                                           c->lm.feed_forward };
    size_t layer = 0, at = 0;

    memcpy(c->values, values, sizeof values);
    for (size_t i = 0; i < IQT_LM_INPUTS; i++)
        layer += values[i];
    c->sum = calloc(c->lm.layers * layer + 1, sizeof *c->sum);
    c->of = calloc(c->lm.layers * IQT_LM_INPUTS + 1, sizeof *c->of);
    if (c->sum == NULL || c->of == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the sums of %zu layers",
                        c->lm.layers);
    for (size_t i = 0; i < c->lm.layers * IQT_LM_INPUTS; i++) {
        c->of[i] = c->sum + at;
        at += values[i % IQT_LM_INPUTS];
    }
    return IQT_OK;
}

static enum iqt_status check_tokens(struct collector *c, const char *model,
                                    const char *text, uint32_t windows)
{
    const size_t most = c->tokens / c->window;

    if (c->window > c->lm.context)
        return iqt_fail(IQT_ERR_ARG,
                        "%s has a context of %zu tokens, --chunk-size is %zu", model,
                        c->lm.context, c->window);
    for (size_t i = 0; i < c->tokens; i++)
        if (c->token[i] >= c->lm.vocabulary)
            return iqt_fail(IQT_ERR_FORMAT, "%s: token %u of the text, %zu are known",
                            model, c->token[i], c->lm.vocabulary);
    if (most == 0)
        return iqt_fail(IQT_ERR_ARG, "%s has %zu tokens, less than a chunk of %zu", text,
                        c->tokens, c->window);
    c->windows = windows > 0 && windows < most ? windows : most;
    return IQT_OK;
}

static enum iqt_status open_all(struct collector *c, const char *model, const char *text,
                                uint32_t windows, size_t second_window)
{
    struct iqt_gguf *g;
    enum iqt_status status;

    IQT_TRY(iqt_gguf_open(model, &g));
    status = iqt_tokens_read(g, text, &c->begin, &c->token, &c->tokens);
    if (status == IQT_OK)
        status = iqt_lm_create(g, c->pool, &c->lm);
    iqt_gguf_close(g);
    IQT_TRY(status);
    IQT_TRY(check_tokens(c, model, text, windows));
    IQT_TRY(make_sums(c));
    if (c->second != NULL)
        IQT_TRY(make_second(c, text, second_window));
    IQT_TRY(iqt_lm_work_create(&c->lm, c->window, c->pool, &c->work));
    iqt_lm_watch(c->work, watch, c);
    return IQT_OK;
}

static enum iqt_status read_windows(struct collector *c)
{
    for (size_t i = 0; i < c->windows; i++) {
        uint32_t *token = c->token + i * c->window;

        iqt_cli_progress("read", i, c->windows);
        if (iqt_cli_interrupted())
            return iqt_fail(IQT_ERR_INTERRUPTED, "interrupted; nothing was written");
        if (c->begin >= 0)
            token[0] = (uint32_t)c->begin;
        iqt_lm_forward(c->work, token, c->window, c->window - 1);
    }
    return IQT_OK;
}

/* ---- The result ---- */

static enum iqt_status add_entry(const struct collector *c, struct iqt_imatrix *m,
                                 size_t layer, enum iqt_lm_input input, const char *part)
{
    const size_t columns = c->values[input];
    const double *sum = c->of[layer * IQT_LM_INPUTS + input];
    struct iqt_imatrix_entry *e;
    struct iqt_buf name = { 0 };

    iqt_buf_printf(&name, "blk.%zu.%s.weight", layer, part);
    IQT_TRY(iqt_buf_check(&name));
    IQT_TRY(iqt_imatrix_append(m, name.data, &e));
    e->columns = columns;
    e->matrices = 1;
    e->own = malloc((columns + 1) * sizeof *e->own);
    if (e->own == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu columns", columns);
    for (size_t i = 0; i < columns; i++)
        e->own[i] = (float)sum[i];
    e->own[columns] = (float)(c->windows * c->window);
    e->sum2 = (const uint8_t *)e->own;
    e->count = (const uint8_t *)(e->own + columns);
    return IQT_OK;
}

static enum iqt_status make_result(const struct collector *c, const char *text,
                                   struct iqt_imatrix *m)
{
    m->chunks = (uint32_t)c->windows;
    m->chunk_size = (uint32_t)c->window;
    iqt_buf_printf(&m->datasets, "%s\n", text);
    for (size_t l = 0; l < c->lm.layers; l++)
        for (size_t i = 0; i < IQT_COUNT(matrices); i++)
            IQT_TRY(add_entry(c, m, l, matrices[i].input, matrices[i].name));
    return iqt_imatrix_sort(m);
}

enum iqt_status iqt_imatrix_collect(const char *model, const char *text,
                                    uint32_t chunk_size, uint32_t windows,
                                    uint32_t threads, struct iqt_second *second,
                                    size_t second_window, struct iqt_imatrix **out)
{
    struct collector c = { .window = chunk_size,
                           .pool = iqt_pool_create(threads),
                           .second = second };
    struct iqt_imatrix *m = NULL;
    enum iqt_status status = open_all(&c, model, text, windows, second_window);

    if (status == IQT_OK)
        status = read_windows(&c);
    iqt_cli_progress_hide();
    if (status == IQT_OK)
        status = iqt_imatrix_create(model, &m);
    if (status == IQT_OK)
        status = make_result(&c, text, m);
    for (size_t i = 0; status == IQT_OK && second != NULL && i < second->entries; i++)
        iqt_second_mirror(&second->entry[i]);
    iqt_lm_work_destroy(c.work);
    iqt_lm_free(&c.lm);
    iqt_pool_destroy(c.pool);
    free(c.token);
    free(c.partial);
    free(c.sum);
    free(c.of);
    if (status == IQT_OK)
        *out = m;
    else
        iqt_imatrix_destroy(m);
    return status;
}
