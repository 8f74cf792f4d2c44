/* The reference's recipes as tables: rules, what stands in for types that do not fit a row, and which models
 * count as 70B or 8B. Source: ik_llama.cpp 8337e4cd38, src/llama-quantize.cpp and src/llama-hparams.cpp;
 * tests/golden/type-selection.csv is what that program chose. */
#include "quant/recipe.h"

#include <string.h>
#include <strings.h>

#define V "attn_v.weight"
#define K "attn_k"
#define Q "attn_q"
#define QKV "attn_qkv.weight"
#define OUT "attn_output.weight"
#define DOWN "ffn_down"
#define GATE "ffn_gate"
#define UP "ffn_up"
#define END           \
    {                 \
        NULL, 0, NULL \
    }

typedef const struct iqt_recipe_rule rules;

rules iqt_recipe_common[] = {
    { V, IQT_IF_4_EXPERTS, "q8_0" },
    { K, IQT_IF_4_EXPERTS, "q8_0" },
    { OUT, IQT_IF_FALCON, NULL },
    END,
};
rules iqt_recipe_plain[] = {
    { V, 0, NULL },   { K, 0, NULL },    { Q, 0, NULL },  { DOWN, 0, NULL },
    { OUT, 0, NULL }, { GATE, 0, NULL }, { UP, 0, NULL }, END,
};

