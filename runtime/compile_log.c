/* What compilers say, as an error's text. */
#include "runtime/compile_kinds.h"

#include <ctype.h>

/* The first lines of a log, without the colour codes that some compilers write. */
enum iqt_status iqt_compile_fail(const char *compiler, const char *target,
                                 const char *log)
{
    enum { SHOWN = 600 };
    char shown[SHOWN];
    size_t at = 0;

    for (; *log != '\0' && at + 1 < sizeof shown; log++)
        if (*log == '\n' || *log == '\t' || (unsigned char)*log >= ' ')
            shown[at++] = *log;
    while (at > 0 && isspace((unsigned char)shown[at - 1]))
        at--;
    shown[at] = '\0';
    return iqt_fail(IQT_ERR_COMPILE, "%s for %s: %s", compiler, target,
                    at > 0 ? shown : "failed without a message");
}
