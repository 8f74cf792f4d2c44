/* The journal's file. Lines end in a hash of themselves, so that a torn one is seen; the first lines are the key of
 * the run and a line "start", each later one says how many bytes of a tensor are good. */
#include "tools/quantize_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".journal"
#define TITLE "iqtile quantize journal 1\n"

enum {
    LINE_TEXT = 512,
    SHARE = 50, /* of the time since the last note is spent on syncing, at most a 50th */
};
static const uint64_t least_ns = 20000000;

struct iqt_journal {
    int fd;
    char *path;
    size_t next; /* first tensor that is not noted whole */
    bool any;
    uint64_t noted_ns, cost_ns;
};

static enum iqt_status fail_io(const char *verb, const struct iqt_journal *j)
{
    return iqt_fail(IQT_ERR_IO, "cannot %s %s: %s", verb, j->path, strerror(errno));
}

/* ---- Opening ---- */

/* Locks the file that stands under the name: another run may just have removed it. */
static enum iqt_status lock(struct iqt_journal *j)
{
    for (;;) {
        struct stat st;

        j->fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (j->fd < 0)
            return fail_io("create", j);
        if (flock(j->fd, LOCK_EX | LOCK_NB) != 0)
            return errno == EWOULDBLOCK
                       ? iqt_fail(IQT_ERR_IO,
                                  "%s is in use: another run writes this file", j->path)
                       : fail_io("lock", j);
        if (fstat(j->fd, &st) == 0 && st.st_nlink > 0)
            return IQT_OK;
        close(j->fd);
    }
}

static enum iqt_status append(struct iqt_journal *j, const char *text, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t put = write(j->fd, text, bytes);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail_io("write", j);
        text += put;
        bytes -= (size_t)put;
    }
    return fsync(j->fd) == 0 ? IQT_OK : fail_io("sync", j);
}

static void put_hashed(struct iqt_buf *b, size_t from)
{
    const uint64_t hash = iqt_hash(b->data + from, b->bytes - from, 0);

    iqt_buf_printf(b, " #%016llx\n", (unsigned long long)hash);
}

/* Title, key and the line that ends them; on the disk before the first byte of output. */
static enum iqt_status start(struct iqt_journal *j, const struct iqt_buf *key)
{
    struct iqt_buf b = { 0 };
    enum iqt_status status;

    iqt_buf_printf(&b, "%s%sstart", TITLE, iqt_buf_text(key));
    put_hashed(&b, 0);
    status = iqt_buf_check(&b);
    if (status == IQT_OK && ftruncate(j->fd, 0) != 0)
        status = fail_io("empty", j);
    if (status == IQT_OK && lseek(j->fd, 0, SEEK_SET) < 0)
        status = fail_io("rewind", j);
    if (status == IQT_OK)
        status = append(j, b.data, b.bytes);
    iqt_buf_free(&b);
    return status;
}

/* ---- Reading ---- */

/* Whether the line [from, end) of text, without its newline, ends in the hash of itself; *bytes of it are words. */
static bool is_whole(const char *from, const char *end, size_t *bytes)
{
    enum { MARK = 2 + 16 };
    char mark[MARK + 1];

    if (end - from < MARK)
        return false;
    *bytes = (size_t)(end - from) - MARK;
    snprintf(mark, sizeof mark, " #%016llx",
             (unsigned long long)iqt_hash(from, *bytes, 0));
    return memcmp(mark, from + *bytes, MARK) == 0;
}

/* The end of title, key and "start"; NULL: the run was killed before it began. */
static const char *head_end(const char *text)
{
    const char *at = strstr(text, "\nstart #");
    const char *end = at != NULL ? strchr(at + 1, '\n') : NULL;
    size_t bytes;

    return end != NULL && is_whole(text, end, &bytes) ? end + 1 : NULL;
}

/* By the first word of a line that differs. */
static const struct {
    const char *word, *what;
} others[] = {
    { "iqtile", "another version of the journal" },
    { "program", "another build of this program" },
    { "input", "another input, or one that has changed since" },
    { "types", "other types or options" },
};

static enum iqt_status fail_other(const struct iqt_journal *j, const char *was,
                                  const char *is)
{
    const char *what = "another run";

    for (size_t i = 0; i < IQT_COUNT(others); i++)
        if (strncmp(is, others[i].word, strlen(others[i].word)) == 0)
            what = others[i].what;
    return iqt_fail(
        IQT_ERR_ARG,
        "cannot go on, %s is of %s: it says \"%.*s\", expected \"%.*s\"; leave "
        "out --resume to start over",
        j->path, what, (int)strcspn(was, "\n"), was, (int)strcspn(is, "\n"), is);
}

/* Names the first line that differs. */
static enum iqt_status check_key(const struct iqt_journal *j, const char *text,
                                 const char *key)
{
    if (strncmp(text, TITLE, sizeof TITLE - 1) != 0)
        return fail_other(j, text, TITLE);
    text += sizeof TITLE - 1;
    while (*key != '\0') {
        const size_t length = strcspn(key, "\n") + 1;

        if (strncmp(text, key, length) != 0)
            return fail_other(j, text, key);
        text += length;
        key += length;
    }
    return IQT_OK;
}

