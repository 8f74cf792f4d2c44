/* Text to binary to listing to numbers per weight. */
#include "stats/stats.h"

#include "codegen/codegen.h"
#include "tuner/gpu_table.h"
#include "runtime/binary_info.h"
#include "runtime/gpu_api.h"
#include "stats/disassemble.h"
#include "stats/radv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const uint32_t iqt_stats_k[IQT_STATS_LENGTHS] = { 4096, 14336 };

/* ---- Targets ---- */

static const char radv_prefix[] = "radv:";

/* RADV's names, what it may be called instead, and the architecture behind it. */
static const struct {
    const char *name, *tried, *arch;
} families[] = {
    { "vega10", "vega10", "gfx900" },
    { "vega20", "vega20", "gfx906" },
    { "navi10", "navi10", "gfx1010" },
    { "navi21", "navi21", "gfx1030" },
    /* RDNA3 has its architecture's name in older Mesa (22.3), the chip's in newer. */
    { "gfx1100", "gfx1100,navi31", "gfx1100" },
    { "navi31", "navi31,gfx1100", "gfx1100" },
    { "gfx1102", "gfx1102,navi33", "gfx1102" },
    { "navi33", "navi33,gfx1102", "gfx1102" },
    { "gfx1201", "gfx1201", "gfx1201" },
};

static enum iqt_isa isa_of(const char *arch)
{
    static const struct {
        const char *prefix;
        enum iqt_isa isa;
    } isas[] = {
        { "sm_", IQT_ISA_SASS },   { "gfx90a", IQT_ISA_CDNA },
        { "gfx94", IQT_ISA_CDNA }, { "gfx950", IQT_ISA_CDNA },
        { "gfx9", IQT_ISA_GCN },   { "gfx12", IQT_ISA_RDNA4 },
    };

    for (size_t i = 0; i < IQT_COUNT(isas); i++)
        if (strncmp(arch, isas[i].prefix, strlen(isas[i].prefix)) == 0)
            return isas[i].isa;
    return IQT_ISA_RDNA;
}

static enum iqt_status bad_target(const char *name)
{
    struct iqt_buf list = { 0 };
    enum iqt_status status;

    for (size_t i = 0; i < IQT_COUNT(families); i++)
        iqt_buf_printf(&list, " %s%s", radv_prefix, families[i].name);
    status =
        iqt_fail(IQT_ERR_ARG,
                 "no statistics for target '%s'; expected sm_90, gfx1100 and the like, "
                 "or%s",
                 name, iqt_buf_text(&list));
    iqt_buf_free(&list);
    return status;
}

static enum iqt_status parse_radv(const char *name, struct iqt_stats_target *out)
{
    const char *family = name + sizeof radv_prefix - 1;

    for (size_t i = 0; i < IQT_COUNT(families); i++) {
        if (strcmp(families[i].name, family) != 0)
            continue;
        IQT_TRY(iqt_target_parse("spirv", &out->compile));
        out->arch = families[i].arch;
        out->family = families[i].tried;
        out->dot4 = true; /* of every family of the table */
        out->syntax = IQT_SYNTAX_ACO;
        out->isa = isa_of(out->arch);
        return IQT_OK;
    }
    return bad_target(name);
}

enum iqt_status iqt_stats_target_parse(const char *name, struct iqt_stats_target *out)
{
    *out = (struct iqt_stats_target){ 0 };
    if (strlen(name) >= sizeof out->name)
        return bad_target(name);
    strcpy(out->name, name);
    if (strncmp(name, radv_prefix, sizeof radv_prefix - 1) == 0)
        return parse_radv(name, out);
    if (strncmp(name, "sm_", 3) != 0 && strncmp(name, "gfx", 3) != 0)
        return bad_target(name);
    IQT_TRY(iqt_target_parse(name, &out->compile));
    out->arch = out->name;
    out->isa = isa_of(name);
    out->syntax = out->isa == IQT_ISA_SASS ? IQT_SYNTAX_SASS : IQT_SYNTAX_OBJDUMP;
    return IQT_OK;
}

