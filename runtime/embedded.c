/* Unpacks embedded kernels: zlib takes them to a fifth. Knows no driver. */
#include "runtime/embedded.h"

#include <stdlib.h>
#include <zlib.h>

enum iqt_status iqt_embedded_unpack(const struct iqt_embedded_image *e,
                                    struct iqt_buf *out)
{
    uLongf bytes = (uLongf)e->bytes;
    Bytef *text = malloc(e->bytes);
    int error;

    if (text == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu bytes of %s", e->bytes,
                        e->plan);
    error = uncompress(text, &bytes, e->packed, (uLong)e->packed_bytes);
    if (error == Z_OK && bytes == e->bytes)
        iqt_buf_append(out, text, bytes);
    free(text);
    if (error != Z_OK || bytes != e->bytes)
        return iqt_fail(error == Z_MEM_ERROR ? IQT_ERR_NO_MEMORY : IQT_ERR_FORMAT,
                        "embedded %s: zlib error %d", e->plan, error);
    return iqt_buf_check(out);
}
