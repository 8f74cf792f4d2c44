/* A llama layer by layer over all tokens of a window: norm, attention, norm, feed-forward. */
#include "eval/forward.h"
#include "eval/dense.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS_A_PIECE = 16 };

struct iqt_lm_work {
    const struct iqt_lm *lm;
    const struct iqt_dense *dense;
    struct iqt_pool *pool;
    size_t panels;     /* there is room for */
    size_t now;        /* panels of this window */
    float *x, *normed; /* width */
    float *q, *k, *v, *mixed, *gate, *up, *logits;
    float *scratch;       /* of each piece of attention */
    float *cosine, *sine; /* [token][rope / 2] */
    float *all;

    iqt_lm_watch_fn watch; /* NULL: nobody */
    void *watcher;
    size_t count, layer; /* for watch: tokens of this window, the layer in hand */
};

/* ---- Buffers ---- */

static void fill_rope(struct iqt_lm_work *w)
{
    const size_t half = w->lm->rope / 2;

    for (size_t t = 0; t < w->panels * IQT_PANEL; t++)
        for (size_t i = 0; i < half; i++) {
            const double angle =
                (double)t * pow(w->lm->rope_base, -2.0 * (double)i / (double)w->lm->rope);

            w->cosine[t * half + i] = (float)cos(angle);
            w->sine[t * half + i] = (float)sin(angle);
        }
}

enum iqt_status iqt_lm_work_create(const struct iqt_lm *lm, size_t window,
                                   struct iqt_pool *pool, struct iqt_lm_work **out)
{
    struct iqt_lm_work *w = calloc(1, sizeof *w);
    const size_t panels = (window + IQT_PANEL - 1) / IQT_PANEL;
    const size_t tokens = panels * IQT_PANEL;
    const size_t q = lm->heads * lm->head, kv = lm->kv_heads * lm->head;
    float *at = NULL;

    if (w != NULL) {
        const struct {
            float **out;
            size_t floats;
        } parts[] = {
            { &w->x, lm->width * tokens },
            { &w->normed, lm->width * tokens },
            { &w->q, q * tokens },
            { &w->k, kv * tokens },
            { &w->v, kv * tokens },
            { &w->mixed, q * tokens },
            { &w->gate, lm->feed_forward * tokens },
            { &w->up, lm->feed_forward * tokens },
            { &w->logits, lm->vocabulary * tokens },
            { &w->scratch, lm->heads * panels * tokens },
            { &w->cosine, lm->rope / 2 * tokens },
            { &w->sine, lm->rope / 2 * tokens },
        };
        size_t floats = 0;

        for (size_t i = 0; i < IQT_COUNT(parts); i++)
            floats += parts[i].floats;
        at = w->all = calloc(floats, sizeof *at);
        for (size_t i = 0; i < IQT_COUNT(parts) && at != NULL; i++) {
            *parts[i].out = at;
            at += parts[i].floats;
        }
    }
    if (at == NULL) {
        iqt_lm_work_destroy(w);
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for windows of %zu tokens", window);
    }
    w->lm = lm;
    w->pool = pool;
    w->panels = panels;
    fill_rope(w);
    *out = w;
    return iqt_dense_find(&w->dense);
}

void iqt_lm_work_destroy(struct iqt_lm_work *w)
{
    if (w == NULL)
        return;
    free(w->all);
    free(w);
}

/* ---- Pieces for threads ---- */

struct multiply {
    const struct iqt_lm_work *work;
    const float *w, *x;
    float *y;
    size_t k, rows, panel;
};

static void multiply_piece(void *user, size_t begin, size_t count)
{
    const struct multiply *m = user;

    m->work->dense->multiply(m->w, m->k, begin, count, m->x, m->panel, m->work->now, m->y,
                             m->rows);
}

static void multiply(const struct iqt_lm_work *work, const float *w, size_t rows,
                     size_t k, const float *x, float *y, size_t panel)
{
    struct multiply m = { work, w, x, y, k, rows, panel };

    iqt_pool_run(work->pool, multiply_piece, &m, rows, ROWS_A_PIECE);
}

struct attention {
    const struct iqt_lm_work *work;
};

static void attend_piece(void *user, size_t begin, size_t count)
{
    const struct iqt_lm_work *w = ((const struct attention *)user)->work;
    const struct iqt_lm *lm = w->lm;

    for (size_t i = begin; i < begin + count; i++) {
        const size_t head = i % lm->heads, panel = i / lm->heads;
        const struct iqt_attend a = {
            .q = w->q,
            .k = w->k,
            .v = w->v,
            .out = w->mixed,
            .q_values = lm->heads * lm->head,
            .kv_values = lm->kv_heads * lm->head,
            .q_first = head * lm->head,
            .kv_first = head / (lm->heads / lm->kv_heads) * lm->head,
            .head = lm->head,
            .panel = panel,
            .scale = 1 / sqrtf((float)lm->head),
            .scratch = w->scratch + i * w->panels * IQT_PANEL,
        };

        w->dense->attend(&a);
    }
}

/* ---- Small steps ---- */

static void embed(struct iqt_lm_work *w, const uint32_t *token, size_t count)
{
    const size_t width = w->lm->width;

    for (size_t t = 0; t < w->now * IQT_PANEL; t++)
        for (size_t i = 0; i < width; i++)
            w->x[iqt_panel_at(width, t, i)] =
                t < count ? w->lm->embedding[token[t] * width + i] : 0;
}

