/* Recipes: every choice of the reference's tool in golden/type-selection.csv, what no row of it shows, and
 * the user's rules: dialect of patterns, order, refusals; choices under a budget. */
#include "quant/budget.h"
#include "quant/recipe.h"
#include "tests/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The synthetic models of the table (golden/README.md). */
static const struct {
    const char *name;
    struct iqt_recipe_model model;
} models[] = {
    { "gqa4", { .layers = 16, .heads = 8, .heads_kv = 2, .vocab = 512 } },
    { "gqa2", { .layers = 16, .heads = 8, .heads_kv = 4, .vocab = 512 } },
    { "mha_tied",
      { .layers = 16, .heads = 8, .heads_kv = 8, .vocab = 512, .tied = true } },
    { "moe8", { .layers = 8, .heads = 8, .heads_kv = 2, .experts = 8, .vocab = 512 } },
    { "odd", { .layers = 8, .heads = 8, .heads_kv = 2, .vocab = 512 } },
};

struct row {
    char model[16], file_type[16], tensor[64], type[16];
    int importance;
    unsigned long long k, rows, matrices;
};

struct run {
    struct row last;
    const struct iqt_recipe *recipe;
    struct iqt_recipe_model model;
    struct iqt_recipe_count count;
};

static bool parse_row(const char *line, struct row *r)
{
    return sscanf(line, "%15[^,],%d,%15[^,],%63[^,],%llu,%llu,%llu,%15s", r->model,
                  &r->importance, r->file_type, r->tensor, &r->k, &r->rows, &r->matrices,
                  r->type) == 8;
}

/* A new model or file type begins: counting starts anew. */
static void follow(struct run *run, const struct row *row)
{
    if (strcmp(run->last.model, row->model) == 0 &&
        run->last.importance == row->importance &&
        strcmp(run->last.file_type, row->file_type) == 0)
        return;
    run->last = *row;
    run->count = (struct iqt_recipe_count){ 0 };
    run->recipe = iqt_recipe_find(row->file_type);
    for (size_t i = 0; i < IQT_COUNT(models); i++)
        if (strcmp(models[i].name, row->model) == 0)
            run->model = models[i].model;
    strcpy(run->model.arch, "llama");
    run->model.importance = row->importance != 0;
}

static void check_row(struct run *run, const struct row *row)
{
    const char *chosen = "none";
    struct iqt_type type;

    follow(run, row);
    if (run->recipe == NULL) {
        check_fail("no recipe %s", row->file_type);
        return;
    }
    if (iqt_recipe_choose(run->recipe, &run->model, &run->count, row->tensor, &chosen) !=
            IQT_OK ||
        iqt_type_find("the table", chosen, &type) != IQT_OK) {
        check_fail("%s %s %s: %s", row->model, row->file_type, row->tensor,
                   iqt_last_error());
        return;
    }
    if (!iqt_type_fits(&type, row->k, row->rows))
        chosen = iqt_recipe_instead(&run->model, row->tensor, chosen);
    check_true(chosen != NULL && strcasecmp(chosen, row->type) == 0,
               "%s, importance %d, %s, %s: %s, the reference has %s", row->model,
               row->importance, row->file_type, row->tensor, chosen, row->type);
}

static void test_golden(void)
{
    struct iqt_buf path = { 0 };
    char *text, *line, *next;
    struct run run = { 0 };
    size_t bytes, rows = 0;

    if (!check_begin("recipe.golden"))
        return;
    iqt_buf_printf(&path, "%s/golden/type-selection.csv", check_data());
    if (iqt_file_read(iqt_buf_text(&path), &text, &bytes) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        iqt_buf_free(&path);
        return;
    }
    next = text;
    strsep(&next, "\n"); /* the heading */
    while ((line = strsep(&next, "\n")) != NULL && line[0] != '\0') {
        struct row row;

        rows++;
        if (parse_row(line, &row))
            check_row(&run, &row);
        else
            check_fail("row %zu: '%s' cannot be read", rows, line);
    }
    check_true(rows == 14624, "%zu rows", rows);
    free(text);
    iqt_buf_free(&path);
    check_end();
}

/* What the models of the table do not reach; from the reference's source. */
static const struct iqt_recipe_model llama_70b = {
    .arch = "llama", .layers = 80, .heads = 64, .heads_kv = 8, .vocab = 128256
};
static const struct iqt_recipe_model llama_65b = {
    .arch = "llama", .layers = 80, .heads = 64, .heads_kv = 64, .vocab = 32000
};
static const struct iqt_recipe_model llama_8b = {
    .arch = "llama", .layers = 32, .heads = 32, .heads_kv = 8, .vocab = 128256
};
static const struct iqt_recipe_model mistral = {
    .arch = "llama", .layers = 32, .heads = 32, .heads_kv = 8, .vocab = 32000
};
static const struct iqt_recipe_model qwen2_72b = {
    .arch = "qwen2", .layers = 80, .heads = 64, .heads_kv = 8, .vocab = 152064
};
static const struct iqt_recipe_model qwen3_8b = { .arch = "qwen3",
                                                  .layers = 36,
                                                  .heads = 32,
                                                  .heads_kv = 8,
                                                  .vocab = 151936,
                                                  .width = 4096 };
