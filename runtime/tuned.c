/* The context's own source of tuned plans: the tuning database at its db_path. Read only; a
 * missing, damaged or newer database means built-in plans, never a failure. */
#include "runtime/runtime.h"

#include "codegen/codegen.h"
#include "tuner/database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tuned {
    const char *path;
    struct iqt_db *db; /* NULL: not opened yet */
};

void iqt_tuned_device(const struct iqt_device_info *info, struct iqt_db_device *out)
{
    *out = (struct iqt_db_device){ .backend = "" };
    snprintf(out->backend, sizeof out->backend, "%s", info->backend);
    snprintf(out->id, sizeof out->id, "%s", info->id);
    snprintf(out->name, sizeof out->name, "%s", info->name);
    snprintf(out->arch, sizeof out->arch, "%s", info->arch);
    snprintf(out->driver, sizeof out->driver, "%s", info->driver);
    /* Vulkan's arch is "vendor:device" where the driver names no architecture. */
    if (strchr(info->arch, ':'))
        snprintf(out->vendor, sizeof out->vendor, "%.*s", (int)strcspn(info->arch, ":"),
                 info->arch);
}

/* Opened at the first question and not before: it may be made while the context lives. */
static bool open_db(struct tuned *t)
{
    return t->db || (access(t->path, R_OK) == 0 &&
                     iqt_db_open(t->path, false, iqt_text_hash, &t->db) == IQT_OK);
}

static bool find(void *user, const struct iqt_device_info *info,
                 const struct iqt_plan *like, size_t m, size_t k, struct iqt_plan *out)
{
    struct tuned *t = user;
    struct iqt_db_device device;
    struct iqt_db_entry entry;
    enum iqt_db_match match = IQT_DB_NONE;

    if (!open_db(t))
        return false;
    iqt_tuned_device(info, &device);
    return iqt_db_find(t->db, &device, like, like->n, m, k, NULL, &entry, &match) ==
               IQT_OK &&
           match != IQT_DB_NONE && iqt_plan_parse(entry.plan, out) == IQT_OK;
}

static void close_tuned(void *user)
{
    struct tuned *t = user;

    iqt_db_close(t->db);
    free(t);
}

enum iqt_status iqt_tuned_attach(struct iqt_context *ctx)
{
    struct tuned *t;

    if (ctx->db_path[0] == '\0')
        return IQT_OK;
    t = calloc(1, sizeof *t);
    if (!t)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the tuning database");
    t->path = ctx->db_path;
    iqt_context_set_plans(
        ctx, (struct iqt_plan_source){ .find = find, .close = close_tuned, .user = t });
    return IQT_OK;
}
