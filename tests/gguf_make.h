/* A tiny GGUF writer for tests: sound files, and broken ones on purpose. It remembers where
 * every length, count, type and offset lies, so that a test can set each to extremes. */
#ifndef IQT_TESTS_GGUF_MAKE_H
#define IQT_TESTS_GGUF_MAKE_H

#include "base/base.h"

#include <iqtile/gguf.h>

#include <string.h>

enum { MAKE_FIELDS = 256, MAKE_TENSORS = 256 };
#define MAKE_AUTO UINT64_MAX /* offset: after the tensor before, aligned */

struct make {
    struct iqt_buf b;
    struct {
        size_t at;
        uint32_t bytes;
    } field[MAKE_FIELDS];
    size_t fields;
    size_t data; /* start of the data section, once make_data() was called */
};

/* One tensor; bytes is what the writer leaves room for, which may be wrong on purpose. */
struct make_tensor {
    const char *name;
    uint32_t type, dims;
    uint64_t ne[4];
    uint64_t bytes, offset;
};

static inline void make_bytes(struct make *m, const void *data, size_t bytes)
{
    iqt_buf_append(&m->b, data, bytes);
}

static inline void make_number(struct make *m, uint64_t value, uint32_t bytes)
{
    uint8_t raw[8];

    for (uint32_t i = 0; i < bytes; i++)
        raw[i] = (uint8_t)(value >> 8 * i);
    make_bytes(m, raw, bytes);
}

static inline void make_field(struct make *m, uint64_t value, uint32_t bytes)
{
    if (m->fields < MAKE_FIELDS) {
        m->field[m->fields].at = m->b.bytes;
        m->field[m->fields++].bytes = bytes;
    }
    make_number(m, value, bytes);
}

static inline void make_text(struct make *m, const char *text)
{
    make_field(m, strlen(text), 8);
    make_bytes(m, text, strlen(text));
}

static inline void make_start(struct make *m, uint32_t version, uint64_t tensors,
                              uint64_t keys)
{
    make_bytes(m, "GGUF", 4);
    make_field(m, version, 4);
    make_field(m, tensors, 8);
    make_field(m, keys, 8);
}

static inline void make_key(struct make *m, const char *name, enum iqt_gguf_type type)
{
    make_text(m, name);
    make_field(m, type, 4);
}

static inline void make_key_number(struct make *m, const char *name,
                                   enum iqt_gguf_type type, uint64_t value)
{
    make_key(m, name, type);
    make_field(m, value, iqt_gguf_type_bytes(type));
}

static inline void make_key_text(struct make *m, const char *name, const char *text)
{
    make_key(m, name, IQT_GGUF_STRING);
    make_text(m, text);
}

static inline void make_array(struct make *m, enum iqt_gguf_type item, uint64_t count)
{
    make_field(m, item, 4);
    make_field(m, count, 8);
}

/* The tensor table; offsets that are MAKE_AUTO follow from bytes and alignment. */
static inline void make_tensors(struct make *m, const struct make_tensor *t, size_t count,
                                uint64_t alignment)
{
    uint64_t next = 0;

    for (size_t i = 0; i < count; i++) {
        const uint64_t offset = t[i].offset == MAKE_AUTO ? next : t[i].offset;

        make_text(m, t[i].name);
        make_field(m, t[i].dims, 4);
        for (uint32_t d = 0; d < t[i].dims; d++)
            make_field(m, t[i].ne[d], 8);
        make_field(m, t[i].type, 4);
        make_field(m, offset, 8);
        next = iqt_round_up(offset + t[i].bytes, alignment);
    }
}

/* Pads to the alignment, then bytes of data: zeros, finite in every format. */
static inline void make_data(struct make *m, uint64_t alignment, size_t bytes)
{
    static const char zeros[32];
    const size_t start = (size_t)iqt_round_up(m->b.bytes, alignment);

    while (m->b.bytes < start + bytes && !m->b.failed) {
        const size_t left = start + bytes - m->b.bytes;

        make_bytes(m, zeros, left < sizeof zeros ? left : sizeof zeros);
    }
    m->data = start;
}

static inline void make_free(struct make *m)
{
    iqt_buf_free(&m->b);
    *m = (struct make){ 0 };
}

#endif
