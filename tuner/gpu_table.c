/* The table of GPUs, and how their names are compared. */
#include "tuner/gpu_table.h"

#include <ctype.h>
#include <string.h>

/* Assumptions, not specifications: round figures, to be replaced where `scripts/gpu.sh` has measured.
 * Efficiency: large CUDA copies reach about nine tenths of the specified bandwidth; on MI200 and MI300
 * reports go from one half to four fifths, and the best counts here. Latency: twice that of an idle
 * pointer chase, for loads that queue behind each other; idle ones take 230 ns on RX 6900 XT
 * (chipsandcheese.com/p/measuring-gpu-memory-latency) and around 300 ns on A100, H100 and RTX 4090
 * (some 500 clocks, arxiv.org/abs/2402.13499), more across the dies of MI300. Launch: one dependent
 * kernel after another, recorded beforehand. */
const struct iqt_gpu_kind_facts iqt_gpu_kinds[IQT_GPU_KINDS] = {
    [IQT_GPU_NVIDIA_HBM] = { .efficiency = 0.92, .latency_ns = 600, .launch_us = 2 },
    [IQT_GPU_NVIDIA_GDDR] = { .efficiency = 0.92, .latency_ns = 500, .launch_us = 2 },
    [IQT_GPU_AMD_HBM] = { .efficiency = 0.80, .latency_ns = 800, .launch_us = 4 },
    [IQT_GPU_AMD_GDDR] = { .efficiency = 0.90, .latency_ns = 500, .launch_us = 4 },
    [IQT_GPU_INTEL] = { .efficiency = 0.85, .latency_ns = 700, .launch_us = 5 },
};

/* Sources, all vendors' specifications: NVIDIA's architecture white papers (Turing appendix A to C,
 * GA100, GA102, AD102 appendix, Hopper, RTX Blackwell), data sheets (T4, L4, L40S, A100, H100, H200,
 * DGX B200) and GeForce specification pages; AMD's product pages, "AMD GPU specifications" at
 * rocm.docs.amd.com (units, caches, LLVM targets), the CDNA to CDNA4 white papers; Intel's
 * product pages (ARK). L40S: cache as resellers' tables have it; the whole die has 96 MiB.
 *
 * Clock: the specified boost clock; of H100, H200 and B200 the lower clock that the issue budgets of
 * this project are stated at (FP32 rates of the data sheets imply up to 1.98 GHz on H100).
 * Lanes: NVIDIA four schedulers of one warp of 32 (slots are counted in the same units, halves of
 * Turing's and GA100's float rate are not: integer pipes bind first); AMD 64 (four SIMDs of 16 on
 * gfx9, two of 32 since gfx10; dual issue of gfx11 is not counted); Intel 128 (16 engines of 8, or 8
 * of 16 on Xe2). MI250X: one of its two dies, which is what a program sees as a device. */
