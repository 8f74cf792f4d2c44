/* docs/formats.md has a table that is derived from the format table. This compares the two;
 * with --print it writes the table instead, to be pasted between the markers. */
#include "kernels/format.h"
#include "kernels/layout.h"
#include "tests/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char begin_mark[] = "<!-- table: build/tests/test_formats_doc --print -->\n";
static const char end_mark[] = "<!-- end of the table -->\n";

static const char *const decode_names[] = {
    [IQT_DECODE_CODEBOOK] = "codebook",
    [IQT_DECODE_LINEAR] = "linear",
    [IQT_DECODE_TRELLIS] = "trellis",
    [IQT_DECODE_FLOAT] = "float",
};

static const char *const float_names[] = {
    [IQT_F16] = "f16",
    [IQT_BF16] = "bf16",
    [IQT_F32] = "f32",
};

static void print_scale(struct iqt_buf *b, const struct iqt_scalar *s)
{
    if (s->at == IQT_AT_NONE)
        iqt_buf_printf(b, "- |");
    else
        iqt_buf_printf(b, "%s per %s |", float_names[s->type],
                       s->at == IQT_AT_ROW ? "row" : "superblock");
}

/* What a weight's integer is made of. */
static void print_values(struct iqt_buf *b, const struct iqt_format *f)
{
    iqt_buf_printf(b, " %s", decode_names[f->decode]);
    if (f->codebook != NULL)
        iqt_buf_printf(b, " of %u%s", f->codebook->count,
                       f->codebook->dim == 2   ? " pairs"
                       : f->codebook->dim == 4 ? " fours, signs apart"
                                               : "");
    if (f->gray)
        iqt_buf_printf(b, ", gray-coded");
    if (f->trellis != NULL)
        iqt_buf_printf(b, ", %u weights a seed%s", f->trellis->group,
                       f->trellis->magnitude ? ", signs apart" : "");
    if (!iqt_field_empty(&f->shift))
        iqt_buf_printf(b, ", shift bit");
    if (iqt_has_min(f))
        iqt_buf_printf(b, ", minimum");
    iqt_buf_printf(b, " |");
}

static void print_table(struct iqt_buf *b)
{
    iqt_buf_printf(
        b, "| format | GGUF type | bits per weight | weights | bytes | row header "
           "| block | float scale | values | packed unit |\n"
           "|---|---|---|---|---|---|---|---|---|---|\n");
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        struct iqt_packing packing;

        iqt_packing_init(&packing, f);
        iqt_buf_printf(b, "| %s | %u | %g | %u | %u | %u | %u | ", f->name, f->gguf_type,
                       8.0 * f->bytes / f->superblock, f->superblock, f->bytes,
                       f->row_head, f->block);
        print_scale(b, &f->super);
        print_values(b, f);
        iqt_buf_printf(b, " %u weights, %u vectors |\n", packing.unit, packing.vecs);
    }
}

/* The text between the marks of the document; NULL when they are absent. */
static char *between_marks(char *text)
{
    char *begin = strstr(text, begin_mark);
    char *end;

    if (begin == NULL)
        return NULL;
    begin += strlen(begin_mark);
    end = strstr(begin, end_mark);
    if (end == NULL)
        return NULL;
    *end = '\0';
    return begin;
}

static void compare(const char *want)
{
    char path[4096], *text, *have;
    size_t bytes;

    snprintf(path, sizeof(path), "%s/../docs/formats.md", check_data());
    if (iqt_file_read(path, &text, &bytes) != IQT_OK) {
        check_fail("%s: %s", path, iqt_last_error());
        return;
    }
    have = between_marks(text);
    check_true(have != NULL, "%s lacks the marks %s", path, begin_mark);
    check_true(
        have == NULL || strcmp(have, want) == 0,
        "%s differs from the format table: paste build/tests/test_formats_doc --print",
        path);
    free(text);
}

int main(int argc, char **argv)
{
    struct iqt_buf table = { 0 };

    print_table(&table);
    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        fputs(iqt_buf_text(&table), stdout);
        iqt_buf_free(&table);
        return 0;
    }
    check_init(argc, argv);
    if (check_begin("formats_doc")) {
        compare(iqt_buf_text(&table));
        check_end();
    }
    iqt_buf_free(&table);
    return check_done();
}
