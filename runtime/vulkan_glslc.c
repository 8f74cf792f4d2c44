/* The program glslc: text on its standard input, SPIR-V on its standard output. */
#include "runtime/vulkan_spirv_kind.h"

#include <stdlib.h>
#include <string.h>

/* ---- The kind ---- */

static enum iqt_status read_version(const char *name, uint64_t *id)
{
    char *argv[] = { (char *)name, "--version", NULL };
    struct iqt_process p;
    enum iqt_status status = IQT_OK;

    IQT_TRY(iqt_process_run(argv, "", 0, &p));
    iqt_buf_printf(&p.out, "glslc " IQT_SPIRV_OPTIONS);
    if (p.exit_code != 0)
        status = iqt_fail(IQT_ERR_UNSUPPORTED, "%s --version: exit status %d", name,
                          p.exit_code);
    else
        status = iqt_buf_check(&p.out);
    if (status == IQT_OK)
        *id = iqt_hash(p.out.data, p.out.bytes, 0);
    iqt_process_free(&p);
    return status;
}

static enum iqt_status open_glslc(const char *name, void **state, uint64_t *id)
{
    char *copy;

    IQT_TRY(read_version(name, id));
    copy = strdup(name);
    if (copy == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a compiler");
    *state = copy;
    return IQT_OK;
}

static enum iqt_status compile(void *state, const char *name, const char *text,
                               size_t bytes, struct iqt_spirv *out)
{
    char *argv[] = { state, "--target-env=vulkan1.1",
                     "-O",  "-fshader-stage=compute",
                     "-o",  "-",
                     "-",   NULL };
    struct iqt_process p;
    enum iqt_status status;

    IQT_TRY(iqt_process_run(argv, text, bytes, &p));
    if (p.exit_code == IQT_EXIT_NOT_RUN)
        status = iqt_fail(IQT_ERR_COMPILE, "%s: %s did not run to its end", name,
                          (const char *)state);
    else if (p.exit_code != 0)
        status = iqt_spirv_fail(name, iqt_buf_text(&p.log));
    else
        status = iqt_spirv_copy(p.out.data, p.out.bytes, out);
    iqt_process_free(&p);
    return status;
}

const struct iqt_spirv_kind iqt_spirv_glslc = { open_glslc, free, compile };
