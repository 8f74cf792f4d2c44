/* What the words on a command line stand for: formats, layouts, tensors, devices. */
#include "tools/cli.h"
#include "kernels/format.h"
#include "kernels/layout.h"

#include <iqtile/gguf.h>

#include <stdlib.h>
#include <string.h>

enum iqt_status iqt_cli_format(const char *name, const struct iqt_format **out)
{
    const struct iqt_format *f = iqt_format_find(name);
    struct iqt_buf list = { 0 };
    enum iqt_status status;

    if (f != NULL) {
        *out = iqt_format_base(f);
        return IQT_OK;
    }
    for (f = iqt_formats; f->name != NULL; f++)
        iqt_buf_printf(&list, " %s", f->name);
    status = iqt_fail(IQT_ERR_UNKNOWN, "unknown format '%s'; the formats are%s", name,
                      iqt_buf_text(&list));
    iqt_buf_free(&list);
    return status;
}

enum iqt_status iqt_cli_layout(const char *name, enum iqt_layout *out)
{
    static const enum iqt_layout all[] = { IQT_LAYOUT_NATIVE, IQT_LAYOUT_PACKED };

    for (size_t i = 0; i < IQT_COUNT(all); i++)
        if (strcmp(name, iqt_layout_name(all[i])) == 0) {
            *out = all[i];
            return IQT_OK;
        }
    return iqt_fail(IQT_ERR_UNKNOWN, "unknown layout '%s'; the layouts are native packed",
                    name);
}

enum iqt_status iqt_cli_columns(const char *list, struct iqt_cli_columns *out)
{
    struct iqt_cli_columns c = { .count = 0 };

    for (const char *at = list;;) {
        char *end;
        const unsigned long n = strtoul(at, &end, 10);

        if (end == at || *at == '-' || n < 1 || n > IQT_MAX_COLS ||
            c.count == IQT_MAX_COLS || (*end != '\0' && *end != ','))
            return iqt_fail(IQT_ERR_ARG,
                            "--n \"%s\": expected numbers of 1 .. %u with commas", list,
                            IQT_MAX_COLS);
        c.n[c.count++] = (uint32_t)n;
        if (*end == '\0')
            break;
        at = end + 1;
    }
    *out = c;
    return IQT_OK;
}

/* Everything a product needs to be true of a tensor from a file that nobody vouches for. */
static enum iqt_status check_tensor(const char *path, const char *name,
                                    const struct iqt_gguf_tensor *t,
                                    struct iqt_weights *w)
{
    uint64_t total;

    if (t->format == NULL)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "%s: tensor '%s' has type %u (%s): no kernels", path, name,
                        t->type, t->type_name != NULL ? t->type_name : "unknown");
    w->format = t->format;
    w->k = t->ne[0];
    w->m = iqt_gguf_rows(t);
    if (w->k == 0 || w->m == 0)
        return iqt_fail(IQT_ERR_SHAPE, "%s: tensor '%s' is empty: %zu rows of %zu", path,
                        name, w->m, w->k);
    IQT_TRY(iqt_format_row_bytes(w->format, w->k, &w->row_bytes));
    if (t->data == NULL || !iqt_mul(w->row_bytes, w->m, &total) || total > t->bytes)
        return iqt_fail(
            IQT_ERR_FORMAT,
            "%s: tensor '%s' does not lie inside the file: %zu rows of %zu bytes at "
            "offset %llu",
            path, name, w->m, w->row_bytes, (unsigned long long)t->offset);
    w->rows = t->data;
    if (w->format->base_type == 0)
        return IQT_OK;
    w->apart = malloc(total);
    if (w->apart == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s: tensor '%s': no memory for %llu bytes",
                        path, name, (unsigned long long)total);
    w->rows = w->apart;
    w->format = iqt_format_base(t->format);
    return iqt_rows_separate(t->format, w->m, w->k, t->data, w->apart);
}

enum iqt_status iqt_weights_open(const char *path, const char *tensor,
                                 struct iqt_weights *out)
{
    struct iqt_weights w = { 0 };
    struct iqt_gguf_tensor t;
    enum iqt_status status;

    IQT_TRY(iqt_gguf_open(path, &w.file));
    status = iqt_gguf_tensor_find(w.file, tensor, &t);
    if (status == IQT_OK)
        status = check_tensor(path, tensor, &t, &w);
    if (status != IQT_OK) {
        iqt_weights_close(&w);
        return status;
    }
    *out = w;
    return IQT_OK;
}

void iqt_weights_close(struct iqt_weights *w)
{
    free(w->apart);
    iqt_gguf_close(w->file);
    *w = (struct iqt_weights){ 0 };
}

static void add_spec(void *user, const struct iqt_device_info *info)
{
    struct iqt_specs *list = user;

    if (list->count < IQT_COUNT(list->spec))
        snprintf(list->spec[list->count++], sizeof list->spec[0], "%s", info->spec);
}

enum iqt_status iqt_specs_find(const char *device, struct iqt_specs *out)
{
    struct iqt_specs list = { 0 };
    struct iqt_context *ctx;
    enum iqt_status status;

    if (device != NULL && strlen(device) >= sizeof list.spec[0])
        return iqt_fail(IQT_ERR_UNKNOWN, "'%s' is too long for a device", device);
    if (device != NULL) {
        snprintf(list.spec[list.count++], sizeof list.spec[0], "%s", device);
        *out = list;
        return IQT_OK;
    }
    IQT_TRY(iqt_context_create(NULL, &ctx));
    status = iqt_device_list(ctx, add_spec, &list);
    iqt_context_destroy(ctx);
    IQT_TRY(status);
    *out = list;
    return IQT_OK;
}

static void print_note(void *user, const char *text)
{
    (void)user;
    fprintf(stderr, "iqtile: %s\n", text);
}

enum iqt_status iqt_seat_open(const char *spec, const char *packed_dir,
                              struct iqt_seat *out)
{
    const struct iqt_context_options options = { .struct_size = sizeof options,
                                                 .packed_dir = packed_dir,
                                                 .note = print_note };
    struct iqt_seat seat = { 0 };
    enum iqt_status status = iqt_context_create(&options, &seat.ctx);

    if (status == IQT_OK)
        status = iqt_device_open(seat.ctx, spec, &seat.dev);
    if (status == IQT_OK)
        status = iqt_queue_create(seat.dev, &seat.queue);
    if (status != IQT_OK) {
        iqt_seat_close(&seat);
        return status;
    }
    *out = seat;
    return IQT_OK;
}

void iqt_seat_close(struct iqt_seat *seat)
{
    iqt_queue_destroy(seat->queue);
    iqt_device_close(seat->dev);
    iqt_context_destroy(seat->ctx);
    *seat = (struct iqt_seat){ 0 };
}
