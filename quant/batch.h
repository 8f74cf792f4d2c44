/* Rows that are encoded at once, so that their questions for seeds become one batch for a device: each row has a
 * thread, and whoever asks last asks for all. Knows nothing of devices. */
#ifndef IQT_QUANT_BATCH_H
#define IQT_QUANT_BATCH_H

#include "quant/encoder.h"

enum { IQT_ROWS_AT_ONCE = 128 };

struct iqt_batch;

/* Encodes one row, with work.batch = batch. Called on several threads. */
typedef void (*iqt_row_fn)(void *user, struct iqt_batch *batch, size_t row);

/* Whether rows are to be encoded by iqt_batch_run(): the encoder asks somebody else for seeds. */
bool iqt_encoder_asks(const struct iqt_encoder *e);

/* Calls fn for rows [0, rows), as many at a time as IQT_ROWS_AT_ONCE. After a failure of the device rows under way
 * go on without it, no other is begun, and the failure is returned. */
IQT_MUST_USE enum iqt_status iqt_batch_run(const struct iqt_encoder *e, size_t rows,
                                           iqt_row_fn fn, void *user);

/* What iqt_batch_run() returns unless something failed before; the text is this thread's iqt_last_error(). */
void iqt_batch_fail(struct iqt_batch *b, enum iqt_status status);

/* Asks for at most IQT_GROUPS seeds, and waits until all other rows ask for theirs. false: the device has failed, and
 * nothing is written. */
bool iqt_batch_find(struct iqt_batch *b, size_t count, const struct iqt_seed_query *query,
                    uint32_t *code);

#endif
