/* Kernel text to a host shared object, by the C++ compiler that is here, once per text: the results
 * are kept on disk. */
#include "sim/machine.h"
#include "sim/text.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <spawn.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern char **environ;
extern const char sim_text_runtime_table[], sim_text_prelude_common[],
    sim_text_prelude_cuda[], sim_text_prelude_hip[];
const char sim_image_magic[8] = { 'I', 'Q', 'T', 'S', 'I', 'M', '1', '\n' };

namespace
{

/* ---- The text ---- */

/* gfx1100 is __gfx1100__ of __GFX11__; NVIDIA's are numbers. */
std::string arch_macros(sim_language language, const std::string &arch)
{
    if (language == SIM_CUDA)
        return "#define __CUDACC__ 1\n#define __CUDA_ARCH__ " +
               std::to_string(atoi(arch.c_str() + arch.find('_') + 1) * 10) + "\n";
    const std::string family = arch.size() > 6 ? arch.substr(3, 2) : arch.substr(3, 1);
    return "#define __HIP__ 1\n#define __" + arch + "__ 1\n#define __GFX" + family +
           "__ 1\n";
}

std::string table_of(const std::string &text)
{
    std::string table =
        "\nextern \"C\" __attribute__((visibility(\"default\"))) const SimEntry "
        "sim_entries[] = {\n";

    for (const sim::Entry &e : sim::entries(text))
        table += "    sim_entry(\"" + e.name + "\", " + e.name + ", " +
                 std::to_string(e.max_threads) + "),\n";
    return table +
           "    { nullptr, nullptr, nullptr, 0, 0, {} } };\n"
           "extern \"C\" __attribute__((visibility(\"default\"))) char *const sim_shared_range[] "
           "= { __start_sim_shared, __stop_sim_shared };\n";
}

std::string whole_text(sim_language language, const char *text, const char *arch,
                       int checked)
{
    const std::string kernel = sim::without_asm(text);

    return std::string(checked != 0 ? "#define SIM_CHECKED 1\n" : "") +
           (checked == SIM_COUNTED ? "#define SIM_COUNTED 1\n" : "") +
           sim_text_runtime_table + sim_text_prelude_common +
           (language == SIM_CUDA ? sim_text_prelude_cuda : sim_text_prelude_hip) +
           arch_macros(language, arch) + "#line 1 \"kernel\"\n" + kernel +
           "\n#undef shared\n#undef device\n#undef global\n" + table_of(text);
}

/* ---- The compiler ---- */

/* Local variables that a kernel forgets to set get a pattern, so that results are visibly wrong. The
 * checks are those of GCC's and Clang's sanitizers with the machine's own handlers. */
std::vector<std::string> command(const std::string &compiler, int checked)
{
    std::vector<std::string> c = { compiler,
                                   "-x",
                                   "c++",
                                   "-std=gnu++17",
                                   "-w",
                                   "-shared",
                                   "-fPIC",
                                   "-fvisibility=hidden",
                                   "-ffp-contract=off",
                                   "-fno-strict-aliasing",
                                   "-fno-exceptions",
                                   sim::variable("IQT_SIM_OPT", "-O1"),
                                   "-ftrivial-auto-var-init=pattern" };

    if (checked == SIM_COUNTED) /* else a load of a vector becomes loads of its words */
        c.emplace_back("-fno-tree-sra");
    if (checked != 0)
        c.insert(
            c.end(),
            { "-fsanitize=thread", "-fsanitize-recover=all",
              "-fsanitize=shift,bounds,signed-integer-overflow,alignment,null,bool" });
    return c;
}

std::string read_all(int fd)
{
    std::string out;
    char piece[65536];
    ssize_t n;

    lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, piece, sizeof piece)) > 0)
        out.append(piece, static_cast<size_t>(n));
    return out;
}

bool write_all(int fd, const std::string &text)
{
    return write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
           lseek(fd, 0, SEEK_SET) == 0;
}

/* Exit status; 127 when it cannot be started. */
int run(const std::vector<std::string> &words, int in, int log)
{
    std::vector<char *> argv;
    posix_spawn_file_actions_t actions;
    int state = 0;
    pid_t pid;

    for (const std::string &w : words)
        argv.push_back(const_cast<char *>(w.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, log, 1);
    posix_spawn_file_actions_adddup2(&actions, log, 2);
    const int failed =
        posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0)
        return 127;
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(state) ? WEXITSTATUS(state) : 127;
}