/* ---- Counting ---- */

/* What counting needs to know of the kernel. */
struct kernel {
    const struct iqt_stats_target *target;
    const struct iqt_plan *plan; /* NULL: of unknown origin */
    uint32_t threads, wave;
    struct iqt_listing list;
};

/* How far loaded bytes may be from needed ones: a little less, where a format leaves bits unused;
 * more, where fields share a word that is loaded twice, but less than the next multiple. GLSL reads
 * bytes and unaligned words as whole words, up to four bytes for one. */
static const double least_of_needed = 0.95, most_of_needed = 1.9, most_of_glsl = 4.0;

/* NVRTC and clang repeat the body of a short loop: loaded bytes tell how often. RADV does not
 * where the number of iterations is not a constant. */
static enum iqt_status find_unroll(const struct kernel *k,
                                   const struct iqt_count_input *in, struct iqt_stats *s)
{
    const bool glsl = k->plan->dialect == IQT_DIALECT_GLSL;
    const double loaded = iqt_count_loaded(in, &s->hot),
                 needed = iqt_plan_bytes_per_iteration(k->plan);
    const double times = floor(loaded / (least_of_needed * needed));
    const double most = glsl && times > 1 ? 1 : times;
    const double slack = glsl ? most_of_glsl : most_of_needed;

    s->unroll = 0;
    for (double f = 1; f <= most && s->unroll == 0; f++)
        if (loaded <= slack * f * needed)
            s->unroll = (uint32_t)f;
    if (s->unroll == 0)
        return iqt_fail(
            IQT_ERR_UNSUPPORTED,
            "%s for %s: the hot loop loads %.0f bytes a thread, but %u weights "
            "and their activations need %.0f: it is not the loop over spans",
            k->list.function, k->target->name, loaded,
            iqt_plan_weights_per_iteration(k->plan), needed);
    s->expected_bytes = needed * s->unroll;
    s->weights = iqt_plan_weights_per_iteration(k->plan) * s->unroll;
    return IQT_OK;
}

double iqt_stats_iterations(const struct iqt_stats *s, const struct iqt_plan *plan,
                            uint64_t k)
{
    const double spans = (double)k / plan->span;

    return ceil(ceil(spans / (plan->threads * plan->split)) / s->unroll);
}

/* Everything outside the loops over spans once, each loop as often as the first thread runs it. */
double iqt_stats_whole(const struct iqt_stats *s, enum iqt_isa isa,
                       const struct iqt_plan *plan, uint64_t k)
{
    const double rows = (plan->op == IQT_OP_GATED ? 2.0 : 1.0) * plan->rows_thread;
    struct iqt_counts all = s->once;

    iqt_counts_add(&all, &s->loops, iqt_stats_iterations(s, plan, k) - 1);
    return iqt_counts_slots(isa, &all) * plan->threads * plan->split / (rows * (double)k);
}

static enum iqt_status count_whole(const struct kernel *k,
                                   const struct iqt_count_input *in,
                                   const struct iqt_loop *loops, size_t count,
                                   struct iqt_stats *s)
{
    const size_t hot = k->plan->op == IQT_OP_GATED ? 2 : 1;

    if (count < hot)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "%s for %s: %zu loops over spans, expected %zu", k->list.function,
                        k->target->name, count, hot);
    s->once = s->loops = (struct iqt_counts){ 0 };
    IQT_TRY(iqt_count_add(in, 0, k->list.count, 1, &s->once));
    for (size_t n = 0; n < hot; n++)
        IQT_TRY(iqt_count_add(in, loops[n].begin, loops[n].end, 1, &s->loops));
    for (int i = 0; i < IQT_STATS_LENGTHS; i++)
        s->whole_slots[i] = iqt_stats_whole(s, in->isa, k->plan, iqt_stats_k[i]);
    return IQT_OK;
}

