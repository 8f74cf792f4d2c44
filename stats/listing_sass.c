/* nvdisasm -c:
 *         .section  .text.NAME,"ax",@progbits       a function begins
 * .L_x_2:                                           a label
 *         /_*02c0*_/   @!P0 BRA `(.L_x_2) ;          an instruction (comment marks without '_')
 * On some architectures two issue together, in braces. */
#include "stats/listing_build.h"

#include <stdlib.h>
#include <string.h>

static const char section[] = ".section\t.text.";

/* What follows the predicate: "@P0 ", "@!UP1 ". */
static char *skip_predicate(char *text)
{
    if (*text == '@')
        text += strcspn(text, " \t");
    return text + strspn(text, " \t");
}

/* Label of "BRA `(.L_x_2)", or NULL. */
static const char *branch_goal(char *text)
{
    char *open, *close;

    if (strncmp(text, "BRA", 3) != 0)
        return NULL;
    open = strstr(text, "`(");
    close = open != NULL ? strchr(open, ')') : NULL;
    if (close == NULL)
        return NULL;
    *close = '\0';
    return open + 2;
}

static enum iqt_status instruction(struct iqt_build *b, char *line)
{
    char *end, *text;
    const uint64_t address = strtoull(line + 2, &end, 16);

    if (strncmp(end, "*/", 2) != 0)
        return IQT_OK; /* another comment */
    text = end + 2 + strspn(end + 2, " \t{");
    text = skip_predicate(text);
    end = strchr(text, ';');
    if (end == NULL)
        end = strchr(text, '}');
    if (end == NULL)
        return iqt_fail(IQT_ERR_FORMAT,
                        "listing, line %zu: the instruction '%.60s' does not end",
                        b->line, text);
    while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = '\0';
    return iqt_build_add(b, address, text, branch_goal(text));
}

enum iqt_status iqt_line_sass(struct iqt_build *b, char *line)
{
    char *at = line + strspn(line, " \t");

    if (strncmp(at, section, sizeof section - 1) == 0) {
        char *name = at + sizeof section - 1;

        name[strcspn(name, ",")] = '\0';
        return iqt_build_function(b, name);
    }
    if (!b->inside)
        return IQT_OK;
    if (strncmp(at, "/*", 2) == 0)
        return instruction(b, at);
    if (line[0] == '.' && at[strlen(at) - 1] == ':') {
        at[strlen(at) - 1] = '\0';
        return iqt_build_label(b, at);
    }
    return IQT_OK;
}
