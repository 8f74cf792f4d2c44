/* Build-time program: iqt_ptx FILE.cu... writes FILE.ptx beside each, for the oldest architecture
 * that all supported versions of NVRTC know. Shares compile_nvrtc.c with the library, which would
 * have to be built first. */
#include "runtime/compile_kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What compile_nvrtc.c wants of the library: a build simulates nothing ---- */

bool iqt_gpu_simulated(const char *name)
{
    (void)name;
    return false;
}

enum iqt_status iqt_gpu_simulator_path(const char *name, char *out, size_t bytes)
{
    (void)out;
    (void)bytes;
    return iqt_fail(IQT_ERR_NO_DRIVER, "no simulated %s in a build", name);
}

static enum iqt_status compile(const char *path)
{
    const size_t length = strlen(path);
    struct iqt_buf ptx = { 0 };
    char out[4096], *text;
    size_t bytes;
    enum iqt_status status;

    if (length < 4 || length + 2 > sizeof out || strcmp(path + length - 3, ".cu") != 0)
        return iqt_fail(IQT_ERR_ARG, "%s: expected a name that ends in .cu", path);
    snprintf(out, sizeof out, "%.*s.ptx", (int)(length - 3), path);
    IQT_TRY(iqt_file_read(path, &text, &bytes));
    status = iqt_nvrtc_compile("compute_75", text, &ptx);
    free(text);
    if (status == IQT_OK)
        status = iqt_buf_check(&ptx);
    if (status == IQT_OK)
        status = iqt_file_replace(out, ptx.data, ptx.bytes);
    iqt_buf_free(&ptx);
    return status;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (compile(argv[i]) != IQT_OK) {
            fprintf(stderr, "iqt_ptx: %s: %s\n", argv[i], iqt_last_error());
            return 1;
        }
    return 0;
}
