/* iqtile perplexity: what quantizing a language model costs, in float32: perplexity on a text, and beside a base model
 * the divergence of the predictions. */
#include "eval/forward.h"
#include "eval/score.h"
#include "eval/tokens.h"
#include "tools/cli.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_MODELS = 64, WINDOW = 256 };

struct perplexity_opts {
    const char *text, *base;
    bool csv;
    uint32_t window, windows, threads;
};

static const struct iqt_opt perplexity_opts[] = {
    { "text", IQT_OPT_STRING, "FILE", "the text to predict; needed",
      offsetof(struct perplexity_opts, text) },
    { "kl", IQT_OPT_STRING, "BASE",
      "also the divergence from the predictions of this model (unquantized)",
      offsetof(struct perplexity_opts, base) },
    { "window", IQT_OPT_U32, "N",
      "tokens that are predicted together, the second half scored (256)",
      offsetof(struct perplexity_opts, window) },
    { "windows", IQT_OPT_U32, "N", "only the first windows of the text (all)",
      offsetof(struct perplexity_opts, windows) },
    { "csv", IQT_OPT_FLAG, NULL, "print comma-separated values",
      offsetof(struct perplexity_opts, csv) },
    { "threads", IQT_OPT_U32, "N", "threads (0 or left out: one per usable core)",
      offsetof(struct perplexity_opts, threads) },
    { 0 },
};

struct model {
    const char *path;
    uint64_t bytes; /* of its tensors */
    struct iqt_lm lm;
    struct iqt_lm_work *work;
    struct iqt_score score;
};

struct session {
    struct iqt_pool *pool;
    struct model base, *model; /* base.path NULL: none */
    size_t models, window, windows;
    uint32_t *token;
    size_t tokens;
    int64_t begin; /* the token that windows begin with */
};

/* ---- Opening ---- */

static enum iqt_status open_model(struct session *s, const struct perplexity_opts *o,
                                  const char *path, struct model *m)
{
    struct iqt_gguf *g;
    enum iqt_status status;

    m->path = path;
    IQT_TRY(iqt_gguf_open(path, &g));
    for (size_t i = 0; i < iqt_gguf_tensor_count(g); i++)
        m->bytes += iqt_gguf_tensor_at(g, i).bytes;
    status = s->token == NULL
                 ? iqt_tokens_read(g, o->text, &s->begin, &s->token, &s->tokens)
                 : IQT_OK;
    if (status == IQT_OK)
        status = iqt_lm_create(g, s->pool, &m->lm);
    iqt_gguf_close(g);
    if (status == IQT_OK)
        status = iqt_lm_work_create(&m->lm, s->window, s->pool, &m->work);
    return status;
}

static void close_model(struct model *m)
{
    iqt_lm_work_destroy(m->work);
    iqt_lm_free(&m->lm);
}

/* Models of one vocabulary, and tokens that it has. */
static enum iqt_status check_models(const struct session *s)
{
    const struct model *first = s->base.path != NULL ? &s->base : &s->model[0];

    for (size_t i = 0; i < s->models; i++)
        if (s->model[i].lm.vocabulary != first->lm.vocabulary)
            return iqt_fail(IQT_ERR_SHAPE, "%s knows %zu tokens, %s %zu",
                            s->model[i].path, s->model[i].lm.vocabulary, first->path,
                            first->lm.vocabulary);
    if (s->window > first->lm.context)
        return iqt_fail(IQT_ERR_ARG,
                        "a window %zu is more than the %zu tokens of context of %s",
                        s->window, first->lm.context, first->path);
    for (size_t i = 0; i < s->tokens; i++)
        if (s->token[i] >= first->lm.vocabulary)
            return iqt_fail(IQT_ERR_FORMAT,
                            "the text has token %u, token_embd.weight of %s has %zu",
                            s->token[i], first->path, first->lm.vocabulary);
    return IQT_OK;
}

/* ---- Windows ---- */

static enum iqt_status score_window(struct session *s, size_t number)
{
    uint32_t *token = s->token + number * s->window;
    const size_t first = s->window / 2;
    const uint32_t kept = token[0];
    const float *base = NULL;
    enum iqt_status status = IQT_OK;

    if (s->begin >= 0)
        token[0] = (uint32_t)s->begin;
    if (s->base.path != NULL)
        base = iqt_lm_forward(s->base.work, token, s->window, first);
    for (size_t i = 0; i < s->models && status == IQT_OK; i++) {
        struct model *m = &s->model[i];
        const float *logits = iqt_lm_forward(m->work, token, s->window, first);

        status = iqt_score_add(&m->score, s->pool, logits, base, m->lm.vocabulary, token,
                               first, s->window);
    }
    if (base != NULL && status == IQT_OK)
        status = iqt_score_add(&s->base.score, s->pool, base, NULL, s->base.lm.vocabulary,
                               token, first, s->window);
    token[0] = kept;
    return status;
}

