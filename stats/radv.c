/* RADV's null device in a child process: the environment chooses the chip, and ACO may abort. */
#include "stats/radv.h"

#include "stats/radv_device.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, CHILD_OK = 0, CHILD_FAILED = 1 };

/* ---- The driver's description file ---- */

static bool find_in(const char *folder, size_t length, char out[PATH_BYTES])
{
    char pattern[PATH_BYTES];
    bool found = false;
    glob_t matches;

    if (snprintf(pattern, sizeof pattern, "%.*s/vulkan/icd.d/radeon_icd*.json",
                 (int)length, folder) >= (int)sizeof pattern ||
        glob(pattern, 0, NULL, &matches) != 0)
        return false;
    for (size_t i = 0; i < matches.gl_pathc && !found; i++)
        found = access(matches.gl_pathv[i], R_OK) == 0 &&
                snprintf(out, PATH_BYTES, "%s", matches.gl_pathv[i]) < PATH_BYTES;
    globfree(&matches);
    return found;
}

static enum iqt_status find_driver(char out[PATH_BYTES])
{
    const char *given = getenv("IQT_RADV_ICD"), *at = getenv("XDG_DATA_DIRS");

    if (given != NULL && *given != '\0' && access(given, R_OK) == 0 &&
        snprintf(out, PATH_BYTES, "%s", given) < PATH_BYTES)
        return IQT_OK;
    if (given != NULL && *given != '\0')
        return iqt_fail(IQT_ERR_UNSUPPORTED, "IQT_RADV_ICD: %s: %s", given,
                        strerror(errno));
    while (at != NULL && *at != '\0') {
        const size_t length = strcspn(at, ":");

        if (find_in(at, length, out))
            return IQT_OK;
        at += length + (at[length] == ':');
    }
    if (find_in("/usr/share", strlen("/usr/share"), out) ||
        find_in("/etc", strlen("/etc"), out))
        return IQT_OK;
    return iqt_fail(
        IQT_ERR_UNSUPPORTED,
        "no RADV: no vulkan/icd.d/radeon_icd*.json in $XDG_DATA_DIRS or "
        "/usr/share; install Mesa's Vulkan drivers, or set IQT_RADV_ICD to that "
        "file");
}

/* ---- The child ---- */

struct job {
    const struct iqt_plan *plan;
    const uint32_t *word;
    size_t words;
    char driver[PATH_BYTES];
    int result, log; /* memory files: info and listing, or a sentence; standard error */
};

static bool write_all(int fd, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        const ssize_t n = write(fd, (const char *)bytes + done, size - done);

        if (n <= 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void run_child(const struct job *job, const char *family)
{
    struct iqt_radv_info info = { 0 };
    struct iqt_buf listing = { 0 };
    enum iqt_status status;

    dup2(job->log, STDOUT_FILENO);
    dup2(job->log, STDERR_FILENO);
    setenv("RADV_FORCE_FAMILY", family, 1);
    setenv("VK_ICD_FILENAMES", job->driver, 1);
    setenv("VK_DRIVER_FILES", job->driver, 1);
    setenv("MESA_SHADER_CACHE_DISABLE", "true", 1);
    unsetenv("VK_ADD_DRIVER_FILES");
    unsetenv("IQT_VULKAN_VALIDATE");
    unsetenv("RADV_DEBUG");
    status = iqt_radv_device_compile(job->plan, job->word, job->words, &listing, &info);
    if (status == IQT_OK && write_all(job->result, &info, sizeof info) &&
        write_all(job->result, listing.data, listing.bytes))
        _exit(CHILD_OK);
    (void)!ftruncate(job->result, 0);
    (void)!lseek(job->result, 0, SEEK_SET);
    (void)write_all(job->result, iqt_last_error(), strlen(iqt_last_error()));
    _exit(CHILD_FAILED);
}

/* ---- The parent ---- */

static enum iqt_status read_all(int fd, struct iqt_buf *out)
{
    char piece[4096];
    ssize_t n;

    lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            iqt_buf_append(out, piece, (size_t)n);
    return iqt_buf_check(out);
}

static enum iqt_status take_result(const struct job *job, const char *family, int how,
                                   struct iqt_buf *out, struct iqt_radv_info *info)
{
    struct iqt_buf text = { 0 };
    enum iqt_status status = read_all(WIFEXITED(how) ? job->result : job->log, &text);

    if (status != IQT_OK) {
        iqt_buf_free(&text);
        return status;
    }
    if (!WIFEXITED(how)) {
        status =
            iqt_fail(IQT_ERR_COMPILE, "radv:%s: the compiler died of signal %d: %.300s",
                     family, WTERMSIG(how), iqt_buf_text(&text));
    } else if (WEXITSTATUS(how) != CHILD_OK || text.bytes < sizeof *info) {
        status =
            iqt_fail(IQT_ERR_UNSUPPORTED, "radv:%s: %.300s", family, iqt_buf_text(&text));
    } else {
        memcpy(info, text.data, sizeof *info);
        iqt_buf_append(out, text.data + sizeof *info, text.bytes - sizeof *info);
        status = iqt_buf_check(out);
    }
    iqt_buf_free(&text);
    return status;
}

static enum iqt_status run_family(const struct job *job, const char *family,
                                  struct iqt_buf *out, struct iqt_radv_info *info)
{
    pid_t child;
    int how = 0;

    (void)!ftruncate(job->result, 0);
    (void)!lseek(job->result, 0, SEEK_SET);
    fflush(NULL); /* what is buffered now would be written twice */
    child = fork();
    if (child < 0)
        return iqt_fail(IQT_ERR_NO_MEMORY, "fork: %s", strerror(errno));
    if (child == 0)
        run_child(job, family);
    while (waitpid(child, &how, 0) < 0)
        if (errno != EINTR)
            return iqt_fail(IQT_ERR_IO, "waitpid: %s", strerror(errno));
    return take_result(job, family, how, out, info);
}

/* Each name in turn; the last one's failure is reported. */
static enum iqt_status run_families(const struct job *job, const char *families,
                                    struct iqt_buf *out, struct iqt_radv_info *info)
{
    enum iqt_status status = IQT_ERR_ARG;

    for (const char *at = families; *at != '\0' && status != IQT_OK;) {
        const size_t length = strcspn(at, ",");
        char family[32];

        snprintf(family, sizeof family, "%.*s", (int)length, at);
        status = run_family(job, family, out, info);
        at += length + (at[length] == ',');
    }
    return status;
}

enum iqt_status iqt_radv_compile(const char *family, const struct iqt_plan *plan,
                                 const uint32_t *word, size_t words, struct iqt_buf *out,
                                 struct iqt_radv_info *info)
{
    struct job job = { .plan = plan, .word = word, .words = words };
    enum iqt_status status;

    IQT_TRY(find_driver(job.driver));
    job.result = memfd_create("iqtile-radv", MFD_CLOEXEC);
    job.log = memfd_create("iqtile-radv-log", MFD_CLOEXEC);
    if (job.result < 0 || job.log < 0)
        status = iqt_fail(IQT_ERR_NO_MEMORY, "a memory file: %s", strerror(errno));
    else
        status = run_families(&job, family, out, info);
    if (job.result >= 0)
        close(job.result);
    if (job.log >= 0)
        close(job.log);
    return status;
}