/* x / sqrt(mean(x^2) + epsilon) * weight of each column. */
static void norm(const struct iqt_lm_work *w, const float *weight, size_t panel)
{
    const size_t width = w->lm->width;

    for (; panel < w->now; panel++) {
        const float *x = w->x + panel * width * IQT_PANEL;
        float *y = w->normed + panel * width * IQT_PANEL;
        double square[IQT_PANEL] = { 0 };
        float scale[IQT_PANEL];

        for (size_t i = 0; i < width; i++)
            for (size_t c = 0; c < IQT_PANEL; c++)
                square[c] += (double)x[i * IQT_PANEL + c] * x[i * IQT_PANEL + c];
        for (size_t c = 0; c < IQT_PANEL; c++)
            scale[c] = (float)(1 / sqrt(square[c] / (double)width + w->lm->epsilon));
        for (size_t i = 0; i < width; i++)
            for (size_t c = 0; c < IQT_PANEL; c++)
                y[i * IQT_PANEL + c] = x[i * IQT_PANEL + c] * scale[c] * weight[i];
    }
}

/* Neighbouring values of a head are the two coordinates that are turned. */
static void rotate(const struct iqt_lm_work *w, float *x, size_t heads)
{
    const size_t half = w->lm->rope / 2, values = heads * w->lm->head;

    for (size_t t = 0; t < w->now * IQT_PANEL; t++)
        for (size_t h = 0; h < heads; h++)
            for (size_t i = 0; i < half; i++) {
                float *a = x + iqt_panel_at(values, t, h * w->lm->head + 2 * i);
                float *b = a + IQT_PANEL;
                const float c = w->cosine[t * half + i], s = w->sine[t * half + i];
                const float turned = *a * c - *b * s;

                *b = *a * s + *b * c;
                *a = turned;
            }
}

static void add(float *x, const float *y, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] += y[i];
}

struct swish {
    float *gate;
    const float *up;
};

static void swish_piece(void *user, size_t begin, size_t count)
{
    const struct swish *s = user;

    for (size_t i = begin; i < begin + count; i++)
        s->gate[i] = s->gate[i] / (1 + expf(-s->gate[i])) * s->up[i];
}

/* ---- Layers ---- */

void iqt_lm_watch(struct iqt_lm_work *w, iqt_lm_watch_fn fn, void *user)
{
    w->watch = fn;
    w->watcher = user;
}

static void tell(const struct iqt_lm_work *w, enum iqt_lm_input input, const float *x,
                 size_t values)
{
    if (w->watch != NULL)
        w->watch(w->watcher, input, w->layer, x, values, w->count);
}

static void attention(struct iqt_lm_work *w, const struct iqt_lm_layer *l)
{
    const struct iqt_lm *lm = w->lm;
    const size_t q = lm->heads * lm->head, kv = lm->kv_heads * lm->head;
    struct attention a = { w };

    norm(w, l->attn_norm, 0);
    tell(w, IQT_LM_ATTENTION_IN, w->normed, lm->width);
    multiply(w, l->q, q, lm->width, w->normed, w->q, 0);
    multiply(w, l->k, kv, lm->width, w->normed, w->k, 0);
    multiply(w, l->v, kv, lm->width, w->normed, w->v, 0);
    rotate(w, w->q, lm->heads);
    rotate(w, w->k, lm->kv_heads);
    iqt_pool_run(w->pool, attend_piece, &a, lm->heads * w->now, 1);
    tell(w, IQT_LM_ATTENTION_OUT, w->mixed, q);
    multiply(w, l->attn_out, lm->width, q, w->mixed, w->normed, 0);
    add(w->x, w->normed, lm->width * w->now * IQT_PANEL);
}

static void feed_forward(struct iqt_lm_work *w, const struct iqt_lm_layer *l)
{
    const struct iqt_lm *lm = w->lm;
    struct swish s = { w->gate, w->up };

    norm(w, l->ffn_norm, 0);
    tell(w, IQT_LM_FEED_FORWARD, w->normed, lm->width);
    multiply(w, l->gate, lm->feed_forward, lm->width, w->normed, w->gate, 0);
    multiply(w, l->up, lm->feed_forward, lm->width, w->normed, w->up, 0);
    iqt_pool_run(w->pool, swish_piece, &s, lm->feed_forward * w->now * IQT_PANEL, 8192);
    tell(w, IQT_LM_DOWN, w->gate, lm->feed_forward);
    multiply(w, l->down, lm->width, lm->feed_forward, w->gate, w->normed, 0);
    add(w->x, w->normed, lm->width * w->now * IQT_PANEL);
}

const float *iqt_lm_forward(struct iqt_lm_work *w, const uint32_t *token, size_t count,
                            size_t first)
{
    const struct iqt_lm *lm = w->lm;

    w->now = (count + IQT_PANEL - 1) / IQT_PANEL;
    w->count = count;
    embed(w, token, count);
    for (size_t i = 0; i < lm->layers; i++) {
        w->layer = i;
        attention(w, &lm->layer[i]);
        feed_forward(w, &lm->layer[i]);
    }
    norm(w, lm->norm, first / IQT_PANEL);
    multiply(w, lm->output, lm->vocabulary, lm->width, w->normed, w->logits,
             first / IQT_PANEL);
    return w->logits;
}
