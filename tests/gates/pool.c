/* Worker processes: a compiler that aborts or never ends costs one kernel and says so. Knows nothing
 * of what a worker does. */
#include "tests/gates/gates.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS = 300 }; /* that a compiler may take for one kernel */

struct worker {
    pid_t pid; /* 0: not started */
    int fd;
    bool busy;
    uint32_t item;
};

struct gate_pool {
    const struct gate_kernels *kernels;
    const struct gate_item *items;
    unsigned workers;
    struct worker worker[];
};

/* ---- The child ---- */

static void work(const struct gate_pool *pool, int fd)
{
    uint32_t item;

    while (read(fd, &item, sizeof item) == sizeof item) {
        const struct gate_item *it = &pool->items[item];
        struct gate_result result = { .item = item };

        alarm(SECONDS);
        gate_compile(&pool->kernels->kernel[it->kernel], &gate_targets[it->target],
                     &result);
        alarm(0);
        if (write(fd, &result, sizeof result) != sizeof result)
            break;
    }
    _exit(0);
}

/* ---- The parent ---- */

static bool start(struct gate_pool *pool, struct worker *w)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0)
        return false;
    fflush(NULL);
    w->pid = fork();
    if (w->pid == 0) {
        for (unsigned i = 0; i < pool->workers; i++)
            if (pool->worker[i].fd > 0)
                close(pool->worker[i].fd);
        close(pair[0]);
        work(pool, pair[1]);
    }
    close(pair[1]);
    if (w->pid < 0) {
        w->pid = 0;
        close(pair[0]);
        return false;
    }
    w->fd = pair[0];
    return true;
}

static int end(struct worker *w)
{
    int status = 0;

    close(w->fd);
    (void)waitpid(w->pid, &status, 0);
    *w = (struct worker){ 0 };
    return status;
}

struct gate_pool *gate_pool_create(unsigned workers, const struct gate_kernels *kernels,
                                   const struct gate_item *items)
{
    struct gate_pool *pool = calloc(1, sizeof *pool + workers * sizeof(struct worker));

    if (pool == NULL)
        return NULL;
    pool->kernels = kernels;
    pool->items = items;
    pool->workers = workers;
    return pool;
}

void gate_pool_free(struct gate_pool *pool)
{
    if (pool == NULL)
        return;
    for (unsigned i = 0; i < pool->workers; i++)
        if (pool->worker[i].pid != 0)
            (void)end(&pool->worker[i]);
    free(pool);
}

bool gate_pool_give(struct gate_pool *pool, uint32_t item)
{
    for (unsigned i = 0; i < pool->workers; i++) {
        struct worker *w = &pool->worker[i];

        if (w->busy || (w->pid == 0 && !start(pool, w)))
            continue;
        if (send(w->fd, &item, sizeof item, MSG_NOSIGNAL) != sizeof item) {
            (void)end(w);
            continue;
        }
        w->busy = true;
        w->item = item;
        return true;
    }
    return false;
}

static void describe_death(int status, struct gate_result *out)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(out->message, sizeof out->message, "the compiler took more than %d s",
                 SECONDS);
    else if (WIFSIGNALED(status))
        snprintf(out->message, sizeof out->message, "the compiler died: %s",
                 strsignal(WTERMSIG(status)));
    else
        snprintf(out->message, sizeof out->message,
                 "the compiler ended the process: exit status %d", WEXITSTATUS(status));
}

static void receive(struct worker *w, struct gate_result *out)
{
    const uint32_t item = w->item;

    w->busy = false;
    if (recv(w->fd, out, sizeof *out, 0) == sizeof *out)
        return;
    *out = (struct gate_result){ .item = item };
    describe_death(end(w), out);
}

bool gate_pool_take(struct gate_pool *pool, struct gate_result *out)
{
    enum { MOST = 256 };
    struct pollfd fds[MOST];
    struct worker *of[MOST];
    nfds_t count = 0;

    for (unsigned i = 0; i < pool->workers && count < MOST; i++)
        if (pool->worker[i].busy) {
            of[count] = &pool->worker[i];
            fds[count++] = (struct pollfd){ .fd = pool->worker[i].fd, .events = POLLIN };
        }
    if (count == 0 || poll(fds, count, -1) <= 0)
        return false;
    for (nfds_t i = 0; i < count; i++)
        if (fds[i].revents != 0) {
            receive(of[i], out);
            return true;
        }
    return false;
}

/* ---- One call in a child ---- */

void *gate_shared_memory(size_t bytes)
{
    void *at =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return at != MAP_FAILED ? at : NULL;
}

bool gate_in_child(void (*fn)(void *shared), void *shared)
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        alarm(SECONDS);
        fn(shared);
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}
