/* Build-time program: writes the kernels that the library embeds and the tables that name them.
 *
 *   iqt_gen host DIR               one C file per format with its embedded host kernels
 *   iqt_gen host-table FILE        iqt_embedded_host[]
 *   iqt_gen glsl DIR               one GLSL file per embedded Vulkan plan and helper
 *   iqt_gen spirv-table DIR FILE   iqt_embedded_spirv[], from DIR's .spv files
 *   iqt_gen cuda DIR               one CUDA file per embedded plan and helper
 *   iqt_gen ptx-table DIR FILE     iqt_embedded_ptx[], from DIR's .ptx files
 *   iqt_gen formats | plans        names for the build system, separated by ';' */
#include "codegen/codegen.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MOST = 4096, PATH = 4096 };
static const char *const isas[] = { "portable", "avx2", "avx512" };
static struct iqt_plan plans[MOST];

/* A file that already says the same keeps its time, so nothing that depends on it is rebuilt. */
static bool is_unchanged(const char *path, const struct iqt_buf *text)
{
    char *data;
    size_t bytes;

    if (iqt_file_read(path, &data, &bytes) != IQT_OK)
        return false;
    const bool same = bytes == text->bytes && memcmp(data, text->data, bytes) == 0;
    free(data);
    return same;
}

static enum iqt_status write_text(const char *path, struct iqt_buf *text)
{
    enum iqt_status status = iqt_buf_check(text);

    if (status == IQT_OK && !is_unchanged(path, text))
        status = iqt_file_replace(path, text->data, text->bytes);
    iqt_buf_free(text);
    return status;
}

static size_t embedded(enum iqt_dialect d)
{
    const size_t count = iqt_plan_embedded(d, plans, MOST);

    return count < MOST ? count : MOST;
}

static enum iqt_status gen_host(const char *dir, const char *unused)
{
    const size_t count = embedded(IQT_DIALECT_HOST);
    char path[PATH];

    (void)unused;
    for (size_t from = 0, to; from < count; from = to) {
        struct iqt_buf text = { 0 };

        for (to = from; to < count && plans[to].format == plans[from].format;)
            to++;
        snprintf(path, sizeof(path), "%s/host_%s.c", dir, plans[from].format->name);
        IQT_TRY(iqt_emit_host_set(&plans[from], to - from, &text));
        IQT_TRY(write_text(path, &text));
    }
    return IQT_OK;
}

static enum iqt_status gen_host_table(const char *file, const char *unused)
{
    const size_t count = embedded(IQT_DIALECT_HOST);
    char name[IQT_PLAN_NAME_BYTES], symbol[IQT_PLAN_NAME_BYTES];
    struct iqt_buf declare = { 0 }, table = { 0 };

    (void)unused;
    iqt_buf_printf(&declare, "#include \"runtime/embedded.h\"\n\n");
    iqt_buf_printf(&table, "\nconst struct iqt_embedded_host iqt_embedded_host[] = {\n");
    for (size_t i = 0; i < count; i++)
        for (size_t isa = 0; isa < IQT_COUNT(isas); isa++) {
            iqt_plan_name(&plans[i], name);
            iqt_kernel_symbol(&plans[i], symbol);
            iqt_buf_printf(&declare,
                           "void %s_%s(const struct iqt_host_args *args, uint32_t begin, "
                           "uint32_t end);\n",
                           symbol, isas[isa]);
            iqt_buf_printf(&table, "%s    { \"%s\", \"%s\", %s_%s },\n%s",
                           isa == 1 ? "#if defined(__x86_64__)\n" : "", name, isas[isa],
                           symbol, isas[isa], isa == 2 ? "#endif\n" : "");
        }
    iqt_buf_printf(&table, "    { 0 },\n};\n");
    iqt_buf_append(&declare, table.data, table.bytes);
    iqt_buf_free(&table);
    return write_text(file, &declare);
}

/* One file per embedded plan of a dialect and helper. */
static enum iqt_status gen_texts(enum iqt_dialect d, const char *dir, const char *suffix)
{
    const size_t count = embedded(d);
    char path[PATH], name[IQT_PLAN_NAME_BYTES];

    for (size_t i = 0; i < count; i++) {
        struct iqt_buf text = { 0 };

        iqt_plan_name(&plans[i], name);
        snprintf(path, sizeof(path), "%s/%s%s", dir, name, suffix);
        IQT_TRY(iqt_emit_kernel(&plans[i], &text));
        IQT_TRY(write_text(path, &text));
    }
    for (uint32_t h = 0; h < IQT_HELPERS; h++) {
        struct iqt_buf text = { 0 };

        snprintf(path, sizeof(path), "%s/%s%s", dir, iqt_helper_name(h), suffix);
        IQT_TRY(iqt_emit_helper(h, d, &text));
        IQT_TRY(write_text(path, &text));
    }
    return IQT_OK;
}

static enum iqt_status gen_glsl(const char *dir, const char *unused)
{
    (void)unused;
    return gen_texts(IQT_DIALECT_GLSL, dir, ".comp");
}

static enum iqt_status gen_cuda(const char *dir, const char *unused)
{
    (void)unused;
    return gen_texts(IQT_DIALECT_CUDA, dir, ".cu");
}