static const struct iqt_recipe_model qwen3_4b = { .arch = "qwen3",
                                                  .layers = 36,
                                                  .heads = 32,
                                                  .heads_kv = 8,
                                                  .vocab = 151936,
                                                  .width = 2560 };
static const struct iqt_recipe_model falcon = {
    .arch = "falcon", .layers = 32, .heads = 71, .heads_kv = 1
};
static const struct iqt_recipe_model deepseek = {
    .arch = "deepseek2", .layers = 27, .heads = 16, .heads_kv = 16, .experts = 64
};
static const struct iqt_recipe_model qwen_moe = {
    .arch = "qwen2moe", .layers = 24, .heads = 16, .heads_kv = 16, .experts = 60
};
static const struct iqt_recipe_model phi2 = {
    .arch = "phi2", .layers = 32, .heads = 32, .heads_kv = 32
};

static const struct {
    const char *recipe;
    const struct iqt_recipe_model *model;
    const char *tensor, *type;
} cases[] = {
    { "IQ3_K", &llama_70b, "blk.3.attn_v.weight", "iq5_k" },
    { "IQ3_K", &llama_65b, "blk.3.attn_v.weight", "iq3_k" },
    { "IQ2_K", &qwen2_72b, "blk.3.attn_v.weight", "iq2_k" },
    { "IQ5_K", &llama_8b, "blk.3.attn_v.weight", "iq6_k" },
    { "IQ5_K", &llama_8b, "blk.3.attn_q.weight", "iq4_k" },
    { "IQ5_KS", &llama_70b, "blk.3.attn_q.weight", "iq4_ks" },
    { "IQ5_KS", &llama_70b, "blk.3.attn_v.weight", "iq5_ks" },
    { "IQ5_K", &mistral, "blk.3.attn_v.weight", "iq5_k" },
    { "IQ5_K", &qwen3_8b, "blk.3.attn_v.weight", "iq6_k" },
    { "IQ5_K", &qwen3_4b, "blk.3.attn_v.weight", "iq5_k" },
    { "IQ3_KL", &falcon, "blk.3.attn_output.weight", "iq3_k" },
    { "IQ3_KL", &falcon, "output.weight", "q8_0" },
    { "IQ4_KS", &deepseek, "blk.3.attn_kv_b.weight", "q8_0" },
    { "IQ3_KL", &mistral, "per_layer_token_embd.weight", "iq3_k" },
    { "IQ3_KT", &mistral, "per_layer_token_embd.weight", "iq3_s" },
    { "IQ2_KT", &qwen_moe, "blk.5.ffn_up_shexp.weight", "iq4_k" },
    { "IQ2_KS", &phi2, "blk.5.attn_qkv.weight", "iq2_k" },
    { "IQ3_KS", &phi2, "blk.5.attn_qkv.weight", "iq3_ks" },
    { "IQ4_KS_R4", &mistral, "blk.5.attn_v.weight", "iq5_k_r4" },
    { "IQ4_K_R4", &mistral, "blk.5.attn_v.weight", "iq5_k" },
};

static void test_other_models(void)
{
    if (!check_begin("recipe.models"))
        return;
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        struct iqt_recipe_count count = { 0 };
        const char *type = "none";

        check_true(iqt_recipe_choose(iqt_recipe_find(cases[i].recipe), cases[i].model,
                                     &count, cases[i].tensor, &type) == IQT_OK &&
                       strcmp(type, cases[i].type) == 0,
                   "%s %s %s: %s, expected %s", cases[i].recipe, cases[i].model->arch,
                   cases[i].tensor, type, cases[i].type);
    }
    check_end();
}

static void test_layer_of_experts(void)
{
    static const char *const bad[] = { "ffn_down_exps.weight",
                                       "blk.8.ffn_down_exps.weight",
                                       "blk.x.ffn_down_exps.weight" };
    const struct iqt_recipe_model m = { .arch = "llama", .layers = 8, .experts = 8 };
    struct iqt_recipe_count count = { 0 };
    const char *type;

    if (!check_begin("recipe.layer"))
        return;
    for (size_t i = 0; i < IQT_COUNT(bad); i++)
        check_true(iqt_recipe_choose(iqt_recipe_find("iq3_kl"), &m, &count, bad[i],
                                     &type) == IQT_ERR_FORMAT &&
                       strstr(iqt_last_error(), bad[i]) != NULL,
                   "%s: %s", bad[i], iqt_last_error());
    check_end();
}

