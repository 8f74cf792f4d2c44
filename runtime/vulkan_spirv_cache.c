/* Compiled SPIR-V on disk, one file a kernel text. A file that is not exactly what this library
 * wrote is no file: drivers crash on damaged SPIR-V. */
#include "runtime/vulkan_spirv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char file_magic[8] = { 'I', 'Q', 'T', 'S', 'P', 'V', '1', '\n' };

enum { SPIRV_MAGIC = 0x07230203, PATH_BYTES = 4096 };

/* In front of the words; native byte order, the cache never leaves the machine. */
struct file_head {
    char magic[8];
    uint64_t text_hash, compiler, words, payload_hash;
};

bool iqt_spirv_cache_path(const char *cache_dir, uint64_t text_hash, char *out,
                          size_t bytes)
{
    const int n = snprintf(out, bytes, "%s/spirv/%016llx.spv", cache_dir,
                           (unsigned long long)text_hash);

    return *cache_dir != '\0' && n > 0 && (size_t)n < bytes;
}

static bool head_fits(const struct file_head *h, uint64_t text_hash, uint64_t compiler,
                      size_t bytes)
{
    uint64_t payload;

    return memcmp(h->magic, file_magic, sizeof(file_magic)) == 0 &&
           h->text_hash == text_hash && (compiler == 0 || h->compiler == compiler) &&
           iqt_mul(h->words, sizeof(uint32_t), &payload) && payload != 0 &&
           payload == bytes - sizeof(*h);
}

/* Words of a file's bytes; the caller still owns data. */
static bool take_words(const char *data, size_t bytes, uint64_t text_hash,
                       uint64_t compiler, struct iqt_spirv *out)
{
    struct file_head h;
    uint32_t *word;

    if (bytes < sizeof(h))
        return false;
    memcpy(&h, data, sizeof(h));
    if (!head_fits(&h, text_hash, compiler, bytes) ||
        iqt_hash(data + sizeof(h), bytes - sizeof(h), text_hash) != h.payload_hash)
        return false;
    word = malloc(bytes - sizeof(h));
    if (word == NULL)
        return false;
    memcpy(word, data + sizeof(h), bytes - sizeof(h));
    if (word[0] != SPIRV_MAGIC) {
        free(word);
        return false;
    }
    *out = (struct iqt_spirv){ word, h.words };
    return true;
}

bool iqt_spirv_cache_read(const char *cache_dir, uint64_t text_hash, uint64_t compiler,
                          struct iqt_spirv *out)
{
    char path[PATH_BYTES];
    size_t bytes;
    char *data;
    bool ok;

    if (!iqt_spirv_cache_path(cache_dir, text_hash, path, sizeof(path)) ||
        iqt_file_read(path, &data, &bytes) != IQT_OK)
        return false;
    ok = take_words(data, bytes, text_hash, compiler, out);
    free(data);
    return ok;
}

enum iqt_status iqt_spirv_cache_write(const char *cache_dir, uint64_t text_hash,
                                      uint64_t compiler, const struct iqt_spirv *s)
{
    const size_t payload = s->words * sizeof(*s->word);
    struct file_head h = {
        .text_hash = text_hash,
        .compiler = compiler,
        .words = s->words,
        .payload_hash = iqt_hash(s->word, payload, text_hash),
    };
    char path[PATH_BYTES];
    struct iqt_buf file = { 0 };
    enum iqt_status status;

    if (!iqt_spirv_cache_path(cache_dir, text_hash, path, sizeof(path)))
        return iqt_fail(IQT_ERR_IO, "the cache folder's name is too long: %s", cache_dir);
    memcpy(h.magic, file_magic, sizeof(file_magic));
    iqt_buf_append(&file, &h, sizeof(h));
    iqt_buf_append(&file, s->word, payload);
    status = iqt_buf_check(&file);
    if (status == IQT_OK) {
        *strrchr(path, '/') = '\0';
        status = iqt_dir_make(path);
        path[strlen(path)] = '/';
    }
    if (status == IQT_OK)
        status = iqt_file_replace(path, file.data, file.bytes);
    iqt_buf_free(&file);
    return status;
}
