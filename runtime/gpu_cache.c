/* Compiled kernels on disk, one file a text, target and driver. */
#include "runtime/gpu_hw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = { 'I', 'Q', 'T', 'G', 'P', 'U', '1', '\n' };

enum { PATH_BYTES = 4096 };

/* In front of the image; native byte order, the cache never leaves the machine. */
struct head {
    char magic[8];
    uint64_t key, bytes, image_hash;
};

/* Which compiler made an image does not matter to who runs it; the text, the architecture and the
 * driver that will load it do. */
static uint64_t key_of(const struct iqt_hw *hw, uint64_t text_hash)
{
    uint64_t key = iqt_hash(hw->target.name, strlen(hw->target.name), text_hash);

    return iqt_hash(hw->info.driver, strlen(hw->info.driver), key);
}

bool iqt_gpu_cache_path(const struct iqt_hw *hw, uint64_t text_hash, char *out,
                        size_t bytes)
{
    const int n =
        snprintf(out, bytes, "%s/%s/%016llx.bin", hw->cache_dir, hw->api->driver->name,
                 (unsigned long long)key_of(hw, text_hash));

    return *hw->cache_dir != '\0' && n > 0 && (size_t)n < bytes;
}

static bool valid(const struct iqt_hw *hw, uint64_t text_hash, const char *data,
                  size_t bytes)
{
    struct head h;

    if (bytes < sizeof h)
        return false;
    memcpy(&h, data, sizeof h);
    return memcmp(h.magic, magic, sizeof magic) == 0 && h.key == key_of(hw, text_hash) &&
           h.bytes == bytes - sizeof h && h.bytes != 0 &&
           h.image_hash == iqt_hash(data + sizeof h, bytes - sizeof h, h.key);
}

bool iqt_gpu_cache_read(const struct iqt_hw *hw, uint64_t text_hash, struct iqt_buf *out)
{
    char path[PATH_BYTES];
    size_t bytes;
    char *data;
    bool ok;

    if (!iqt_gpu_cache_path(hw, text_hash, path, sizeof path) ||
        iqt_file_read(path, &data, &bytes) != IQT_OK)
        return false;
    ok = valid(hw, text_hash, data, bytes);
    if (ok)
        iqt_buf_append(out, data + sizeof(struct head), bytes - sizeof(struct head));
    free(data);
    return ok && iqt_buf_check(out) == IQT_OK;
}

/* A cache that cannot be written makes the next start slower, nothing else. */
void iqt_gpu_cache_write(const struct iqt_hw *hw, uint64_t text_hash, const void *image,
                         size_t bytes)
{
    struct head h = { .key = key_of(hw, text_hash), .bytes = bytes };
    struct iqt_buf file = { 0 };
    char path[PATH_BYTES], *slash;
    enum iqt_status status;

    if (!iqt_gpu_cache_path(hw, text_hash, path, sizeof path))
        return;
    memcpy(h.magic, magic, sizeof magic);
    h.image_hash = iqt_hash(image, bytes, h.key);
    iqt_buf_append(&file, &h, sizeof h);
    iqt_buf_append(&file, image, bytes);
    slash = strrchr(path, '/');
    *slash = '\0';
    status = iqt_dir_make(path);
    *slash = '/';
    if (status == IQT_OK && iqt_buf_check(&file) == IQT_OK)
        (void)!iqt_file_replace(path, file.data, file.bytes);
    iqt_buf_free(&file);
}
