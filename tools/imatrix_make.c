/* Makes an importance matrix from files of activations: sums of squares by column, one input a row. */
#include "tools/imatrix.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX ".f32"

struct maker {
    const struct iqt_gguf *model;
    const char *model_path, *folder;
    struct iqt_imatrix *m;
    float most;                /* inputs of a matrix */
    struct iqt_second *second; /* NULL: not asked for */
    size_t second_window;
};

/* The tensor and the matrix that "NAME.f32" or "NAME.I.f32" is about. */
static enum iqt_status parse_name(const struct maker *mk, const char *file,
                                  struct iqt_gguf_tensor *t, size_t *matrix)
{
    char *name = strndup(file, strlen(file) - (sizeof SUFFIX - 1));
    char *dot = name != NULL ? strrchr(name, '.') : NULL;
    enum iqt_status status;

    if (name == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the name of %s", file);
    *matrix = 0;
    if (dot != NULL && dot[1] != '\0' && dot[1 + strspn(dot + 1, "0123456789")] == '\0' &&
        strlen(dot + 1) < 7) {
        *matrix = (size_t)strtoul(dot + 1, NULL, 10);
        *dot = '\0';
        dot = NULL; /* numbered */
    }
    status = iqt_gguf_tensor_find(mk->model, name, t);
    if (status == IQT_OK && (*matrix >= t->ne[2] || (dot != NULL && t->ne[2] > 1)))
        status = iqt_fail(IQT_ERR_ARG,
                          "%s/%s: tensor %s has %llu matrices, expected %s.0" SUFFIX
                          " and so on, one a matrix",
                          mk->folder, file, name, (unsigned long long)t->ne[2], name);
    free(name);
    return status;
}

static enum iqt_status entry_of(struct maker *mk, const struct iqt_gguf_tensor *t,
                                struct iqt_imatrix_entry **out)
{
    const size_t columns = (size_t)t->ne[0], matrices = (size_t)t->ne[2];
    char *name = strndup(t->name, t->name_bytes);
    struct iqt_imatrix_entry *e;

