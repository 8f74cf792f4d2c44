/* Files: mapping, reading whole, folders and the room in them.
 * Knows nothing of what is inside them. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum iqt_status iqt_fail_errno(const char *verb, const char *path)
{
    const enum iqt_status status = errno == ENOMEM ? IQT_ERR_NO_MEMORY : IQT_ERR_IO;

    return iqt_fail(status, "cannot %s %s: %s", verb, path, strerror(errno));
}

/* ---- Mapping ---- */

enum iqt_status iqt_map_open(const char *path, struct iqt_map *out)
{
    enum iqt_status status = IQT_OK;
    struct iqt_map map = { 0 };
    struct stat st;
    void *data;
    /* Not blocking: opening a pipe must not wait for a writer. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return iqt_fail_errno("open", path);
    if (fstat(fd, &st) != 0) {
        status = iqt_fail_errno("examine", path);
        goto close_file;
    }
    if (!S_ISREG(st.st_mode)) {
        status = iqt_fail(IQT_ERR_IO, "cannot map %s: not a regular file", path);
        goto close_file;
    }
    map.bytes = (size_t)st.st_size;
    if (map.bytes > 0) {
        data = mmap(NULL, map.bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            status = iqt_fail_errno("map", path);
            goto close_file;
        }
        map.data = data;
    }
    *out = map;

close_file:
    close(fd);
    return status;
}

void iqt_map_close(struct iqt_map *map)
{
    if (map->data != NULL)
        munmap((void *)(uintptr_t)map->data, map->bytes);
    *map = (struct iqt_map){ 0 };
}

void iqt_map_release(const struct iqt_map *map, size_t at, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    /* Half a page more at the front costs a fault at most, and no page is forgotten between parts. */
    const size_t first = at / page * page, last = (at + bytes) / page * page;

    if (map->data != NULL && last > first && at + bytes <= map->bytes)
        madvise((void *)(uintptr_t)(map->data + first), last - first, MADV_DONTNEED);
}

/* ---- Reading whole ---- */

/* Reads to the end; the size is only a first guess, since pipes have none. */
static enum iqt_status read_all(int fd, const char *path, size_t capacity, char **data,
                                size_t *bytes)
{
    char *text = malloc(capacity);
    size_t used = 0;
    ssize_t got;

    if (text == NULL)
        goto no_memory;
    for (;;) {
        got = read(fd, text + used, capacity - used - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += (size_t)got;
        if (used + 1 == capacity) {
            char *larger = capacity < SIZE_MAX / 2 ? realloc(text, capacity * 2) : NULL;

            if (larger == NULL)
                goto no_memory;
            text = larger;
            capacity *= 2;
        }
    }
    if (got < 0) {
        const enum iqt_status status = iqt_fail_errno("read", path);

        free(text);
        return status;
    }
    text[used] = '\0';
    *data = text;
    *bytes = used;
    return IQT_OK;

no_memory:
    free(text);
    return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the %zu bytes of %s", capacity,
                    path);
}

enum iqt_status iqt_file_read(const char *path, char **data, size_t *bytes)
{
    enum iqt_status status;
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return iqt_fail_errno("open", path);
    if (fstat(fd, &st) != 0)
        status = iqt_fail_errno("examine", path);
    else /* two bytes more than the file: the end is seen without growing */
        status = read_all(fd, path, st.st_size > 0 ? (size_t)st.st_size + 2 : 4096, data,
                          bytes);
    close(fd);
    return status;
}

/* ---- Folders ---- */

/* Of the path of a file. */
static void folder_of(const char *path, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    const size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);

    snprintf(out, PATH_MAX, "%.*s", length > 0 ? (int)length : 1,
             length > 0 ? path : ".");
}

/* File systems that cannot sync folders say EINVAL. */
enum iqt_status iqt_folder_sync(const char *path)
{
    char folder[PATH_MAX];
    enum iqt_status status = IQT_OK;
    int fd;

    folder_of(path, folder);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return iqt_fail_errno("open", folder);
    if (fsync(fd) != 0 && errno != EINVAL)
        status = iqt_fail_errno("sync", folder);
    close(fd);
    return status;
}

enum iqt_status iqt_room_check(const char *path, uint64_t bytes)
{
    char folder[PATH_MAX];
    struct statvfs fs;
    uint64_t available;

    folder_of(path, folder);
    if (statvfs(folder, &fs) != 0)
        return iqt_fail_errno("examine the folder", folder);
    if (!iqt_mul(fs.f_bavail, fs.f_frsize, &available) || bytes <= available)
        return IQT_OK;
    return iqt_fail(
        IQT_ERR_IO,
        "not enough room for %s: %llu bytes are needed, %llu are available in %s", path,
        (unsigned long long)bytes, (unsigned long long)available, folder);
}

static enum iqt_status make_one(const char *path)
{
    struct stat st;

    if (mkdir(path, 0777) == 0)
        return IQT_OK;
    if (errno == EEXIST && stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return IQT_OK;
        errno = ENOTDIR;
    }
    return iqt_fail_errno("create folder", path);
}

enum iqt_status iqt_dir_make(const char *path)
{
    char part[PATH_MAX];
    const size_t length = strlen(path);

    if (length == 0 || length >= sizeof part)
        return iqt_fail(IQT_ERR_IO, "cannot create a folder: its path has %zu characters",
                        length);
    memcpy(part, path, length + 1);
    for (size_t i = 1; i < length; i++) {
        if (part[i] != '/')
            continue;
        part[i] = '\0';
        IQT_TRY(make_one(part));
        part[i] = '/';
    }
    return make_one(part);
}

enum iqt_status iqt_cache_dir(char *out, size_t bytes)
{
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    int length;

    /* The XDG rule: a relative path is ignored. */
    if (cache != NULL && cache[0] == '/')
        length = snprintf(path, sizeof path, "%s/iqtile", cache);
    else if (home != NULL && home[0] == '/')
        length = snprintf(path, sizeof path, "%s/.cache/iqtile", home);
    else
        return iqt_fail(IQT_ERR_IO,
                        "no cache folder: neither XDG_CACHE_HOME nor HOME is set "
                        "to an absolute path");
    if (length < 0 || (size_t)length >= sizeof path || (size_t)length >= bytes)
        return iqt_fail(IQT_ERR_IO,
                        "the path of the cache folder has %d characters, %zu fit", length,
                        bytes > 0 ? bytes - 1 : 0);
    memcpy(out, path, (size_t)length + 1);
    return IQT_OK;
}