/* A string: compilers read it ten times as fast as an array of numbers. */
static void add_string(struct iqt_buf *out, const char *data, size_t bytes, size_t number)
{
    enum { LINE = 64 };
    char spelled[256][8];

    for (int c = 0; c < 256; c++)
        snprintf(spelled[c], sizeof *spelled, isalnum(c) ? "%c" : "\\%03o", c);
    iqt_buf_printf(out, "static const char image%zu[] =", number);
    for (size_t i = 0; i < bytes; i++) {
        const char *s = spelled[(unsigned char)data[i]];

        if (i % LINE == 0)
            iqt_buf_printf(out, "%s\n\"", i > 0 ? "\"" : "");
        iqt_buf_append(out, s, strlen(s));
    }
    iqt_buf_printf(out, "\";\n");
}

/* Of the i'th embedded plan; behind the last one, of the helpers. */
static enum iqt_status name_and_hash(enum iqt_dialect d, size_t i, size_t count,
                                     char name[IQT_PLAN_NAME_BYTES], uint64_t *hash)
{
    struct iqt_buf text = { 0 };

    if (i < count) {
        iqt_plan_name(&plans[i], name);
        return iqt_text_hash(&plans[i], hash);
    }
    strcpy(name, iqt_helper_name((uint32_t)(i - count)));
    IQT_TRY(iqt_emit_helper((uint32_t)(i - count), d, &text));
    *hash = iqt_hash(text.data, text.bytes, 0);
    iqt_buf_free(&text);
    return IQT_OK;
}

/* Adds a string of the file's bytes, packed, and says, as the end of a table's entry, what they are. Level 9 takes
 * four times as long for a hundredth less. */
static enum iqt_status add_image(struct iqt_buf *out, const char *path, size_t number,
                                 char size[64])
{
    size_t bytes;
    char *data, *packed;
    uLongf room;
    int error = Z_MEM_ERROR;

    IQT_TRY(iqt_file_read(path, &data, &bytes));
    room = compressBound((uLong)bytes);
    packed = malloc(room);
    if (packed != NULL)
        error = compress((Bytef *)packed, &room, (const Bytef *)data, (uLong)bytes);
    if (error == Z_OK)
        add_string(out, packed, room, number);
    free(packed);
    free(data);
    if (error != Z_OK)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s: zlib error %d", path, error);
    snprintf(size, 64, "%lu, %zu", (unsigned long)room, bytes);
    return IQT_OK;
}

static enum iqt_status gen_table(enum iqt_dialect d, const char *array,
                                 const char *suffix, const char *dir, const char *file)
{
    const size_t count = embedded(d);
    struct iqt_buf out = { 0 }, table = { 0 };
    char name[IQT_PLAN_NAME_BYTES], path[PATH], size[64];
    uint64_t hash;

    iqt_buf_printf(&out, "#include \"runtime/embedded.h\"\n\n");
    iqt_buf_printf(&table, "\nconst struct iqt_embedded_image %s[] = {\n", array);
    for (size_t i = 0; i < count + IQT_HELPERS; i++) {
        IQT_TRY(name_and_hash(d, i, count, name, &hash));
        snprintf(path, sizeof(path), "%s/%s%s", dir, name, suffix);
        IQT_TRY(add_image(&out, path, i, size));
        iqt_buf_printf(&table, "    { \"%s\", 0x%llxull, image%zu, %s },\n", name,
                       (unsigned long long)hash, i, size);
    }
    iqt_buf_printf(&table, "    { 0 },\n};\n");
    iqt_buf_append(&out, table.data, table.bytes);
    iqt_buf_free(&table);
    return write_text(file, &out);
}

static enum iqt_status gen_spirv_table(const char *dir, const char *file)
{
    return gen_table(IQT_DIALECT_GLSL, "iqt_embedded_spirv", ".spv", dir, file);
}

static enum iqt_status gen_ptx_table(const char *dir, const char *file)
{
    return gen_table(IQT_DIALECT_CUDA, "iqt_embedded_ptx", ".ptx", dir, file);
}

static enum iqt_status print_formats(const char *unused1, const char *unused2)
{
    (void)unused1;
    (void)unused2;
    for (const struct iqt_format *f = iqt_formats; f->name; f++)
        printf("%s%s", f == iqt_formats ? "" : ";", f->name);
    return IQT_OK;
}

static enum iqt_status print_plans(const char *unused1, const char *unused2)
{
    const size_t count = embedded(IQT_DIALECT_GLSL);
    char name[IQT_PLAN_NAME_BYTES];

    (void)unused1;
    (void)unused2;
    for (size_t i = 0; i < count; i++) {
        iqt_plan_name(&plans[i], name);
        printf("%s;", name);
    }
    for (uint32_t h = 0; h < IQT_HELPERS; h++)
        printf("%s%s", h == 0 ? "" : ";", iqt_helper_name(h));
    return IQT_OK;
}

static const struct {
    const char *name;
    int args;
    enum iqt_status (*run)(const char *, const char *);
} commands[] = {
    { "host", 1, gen_host },         { "host-table", 1, gen_host_table },
    { "glsl", 1, gen_glsl },         { "spirv-table", 2, gen_spirv_table },
    { "cuda", 1, gen_cuda },         { "ptx-table", 2, gen_ptx_table },
    { "formats", 0, print_formats }, { "plans", 0, print_plans },
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < IQT_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0 || argc != 2 + commands[i].args)
            continue;
        if (commands[i].run(argc > 2 ? argv[2] : NULL, argc > 3 ? argv[3] : NULL) ==
            IQT_OK)
            return 0;
        fprintf(stderr, "iqt_gen: %s\n", iqt_last_error());
        return 1;
    }
    fprintf(
        stderr,
        "usage: iqt_gen host|host-table|glsl|spirv-table|cuda|ptx-table|formats|plans "
        "[PATH]...\n");
    return 2;
}