/* Every type that a recipe names is one that files can hold, and what stands in for it fits more rows. */
static void test_types(void)
{
    if (!check_begin("recipe.types"))
        return;
    for (const struct iqt_recipe *r = iqt_recipes; r->name != NULL; r++) {
        const char *const names[] = { r->type, r->output, r->tied, r->embedding };
        struct iqt_type type, instead;

        for (size_t i = 0; i < IQT_COUNT(names); i++)
            check_true(names[i] == NULL || iqt_type_find("r", names[i], &type) == IQT_OK,
                       "%s: %s", r->name, iqt_last_error());
        for (const struct iqt_recipe_rule *rule = r->rules; rule->pattern != NULL; rule++)
            check_true(rule->type == NULL ||
                           iqt_type_find("r", rule->type, &type) == IQT_OK,
                       "%s: %s", r->name, iqt_last_error());
        check_true(iqt_recipe_fallback(r->type) != NULL &&
                       iqt_type_find("r", iqt_recipe_fallback(r->type), &instead) ==
                           IQT_OK &&
                       iqt_type_fits(&instead, 96, 1),
                   "%s has no fallback", r->name);
    }
    check_true(strcmp(iqt_recipe_alternative(2), "iq4_nl") == 0, "for 2 bits");
    check_true(strcmp(iqt_recipe_alternative(5.5), "q5_0") == 0, "for 5.5 bits");
    check_true(strcmp(iqt_recipe_alternative(6.625), "q6_0") == 0, "for 6.625 bits");
    check_end();
}

static void test_regex(void)
{
    static const struct {
        const char *from, *to; /* NULL: refused */
    } cases[] = {
        { "blk\\.(0|1|[3-9])\\.ffn", "blk\\.(0|1|[3-9])\\.ffn" },
        { "blk\\.\\d+\\.", "blk\\.[0-9]+\\." },
        { "\\D\\w", "[^0-9][A-Za-z0-9_]" },
        { "(?:a|b)+?x??", "(a|b)+x?" },
        { "[\\d\\.]", "[0-9.]" },
        { "[]a]", "[]a]" },
        { "[^]a]?", "[^]a]?" },
        { "(?=a)", NULL },
        { "(?!a)", NULL },
        { "(a)\\1", NULL },
        { "[\\]]", NULL },
        { "a\\", NULL },
        { "", "" },
    };

    if (!check_begin("recipe.regex"))
        return;
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        struct iqt_buf out = { 0 };
        const enum iqt_status status = iqt_regex_translate(cases[i].from, &out);

        if (cases[i].to == NULL)
            check_true(status == IQT_ERR_ARG, "'%s' became '%s'", cases[i].from,
                       iqt_buf_text(&out));
        else
            check_true(status == IQT_OK && strcmp(iqt_buf_text(&out), cases[i].to) == 0,
                       "'%s' became '%s', expected '%s'", cases[i].from,
                       iqt_buf_text(&out), cases[i].to);
        iqt_buf_free(&out);
    }
    check_end();
}

static void test_rules(void)
{
    struct iqt_user_rules rules = { 0 };
    const struct iqt_user_rule *rule;

    if (!check_begin("recipe.rules"))
        return;
    check_true(iqt_user_rules_parse(&rules, IQT_RULE_REGEX, "--custom-q",
                                    "blk\\.[01]\\..*down=IQ4_K,ffn=iq2_ks") == IQT_OK &&
                   iqt_user_rules_add(&rules, IQT_RULE_PART, "--x", "attn_q", "copy") ==
                       IQT_OK,
               "%s", iqt_last_error());
    rule = iqt_user_rules_match(&rules, "blk.1.ffn_down.weight", false);
    check_true(rule == &rules.rule[0] && rules.rule[1].hits == 1,
               "the first rule does not win");
    rule = iqt_user_rules_match(&rules, "blk.2.ffn_down.weight", false);
    check_true(rule == &rules.rule[1], "the second rule does not match");
    check_true(iqt_user_rules_match(&rules, "output.weight", false) == NULL,
               "output.weight matches");
    check_true(iqt_user_rules_check(&rules) == IQT_ERR_ARG &&
                   strstr(iqt_last_error(), "attn_q") != NULL,
               "no hits: %s", iqt_last_error());
    rule = iqt_user_rules_match(&rules, "blk.2.attn_q.weight", false);
    check_true(rule == &rules.rule[2] && iqt_user_rules_check(&rules) == IQT_OK,
               "a part");
    iqt_user_rules_free(&rules);
    check_end();
}

