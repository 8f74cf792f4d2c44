/* libFuzzer target: reads the input as an importance matrix of either kind, computes all means, looks
 * tensors up, adds it to itself; and as second-order statistics. Seeds are in tests/fuzz/imatrix. */
#include "io/imatrix.h"
#include "io/second_order.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void use_entry(const struct iqt_imatrix *m, const struct iqt_imatrix_entry *e)
{
    const uint64_t ne[4] = { e->columns, 1, e->matrices, 1 };
    const struct iqt_imatrix_entry *found = NULL;
    float *means;

    if (iqt_imatrix_match(m, e->name, ne, &found) == IQT_OK && found != NULL &&
        found != e)
        abort();
    if (found == NULL)
        return;
    means = malloc(e->columns * e->matrices * sizeof *means);
    if (means == NULL)
        return;
    iqt_imatrix_means(e, e->columns, e->matrices, means);
    for (size_t i = 0; i < e->columns * e->matrices; i++)
        if (!isfinite(means[i]) || means[i] < 0)
            abort();
    free(means);
}

static void use_second(const uint8_t *data, size_t bytes)
{
    struct iqt_second *s;

    if (iqt_second_parse(data, bytes, &s) != IQT_OK)
        return;
    for (size_t i = 0; i < s->entries; i++) {
        const struct iqt_second_entry *e = &s->entry[i], *found;
        const uint64_t ne[4] = { e->columns, 1, e->matrices, 1 };

        if (iqt_second_match(s, e->name, ne, &found) != IQT_OK || found != e)
            abort();
    }
    iqt_second_destroy(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct iqt_imatrix *m, *sum;

    use_second(data, bytes);
    if (iqt_imatrix_parse(data, bytes, &m) != IQT_OK)
        return 0;
    for (size_t i = 0; i < m->entries; i++)
        use_entry(m, &m->entry[i]);
    if (iqt_imatrix_create("sum", &sum) == IQT_OK) {
        if (iqt_imatrix_to_inputs(m, 512) != IQT_OK || iqt_imatrix_sort(sum) != IQT_OK ||
            iqt_imatrix_merge(sum, m) != IQT_OK || iqt_imatrix_merge(sum, m) != IQT_OK)
            abort();
        iqt_imatrix_destroy(sum);
    }
    iqt_imatrix_destroy(m);
    return 0;
}
