/* NVRTC's functions: text in, an image for sim_module_load() out, whatever it is called. */
#include "sim/driver.h"

#include <cstdlib>
#include <cstring>
#include <set>

namespace
{

enum { OK, OUT_OF_MEMORY = 1, INVALID_PROGRAM = 4, INVALID_OPTION = 5, FAILED = 6 };

struct Program {
    std::string text, image, log;
};
std::set<Program *> programs;

Program *live(void *p)
{
    const auto at = programs.find(static_cast<Program *>(p));

    return at != programs.end() ? *at : nullptr;
}

int drop(void **program)
{
    Program *p = live(*program);

    if (p == nullptr)
        return INVALID_PROGRAM;
    programs.erase(p);
    delete p;
    sim_count(SIM_PROGRAM, -1);
    *program = nullptr;
    return OK;
}

/* "sm_90" of --gpu-architecture=sm_90 or compute_90. */
std::string arch_of(int count, const char *const *options)
{
    for (int i = 0; i < count; i++) {
        const std::string o = options[i];
        const size_t at = o.find("-architecture=");

        if (at != std::string::npos)
            return o.substr(at + strlen("-architecture="));
    }
    return "compute_75";
}

bool known(const std::string &arch)
{
    static const char *const all[] = { "75", "80",  "86",  "87",  "89",
                                       "90", "100", "103", "110", "120" };
    const size_t at = arch.find('_') + 1;

    for (const char *a : all)
        if (arch.compare(at, std::string::npos, a) == 0)
            return true;
    return false;
}

} // namespace

#define API extern "C" IQT_SIM_API int
#define PROGRAM()               \
    SIM_CALL();                 \
    Program *p = live(program); \
    if (p == nullptr)           \
    return INVALID_PROGRAM

API nvrtcVersion(int *major, int *minor)
{
    SIM_CALL();
    *major = 13;
    *minor = 0;
    return OK;
}

API nvrtcCreateProgram(void **program, const char *text, const char *name, int headers,
                       const char *const *, const char *const *)
{
    SIM_CALL();
    (void)name;
    (void)headers;
    auto *p = new Program{ text, "", "" };
    programs.insert(p);
    sim_count(SIM_PROGRAM, 1);
    *program = p;
    return OK;
}

API nvrtcCompileProgram(void *program, int count, const char *const *options)
{
    PROGRAM();
    const std::string arch = arch_of(count, options);
    char *image = nullptr, *log = nullptr;
    size_t bytes = 0;

    if (!known(arch)) {
        p->log = "invalid value for --gpu-architecture: " + arch;
        return INVALID_OPTION;
    }
    const std::string real = "sm_" + arch.substr(arch.find('_') + 1);
    const int ok = sim_compile(SIM_CUDA, p->text.c_str(), real.c_str(),
                               sim::settings().check, &image, &bytes, &log);
    p->log = log != nullptr ? log : "";
    if (ok)
        p->image.assign(image, bytes);
    free(image);
    free(log);
    return ok ? OK : FAILED;
}

#define GETTER(name, field)                                 \
    API nvrtcGet##name##Size(void *program, size_t *bytes)  \
    {                                                       \
        PROGRAM();                                          \
        *bytes = p->field.size() + 1;                       \
        return OK;                                          \
    }                                                       \
    API nvrtcGet##name(void *program, char *out)            \
    {                                                       \
        PROGRAM();                                          \
        memcpy(out, p->field.c_str(), p->field.size() + 1); \
        return OK;                                          \
    }
GETTER(CUBIN, image)
GETTER(PTX, image)
GETTER(ProgramLog, log)

API nvrtcDestroyProgram(void **program)
{
    SIM_RELEASE(drop(program));
}
