/* Finding a GLSL compiler. Debian 12 ships a libshaderc.so.1 with unresolved symbols (its glslc
 * brings them along), so the program is more than a fallback. */
#include "runtime/vulkan_spirv_kind.h"

#include <stdlib.h>
#include <string.h>

enum { LOG_LINES = 6, SPIRV_MAGIC = 0x07230203 };

/* In order of preference. */
static const struct candidate {
    const struct iqt_spirv_kind *kind;
    const char *name;
} candidates[] = {
    { &iqt_spirv_shaderc, "libshaderc_shared.so.1" }, /* Vulkan SDK, most distributions */
    { &iqt_spirv_shaderc, "libshaderc.so.1" },        /* Debian and its children */
    { &iqt_spirv_glslc, "glslc" },
};

struct iqt_spirv_compiler {
    const struct iqt_spirv_kind *kind;
    void *state;
    uint64_t id;
};

static enum iqt_status open_first(const struct candidate *list, size_t count,
                                  struct iqt_spirv_compiler *c)
{
    struct iqt_buf why = { 0 };
    enum iqt_status status = IQT_ERR_UNSUPPORTED;

    for (size_t i = 0; i < count && status != IQT_OK; i++) {
        status = list[i].kind->open(list[i].name, &c->state, &c->id);
        if (status == IQT_OK)
            c->kind = list[i].kind;
        else
            iqt_buf_printf(&why, "%s%s", i > 0 ? "; " : "", iqt_last_error());
    }
    if (status != IQT_OK)
        status =
            iqt_fail(IQT_ERR_UNSUPPORTED, "no GLSL compiler: %s", iqt_buf_text(&why));
    iqt_buf_free(&why);
    return status;
}

enum iqt_status iqt_spirv_compiler_open(struct iqt_spirv_compiler **out)
{
    struct iqt_spirv_compiler *c = calloc(1, sizeof(*c));
    const char *named = getenv("IQT_GLSL_COMPILER");
    struct candidate only = { &iqt_spirv_glslc, named };
    enum iqt_status status;

    if (c == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a compiler");
    if (named == NULL || *named == '\0') {
        status = open_first(candidates, IQT_COUNT(candidates), c);
    } else {
        if (strstr(named, ".so") != NULL)
            only.kind = &iqt_spirv_shaderc;
        status = open_first(&only, 1, c);
    }
    if (status != IQT_OK) {
        free(c);
        return status;
    }
    *out = c;
    return IQT_OK;
}

void iqt_spirv_compiler_close(struct iqt_spirv_compiler *c)
{
    if (c == NULL)
        return;
    c->kind->close(c->state);
    free(c);
}

uint64_t iqt_spirv_compiler_id(const struct iqt_spirv_compiler *c)
{
    return c->id != 0 ? c->id : 1;
}

enum iqt_status iqt_spirv_compile(struct iqt_spirv_compiler *c, const char *name,
                                  const char *text, size_t bytes, struct iqt_spirv *out)
{
    return c->kind->compile(c->state, name, text, bytes, out);
}

void iqt_spirv_free(struct iqt_spirv *s)
{
    free(s->word);
    *s = (struct iqt_spirv){ NULL, 0 };
}

/* ---- For both kinds ---- */

enum iqt_status iqt_spirv_copy(const void *data, size_t bytes, struct iqt_spirv *out)
{
    uint32_t *word;

    if (bytes < sizeof(*word) || bytes % sizeof(*word) != 0 ||
        iqt_read_u32(data) != SPIRV_MAGIC)
        return iqt_fail(IQT_ERR_COMPILE,
                        "the compiler gave %zu bytes that are not SPIR-V", bytes);
    word = malloc(bytes);
    if (word == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu bytes of SPIR-V", bytes);
    memcpy(word, data, bytes);
    *out = (struct iqt_spirv){ word, bytes / sizeof(*word) };
    return IQT_OK;
}

enum iqt_status iqt_spirv_fail(const char *name, const char *log)
{
    const char *end = log;

    for (int line = 0; line < LOG_LINES && *end != '\0'; line++) {
        const char *next = strchr(end, '\n');

        end = next != NULL ? next + 1 : end + strlen(end);
    }
    while (end > log && end[-1] == '\n')
        end--;
    return iqt_fail(IQT_ERR_COMPILE, "%s: %.*s", name, (int)(end - log), log);
}
