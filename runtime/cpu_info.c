/* What this machine is: instruction sets, caches, cores. The only file that asks cpuinfo. */
#include "runtime/cpu.h"

#include <cpuinfo.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has_portable(void)
{
    return true;
}

static bool has_avx2(void)
{
    return cpuinfo_has_x86_avx2() && cpuinfo_has_x86_fma3() && cpuinfo_has_x86_f16c();
}

static bool has_avx512(void)
{
    return has_avx2() && cpuinfo_has_x86_avx512f() && cpuinfo_has_x86_avx512bw() &&
           cpuinfo_has_x86_avx512vl() && cpuinfo_has_x86_avx512dq() &&
           cpuinfo_has_x86_avx512vnni() && cpuinfo_has_x86_avx512vbmi() &&
           cpuinfo_has_x86_avx512vbmi2();
}

const char *const iqt_cpu_isas[] = { "portable", "avx2", "avx512", NULL };
static bool (*const isa_present[])(void) = { has_portable, has_avx2, has_avx512 };

/* Words for people; the kernels' choice is made by isa_present alone. */
static const struct feature {
    const char *name;
    bool (*present)(void);
} features[] = {
    { "avx2", cpuinfo_has_x86_avx2 },
    { "fma", cpuinfo_has_x86_fma3 },
    { "f16c", cpuinfo_has_x86_f16c },
    { "avx512f", cpuinfo_has_x86_avx512f },
    { "avx512bw", cpuinfo_has_x86_avx512bw },
    { "avx512vnni", cpuinfo_has_x86_avx512vnni },
    { "avx512vbmi", cpuinfo_has_x86_avx512vbmi },
    { "neon", cpuinfo_has_arm_neon },
    { "dotprod", cpuinfo_has_arm_neon_dot },
};

/* cpuinfo reads /proc and /sys; where it cannot, only portable code is sure to run. */
static bool present(uint32_t isa)
{
    return isa == 0 || (cpuinfo_initialize() && isa_present[isa]());
}

static enum iqt_status fail_isa(enum iqt_status status, const char *name, const char *why)
{
    struct iqt_buf known = { 0 };

    for (uint32_t i = 0; iqt_cpu_isas[i]; i++)
        if (present(i))
            iqt_buf_printf(&known, "%s%s", i ? ", " : "", iqt_cpu_isas[i]);
    status = iqt_fail(status, "IQT_CPU=%s %s; this machine can use: %s", name, why,
                      iqt_buf_text(&known));
    iqt_buf_free(&known);
    return status;
}

enum iqt_status iqt_cpu_isa(uint32_t *index)
{
    const char *wanted = getenv("IQT_CPU");
    uint32_t best = 0;

    for (uint32_t i = 0; iqt_cpu_isas[i]; i++) {
        if (wanted && strcmp(wanted, iqt_cpu_isas[i]) == 0) {
            if (!present(i))
                return fail_isa(IQT_ERR_UNSUPPORTED, wanted, "is missing here");
            *index = i;
            return IQT_OK;
        }
        if (present(i))
            best = i;
    }
    if (wanted && *wanted)
        return fail_isa(IQT_ERR_UNKNOWN, wanted, "is no instruction set");
    *index = best;
    return IQT_OK;
}

uint32_t iqt_cpu_cores(void)
{
    cpu_set_t set;
    int count = 0;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        count = CPU_COUNT(&set);
    return count > 0 ? (uint32_t)count : 1;
}

static void describe_hardware(struct iqt_device_info *info)
{
    const struct cpuinfo_cache *last = NULL;
    size_t at = 0;

    snprintf(info->name, sizeof info->name, "%s", cpuinfo_get_package(0)->name);
    for (size_t i = 0; i < IQT_COUNT(features); i++)
        if (features[i].present())
            at += (size_t)snprintf(info->features + at, sizeof info->features - at,
                                   "%s%s", at ? " " : "", features[i].name);
    if (cpuinfo_get_l3_caches_count() > 0)
        last = cpuinfo_get_l3_cache(0);
    else if (cpuinfo_get_l2_caches_count() > 0)
        last = cpuinfo_get_l2_cache(0);
    info->cache_bytes = last ? last->size : 0;
}

void iqt_cpu_describe(uint32_t isa, uint32_t threads, struct iqt_device_info *info)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGE_SIZE);

    *info = (struct iqt_device_info){ .subgroup_min = 1, .subgroup_max = 1 };
    snprintf(info->name, sizeof info->name, "unknown processor");
    if (cpuinfo_initialize())
        describe_hardware(info);
    snprintf(info->driver, sizeof info->driver, "iqtile host kernels " IQT_VERSION);
    snprintf(info->id, sizeof info->id, "%.63s", info->name);
    snprintf(info->arch, sizeof info->arch, "%s", iqt_cpu_isas[isa]);
    info->memory_bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    info->compute_units = threads;
}
