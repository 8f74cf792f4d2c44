/* What recipes ask about a model, from the keys of its file. Absent keys are zero: no model at all is a model
 * of which nothing is known. */
#include "tools/quantize.h"
#include "io/gguf_file.h"

#include <stdio.h>
#include <string.h>

static void read_arch(const struct iqt_gguf *g, char *out, size_t bytes)
{
    struct iqt_gguf_key key;

    if (iqt_gguf_key_find(g, "general.architecture", &key) && key.type == IQT_GGUF_STRING)
        snprintf(out, bytes, "%.*s", (int)(key.count < bytes ? key.count : bytes - 1),
                 (const char *)key.data);
}

/* Of an array, as some models have it by layer, the first. */
static uint32_t read_number(const struct iqt_gguf *g, const char *arch, const char *name,
                            uint32_t otherwise)
{
    struct iqt_gguf_key key;
    char full[96];
    uint64_t value;

    snprintf(full, sizeof full, "%s.%s", arch, name);
    if (!iqt_gguf_key_find(g, full, &key))
        return otherwise;
    if (key.type == IQT_GGUF_ARRAY && key.count > 0 && iqt_gguf_type_bytes(key.item) > 0)
        key.type = key.item;
    return iqt_gguf_key_unsigned(&key, &value) && value <= UINT32_MAX ? (uint32_t)value
                                                                      : otherwise;
}

static uint32_t count_words(const struct iqt_gguf *g)
{
    struct iqt_gguf_key key;

    return iqt_gguf_key_find(g, "tokenizer.ggml.tokens", &key) &&
                   key.type == IQT_GGUF_ARRAY && key.count <= UINT32_MAX
               ? (uint32_t)key.count
               : 0;
}

static bool has_output(const struct iqt_gguf *g)
{
    static const char name[] = "output.weight";

    for (size_t i = 0; i < iqt_gguf_tensor_count(g); i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, i);

        if (t.name_bytes == sizeof name - 1 && memcmp(t.name, name, t.name_bytes) == 0)
            return true;
    }
    return false;
}

struct iqt_recipe_model iqt_model_describe(const struct iqt_gguf *g)
{
    struct iqt_recipe_model m = { .tied = !has_output(g) };

    read_arch(g, m.arch, sizeof m.arch);
    m.layers = read_number(g, m.arch, "block_count", 0);
    m.heads = read_number(g, m.arch, "attention.head_count", 0);
    m.heads_kv = read_number(g, m.arch, "attention.head_count_kv", m.heads);
    m.experts = read_number(g, m.arch, "expert_count", 0);
    m.width = read_number(g, m.arch, "embedding_length", 0);
    m.vocab = read_number(g, m.arch, "vocab_size", count_words(g));
    return m;
}
