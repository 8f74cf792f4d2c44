/* JSON strings written as a stream: texts out of files may be as long as the file, so nothing
 * is built in memory first. */
#ifndef IQT_TOOLS_JSON_TEXT_H
#define IQT_TOOLS_JSON_TEXT_H

#include "base/base.h"

#include <stdio.h>
#include <string.h>

static inline void json_text(FILE *out, const char *text, size_t bytes)
{
    char chunk[512];
    size_t used = 0;

    fputc('"', out);
    for (size_t i = 0; i < bytes;) {
        i += iqt_json_one(chunk + used, text + i, bytes - i);
        used += strlen(chunk + used);
        if (used + IQT_ESCAPE_BYTES > sizeof chunk || i == bytes) {
            fwrite(chunk, 1, used, out);
            used = 0;
        }
    }
    fputc('"', out);
}

#endif