static enum iqt_status score_all(struct session *s)
{
    enum iqt_status status = IQT_OK;

    for (size_t i = 0; i < s->windows && status == IQT_OK; i++) {
        iqt_cli_progress("perplexity", i, s->windows);
        status = iqt_cli_interrupted() ? iqt_fail(IQT_ERR_INTERRUPTED, "interrupted")
                                       : score_window(s, i);
    }
    iqt_cli_progress_hide();
    return status;
}

/* ---- Results ---- */

static void print_row(const struct session *s, const struct model *m, bool csv)
{
    const bool beside = s->base.path != NULL;
    const double ppl = iqt_score_perplexity(&m->score);
    double nll_pm, kl_pm, kl = iqt_score_kl(&m->score, &kl_pm);

    iqt_score_nll(&m->score, &nll_pm);
    printf(csv ? "%s,%.3f,%.6f,%.6f" : "%-40s %9.3f %10.4f %8.4f",
           strrchr(m->path, '/') != NULL && !csv ? strrchr(m->path, '/') + 1 : m->path,
           (double)m->bytes / 1e6, ppl, ppl * nll_pm);
    if (beside)
        printf(csv ? ",%.6f,%.8f,%.8f,%.4f" : " %9.5f %11.7f %11.7f %8.3f",
               ppl / iqt_score_perplexity(&s->base.score), kl, kl_pm,
               100 * (double)m->score.same / (double)m->score.tokens);
    printf("\n");
}

static void print_all(const struct session *s, bool csv)
{
    const bool beside = s->base.path != NULL;

    if (csv)
        printf("model,mb,perplexity,uncertain%s\n",
               beside ? ",ratio,kl,kl_uncertain,same_top_percent" : "");
    else
        printf("%-40s %9s %10s %8s%s\n", "model", "MB", "perplexity", "+-",
               beside ? "     ratio     mean KL          +- same top" : "");
    if (beside && !csv)
        print_row(&(struct session){ 0 }, &s->base, false);
    for (size_t i = 0; i < s->models; i++)
        print_row(s, &s->model[i], csv);
    if (!csv)
        printf("%zu windows of %zu tokens, %zu predictions\n", s->windows, s->window,
               s->model[0].score.tokens);
}

static enum iqt_status evaluate(struct session *s, const struct perplexity_opts *o,
                                char **paths)
{
    enum iqt_status status =
        o->base != NULL ? open_model(s, o, o->base, &s->base) : IQT_OK;

    for (size_t i = 0; i < s->models && status == IQT_OK; i++)
        status = open_model(s, o, paths[i], &s->model[i]);
    if (status == IQT_OK)
        status = check_models(s);
    if (status != IQT_OK)
        return status;
    s->windows = s->tokens / s->window;
    if (s->windows == 0)
        return iqt_fail(IQT_ERR_ARG, "%s has %zu tokens, a window %zu", o->text,
                        s->tokens, s->window);
    if (o->windows > 0 && o->windows < s->windows)
        s->windows = o->windows;
    IQT_TRY(score_all(s));
    print_all(s, o->csv);
    return IQT_OK;
}

static int run(const void *opts, int count, char **args)
{
    const struct perplexity_opts *o = opts;
    struct model models[MAX_MODELS] = { 0 };
    struct session s = { .model = models, .models = (size_t)count };
    enum iqt_status status;

    s.window = o->window > 0 ? o->window : WINDOW;
    if (o->text == NULL)
        return iqt_cli_usage("perplexity needs --text FILE");
    if (s.window < 4 || s.window > 65536)
        return iqt_cli_usage("--window %zu: expected 4 to 65536", s.window);
    iqt_cli_catch_interrupts();
    s.pool = iqt_pool_create(o->threads);
    status = evaluate(&s, o, args);
    for (size_t i = 0; i < s.models; i++)
        close_model(&models[i]);
    close_model(&s.base);
    free(s.token);
    iqt_pool_destroy(s.pool);
    return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
}

const struct iqt_command iqt_cmd_perplexity = {
    .name = "perplexity",
    .usage = "MODEL... --text FILE [--kl BASE] [options]",
    .summary = "perplexity of language models, and divergence from a base, in float32",
    .opts = perplexity_opts,
    .opts_bytes = sizeof(struct perplexity_opts),
    .min_args = 1,
    .max_args = MAX_MODELS,
    .run = run,
};