static rules none[] = { END };
static rules iq2_k[] = {
    { V, IQT_IF_70B, NULL },           { V, IQT_IF_GQA_2, "iq4_k" }, { V, 0, "iq3_k" },
    { OUT, IQT_IF_4_EXPERTS, "q5_k" }, { OUT, 0, "iq3_k" },          END,
};
static rules iq2_kl[] = {
    { V, IQT_IF_70B, NULL },
    { V, IQT_IF_GQA_2, "iq4_ks" },
    { OUT, IQT_IF_4_EXPERTS, "iq4_ks" },
    END,
};
static rules iq3_ks[] = {
    { V, IQT_IF_70B, NULL },
    { V, IQT_IF_GQA_2, "iq4_ks" },
    { OUT, IQT_IF_4_EXPERTS, "q5_k" },
    END,
};
static rules iq3_k[] = {
    { V, IQT_IF_70B, "iq5_k" },
    { V, IQT_IF_GQA_2, "iq4_k" },
    { OUT, IQT_IF_4_EXPERTS, "q5_k" },
    END,
};
static rules iq3_kl[] = {
    { V, IQT_IF_70B, "iq5_k" },
    { V, IQT_IF_GQA_2, "iq5_k" },
    { V, 0, "iq4_k" },
    { DOWN, IQT_IF_MORE_LAYERS, "iq4_ks" },
    { OUT, IQT_IF_4_EXPERTS, "q5_k" },
    { OUT, 0, "iq4_ks" },
    { GATE, IQT_IF_MORE_LAYERS, "iq4_ks" },
    { UP, IQT_IF_MORE_LAYERS, "iq4_ks" },
    END,
};
static rules iq3_kt[] = {
    { V, IQT_IF_70B, NULL },
    { V, IQT_IF_GQA_4, "iq4_k" },
    { V, 0, "iq3_k" },
    { DOWN, IQT_IF_NO_IMPORTANCE | IQT_IF_FIRST_LAYERS, "iq4_k" },
    { DOWN, IQT_IF_NO_IMPORTANCE, "iq3_k" },
    { OUT, IQT_IF_4_EXPERTS, "q5_k" },
    { OUT, IQT_IF_GQA_4, "iq3_k" },
    END,
};
static rules iq4_kt[] = {
    { V, IQT_IF_70B, NULL },
    { V, IQT_IF_GQA_4, "iq5_k" },
    { V, 0, "iq4_k" },
    END,
};
static rules iq4_ks[] = {
    { V, IQT_IF_70B, NULL },
    { V, IQT_IF_GQA_2, "iq5_k" },
    { DOWN, IQT_IF_NO_IMPORTANCE | IQT_IF_FIRST_LAYERS, "q5_k" },
    { OUT, IQT_IF_4_EXPERTS, "q5_k" },
    END,
};
static rules iq4_k[] = {
    { V, IQT_IF_70B, NULL },
    { V, IQT_IF_GQA_2, "iq5_k" },
    { OUT, IQT_IF_4_EXPERTS, "q5_k" },
    END,
};
static rules iq5_ks[] = {
    { V, IQT_IF_70B, NULL },
    { V, IQT_IF_LLAMA3, "iq6_k" },
    { Q, IQT_IF_LLAMA3, "iq4_ks" },
    { OUT, IQT_IF_4_EXPERTS, "q5_k" },
    END,
};
static rules iq5_k[] = {
    { V, IQT_IF_70B, NULL },
    { V, IQT_IF_LLAMA3, "iq6_k" },
    { Q, IQT_IF_LLAMA3, "iq4_k" },
    END,
};
static rules iq2_k_r4[] = {
    { V, IQT_IF_70B, NULL }, { V, IQT_IF_GQA_2, "iq4_k_r4" },
    { V, 0, "iq3_k_r4" },    { OUT, IQT_IF_4_EXPERTS, "q5_k" },
    { OUT, 0, "iq3_k_r4" },  END,
};
static rules iq3_k_r4[] = {
    { V, IQT_IF_70B, NULL },
    { V, IQT_IF_GQA_2, "iq4_k_r4" },
    { OUT, IQT_IF_4_EXPERTS, "q5_k" },
    END,
};
static rules iq4_ks_r4[] = {
    { V, IQT_IF_70B, NULL },
    { V, IQT_IF_GQA_2, "iq5_k_r4" },
    { DOWN, IQT_IF_NO_IMPORTANCE | IQT_IF_FIRST_LAYERS, "q5_k_r4" },
    { OUT, IQT_IF_4_EXPERTS, "q5_k" },
    END,
};
static rules iq5_ks_r4[] = {
    { OUT, IQT_IF_4_EXPERTS, "q5_k" },
    END,
};
/* These two look at the parts of a model in another order. */
static rules iq2_ks[] = {
    { V, IQT_IF_GQA_4, "iq4_k" },
    { V, IQT_IF_4_EXPERTS, "iq4_k" },
    { V, IQT_IF_GQA_2, "iq3_k" },
    { V, IQT_IF_2_EXPERTS, "iq3_k" },
    { V, 0, "q2_k" },
    { K, IQT_IF_8_EXPERTS, "q4_k" },
    { Q, IQT_IF_8_EXPERTS, "q4_k" },
    { QKV, 0, "iq2_k" },
    { DOWN, IQT_IF_FIRST_COUNTED, "q2_k" },
    { DOWN, 0, NULL },
    { OUT, IQT_IF_4_EXPERTS, "q5_k" },
    END,
};
static rules iq2_kt[] = {
    { V, IQT_IF_GQA_4, "iq4_k" },
    { V, IQT_IF_4_EXPERTS, "iq4_k" },
    { V, IQT_IF_GQA_2, "iq3_k" },
    { V, 0, "q2_k" },
    { K, IQT_IF_8_EXPERTS, "q4_k" },
    { "blk.0.ffn_down", IQT_IF_8_EXPERTS, "iq3_k" },
    { "blk.0.ffn_gate", IQT_IF_8_EXPERTS, "iq3_k" },
    { "blk.0.ffn_up", IQT_IF_8_EXPERTS, "iq3_k" },
    { Q, IQT_IF_8_EXPERTS, "q4_k" },
    { QKV, 0, "iq3_k" },
    { "_shexp.weight", 0, "iq4_k" },
    { DOWN, IQT_IF_FIRST_LAYERS, "iq3_k" },
    { DOWN, 0, NULL },
    { OUT, IQT_IF_4_EXPERTS, "q5_k" },
    { OUT, 0, "iq3_k" },
    END,
};