// clang-format off
const struct iqt_gpu iqt_gpus[] = {
    /* name, aliases, target, kind, units, lanes, GHz, GB/s, MiB */
    { "T4", "Tesla T4", "sm_75", IQT_GPU_NVIDIA_GDDR, 40, 128, 1.59, 320, 4 },
    { "RTX 2080 Ti", "", "sm_75", IQT_GPU_NVIDIA_GDDR, 68, 128, 1.545, 616, 5.5 },
    { "A100 40GB", "A100-SXM4-40GB|A100-PCIE-40GB", "sm_80", IQT_GPU_NVIDIA_HBM, 108, 128, 1.41, 1555, 40 },
    { "A100", "A100 80GB|A100 SXM|A100-SXM4-80GB", "sm_80", IQT_GPU_NVIDIA_HBM, 108, 128, 1.41, 2039, 40 },
    { "RTX 3060", "", "sm_86", IQT_GPU_NVIDIA_GDDR, 28, 128, 1.777, 360, 3 },
    { "RTX 3090", "", "sm_86", IQT_GPU_NVIDIA_GDDR, 82, 128, 1.695, 936, 6 },
    { "RTX 4060 Ti", "", "sm_89", IQT_GPU_NVIDIA_GDDR, 34, 128, 2.535, 288, 32 },
    { "RTX 4070", "", "sm_89", IQT_GPU_NVIDIA_GDDR, 46, 128, 2.475, 504, 36 },
    { "RTX 4090", "", "sm_89", IQT_GPU_NVIDIA_GDDR, 128, 128, 2.52, 1008, 72 },
    { "L4", "", "sm_89", IQT_GPU_NVIDIA_GDDR, 58, 128, 2.04, 300, 48 }, /* 72 W: rarely holds it */
    { "L40S", "", "sm_89", IQT_GPU_NVIDIA_GDDR, 142, 128, 2.52, 864, 48 },
    { "H100 PCIe", "", "sm_90", IQT_GPU_NVIDIA_HBM, 114, 128, 1.755, 2000, 50 },
    { "H100", "H100 SXM|H100 SXM5|H100 80GB HBM3", "sm_90", IQT_GPU_NVIDIA_HBM, 132, 128, 1.755, 3350, 50 },
    { "H200", "H200 SXM|H200 141GB", "sm_90", IQT_GPU_NVIDIA_HBM, 132, 128, 1.755, 4800, 50 },
    /* 64 TB/s of the eight in a DGX; drivers imply 7.67 TB/s each and say 126.5 MB
     * (github.com/pytorch/ao/pull/4002). */
    { "B200", "", "sm_100", IQT_GPU_NVIDIA_HBM, 148, 128, 1.85, 8000, 126.5 },
    { "RTX 5080", "", "sm_120", IQT_GPU_NVIDIA_GDDR, 84, 128, 2.617, 960, 64 },
    { "RTX 5090", "", "sm_120", IQT_GPU_NVIDIA_GDDR, 170, 128, 2.407, 1792, 96 },
    { "MI50", "Vega 20", "gfx906", IQT_GPU_AMD_HBM, 60, 64, 1.725, 1024, 4 },
    { "Radeon VII", "", "gfx906", IQT_GPU_AMD_HBM, 60, 64, 1.75, 1024, 4 },
    { "MI100", "", "gfx908", IQT_GPU_AMD_HBM, 120, 64, 1.502, 1228.8, 8 },
    { "MI210", "", "gfx90a", IQT_GPU_AMD_HBM, 104, 64, 1.7, 1638.4, 8 },
    { "MI250X", "MI250X die", "gfx90a", IQT_GPU_AMD_HBM, 110, 64, 1.7, 1638.4, 8 },
    { "MI300X", "", "gfx942", IQT_GPU_AMD_HBM, 304, 64, 2.1, 5300, 256 },
    { "MI325X", "", "gfx942", IQT_GPU_AMD_HBM, 304, 64, 2.1, 6000, 256 },
    { "MI355X", "", "gfx950", IQT_GPU_AMD_HBM, 256, 64, 2.4, 8000, 256 },
    { "RX 6800 XT", "", "gfx1030", IQT_GPU_AMD_GDDR, 72, 64, 2.25, 512, 128 },
    { "RX 7800 XT", "", "gfx1101", IQT_GPU_AMD_GDDR, 60, 64, 2.43, 624, 64 },
    { "RX 7900 XT", "", "gfx1100", IQT_GPU_AMD_GDDR, 84, 64, 2.4, 800, 80 },
    { "RX 7900 XTX", "", "gfx1100", IQT_GPU_AMD_GDDR, 96, 64, 2.5, 960, 96 },
    { "RX 9070 XT", "", "gfx1201", IQT_GPU_AMD_GDDR, 64, 64, 2.97, 640, 64 },
    { "Arc A770", "A770 16GB", "", IQT_GPU_INTEL, 32, 128, 2.1, 560, 16 },
    { "Arc B580", "", "", IQT_GPU_INTEL, 20, 128, 2.67, 456, 18 },
    { .name = NULL },
};
// clang-format on

