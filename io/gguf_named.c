/* See gguf_named.h. */
#include "io/gguf_named.h"

#include <string.h>

enum iqt_status iqt_named_fail(const char *path, const struct iqt_gguf_tensor *t,
                               const char *why)
{
    enum { SHOWN = 96 };
    char shown[SHOWN];

    iqt_escape(shown, sizeof shown, t->name, t->name_bytes);
    return iqt_fail(IQT_ERR_FORMAT, "%s: tensor %s: %s", path, shown, why);
}

enum iqt_status iqt_named_check(const char *path, const struct iqt_gguf_tensor *t)
{
    enum { TYPE_F32 = 0 };

    if (t->type != TYPE_F32)
        return iqt_named_fail(path, t, "expected type f32");
    return t->data == NULL ? iqt_named_fail(path, t, "its data are not all there")
                           : IQT_OK;
}

size_t iqt_named_stem(const struct iqt_gguf_tensor *t, const char *suffix)
{
    const size_t bytes = strlen(suffix);

    return t->name_bytes > bytes &&
                   memcmp(t->name + t->name_bytes - bytes, suffix, bytes) == 0
               ? t->name_bytes - bytes
               : 0;
}

uint32_t iqt_named_number(const struct iqt_gguf *g, const char *name)
{
    struct iqt_gguf_key key;
    uint64_t value;

    return iqt_gguf_key_find(g, name, &key) && iqt_gguf_key_unsigned(&key, &value) &&
                   value <= UINT32_MAX
               ? (uint32_t)value
               : 0;
}

enum iqt_status iqt_named_add(struct iqt_gguf_writer *w, const char *name,
                              const char *suffix, struct iqt_gguf_tensor t)
{
    struct iqt_buf full = { 0 };
    enum iqt_status status;

    iqt_buf_printf(&full, "%s%s", name, suffix);
    t.name = iqt_buf_text(&full);
    t.name_bytes = full.bytes;
    status = iqt_buf_check(&full);
    if (status == IQT_OK)
        status = iqt_gguf_writer_add_tensor(w, &t);
    iqt_buf_free(&full);
    return status;
}
