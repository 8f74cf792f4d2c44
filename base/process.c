/* A program run as a child: text in, text out. The three streams are memory files, so neither side
 * can block the other and nothing is left behind. No shell. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STREAMS = 3 };

extern char **environ;

struct run {
    int fd[STREAMS]; /* standard input, output, error */
    int exit_code;   /* IQT_EXIT_NOT_RUN also for one killed by a signal */
};

/* ---- Memory files ---- */

/* Never one of the standard numbers, which a daemon may have closed: the child's own standard
 * streams take their places one after the other. */
static int memory_file(void)
{
    const int fd = memfd_create("iqtile-child", MFD_CLOEXEC);
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
            return IQT_EXIT_NOT_RUN;
    }
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : IQT_EXIT_NOT_RUN;
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

static enum iqt_status run_program(struct run *r, char *const argv[], const void *input,
                                   size_t bytes, struct iqt_process *out)
{
    IQT_TRY(put_input(r, input, bytes));
    IQT_TRY(spawn(r, argv));
    out->exit_code = r->exit_code;
    IQT_TRY(take_output(r->fd[1], &out->out));
    return take_output(r->fd[2], &out->log);
}

enum iqt_status iqt_process_run(char *const argv[], const void *input, size_t bytes,
                                struct iqt_process *out)
{
    struct run r;
    enum iqt_status status = run_open(&r);

    *out = (struct iqt_process){ .exit_code = IQT_EXIT_NOT_RUN };
    if (status == IQT_OK)
        status = run_program(&r, argv, input, bytes, out);
    run_close(&r);
    if (status != IQT_OK)
        iqt_process_free(out);
    return status;
}

void iqt_process_free(struct iqt_process *p)
{
    iqt_buf_free(&p->out);
    iqt_buf_free(&p->log);
}
