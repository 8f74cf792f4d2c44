/* The user's own rules about types: parsed from options, matched in order, and checked for having matched. */
#include "quant/recipe.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RULES = 4096 };

/* ---- ECMAScript to POSIX ---- */

struct translate {
    const char *at, *text;
    struct iqt_buf *out;
};

static enum iqt_status refuse(const struct translate *t, const char *what)
{
    return iqt_fail(
        IQT_ERR_ARG,
        "the pattern '%s' has %s, which POSIX extended regular expressions have "
        "not: write it otherwise",
        t->text, what);
}

/* What a class such as \d stands for inside brackets; NULL for others. */
static const char *class_of(char letter)
{
    return letter == 'd' ? "0-9" : letter == 'w' ? "A-Za-z0-9_" : NULL;
}

/* One [...]: a backslash is no escape inside in POSIX. */
static enum iqt_status translate_brackets(struct translate *t)
{
    bool first = true;

    iqt_buf_append(t->out, t->at++, 1);
    if (*t->at == '^')
        iqt_buf_append(t->out, t->at++, 1);
    for (; *t->at != '\0' && (*t->at != ']' || first); first = false) {
        if (*t->at != '\\') {
            iqt_buf_append(t->out, t->at++, 1);
            continue;
        }
        t->at++;
        if (class_of(*t->at) != NULL)
            iqt_buf_printf(t->out, "%s", class_of(*t->at));
        else if (*t->at != '\0' && strchr(".*+?()|${}/_", *t->at) != NULL)
            iqt_buf_append(t->out, t->at, 1);
        else
            return refuse(t, "this escape in brackets");
        t->at++;
    }
    if (*t->at == ']')
        iqt_buf_append(t->out, t->at++, 1);
    return IQT_OK;
}

static enum iqt_status translate_escape(struct translate *t)
{
    const char letter = t->at[1];

    if (class_of(letter) != NULL)
        iqt_buf_printf(t->out, "[%s]", class_of(letter));
    else if (letter == 'D')
        iqt_buf_printf(t->out, "[^0-9]");
    else if (letter >= '1' && letter <= '9')
        return refuse(t, "a back reference");
    else if (letter != '\0')
        iqt_buf_append(t->out, t->at, 2);
    else
        return refuse(t, "a lone backslash at its end");
    t->at += 2;
    return IQT_OK;
}

/* "(?:" groups; a '?' after a quantifier makes it lazy, which changes no search for a match. */
static enum iqt_status translate_other(struct translate *t)
{
    if (strncmp(t->at, "(?", 2) == 0 && t->at[2] != ':')
        return refuse(t, "look-around");
    iqt_buf_append(t->out, t->at, 1);
    if (*t->at == '(' && t->at[1] == '?')
        t->at += 2;
    else if (strchr("*+?}", *t->at) != NULL && t->at[1] == '?')
        t->at++;
    t->at++;
    return IQT_OK;
}

enum iqt_status iqt_regex_translate(const char *text, struct iqt_buf *out)
{
    struct translate t = { .at = text, .text = text, .out = out };

    while (*t.at != '\0') {
        if (*t.at == '[')
            IQT_TRY(translate_brackets(&t));
        else if (*t.at == '\\')
            IQT_TRY(translate_escape(&t));
        else
            IQT_TRY(translate_other(&t));
    }
    return iqt_buf_check(out);
}

/* ---- Rules ---- */

static enum iqt_status compile(struct iqt_user_rule *rule)
{
    struct iqt_buf posix = { 0 };
    enum iqt_status status = iqt_regex_translate(rule->pattern, &posix);
    char why[128];
    int error;

    if (status == IQT_OK) {
        error = regcomp(&rule->regex, iqt_buf_text(&posix), REG_EXTENDED | REG_NOSUB);
        if (error != 0) {
            regerror(error, &rule->regex, why, sizeof why);
            status =
                iqt_fail(IQT_ERR_ARG, "%s: the pattern '%s' is no regular expression: %s",
                         rule->option, rule->pattern, why);
        }
    }
    iqt_buf_free(&posix);
    return status;
}

