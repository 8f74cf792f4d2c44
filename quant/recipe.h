/* Which type each tensor of a model gets: the choices of the reference's quantize tool for every file type
 * of the family, and the user's own rules in their place. Types go by name, since a recipe may name one
 * that nothing here can encode. Knows no file: the caller says what the model is like. */
#ifndef IQT_QUANT_RECIPE_H
#define IQT_QUANT_RECIPE_H

#include "kernels/format.h"

#include <regex.h>

/* What the rules ask about a model. Zero: not known. */
struct iqt_recipe_model {
    char arch[32]; /* general.architecture */
    uint32_t layers, heads, heads_kv, experts, vocab, width;
    bool tied;       /* without output.weight */
    bool importance; /* there is an importance matrix */
};

/* The first rule whose pattern is part of the tensor's name and whose conditions (of recipe_table.c) all
 * hold decides. */
struct iqt_recipe_rule {
    const char *pattern;
    uint32_t when;
    const char *type; /* NULL: the recipe's */
};

struct iqt_recipe {
    const char *name; /* upper case, as the reference's tool takes it */
    uint16_t file_type;
    const char *type;                      /* of what no rule names */
    const char *output, *tied, *embedding; /* NULL: the recipe's type */
    const struct iqt_recipe_rule *rules;   /* ends with pattern NULL */
    bool alone;                            /* without the rules that most recipes share */
};

/* ---- recipe_table.c ---- */

extern const struct iqt_recipe iqt_recipes[];            /* ends with name NULL */
extern const struct iqt_recipe_rule iqt_recipe_common[]; /* before a recipe's own */
extern const struct iqt_recipe_rule
    iqt_recipe_plain[]; /* after them: the recipe's type */

/* Conditions of rules, or-ed. */
enum {
    IQT_IF_FALCON = 1,
    IQT_IF_2_EXPERTS = 2, /* at least */
    IQT_IF_4_EXPERTS = 4,
    IQT_IF_8_EXPERTS = 8,
    IQT_IF_GQA_2 = 16, /* heads per key and value head, at least */
    IQT_IF_GQA_4 = 32,
    IQT_IF_70B = 64,     /* the models that the reference takes for 70B */
    IQT_IF_LLAMA3 = 128, /* those and 8B, with a vocabulary like that of Llama 3 */
    IQT_IF_NO_IMPORTANCE = 256,
    IQT_IF_FIRST_LAYERS = 512, /* the first eighth */
    IQT_IF_MORE_LAYERS = 1024, /* the first and last eighth, and every third between */
    IQT_IF_FIRST_COUNTED =
        2048, /* the first eighth by order in the file, whatever the name */
};

/* Stand in for a type of 256 weights where a row is no multiple of 256; NULL when there is none. */
const char *iqt_recipe_fallback(const char *type);
/* Types that the reference's tool refuses to make without importance. */
bool iqt_recipe_wants_importance(const char *type);
/* Of the types of 32 weights: the best of at most this many bits, else the smallest. */
const char *iqt_recipe_alternative(double bits);
/* general.file_type of a file that is all of one type without a recipe; 0: the reference has none. */
uint16_t iqt_recipe_file_type(const char *type);
/* 70B and 8B as the reference takes them from architecture and number of layers; 0: neither. */
uint32_t iqt_recipe_class(const struct iqt_recipe_model *m);

/* ---- recipe.c ---- */

/* By name, in any case; NULL when unknown. */
const struct iqt_recipe *iqt_recipe_find(const char *name);

/* Tensors seen so far whose layer goes by their number. Starts as zero. */
struct iqt_recipe_count {
    uint32_t down, gate, up;
};
/* The recipe's choice for one tensor; tensors in the order of the file. IQT_ERR_FORMAT when a rule asks for
 * the layer and the name of the tensor does not say it. */
IQT_MUST_USE enum iqt_status iqt_recipe_choose(const struct iqt_recipe *r,
                                               const struct iqt_recipe_model *m,
                                               struct iqt_recipe_count *count,
                                               const char *name, const char **type);

/* What the reference takes when rows do not fit type; NULL when it has nothing. */
const char *iqt_recipe_instead(const struct iqt_recipe_model *m, const char *name,
                               const char *type);

/* Layout of a type, also of one without kernels or encoder. */
struct iqt_type {
    const char *name;
    uint32_t gguf_type;
    uint32_t weights, bytes, row_head; /* a row is row_head + bytes a weights */
    uint32_t granule;                  /* that a row must be a multiple of */
    const struct iqt_format *format;   /* NULL: not in the format table */
};
/* In any case. IQT_ERR_UNKNOWN names option and the types that there are. */
IQT_MUST_USE enum iqt_status iqt_type_find(const char *option, const char *name,
                                           struct iqt_type *out);
/* Whether rows of k weights, rows of them a matrix, can have the type. */
bool iqt_type_fits(const struct iqt_type *t, uint64_t k, uint64_t rows);
double iqt_type_bits(const struct iqt_type *t, uint64_t k); /* a weight */

/* ---- recipe_rules.c: the user's rules ---- */

enum iqt_rule_kind {
    IQT_RULE_NAME, /* this tensor, and no fallback */
    IQT_RULE_REGEX,
    IQT_RULE_PART, /* tensors of which this is a part of the name */
};
#define IQT_TYPE_COPY "copy" /* in the place of a type: the tensor stays as it is */

struct iqt_user_rule {
    enum iqt_rule_kind kind;
    const char *option; /* that it came from */
    char *pattern, *type;
    regex_t regex; /* IQT_RULE_REGEX */
    size_t hits;
};
struct iqt_user_rules {
    struct iqt_user_rule *rule; /* the first that matches decides */
    size_t count;
};
/* Adds what "pattern=type,pattern=type" says, split at commas and at each first '='. */
IQT_MUST_USE enum iqt_status iqt_user_rules_parse(struct iqt_user_rules *rules,
                                                  enum iqt_rule_kind kind,
                                                  const char *option, const char *text);
IQT_MUST_USE enum iqt_status iqt_user_rules_add(struct iqt_user_rules *rules,
                                                enum iqt_rule_kind kind,
                                                const char *option, const char *pattern,
                                                const char *type);
/* NULL when none matches. Counts hits of all that do; names: rules of other kinds are left out. */
const struct iqt_user_rule *iqt_user_rules_match(struct iqt_user_rules *rules,
                                                 const char *name, bool names);
/* IQT_ERR_ARG names the first rule without hits. */
IQT_MUST_USE enum iqt_status iqt_user_rules_check(const struct iqt_user_rules *rules);
void iqt_user_rules_free(struct iqt_user_rules *rules);

/* ECMAScript as recipes use it, spelled as a POSIX extended regular expression: \d \D, (?:, lazy
 * quantifiers and classes in brackets are translated; IQT_ERR_ARG for look-around. */
IQT_MUST_USE enum iqt_status iqt_regex_translate(const char *text, struct iqt_buf *out);

#endif