/* One line of progress into jobs and *mark. */
static bool take(const char *line, struct iqt_jobs *jobs, struct iqt_gguf_mark *mark)
{
    struct iqt_row_loss loss;
    struct iqt_worst worst;
    uint64_t bytes;
    size_t tensor;
    struct iqt_job *job;

    if (sscanf(line,
               "tensor %zu %" SCNu64 " lost %la of %la worst %" SCNu64 " %la %" SCNu64
               " %la %" SCNu64 " %la",
               &tensor, &bytes, &loss.missed, &loss.all, &worst.row[0], &worst.error[0],
               &worst.row[1], &worst.error[1], &worst.row[2], &worst.error[2]) != 10)
        return false;
    if (tensor >= jobs->count || bytes > jobs->job[tensor].bytes)
        return false;
    job = &jobs->job[tensor];
    job->loss = loss;
    job->worst = worst;
    *mark = bytes == job->bytes ? (struct iqt_gguf_mark){ tensor + 1, 0 }
                                : (struct iqt_gguf_mark){ tensor, bytes };
    return true;
}

/* Returns the end of what is good. */
static const char *take_all(const char *at, struct iqt_jobs *jobs,
                            struct iqt_gguf_mark *mark)
{
    for (;;) {
        const char *end = strchr(at, '\n');
        size_t bytes;

        if (end == NULL || !is_whole(at, end, &bytes) || !take(at, jobs, mark))
            return at;
        at = end + 1;
    }
}

static enum iqt_status go_on(struct iqt_journal *j, const struct iqt_buf *key,
                             struct iqt_jobs *jobs, struct iqt_gguf_mark *mark)
{
    char *text;
    const char *at;
    size_t bytes;
    enum iqt_status status;

    IQT_TRY(iqt_file_read(j->path, &text, &bytes));
    at = head_end(text);
    status = at != NULL ? check_key(j, text, iqt_buf_text(key)) : IQT_OK;
    if (status == IQT_OK && at != NULL) {
        at = take_all(at, jobs, mark);
        j->next = mark->tensor;
        j->any = mark->tensor > 0 || mark->bytes > 0;
        if (ftruncate(j->fd, at - text) != 0 || lseek(j->fd, 0, SEEK_END) < 0)
            status = fail_io("go on with", j);
    }
    free(text);
    return status == IQT_OK && !j->any ? start(j, key) : status;
}

enum iqt_status iqt_journal_open(const char *path, const struct iqt_buf *key, bool resume,
                                 struct iqt_jobs *jobs, struct iqt_gguf_mark *mark,
                                 struct iqt_journal **out)
{
    struct iqt_journal *j = calloc(1, sizeof *j);
    struct iqt_buf name = { 0 };
    bool locked = false;
    enum iqt_status status;

    *mark = (struct iqt_gguf_mark){ 0 };
    iqt_buf_printf(&name, "%s%s", path, SUFFIX);
    if (j == NULL || name.failed) {
        free(j);
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a journal");
    }
    *j = (struct iqt_journal){ .fd = -1, .path = name.data, .noted_ns = iqt_now_ns() };
    status = lock(j);
    locked = status == IQT_OK;
    if (status == IQT_OK)
        status = resume ? go_on(j, key, jobs, mark) : start(j, key);
    if (status != IQT_OK) { /* what another run kept stays */
        iqt_journal_close(j, resume || !locked);
        return status;
    }
    *out = j;
    return IQT_OK;
}

bool iqt_journal_has(const struct iqt_journal *j)
{
    return j->any;
}

void iqt_journal_close(struct iqt_journal *j, bool keep)
{
    if (j == NULL)
        return;
    if (!keep)
        unlink(j->path);
    if (j->fd >= 0)
        close(j->fd);
    free(j->path);
    free(j);
}

/* ---- Noting ---- */

static void put_line(struct iqt_buf *b, size_t tensor, uint64_t bytes,
                     const struct iqt_job *job)
{
    const size_t from = b->bytes;

    iqt_buf_printf(b, "tensor %zu %" PRIu64 " lost %a of %a worst", tensor, bytes,
                   job->loss.missed, job->loss.all);
    for (size_t i = 0; i < IQT_WORST_ROWS; i++)
        iqt_buf_printf(b, " %" PRIu64 " %a", job->worst.row[i], job->worst.error[i]);
    if (!b->failed)
        put_hashed(b, from);
}

static enum iqt_status note(struct iqt_journal *j, const struct iqt_jobs *jobs,
                            const struct iqt_gguf_mark *mark)
{
    struct iqt_buf b = { 0 };
    enum iqt_status status;

    for (size_t i = j->next; i < mark->tensor; i++)
        put_line(&b, i, jobs->job[i].bytes, &jobs->job[i]);
    if (mark->bytes > 0)
        put_line(&b, mark->tensor, mark->bytes, &jobs->job[mark->tensor]);
    status = iqt_buf_check(&b);
    if (status == IQT_OK)
        status = append(j, iqt_buf_text(&b), b.bytes);
    iqt_buf_free(&b);
    j->next = mark->tensor;
    j->any = j->any || mark->tensor > 0 || mark->bytes > 0;
    return status;
}

enum iqt_status iqt_journal_note(struct iqt_journal *j, const struct iqt_jobs *jobs,
                                 struct iqt_gguf_writer *w, bool now)
{
    const uint64_t begin = iqt_now_ns(), passed = begin - j->noted_ns;
    struct iqt_gguf_mark mark;

    if (!now && (passed < least_ns || passed < SHARE * j->cost_ns))
        return IQT_OK;
    IQT_TRY(iqt_gguf_writer_sync(w, &mark));
    IQT_TRY(note(j, jobs, &mark));
    j->noted_ns = iqt_now_ns();
    j->cost_ns = j->noted_ns - begin;
    return IQT_OK;
}