static enum iqt_status check_type(const char *option, const char *type)
{
    struct iqt_type found;

    return strcmp(type, IQT_TYPE_COPY) == 0 ? IQT_OK
                                            : iqt_type_find(option, type, &found);
}

static enum iqt_status make_room(struct iqt_user_rules *rules)
{
    struct iqt_user_rule *more;

    if (rules->count >= MAX_RULES)
        return iqt_fail(IQT_ERR_ARG, "more than %d rules about types", MAX_RULES);
    more = realloc(rules->rule, (rules->count + 1) * sizeof *more);
    if (more == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu rules", rules->count + 1);
    rules->rule = more;
    return IQT_OK;
}

enum iqt_status iqt_user_rules_add(struct iqt_user_rules *rules, enum iqt_rule_kind kind,
                                   const char *option, const char *pattern,
                                   const char *type)
{
    struct iqt_user_rule rule = { .kind = kind, .option = option };
    enum iqt_status status;

    IQT_TRY(check_type(option, type));
    IQT_TRY(make_room(rules));
    rule.pattern = strdup(pattern);
    rule.type = strdup(type);
    status = rule.pattern == NULL || rule.type == NULL
                 ? iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a rule")
                 : IQT_OK;
    if (status == IQT_OK && kind == IQT_RULE_REGEX)
        status = compile(&rule);
    if (status != IQT_OK) {
        free(rule.pattern);
        free(rule.type);
        return status;
    }
    rules->rule[rules->count++] = rule;
    return IQT_OK;
}

enum iqt_status iqt_user_rules_parse(struct iqt_user_rules *rules,
                                     enum iqt_rule_kind kind, const char *option,
                                     const char *text)
{
    char *copy = strdup(text), *at, *next = copy;
    enum iqt_status status = IQT_OK;

    if (copy == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for rules");
    while (status == IQT_OK && (at = strsep(&next, ",")) != NULL) {
        char *type = strchr(at, '=');

        if (type == NULL || type == at || type[1] == '\0') {
            status = iqt_fail(IQT_ERR_ARG, "%s: '%s' is not of the form %s=TYPE", option,
                              at, kind == IQT_RULE_REGEX ? "REGEX" : "NAME");
            break;
        }
        *type++ = '\0';
        status = iqt_user_rules_add(rules, kind, option, at, type);
    }
    free(copy);
    return status;
}

static bool matches(const struct iqt_user_rule *rule, const char *name)
{
    switch (rule->kind) {
    case IQT_RULE_NAME:
        return strcmp(rule->pattern, name) == 0;
    case IQT_RULE_REGEX:
        return regexec(&rule->regex, name, 0, NULL, 0) == 0;
    case IQT_RULE_PART:
        break;
    }
    return strstr(name, rule->pattern) != NULL;
}

const struct iqt_user_rule *iqt_user_rules_match(struct iqt_user_rules *rules,
                                                 const char *name, bool names)
{
    const struct iqt_user_rule *first = NULL;

    for (size_t i = 0; i < rules->count; i++) {
        if ((names && rules->rule[i].kind != IQT_RULE_NAME) ||
            !matches(&rules->rule[i], name))
            continue;
        rules->rule[i].hits++;
        if (first == NULL)
            first = &rules->rule[i];
    }
    return first;
}

enum iqt_status iqt_user_rules_check(const struct iqt_user_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        if (rules->rule[i].hits == 0)
            return iqt_fail(IQT_ERR_ARG,
                            "%s: '%s' matches no tensor that can be quantized",
                            rules->rule[i].option, rules->rule[i].pattern);
    return IQT_OK;
}

void iqt_user_rules_free(struct iqt_user_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->rule[i].kind == IQT_RULE_REGEX)
            regfree(&rules->rule[i].regex);
        free(rules->rule[i].pattern);
        free(rules->rule[i].type);
    }
    free(rules->rule);
    *rules = (struct iqt_user_rules){ 0 };
}
