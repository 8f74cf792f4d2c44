/* A choice of types as --custom-q: one pattern for each part of the layers that got a type. */
#include "tools/quantize_target.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A name "blk.LAYER.rest"; layer NULL: the whole name is rest. */
struct split {
    const char *layer, *rest;
    size_t layer_bytes, rest_bytes;
};

static struct split split_name(const struct iqt_gguf_tensor *t)
{
    struct split s = { .rest = t->name, .rest_bytes = t->name_bytes };
    size_t at = 4;

    if (t->name_bytes < 6 || memcmp(t->name, "blk.", 4) != 0)
        return s;
    while (at < t->name_bytes && t->name[at] >= '0' && t->name[at] <= '9')
        at++;
    if (at == 4 || at == t->name_bytes || t->name[at] != '.')
        return s;
    return (struct split){ t->name + 4, t->name + at + 1, at - 4,
                           t->name_bytes - at - 1 };
}

static bool same_part(const struct split *a, const struct split *b)
{
    return (a->layer == NULL) == (b->layer == NULL) && a->rest_bytes == b->rest_bytes &&
           memcmp(a->rest, b->rest, a->rest_bytes) == 0;
}

static const char *type_of(const struct iqt_job *job)
{
    return job->type.name != NULL ? job->type.name : IQT_TYPE_COPY;
}

/* The name as a pattern that needs no quotes; odd characters match any. */
static void put_escaped(struct iqt_buf *b, const char *text, size_t bytes)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

    for (size_t i = 0; i < bytes; i++)
        if (text[i] == '.')
            iqt_buf_printf(b, "\\.");
        else
            iqt_buf_append(
                b, strchr(plain, text[i]) != NULL && text[i] != '\0' ? text + i : ".", 1);
}

/* Layers of this part with this type; every layer of the part has it: any number. */
static void put_layers(struct iqt_buf *b, const struct iqt_jobs *jobs,
                       const struct split *part, const char *type)
{
    struct iqt_buf list = { 0 };
    bool all = true;

    for (size_t i = 0; i < jobs->count; i++) {
        const struct split s = split_name(&jobs->job[i].from);

        if (jobs->job[i].by_name || !same_part(&s, part))
            continue;
        if (strcmp(type_of(&jobs->job[i]), type) == 0)
            iqt_buf_printf(&list, "%s%.*s", list.bytes > 0 ? "|" : "", (int)s.layer_bytes,
                           s.layer);
        else
            all = false;
    }
    iqt_buf_printf(b, all ? "blk\\.[0-9]+\\." : "blk\\.(%s)\\.", iqt_buf_text(&list));
    iqt_buf_free(&list);
}

/* Whether an earlier job has been put together with this one. */
static bool is_put(const struct iqt_jobs *jobs, size_t job)
{
    const struct split part = split_name(&jobs->job[job].from);

    for (size_t i = 0; i < job; i++) {
        const struct split s = split_name(&jobs->job[i].from);

        if (!jobs->job[i].by_name && same_part(&s, &part) &&
            strcmp(type_of(&jobs->job[i]), type_of(&jobs->job[job])) == 0)
            return true;
    }
    return false;
}

void iqt_target_print(const struct iqt_target *target, const struct iqt_jobs *jobs,
                      const struct iqt_quantize_plan *plan)
{
    const struct iqt_recipe *r = iqt_recipes;
    struct iqt_buf b = { 0 };

    for (size_t i = 0; i < jobs->count; i++) {
        const struct split part = split_name(&jobs->job[i].from);

        if (jobs->job[i].by_name || is_put(jobs, i))
            continue;
        iqt_buf_printf(&b, "%s^", b.bytes > 0 ? "," : "");
        if (part.layer != NULL)
            put_layers(&b, jobs, &part, type_of(&jobs->job[i]));
        put_escaped(&b, part.rest, part.rest_bytes);
        iqt_buf_printf(&b, "$=%s", type_of(&jobs->job[i]));
    }
    while (r->name != NULL && r->file_type != plan->file_type)
        r++;
    printf("root of the mean relative squared error in samples: %.6f\n",
           target->weight > 0 ? sqrt(target->error / target->weight) : 0);
    printf("the same again: quantize IN OUT %s --custom-q '%s'\n",
           r->name != NULL ? r->name : iqt_recipes[0].name, iqt_buf_text(&b));
    iqt_buf_free(&b);
}
