/* The program clang: HIP text to a code object, with nothing of ROCm installed. Newer ones know more
 * architectures and compile better, so the newest that takes the target wins. */
#include "runtime/compile_kinds.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = { "clang",    "clang-22", "clang-21", "clang-20",
                                     "clang-19", "clang-18", "clang-17", "clang-16",
                                     "clang-15", "clang-14" };

/* ---- Which programs there are ---- */

static struct {
    pthread_mutex_t lock;
    bool known;
    const char *found[IQT_COUNT(names)];
    int major[IQT_COUNT(names)];
    size_t count;
    char version[64]; /* of the first */
} clang = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* "clang 14.0.6" from the first line of --version, or false. */
static bool probe(const char *name, char *version, size_t bytes)
{
    char *argv[] = { (char *)name, "--version", NULL };
    struct iqt_process p;
    const char *at;
    bool ok = false;

    if (iqt_process_run(argv, "", 0, &p) != IQT_OK)
        return false;
    at = strstr(iqt_buf_text(&p.out), "version ");
    if (p.exit_code == 0 && at != NULL) {
        at += strlen("version ");
        snprintf(version, bytes, "clang %.*s", (int)strcspn(at, " \n("), at);
        ok = true;
    }
    iqt_process_free(&p);
    return ok;
}

/* Keeps the list sorted, newest first; of equal ones the first stays in front. */
static void add_program(const char *name, const char *version)
{
    const int major = atoi(version + strlen("clang "));
    size_t at = clang.count++;

    for (; at > 0 && clang.major[at - 1] < major; at--) {
        clang.found[at] = clang.found[at - 1];
        clang.major[at] = clang.major[at - 1];
    }
    clang.found[at] = name;
    clang.major[at] = major;
    if (at == 0)
        snprintf(clang.version, sizeof clang.version, "%s", version);
}

static void find_programs(void)
{
    const char *given = getenv("IQT_CLANG");
    char version[64];

    if (given != NULL && *given != '\0') {
        if (probe(given, version, sizeof version))
            add_program(given, version);
        return;
    }
    for (size_t i = 0; i < IQT_COUNT(names); i++)
        if (probe(names[i], version, sizeof version))
            add_program(names[i], version);
}

static enum iqt_status load(void)
{
    pthread_mutex_lock(&clang.lock);
    if (!clang.known) {
        find_programs();
        clang.known = true;
    }
    pthread_mutex_unlock(&clang.lock);
    if (clang.count == 0)
        return iqt_fail(
            IQT_ERR_UNSUPPORTED,
            "no clang: neither clang nor clang-14 .. clang-22 runs (IQT_CLANG "
            "names one)");
    return IQT_OK;
}

const char *iqt_clang_name(void)
{
    return load() == IQT_OK ? clang.version : "";
}

/* ---- Compiling ---- */

/* The target is unknown, or the linker that goes with this clang is missing: another may do. */
static bool not_able(const char *log)
{
    return strstr(log, "invalid target ID") != NULL ||
           strstr(log, "unsupported HIP gpu architecture") != NULL ||
           strstr(log, "unsupported CUDA gpu architecture") != NULL ||
           strstr(log, "unknown target CPU") != NULL ||
           strstr(log, "unable to execute command") != NULL ||
           strstr(log, "program not executable") != NULL;
}

static enum iqt_status compile_with(const char *program, const char *target,
                                    const char *text, const char *file,
                                    struct iqt_buf *out)
{
    char arch[64];
    char *argv[] = { (char *)program,
                     "-x",
                     "hip",
                     "--cuda-device-only",
                     "--no-gpu-bundle-output",
                     arch,
                     "-O3",
                     "-nogpulib",
                     "-nogpuinc",
                     "-fno-color-diagnostics",
                     "-",
                     "-o",
                     (char *)file,
                     NULL };
    struct iqt_process p;
    enum iqt_status status;
    char *image;
    size_t bytes;

    snprintf(arch, sizeof arch, "--offload-arch=%.32s", target);
    IQT_TRY(iqt_process_run(argv, text, strlen(text), &p));
    if (p.exit_code != 0) {
        status = iqt_compile_fail(program, target, iqt_buf_text(&p.log));
        if (not_able(iqt_buf_text(&p.log)))
            status = iqt_fail(IQT_ERR_UNSUPPORTED,
                              "%s does not know the architecture %s, or "
                              "its linker lld is missing",
                              program, target);
    } else {
        status = iqt_file_read(file, &image, &bytes);
        if (status == IQT_OK) {
            iqt_buf_append(out, image, bytes);
            free(image);
        }
    }
    iqt_process_free(&p);
    return status;
}

enum iqt_status iqt_clang_compile(const char *target, const char *text,
                                  struct iqt_buf *out)
{
    const char *folder = getenv("TMPDIR");
    enum iqt_status status = IQT_ERR_UNSUPPORTED;
    char file[4096];
    int fd;

    IQT_TRY(load());
    snprintf(file, sizeof file, "%s/iqtile-XXXXXX",
             folder != NULL && *folder != '\0' ? folder : "/tmp");
    fd = mkstemp(file);
    if (fd < 0)
        return iqt_fail(IQT_ERR_IO, "cannot make a temporary file %s", file);
    for (size_t i = 0; i < clang.count && status == IQT_ERR_UNSUPPORTED; i++)
        status = compile_with(clang.found[i], target, text, file, out);
    close(fd);
    unlink(file);
    return status;
}

/* ---- The two for HIP ---- */

enum iqt_status iqt_hip_compile(const char *target, const char *text, struct iqt_buf *out)
{
    char why[512];
    enum iqt_status status = iqt_comgr_compile(target, text, out);

    if (status != IQT_ERR_UNSUPPORTED || iqt_gpu_simulated("hip"))
        return status;
    snprintf(why, sizeof why, "%s", iqt_last_error());
    status = iqt_clang_compile(target, text, out);
    if (status == IQT_ERR_UNSUPPORTED) {
        char also[512];

        snprintf(also, sizeof also, "%s", iqt_last_error());
        return iqt_fail(status, "%s; %s", why, also);
    }
    return status;
}

const char *iqt_hip_compiler_name(void)
{
    const char *name = iqt_comgr_name();

    return *name != '\0' || iqt_gpu_simulated("hip") ? name : iqt_clang_name();
}
