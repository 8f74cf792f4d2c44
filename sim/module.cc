/* Images of compiled kernels: loaded as shared objects, each with its table of kernels. */
#include "sim/machine.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <memory>
#include <unistd.h>
#include <vector>

/* The object's own table, as prelude_common.h declares it. */
struct SimEntry {
    const char *name;
    void (*call)(void *kernel, void *const *arguments);
    void *kernel;
    unsigned max_threads, count;
    unsigned short bytes[32];
};

struct sim_module {
    void *object;
    sim::Image image;
    SimRuntime **runtime;
    std::vector<sim_kernel> kernels;
    const SimEntry *entries;
};

namespace
{

/* A file of its own, gone at once: dlopen() takes equal names for equal objects. */
void *open_object(const uint8_t *bytes, size_t size)
{
    std::string path = sim::variable("TMPDIR", "/tmp") + "/iqtile-sim-XXXXXX";
    const int fd = mkstemp(path.data());
    void *object = nullptr;

    if (fd < 0)
        return nullptr;
    if (write(fd, bytes, size) == static_cast<ssize_t>(size))
        object = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    close(fd);
    unlink(path.c_str());
    return object;
}

struct Range {
    uintptr_t base;
    sim::Image *image;
};

int add_segments(dl_phdr_info *info, size_t, void *user)
{
    const auto *range = static_cast<Range *>(user);

    if (info->dlpi_addr != range->base)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const auto &h = info->dlpi_phdr[i];

        if (h.p_type != PT_LOAD)
            continue;
        auto *begin = reinterpret_cast<uint8_t *>(info->dlpi_addr + h.p_vaddr);
        if (range->image->begin == nullptr || begin < range->image->begin)
            range->image->begin = begin;
        if (begin + h.p_memsz > range->image->end)
            range->image->end = begin + h.p_memsz;
    }
    return 1;
}

bool read_tables(sim_module *m)
{
    auto *const *shared =
        static_cast<uint8_t *const *>(dlsym(m->object, "sim_shared_range"));
    link_map *map = nullptr;

    m->runtime = static_cast<SimRuntime **>(dlsym(m->object, "sim_rt"));
    m->entries = static_cast<const SimEntry *>(dlsym(m->object, "sim_entries"));
    if (m->runtime == nullptr || m->entries == nullptr || shared == nullptr ||
        dlinfo(m->object, RTLD_DI_LINKMAP, &map) != 0)
        return false;
    m->image.shared = shared[0];
    m->image.shared_bytes = static_cast<size_t>(shared[1] - shared[0]);
    Range range = { map->l_addr, &m->image };
    dl_iterate_phdr(add_segments, &range);
    return m->image.begin != nullptr;
}

void list_kernels(sim_module *m)
{
    for (const SimEntry *e = m->entries; e->name != nullptr; e++) {
        sim_kernel k = {};

        snprintf(k.name, sizeof k.name, "%s", e->name);
        k.entry = const_cast<SimEntry *>(e);
        k.max_threads = e->max_threads;
        k.shared_bytes = static_cast<uint32_t>(m->image.shared_bytes);
        k.arguments = e->count;
        memcpy(k.argument_bytes, e->bytes, sizeof k.argument_bytes);
        k.module = m;
        m->kernels.push_back(k);
    }
}

} // namespace

struct sim_module *sim_module_load(const void *image, const char *want_arch)
{
    sim_image_head head;

    /* Real PTX and cubins are longer than the magic, too; nothing else is known of the size. */
    if (memcmp(image, sim_image_magic, sizeof sim_image_magic) != 0)
        return nullptr;
    memcpy(&head, image, sizeof head);
    if (want_arch != nullptr && strcmp(head.arch, want_arch) != 0)
        return nullptr;
    auto m = std::make_unique<sim_module>();
    m->image.checked = head.checked != 0;
    m->object =
        open_object(static_cast<const uint8_t *>(image) + sizeof head, head.bytes);
    if (m->object == nullptr || !read_tables(m.get())) {
        if (m->object != nullptr)
            dlclose(m->object);
        return nullptr;
    }
    list_kernels(m.get());
    return m.release();
}

void sim_module_unload(struct sim_module *m)
{
    if (m == nullptr)
        return;
    dlclose(m->object);
    delete m;
}

const struct sim_kernel *sim_module_kernel(struct sim_module *m, const char *name)
{
    for (const sim_kernel &k : m->kernels)
        if (strcmp(k.name, name) == 0)
            return &k;
    return nullptr;
}

const sim::Image &sim::image_of(const sim_kernel *k)
{
    return k->module->image;
}

void sim::set_runtime(const sim_kernel *k, SimRuntime *runtime)
{
    *k->module->runtime = runtime;
}

void sim::call_kernel(const sim_kernel *k, void *const *arguments)
{
    const auto *e = static_cast<const SimEntry *>(k->entry);

    e->call(e->kernel, arguments);
}