    if (name == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a name");
    for (size_t i = 0; i < mk->m->entries; i++)
        if (strcmp(mk->m->entry[i].name, name) == 0) {
            free(name);
            *out = &mk->m->entry[i];
            return IQT_OK;
        }
    IQT_TRY(iqt_imatrix_append(mk->m, name, &e));
    e->columns = columns;
    e->matrices = matrices;
    e->own = calloc((columns + 1) * matrices, sizeof *e->own);
    if (e->own == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu x %zu columns", matrices,
                        columns);
    e->sum2 = (const uint8_t *)e->own;
    e->count = (const uint8_t *)(e->own + columns * matrices);
    *out = e;
    return IQT_OK;
}

static enum iqt_status add_rows(const struct maker *mk, const char *file,
                                const struct iqt_map *map, size_t columns, double *sums)
{
    const size_t rows = map->bytes / 4 / columns;

    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j++) {
            const float x = iqt_read_f32(map->data + 4 * (r * columns + j));

            if (!isfinite(x))
                return iqt_fail(IQT_ERR_FORMAT,
                                "%s/%s: row %zu, column %zu is not finite: %g",
                                mk->folder, file, r, j, (double)x);
            sums[j] += (double)x * x;
        }
    return IQT_OK;
}

/* ---- Second order ---- */

static enum iqt_status second_of(const struct maker *mk, const struct iqt_gguf_tensor *t,
                                 const char *name, struct iqt_second_entry **out)
{
    const size_t columns = (size_t)t->ne[0];

    for (size_t i = 0; i < mk->second->entries; i++)
        if (strcmp(mk->second->entry[i].name, name) == 0) {
            *out = &mk->second->entry[i];
            return IQT_OK;
        }
    return iqt_second_append(mk->second, name, columns,
                             iqt_second_window(columns, mk->second_window),
                             (size_t)t->ne[2], out);
}

/* Finite rows, 32 at a time with zeros behind the last. */
static enum iqt_status add_second(const struct maker *mk, const struct iqt_map *map,
                                  const struct iqt_gguf_tensor *t, const char *name,
                                  size_t matrix)
{
    const size_t columns = (size_t)t->ne[0], rows = map->bytes / 4 / columns;
    struct iqt_second_entry *e;
    float *x;

    IQT_TRY(second_of(mk, t, name, &e));
    x = malloc(columns * IQT_SECOND_INPUTS * sizeof *x);
    if (x == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu columns", columns);
    for (size_t r = 0; r < rows; r += IQT_SECOND_INPUTS) {
        for (size_t i = 0; i < columns * IQT_SECOND_INPUTS; i++) {
            const size_t row = r + i % IQT_SECOND_INPUTS, j = i / IQT_SECOND_INPUTS;

            x[i] = row < rows ? iqt_read_f32(map->data + 4 * (row * columns + j)) : 0;
        }
        iqt_second_add(e, matrix, x, 0, columns);
    }
    free(x);
    e->own_count[matrix] = (float)rows;
    return IQT_OK;
}

static enum iqt_status add_map(struct maker *mk, const char *file,
                               const struct iqt_map *map, const struct iqt_gguf_tensor *t,
                               size_t matrix)
{
    const size_t columns = (size_t)t->ne[0];
    struct iqt_imatrix_entry *e;
    double *sums;
    float *count;
    enum iqt_status status;

    if (columns == 0 || map->bytes % (4 * columns) != 0)
        return iqt_fail(
            IQT_ERR_FORMAT,
            "%s/%s: %zu bytes are no whole rows of %zu floats, as tensor %.*s needs",
            mk->folder, file, map->bytes, columns, (int)t->name_bytes, t->name);
    IQT_TRY(entry_of(mk, t, &e));
    sums = calloc(columns, sizeof *sums);
    if (sums == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu columns", columns);
    status = add_rows(mk, file, map, columns, sums);
    for (size_t j = 0; j < columns; j++)
        e->own[matrix * columns + j] = (float)sums[j];
    count = e->own + columns * e->matrices + matrix;
    *count = (float)(map->bytes / 4 / columns);
    mk->most = fmaxf(mk->most, *count);
    free(sums);
    if (status == IQT_OK && mk->second != NULL)
        status = add_second(mk, map, t, e->name, matrix);
    return status;
}

static enum iqt_status add_file(struct maker *mk, const char *file)
{
    struct iqt_buf path = { 0 };
    struct iqt_map map = { 0 };
    struct iqt_gguf_tensor t;
    size_t matrix;
    enum iqt_status status;

    IQT_TRY(parse_name(mk, file, &t, &matrix));
    iqt_buf_printf(&path, "%s/%s", mk->folder, file);
    status = iqt_buf_check(&path);
    if (status == IQT_OK)
        status = iqt_map_open(iqt_buf_text(&path), &map);
    if (status == IQT_OK)
        status = add_map(mk, file, &map, &t, matrix);
    iqt_map_close(&map);
    iqt_buf_free(&path);
    return status;
}

static int is_activations(const struct dirent *d)
{
    const size_t bytes = strlen(d->d_name), suffix = sizeof SUFFIX - 1;

    return bytes > suffix && strcmp(d->d_name + bytes - suffix, SUFFIX) == 0;
}

static enum iqt_status add_files(struct maker *mk, struct dirent **files, int count)
{
    if (count == 0)
        return iqt_fail(IQT_ERR_ARG, "%s has no files TENSOR" SUFFIX, mk->folder);
    for (int i = 0; i < count; i++)
        IQT_TRY(add_file(mk, files[i]->d_name));
    return iqt_imatrix_sort(mk->m);
}

enum iqt_status iqt_imatrix_make(const struct iqt_gguf *model, const char *model_path,
                                 const char *folder, uint32_t chunk_size,
                                 struct iqt_second *second, size_t second_window,
                                 struct iqt_imatrix **out)
{
    struct maker mk = { .model = model,
                        .model_path = model_path,
                        .folder = folder,
                        .second = second,
                        .second_window = second_window };
    struct dirent **files;
    const int count = scandir(folder, &files, is_activations, alphasort);
    enum iqt_status status;

    if (count < 0)
        return iqt_fail(IQT_ERR_IO, "cannot read the folder %s", folder);
    status = iqt_imatrix_create(folder, &mk.m);
    if (status == IQT_OK)
        status = add_files(&mk, files, count);
    for (int i = 0; i < count; i++)
        free(files[i]);
    free(files);
    if (status != IQT_OK) {
        iqt_imatrix_destroy(mk.m);
        return status;
    }
    mk.m->chunk_size = chunk_size;
    mk.m->chunks = (uint32_t)ceilf(mk.most / (float)chunk_size);
    iqt_buf_printf(&mk.m->datasets, "%s\n", folder);
    if (second != NULL) {
        for (size_t i = 0; i < second->entries; i++)
            iqt_second_mirror(&second->entry[i]);
        second->chunks = mk.m->chunks;
        second->chunk_size = chunk_size;
        iqt_buf_printf(&second->datasets, "%s\n", folder);
    }
    *out = mk.m;
    return IQT_OK;
}
