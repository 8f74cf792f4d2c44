/* Applies the tables of recipe_table.c to one tensor after the other, and looks types up by name. */
#include "quant/recipe.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { LLAMA3_VOCAB = 127999, COMMON_LISTS = 3 };

const struct iqt_recipe *iqt_recipe_find(const char *name)
{
    for (const struct iqt_recipe *r = iqt_recipes; r->name != NULL; r++)
        if (strcasecmp(r->name, name) == 0)
            return r;
    return NULL;
}

/* ---- Conditions ---- */

struct asked {
    const struct iqt_recipe_model *m;
    const char *name;
    uint32_t counted; /* tensors of this kind before */
};

/* Experts are not in order in every file, so their layer is taken from the name. */
static enum iqt_status find_layer(const struct asked *a, uint32_t *layer)
{
    unsigned number;

    *layer = a->counted;
    if (a->m->experts <= 1)
        return IQT_OK;
    if (sscanf(a->name, "blk.%u.", &number) != 1 || number >= a->m->layers)
        return iqt_fail(IQT_ERR_FORMAT,
                        "tensor %s: a rule asks for its layer, expected a name "
                        "blk.0 to blk.%u",
                        a->name, a->m->layers > 0 ? a->m->layers - 1 : 0);
    *layer = number;
    return IQT_OK;
}

