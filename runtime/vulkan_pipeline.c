/* A plan becomes a pipeline: embedded SPIR-V where plan and text agree, else the emitted text from
 * the disk cache or through shaderc. */
#include "runtime/vulkan_hw.h"

#include "codegen/codegen.h"
#include "kernels/coop.h"
#include "runtime/embedded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A kernel on its way to a pipeline. */
struct source {
    const struct iqt_plan *plan; /* NULL: a helper */
    enum iqt_helper helper;
    char name[IQT_PLAN_NAME_BYTES];
    struct iqt_buf text;
    uint64_t hash;
    uint32_t threads; /* of a workgroup */
};

/* ---- Text ---- */

static enum iqt_status emit(const struct iqt_hw *hw, struct source *src)
{
    if (src->plan != NULL) {
        iqt_plan_name(src->plan, src->name);
        src->threads = iqt_plan_threads(src->plan);
        IQT_TRY(iqt_emit_kernel(src->plan, &src->text));
    } else {
        strcpy(src->name, iqt_helper_name(src->helper));
        src->threads = iqt_helper_threads(src->helper);
        IQT_TRY(iqt_emit_helper(src->helper, IQT_DIALECT_GLSL, &src->text));
    }
    if (hw->edit != NULL)
        IQT_TRY(hw->edit(hw->edit_user, &src->text));
    IQT_TRY(iqt_buf_check(&src->text));
    src->hash = iqt_hash(src->text.data, src->text.bytes, 0);
    return IQT_OK;
}

/* ---- SPIR-V ---- */

static const struct iqt_embedded_image *find_embedded(const struct source *src)
{
    for (const struct iqt_embedded_image *e = iqt_embedded_spirv; e->plan != NULL; e++) {
        if (strcmp(e->plan, src->name) == 0)
            return e->text_hash == src->hash ? e : NULL;
    }
    return NULL;
}

/* Under build_lock. */
static enum iqt_status compile(struct iqt_hw *hw, const struct source *src,
                               struct iqt_spirv *out)
{
    const bool present =
        hw->compiler != NULL || iqt_spirv_compiler_open(&hw->compiler) == IQT_OK;
    const uint64_t compiler = present ? iqt_spirv_compiler_id(hw->compiler) : 0;
    char why[256];

    snprintf(why, sizeof(why), "%s", present ? "" : iqt_last_error());
    if (iqt_spirv_cache_read(hw->cache_dir, src->hash, compiler, out))
        return IQT_OK;
    if (!present)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "%s is not built in and cannot be compiled: %s", src->name, why);
    IQT_TRY(
        iqt_spirv_compile(hw->compiler, src->name, src->text.data, src->text.bytes, out));
    if (*hw->cache_dir != '\0' &&
        iqt_spirv_cache_write(hw->cache_dir, src->hash, compiler, out) != IQT_OK)
        return IQT_OK; /* the kernel is there; only the next start is slower */
    return IQT_OK;
}

/* ---- Pipeline ---- */

/* Shuffles need the threads of a row inside one subgroup. */
static enum iqt_status subgroup_size(const struct iqt_hw *hw, const struct source *src,
                                     uint32_t *out)
{
    const struct iqt_limits *limits = &hw->gpu.limits;
    uint32_t size = limits->subgroup_min;

    if (!limits->subgroup_ops)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s: %s has no full subgroups with shuffle",
                        src->name, hw->gpu.info.name);
    while (size < src->plan->threads && size < limits->subgroup_max)
        size *= 2;
    if (size < src->plan->threads ||
        src->threads > (uint64_t)size * hw->gpu.max_subgroups)
        return iqt_fail(
            IQT_ERR_UNSUPPORTED,
            "%s: %u threads a row and %u a workgroup; %s has up to %u subgroups of "
            "up to %u",
            src->name, src->plan->threads, src->threads, hw->gpu.info.name,
            hw->gpu.max_subgroups, limits->subgroup_max);
    *out = size;
    return IQT_OK;
}

/* Matrices want full subgroups, of any size: the smallest, as the plan's rules have it. */
static enum iqt_status matrix_subgroups(const struct iqt_hw *hw, const struct source *src,
                                        uint32_t *out)
{
    const uint32_t size = hw->gpu.limits.subgroup_min;

    if (hw->gpu.sized && src->threads > (uint64_t)size * hw->gpu.max_subgroups)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "%s: %u threads a workgroup; %s has up to %u subgroups of %u",
                        src->name, src->threads, hw->gpu.info.name, hw->gpu.max_subgroups,
                        size);
    *out = size;
    return IQT_OK;
}