static void test_bad_rules(void)
{
    static const struct {
        const char *text;
        enum iqt_status status;
        const char *word;
    } cases[] = {
        { "a=iq9_z", IQT_ERR_UNKNOWN, "iq9_z" },
        { "a", IQT_ERR_ARG, "REGEX=TYPE" },
        { "=iq4_k", IQT_ERR_ARG, "REGEX=TYPE" },
        { "a=", IQT_ERR_ARG, "REGEX=TYPE" },
        { "(=iq4_k", IQT_ERR_ARG, "'('" },
        { "a=iq4_k,", IQT_ERR_ARG, "REGEX=TYPE" },
        { "", IQT_ERR_ARG, "REGEX=TYPE" },
    };

    if (!check_begin("recipe.bad_rules"))
        return;
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        struct iqt_user_rules rules = { 0 };

        check_true(iqt_user_rules_parse(&rules, IQT_RULE_REGEX, "--custom-q",
                                        cases[i].text) == cases[i].status &&
                       strstr(iqt_last_error(), cases[i].word) != NULL,
                   "'%s': %s", cases[i].text, iqt_last_error());
        iqt_user_rules_free(&rules);
    }
    check_end();
}

/* ---- Budgets ---- */

enum { ITEMS = 5, CHOICES = 4, COMBINATIONS = 1024 };

/* The least error of all combinations within the budget. */
static double best_of_all(const struct iqt_budget_choice choice[ITEMS][CHOICES],
                          uint64_t budget)
{
    double best = 1e300;

    for (uint32_t n = 0; n < COMBINATIONS; n++) {
        uint64_t bytes = 0;
        double error = 0;

        for (uint32_t i = 0; i < ITEMS; i++) {
            bytes += choice[i][n >> 2 * i & 3].bytes;
            error += choice[i][n >> 2 * i & 3].error;
        }
        if (bytes <= budget && error < best)
            best = error;
    }
    return best;
}

/* Within the budget, and little above the least error; more than that nobody promises. */
static void test_budget(void)
{
    double found = 0, least = 0;

    if (!check_begin("budget.random"))
        return;
    for (uint32_t n = 0; n < 300; n++) {
        struct iqt_budget_choice choice[ITEMS][CHOICES];
        struct iqt_budget_item item[ITEMS];
        uint64_t smallest = 0, bytes = 0, budget;

        for (uint32_t i = 0; i < ITEMS; i++) {
            uint64_t low = UINT64_MAX;

            item[i] = (struct iqt_budget_item){ choice[i], CHOICES, 99 };
            for (uint32_t c = 0; c < CHOICES; c++) {
                choice[i][c].bytes = 1 + check_rand() % 1000;
                choice[i][c].error = check_rand() % 1000 / 1000.0;
                low = choice[i][c].bytes < low ? choice[i][c].bytes : low;
            }
            smallest += low;
        }
        check_true(iqt_budget_choose(item, ITEMS, smallest - 1) == IQT_ERR_ARG,
                   "less than the smallest");
        budget = smallest + check_rand() % 2000;
        check_true(iqt_budget_choose(item, ITEMS, budget) == IQT_OK, "%s",
                   iqt_last_error());
        for (uint32_t i = 0; i < ITEMS; i++) {
            bytes += choice[i][item[i].chosen].bytes;
            found += choice[i][item[i].chosen].error;
        }
        check_true(bytes <= budget, "%llu bytes of %llu", (unsigned long long)bytes,
                   (unsigned long long)budget);
        least += best_of_all((const struct iqt_budget_choice(*)[CHOICES])choice, budget);
    }
    check_true(found < 1.15 * least, "errors of %g, %g are possible", found, least);
    check_end();
}

/* What many small things of one kind should do: as many as fit, no byte wasted. */
static void test_budget_equal(void)
{
    static const struct iqt_budget_choice choice[] = {
        { 30, 0.5 }, { 10, 1 }, { 20, 2 }, { 100, 0 }
    };
    struct iqt_budget_item item[20];
    size_t large = 0;

    if (!check_begin("budget.equal"))
        return;
    for (size_t i = 0; i < IQT_COUNT(item); i++)
        item[i] = (struct iqt_budget_item){ choice, IQT_COUNT(choice), 0 };
    check_true(iqt_budget_choose(item, IQT_COUNT(item), 200 + 7 * 20 + 3) == IQT_OK, "%s",
               iqt_last_error());
    for (size_t i = 0; i < IQT_COUNT(item); i++) {
        large += item[i].chosen == 0;
        check_true(item[i].chosen == (i < 7 ? 0 : 1), "item %zu has choice %zu", i,
                   item[i].chosen);
    }
    check_true(large == 7, "%zu of 7", large);
    check_true(iqt_budget_choose(item, 0, 0) == IQT_OK, "nothing to choose");
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    test_golden();
    test_other_models();
    test_layer_of_experts();
    test_types();
    test_regex();
    test_rules();
    test_bad_rules();
    test_budget();
    test_budget_equal();
    return check_done();
}
