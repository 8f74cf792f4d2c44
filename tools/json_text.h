/* JSON strings written as a stream: texts out of files may be as long as the file, so nothing
 * is built in memory first. */
#ifndef IQT_TOOLS_JSON_TEXT_H
#define IQT_TOOLS_JSON_TEXT_H

#include "base/base.h"

#include <stdio.h>

static inline void json_text(FILE *out, const char *text, size_t bytes)
{
    char one[IQT_ESCAPE_BYTES];

    fputc('"', out);
    for (size_t i = 0; i < bytes;) {
        i += iqt_json_one(one, text + i, bytes - i);
        fputs(one, out);
    }
    fputc('"', out);
}

#endif
