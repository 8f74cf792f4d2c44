/* llvm-objdump -d of a code object:
 *     0000000000001900 <NAME>:
 *             s_cbranch_execz 1070      // 000000001958: BFA5042E <NAME+0x1114>
 * ACO, RADV's compiler:
 *     BB2:
 *             s_cbranch_scc0 BB20                              ; bf840740 */
#include "stats/listing_build.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool is_branch(const char *text)
{
    return strncmp(text, "s_cbranch", 9) == 0 || strncmp(text, "s_branch", 8) == 0;
}

/* Cuts blanks off the end. */
static void trim(char *text)
{
    size_t length = strlen(text);

    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
}

/* "+0x1114" of "<NAME+0x1114>"; the function's own beginning has no distance. */
static const char *distance(char *comment)
{
    char *open = strchr(comment, '<'), *plus = open != NULL ? strrchr(open, '+') : NULL;

    if (open == NULL)
        return NULL;
    return plus != NULL ? plus : "+0x0";
}

static enum iqt_status function_line(struct iqt_build *b, char *line)
{
    char *end, *close;
    const uint64_t address = strtoull(line, &end, 16);

    close = strstr(end, ">:");
    if (end == line || strncmp(end, " <", 2) != 0 || close == NULL)
        return IQT_OK;
    *close = '\0';
    IQT_TRY(iqt_build_function(b, end + 2));
    if (b->list.count == 0)
        b->base = address;
    return IQT_OK;
}

enum iqt_status iqt_line_objdump(struct iqt_build *b, char *line)
{
    char *text = line + strspn(line, " \t"), *comment;
    uint64_t address;

    if (isxdigit((unsigned char)line[0]))
        return function_line(b, line);
    comment = strstr(text, "//");
    if (!b->inside || text == line || comment == NULL)
        return IQT_OK;
    address = strtoull(comment + 2, NULL, 16);
    *comment = '\0';
    trim(text);
    /* Padding behind the last instruction; s_code_end is the same in newer architectures. */
    if (*text == '\0' || strncmp(text, "s_code_end", 10) == 0)
        return IQT_OK;
    return iqt_build_add(b, address, text,
                         is_branch(text) ? distance(comment + 2) : NULL);
}

enum iqt_status iqt_line_aco(struct iqt_build *b, char *line)
{
    char *text = line + strspn(line, " \t"), *comment;

    if (!b->inside)
        IQT_TRY(iqt_build_function(b, b->wanted != NULL ? b->wanted : "main"));
    if (strncmp(line, "BB", 2) == 0 && line[strlen(line) - 1] == ':') {
        line[strlen(line) - 1] = '\0';
        return iqt_build_label(b, line);
    }
    comment = strchr(text, ';');
    if (text == line || comment == NULL)
        return IQT_OK;
    *comment = '\0';
    trim(text);
    if (*text == '\0')
        return IQT_OK;
    comment = text + strcspn(text, " \t");
    return iqt_build_add(b, b->list.count + 1, text,
                         is_branch(text) ? comment + strspn(comment, " \t") : NULL);
}
