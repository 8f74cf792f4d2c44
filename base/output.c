/* Files that appear whole or not at all. Written from front to back; a disk that fills up is an
 * error and leaves nothing behind. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Creates a file of its own beside path; the process id and the clock keep writers apart. */
static int create_beside(const char *path, char temp[PATH_MAX])
{
    for (uint32_t attempt = 0; attempt < 100; attempt++) {
        const int length =
            snprintf(temp, PATH_MAX, "%s.tmp-%ld-%llx", path, (long)getpid(),
                     (unsigned long long)(iqt_now_ns() + attempt));
        int fd;

        if (length >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

static enum iqt_status open_temp(const struct stat *old, struct iqt_output *o)
{
    char temp[PATH_MAX];

    o->fd = create_beside(o->path, temp);
    if (o->fd < 0)
        return iqt_fail_errno("create a temporary file beside", o->path);
    o->temp = strdup(temp);
    if (o->temp == NULL) {
        unlink(temp);
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a file name");
    }
    if (old != NULL && fchmod(o->fd, old->st_mode & 07777) != 0)
        return iqt_fail_errno("set the mode of", temp);
    return IQT_OK;
}

/* /dev/null and pipes have no content to protect; renaming over them would destroy them. */
static enum iqt_status open_special(struct iqt_output *o)
{
    o->fd = open(o->path, O_WRONLY | O_CLOEXEC);
    return o->fd < 0 ? iqt_fail_errno("open", o->path) : IQT_OK;
}

static void forget(struct iqt_output *o)
{
    free(o->path);
    free(o->temp);
    *o = (struct iqt_output){ .fd = -1 };
}

void iqt_output_discard(struct iqt_output *o)
{
    if (o->fd >= 0)
        close(o->fd);
    if (o->temp != NULL)
        unlink(o->temp);
    forget(o);
}

enum iqt_status iqt_output_open(const char *path, struct iqt_output *out)
{
    struct iqt_output o = { .fd = -1 };
    struct stat old;
    const bool there = stat(path, &old) == 0, regular = there && S_ISREG(old.st_mode);
    enum iqt_status status;

    if (there && S_ISDIR(old.st_mode))
        return iqt_fail(IQT_ERR_IO, "cannot write %s: it is a folder", path);
    /* A link is followed: the file it names is replaced, not the link. */
    o.path = regular ? realpath(path, NULL) : strdup(path);
    if (o.path == NULL)
        return iqt_fail_errno("resolve", path);
    status = there && !regular ? open_special(&o) : open_temp(regular ? &old : NULL, &o);
    if (status != IQT_OK) {
        iqt_output_discard(&o);
        return status;
    }
    *out = o;
    return IQT_OK;
}

enum iqt_status iqt_write_all(int fd, const char *path, const void *data, size_t bytes)
{
    const char *at = data;

    while (bytes > 0) {
        const ssize_t written = write(fd, at, bytes);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return iqt_fail_errno("write", path);
        at += written;
        bytes -= (size_t)written;
    }
    return IQT_OK;
}

enum iqt_status iqt_output_write(struct iqt_output *o, const void *data, size_t bytes)
{
    return iqt_write_all(o->fd, o->path, data, bytes);
}

enum iqt_status iqt_output_commit(struct iqt_output *o)
{
    enum iqt_status status = IQT_OK;

    /* A full disk may show only here. */
    if (o->temp != NULL && fsync(o->fd) != 0)
        status = iqt_fail_errno("sync", o->path);
    if (close(o->fd) != 0 && status == IQT_OK)
        status = iqt_fail_errno("close", o->path);
    o->fd = -1;
    if (status == IQT_OK && o->temp != NULL) {
        if (rename(o->temp, o->path) != 0) {
            status = iqt_fail_errno("replace", o->path);
        } else {
            free(o->temp);
            o->temp = NULL;
            status = iqt_folder_sync(o->path);
        }
    }
    iqt_output_discard(o);
    return status;
}

enum iqt_status iqt_file_replace(const char *path, const void *data, size_t bytes)
{
    struct iqt_output out;
    enum iqt_status status;

    IQT_TRY(iqt_output_open(path, &out));
    status = iqt_output_write(&out, data, bytes);
    if (status == IQT_OK)
        return iqt_output_commit(&out);
    iqt_output_discard(&out);
    return status;
}
