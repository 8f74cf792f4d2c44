/* The parent's side of the tuning worker: starts it, asks it, gives up on it. Decides what a
 * silent or dead process means; knows nothing of plans but their names. */
#include "runtime/tune_worker.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE = 8192, POLL_MS = 100 };

extern char **environ;

struct iqt_worker {
    struct iqt_worker_options options;
    pid_t pid;   /* 0: none runs */
    int link;    /* our end of its standard input and output */
    int weights; /* memory file */
    struct iqt_tune_job job;
    char line[LINE];
};

static void end_process(struct iqt_worker *w)
{
    if (!w->pid)
        return;
    close(w->link);
    kill(w->pid, SIGKILL);
    while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    w->pid = 0;
}

enum iqt_status iqt_worker_create(const struct iqt_worker_options *options,
                                  struct iqt_worker **out)
{
    struct iqt_worker *w = calloc(1, sizeof *w);

    if (!w)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a tuning worker");
    w->options = *options;
    w->weights = memfd_create("iqtile-weights", MFD_CLOEXEC);
    if (w->weights < 0) {
        free(w);
        return iqt_fail(IQT_ERR_IO, "cannot make a memory file: %s", strerror(errno));
    }
    *out = w;
    return IQT_OK;
}

void iqt_worker_destroy(struct iqt_worker *w)
{
    if (!w)
        return;
    end_process(w);
    close(w->weights);
    free(w);
}

/* Its own process group keeps an interrupt from the terminal away from it: a worker killed by
 * that would look like a plan that crashed. */
