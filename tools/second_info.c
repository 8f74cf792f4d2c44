/* What second-order statistics cover: entry by entry, and of the matrices of a model. */
#include "tools/imatrix.h"

#include <stdio.h>
#include <string.h>

enum { NAME_TEXT = 96 };

static void print_entry(const struct iqt_second_entry *e)
{
    char name[NAME_TEXT];
    size_t seen = 0;
    float most = 0;

    for (size_t i = 0; i < e->matrices; i++) {
        const float count = iqt_read_f32(e->count + 4 * i);

        seen += count > 0;
        most = count > most ? count : most;
    }
    iqt_escape(name, sizeof name, e->name, strlen(e->name));
    printf("%-36s %8zu %8zu %8zu %8zu %12.0f%s\n", name, e->columns, e->window,
           e->matrices, seen, (double)most,
           most < (float)e->window ? "  fewer inputs than columns" : "");
}

struct cover {
    size_t matrices, covered, defects;
};

static void check_tensor(const struct iqt_second *s, const struct iqt_gguf_tensor *t,
                         struct cover *c)
{
    const struct iqt_second_entry *e = NULL;
    struct iqt_buf name = { 0 };
    char shown[NAME_TEXT];

    iqt_escape(shown, sizeof shown, t->name, t->name_bytes);
    iqt_buf_append(&name, t->name, t->name_bytes);
    if (iqt_second_match(s, iqt_buf_text(&name), t->ne, &e) != IQT_OK) {
        printf("defect: %s\n", iqt_last_error());
        c->defects++;
    } else if (e == NULL) {
        printf("no statistics: %s\n", shown);
    } else if (strcmp(e->name, iqt_buf_text(&name)) != 0) {
        printf("same inputs: %s as %s\n", shown, e->name);
    }
    iqt_buf_free(&name);
    c->matrices++;
    c->covered += e != NULL;
}

size_t iqt_second_print(const struct iqt_second *s, const struct iqt_gguf *model)
{
    struct cover c = { 0 };

    printf("%s: second-order statistics, %zu tensors, %u chunks", s->path, s->entries,
           s->chunks);
    iqt_imatrix_print_texts(s->chunk_size, &s->datasets);
    printf("%-36s %8s %8s %8s %8s %12s\n", "tensor", "columns", "window", "matrices",
           "seen", "inputs");
    for (size_t i = 0; i < s->entries; i++)
        print_entry(&s->entry[i]);
    if (model == NULL)
        return 0;
    for (size_t i = 0; i < iqt_gguf_tensor_count(model); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(model, i);

        if (t.dims >= 2 && iqt_gguf_rows(&t) > 1)
            check_tensor(s, &t, &c);
    }
    printf("covered: %zu of %zu matrices\n", c.covered, c.matrices);
    return c.defects;
}