/* Dense int8 rates of the sources above, in operations a cycle and multiprocessor: Turing, GA10x, AD10x and GB20x
 * 2048 (T4 130 TOPS, A40 299, L40S 733, RTX 5090 838), GA100 4096 (624 TOPS), as Orin's GPU (85 TOPS of 16
 * multiprocessors, "Jetson AGX Orin Series Technical Brief"), GH100 8192, GB100 16384 (4.5 POPS), GB300 512 (0.15
 * POPS). A product is 8192 on one of four schedulers. GH100's and GB100's rates are of wgmma and tcgen05, mma.sync
 * reaches 63 % of the former (arxiv.org/abs/2402.13499) and nobody has published how much of the latter: both count
 * as GA100 here. The column: of four bits an A100's memory keeps up with dot products. */
static const struct iqt_tensor tensors[] = {
    { "sm_75", 16, 0 },  { "sm_80", 8, 3 },   { "sm_86", 16, 0 }, { "sm_87", 8, 0 },
    { "sm_89", 16, 0 },  { "sm_90", 8, 4 },   { "sm_100", 8, 4 }, { "sm_103", 64, 0 },
    { "sm_120", 16, 0 }, { "sm_121", 16, 0 },
};

const struct iqt_tensor *iqt_gpu_tensor(const char *target)
{
    static const struct iqt_tensor unknown = { "", 16, 0 };

    for (size_t i = 0; i < IQT_COUNT(tensors); i++) {
        const size_t length = strlen(tensors[i].target);

        if (strncmp(target, tensors[i].target, length) == 0 &&
            !isdigit((unsigned char)target[length]))
            return &tensors[i];
    }
    return &unknown;
}

enum { KEY_BYTES = 64 };

/* Lower case letters and digits, without the words that vendors put in front. */
static void make_key(const char *name, size_t bytes, char out[KEY_BYTES])
{
    static const char *const front[] = { "nvidia",   "geforce", "tesla", "rtx",   "amd",
                                         "instinct", "radeon",  "rx",    "intel", "arc" };
    char all[KEY_BYTES];
    const char *at = all;
    size_t n = 0;

    for (size_t i = 0; i < bytes && n + 1 < sizeof all; i++)
        if (isalnum((unsigned char)name[i]))
            all[n++] = (char)tolower((unsigned char)name[i]);
    all[n] = '\0';
    for (size_t i = 0; i < IQT_COUNT(front); i++) {
        const size_t length = strlen(front[i]);

        if (strncmp(at, front[i], length) == 0)
            at += length;
    }
    strcpy(out, at);
}

static bool called(const struct iqt_gpu *gpu, const char *key)
{
    char other[KEY_BYTES];
    const char *at = gpu->aliases;

    make_key(gpu->name, strlen(gpu->name), other);
    while (strcmp(other, key) != 0 && *at != '\0') {
        const size_t length = strcspn(at, "|");

        make_key(at, length, other);
        at += length + (at[length] == '|');
    }
    return strcmp(other, key) == 0;
}

static enum iqt_status unknown(const char *name)
{
    struct iqt_buf list = { 0 };
    enum iqt_status status;

    for (const struct iqt_gpu *g = iqt_gpus; g->name != NULL; g++)
        iqt_buf_printf(&list, "%s%s", g == iqt_gpus ? "" : ", ", g->name);
    status = iqt_fail(IQT_ERR_UNKNOWN, "unknown GPU '%s'; known: %s", name,
                      iqt_buf_text(&list));
    iqt_buf_free(&list);
    return status;
}

enum iqt_status iqt_gpu_find(const char *name, const struct iqt_gpu **out)
{
    char key[KEY_BYTES];

    make_key(name, strlen(name), key);
    for (const struct iqt_gpu *g = iqt_gpus; g->name != NULL; g++)
        if (called(g, key)) {
            *out = g;
            return IQT_OK;
        }
    return unknown(name);
}
