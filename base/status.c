/* Names of statuses, the version, and the sentence about a thread's last failure.
 * Knows nothing of what fails. */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES = 2048 };

static _Thread_local char last_error[TEXT_BYTES];

static const struct {
    enum iqt_status status;
    const char *name;
} names[] = {
    { IQT_OK, "IQT_OK" },
    { IQT_ERR_ARG, "IQT_ERR_ARG" },
    { IQT_ERR_SHAPE, "IQT_ERR_SHAPE" },
    { IQT_ERR_UNSUPPORTED, "IQT_ERR_UNSUPPORTED" },
    { IQT_ERR_UNKNOWN, "IQT_ERR_UNKNOWN" },
    { IQT_ERR_NO_DRIVER, "IQT_ERR_NO_DRIVER" },
    { IQT_ERR_DEVICE, "IQT_ERR_DEVICE" },
    { IQT_ERR_COMPILE, "IQT_ERR_COMPILE" },
    { IQT_ERR_NO_MEMORY, "IQT_ERR_NO_MEMORY" },
    { IQT_ERR_IO, "IQT_ERR_IO" },
    { IQT_ERR_FORMAT, "IQT_ERR_FORMAT" },
    { IQT_ERR_DB, "IQT_ERR_DB" },
    { IQT_ERR_INTERRUPTED, "IQT_ERR_INTERRUPTED" },
    { IQT_ERR_INTERNAL, "IQT_ERR_INTERNAL" },
};

const char *iqt_status_name(enum iqt_status status)
{
    for (size_t i = 0; i < IQT_COUNT(names); i++) {
        if (names[i].status == status)
            return names[i].name;
    }
    return "unknown status";
}

static _Thread_local bool muted;

const char *iqt_last_error(void)
{
    return last_error;
}

const char *iqt_version(void)
{
    return IQT_VERSION;
}

/* Paths and compiler logs reach the sentence as they are; a terminal must not obey them. */
static void drop_controls(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        if (((unsigned char)*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7f)
            *c = '?';
    }
}

bool iqt_error_mute(bool on)
{
    const bool before = muted;

    muted = on;
    return before;
}

bool iqt_error_set(const char *fmt, ...)
{
    char text[TEXT_BYTES]; /* an argument may be the last error itself */
    va_list args;

    if (muted)
        return true;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    drop_controls(text);
    memcpy(last_error, text, strlen(text) + 1);
    return true;
}
