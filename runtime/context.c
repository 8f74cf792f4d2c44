/* Contexts: where things are kept on this machine and which plans were tuned. Resolves options
 * and the environment once; knows nothing of drivers. */
#include "runtime/runtime.h"

#include <stdlib.h>
#include <string.h>

/* given, else the variable, else the user's cache folder plus leaf; "" when none is known. */
static char *resolve_path(const char *given, const char *variable, const char *leaf)
{
    struct iqt_buf text = { 0 };
    char folder[4096];
    const char *path = given ? given : getenv(variable);

    if (path)
        return strdup(path);
    if (iqt_cache_dir(folder, sizeof folder) != IQT_OK)
        return strdup(""); /* no home, no cache: slower starts, nothing else */
    iqt_buf_printf(&text, "%s/%s", folder, leaf);
    return text.failed ? NULL : text.data;
}

static enum iqt_status check_options(const struct iqt_context_options *o)
{
    if (o && o->struct_size != sizeof *o)
        return iqt_fail(IQT_ERR_ARG, "context options: struct_size is %zu, expected %zu",
                        o->struct_size, sizeof *o);
    return IQT_OK;
}

enum iqt_status iqt_context_create(const struct iqt_context_options *options,
                                   struct iqt_context **out)
{
    const struct iqt_context_options none = { .struct_size = sizeof none };
    const struct iqt_context_options *o = options ? options : &none;
    struct iqt_context *ctx;

    if (!out)
        return iqt_fail(IQT_ERR_ARG, "iqt_context_create: out is NULL");
    IQT_TRY(check_options(options));
    ctx = calloc(1, sizeof *ctx);
    if (!ctx)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a context");
    ctx->cache_dir = resolve_path(o->cache_dir, "IQT_CACHE", "kernels");
    ctx->db_path = resolve_path(o->db_path, "IQT_DB", "tuned.db");
    ctx->packed_dir = strdup(o->packed_dir ? o->packed_dir : "");
    ctx->cpu_threads = o->cpu_threads;
    ctx->note = o->note;
    ctx->note_user = o->note_user;
    if (!ctx->cache_dir || !ctx->db_path || !ctx->packed_dir) {
        iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a context's paths");
        goto free_context;
    }
    pthread_mutex_init(&ctx->lock, NULL);
    if (iqt_tuned_attach(ctx) != IQT_OK)
        goto destroy_lock;
    *out = ctx;
    return IQT_OK;

destroy_lock:
    pthread_mutex_destroy(&ctx->lock);
free_context:
    free(ctx->cache_dir);
    free(ctx->db_path);
    free(ctx->packed_dir);
    free(ctx);
    return IQT_ERR_NO_MEMORY;
}

void iqt_context_destroy(struct iqt_context *ctx)
{
    if (!ctx)
        return;
    if (ctx->source.close)
        ctx->source.close(ctx->source.user);
    pthread_mutex_destroy(&ctx->lock);
    free(ctx->cache_dir);
    free(ctx->db_path);
    free(ctx->packed_dir);
    free(ctx);
}

void iqt_context_set_plans(struct iqt_context *ctx, struct iqt_plan_source source)
{
    struct iqt_plan_source old;

    pthread_mutex_lock(&ctx->lock);
    old = ctx->source;
    ctx->source = source;
    pthread_mutex_unlock(&ctx->lock);
    if (old.close)
        old.close(old.user);
}

struct iqt_backend_options iqt_context_options_of(const struct iqt_context *ctx)
{
    return (struct iqt_backend_options){
        .cache_dir = ctx->cache_dir,
        .cpu_threads = ctx->cpu_threads,
    };
}
