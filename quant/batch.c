/* The threads of rows that are encoded at once, and their questions for seeds. A row that asks waits; when all
 * rows under way wait, the last one passes everything on. What a row gets does not depend on the others. */
#include "quant/batch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 512 };

struct iqt_batch {
    const struct iqt_encoder *e;
    iqt_row_fn fn;
    void *user;
    size_t rows;

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t answered;
    size_t next;              /* row */
    uint32_t active, waiting; /* threads */
    uint64_t round;           /* of questions */
    struct iqt_seed_query *query;
    uint32_t *code;
    size_t count;
    enum iqt_status status;
    char text[TEXT];
};

bool iqt_encoder_asks(const struct iqt_encoder *e)
{
    return e->find != NULL && e->picker == IQT_PICK_SEEDS && e->plain == NULL;
}

/* The lock is held. The text of a failure belongs to the thread that it happened on. */
static void keep_failure(struct iqt_batch *b, enum iqt_status status)
{
    if (b->status != IQT_OK)
        return;
    b->status = status;
    snprintf(b->text, sizeof b->text, "%s", iqt_last_error());
}

void iqt_batch_fail(struct iqt_batch *b, enum iqt_status status)
{
    pthread_mutex_lock(&b->lock);
    keep_failure(b, status);
    pthread_mutex_unlock(&b->lock);
}

/* ---- Questions ---- */

/* The lock is held. */
static void answer(struct iqt_batch *b)
{
    enum iqt_status status = IQT_OK;

    if (b->count > 0 && b->status == IQT_OK)
        status = b->e->find(b->e->find_user, b->e->format, b->count, b->query, b->code);
    if (status != IQT_OK)
        keep_failure(b, status);
    b->count = 0;
    b->waiting = 0;
    b->round++;
    pthread_cond_broadcast(&b->answered);
}

/* The lock is held. */
static void answer_if_all_wait(struct iqt_batch *b)
{
    if (b->active > 0 && b->waiting == b->active)
        answer(b);
}

bool iqt_batch_find(struct iqt_batch *b, size_t count, const struct iqt_seed_query *query,
                    uint32_t *code)
{
    uint64_t round;
    size_t first;
    bool found;

    pthread_mutex_lock(&b->lock);
    first = b->count;
    round = b->round;
    memcpy(b->query + first, query, count * sizeof *query);
    b->count += count;
    b->waiting++;
    answer_if_all_wait(b);
    while (b->round == round)
        pthread_cond_wait(&b->answered, &b->lock);
    /* The next round's answers wait for this thread, so these are still there. */
    found = b->status == IQT_OK;
    if (found)
        memcpy(code, b->code + first, count * sizeof *code);
    pthread_mutex_unlock(&b->lock);
    return found;
}

/* ---- Threads ---- */

static bool take_row(struct iqt_batch *b, size_t *row)
{
    bool some;

    pthread_mutex_lock(&b->lock);
    some = b->next < b->rows && b->status == IQT_OK;
    *row = some ? b->next++ : 0;
    if (!some) {
        b->active--;
        answer_if_all_wait(b);
    }
    pthread_mutex_unlock(&b->lock);
    return some;
}

static void *encode_rows(void *user)
{
    struct iqt_batch *b = user;
    size_t row;

    while (take_row(b, &row))
        b->fn(b->user, b, row);
    return NULL;
}

/* Fewer threads than wanted encode all rows, too. */
static enum iqt_status run(struct iqt_batch *b, uint32_t wanted)
{
    pthread_t thread[IQT_ROWS_AT_ONCE];
    uint32_t made = 0;

    pthread_mutex_lock(&b->lock); /* nobody asks before all are counted */
    while (made < wanted && pthread_create(&thread[made], NULL, encode_rows, b) == 0)
        made++;
    b->active = made;
    pthread_mutex_unlock(&b->lock);
    for (uint32_t i = 0; i < made; i++)
        pthread_join(thread[i], NULL);
    if (made == 0 && wanted > 0)
        return iqt_fail(IQT_ERR_NO_MEMORY, "cannot create a thread to encode rows on");
    return b->status == IQT_OK ? IQT_OK : iqt_fail(b->status, "%s", b->text);
}

enum iqt_status iqt_batch_run(const struct iqt_encoder *e, size_t rows, iqt_row_fn fn,
                              void *user)
{
    const uint32_t threads = rows < IQT_ROWS_AT_ONCE ? (uint32_t)rows : IQT_ROWS_AT_ONCE;
    const size_t room = (size_t)threads * IQT_GROUPS + 1;
    struct iqt_batch b = { .e = e, .fn = fn, .user = user, .rows = rows };
    enum iqt_status status;

    b.query = malloc(room * sizeof *b.query);
    b.code = malloc(room * sizeof *b.code);
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.answered, NULL);
    status =
        b.query != NULL && b.code != NULL
            ? run(&b, threads)
            : iqt_fail(IQT_ERR_NO_MEMORY, "no memory to encode %u rows at once", threads);
    pthread_cond_destroy(&b.answered);
    pthread_mutex_destroy(&b.lock);
    free(b.query);
    free(b.code);
    return status;
}