static enum iqt_status count(const struct kernel *k, struct iqt_stats *s)
{
    const struct iqt_count_input in = { .list = &k->list,
                                        .isa = k->target->isa,
                                        .syntax = k->target->syntax,
                                        .product_slots =
                                            iqt_gpu_tensor(k->target->arch)->slots,
                                        .scalar_data =
                                            k->plan != NULL && k->plan->threads == 1 };
    const double least =
        k->plan != NULL ? least_of_needed * iqt_plan_bytes_per_iteration(k->plan) : 1;
    struct iqt_loop loops[IQT_MOST_LOOPS];
    const struct iqt_occupancy_input use = { .threads = k->threads,
                                             .registers = s->registers,
                                             .shared_bytes = s->shared_bytes,
                                             .wave = k->wave };
    size_t found;

    IQT_TRY(iqt_count_loops(&in, least, loops, &found, &s->inner_loops));
    s->instructions = k->list.count;
    s->wave = k->wave;
    /* A kernel without a loop is one iteration as a whole. */
    s->loop = found ? loops[0] : (struct iqt_loop){ .end = k->list.count };
    s->hot = (struct iqt_counts){ 0 };
    IQT_TRY(iqt_count_add(&in, s->loop.begin, s->loop.end, 1, &s->hot));
    s->hot_slots = iqt_counts_slots(in.isa, &s->hot);
    if (k->plan != NULL) {
        IQT_TRY(find_unroll(k, &in, s));
        IQT_TRY(count_whole(k, &in, loops, found, s));
    }
    if (k->threads > 0)
        IQT_TRY(iqt_occupancy(k->target->arch, &use, &s->occupancy));
    return IQT_OK;
}

/* ---- Cubins and code objects ---- */

/* From sm_90 on the shared section begins with what the system takes (ptxas -v leaves it out). */
static uint32_t own_shared(const struct iqt_stats_target *target, uint32_t bytes)
{
    enum { FIRST = 90, SYSTEM_BYTES = 1024 };
    const bool reserved =
        target->isa == IQT_ISA_SASS && strtoul(target->arch + 3, NULL, 10) >= FIRST;

    return reserved && bytes >= SYSTEM_BYTES ? bytes - SYSTEM_BYTES : bytes;
}

static enum iqt_status read_use(const struct iqt_stats_target *target, const void *bytes,
                                size_t size, struct iqt_stats *s)
{
    struct iqt_binary_info info;

    IQT_TRY(iqt_binary_info(bytes, size, &info));
    s->registers = info.registers;
    s->scalars = info.scalars;
    s->shared_bytes = own_shared(target, info.shared_bytes);
    s->spill_bytes = info.stack_bytes;
    return IQT_OK;
}

static uint32_t wave_of(enum iqt_isa isa)
{
    return isa == IQT_ISA_GCN || isa == IQT_ISA_CDNA ? 64 : 32;
}

static enum iqt_status count_binary(struct kernel *k, const void *bytes, size_t size,
                                    const char *name, struct iqt_stats *s)
{
    struct iqt_buf text = { 0 };
    enum iqt_status status = read_use(k->target, bytes, size, s);

    k->wave = wave_of(k->target->isa);
    if (status == IQT_OK)
        status = k->target->isa == IQT_ISA_SASS
                     ? iqt_disassemble_cubin(bytes, size, &text)
                     : iqt_disassemble_amd(k->target->arch, bytes, size, &text);
    if (status == IQT_OK)
        status =
            iqt_listing_parse(k->target->syntax, iqt_buf_text(&text), name, &k->list);
    if (status == IQT_OK)
        status = count(k, s);
    iqt_listing_free(&k->list);
    iqt_buf_free(&text);
    return status;
}

