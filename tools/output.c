/* Files that appear whole or not at all. Written from front to back; a disk that fills up is an
 * error and leaves nothing behind. */
#include "tools/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>

static enum iqt_status fail_io(const char *verb, const char *path)
{
    return iqt_fail(IQT_ERR_IO, "cannot %s '%s': %s", verb, path, strerror(errno));
}

static enum iqt_status open_temp(const char *path, struct iqt_output *out)
{
    /* A link is followed: the file it names is replaced, not the link. */
    char *real = realpath(path, NULL);
    const size_t length = strlen(real != NULL ? real : path);
    const mode_t mask = umask(0);

    umask(mask);
    out->path = real != NULL ? real : strdup(path);
    out->temp = malloc(length + sizeof ".tmp-XXXXXX");
    if (out->path == NULL || out->temp == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a file name");
    memcpy(out->temp, out->path, length);
    memcpy(out->temp + length, ".tmp-XXXXXX", sizeof ".tmp-XXXXXX");
    out->fd = mkstemp(out->temp);
    if (out->fd < 0)
        return fail_io("create", path);
    /* mkstemp's mode is private; this is an ordinary file. */
    if (fchmod(out->fd, 0666 & ~mask) != 0) {
        const enum iqt_status status = fail_io("set the mode of", out->temp);

        unlink(out->temp);
        close(out->fd);
        return status;
    }
    return IQT_OK;
}

enum iqt_status iqt_output_open(const char *path, struct iqt_output *out)
{
    struct iqt_output o = { .fd = -1 };
    struct stat st;
    enum iqt_status status = IQT_OK;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return iqt_fail(IQT_ERR_IO, "cannot write '%s': it is a folder", path);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        o.path = strdup(path);
        if (o.path == NULL)
            return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a file name");
        o.fd = open(path, O_WRONLY | O_CLOEXEC);
        if (o.fd < 0)
            status = fail_io("open", path);
    } else {
        status = open_temp(path, &o);
    }
    if (status != IQT_OK) {
        free(o.path);
        free(o.temp);
        return status;
    }
    *out = o;
    return IQT_OK;
}

enum iqt_status iqt_output_write(struct iqt_output *o, const void *data, size_t bytes)
{
    const char *at = data;

    while (bytes > 0) {
        const ssize_t written = write(o->fd, at, bytes);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fail_io("write", o->path);
        at += written;
        bytes -= (size_t)written;
    }
    return IQT_OK;
}

static void forget(struct iqt_output *o)
{
    free(o->path);
    free(o->temp);
    *o = (struct iqt_output){ .fd = -1 };
}

void iqt_output_discard(struct iqt_output *o)
{
    if (o->fd < 0)
        return;
    close(o->fd);
    if (o->temp != NULL)
        unlink(o->temp);
    forget(o);
}

enum iqt_status iqt_output_commit(struct iqt_output *o)
{
    enum iqt_status status = IQT_OK;

    /* A full disk may show only here. */
    if (o->temp != NULL && fsync(o->fd) != 0)
        status = fail_io("write", o->path);
    if (close(o->fd) != 0 && status == IQT_OK)
        status = fail_io("write", o->path);
    if (status == IQT_OK && o->temp != NULL && rename(o->temp, o->path) != 0)
        status = fail_io("replace", o->path);
    if (status != IQT_OK && o->temp != NULL)
        unlink(o->temp);
    forget(o);
    return status;
}
