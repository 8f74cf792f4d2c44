/* libFuzzer target: opens the input as a GGUF file, touches everything in it, decodes the first
 * rows of its tensors, runs the doctor. Seeds are in tests/fuzz/gguf. */
#include "io/gguf_file.h"
#include "tests/gguf_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void touch_defect(void *user, const struct iqt_gguf_defect *d)
{
    (void)user;
    walk_bytes(d->file, strlen(d->file));
    walk_bytes(d->tensor, strlen(d->tensor));
    walk_bytes(d->text, strlen(d->text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct iqt_gguf_tensor t;
    struct iqt_gguf *g;

    if (iqt_gguf_open_memory(data, bytes, &g) != IQT_OK)
        return 0;
    gguf_walk(g);
    iqt_gguf_doctor(g, touch_defect, NULL);
    if (iqt_gguf_tensor_find(g, "blk.0.attn_q.weight", &t) == IQT_OK)
        walk_bytes(t.name, t.name_bytes);
    iqt_gguf_close(g);
    return 0;
}
