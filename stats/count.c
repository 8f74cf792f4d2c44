/* Loops and sums over instructions. */
#include "stats/count.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_BACKWARD = 1024 };

static uint32_t memory_slots(uint32_t bytes)
{
    return bytes >= 16 ? 16 : bytes >= 8 ? 8 : 4;
}

enum iqt_status iqt_count_add(const struct iqt_count_input *in, size_t begin, size_t end,
                              double times, struct iqt_counts *to)
{
    for (size_t i = begin; i < end; i++) {
        struct iqt_kind kind;

        IQT_TRY(iqt_classify(in->isa, in->syntax, &in->list->at[i], &kind));
        to->class[kind.class] += times;
        to->instructions += times;
        to->cycles += times * kind.cycles;
        to->mma_slots += times * kind.products * in->product_slots;
        if (kind.class >= IQT_CLASS_GLOBAL && kind.class <= IQT_CLASS_SHUFFLE)
            to->memory_slots += times * memory_slots(kind.bytes);
        if (kind.class == IQT_CLASS_GLOBAL) {
            to->bytes += times * kind.bytes;
            to->wide_bytes += kind.bytes >= 16 ? times * kind.bytes : 0;
        }
        if (kind.class == IQT_CLASS_SCALAR_LOAD)
            to->scalar_bytes += times * kind.bytes;
    }
    return IQT_OK;
}

void iqt_counts_add(struct iqt_counts *to, const struct iqt_counts *c, double times)
{
    for (int i = 0; i < IQT_CLASSES; i++)
        to->class[i] += times * c->class[i];
    to->instructions += times * c->instructions;
    to->memory_slots += times * c->memory_slots;
    to->mma_slots += times * c->mma_slots;
    to->cycles += times * c->cycles;
    to->bytes += times * c->bytes;
    to->wide_bytes += times * c->wide_bytes;
    to->scalar_bytes += times * c->scalar_bytes;
}

/* ---- Loops ---- */

/* The way back from code behind the kernel's end, where NVIDIA's shuffles of diverged warps are, is
 * no loop. */
static bool leaves(const struct iqt_listing *l, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        if (strcmp(l->at[i].mnemonic, "EXIT") == 0)
            return true;
    return false;
}

/* Every backward branch; those to the same place are one loop. */
static size_t backward(const struct iqt_listing *l, struct iqt_loop *out, size_t cap)
{
    size_t count = 0;

    for (size_t i = 0; i < l->count; i++) {
        const size_t to = l->at[i].target;
        size_t n = 0;

        if (to == IQT_NO_TARGET || to > i || leaves(l, to, i))
            continue;
        while (n < count && out[n].begin != to)
            n++;
        if (n == cap)
            continue;
        out[n] = (struct iqt_loop){ .begin = to, .end = i + 1 };
        count += n == count;
    }
    return count;
}

static bool inside(const struct iqt_loop *a, const struct iqt_loop *b)
{
    return a->begin >= b->begin && a->end <= b->end;
}

double iqt_count_loaded(const struct iqt_count_input *in, const struct iqt_counts *c)
{
    return c->bytes + (in->scalar_data ? c->scalar_bytes : 0);
}

static enum iqt_status keep_loading(const struct iqt_count_input *in, double least,
                                    const struct iqt_loop *all, size_t count,
                                    struct iqt_loop *out, size_t *kept)
{
    *kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct iqt_counts c = { 0 };

        IQT_TRY(iqt_count_add(in, all[i].begin, all[i].end, 1, &c));
        if (c.class[IQT_CLASS_GLOBAL] > 0 && iqt_count_loaded(in, &c) >= least)
            out[(*kept)++] = all[i];
    }
    return IQT_OK;
}

static size_t count_inside(const struct iqt_loop *loop, size_t count,
                           const struct iqt_loop *outer)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += loop[i].begin != outer->begin && inside(&loop[i], outer);
    return n;
}

static int longer_first(const void *a, const void *b)
{
    const struct iqt_loop *x = a, *y = b;
    const size_t m = x->end - x->begin, n = y->end - y->begin;

    return m != n ? (m < n) - (m > n) : (x->begin > y->begin) - (x->begin < y->begin);
}

enum iqt_status iqt_count_loops(const struct iqt_count_input *in, double least_bytes,
                                struct iqt_loop out[IQT_MOST_LOOPS], size_t *count,
                                size_t *inner)
{
    struct iqt_loop all[MOST_BACKWARD], loop[MOST_BACKWARD];
    const size_t total = backward(in->list, all, IQT_COUNT(all));
    size_t loops, kept = 0;

    IQT_TRY(keep_loading(in, least_bytes, all, total, loop, &loops));
    for (size_t i = 0; i < loops; i++)
        if (count_inside(loop, loops, &loop[i]) == 0 && kept < IQT_MOST_LOOPS)
            out[kept++] = loop[i];
    qsort(out, kept, sizeof *out, longer_first);
    *count = kept;
    if (inner != NULL)
        *inner = kept > 0 ? count_inside(all, total, &out[0]) : 0;
    return IQT_OK;
}

/* ---- Slots ---- */

double iqt_counts_slots(enum iqt_isa isa, const struct iqt_counts *c)
{
    const double pipes[] = {
        c->instructions,
        2 * c->class[IQT_CLASS_ALU],
        2 * c -> class[IQT_CLASS_MULTIPLY],
        c -> memory_slots,
        8 * c -> class[IQT_CLASS_CONVERT],
        c -> mma_slots,
    };
    double most = 0;

    if (isa != IQT_ISA_SASS)
        return c->cycles;
    for (size_t i = 0; i < IQT_COUNT(pipes); i++)
        most = pipes[i] > most ? pipes[i] : most;
    return most;
}
