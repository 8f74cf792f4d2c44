/* Characters as pre-tokenizers see them. */
#ifndef IQT_EVAL_UNICODE_H
#define IQT_EVAL_UNICODE_H

#include "base/base.h"

enum iqt_char_kind { IQT_CHAR_OTHER, IQT_CHAR_LETTER, IQT_CHAR_NUMBER, IQT_CHAR_SPACE };
enum iqt_char_kind iqt_char_kind(uint32_t c);

/* The character at text[0 .. bytes), bytes > 0; returns its bytes. What is not UTF-8 is U+FFFD of one byte. */
size_t iqt_utf8_read(const char *text, size_t bytes, uint32_t *c);
/* c < 0x10000; returns the bytes. */
size_t iqt_utf8_write(uint32_t c, char out[4]);

#endif
