/* What an importance matrix covers: entry by entry, and against the tensors of a model. */
#include "tools/imatrix.h"

#include <stdio.h>
#include <string.h>

enum { NAME_TEXT = 96 };

/* ---- Entries ---- */

static float most_inputs(const struct iqt_imatrix_entry *e)
{
    float most = 0;

    for (size_t i = 0; i < e->matrices; i++)
        if (iqt_imatrix_count(e, i) > most)
            most = iqt_imatrix_count(e, i);
    return most;
}

/* Matrices that the tensor of this name has in the model; 1 when there is no such tensor. */
static size_t matrices_in(const struct iqt_gguf *model, const char *name)
{
    const size_t bytes = strlen(name);

    for (size_t i = 0; model != NULL && i < iqt_gguf_tensor_count(model); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(model, i);

        if (t.name_bytes == bytes && memcmp(t.name, name, bytes) == 0)
            return (size_t)t.ne[2];
    }
    return 1;
}

static size_t print_entry(const struct iqt_imatrix_entry *e, const struct iqt_gguf *model)
{
    const struct iqt_imatrix_seen seen = iqt_imatrix_seen(e, matrices_in(model, e->name));
    const size_t columns = e->columns * e->matrices / seen.matrices;
    char name[NAME_TEXT];

    iqt_escape(name, sizeof name, e->name, strlen(e->name));
    printf("%-36s %8zu %8zu %8zu %10zu %12.0f%s\n", name, columns, seen.matrices,
           seen.matrices - seen.never, seen.zeros, (double)most_inputs(e),
           seen.never == seen.matrices ? "  all zero" : "");
    return seen.never == seen.matrices;
}

void iqt_imatrix_print_texts(uint32_t chunk_size, const struct iqt_buf *datasets)
{
    const char *texts = iqt_buf_text(datasets);

    if (chunk_size > 0)
        printf(" of %u", chunk_size);
    printf("\n");
    while (*texts != '\0') {
        const size_t bytes = strcspn(texts, "\n");

        printf("text: %.*s\n", (int)bytes, texts);
        texts += bytes + (texts[bytes] == '\n');
    }
}

static void print_head(const struct iqt_imatrix *m)
{
    printf("%s: %s, %zu tensors, %u chunks", m->path, m->gguf != NULL ? "GGUF" : "legacy",
           m->entries, m->chunks);
    iqt_imatrix_print_texts(m->chunk_size, &m->datasets);
    printf("%-36s %8s %8s %8s %10s %12s\n", "tensor", "columns", "matrices", "seen",
           "zeros", m->in_calls ? "calls" : "inputs");
}

/* ---- Against a model ---- */

struct cover {
    size_t matrices, covered;
    double weights, covered_weights;
    size_t defects;
};

static void check_tensor(const struct iqt_imatrix *m, const struct iqt_gguf_tensor *t,
                         struct cover *c)
{
    const double weights = (double)t->ne[0] * (double)iqt_gguf_rows(t);
    const struct iqt_imatrix_entry *e = NULL;
    struct iqt_buf name = { 0 };
    char shown[NAME_TEXT];

    iqt_escape(shown, sizeof shown, t->name, t->name_bytes);
    iqt_buf_append(&name, t->name, t->name_bytes);
    if (iqt_imatrix_match(m, iqt_buf_text(&name), t->ne, &e) != IQT_OK) {
        printf("defect: %s\n", iqt_last_error());
        c->defects++;
    } else if (e == NULL) {
        printf("no importance: %s\n", shown);
    } else if (strcmp(e->name, iqt_buf_text(&name)) != 0) {
        printf("same inputs: %s as %s\n", shown, e->name);
    }
    iqt_buf_free(&name);
    c->matrices++;
    c->weights += weights;
    c->covered += e != NULL;
    c->covered_weights += e != NULL ? weights : 0;
}

static size_t check_model(const struct iqt_imatrix *m, const struct iqt_gguf *model)
{
    struct cover c = { 0 };

    for (size_t i = 0; i < iqt_gguf_tensor_count(model); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(model, i);

        if (t.dims >= 2 && iqt_gguf_rows(&t) > 1)
            check_tensor(m, &t, &c);
    }
    for (size_t i = 0; i < m->entries; i++) {
        struct iqt_gguf_tensor t;

        if (iqt_gguf_tensor_find(model, m->entry[i].name, &t) != IQT_OK)
            printf("not in the model: %s\n", m->entry[i].name);
    }
    printf("covered: %zu of %zu matrices, %.1f %% of their weights\n", c.covered,
           c.matrices, c.weights > 0 ? 100 * c.covered_weights / c.weights : 0);
    return c.defects;
}

size_t iqt_imatrix_print(const struct iqt_imatrix *m, const struct iqt_gguf *model)
{
    size_t defects = 0;

    print_head(m);
    for (size_t i = 0; i < m->entries; i++)
        defects += print_entry(&m->entry[i], model);
    return model == NULL ? defects : check_model(m, model);
}
