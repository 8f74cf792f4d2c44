/* The driver's pipeline cache on disk. Vulkan asks applications to check the header themselves;
 * a checksum in front guards the rest, which drivers parse with trust. */
#include "runtime/vulkan_hw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char file_magic[8] = { 'I', 'Q', 'T', 'V', 'K', 'P', '1', '\n' };

enum { PATH_BYTES = 4096 };

struct file_head {
    char magic[8];
    uint64_t bytes, hash; /* of the blob that follows */
};

bool iqt_vk_cache_path(const struct iqt_hw *hw, char *out, size_t bytes)
{
    const int n = snprintf(out, bytes, "%s/vulkan-%s-%08x.bin", hw->cache_dir,
                           hw->gpu.info.id, hw->gpu.props.driverVersion);

    return *hw->cache_dir != '\0' && n > 0 && (size_t)n < bytes;
}

/* The blob belongs to this very driver and device. */
static bool blob_fits(const struct iqt_hw *hw, const char *blob, size_t bytes)
{
    const VkPhysicalDeviceProperties *p = &hw->gpu.props;
    VkPipelineCacheHeaderVersionOne h;

    if (bytes < sizeof(h))
        return false;
    memcpy(&h, blob, sizeof(h));
    return h.headerSize == sizeof(h) &&
           h.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
           h.vendorID == p->vendorID && h.deviceID == p->deviceID &&
           memcmp(h.pipelineCacheUUID, p->pipelineCacheUUID, VK_UUID_SIZE) == 0;
}

/* Offset of the blob in a file's bytes, 0 when the file is damaged or foreign. */
static size_t find_blob(const struct iqt_hw *hw, const char *data, size_t bytes)
{
    struct file_head h;

    if (bytes < sizeof(h))
        return 0;
    memcpy(&h, data, sizeof(h));
    if (memcmp(h.magic, file_magic, sizeof(file_magic)) != 0 ||
        h.bytes != bytes - sizeof(h) ||
        iqt_hash(data + sizeof(h), h.bytes, 0) != h.hash ||
        !blob_fits(hw, data + sizeof(h), h.bytes))
        return 0;
    return sizeof(h);
}

static enum iqt_status create_cache(struct iqt_hw *hw, const void *blob, size_t bytes)
{
    const VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = bytes,
        .pInitialData = blob,
    };

    IQT_VK_TRY(&hw->fn, CreatePipelineCache, hw->device, &info, NULL, &hw->cache);
    return IQT_OK;
}

enum iqt_status iqt_vk_cache_load(struct iqt_hw *hw)
{
    char path[PATH_BYTES];
    char *data = NULL;
    size_t bytes = 0, at = 0;
    enum iqt_status status;

    if (iqt_vk_cache_path(hw, path, sizeof(path)) &&
        iqt_file_read(path, &data, &bytes) == IQT_OK)
        at = find_blob(hw, data, bytes);
    if (at == 0) {
        status = create_cache(hw, NULL, 0);
    } else {
        hw->cache_hash = iqt_hash(data + at, bytes - at, 0);
        status = create_cache(hw, data + at, bytes - at);
    }
    free(data);
    return status;
}

static void write_blob(struct iqt_hw *hw, const char *path, const void *blob,
                       size_t bytes)
{
    struct file_head h = { .bytes = bytes, .hash = iqt_hash(blob, bytes, 0) };
    struct iqt_buf file = { 0 };

    if (h.hash == hw->cache_hash)
        return;
    memcpy(h.magic, file_magic, sizeof(file_magic));
    iqt_buf_append(&file, &h, sizeof(h));
    iqt_buf_append(&file, blob, bytes);
    /* A cache that cannot be written costs time at the next start, nothing else. */
    if (iqt_buf_check(&file) == IQT_OK && iqt_dir_make(hw->cache_dir) == IQT_OK &&
        iqt_file_replace(path, file.data, file.bytes) == IQT_OK)
        hw->cache_hash = h.hash;
    iqt_buf_free(&file);
}

void iqt_vk_cache_save(struct iqt_hw *hw)
{
    char path[PATH_BYTES];
    size_t bytes = 0;
    void *blob;

    if (hw->cache == VK_NULL_HANDLE || !iqt_vk_cache_path(hw, path, sizeof(path)) ||
        hw->fn.GetPipelineCacheData(hw->device, hw->cache, &bytes, NULL) < 0 ||
        bytes == 0)
        return;
    blob = malloc(bytes);
    if (blob == NULL)
        return;
    if (hw->fn.GetPipelineCacheData(hw->device, hw->cache, &bytes, blob) == VK_SUCCESS)
        write_blob(hw, path, blob, bytes);
    free(blob);
}
