/* Options by table: getopt_long parses, the same table prints the help. Knows no command. */
#include "tools/cli.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTS = 32, HELP_VALUE = 0x100 };

static const char *dashes(const struct iqt_opt *o)
{
    return o->name[1] == '\0' ? "-" : "--";
}

static size_t count_opts(const struct iqt_command *cmd)
{
    size_t count = 0;

    while (cmd->opts != NULL && cmd->opts[count].name != NULL)
        count++;
    assert(count < MAX_OPTS);
    return count;
}

void iqt_options_help(const struct iqt_command *cmd)
{
    printf("usage: iqtile %s %s\n\n%s\n", cmd->name, cmd->usage, cmd->summary);
    if (count_opts(cmd) > 0)
        printf("\noptions:\n");
    for (size_t i = 0; i < count_opts(cmd); i++) {
        const struct iqt_opt *o = &cmd->opts[i];
        const bool is_letter = o->name[1] == '\0';
        char left[64];

        snprintf(left, sizeof left, "%s%.1s%s--%s%s%s%s", is_letter ? "-" : "",
                 is_letter ? o->name : "", is_letter ? ", " : "", o->name,
                 o->arg == NULL             ? ""
                 : o->type == IQT_OPT_MAYBE ? "[="
                                            : " ",
                 o->arg != NULL ? o->arg : "", o->type == IQT_OPT_MAYBE ? "]" : "");
        printf("  %-22s %s\n", left, o->help);
    }
}

int iqt_cli_usage(const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "iqtile: ");
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\nTry 'iqtile --help' or 'iqtile COMMAND --help'.\n");
    return IQT_EXIT_USAGE;
}

int iqt_cli_fail(enum iqt_status status)
{
    const char *text = iqt_last_error();

    fprintf(stderr, "iqtile: %s\n", text[0] != '\0' ? text : iqt_status_name(status));
    return status == IQT_ERR_ARG || status == IQT_ERR_UNKNOWN ? IQT_EXIT_USAGE
                                                              : IQT_EXIT_FAILED;
}

/* "unknown option --foo" with the list of those that exist. */
static int unknown_option(const struct iqt_command *cmd, const char *word)
{
    fprintf(stderr, "iqtile %s: unknown option '%s'; the options are", cmd->name, word);
    for (size_t i = 0; i < count_opts(cmd); i++)
        fprintf(stderr, " %s%s", dashes(&cmd->opts[i]), cmd->opts[i].name);
    fprintf(stderr, " --help\n");
    return IQT_EXIT_USAGE;
}

static bool parse_number(const char *text, bool hex_allowed, uint64_t max, uint64_t *out)
{
    const bool hex = hex_allowed && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *digits = hex ? text + 2 : text;
    const size_t length = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");
    unsigned long long value;

    if (length == 0 || digits[length] != '\0')
        return false;
    errno = 0;
    value = strtoull(digits, NULL, hex ? 16 : 10);
    if (errno != 0 || value > max)
        return false;
    *out = value;
    return true;
}

static int store_item(const struct iqt_opt *o, const char *value,
                      struct iqt_opt_list *list)
{
    if (list->count == IQT_OPT_REPEATS)
        return iqt_cli_usage("%s%s is given more than %d times", dashes(o), o->name,
                             IQT_OPT_REPEATS);
    list->item[list->count++] = value;
    return -1;
}

static int store(const struct iqt_opt *o, const char *value, char *opts)
{
    const bool is_u32 = o->type == IQT_OPT_U32;
    uint64_t number = 0;

    switch (o->type) {
    case IQT_OPT_FLAG:
        *(bool *)(opts + o->offset) = true;
        return -1;
    case IQT_OPT_STRING:
    case IQT_OPT_MAYBE:
        *(const char **)(opts + o->offset) = value ? value : "";
        return -1;
    case IQT_OPT_LIST:
        return store_item(o, value, (struct iqt_opt_list *)(void *)(opts + o->offset));
    case IQT_OPT_U32:
    case IQT_OPT_U64:
        if (!parse_number(value, !is_u32, is_u32 ? UINT32_MAX : UINT64_MAX, &number))
            return iqt_cli_usage("%s%s needs a whole number%s, got '%s'", dashes(o),
                                 o->name, is_u32 ? " below 2^32" : "", value);
        break;
    }
    if (is_u32)
        *(uint32_t *)(opts + o->offset) = (uint32_t)number;
    else
        *(uint64_t *)(opts + o->offset) = number;
    return -1;
}