static enum iqt_status create_pipeline(struct iqt_hw *hw, const struct source *src,
                                       VkShaderModule module, VkPipeline *out)
{
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo required = {
        .sType =
            VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
    };
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
            .stage = VK_SHADER_STAGE_COMPUTE_BIT,
            .module = module,
            .pName = "main",
        },
        .layout = hw->pipeline_layout,
    };
    const VkSpecializationMapEntry entry = { IQT_COOP_DEPTH_ID, 0, sizeof(uint32_t) };
    const VkSpecializationInfo depth = { 1, &entry, sizeof(hw->gpu.depth),
                                         &hw->gpu.depth };
    const bool coop = src->plan != NULL && iqt_plan_is_coop(src->plan);
    VkResult result;

    if (coop)
        info.stage.pSpecializationInfo = &depth;
    if (coop && hw->gpu.has.matrices) {
        IQT_TRY(matrix_subgroups(hw, src, &required.requiredSubgroupSize));
        info.stage.pNext = hw->gpu.sized ? &required : NULL;
        info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    }
    if (src->plan != NULL && src->plan->reduce == IQT_REDUCE_SUBGROUP) {
        IQT_TRY(subgroup_size(hw, src, &required.requiredSubgroupSize));
        info.stage.pNext = hw->gpu.sized ? &required : NULL;
        /* Vulkan allows the flag only where no lane is left over; a smaller workgroup is one
         * subgroup with idle lanes behind the rows' threads. */
        if (src->threads % required.requiredSubgroupSize == 0)
            info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    }
    result = hw->fn.CreateComputePipelines(hw->device, hw->cache, 1, &info, NULL, out);
    if (result < 0)
        return iqt_fail(IQT_ERR_COMPILE, "%s: vkCreateComputePipelines: %s (%d)",
                        src->name, iqt_vk_result_name(result), (int)result);
    return IQT_OK;
}

static enum iqt_status make_kernel(struct iqt_hw *hw, const struct source *src,
                                   const uint32_t *word, size_t words,
                                   struct iqt_kernel **out)
{
    const VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = words * sizeof(*word),
        .pCode = word,
    };
    struct iqt_kernel *kernel;
    VkShaderModule module;
    enum iqt_status status;

    IQT_VK_TRY(&hw->fn, CreateShaderModule, hw->device, &info, NULL, &module);
    kernel = calloc(1, sizeof(*kernel));
    if (kernel == NULL) {
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a kernel");
        goto destroy_module;
    }
    status = create_pipeline(hw, src, module, &kernel->pipeline);
    if (status == IQT_OK)
        *out = kernel;
    else
        free(kernel);

destroy_module:
    hw->fn.DestroyShaderModule(hw->device, module, NULL);
    return status;
}

/* ---- Build ---- */

static enum iqt_status make_embedded(struct iqt_hw *hw, const struct source *src,
                                     const struct iqt_embedded_image *embedded,
                                     struct iqt_kernel **out)
{
    struct iqt_buf words = { 0 };
    enum iqt_status status = iqt_embedded_unpack(embedded, &words);

    if (status == IQT_OK)
        status = make_kernel(hw, src, (const uint32_t *)(const void *)words.data,
                             words.bytes / 4, out);
    iqt_buf_free(&words);
    return status;
}

static enum iqt_status build(struct iqt_hw *hw, struct source *src,
                             struct iqt_kernel **out)
{
    const struct iqt_embedded_image *embedded;
    struct iqt_spirv spirv = { NULL, 0 };
    enum iqt_status status;

    IQT_TRY(emit(hw, src));
    embedded = find_embedded(src);
    if (embedded != NULL)
        return make_embedded(hw, src, embedded, out);

    pthread_mutex_lock(&hw->build_lock);
    status = compile(hw, src, &spirv);
    pthread_mutex_unlock(&hw->build_lock);
    if (status == IQT_OK)
        status = make_kernel(hw, src, spirv.word, spirv.words, out);
    iqt_spirv_free(&spirv);
    return status;
}

enum iqt_status iqt_vk_build(struct iqt_hw *hw, const struct iqt_plan *plan,
                             struct iqt_kernel **out)
{
    struct source src = { .plan = plan, .helper = IQT_HELPER_QUANTIZE };
    enum iqt_status status;

    if (plan != NULL && plan->covers == IQT_COVERS_SET && hw->members == 1)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "%s has no arrays of storage buffers for sets",
                        hw->gpu.info.name);
    status = build(hw, &src, out);
    iqt_buf_free(&src.text);
    return status;
}

enum iqt_status iqt_vk_build_helper(struct iqt_hw *hw, enum iqt_helper helper,
                                    struct iqt_kernel **out)
{
    struct source src = { .helper = helper };
    const enum iqt_status status = build(hw, &src, out);

    iqt_buf_free(&src.text);
    return status;
}

void iqt_vk_drop(struct iqt_hw *hw, struct iqt_kernel *kernel)
{
    if (kernel == NULL)
        return;
    hw->fn.DestroyPipeline(hw->device, kernel->pipeline, NULL);
    free(kernel);
}
