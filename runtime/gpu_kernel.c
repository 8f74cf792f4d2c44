/* A plan becomes a loaded kernel: embedded PTX where the driver takes it, else a binary from the disk
 * cache or the compiler. */
#include "runtime/gpu_hw.h"

#include "codegen/codegen.h"
#include "runtime/embedded.h"

#include <stdlib.h>
#include <string.h>

/* A kernel on its way to the device. */
struct source {
    const struct iqt_plan *plan; /* NULL: a helper */
    enum iqt_helper helper;
    char name[IQT_PLAN_NAME_BYTES];
    char symbol[IQT_PLAN_NAME_BYTES];
    struct iqt_buf text;
    uint64_t hash;
    uint32_t threads; /* of a workgroup */
};

static enum iqt_status emit(const struct iqt_hw *hw, struct source *src)
{
    if (src->plan != NULL) {
        iqt_plan_name(src->plan, src->name);
        iqt_kernel_symbol(src->plan, src->symbol);
        src->threads = iqt_plan_threads(src->plan);
        IQT_TRY(iqt_emit_kernel(src->plan, &src->text));
    } else {
        strcpy(src->name, iqt_helper_name(src->helper));
        strcpy(src->symbol, src->name);
        src->threads = iqt_helper_threads(src->helper);
        IQT_TRY(iqt_emit_helper(src->helper, hw->target.dialect, &src->text));
    }
    IQT_TRY(iqt_buf_check(&src->text));
    src->hash = iqt_hash(src->text.data, src->text.bytes, 0);
    return IQT_OK;
}

/* ---- Loading ---- */

static enum iqt_status load(struct iqt_hw *hw, const struct source *src,
                            const void *image, struct iqt_kernel *out)
{
    int error;

    IQT_GPU_TRY(hw->api, module_load, &out->module, image);
    error = hw->api->module_function(&out->function, out->module, src->symbol);
    if (error != 0) {
        (void)hw->api->module_unload(out->module);
        return iqt_gpu_fail(hw->api, "module_function", error);
    }
    out->threads = src->threads;
    out->split = src->plan != NULL ? src->plan->split : 1;
    return IQT_OK;
}

/* Whether the driver refused the image, and another one of the same kernel may do. */
static bool refused(enum iqt_status status)
{
    return status == IQT_ERR_COMPILE;
}

static const struct iqt_embedded_image *embedded_ptx(const struct iqt_hw *hw,
                                                     const struct source *src)
{
    if (hw->target.dialect != IQT_DIALECT_CUDA)
        return NULL;
    for (const struct iqt_embedded_image *e = iqt_embedded_ptx; e->plan != NULL; e++)
        if (strcmp(e->plan, src->name) == 0)
            return e->text_hash == src->hash ? e : NULL;
    return NULL;
}

/* Under build_lock. */
static enum iqt_status compile(struct iqt_hw *hw, const struct source *src,
                               struct iqt_kernel *out)
{
    struct iqt_buf image = { 0 };
    enum iqt_status status = IQT_ERR_COMPILE;

    if (iqt_gpu_cache_read(hw, src->hash, &image))
        status = load(hw, src, image.data, out);
    if (refused(status)) {
        iqt_buf_free(&image);
        status = iqt_compile(&hw->target, iqt_buf_text(&src->text), &image);
        if (status == IQT_OK)
            status = load(hw, src, image.data, out);
        if (status == IQT_OK)
            iqt_gpu_cache_write(hw, src->hash, image.data, image.bytes);
    }
    iqt_buf_free(&image);
    return status;
}

static enum iqt_status load_embedded(struct iqt_hw *hw, const struct source *src,
                                     const struct iqt_embedded_image *ptx,
                                     struct iqt_kernel *out)
{
    struct iqt_buf text = { 0 };
    enum iqt_status status = iqt_embedded_unpack(ptx, &text);

    if (status == IQT_OK)
        status = load(hw, src, text.data, out);
    iqt_buf_free(&text);
    return status;
}

static enum iqt_status build(struct iqt_hw *hw, const struct source *src,
                             struct iqt_kernel *out)
{
    const struct iqt_embedded_image *ptx = embedded_ptx(hw, src);
    enum iqt_status status = IQT_ERR_COMPILE;

    if (ptx != NULL)
        status = load_embedded(hw, src, ptx, out);
    if (!refused(status))
        return status;
    pthread_mutex_lock(&hw->build_lock);
    status = compile(hw, src, out);
    pthread_mutex_unlock(&hw->build_lock);
    return status;
}

static enum iqt_status make(struct iqt_hw *hw, struct source *src,
                            struct iqt_kernel **out)
{
    struct iqt_kernel *kernel = calloc(1, sizeof *kernel);
    enum iqt_status status;
    void *saved;

    if (kernel == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a kernel");
    status = emit(hw, src);
    if (status == IQT_OK)
        status = iqt_gpu_enter(hw, &saved);
    if (status == IQT_OK) {
        status = build(hw, src, kernel);
        iqt_gpu_leave(hw, saved);
    }
    iqt_buf_free(&src->text);
    if (status == IQT_OK)
        *out = kernel;
    else
        free(kernel);
    return status;
}

enum iqt_status iqt_gpu_build(struct iqt_hw *hw, const struct iqt_plan *plan,
                              struct iqt_kernel **out)
{
    struct source src = { .plan = plan, .helper = IQT_HELPER_QUANTIZE };

    return make(hw, &src, out);
}

enum iqt_status iqt_gpu_build_helper(struct iqt_hw *hw, enum iqt_helper helper,
                                     struct iqt_kernel **out)
{
    struct source src = { .helper = helper };

    return make(hw, &src, out);
}

void iqt_gpu_drop(struct iqt_hw *hw, struct iqt_kernel *kernel)
{
    void *saved;

    if (kernel == NULL)
        return;
    if (iqt_gpu_enter_to_release(hw, &saved)) {
        (void)hw->api->module_unload(kernel->module);
        iqt_gpu_leave(hw, saved);
    }
    free(kernel);
}
