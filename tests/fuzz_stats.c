/* libFuzzer target: the first byte chooses syntax and instruction set, the rest is a listing. Reads
 * it, classes its instructions, finds its loops, counts them. Seeds are in tests/fuzz/stats. */
#include "stats/count.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void count(const struct iqt_count_input *in)
{
    struct iqt_loop loops[IQT_MOST_LOOPS];
    struct iqt_counts c = { 0 };
    size_t found, inner;

    for (size_t i = 0; i < in->list->count; i++)
        if (in->list->at[i].target != IQT_NO_TARGET &&
            in->list->at[i].target >= in->list->count)
            abort();
    if (iqt_count_loops(in, 1, loops, &found, &inner) != IQT_OK)
        return;
    for (size_t i = 0; i < found; i++) {
        if (loops[i].end > in->list->count || loops[i].begin >= loops[i].end ||
            iqt_count_add(in, loops[i].begin, loops[i].end, 1, &c) != IQT_OK ||
            iqt_counts_slots(in->isa, &c) < 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct iqt_listing list;
    struct iqt_count_input in = { .list = &list, .product_slots = 8 };
    char *text;

    if (bytes == 0)
        return 0;
    text = calloc(1, bytes);
    if (text == NULL)
        return 0;
    memcpy(text, data + 1, bytes - 1);
    in.syntax = (enum iqt_syntax)(data[0] % 3);
    in.isa = (enum iqt_isa)(data[0] / 3 % IQT_ISAS);
    if (iqt_listing_parse(in.syntax, text, NULL, &list) == IQT_OK) {
        count(&in);
        iqt_listing_free(&list);
    }
    free(text);
    return 0;
}