static bool is_in_more(uint32_t layer, uint32_t layers)
{
    const uint32_t eighth = layers / 8;

    return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

static enum iqt_status check_layers(const struct asked *a, uint32_t when, bool *holds)
{
    const uint32_t layers = a->m->layers;
    uint32_t layer;

    *holds = (when & IQT_IF_FIRST_COUNTED) == 0 || a->counted < layers / 8;
    if ((when & (IQT_IF_FIRST_LAYERS | IQT_IF_MORE_LAYERS)) == 0)
        return IQT_OK;
    IQT_TRY(find_layer(a, &layer));
    if (when & IQT_IF_FIRST_LAYERS)
        *holds = *holds && layer < layers / 8;
    if (when & IQT_IF_MORE_LAYERS)
        *holds = *holds && is_in_more(layer, layers);
    return IQT_OK;
}

/* The conditions on the model that hold. */
static uint32_t facts_of(const struct iqt_recipe_model *m)
{
    const uint32_t gqa = m->heads_kv > 0 ? m->heads / m->heads_kv : 0;
    const uint32_t size = iqt_recipe_class(m);
    const struct {
        uint32_t condition;
        bool holds;
    } facts[] = {
        { IQT_IF_FALCON, strcmp(m->arch, "falcon") == 0 },
        { IQT_IF_2_EXPERTS, m->experts >= 2 },
        { IQT_IF_4_EXPERTS, m->experts >= 4 },
        { IQT_IF_8_EXPERTS, m->experts >= 8 },
        { IQT_IF_GQA_2, gqa >= 2 },
        { IQT_IF_GQA_4, gqa >= 4 },
        { IQT_IF_70B, size == 70 },
        { IQT_IF_LLAMA3, size > 0 && m->vocab >= LLAMA3_VOCAB },
        { IQT_IF_NO_IMPORTANCE, !m->importance },
    };
    uint32_t all = 0;

    for (size_t i = 0; i < IQT_COUNT(facts); i++)
        if (facts[i].holds)
            all |= facts[i].condition;
    return all;
}

/* ---- One tensor ---- */

/* The counter of tensors that a pattern belongs to; NULL for most. */
static uint32_t *counter_of(struct iqt_recipe_count *count, const char *pattern)
{
    if (strcmp(pattern, "ffn_down") == 0)
        return &count->down;
    if (strcmp(pattern, "ffn_gate") == 0)
        return &count->gate;
    return strcmp(pattern, "ffn_up") == 0 ? &count->up : NULL;
}

static enum iqt_status try_rule(const struct iqt_recipe_rule *rule, struct asked a,
                                struct iqt_recipe_count *count, bool *holds)
{
    const uint32_t by_layer =
        IQT_IF_FIRST_LAYERS | IQT_IF_MORE_LAYERS | IQT_IF_FIRST_COUNTED;
    const uint32_t plain = rule->when & ~by_layer;
    const uint32_t *counter = counter_of(count, rule->pattern);

    *holds = strstr(a.name, rule->pattern) != NULL && (facts_of(a.m) & plain) == plain;
    if (!*holds)
        return IQT_OK;
    a.counted = counter != NULL ? *counter : 0;
    return check_layers(&a, rule->when, holds);
}

static enum iqt_status find_rule(const struct iqt_recipe *r,
                                 const struct iqt_recipe_model *m, const char *name,
                                 struct iqt_recipe_count *count,
                                 const struct iqt_recipe_rule **out)
{
    const struct iqt_recipe_rule *lists[COMMON_LISTS] = { iqt_recipe_common, r->rules,
                                                          iqt_recipe_plain };

    for (size_t i = r->alone; i < COMMON_LISTS; i++)
        for (const struct iqt_recipe_rule *rule = lists[i]; rule->pattern != NULL;
             rule++) {
            bool holds;

            IQT_TRY(
                try_rule(rule, (struct asked){ .m = m, .name = name }, count, &holds));
            if (holds) {
                *out = rule;
                return IQT_OK;
            }
        }
    *out = NULL;
    return IQT_OK;
}

/* Tensors that the reference knows by their whole name; false for others. */
static bool choose_by_name(const struct iqt_recipe *r, const struct iqt_recipe_model *m,
                           const char *name, const char **type)
{
    const bool is_embedding = strcmp(name, "token_embd.weight") == 0;
    const bool falcon = strcmp(m->arch, "falcon") == 0;

    if (strcmp(name, "output.weight") == 0 || (is_embedding && m->tied))
        *type = falcon ? "q8_0" : m->tied ? r->tied : r->output;
    else if (is_embedding || strcmp(name, "per_layer_token_embd.weight") == 0)
        *type = r->embedding;
    else
        return false;
    if (*type == NULL)
        *type = r->type;
    return true;
}

enum iqt_status iqt_recipe_choose(const struct iqt_recipe *r,
                                  const struct iqt_recipe_model *m,
                                  struct iqt_recipe_count *count, const char *name,
                                  const char **type)
{
    const struct iqt_recipe_rule *rule;
    uint32_t *counter;

    if (choose_by_name(r, m, name, type))
        return IQT_OK;
    IQT_TRY(find_rule(r, m, name, count, &rule));
    *type = rule != NULL && rule->type != NULL ? rule->type : r->type;
    counter = rule != NULL ? counter_of(count, rule->pattern) : NULL;
    if (counter != NULL)
        ++*counter;
    return IQT_OK;
}

const char *iqt_recipe_instead(const struct iqt_recipe_model *m, const char *name,
                               const char *type)
{
    const bool output = strcmp(name, "output.weight") == 0 ||
                        (m->tied && strcmp(name, "token_embd.weight") == 0);

    return output ? "q8_0" : iqt_recipe_fallback(type);
}

/* ---- Types by name ---- */

static bool find_foreign(const char *name, struct iqt_type *out)
{
    const struct iqt_foreign_type *t;

    for (size_t i = 0; (t = iqt_foreign_at(i)) != NULL; i++)
        if (strcasecmp(t->name, name) == 0) {
            *out = (struct iqt_type){ t->name,     t->gguf_type,  t->superblock, t->bytes,
                                      t->row_head, t->superblock, NULL };
            return true;
        }
    return false;
}

static enum iqt_status fail_unknown(const char *option, const char *name)
{
    struct iqt_buf list = { 0 };
    enum iqt_status status;

    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
        iqt_buf_printf(&list, " %s", f->name);
    status = iqt_fail(IQT_ERR_UNKNOWN, "%s: unknown type '%s'; there are%s", option, name,
                      iqt_buf_text(&list));
    iqt_buf_free(&list);
    return status;
}

enum iqt_status iqt_type_find(const char *option, const char *name, struct iqt_type *out)
{
    const struct iqt_format *f = iqt_format_find(name);

    if (f != NULL) {
        *out = (struct iqt_type){ f->name,  f->gguf_type, f->superblock,
                                  f->bytes, f->row_head,  f->granule,
                                  f };
        return IQT_OK;
    }
    return find_foreign(name, out) ? IQT_OK : fail_unknown(option, name);
}

bool iqt_type_fits(const struct iqt_type *t, uint64_t k, uint64_t rows)
{
    const size_t length = strlen(t->name);
    const bool by_four = length > 3 && strcmp(t->name + length - 3, "_r4") == 0;

    return k % t->granule == 0 && (!by_four || rows % 4 == 0);
}

double iqt_type_bits(const struct iqt_type *t, uint64_t k)
{
    return 8.0 * t->bytes / t->weights + 8.0 * t->row_head / (double)k;
}
