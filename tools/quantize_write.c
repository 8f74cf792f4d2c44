/* One run of the quantizer on the disk: output and journal side by side, what is kept when it is stopped, how
 * it goes on. */
#include "tools/cli.h"
#include "tools/quantize_journal.h"

/* Of the work of earlier runs: what the progress starts with. */
static enum iqt_status go_on(struct iqt_run *run, const struct iqt_gguf_mark *mark)
{
    if (mark->tensor == 0 && mark->bytes == 0)
        return IQT_OK;
    IQT_TRY(iqt_gguf_writer_continue(run->to, mark));
    fprintf(stderr, "iqtile: going on at tensor %zu of %zu\n", mark->tensor + 1,
            run->jobs->count);
    run->start = *mark;
    return IQT_OK;
}

/* Keeps what Ctrl-C would lose; everything else that fails would fail again. */
static enum iqt_status stop(struct iqt_run *run, const char *path, enum iqt_status status,
                            bool *keep)
{
    if (status != IQT_ERR_INTERRUPTED)
        return status;
    IQT_TRY(iqt_journal_note(run->journal, run->jobs, run->to, true));
    if (!iqt_journal_has(run->journal))
        return iqt_fail(status, "interrupted; nothing was written");
    iqt_gguf_writer_keep(run->to);
    *keep = true;
    return iqt_fail(status,
                    "interrupted; %s%s keeps what was done: the same command with "
                    "--resume goes on",
                    path, IQT_GGUF_PARTIAL);
}

enum iqt_status iqt_jobs_write(struct iqt_run *run, const char *path, uint64_t split,
                               bool resume)
{
    struct iqt_buf key = { 0 };
    struct iqt_gguf_mark mark;
    bool keep = false;
    enum iqt_status status;

    IQT_TRY(iqt_gguf_writer_begin_lasting(run->to, path, split));
    IQT_TRY(iqt_jobs_key(run->jobs, run->from, split, &key));
    status = iqt_journal_open(path, &key, resume, run->jobs, &mark, &run->journal);
    iqt_buf_free(&key);
    if (status != IQT_OK)
        return status;
    status = go_on(run, &mark);
    keep = status != IQT_OK; /* the user decides what is to become of it */
    if (status == IQT_OK) {
        status = iqt_jobs_run(run);
        status = stop(run, path, status, &keep);
    }
    if (status == IQT_OK) /* renaming may be what is interrupted */
        status = iqt_journal_note(run->journal, run->jobs, run->to, true);
    if (status == IQT_OK)
        status = iqt_gguf_writer_commit(run->to);
    iqt_journal_close(run->journal, keep);
    return status;
}