/* getopt's two spellings of the table: every name is a long option, one letter is a short one as
 * well. Values are 1 + index past any letter, for short options their letter. */
static void make_getopt(const struct iqt_command *cmd, struct option *longs, char *shorts)
{
    const size_t count = count_opts(cmd);

    *shorts++ = ':'; /* a missing value is reported as ':' */
    for (size_t i = 0; i < count; i++) {
        const struct iqt_opt *o = &cmd->opts[i];
        const int has_value = o->type == IQT_OPT_FLAG    ? no_argument
                              : o->type == IQT_OPT_MAYBE ? optional_argument
                                                         : required_argument;

        *longs++ = (struct option){ o->name, has_value, NULL, HELP_VALUE + 1 + (int)i };
        if (o->name[1] != '\0')
            continue;
        *shorts++ = o->name[0];
        if (has_value)
            *shorts++ = ':';
    }
    *longs++ = (struct option){ "help", no_argument, NULL, HELP_VALUE };
    *longs = (struct option){ NULL, 0, NULL, 0 };
    *shorts = '\0';
}

static const struct iqt_opt *opt_of_value(const struct iqt_command *cmd, int value)
{
    if (value > HELP_VALUE)
        return &cmd->opts[value - HELP_VALUE - 1];
    for (size_t i = 0; i < count_opts(cmd); i++)
        if (cmd->opts[i].name[0] == value && cmd->opts[i].name[1] == '\0')
            return &cmd->opts[i];
    return NULL;
}

/* The word that getopt stumbled over: a letter in a cluster, or the last word it took. */
static int bad_option(const struct iqt_command *cmd, int value, char **argv)
{
    char letter[3] = { '-', (char)optopt, '\0' };
    const bool is_letter = optopt > 0 && optopt < HELP_VALUE;
    const char *word = is_letter ? letter : argv[optind - 1];

    if (value == ':')
        return iqt_cli_usage("option '%s' needs a value", word);
    if (optopt >= HELP_VALUE)
        return iqt_cli_usage("option '%s' takes no value", word);
    return unknown_option(cmd, word);
}

static int check_count(const struct iqt_command *cmd, int count, char **args)
{
    if (count < cmd->min_args)
        return iqt_cli_usage("%s needs more arguments: iqtile %s %s", cmd->name,
                             cmd->name, cmd->usage);
    if (cmd->max_args >= 0 && count > cmd->max_args)
        return iqt_cli_usage("'%s' is one argument too many: iqtile %s %s",
                             args[cmd->max_args], cmd->name, cmd->usage);
    return -1;
}

int iqt_options_parse(const struct iqt_command *cmd, int argc, char **argv, void *opts,
                      int *count, char ***args)
{
    struct option longs[MAX_OPTS + 2];
    char shorts[2 * MAX_OPTS + 2];
    int value;

    make_getopt(cmd, longs, shorts);
    optind = 0; /* GNU: start anew, permuting */
    opterr = 0;
    while ((value = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const struct iqt_opt *o;
        int code;

        if (value == '?' || value == ':')
            return bad_option(cmd, value, argv);
        if (value == HELP_VALUE) {
            iqt_options_help(cmd);
            return IQT_EXIT_OK;
        }
        o = opt_of_value(cmd, value);
        assert(o != NULL);
        code = store(o, optarg, opts);
        if (code >= 0)
            return code;
    }
    *count = argc - optind;
    *args = argv + optind;
    return check_count(cmd, *count, *args);
}