/* The objects go where a later dlopen() finds them; the source goes in by a memory file. */
int compile(const std::string &compiler, const std::string &source, int checked,
            const std::string &file, std::string *log)
{
    const int in = memfd_create("iqtile-sim-text", MFD_CLOEXEC);
    const int out = memfd_create("iqtile-sim-log", MFD_CLOEXEC);
    std::vector<std::string> words = command(compiler, checked);
    int status = 127;

    /* Sanitizers' own libraries must stay out: objects are linked by hand. */
    if (checked != 0)
        words.insert(words.end(), { "-c" });
    words.insert(words.end(), { "-o", checked != 0 ? file + ".o" : file, "-" });
    if (in >= 0 && out >= 0 && write_all(in, source))
        status = run(words, in, out);
    if (status == 0 && checked != 0)
        status = run({ compiler, "-shared", "-nostdlib", "-o", file, file + ".o", "-lc",
                       "-lm", "-lgcc" },
                     in, out);
    unlink((file + ".o").c_str());
    *log = out >= 0 ? read_all(out) : "";
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return status;
}

std::string find_compiler()
{
    const std::string given = sim::variable("IQT_SIM_CXX", "");
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    std::vector<std::string> names = { "c++", "g++", "clang++" };
    std::string found;

    if (!given.empty())
        names = { given };
    for (const std::string &name : names)
        if (found.empty() && run({ name, "--version" }, null, null) == 0)
            found = name;
    close(null);
    return found;
}

const std::string &compiler_name()
{
    static const std::string compiler = find_compiler();
    return compiler;
}

/* ---- The cache ---- */

/* FNV-1a, twice: file names, nothing secret. */
std::string hash(const std::string &text)
{
    uint64_t h[2] = { 0xcbf29ce484222325u, 0x84222325cbf29ce4u };
    char out[40];

    for (const unsigned char c : text)
        for (uint64_t &v : h)
            v = (v ^ c) * 0x100000001b3u + (&v == h);
    snprintf(out, sizeof out, "%016llx%016llx", static_cast<unsigned long long>(h[0]),
             static_cast<unsigned long long>(h[1]));
    return out;
}

std::string cache_folder()
{
    const std::string given = sim::variable("IQT_SIM_CACHE", "");
    const std::string home = sim::variable("HOME", "/tmp") + "/.cache";

    return given.empty() ? sim::variable("XDG_CACHE_HOME", home.c_str()) + "/iqtile/sim"
                         : given;
}

void make_folders(const std::string &path)
{
    for (size_t at = 1; (at = path.find('/', at)) != std::string::npos; at++)
        mkdir(path.substr(0, at).c_str(), 0777);
    mkdir(path.c_str(), 0777);
}

char *copy_bytes(const std::string &s)
{
    char *out = static_cast<char *>(malloc(s.size() + 1));

    if (out != nullptr)
        memcpy(out, s.c_str(), s.size() + 1);
    return out;
}

std::string read_file(const std::string &path)
{
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    std::string bytes;

    if (fd >= 0) {
        bytes = read_all(fd);
        close(fd);
    }
    return bytes;
}

/* A complete object under its final name, or none. */
std::string build(const std::string &compiler, const std::string &source, int checked,
                  const std::string &path, std::string *log)
{
    const std::string part = path + "." + std::to_string(getpid()) + "." +
                             std::to_string(reinterpret_cast<uintptr_t>(&source));
    std::string object;

    if (compile(compiler, source, checked, part, log) == 0) {
        object = read_file(part);
        rename(part.c_str(), path.c_str());
    } else if (log->empty()) {
        *log = "the compiler " + compiler + " could not be run";
    }
    unlink(part.c_str());
    return object;
}

} // namespace

int sim_can_compile(void)
{
    return !compiler_name().empty();
}

int sim_compile(enum sim_language language, const char *text, const char *arch,
                int checked, char **image, size_t *image_bytes, char **log)
{
    const std::string &compiler = compiler_name();
    const std::string source = whole_text(language, text, arch, checked);
    const std::string folder = cache_folder();
    std::string key = compiler, messages, object;

    for (const std::string &word : command(compiler, checked))
        key += word;
    const std::string path = folder + "/" + hash(key + source) + ".so";
    make_folders(folder);
    object = read_file(path);
    if (object.empty() && compiler.empty())
        messages =
            "no C++ compiler: c++, g++ or clang++ simulate a GPU (IQT_SIM_CXX names another)";
    else if (object.empty())
        object = build(compiler, source, checked, path, &messages);
    *log = copy_bytes(messages);
    *image = nullptr;
    if (object.empty())
        return 0;
    sim_image_head head = {};
    memcpy(head.magic, sim_image_magic, sizeof head.magic);
    head.language = language;
    head.checked = checked != 0;
    snprintf(head.arch, sizeof head.arch, "%s", arch);
    head.bytes = object.size();
    object.insert(0, reinterpret_cast<const char *>(&head), sizeof head);
    *image = copy_bytes(object);
    *image_bytes = object.size();
    return *image != nullptr;
}
