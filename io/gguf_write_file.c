/* Puts a described GGUF file, or a set of them, on the disk: temporary files beside the names, free
 * space first, everything synced, all names at the end. Knows nothing of keys and tensors but their
 * sizes. */
#include "io/gguf_write.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Names ---- */

/* NAME-00001-of-00003.gguf for NAME.gguf, as llama.cpp does; the name itself when it is alone. */
static char *part_name(const char *path, size_t no, size_t count)
{
    const size_t length = strlen(path);
    const size_t stem =
        length > 5 && strcmp(path + length - 5, ".gguf") == 0 ? length - 5 : length;
    struct iqt_buf name = { 0 };

    if (count == 1)
        return strdup(path);
    iqt_buf_printf(&name, "%.*s-%05zu-of-%05zu.gguf", (int)stem, path, no + 1, count);
    return name.failed ? NULL : name.data;
}

/* What a file can replace: nothing or a regular file, through a link. */
static enum iqt_status resolve(char **path)
{
    struct stat st;
    char *real;

    if (stat(*path, &st) != 0)
        return IQT_OK;
    if (!S_ISREG(st.st_mode))
        return iqt_fail(IQT_ERR_IO, "cannot write %s: it is %s", *path,
                        S_ISDIR(st.st_mode) ? "a folder" : "no regular file");
    real = realpath(*path, NULL);
    if (real == NULL)
        return iqt_fail_errno("resolve", *path);
    free(*path);
    *path = real;
    return IQT_OK;
}

static enum iqt_status name_parts(struct iqt_gguf_writer *w, const char *path)
{
    for (size_t i = 0; i < w->parts; i++) {
        w->part[i].path = part_name(path, i, w->parts);
        if (w->part[i].path == NULL)
            return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the name of %s", path);
        IQT_TRY(resolve(&w->part[i].path));
    }
    return IQT_OK;
}

/* ---- Room ---- */

static enum iqt_status check_room(const struct iqt_gguf_writer *w)
{
    uint64_t needed = 0;

    for (size_t i = 0; i < w->parts; i++) {
        const uint64_t all = w->part[i].bytes,
                       there = w->lasting ? iqt_gguf_partial_bytes(w->part[i].path) : 0;

        if (!iqt_add(needed, all > there ? all - there : 0, &needed))
            needed = UINT64_MAX;
    }
    return iqt_room_check(w->part[0].path, needed);
}

/* ---- Files ---- */