// clang-format off
const struct iqt_recipe iqt_recipes[] = {
    /*                        type         output   tied     embedding */
    { "IQ1_KT",    156, "iq1_kt",    "q5_k",  "iq4_k", NULL,    none,      false },
    { "IQ2_KT",    151, "iq2_kt",    "q5_k",  "iq4_k", NULL,    iq2_kt,    true },
    { "IQ3_KT",    152, "iq3_kt",    "q5_k",  "iq4_k", "iq3_s", iq3_kt,    false },
    { "IQ4_KT",    153, "iq4_kt",    "q6_k",  "q6_k",  NULL,    iq4_kt,    false },
    { "IQ2_KS",    147, "iq2_ks",    "q5_k",  "iq4_k", NULL,    iq2_ks,    true },
    { "IQ2_KL",    155, "iq2_kl",    "q5_k",  "iq4_k", NULL,    iq2_kl,    false },
    { "IQ3_KS",    154, "iq3_ks",    "q5_k",  "iq4_k", NULL,    iq3_ks,    false },
    { "IQ4_KSS",   148, "iq4_kss",   "q6_k",  "iq5_k", NULL,    iq4_ks,    false },
    { "IQ4_KS",    145, "iq4_ks",    "q6_k",  "iq5_k", NULL,    iq4_ks,    false },
    { "IQ5_KS",    150, "iq5_ks",    "q6_k",  "q6_k",  NULL,    iq5_ks,    false },
    { "IQ2_K",     138, "iq2_k",     "q5_k",  "iq4_k", NULL,    iq2_k,     false },
    { "IQ3_K",     139, "iq3_k",     "q5_k",  "iq4_k", NULL,    iq3_k,     false },
    { "IQ3_KL",    146, "iq3_k",     "q6_k",  "iq5_k", NULL,    iq3_kl,    false },
    { "IQ4_K",     140, "iq4_k",     "q6_k",  "q6_k",  NULL,    iq4_k,     false },
    { "IQ5_K",     141, "iq5_k",     "q6_k",  "q6_k",  NULL,    iq5_k,     false },
    { "IQ6_K",     142, "iq6_k",     NULL,    NULL,    NULL,    none,      false },
    { "IQ2_K_R4",  338, "iq2_k_r4",  "q5_k",  "iq4_k", NULL,    iq2_k_r4,  false },
    { "IQ3_K_R4",  339, "iq3_k_r4",  "q5_k",  "iq4_k", NULL,    iq3_k_r4,  false },
    { "IQ4_K_R4",  340, "iq4_k_r4",  "q6_k",  "q6_k",  NULL,    iq4_k,     false },
    { "IQ5_K_R4",  341, "iq5_k_r4",  "q6_k",  "q6_k",  NULL,    none,      false },
    { "IQ4_KS_R4", 345, "iq4_ks_r4", "q6_k",  "iq5_k", NULL,    iq4_ks_r4, false },
    { "IQ5_KS_R4", 350, "iq5_ks_r4", "q6_k",  "q6_k",  NULL,    iq5_ks_r4, false },
    { NULL,          0, NULL,        NULL,    NULL,    NULL,    NULL,      false },
};

static const struct {
    const char *type, *instead;
} fallbacks[] = {
    { "iq1_kt",  "iq4_nl" }, { "iq2_kt", "iq4_nl" }, { "iq3_kt", "iq4_nl" }, { "iq4_kt", "iq4_nl" },
    { "iq2_ks",  "iq4_nl" }, { "iq2_k",  "iq4_nl" }, { "iq2_kl", "iq4_nl" }, { "iq3_ks", "iq4_nl" },
    { "iq3_k",   "iq4_nl" }, { "iq3_s",  "iq4_nl" }, { "q2_k",   "iq4_nl" }, { "q3_k",   "iq4_nl" },
    { "iq4_kss", "iq4_nl" }, { "iq4_ks", "iq4_nl" }, { "iq4_xs", "iq4_nl" },
    { "iq4_k",   "q5_0" },   { "iq5_ks", "q5_0" },   { "q4_k",   "q5_0" },
    { "iq5_k",   "q6_0" },   { "q5_k",   "q6_0" },
    { "iq6_k",   "q8_0" },   { "q6_k",   "q8_0" },
};