static int spawn(const struct iqt_worker *w, int theirs, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;

    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawn_file_actions_adddup2(&files, theirs, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, theirs, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, w->weights, IQT_WORKER_WEIGHTS_FD);
    const int error = posix_spawn(pid, w->options.argv[0], &files, &attributes,
                                  (char *const *)w->options.argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

static enum iqt_status start_process(struct iqt_worker *w)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return iqt_fail(IQT_ERR_IO, "cannot make a socket pair: %s", strerror(errno));
    const int error = spawn(w, ends[1], &w->pid);
    close(ends[1]);
    if (error) {
        close(ends[0]);
        w->pid = 0;
        return iqt_fail(IQT_ERR_IO, "cannot start %s: %s", w->options.argv[0],
                        strerror(error));
    }
    w->link = ends[0];
    return IQT_OK;
}

static bool send_line(const struct iqt_worker *w, json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    size_t sent = 0;
    bool ok = text != NULL;

    json_decref(request);
    /* The terminating NUL becomes the newline. */
    const size_t bytes = ok ? strlen(text) + 1 : 0;
    if (ok)
        text[bytes - 1] = '\n';
    while (ok && sent < bytes) {
        const ssize_t part = send(w->link, text + sent, bytes - sent, MSG_NOSIGNAL);

        if (part > 0)
            sent += (size_t)part;
        else
            ok = part < 0 && errno == EINTR;
    }
    free(text);
    return ok;
}

enum answer { ANSWERED, DIED, SILENT, STOPPED };

/* One line into w->line, without its end. */
static enum answer read_line(struct iqt_worker *w)
{
    const uint64_t deadline = iqt_now_ns() + w->options.timeout_ns;
    size_t have = 0;

    for (;;) {
        struct pollfd p = { .fd = w->link, .events = POLLIN };

        if (w->options.stop && w->options.stop(w->options.user))
            return STOPPED;
        if (iqt_now_ns() >= deadline)
            return SILENT;
        if (poll(&p, 1, POLL_MS) <= 0)
            continue;
        const ssize_t got = recv(w->link, w->line + have, sizeof w->line - 1 - have, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || have + (size_t)got >= sizeof w->line - 1)
            return DIED;
        have += (size_t)got;
        w->line[have] = '\0';
        if (w->line[have - 1] == '\n')
            return ANSWERED;
    }
}

/* How the process ended, for the record. */
static void describe_end(struct iqt_worker *w)
{
    int state = 0;

    close(w->link);
    kill(w->pid, SIGKILL); /* after it closed its end it may still run */
    while (waitpid(w->pid, &state, 0) < 0 && errno == EINTR)
        ;
    w->pid = 0;
    if (WIFSIGNALED(state))
        (void)iqt_fail(IQT_ERR_DEVICE, "the tuning worker died: %s",
                       strsignal(WTERMSIG(state)));
    else
        (void)iqt_fail(IQT_ERR_DEVICE, "the tuning worker ended with code %d",
                       WEXITSTATUS(state));
}

/* *reply is NULL when the verdict says it all. */
static enum iqt_status ask(struct iqt_worker *w, json_t *request, json_t **reply,
                           enum iqt_validity *verdict)
{
    const enum answer answer = send_line(w, request) ? read_line(w) : DIED;

    *reply = NULL;
    switch (answer) {
    case ANSWERED:
        *reply = json_loads(w->line, 0, NULL);
        if (*reply)
            return IQT_OK;
        end_process(w);
        return iqt_fail(IQT_ERR_INTERNAL, "the tuning worker answered \"%.60s\"",
                        w->line);
    case DIED:
        describe_end(w);
        *verdict = IQT_VALID_RUNTIME;
        return IQT_OK;
    case SILENT:
        end_process(w);
        *verdict = IQT_VALID_TIMEOUT;
        (void)iqt_fail(IQT_ERR_DEVICE, "no answer within %.1f s",
                       (double)w->options.timeout_ns / 1e9);
        return IQT_OK;
    case STOPPED:
        break;
    }
    end_process(w);
    return iqt_fail(IQT_ERR_INTERRUPTED, "tuning was stopped");
}

/* {"status": number, "validity": word, "text": sentence, "ns": number} */
static enum iqt_status take_reply(json_t *reply, uint64_t *ns, enum iqt_validity *verdict)
{
    const char *word = "", *text = "";
    json_int_t number = 0;
    int code = IQT_ERR_INTERNAL;

    if (json_unpack(reply, "{s:i, s:s, s:s, s:I}", "status", &code, "validity", &word,
                    "text", &text, "ns", &number) != 0 ||
        !iqt_validity_find(word, verdict)) {
        json_decref(reply);
        return iqt_fail(IQT_ERR_INTERNAL, "the tuning worker's answer is incomplete");
    }
    if (code != IQT_OK || *verdict != IQT_VALID_CORRECT)
        (void)iqt_fail(IQT_ERR_DEVICE, "%s", text);
    json_decref(reply);
    *ns = (uint64_t)number;
    return (enum iqt_status)code;
}

/* A new process, with the device open and the job loaded. It must work: it has tried no plan. */
static enum iqt_status need_process(struct iqt_worker *w)
{
    const struct iqt_tune_job *j = &w->job;
    enum iqt_validity verdict = IQT_VALID_CORRECT;
    json_t *reply;
    uint64_t ns;

    if (w->pid)
        return IQT_OK;
    IQT_TRY(start_process(w));
    json_t *request = json_pack(
        "{s:s, s:s, s:s, s:i, s:s, s:i, s:i, s:I, s:I}", "do", "load", "device",
        w->options.device, "cache", w->options.backend.cache_dir, "threads",
        (int)w->options.backend.cpu_threads, "format", j->format->name, "op", (int)j->op,
        "n", (int)j->n, "m", (json_int_t)j->m, "k", (json_int_t)j->k);
    IQT_TRY(ask(w, request, &reply, &verdict));
    if (!reply)
        return IQT_ERR_DEVICE;
    return take_reply(reply, &ns, &verdict);
}

enum iqt_status iqt_worker_load(struct iqt_worker *w, const struct iqt_tune_job *job,
                                const void *weights)
{
    size_t row_bytes, done = 0;

    IQT_TRY(iqt_format_row_bytes(job->format, job->k, &row_bytes));
    const size_t bytes = job->m * row_bytes;
    end_process(w); /* also drops its kernels and its mapping of the file */
    w->job = *job;
    if (ftruncate(w->weights, 0) != 0 || ftruncate(w->weights, (off_t)bytes) != 0)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu bytes of weights", bytes);
    while (done < bytes) {
        const ssize_t part =
            pwrite(w->weights, (const char *)weights + done, bytes - done, (off_t)done);

        if (part <= 0 && errno != EINTR)
            return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu bytes of weights",
                            bytes);
        done += part > 0 ? (size_t)part : 0;
    }
    return IQT_OK;
}

static enum iqt_status request(struct iqt_worker *w, const struct iqt_plan *plan,
                               const char *what, uint32_t iterations, bool rotate,
                               uint64_t *ns, enum iqt_validity *verdict)
{
    char name[IQT_PLAN_NAME_BYTES];
    json_t *reply;

    *ns = 0;
    IQT_TRY(need_process(w));
    iqt_plan_name(plan, name);
    IQT_TRY(ask(w,
                json_pack("{s:s, s:s, s:i, s:b}", "do", what, "plan", name, "iterations",
                          (int)iterations, "rotate", (int)rotate),
                &reply, verdict));
    if (!reply)
        return IQT_OK;
    IQT_TRY(take_reply(reply, ns, verdict));
    /* The driver failed: whatever it holds is not to be trusted with the next plan. */
    if (*verdict == IQT_VALID_RUNTIME)
        end_process(w);
    return IQT_OK;
}

enum iqt_status iqt_worker_verify(struct iqt_worker *w, const struct iqt_plan *plan,
                                  enum iqt_validity *verdict)
{
    uint64_t ns;

    return request(w, plan, "verify", 0, false, &ns, verdict);
}

enum iqt_status iqt_worker_measure(struct iqt_worker *w, const struct iqt_plan *plan,
                                   uint32_t iterations, bool rotate, uint64_t *ns,
                                   enum iqt_validity *verdict)
{
    return request(w, plan, "measure", iterations, rotate, ns, verdict);
}
