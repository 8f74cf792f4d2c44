/* The program glslc: text on its standard input, SPIR-V on its standard output. The three streams
 * are memory files, so neither side can block the other and nothing is left behind. */
#include "runtime/vulkan_spirv_kind.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STREAMS = 3, EXIT_NOT_RUN = 127 };

extern char **environ;

/* One run of the program. */
struct run {
    int fd[STREAMS]; /* standard input, output, error */
    int exit_code;   /* EXIT_NOT_RUN also for one killed by a signal */
    struct iqt_buf out, log;
};

/* ---- Memory files ---- */

/* Never one of the standard numbers, which a daemon may have closed: the child's own standard
 * streams take their places one after the other. */
static int memory_file(void)
{
    const int fd = memfd_create("iqtile-glslc", MFD_CLOEXEC);
    const int high = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, STREAMS) : -1;

    if (fd >= 0)
        close(fd);
    return high;
}

static enum iqt_status run_open(struct run *r)
{
    *r = (struct run){ .fd = { -1, -1, -1 } };
    for (int i = 0; i < STREAMS; i++) {
        r->fd[i] = memory_file();
        if (r->fd[i] < 0)
            return iqt_fail(IQT_ERR_NO_MEMORY, "a memory file: %s", strerror(errno));
    }
    return IQT_OK;
}

static void run_close(struct run *r)
{
    for (int i = 0; i < STREAMS; i++) {
        if (r->fd[i] >= 0)
            close(r->fd[i]);
    }
    iqt_buf_free(&r->out);
    iqt_buf_free(&r->log);
}

static enum iqt_status put_input(const struct run *r, const char *text, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = write(r->fd[0], text + done, bytes - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return iqt_fail(IQT_ERR_IO, "writing %zu bytes to a memory file: %s", bytes,
                            strerror(errno));
        done += (size_t)n;
    }
    lseek(r->fd[0], 0, SEEK_SET);
    return IQT_OK;
}

static enum iqt_status take_output(int fd, struct iqt_buf *out)
{
    char piece[4096];

    lseek(fd, 0, SEEK_SET);
    for (;;) {
        const ssize_t n = read(fd, piece, sizeof(piece));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return iqt_fail(IQT_ERR_IO, "reading a memory file: %s", strerror(errno));
        if (n == 0)
            return iqt_buf_check(out);
        iqt_buf_append(out, piece, (size_t)n);
    }
}

/* ---- Running ---- */

static int exit_code(pid_t pid)
{
    int wait_status = 0;

    while (waitpid(pid, &wait_status, 0) < 0) {
        if (errno != EINTR)
            return EXIT_NOT_RUN;
    }
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : EXIT_NOT_RUN;
}

static enum iqt_status spawn(struct run *r, char *const argv[])
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int err = posix_spawn_file_actions_init(&actions);

    if (err != 0)
        return iqt_fail(IQT_ERR_NO_MEMORY, "posix_spawn_file_actions_init: %s",
                        strerror(err));
    for (int i = 0; i < STREAMS && err == 0; i++)
        err = posix_spawn_file_actions_adddup2(&actions, r->fd[i], i);
    if (err == 0)
        err = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (err != 0)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s: %s", argv[0], strerror(err));
    r->exit_code = exit_code(pid);
    return IQT_OK;
}

static enum iqt_status run_program(struct run *r, char *const argv[], const char *text,
                                   size_t bytes)
{
    IQT_TRY(put_input(r, text, bytes));
    IQT_TRY(spawn(r, argv));
    IQT_TRY(take_output(r->fd[1], &r->out));
    return take_output(r->fd[2], &r->log);
}

/* ---- The kind ---- */

static enum iqt_status read_version(struct run *r, const char *name, uint64_t *id)
{
    char *argv[] = { (char *)name, "--version", NULL };

    IQT_TRY(run_program(r, argv, "", 0));
    if (r->exit_code != 0 || r->out.bytes == 0)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s --version: exit status %d", name,
                        r->exit_code);
    iqt_buf_printf(&r->out, "glslc " IQT_SPIRV_OPTIONS);
    IQT_TRY(iqt_buf_check(&r->out));
    *id = iqt_hash(r->out.data, r->out.bytes, 0);
    return IQT_OK;
}

static enum iqt_status open_glslc(const char *name, void **state, uint64_t *id)
{
    struct run r;
    char *copy;
    enum iqt_status status = run_open(&r);

    if (status == IQT_OK)
        status = read_version(&r, name, id);
    run_close(&r);
    IQT_TRY(status);
    copy = strdup(name);
    if (copy == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a compiler");
    *state = copy;
    return IQT_OK;
}

static enum iqt_status compile_run(struct run *r, const char *program, const char *name,
                                   const char *text, size_t bytes, struct iqt_spirv *out)
{
    char *argv[] = { (char *)program,
                     "--target-env=vulkan1.1",
                     "-O",
                     "-fshader-stage=compute",
                     "-o",
                     "-",
                     "-",
                     NULL };

    IQT_TRY(run_program(r, argv, text, bytes));
    if (r->exit_code == EXIT_NOT_RUN)
        return iqt_fail(IQT_ERR_COMPILE, "%s: %s did not run to its end", name, program);
    if (r->exit_code != 0)
        return iqt_spirv_fail(name, iqt_buf_text(&r->log));
    return iqt_spirv_copy(r->out.data, r->out.bytes, out);
}

static enum iqt_status compile(void *state, const char *name, const char *text,
                               size_t bytes, struct iqt_spirv *out)
{
    struct run r;
    enum iqt_status status = run_open(&r);

    if (status == IQT_OK)
        status = compile_run(&r, state, name, text, bytes, out);
    run_close(&r);
    return status;
}

const struct iqt_spirv_kind iqt_spirv_glslc = { open_glslc, free, compile };
