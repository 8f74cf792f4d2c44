/* Plans from the database for products: identity of devices, opening, look-up. Decides nothing
 * about plans; products check what they get from here. */
#include "runtime/tuned.h"

#include "codegen/codegen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Words in a device's or driver's name, and whose it is: for the fallback to the same vendor.
 * Simulated and software drivers first, they name others as well. */
static const struct vendor {
    const char *word, *vendor;
} vendors[] = {
    { "simulated", "simulated" },
    { "llvmpipe", "mesa-llvmpipe" },
    { "swiftshader", "google-swiftshader" },
    { "nvidia", "nvidia" },
    { "radeon", "amd" },
    { "amd", "amd" },
    { "intel", "intel" },
    { "adreno", "qualcomm" },
    { "mali", "arm" },
    { "apple", "apple" },
};

void iqt_tuned_device(const struct iqt_device_info *info, struct iqt_db_device *out)
{
    memset(out, 0, sizeof *out);
    snprintf(out->backend, sizeof out->backend, "%s", info->backend);
    snprintf(out->id, sizeof out->id, "%s", info->id);
    snprintf(out->name, sizeof out->name, "%s", info->name);
    /* A real device must not take the plans of a simulated one for its own kind's. */
    snprintf(out->arch, sizeof out->arch, "%s%.40s",
             iqt_device_simulated(info) ? "simulated " : "", info->arch);
    snprintf(out->driver, sizeof out->driver, "%s", info->driver);
    for (size_t i = 0; i < IQT_COUNT(vendors) && !out->vendor[0]; i++)
        if (strcasestr(info->name, vendors[i].word) ||
            strcasestr(info->driver, vendors[i].word))
            snprintf(out->vendor, sizeof out->vendor, "%s", vendors[i].vendor);
}

static enum iqt_status make_folder(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash || slash == path)
        return IQT_OK;
    char *folder = strndup(path, (size_t)(slash - path));
    if (!folder)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the folder of %s", path);
    const enum iqt_status status = iqt_dir_make(folder);
    free(folder);
    return status;
}

enum iqt_status iqt_tuned_open(const struct iqt_context *ctx, bool create,
                               struct iqt_db **out)
{
    if (!ctx->db_path[0])
        return iqt_fail(IQT_ERR_DB, "there is no tuning database: its path is empty, or "
                                    "no cache folder is known");
    if (create)
        IQT_TRY(make_folder(ctx->db_path));
    return iqt_db_open(ctx->db_path, create, iqt_text_hash, out);
}

/* ---- The source of plans ------------------------------------------------------------- */

struct source {
    const struct iqt_context *ctx;
    struct iqt_db *db; /* NULL: not opened yet, or not usable */
    bool tried;
};

static bool find(void *user, const struct iqt_device_info *info,
                 const struct iqt_plan *like, size_t m, size_t k, struct iqt_plan *out)
{
    struct source *s = user;
    struct iqt_db_device device;
    struct iqt_db_entry entry;
    enum iqt_db_match match = IQT_DB_NONE;

    if (!s->tried && iqt_tuned_open(s->ctx, false, &s->db) != IQT_OK)
        s->db = NULL;
    s->tried = true;
    if (!s->db)
        return false;
    iqt_tuned_device(info, &device);
    return iqt_db_find(s->db, &device, like, like->n, m, k, NULL, &entry, &match) ==
               IQT_OK &&
           match != IQT_DB_NONE && iqt_plan_parse(entry.plan, out) == IQT_OK;
}

static void close_source(void *user)
{
    struct source *s = user;

    iqt_db_close(s->db);
    free(s);
}

/* The file is opened at the first look-up: a context that computes nothing touches no file, and
 * a database that is missing or damaged means built-in plans. */
enum iqt_status iqt_tuned_attach(struct iqt_context *ctx)
{
    struct iqt_plan_source source = { 0 };

    if (ctx->db_path[0]) {
        struct source *s = calloc(1, sizeof *s);

        if (!s)
            return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the source of tuned plans");
        s->ctx = ctx;
        source =
            (struct iqt_plan_source){ .find = find, .close = close_source, .user = s };
    }
    iqt_context_set_plans(ctx, source);
    return IQT_OK;
}
