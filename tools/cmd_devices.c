/* iqtile devices: what can compute here, and why the rest cannot. */
#include "tools/cli.h"
#include "tools/json_text.h"
#include "runtime/backend.h"

#include <string.h>

struct devices_opts {
    bool json;
};

static const struct iqt_opt devices_opts[] = {
    { "json", IQT_OPT_FLAG, NULL, "print JSON for machines",
      offsetof(struct devices_opts, json) },
    { 0 },
};

/* What the call-back needs to print one backend's devices. */
struct printer {
    const char *backend;
    size_t count; /* devices printed so far, of all backends */
};

static void print_text(void *user, const struct iqt_device_info *d)
{
    struct printer *p = user;

    if (strcmp(d->backend, p->backend) != 0)
        return;
    p->count++;
    printf("%-10s %s\n", d->spec, d->name);
    printf("           driver %s, id %s, arch %s\n", d->driver, d->id, d->arch);
    printf("           ");
    if (d->compute_units > 0)
        printf("%u compute units, ", d->compute_units);
    if (d->memory_bytes > 0)
        printf("%.1f GiB memory, ", (double)d->memory_bytes / (1u << 30));
    if (d->cache_bytes > 0)
        printf("%.1f MiB last-level cache, ", (double)d->cache_bytes / (1u << 20));
    printf("subgroups of %u..%u\n", d->subgroup_min, d->subgroup_max);
    printf("           features: %s\n", d->features);
}

static void print_json_text(const char *name, const char *value)
{
    printf("\"%s\": ", name);
    json_text(stdout, value, strlen(value));
    printf(", ");
}

static void print_json(void *user, const struct iqt_device_info *d)
{
    struct printer *p = user;

    if (strcmp(d->backend, p->backend) != 0)
        return;
    printf("%s\n    {", p->count++ > 0 ? "," : "");
    print_json_text("spec", d->spec);
    print_json_text("backend", d->backend);
    print_json_text("name", d->name);
    print_json_text("driver", d->driver);
    print_json_text("id", d->id);
    print_json_text("arch", d->arch);
    print_json_text("features", d->features);
    printf("\"memory_bytes\": %llu, \"cache_bytes\": %llu, \"compute_units\": %u, "
           "\"subgroup_min\": %u, \"subgroup_max\": %u}",
           (unsigned long long)d->memory_bytes, (unsigned long long)d->cache_bytes,
           d->compute_units, d->subgroup_min, d->subgroup_max);
}

static enum iqt_status list_text(struct iqt_context *ctx)
{
    struct printer p = { 0 };

    for (size_t i = 0; iqt_backends[i] != NULL; i++) {
        const char *why;

        p.backend = iqt_backends[i]->name;
        IQT_TRY(iqt_device_list(ctx, print_text, &p));
        IQT_TRY(iqt_backend_reason(ctx, p.backend, &why));
        if (why[0] != '\0')
            printf("%-10s absent: %s\n", p.backend, why);
    }
    return IQT_OK;
}

static enum iqt_status list_json(struct iqt_context *ctx)
{
    struct printer p = { 0 };
    bool first = true;

    printf("{\n  \"version\": \"%s\",\n  \"devices\": [", iqt_version());
    for (size_t i = 0; iqt_backends[i] != NULL; i++) {
        p.backend = iqt_backends[i]->name;
        IQT_TRY(iqt_device_list(ctx, print_json, &p));
    }
    printf("\n  ],\n  \"absent\": {");
    for (size_t i = 0; iqt_backends[i] != NULL; i++) {
        const char *why;

        IQT_TRY(iqt_backend_reason(ctx, iqt_backends[i]->name, &why));
        if (why[0] == '\0')
            continue;
        printf("%s\"%s\": ", first ? "" : ", ", iqt_backends[i]->name);
        json_text(stdout, why, strlen(why));
        first = false;
    }
    printf("}\n}\n");
    return IQT_OK;
}

static int run(const void *opts, int count, char **args)
{
    const struct devices_opts *o = opts;
    struct iqt_context *ctx;
    enum iqt_status status = iqt_context_create(NULL, &ctx);

    (void)count;
    (void)args;
    if (status != IQT_OK)
        return iqt_cli_fail(status);
    status = o->json ? list_json(ctx) : list_text(ctx);
    iqt_context_destroy(ctx);
    return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
}

const struct iqt_command iqt_cmd_devices = {
    .name = "devices",
    .usage = "[--json]",
    .summary = "list backends, devices, their features, and why a backend is absent",
    .opts = devices_opts,
    .opts_bytes = sizeof(struct devices_opts),
    .run = run,
};
