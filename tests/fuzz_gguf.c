/* libFuzzer target: opens the input as a GGUF file, touches everything in it, decodes the first
 * rows of its tensors, runs the doctor, writes it anew and compares. Seeds are in tests/fuzz/gguf. */
#include "io/gguf_file.h"
#include "tests/gguf_copy.h"
#include "tests/gguf_walk.h"

#include <stdio.h>
#include <unistd.h>

enum { COPY_BYTES = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void touch_defect(void *user, const struct iqt_gguf_defect *d)
{
    (void)user;
    walk_bytes(d->file, strlen(d->file));
    walk_bytes(d->tensor, strlen(d->tensor));
    walk_bytes(d->text, strlen(d->text));
}

/* What can be described and is small is written, as one file or a set, and must be the same. */
static void write_anew(const struct iqt_gguf *g, bool split)
{
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    char path[64], first[80];
    struct iqt_gguf_writer *w;
    struct iqt_gguf *copy;
    uint64_t files = 0, bytes = COPY_BYTES + 1;

    if (gguf_describe(g, &w) != IQT_OK)
        return;
    if (iqt_gguf_writer_plan(w, split, &files, &bytes) != IQT_OK)
        bytes = COPY_BYTES + 1;
    iqt_gguf_writer_destroy(w);
    if (bytes > COPY_BYTES || files > 9)
        return;
    snprintf(path, sizeof path, "%s/fuzz-gguf-%ld.gguf", folder, (long)getpid());
    snprintf(first, sizeof first, "%s/fuzz-gguf-%ld-00001-of-%05u.gguf", folder,
             (long)getpid(), (unsigned)files);
    if (gguf_copy(g, path, split, 1000) != IQT_OK ||
        iqt_gguf_open(files > 1 ? first : path, &copy) != IQT_OK)
        abort();
    if (gguf_keys_differ(g, copy) != SIZE_MAX || gguf_tensors_differ(g, copy) != SIZE_MAX)
        abort();
    for (size_t i = 0; i < copy->file_count; i++)
        unlink(copy->files[i].path);
    iqt_gguf_close(copy);
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
    write_anew(g, bytes % 2 != 0);
    iqt_gguf_close(g);
    return 0;
}
