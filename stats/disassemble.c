/* Runs disassemblers on a temporary file. */
#include "stats/disassemble.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

/* ---- Finding the program ---- */

static const char *const llvm_names[] = {
    "llvm-objdump-24",
    "llvm-objdump-23",
    "llvm-objdump-22",
    "llvm-objdump-21",
    "llvm-objdump-20",
    "llvm-objdump-19",
    "llvm-objdump-18",
    "llvm-objdump-17",
    "llvm-objdump-16",
    "llvm-objdump",
    NULL,
};
static const char *const nvidia_names[] = { "nvdisasm", NULL };

static bool find_in_path(const char *name, char out[PATH_BYTES])
{
    for (const char *at = getenv("PATH"); at != NULL && *at != '\0';) {
        const size_t length = strcspn(at, ":");

        if (snprintf(out, PATH_BYTES, "%.*s/%s", (int)length, at, name) < PATH_BYTES &&
            access(out, X_OK) == 0)
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

/* In a Python environment, where PyPI's wheels put it; they may have lost the right to run. */
static bool find_in_wheels(const char *environment, char out[PATH_BYTES])
{
    static const char inside[] = "lib/python3*/site-packages/nvidia/*/bin/nvdisasm";
    char pattern[PATH_BYTES];
    bool found = false;
    glob_t matches;

    if (environment == NULL || *environment == '\0' ||
        snprintf(pattern, sizeof pattern, "%s/%s", environment, inside) >=
            (int)sizeof pattern ||
        glob(pattern, 0, NULL, &matches) != 0)
        return false;
    for (size_t i = 0; i < matches.gl_pathc && !found; i++)
        found = access(matches.gl_pathv[i], X_OK) == 0 &&
                snprintf(out, PATH_BYTES, "%s", matches.gl_pathv[i]) < PATH_BYTES;
    globfree(&matches);
    return found;
}

static bool find_program(const char *variable, const char *const *names,
                         char out[PATH_BYTES])
{
    const char *given = getenv(variable);

    if (given != NULL && *given != '\0')
        return snprintf(out, PATH_BYTES, "%s", given) < PATH_BYTES;
    for (; *names != NULL; names++)
        if (find_in_path(*names, out))
            return true;
    return false;
}

/* ---- Running it ---- */

static enum iqt_status write_temporary(const void *bytes, size_t size,
                                       char path[PATH_BYTES])
{
    const char *folder = getenv("TMPDIR");
    size_t done = 0;
    int fd;

    snprintf(path, PATH_BYTES, "%s/iqtile-XXXXXX",
             folder != NULL && *folder != '\0' ? folder : "/tmp");
    fd = mkstemp(path);
    if (fd < 0)
        return iqt_fail(IQT_ERR_IO, "%s: %s", path, strerror(errno));
    while (done < size) {
        const ssize_t n = write(fd, (const char *)bytes + done, size - done);

        if (n <= 0 && errno != EINTR)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    if (close(fd) == 0 && done == size)
        return IQT_OK;
    unlink(path);
    return iqt_fail(IQT_ERR_IO, "%s: cannot write %zu bytes", path, size);
}

/* argv with NULL in the place of the file. */
static enum iqt_status run(char *argv[], size_t file_at, const void *bytes, size_t size,
                           struct iqt_buf *out)
{
    char path[PATH_BYTES];
    struct iqt_process p;
    enum iqt_status status;

    IQT_TRY(write_temporary(bytes, size, path));
    argv[file_at] = path;
    status = iqt_process_run(argv, "", 0, &p);
    unlink(path);
    if (status != IQT_OK)
        return status;
    if (p.exit_code != 0)
        status = iqt_fail(IQT_ERR_UNSUPPORTED, "%s: exit status %d: %.300s", argv[0],
                          p.exit_code, iqt_buf_text(&p.log));
    else
        iqt_buf_append(out, p.out.data, p.out.bytes);
    iqt_process_free(&p);
    return status == IQT_OK ? iqt_buf_check(out) : status;
}

enum iqt_status iqt_disassemble_cubin(const void *bytes, size_t size, struct iqt_buf *out)
{
    char program[PATH_BYTES];
    /* Without the analysis of the flow of data, which changes nothing of the listing and takes a quarter of the time. */
    char *argv[] = { program, "-c", "-ndf", NULL, NULL };

    if (!find_program("IQT_NVDISASM", nvidia_names, program) &&
        !find_in_wheels(getenv("VIRTUAL_ENV"), program) &&
        !find_in_wheels(".venv", program))
        return iqt_fail(
            IQT_ERR_UNSUPPORTED,
            "no nvdisasm in $PATH, $VIRTUAL_ENV or .venv: install it with the "
            "CUDA toolkit or 'pip install nvidia-cuda-nvdisasm', or set "
            "IQT_NVDISASM to the program");
    return run(argv, 3, bytes, size, out);
}

enum iqt_status iqt_disassemble_amd(const char *arch, const void *bytes, size_t size,
                                    struct iqt_buf *out)
{
    char program[PATH_BYTES], cpu[64];
    char *argv[] = { program, "-d", cpu, NULL, NULL };

    snprintf(cpu, sizeof cpu, "--mcpu=%s", arch);
    if (!find_program("IQT_OBJDUMP", llvm_names, program))
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "no llvm-objdump in $PATH (llvm-objdump-16 and later are tried): "
                        "install LLVM, or set IQT_OBJDUMP to the program");
    return run(argv, 3, bytes, size, out);
}
