/* Text buffer with a sticky error, and text from files made safe to show.
 * Knows nothing of what the text means. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

/* Room for bytes more and a NUL. */
static bool reserve(struct iqt_buf *b, size_t bytes)
{
    uint64_t need;
    size_t capacity = b->capacity > 0 ? b->capacity : FIRST_CAPACITY;
    char *data;

    if (b->failed)
        return false;
    if (!iqt_add(b->bytes, bytes, &need) || need >= SIZE_MAX / 2)
        goto no_memory;
    if (need < b->capacity)
        return true;
    while (capacity <= need)
        capacity *= 2;
    data = realloc(b->data, capacity);
    if (data == NULL)
        goto no_memory;
    b->data = data;
    b->capacity = capacity;
    return true;

no_memory:
    b->failed = true;
    return false;
}

void iqt_buf_append(struct iqt_buf *b, const void *data, size_t bytes)
{
    if (bytes == 0 || !reserve(b, bytes))
        return;
    memcpy(b->data + b->bytes, data, bytes);
    b->bytes += bytes;
    b->data[b->bytes] = '\0';
}

void iqt_buf_vprintf(struct iqt_buf *b, const char *fmt, va_list args)
{
    va_list again;
    int length;

    va_copy(again, args);
    length = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (length < 0) {
        b->failed = true;
        return;
    }
    if (!reserve(b, (size_t)length))
        return;
    vsnprintf(b->data + b->bytes, (size_t)length + 1, fmt, args);
    b->bytes += (size_t)length;
}

void iqt_buf_printf(struct iqt_buf *b, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    iqt_buf_vprintf(b, fmt, args);
    va_end(args);
}

enum iqt_status iqt_buf_check(const struct iqt_buf *b)
{
    if (b->failed)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a text of more than %zu bytes",
                        b->bytes);
    return IQT_OK;
}

const char *iqt_buf_text(const struct iqt_buf *b)
{
    return b->bytes > 0 ? b->data : "";
}

void iqt_buf_free(struct iqt_buf *b)
{
    free(b->data);
    *b = (struct iqt_buf){ 0 };
}

/* ---- Text from files ---- */

/* Bytes of the UTF-8 character at text, 0 when there is none; *code is its number. Overlong
 * forms, surrogates and numbers past U+10FFFF are not characters. */
static size_t utf8_read(const uint8_t *text, size_t bytes, uint32_t *code)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const uint8_t first = text[0];
    const size_t length = first < 0x80   ? 1
                          : first < 0xc0 ? 0
                          : first < 0xe0 ? 2
                          : first < 0xf0 ? 3
                          : first < 0xf8 ? 4
                                         : 0;
    uint32_t value = length == 1 ? first : first & (0x7fu >> length);

    if (length == 0 || length > bytes)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (text[i] & 0x3f);
    }
    if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return 0;
    *code = value;
    return length;
}

/* Controls, and the marks that reorder the text around them on a terminal. */
static bool is_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/* Most text; the rest may take its time. */
static bool is_plain(char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static size_t copy_one(char *out, char c)
{
    out[0] = c;
    out[1] = '\0';
    return 1;
}

size_t iqt_escape_one(char out[IQT_ESCAPE_BYTES], const char *text, size_t bytes)
{
    uint32_t code;
    size_t length;

    if (is_plain(text[0]))
        return copy_one(out, text[0]);
    length = utf8_read((const uint8_t *)text, bytes, &code);
    if (length == 0) {
        snprintf(out, IQT_ESCAPE_BYTES, "\\x%02x", (unsigned char)text[0]);
        return 1;
    }
    if (code == '\n' || code == '\t' || code == '\r')
        snprintf(out, IQT_ESCAPE_BYTES, "\\%c",
                 code == '\n'   ? 'n'
                 : code == '\t' ? 't'
                                : 'r');
    else if (is_unsafe(code))
        snprintf(out, IQT_ESCAPE_BYTES, code < 0x80 ? "\\x%02x" : "\\u%04x", code);
    else
        snprintf(out, IQT_ESCAPE_BYTES, "%.*s", (int)length, text);
    return length;
}

size_t iqt_json_one(char out[IQT_ESCAPE_BYTES], const char *text, size_t bytes)
{
    uint32_t code;
    size_t length;

    if (is_plain(text[0]))
        return copy_one(out, text[0]);
    length = utf8_read((const uint8_t *)text, bytes, &code);
    if (length == 0) {
        snprintf(out, IQT_ESCAPE_BYTES, "\\ufffd");
        return 1;
    }
    if (code == '"' || code == '\\')
        snprintf(out, IQT_ESCAPE_BYTES, "\\%c", (char)code);
    else if (is_unsafe(code))
        snprintf(out, IQT_ESCAPE_BYTES, "\\u%04x", code);
    else
        snprintf(out, IQT_ESCAPE_BYTES, "%.*s", (int)length, text);
    return length;
}

void iqt_escape(char *out, size_t capacity, const char *text, size_t bytes)
{
    static const char more[] = "...";
    char one[IQT_ESCAPE_BYTES];
    size_t used = 0, fits = 0; /* fits: the longest part that leaves room for more */

    for (size_t i = 0; i < bytes;) {
        i += iqt_escape_one(one, text + i, bytes - i);
        if (used + strlen(one) >= capacity) {
            memcpy(out + fits, more, sizeof more);
            return;
        }
        memcpy(out + used, one, strlen(one));
        used += strlen(one);
        if (used + sizeof more <= capacity)
            fits = used;
    }
    out[used] = '\0';
}