/* Temporary files of a writer that may be killed and go on have names that can be found again. */
static int open_temp(const struct iqt_gguf_writer *w, char *temp)
{
    return w->lasting ? open(temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
                      : mkstemp(temp);
}

static enum iqt_status create_temp(struct iqt_gguf_writer *w, struct iqt_gguf_part *part)
{
    const mode_t mask = umask(0);
    struct iqt_buf temp = { 0 };
    struct stat old;
    mode_t mode = 0666 & ~mask;

    umask(mask);
    iqt_buf_printf(&temp, "%s%s", part->path,
                   w->lasting ? IQT_GGUF_PARTIAL : ".tmp-XXXXXX");
    IQT_TRY(iqt_buf_check(&temp));
    w->fd = open_temp(w, temp.data);
    if (w->fd < 0) {
        const enum iqt_status status =
            iqt_fail_errno("create a temporary file beside", part->path);

        iqt_buf_free(&temp);
        return status;
    }
    part->temp = temp.data;
    if (stat(part->path, &old) == 0)
        mode = old.st_mode & 07777;
    return fchmod(w->fd, mode) == 0 ? IQT_OK
                                    : iqt_fail_errno("set the mode of", part->temp);
}

static enum iqt_status write_all(struct iqt_gguf_writer *w, const void *data,
                                 size_t bytes)
{
    return iqt_write_all(w->fd, w->part[w->part_now].temp, data, bytes);
}

static enum iqt_status write_zeros(struct iqt_gguf_writer *w, uint64_t bytes)
{
    static const char zeros[4096];

    while (bytes > 0) {
        const size_t some = bytes < sizeof zeros ? (size_t)bytes : sizeof zeros;

        IQT_TRY(write_all(w, zeros, some));
        bytes -= some;
    }
    return IQT_OK;
}

static enum iqt_status open_part(struct iqt_gguf_writer *w)
{
    struct iqt_gguf_part *part = &w->part[w->part_now];
    struct iqt_buf head = { 0 };
    enum iqt_status status = create_temp(w, part);

    if (status == IQT_OK)
        status = iqt_gguf_writer_head(w, part, w->part_now, w->parts, &head);
    if (status == IQT_OK)
        status = write_all(w, head.data, head.bytes);
    if (status == IQT_OK) {
        assert(head.bytes <= part->data_start);
        status = write_zeros(w, part->data_start - head.bytes);
    }
    iqt_buf_free(&head);
    return status;
}

static enum iqt_status close_part(struct iqt_gguf_writer *w)
{
    const char *temp = w->part[w->part_now].temp;
    enum iqt_status status = IQT_OK;

    if (w->fd < 0) /* a complete set was found */
        return IQT_OK;
    if (fsync(w->fd) != 0) /* a full disk may show only here */
        status = iqt_fail_errno("sync", temp);
    if (close(w->fd) != 0 && status == IQT_OK)
        status = iqt_fail_errno("close", temp);
    w->fd = -1;
    return status;
}

static void remove_all(struct iqt_gguf_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    for (size_t i = 0; i < w->parts; i++) {
        if (w->part[i].temp != NULL)
            unlink(w->part[i].temp);
        free(w->part[i].temp);
        w->part[i].temp = NULL;
    }
}

static enum iqt_status give_up(struct iqt_gguf_writer *w, enum iqt_status status)
{
    if (status != IQT_OK) {
        remove_all(w);
        w->failed = status;
    }
    return status;
}

/* ---- The public calls ---- */

enum iqt_status iqt_gguf_writer_plan(struct iqt_gguf_writer *w, uint64_t split_max_bytes,
                                     uint64_t *files, uint64_t *bytes)
{
    struct iqt_gguf_part *part;
    uint64_t total = 0;
    size_t count;

    if (w == NULL || w->begun)
        return iqt_fail(IQT_ERR_ARG, "iqt_gguf_writer_plan: %s",
                        w == NULL ? "the writer is NULL" : "writing has begun");
    IQT_TRY(iqt_gguf_writer_cut(w, split_max_bytes, &part, &count));
    for (size_t i = 0; i < count; i++)
        if (!iqt_add(total, part[i].bytes, &total))
            total = UINT64_MAX;
    free(part);
    if (files != NULL)
        *files = count;
    if (bytes != NULL)
        *bytes = total;
    return IQT_OK;
}

enum iqt_status iqt_gguf_writer_aim(struct iqt_gguf_writer *w, const char *path,
                                    uint64_t split_max_bytes)
{
    if (w == NULL || path == NULL || w->begun)
        return iqt_fail(IQT_ERR_ARG, "iqt_gguf_writer_begin: %s",
                        w == NULL      ? "the writer is NULL"
                        : path == NULL ? "the path is NULL"
                                       : "writing has begun");
    IQT_TRY(iqt_gguf_writer_cut(w, split_max_bytes, &w->part, &w->parts));
    w->begun = true;
    IQT_TRY(give_up(w, name_parts(w, path)));
    return give_up(w, check_room(w));
}

enum iqt_status iqt_gguf_writer_begin(struct iqt_gguf_writer *w, const char *path,
                                      uint64_t split_max_bytes)
{
    IQT_TRY(iqt_gguf_writer_aim(w, path, split_max_bytes));
    return give_up(w, open_part(w));
}

/* Opens the file of the tensor that comes next. */
static enum iqt_status next_part(struct iqt_gguf_writer *w)
{
    const struct iqt_gguf_part *part = &w->part[w->part_now];

    if (w->fd < 0)
        return open_part(w);
    if (w->entry_now < part->tensor0 + part->tensors)
        return IQT_OK;
    IQT_TRY(close_part(w));
    w->part_now++;
    return open_part(w);
}

static enum iqt_status check_writing(const struct iqt_gguf_writer *w, const char *call)
{
    if (w == NULL || !w->begun || w->committed)
        return iqt_fail(IQT_ERR_ARG, "%s: %s", call,
                        w == NULL   ? "the writer is NULL"
                        : !w->begun ? "writing has not begun"
                                    : "the file is complete");
    if (w->failed != IQT_OK)
        return iqt_fail(w->failed, "%s: an earlier call has failed", call);
    return IQT_OK;
}

static enum iqt_status write_data(struct iqt_gguf_writer *w, const void *data,
                                  size_t bytes)
{
    const struct iqt_gguf_entry *e = &w->entry[w->entry_now];

    IQT_TRY(next_part(w));
    IQT_TRY(write_all(w, data, bytes));
    w->entry_done += bytes;
    if (w->entry_done < e->bytes)
        return IQT_OK;
    IQT_TRY(write_zeros(w, iqt_round_up(e->bytes, w->alignment) - e->bytes));
    w->entry_done = 0;
    w->entry_now++;
    return IQT_OK;
}

enum iqt_status iqt_gguf_writer_data(struct iqt_gguf_writer *w, const void *data,
                                     size_t bytes)
{
    IQT_TRY(check_writing(w, "iqt_gguf_writer_data"));
    if (bytes == 0)
        return IQT_OK;
    if (data == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_gguf_writer_data: the data are NULL");
    if (w->entry_now == w->entries)
        return iqt_fail(IQT_ERR_ARG, "all %zu tensors are complete", w->entries);
    if (bytes > w->entry[w->entry_now].bytes - w->entry_done)
        return iqt_fail(
            IQT_ERR_ARG, "%zu bytes for tensor number %zu, which lacks only %llu", bytes,
            w->entry_now,
            (unsigned long long)(w->entry[w->entry_now].bytes - w->entry_done));
    return give_up(w, write_data(w, data, bytes));
}

/* The first file last, and the old one gone before: without it no reader takes a set that is half old. */
static enum iqt_status rename_all(struct iqt_gguf_writer *w)
{
    if (w->parts > 1 && w->part[0].temp != NULL) {
        if (unlink(w->part[0].path) != 0 && errno != ENOENT)
            return iqt_fail_errno("replace", w->part[0].path);
        IQT_TRY(iqt_folder_sync(w->part[0].path));
    }
    for (size_t i = w->parts; i-- > 0;) {
        struct iqt_gguf_part *part = &w->part[i];

        if (part->temp == NULL)
            continue;
        if (i == 0 && w->parts > 1)
            IQT_TRY(iqt_folder_sync(part->path));
        if (rename(part->temp, part->path) != 0) {
            const enum iqt_status status = iqt_fail_errno("replace", part->path);

            for (size_t j = i + 1; j < w->parts; j++)
                unlink(w->part[j].path);
            return status;
        }
        free(part->temp);
        part->temp = NULL;
    }
    return IQT_OK;
}

enum iqt_status iqt_gguf_writer_commit(struct iqt_gguf_writer *w)
{
    enum iqt_status status;

    IQT_TRY(check_writing(w, "iqt_gguf_writer_commit"));
    if (w->entry_now < w->entries)
        status = iqt_fail(IQT_ERR_ARG, "only %zu of %zu tensors are complete",
                          w->entry_now, w->entries);
    else
        status = w->entries == 0 && w->fd < 0 ? open_part(w) : IQT_OK;
    if (status == IQT_OK)
        status = close_part(w);
    if (status == IQT_OK)
        status = rename_all(w);
    IQT_TRY(give_up(w, status));
    w->committed = true;
    return iqt_folder_sync(w->part[0].path);
}

void iqt_gguf_writer_destroy(struct iqt_gguf_writer *w)
{
    if (w == NULL)
        return;
    remove_all(w);
    for (size_t i = 0; i < w->parts; i++)
        free(w->part[i].path);
    free(w->part);
    free(w->entry);
    free(w->key);
    iqt_buf_free(&w->text);
    free(w);
}