enum iqt_status iqt_stats_binary(const struct iqt_stats_target *target, const void *bytes,
                                 size_t size, const char *kernel, uint32_t weights,
                                 uint32_t threads, struct iqt_stats *out)
{
    struct kernel k = { .target = target, .threads = threads };
    struct iqt_stats s = { .weights = weights, .unroll = 1 };

    if (target->family != NULL)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "%s compiles SPIR-V: it has no binary to read", target->name);
    IQT_TRY(count_binary(&k, bytes, size, kernel, &s));
    *out = s;
    return IQT_OK;
}

/* ---- RADV ---- */

static enum iqt_status count_radv(struct kernel *k, const struct iqt_buf *spirv,
                                  struct iqt_stats *s)
{
    const size_t words = spirv->bytes / sizeof(uint32_t);
    struct iqt_buf text = { 0 };
    struct iqt_radv_info info;
    uint32_t *word = malloc(spirv->bytes + 1);
    enum iqt_status status;

    if (word == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu words", words);
    memcpy(word, spirv->data, spirv->bytes);
    status = iqt_radv_compile(k->target->family, k->plan, word, words, &text, &info);
    if (status == IQT_OK) {
        s->registers = info.registers;
        s->scalars = info.scalars;
        s->shared_bytes = info.shared_bytes;
        s->spill_bytes = info.scratch_bytes;
        k->wave = info.wave;
        snprintf(s->compiler, sizeof s->compiler, "%s", info.driver);
        status =
            iqt_listing_parse(k->target->syntax, iqt_buf_text(&text), NULL, &k->list);
    }
    if (status == IQT_OK)
        status = count(k, s);
    iqt_listing_free(&k->list);
    iqt_buf_free(&text);
    free(word);
    return status;
}

/* ---- A plan ---- */

/* Of several clangs the first that knows the architecture compiled: its code object says which. */
static void name_compiler(enum iqt_dialect dialect, const struct iqt_buf *binary,
                          char out[64])
{
    static const char mark[] = "clang version ";
    const char *at = memmem(binary->data, binary->bytes, mark, sizeof mark - 1);
    const char *end = binary->data + binary->bytes;
    int length = 0;

    snprintf(out, 64, "%s", iqt_compiler_name(dialect));
    if (dialect != IQT_DIALECT_HIP || at == NULL)
        return;
    at += sizeof mark - 1;
    while (length < 32 && at + length < end && strchr(" (\n", at[length]) == NULL)
        length++;
    snprintf(out, 64, "clang %.*s", length, at);
}

static enum iqt_status count_plan(struct kernel *k, struct iqt_buf *text,
                                  struct iqt_buf *binary, struct iqt_stats *s)
{
    char symbol[IQT_PLAN_NAME_BYTES];

    if (iqt_gpu_simulated(iqt_dialect_name(k->plan->dialect)))
        return iqt_fail(
            IQT_ERR_UNSUPPORTED,
            "IQT_SIM puts a simulated compiler in the place of the real one, and "
            "there is no machine code to count in: unset it");
    IQT_TRY(iqt_emit_kernel(k->plan, text));
    IQT_TRY(iqt_buf_check(text));
    IQT_TRY(iqt_compile(&k->target->compile, iqt_buf_text(text), binary));
    if (k->target->family != NULL)
        return count_radv(k, binary, s);
    name_compiler(k->target->compile.dialect, binary, s->compiler);
    iqt_kernel_symbol(k->plan, symbol);
    return count_binary(k, binary->data, binary->bytes, symbol, s);
}

enum iqt_status iqt_stats_plan(const struct iqt_stats_target *target,
                               const struct iqt_plan *plan, struct iqt_stats *out)
{
    struct kernel k = { .target = target,
                        .plan = plan,
                        .threads = iqt_plan_threads(plan) };
    struct iqt_buf text = { 0 }, binary = { 0 };
    struct iqt_stats s = { 0 };
    const enum iqt_status status = count_plan(&k, &text, &binary, &s);

    iqt_buf_free(&text);
    iqt_buf_free(&binary);
    if (status == IQT_OK)
        *out = s;
    return status;
}
