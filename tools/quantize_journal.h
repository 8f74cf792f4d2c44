/* The journal of a quantizer's run: a text file beside the output that says, after each time the output was
 * synced, how far it is good and what the tensors so far have lost. A killed run goes on from there. */
#ifndef IQT_TOOLS_QUANTIZE_JOURNAL_H
#define IQT_TOOLS_QUANTIZE_JOURNAL_H

#include "io/gguf_write.h"
#include "tools/quantize.h"

struct iqt_journal;

/* ---- quantize_key.c ---- */

/* Lines of what decides the bytes of the output: program, input (size, time, hash of its head and of samples),
 * types. The caller frees out. */
IQT_MUST_USE enum iqt_status iqt_jobs_key(const struct iqt_jobs *jobs,
                                          const struct iqt_gguf *g, uint64_t split,
                                          struct iqt_buf *out);

/* ---- quantize_journal.c ---- */

/* Opens PATH.journal, for this process alone. resume: what an earlier run kept is put into jobs and *mark; *mark
 * is zero where there is nothing to go on with. IQT_ERR_ARG when that run was another: key says other things.
 * Without resume, or with nothing to go on with, the journal starts anew. */
IQT_MUST_USE enum iqt_status iqt_journal_open(const char *path, const struct iqt_buf *key,
                                              bool resume, struct iqt_jobs *jobs,
                                              struct iqt_gguf_mark *mark,
                                              struct iqt_journal **out);
/* Syncs the output, then says how far it is. now: in any case, else only where that costs little of the time. */
IQT_MUST_USE enum iqt_status iqt_journal_note(struct iqt_journal *j,
                                              const struct iqt_jobs *jobs,
                                              struct iqt_gguf_writer *w, bool now);
/* Whether there is anything that a later run could go on with. */
bool iqt_journal_has(const struct iqt_journal *j);
/* Closes; unless keep removes the file, too. NULL is allowed. */
void iqt_journal_close(struct iqt_journal *j, bool keep);

#endif
