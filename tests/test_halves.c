/* The launch in front of products with float16 activations, on every GPU there is, simulated ones included: the
 * model's bits, and nothing beside them. */
#include "tests/halve_case.h"
#include "tests/problem.h"

#include "runtime/pass.h"

enum { X_AT = 0, X_BYTES = HALVE_COUNT * 4, AT_STEP = 1 << 16 };
enum { H_AT = 3 * AT_STEP, S_AT = 5 * AT_STEP, ALL_BYTES = 6 * AT_STEP };

static enum iqt_status run(struct iqt_queue *q, const float *x, uint8_t *all)
{
    const struct iqt_backend *b = q->dev->backend;
    struct iqt_mem *mem;
    enum iqt_status status;

    IQT_TRY(b->alloc(q->dev->hw, ALL_BYTES, NULL, &mem));
    memcpy(all + X_AT, x, X_BYTES);
    status = b->write(q->stream, mem, 0, all, ALL_BYTES);
    if (status == IQT_OK)
        status = iqt_queue_finish(
            q,
            iqt_queue_activations(
                q, IQT_HELPER_HALVE, (struct iqt_slice){ mem, X_AT, X_BYTES }, HALVE_K,
                HALVE_COLS, (struct iqt_slice){ mem, H_AT, HALVE_COUNT * 2 },
                (struct iqt_slice){ mem, S_AT, HALVE_BLOCKS * sizeof(struct iqt_xs) }),
            NULL);
    if (status == IQT_OK)
        status = b->read(q->stream, mem, 0, all, ALL_BYTES);
    b->free(q->dev->hw, mem);
    return status;
}

static bool untouched(const uint8_t *all, size_t from, size_t to)
{
    while (from < to && all[from] == 0xa5)
        from++;
    return from == to;
}

static void test_device(struct target *t)
{
    uint8_t *all = malloc(ALL_BYTES);
    float *x = malloc(X_BYTES);
    struct halves *got = malloc(sizeof *got);

    if (!all || !x || !got)
        abort();
    memset(all, 0xa5, ALL_BYTES);
    halve_case_fill(x);
    if (run(t->q, x, all) != IQT_OK) {
        check_fail("%s", iqt_last_error());
    } else {
        memcpy(got->h, all + H_AT, sizeof got->h);
        memcpy(got->s, all + S_AT, sizeof got->s);
        check_true(halve_case_differ(x, got) == 0, "%zu blocks differ from the model",
                   halve_case_differ(x, got));
        check_true(untouched(all, X_AT + X_BYTES, H_AT) &&
                       untouched(all, H_AT + sizeof got->h, S_AT) &&
                       untouched(all, S_AT + sizeof got->s, ALL_BYTES),
                   "more was written than %u activations and their scales", HALVE_COUNT);
    }
    free(got);
    free(x);
    free(all);
}

int main(int argc, char **argv)
{
    struct targets gpus = { .count = 0 };

    check_init(argc, argv);
    targets_open_gpus(&gpus);
    for (size_t i = 0; i < gpus.count; i++)
        if (check_begin("halves.%s", gpus.at[i].name)) {
            test_device(&gpus.at[i]);
            check_end();
        }
    targets_close(&gpus);
    return check_done();
}