/* The types of 32 weights worth having, with their bits a weight. */
static const struct {
    const char *type;
    double bits;
} small_types[] = { { "iq4_nl", 4.5 }, { "q5_0", 5.5 }, { "q6_0", 6.5 }, { "q8_0", 8.5 } };

/* Source: ik_llama.cpp 8337e4cd38, include/llama.h; the plain variant where there are several. */
static const struct {
    const char *type;
    uint16_t file_type;
} plain_types[] = {
    { "f16", 1 },    { "q4_0", 2 },   { "q4_1", 3 },  { "q8_0", 7 },    { "q5_0", 8 },  { "q5_1", 9 },
    { "q2_k", 10 },  { "q3_k", 11 },  { "q4_k", 14 }, { "q5_k", 16 },   { "q6_k", 18 }, { "iq4_nl", 25 },
    { "iq3_s", 26 }, { "iq4_xs", 30 }, { "bf16", 32 }, { "q6_0", 135 },
};

enum { ANY = 0 };
static const struct {
    const char *arch;
    uint32_t layers, size; /* in billions of weights */
    uint32_t experts_not, width_not, vocab_not;
    bool grouped; /* fewer key and value heads than heads */
} classes[] = {
    { "llama",   80, 70, 8,   ANY,  ANY,   true },
    { "deci",    80, 70, ANY, ANY,  ANY,   false },
    { "qwen2",   80, 70, ANY, ANY,  ANY,   false },
    { "qwen2vl", 80, 70, ANY, ANY,  ANY,   false },
    { "olmo",    80, 70, ANY, ANY,  ANY,   false },
    { "llama",   32,  8, 8,   ANY,  49152, false }, /* with fewer words it is 7B: IQT_IF_LLAMA3 asks */
    { "llama",   36,  8, 8,   ANY,  ANY,   false },
    { "qwen3",   36,  8, ANY, 2560, ANY,   false },
    { "qwen3vl", 36,  8, ANY, 2560, ANY,   false },
    { "cohere2", 32,  8, ANY, ANY,  ANY,   false },
    { "mistral3", 34, 8, ANY, ANY,  ANY,   false },
};
// clang-format on

const char *iqt_recipe_fallback(const char *type)
{
    const size_t length = strlen(type);
    const size_t base =
        length > 3 && strcmp(type + length - 3, "_r4") == 0 ? length - 3 : length;

    for (size_t i = 0; i < IQT_COUNT(fallbacks); i++)
        if (strlen(fallbacks[i].type) == base &&
            strncmp(fallbacks[i].type, type, base) == 0)
            return fallbacks[i].instead;
    return NULL;
}

bool iqt_recipe_wants_importance(const char *type)
{
    return strcmp(type, "iq1_kt") == 0 || strcmp(type, "iq2_kt") == 0;
}

const char *iqt_recipe_alternative(double bits)
{
    const char *best = small_types[0].type;

    for (size_t i = 0; i < IQT_COUNT(small_types); i++)
        if (small_types[i].bits <= bits)
            best = small_types[i].type;
    return best;
}

uint16_t iqt_recipe_file_type(const char *type)
{
    for (size_t i = 0; i < IQT_COUNT(plain_types); i++)
        if (strcmp(plain_types[i].type, type) == 0)
            return plain_types[i].file_type;
    return 0;
}

uint32_t iqt_recipe_class(const struct iqt_recipe_model *m)
{
    for (size_t i = 0; i < IQT_COUNT(classes); i++)
        if (strcmp(classes[i].arch, m->arch) == 0 && classes[i].layers == m->layers &&
            (classes[i].experts_not == ANY || classes[i].experts_not != m->experts) &&
            (classes[i].width_not == ANY || classes[i].width_not != m->width) &&
            (classes[i].vocab_not == ANY || classes[i].vocab_not != m->vocab) &&
            (!classes[i].grouped || m->heads != m->heads_kv))
            return classes[i].size;
    return 0;
}
