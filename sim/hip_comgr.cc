/* comgr's functions: source in, an executable for sim_module_load() out. The steps between hand the
 * text on. */
#include "sim/driver.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>

namespace
{

enum { OK, FAILED = 1, INVALID = 2 };
enum { SOURCE = 1, LOG = 5, BC = 6, RELOCATABLE = 7, EXECUTABLE = 8 };
enum { SOURCE_TO_BC = 2, BC_TO_RELOCATABLE = 6, LINK = 9 };

struct Handle {
    uint64_t value;
};

struct Data {
    int kind;
    std::string bytes;
};

struct Object { /* a data object, a set of them, or an action's description */
    std::shared_ptr<Data> data;
    std::vector<std::shared_ptr<Data>> set;
    std::string arch;
};

std::map<uint64_t, Object> objects;
uint64_t next_handle = 1;

const char *const isas[] = { "amdgcn-amd-amdhsa--gfx906",  "amdgcn-amd-amdhsa--gfx90a",
                             "amdgcn-amd-amdhsa--gfx942",  "amdgcn-amd-amdhsa--gfx1030",
                             "amdgcn-amd-amdhsa--gfx1100", "amdgcn-amd-amdhsa--gfx1201" };

Object *live(Handle h)
{
    const auto at = objects.find(h.value);

    return at != objects.end() ? &at->second : nullptr;
}

int make(Handle *out, Object object)
{
    out->value = next_handle++;
    objects[out->value] = std::move(object);
    sim_count(SIM_PROGRAM, 1);
    return OK;
}

int drop(Handle h)
{
    if (objects.erase(h.value) == 0)
        return INVALID;
    sim_count(SIM_PROGRAM, -1);
    return OK;
}

void put(Object *out, int kind, const std::string &bytes)
{
    out->set.push_back(std::make_shared<Data>(Data{ kind, bytes }));
}

int link(const std::string &text, const std::string &arch, Object *out)
{
    char *image = nullptr, *log = nullptr;
    size_t bytes = 0;
    const int ok = sim_compile(SIM_HIP, text.c_str(), arch.c_str(), sim::settings().check,
                               &image, &bytes, &log);

    if (ok)
        put(out, EXECUTABLE, std::string(image, bytes));
    put(out, LOG, log != nullptr ? log : "");
    free(image);
    free(log);
    return ok ? OK : FAILED;
}

} // namespace

#define API extern "C" IQT_SIM_API int
#define OBJECT(name, handle)     \
    Object *name = live(handle); \
    if (name == nullptr)         \
    return INVALID

extern "C" IQT_SIM_API void amd_comgr_get_version(size_t *major, size_t *minor)
{
    *major = 2;
    *minor = 4;
}

API amd_comgr_get_isa_count(size_t *count)
{
    SIM_CALL();
    *count = sizeof isas / sizeof *isas;
    return OK;
}

API amd_comgr_get_isa_name(size_t index, const char **name)
{
    SIM_CALL();
    if (index >= sizeof isas / sizeof *isas)
        return INVALID;
    *name = isas[index];
    return OK;
}

API amd_comgr_create_data(int kind, Handle *out)
{
    SIM_CALL();
    return make(out, Object{ std::make_shared<Data>(Data{ kind, "" }), {}, "" });
}

API amd_comgr_set_data(Handle data, size_t bytes, const char *text)
{
    SIM_CALL();
    OBJECT(o, data);
    o->data->bytes.assign(text, bytes);
    return OK;
}

API amd_comgr_set_data_name(Handle data, const char *)
{
    SIM_CALL();
    return live(data) != nullptr ? OK : INVALID;
}

API amd_comgr_get_data(Handle data, size_t *bytes, char *out)
{
    SIM_CALL();
    OBJECT(o, data);
    if (out != nullptr)
        memcpy(out, o->data->bytes.data(), *bytes);
    *bytes = o->data->bytes.size();
    return OK;
}

API amd_comgr_release_data(Handle data)
{
    SIM_RELEASE(drop(data));
}

API amd_comgr_create_data_set(Handle *out)
{
    SIM_CALL();
    return make(out, Object{});
}

API amd_comgr_destroy_data_set(Handle set)
{
    SIM_RELEASE(drop(set));
}

API amd_comgr_data_set_add(Handle set, Handle data)
{
    SIM_CALL();
    OBJECT(s, set);
    OBJECT(d, data);
    s->set.push_back(d->data);
    return OK;
}

API amd_comgr_create_action_info(Handle *out)
{
    SIM_CALL();
    return make(out, Object{});
}

API amd_comgr_destroy_action_info(Handle info)
{
    SIM_RELEASE(drop(info));
}

API amd_comgr_action_info_set_language(Handle info, int language)
{
    SIM_CALL();
    return live(info) != nullptr && language == 4 ? OK : INVALID;
}

API amd_comgr_action_info_set_isa_name(Handle info, const char *isa)
{
    SIM_CALL();
    OBJECT(o, info);
    for (const char *known : isas)
        if (strcmp(known, isa) == 0) {
            o->arch = strrchr(known, '-') + 1;
            return OK;
        }
    return INVALID;
}

API amd_comgr_action_info_set_option_list(Handle info, const char *const *, size_t)
{
    SIM_CALL();
    return live(info) != nullptr ? OK : INVALID;
}

API amd_comgr_action_info_set_logging(Handle info, bool)
{
    SIM_CALL();
    return live(info) != nullptr ? OK : INVALID;
}

API amd_comgr_do_action(int action, Handle info, Handle in, Handle out)
{
    static const struct {
        int action, from, to;
    } steps[] = { { SOURCE_TO_BC, SOURCE, BC },
                  { BC_TO_RELOCATABLE, BC, RELOCATABLE },
                  { LINK, RELOCATABLE, EXECUTABLE } };

    SIM_CALL();
    OBJECT(i, info);
    OBJECT(from, in);
    OBJECT(to, out);
    for (const auto &s : steps)
        for (const auto &d : from->set)
            if (s.action == action && d->kind == s.from) {
                if (action == LINK)
                    return link(d->bytes, i->arch, to);
                put(to, s.to, d->bytes);
                return OK;
            }
    return INVALID;
}

API amd_comgr_action_data_count(Handle set, int kind, size_t *count)
{
    SIM_CALL();
    OBJECT(s, set);
    *count = 0;
    for (const auto &d : s->set)
        *count += d->kind == kind;
    return OK;
}

API amd_comgr_action_data_get_data(Handle set, int kind, size_t index, Handle *out)
{
    SIM_CALL();
    OBJECT(s, set);
    for (const auto &d : s->set)
        if (d->kind == kind && index-- == 0)
            return make(out, Object{ d, {}, "" });
    return INVALID;
}
