/* Targets and the choice of compiler. */
#include "runtime/compile_kinds.h"

#include "tuner/gpu_table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Kinds of targets by the beginning of their names. */
static const struct {
    const char *prefix;
    enum iqt_dialect dialect;
} kinds[] = {
    { "sm_", IQT_DIALECT_CUDA },
    { "compute_", IQT_DIALECT_CUDA },
    { "gfx", IQT_DIALECT_HIP },
    { "spirv", IQT_DIALECT_GLSL },
};

static bool is_name(const char *text)
{
    while (isalnum((unsigned char)*text) || *text == '-' || *text == '+')
        text++;
    return *text == '\0';
}

uint32_t iqt_target_wave(const char *name)
{
    return strncmp(name, "gfx9", 4) == 0 ? 64 : 32;
}

/* Turing brought int8 to tensor cores, GB300 has next to none of it; AMD's CDNA3 and 4 and RDNA3 and 4 have the
 * products that plans know. */
bool iqt_target_has_mma(const char *name)
{
    enum { MOST_SLOTS = 16 };
    static const char *const amd[] = { "gfx942",  "gfx950",  "gfx1100", "gfx1101",
                                       "gfx1102", "gfx1103", "gfx1150", "gfx1151",
                                       "gfx1152", "gfx1153", "gfx1200", "gfx1201" };

    for (size_t i = 0; i < IQT_COUNT(amd); i++) {
        const size_t length = strlen(amd[i]);

        if (strncmp(name, amd[i], length) == 0 && !isalnum((unsigned char)name[length]))
            return true;
    }
    return strncmp(name, "sm_", 3) == 0 && strtoul(name + 3, NULL, 10) >= 75 &&
           iqt_gpu_tensor(name)->slots <= MOST_SLOTS;
}

enum iqt_status iqt_target_parse(const char *name, struct iqt_target *out)
{
    for (size_t i = 0; i < IQT_COUNT(kinds); i++) {
        const size_t length = strlen(kinds[i].prefix);
        const bool whole = kinds[i].dialect == IQT_DIALECT_GLSL;

        if (strncmp(name, kinds[i].prefix, length) != 0 || !is_name(name + length) ||
            (name[length] == '\0') != whole || strlen(name) >= sizeof out->name)
            continue;
        out->dialect = kinds[i].dialect;
        snprintf(out->name, sizeof out->name, "%s", name);
        return IQT_OK;
    }
    return iqt_fail(
        IQT_ERR_ARG,
        "unknown target '%s'; expected sm_90 (cubin), compute_75 (PTX), gfx1100 "
        "(code object) or spirv",
        name);
}

static enum iqt_status compile_spirv(const char *text, struct iqt_buf *out)
{
    struct iqt_spirv_compiler *compiler;
    struct iqt_spirv spirv = { NULL, 0 };
    enum iqt_status status;

    IQT_TRY(iqt_spirv_compiler_open(&compiler));
    status = iqt_spirv_compile(compiler, "kernel", text, strlen(text), &spirv);
    if (status == IQT_OK)
        iqt_buf_append(out, spirv.word, spirv.words * sizeof *spirv.word);
    iqt_spirv_free(&spirv);
    iqt_spirv_compiler_close(compiler);
    return status;
}

enum iqt_status iqt_compile(const struct iqt_target *target, const char *text,
                            struct iqt_buf *out)
{
    switch (target->dialect) {
    case IQT_DIALECT_CUDA:
        IQT_TRY(iqt_nvrtc_compile(target->name, text, out));
        break;
    case IQT_DIALECT_HIP:
        IQT_TRY(iqt_hip_compile(target->name, text, out));
        break;
    case IQT_DIALECT_GLSL:
        IQT_TRY(compile_spirv(text, out));
        break;
    default:
        return iqt_fail(IQT_ERR_UNSUPPORTED, "no compiler for %s", target->name);
    }
    return iqt_buf_check(out);
}

const char *iqt_compiler_name(enum iqt_dialect d)
{
    switch (d) {
    case IQT_DIALECT_CUDA:
        return iqt_nvrtc_name();
    case IQT_DIALECT_HIP:
        return iqt_hip_compiler_name();
    default:
        return "";
    }
}
