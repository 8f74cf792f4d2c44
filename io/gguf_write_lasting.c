/* Temporary files that a killed program leaves and a later one goes on with. What they hold is decided
 * elsewhere: by the description, and by a mark that the caller kept. */
#include "io/gguf_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes of the temporary file; UINT64_MAX: there is none. */
static uint64_t bytes_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size
                                                       : UINT64_MAX;
}

enum iqt_status iqt_gguf_writer_begin_lasting(struct iqt_gguf_writer *w, const char *path,
                                              uint64_t split_max_bytes)
{
    if (w != NULL)
        w->lasting = true;
    return iqt_gguf_writer_aim(w, path, split_max_bytes);
}

uint64_t iqt_gguf_partial_bytes(const char *path)
{
    struct iqt_buf temp = { 0 };
    struct stat st;
    uint64_t bytes = 0;

    iqt_buf_printf(&temp, "%s%s", path, IQT_GGUF_PARTIAL);
    if (!temp.failed && stat(temp.data, &st) == 0 && S_ISREG(st.st_mode))
        bytes = (uint64_t)st.st_blocks * 512;
    iqt_buf_free(&temp);
    return bytes;
}

/* ---- Going on ---- */

static enum iqt_status name_temp(struct iqt_gguf_part *part)
{
    struct iqt_buf temp = { 0 };

    iqt_buf_printf(&temp, "%s%s", part->path, IQT_GGUF_PARTIAL);
    IQT_TRY(iqt_buf_check(&temp));
    part->temp = temp.data;
    return IQT_OK;
}

static enum iqt_status check_size(const char *path, uint64_t wanted, bool exactly)
{
    const uint64_t bytes = bytes_of(path);

    if (bytes == UINT64_MAX)
        return iqt_fail(IQT_ERR_IO, "%s is gone, so there is nothing to go on with",
                        path);
    if (bytes < wanted || (exactly && bytes != wanted))
        return iqt_fail(IQT_ERR_FORMAT,
                        "%s has %llu bytes, %llu were written: it was changed", path,
                        (unsigned long long)bytes, (unsigned long long)wanted);
    return IQT_OK;
}

/* The file begins as this writer would begin it. */
static enum iqt_status check_head(const struct iqt_gguf_writer *w, size_t no)
{
    const struct iqt_gguf_part *part = &w->part[no];
    struct iqt_buf head = { 0 };
    struct iqt_map map = { 0 };
    enum iqt_status status = iqt_gguf_writer_head(w, part, no, w->parts, &head);

    if (status == IQT_OK)
        status = iqt_map_open(part->temp != NULL ? part->temp : part->path, &map);
    if (status == IQT_OK &&
        (map.bytes < head.bytes || memcmp(map.data, head.data, head.bytes) != 0))
        status = iqt_fail(IQT_ERR_FORMAT,
                          "%s does not begin as the file to write: it is another",
                          part->temp != NULL ? part->temp : part->path);
    iqt_map_close(&map);
    iqt_buf_free(&head);
    return status;
}

/* A whole file; of a complete set also one that was renamed before the program was killed. */
static enum iqt_status find_whole(struct iqt_gguf_writer *w, size_t no, bool complete)
{
    struct iqt_gguf_part *part = &w->part[no];

    IQT_TRY(name_temp(part));
    if (complete && bytes_of(part->temp) == UINT64_MAX) {
        free(part->temp);
        part->temp = NULL;
    }
    IQT_TRY(check_size(part->temp != NULL ? part->temp : part->path, part->bytes, true));
    return check_head(w, no);
}

static enum iqt_status find_open(struct iqt_gguf_writer *w,
                                 const struct iqt_gguf_mark *mark)
{
    struct iqt_gguf_part *part = &w->part[w->part_now];
    uint64_t at = part->bytes;

    if (mark->tensor < part->tensor0 + part->tensors)
        at = part->data_start + w->entry[mark->tensor].offset + mark->bytes;
    IQT_TRY(name_temp(part));
    IQT_TRY(check_size(part->temp, at, false));
    IQT_TRY(check_head(w, w->part_now));
    w->fd = open(part->temp, O_RDWR | O_CLOEXEC);
    if (w->fd < 0)
        return iqt_fail_errno("open", part->temp);
    if (ftruncate(w->fd, (off_t)at) != 0 || lseek(w->fd, (off_t)at, SEEK_SET) < 0)
        return iqt_fail_errno("go on with", part->temp);
    return IQT_OK;
}

static enum iqt_status find_all(struct iqt_gguf_writer *w,
                                const struct iqt_gguf_mark *mark)
{
    const bool complete = mark->tensor == w->entries;

    if (mark->tensor > w->entries ||
        mark->bytes > (complete ? 0 : w->entry[mark->tensor].bytes))
        return iqt_fail(IQT_ERR_ARG, "tensor number %zu does not have %llu bytes",
                        mark->tensor, (unsigned long long)mark->bytes);
    /* A file is opened by its first byte: at its start the one before is still open. */
    while (w->part_now + 1 < w->parts) {
        const size_t next = w->part[w->part_now + 1].tensor0;

        if (mark->tensor < next || (mark->tensor == next && mark->bytes == 0))
            break;
        IQT_TRY(find_whole(w, w->part_now, complete));
        w->part_now++;
    }
    w->entry_now = mark->tensor;
    w->entry_done = mark->bytes;
    return complete ? find_whole(w, w->part_now, true) : find_open(w, mark);
}

enum iqt_status iqt_gguf_writer_continue(struct iqt_gguf_writer *w,
                                         const struct iqt_gguf_mark *mark)
{
    const enum iqt_status status = find_all(w, mark);

    if (status != IQT_OK) {
        iqt_gguf_writer_keep(w);
        w->failed = status;
    }
    return status;
}

/* ---- Stopping ---- */

enum iqt_status iqt_gguf_writer_sync(struct iqt_gguf_writer *w,
                                     struct iqt_gguf_mark *mark)
{
    const char *path = w->part[w->part_now].path;

    if (w->fd >= 0 && fsync(w->fd) != 0)
        return iqt_fail_errno("sync", w->part[w->part_now].temp);
    IQT_TRY(iqt_folder_sync(path));
    *mark = (struct iqt_gguf_mark){ w->entry_now, w->entry_done };
    return IQT_OK;
}

void iqt_gguf_writer_keep(struct iqt_gguf_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    for (size_t i = 0; i < w->parts; i++) {
        free(w->part[i].temp);
        w->part[i].temp = NULL;
    }
    w->failed = IQT_ERR_INTERRUPTED;
}
