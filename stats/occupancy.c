/* Limits of architectures. NVIDIA: "CUDA C++ Programming Guide", table Technical Specifications per
 * Compute Capability, and the allocation units of the CUDA occupancy calculator. AMD: LLVM's
 * lib/Target/AMDGPU/Utils/AMDGPUBaseInfo.cpp (getTotalNumVGPRs, getVGPRAllocGranule,
 * getMaxWavesPerEU); a compute unit has four SIMDs on gfx9 and two since gfx10. */
#include "stats/occupancy.h"

#include <string.h>

struct limits {
    const char *arch;   /* the longest beginning that fits */
    uint16_t units;     /* SIMDs or quarters that share the waves */
    uint16_t waves;     /* of a SIMD or quarter, at most */
    uint32_t registers; /* of a SIMD or quarter, times lanes of a wave */
    uint16_t
        granule; /* registers of a thread are rounded up to this, in waves of 64 or 32 */
    uint16_t workgroups;   /* at most; 0: no limit that matters */
    uint32_t shared_bytes; /* of all workgroups together */
    uint16_t shared_own;   /* taken by the system for each workgroup */
};

// clang-format off
static const struct limits table[] = {
    /* arch      units waves registers granule workgroups shared       own */
    { "sm_75",   4,    8,    16384,    8,      16,        64 * 1024,   0 },
    { "sm_80",   4,    16,   16384,    8,      32,        164 * 1024,  1024 },
    { "sm_86",   4,    12,   16384,    8,      16,        100 * 1024,  1024 },
    { "sm_87",   4,    12,   16384,    8,      16,        164 * 1024,  1024 },
    { "sm_89",   4,    12,   16384,    8,      24,        100 * 1024,  1024 },
    { "sm_90",   4,    16,   16384,    8,      32,        228 * 1024,  1024 },
    { "sm_100",  4,    16,   16384,    8,      32,        228 * 1024,  1024 },
    { "sm_103",  4,    16,   16384,    8,      32,        228 * 1024,  1024 },
    { "sm_120",  4,    12,   16384,    8,      24,        100 * 1024,  1024 },
    { "sm_121",  4,    12,   16384,    8,      24,        100 * 1024,  1024 },
    { "gfx9",    4,    10,   256 * 64, 4,      0,         64 * 1024,   0 },
    { "gfx90a",  4,    8,    512 * 64, 8,      0,         64 * 1024,   0 },
    { "gfx94",   4,    8,    512 * 64, 8,      0,         64 * 1024,   0 },
    { "gfx950",  4,    8,    512 * 64, 8,      0,         160 * 1024,  0 },
    { "gfx101",  2,    20,   512 * 64, 4,      0,         64 * 1024,   0 },
    { "gfx103",  2,    16,   512 * 64, 8,      0,         64 * 1024,   0 },
    { "gfx11",   2,    16,   512 * 64, 8,      0,         64 * 1024,   0 },
    { "gfx1100", 2,    16,   768 * 64, 12,     0,         64 * 1024,   0 },
    { "gfx1101", 2,    16,   768 * 64, 12,     0,         64 * 1024,   0 },
    { "gfx1151", 2,    16,   768 * 64, 12,     0,         64 * 1024,   0 },
    { "gfx12",   2,    16,   768 * 64, 12,     0,         64 * 1024,   0 },
};
// clang-format on

static const struct limits *find(const char *arch)
{
    const struct limits *best = NULL;

    for (size_t i = 0; i < IQT_COUNT(table); i++)
        if (strncmp(arch, table[i].arch, strlen(table[i].arch)) == 0 &&
            (best == NULL || strlen(table[i].arch) > strlen(best->arch)))
            best = &table[i];
    return best;
}

enum iqt_status iqt_occupancy(const char *arch, const struct iqt_occupancy_input *in,
                              struct iqt_occupancy *out)
{
    const struct limits *l = find(arch);
    uint64_t groups, by_registers, by_shared;

    if (l == NULL)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "the limits of %s are unknown: add them to the table in "
                        "stats/occupancy.c",
                        arch);
    const uint32_t rdna_half = l->units == 2 && in->wave == 32 ? 2 : 1;
    const uint64_t per_wave =
        iqt_round_up(in->registers ? in->registers : 1, (uint64_t)l->granule * rdna_half);
    const uint32_t waves = (in->threads + in->wave - 1) / in->wave;
    const uint64_t shared = (uint64_t)in->shared_bytes + l->shared_own;

    by_registers = l->registers / (per_wave * in->wave);
    by_registers = (by_registers < l->waves ? by_registers : l->waves) * l->units;
    groups = waves > 0 ? by_registers / waves : 0;
    by_shared = shared > 0 ? l->shared_bytes / shared : groups;
    groups = by_shared < groups ? by_shared : groups;
    groups = l->workgroups && l->workgroups < groups ? l->workgroups : groups;
    *out = (struct iqt_occupancy){ .waves = (uint32_t)(groups * waves),
                                   .most = (uint32_t)l->waves * l->units };
    return IQT_OK;
}
