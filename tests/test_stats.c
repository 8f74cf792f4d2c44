/* Listings, classes, loops, slots and occupancy, on listings cut by hand: nothing is installed for
 * it. What the programs print today is checked by test_stats_tools.py. */
#include "tuner/gpu_table.h"
#include "stats/count.h"
#include "stats/occupancy.h"
#include "stats/stats.h"
#include "tests/check.h"
#include "tests/stats_listings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sample {
    const char *name;
    enum iqt_syntax syntax;
    enum iqt_isa isa;
    const char *text, *function;
    size_t instructions; /* of the function */
    double least;        /* bytes that the hot loop must load */
    struct iqt_loop loop;
    size_t inner;
    double slots, bytes, memory_slots;
    double class[IQT_CLASSES];
};

static const struct sample samples[] = {
    { .name = "sass",
      .syntax = IQT_SYNTAX_SASS,
      .isa = IQT_ISA_SASS,
      .text = sass_listing,
      .function = "second",
      .instructions = 23,
      .least = 1,
      .loop = { 3, 16 },
      .slots = 28,
      .bytes = 18,
      .memory_slots = 28, /* 16 + 4 + 8 of three loads */
      .class = { [IQT_CLASS_ALU] = 3,
                 [IQT_CLASS_MULTIPLY] = 2,
                 [IQT_CLASS_FLOAT] = 1,
                 [IQT_CLASS_CONVERT] = 1,
                 [IQT_CLASS_GLOBAL] = 2,
                 [IQT_CLASS_CONSTANT] = 1,
                 [IQT_CLASS_UNIFORM] = 1,
                 [IQT_CLASS_CONTROL] = 2 } },
    { .name = "rdna",
      .syntax = IQT_SYNTAX_OBJDUMP,
      .isa = IQT_ISA_RDNA,
      .text = rdna_listing,
      .instructions = 16,
      .least = 1,
      .loop = { 3, 14 },
      .slots = 12,
      .bytes = 17,
      .memory_slots = 20,
      .class = { [IQT_CLASS_ALU] = 3,
                 [IQT_CLASS_MULTIPLY] = 2,
                 [IQT_CLASS_FLOAT] = 1,
                 [IQT_CLASS_CONVERT] = 1,
                 [IQT_CLASS_GLOBAL] = 2,
                 [IQT_CLASS_CONTROL] = 2 } },
    { .name = "gcn",
      .syntax = IQT_SYNTAX_OBJDUMP,
      .isa = IQT_ISA_GCN,
      .text = gcn_listing,
      .instructions = 8,
      .least = 1,
      .loop = { 0, 7 },
      .slots = 13,
      .bytes = 8,
      .memory_slots = 12,
      .class = { [IQT_CLASS_ALU] = 1,
                 [IQT_CLASS_MULTIPLY] = 1,
                 [IQT_CLASS_CONVERT] = 2,
                 [IQT_CLASS_GLOBAL] = 1,
                 [IQT_CLASS_LOCAL] = 1,
                 [IQT_CLASS_CONTROL] = 1 } },
    { .name = "aco",
      .syntax = IQT_SYNTAX_ACO,
      .isa = IQT_ISA_RDNA,
      .text = aco_listing,
      .instructions = 12,
      .least = 36,
      .loop = { 1, 10 },
      .inner = 1,
      .slots = 8,
      .bytes = 36,
      .memory_slots = 36,
      .class = { [IQT_CLASS_MULTIPLY] = 1,
                 [IQT_CLASS_FLOAT] = 1,
                 [IQT_CLASS_GLOBAL] = 3,
                 [IQT_CLASS_SCALAR_LOAD] = 1,
                 [IQT_CLASS_CONTROL] = 3 } },
    { .name = "aco.inner",
      .syntax = IQT_SYNTAX_ACO,
      .isa = IQT_ISA_RDNA,
      .text = aco_listing,
      .instructions = 12,
      .least = 1,
      .loop = { 6, 9 },
      .slots = 2,
      .bytes = 4,
      .memory_slots = 4,
      .class = { [IQT_CLASS_FLOAT] = 1,
                 [IQT_CLASS_GLOBAL] = 1,
                 [IQT_CLASS_CONTROL] = 1 } },
};

static void check_counts(const struct sample *s, const struct iqt_counts *c)
{
    for (int i = 0; i < IQT_CLASSES; i++)
        check_true(c->class[i] == s->class[i], "%.0f of class %s, expected %.0f",
                   c->class[i], iqt_class_name((enum iqt_class)i), s -> class[i]);
    check_true(iqt_counts_slots(s->isa, c) == s->slots, "%.0f slots, expected %.0f",
               iqt_counts_slots(s->isa, c), s->slots);
    check_true(c->bytes == s->bytes, "%.0f bytes, expected %.0f", c->bytes, s->bytes);
    check_true(c->memory_slots == s->memory_slots, "%.0f memory slots, expected %.0f",
               c->memory_slots, s->memory_slots);
}

static void check_sample(const struct sample *s)
{
    struct iqt_listing list;
    const struct iqt_count_input in = { .list = &list,
                                        .isa = s->isa,
                                        .syntax = s->syntax };
    struct iqt_loop loops[IQT_MOST_LOOPS];
    struct iqt_counts c = { 0 };
    size_t count = 0, inner = 0;

    if (iqt_listing_parse(s->syntax, s->text, s->function, &list) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        return;
    }
    check_true(list.count == s->instructions, "%zu instructions, expected %zu",
               list.count, s->instructions);
    if (iqt_count_loops(&in, s->least, loops, &count, &inner) != IQT_OK || count != 1)
        check_fail("%zu loops, expected 1: %s", count, iqt_last_error());
    else if (iqt_count_add(&in, loops[0].begin, loops[0].end, 1, &c) != IQT_OK)
        check_fail("%s", iqt_last_error());
    else
        check_counts(s, &c);
    check_true(count == 0 || (loops[0].begin == s->loop.begin &&
                              loops[0].end == s->loop.end && inner == s->inner),
               "loop %zu .. %zu with %zu inside, expected %zu .. %zu with %zu",
               loops[0].begin, loops[0].end, inner, s->loop.begin, s->loop.end, s->inner);
    iqt_listing_free(&list);
}

static void check_samples(void)
{
    for (size_t i = 0; i < IQT_COUNT(samples); i++)
        if (check_begin("stats.sample.%s", samples[i].name)) {
            check_sample(&samples[i]);
            check_end();
        }
}

/* ---- Pipes ---- */

/* Each pipe in turn is the fullest. */
static void check_pipes(void)
{
    static const struct {
        const char *what;
        struct iqt_counts counts;
        double slots;
    } cases[] = {
        { "issue", { .class = { [IQT_CLASS_FLOAT] = 9 }, .instructions = 10 }, 10 },
        { "alu", { .class = { [IQT_CLASS_ALU] = 6 }, .instructions = 10 }, 12 },
        { "multiply", { .class = { [IQT_CLASS_MULTIPLY] = 7 }, .instructions = 10 }, 14 },
        { "memory", { .memory_slots = 20, .instructions = 10 }, 20 },
        { "convert", { .class = { [IQT_CLASS_CONVERT] = 2 }, .instructions = 10 }, 16 },
        { "mma",
          { .class = { [IQT_CLASS_MMA] = 2, [IQT_CLASS_CONVERT] = 1 },
            .mma_slots = 24,
            .instructions = 10 },
          24 },
    };

    if (!check_begin("stats.pipes"))
        return;
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        const double slots = iqt_counts_slots(IQT_ISA_SASS, &cases[i].counts);

        check_true(slots == cases[i].slots, "%s: %.0f slots, expected %.0f",
                   cases[i].what, slots, cases[i].slots);
    }
    check_end();
}

/* ---- Classes ---- */

static void check_classes(void)
{
    static const struct {
        enum iqt_isa isa;
        const char *mnemonic;
        enum iqt_class class;
        uint32_t bytes, cycles;
    } cases[] = {
        { IQT_ISA_SASS, "IMAD.MOV.U32", IQT_CLASS_MULTIPLY, 0, 0 },
        { IQT_ISA_SASS, "LDG.E.LTC128B.CONSTANT", IQT_CLASS_GLOBAL, 4, 0 },
        { IQT_ISA_SASS, "LDG.E.64.CONSTANT.SYS", IQT_CLASS_GLOBAL, 8, 0 },
        { IQT_ISA_SASS, "LDS.U.128", IQT_CLASS_SHARED, 16, 0 },
        { IQT_ISA_SASS, "LDSM.16.M88.4", IQT_CLASS_SHARED, 16, 0 },
        { IQT_ISA_SASS, "ULDC.64", IQT_CLASS_UNIFORM, 0, 0 },
        { IQT_ISA_SASS, "IMMA.16832.S8.S8", IQT_CLASS_MMA, 0, 0 },
        { IQT_ISA_SASS, "MUFU.RCP", IQT_CLASS_CONVERT, 0, 0 },
        { IQT_ISA_GCN, "v_mul_lo_u32", IQT_CLASS_MULTIPLY, 0, 4 },
        { IQT_ISA_CDNA, "v_mul_lo_u32", IQT_CLASS_MULTIPLY, 0, 4 },
        { IQT_ISA_RDNA, "v_mad_u64_u32", IQT_CLASS_MULTIPLY, 0, 4 },
        { IQT_ISA_RDNA, "v_mul_u32_u24_e64", IQT_CLASS_MULTIPLY, 0, 1 },
        { IQT_ISA_RDNA, "v_dot4c_i32_i8_dpp", IQT_CLASS_MULTIPLY, 0, 1 },
        { IQT_ISA_GCN, "v_cvt_f32_i32_e32", IQT_CLASS_CONVERT, 0, 4 },
        { IQT_ISA_RDNA, "v_cvt_f32_i32_e64_dpp", IQT_CLASS_CONVERT, 0, 1 },
        { IQT_ISA_RDNA, "v_exp_f32_e32", IQT_CLASS_CONVERT, 0, 4 },
        { IQT_ISA_CDNA, "v_mfma_i32_16x16x32_i8", IQT_CLASS_MMA, 0, 4 },
        { IQT_ISA_RDNA, "v_wmma_i32_16x16x16_iu8", IQT_CLASS_MMA, 0, 32 },
        { IQT_ISA_RDNA4, "v_wmma_i32_16x16x16_iu8", IQT_CLASS_MMA, 0, 8 },
        { IQT_ISA_RDNA4, "v_wmma_f32_16x16x16_f16", IQT_CLASS_MMA, 0, 16 },
        { IQT_ISA_RDNA4, "v_lshlrev_b64", IQT_CLASS_ALU, 0, 2 },
        { IQT_ISA_CDNA, "v_lshl_add_u64", IQT_CLASS_ALU, 0, 1 },
        { IQT_ISA_GCN, "v_lshlrev_b64", IQT_CLASS_ALU, 0, 2 },
        { IQT_ISA_RDNA, "ds_load_2addr_b64", IQT_CLASS_SHARED, 16, 1 },
        { IQT_ISA_RDNA, "ds_bpermute_b32", IQT_CLASS_SHUFFLE, 4, 1 },
        { IQT_ISA_GCN, "global_load_ushort", IQT_CLASS_GLOBAL, 2, 1 },
        { IQT_ISA_RDNA, "scratch_load_b64", IQT_CLASS_LOCAL, 8, 1 },
        { IQT_ISA_RDNA, "s_buffer_load_b256", IQT_CLASS_SCALAR_LOAD, 32, 0 },
        { IQT_ISA_RDNA, "s_lshl_b32", IQT_CLASS_UNIFORM, 0, 0 },
        { IQT_ISA_RDNA, "s_delay_alu", IQT_CLASS_CONTROL, 0, 0 },
    };

    if (!check_begin("stats.classes"))
        return;
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        struct iqt_instruction instruction = { .operands = "" };
        struct iqt_kind kind = { 0 };
        const enum iqt_syntax syntax =
            cases[i].isa == IQT_ISA_SASS ? IQT_SYNTAX_SASS : IQT_SYNTAX_OBJDUMP;

        strcpy(instruction.mnemonic, cases[i].mnemonic);
        if (iqt_classify(cases[i].isa, syntax, &instruction, &kind) != IQT_OK)
            check_fail("%s", iqt_last_error());
        check_true(kind.class == cases[i].class && kind.bytes == cases[i].bytes &&
                       kind.cycles == cases[i].cycles,
                   "%s: %s, %u bytes, %u cycles; expected %s, %u, %u", cases[i].mnemonic,
                   iqt_class_name(kind.class), kind.bytes, kind.cycles,
                   iqt_class_name(cases[i].class), cases[i].bytes, cases[i].cycles);
    }
    check_end();
}

/* A matrix instruction takes as long as its multiply-adds do on the target, whatever its shape. */
static void check_products(void)
{
    static const struct {
        const char *target, *mnemonic;
        double slots;
    } cases[] = {
        { "sm_75", "IMMA.8816.S8.S8", 4 },    { "sm_80", "IMMA.16832.S8.S8.SAT", 8 },
        { "sm_80", "IMMA.16816.S8.S8", 4 },   { "sm_80", "HMMA.16816.F32", 8 },
        { "sm_86", "IMMA.16832.U8.S8", 16 },  { "sm_86", "IMMA.8816.S8.S8", 4 },
        { "sm_89", "HMMA.16816.F32", 16 },    { "sm_90a", "IMMA.16832.S8.S8", 8 },
        { "sm_103", "IMMA.16832.S8.S8", 64 }, { "sm_120", "IMMA.16832.S8.S8", 16 },
        { "sm_120", "I2F.S32", 0 },
    };

    if (!check_begin("stats.products"))
        return;
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        struct iqt_instruction one = { .operands = "", .target = IQT_NO_TARGET };
        const struct iqt_listing list = { .at = &one, .count = 1 };
        const struct iqt_count_input in = {
            .list = &list,
            .product_slots = iqt_gpu_tensor(cases[i].target)->slots,
        };
        struct iqt_counts once = { 0 }, c = { 0 };

        strcpy(one.mnemonic, cases[i].mnemonic);
        if (iqt_count_add(&in, 0, 1, 1, &once) != IQT_OK)
            check_fail("%s", iqt_last_error());
        iqt_counts_add(&c, &once, 3);
        check_true(c.mma_slots == 3 * cases[i].slots,
                   "%s: three of %s are %g slots, expected %g", cases[i].target,
                   cases[i].mnemonic, c.mma_slots, 3 * cases[i].slots);
    }
    check_end();
}

/* An instruction nobody has classed is an error that names it. */
static void check_unknown(void)
{
    static const struct {
        enum iqt_isa isa;
        const char *mnemonic;
    } cases[] = { { IQT_ISA_SASS, "QUUX.U32" },   { IQT_ISA_SASS, "LDGX" },
                  { IQT_ISA_SASS, "" },           { IQT_ISA_SASS, "UQUUX" },

                  { IQT_ISA_RDNA, "v_quux_b32" }, { IQT_ISA_GCN, "quux" } };

    if (!check_begin("stats.unknown"))
        return;
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        struct iqt_instruction instruction = { .operands = "" };
        struct iqt_kind kind;

        strcpy(instruction.mnemonic, cases[i].mnemonic);
        check_true(iqt_classify(cases[i].isa, IQT_SYNTAX_SASS, &instruction, &kind) ==
                           IQT_ERR_UNSUPPORTED &&
                       strstr(iqt_last_error(), cases[i].mnemonic) != NULL,
                   "'%s' is classed, or the error does not name it: %s",
                   cases[i].mnemonic, iqt_last_error());
    }
    check_end();
}

/* ---- Hostile listings ---- */

static void walk(enum iqt_syntax syntax, const char *text)
{
    struct iqt_listing list;
    const struct iqt_count_input in = { .list = &list,
                                        .isa = syntax == IQT_SYNTAX_SASS ? IQT_ISA_SASS
                                                                         : IQT_ISA_RDNA,
                                        .syntax = syntax };
    struct iqt_loop loops[IQT_MOST_LOOPS];
    size_t count;

    if (iqt_listing_parse(syntax, text, NULL, &list) != IQT_OK)
        return;
    for (size_t i = 0; i < list.count; i++)
        check_true(list.at[i].target == IQT_NO_TARGET || list.at[i].target < list.count,
                   "branch to %zu of %zu", list.at[i].target, list.count);
    (void)!iqt_count_loops(&in, 1, loops, &count, NULL);
    iqt_listing_free(&list);
}

/* Every cut of every sample, read as every syntax, and the sample with one byte changed. */
static void check_cuts(void)
{
    if (!check_begin("stats.hostile.cut"))
        return;
    for (size_t i = 0; i < IQT_COUNT(samples); i++) {
        const size_t length = strlen(samples[i].text);
        char *copy = strdup(samples[i].text);

        for (size_t cut = length; copy != NULL && cut > 0; cut--) {
            const size_t at = check_rand() % length;
            const char old = copy[at];

            copy[at] = (char)(1 + check_rand() % 127);
            for (int syntax = 0; syntax <= IQT_SYNTAX_ACO; syntax++)
                walk((enum iqt_syntax)syntax, copy);
            copy[at] = old;
            copy[cut - 1] = '\0';
            walk(samples[i].syntax, copy);
            copy[cut - 1] = samples[i].text[cut - 1];
        }
        free(copy);
    }
    check_end();
}

static void check_absurd(void)
{
    static const struct {
        enum iqt_syntax syntax;
        const char *what, *text;
    } cases[] = {
        { IQT_SYNTAX_SASS, "nothing", "" },
        { IQT_SYNTAX_SASS, "no function", "        /*0000*/  EXIT ;\n" },
        { IQT_SYNTAX_SASS, "no end",
          "\t.section\t.text.a,\"ax\"\n        /*0000*/  EXIT\n" },
        { IQT_SYNTAX_SASS, "addresses fall",
          "\t.section\t.text.a\n  /*0010*/ NOP ;\n  /*0000*/ EXIT ;\n" },
        { IQT_SYNTAX_SASS, "a long mnemonic",
          "\t.section\t.text.a\n  /*0010*/ "
          "NOPNOPNOPNOPNOPNOPNOPNOPNOPNOPNOPNOPNOPNOPNOPNOPNOPNOP ;\n" },
        { IQT_SYNTAX_OBJDUMP, "no instruction", "0000000000001900 <kernel>:\n" },
        { IQT_SYNTAX_OBJDUMP, "addresses too large",
          "0000 <k>:\n\ts_nop 0 // fffffffffffffffffffff: 0\n\ts_nop 0 // "
          "ffffffffffffffffffffffff: 0\n" },
        { IQT_SYNTAX_ACO, "no blocks", "\n\n" },
    };

    if (!check_begin("stats.hostile.absurd"))
        return;
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        struct iqt_listing list;

        check_true(iqt_listing_parse(cases[i].syntax, cases[i].text, NULL, &list) ==
                       IQT_ERR_FORMAT,
                   "%s: read", cases[i].what);
    }
    check_true(iqt_listing_parse(IQT_SYNTAX_SASS, sass_listing, "third",
                                 &(struct iqt_listing){ 0 }) == IQT_ERR_UNKNOWN,
               "a function that is not there was found");
    walk(IQT_SYNTAX_ACO, "\ts_branch ;\n\ts_cbranch_scc0 BB7 ; 0\nBB7:\n");
    walk(IQT_SYNTAX_OBJDUMP, "0 <k>:\n\ts_branch 4 // 0: 0 <k+0xffffffffffffffffff>\n");
    check_end();
}

/* ---- Occupancy and targets ---- */

static void check_occupancy(void)
{
    static const struct {
        const char *arch;
        struct iqt_occupancy_input in;
        uint32_t waves, most;
    } cases[] = {
        { "sm_90", { 64, 32, 0, 32 }, 64, 64 },
        { "sm_90", { 256, 255, 0, 32 }, 8, 64 },
        { "sm_90", { 64, 40, 0, 32 }, 48, 64 },
        { "sm_90", { 32, 16, 0, 32 }, 32, 64 },        /* 32 workgroups */
        { "sm_90", { 64, 16, 99 * 1024, 32 }, 4, 64 }, /* shared memory */
        { "sm_86", { 128, 64, 0, 32 }, 32, 48 },
        { "gfx1100", { 32, 96, 0, 32 }, 32, 32 },
        { "gfx1100", { 64, 120, 0, 64 }, 12, 32 },
        { "gfx1030", { 32, 128, 0, 32 }, 16, 32 },
        { "gfx942", { 64, 128, 0, 64 }, 16, 32 },
        { "gfx906", { 64, 64, 0, 64 }, 16, 40 },
        { "gfx906", { 64, 24, 32 * 1024, 64 }, 2, 40 },
    };

    if (!check_begin("stats.occupancy"))
        return;
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        struct iqt_occupancy o = { 0 };

        if (iqt_occupancy(cases[i].arch, &cases[i].in, &o) != IQT_OK)
            check_fail("%s", iqt_last_error());
        check_true(o.waves == cases[i].waves && o.most == cases[i].most,
                   "%s, %u registers, %u threads: %u of %u waves, expected %u of %u",
                   cases[i].arch, cases[i].in.registers, cases[i].in.threads, o.waves,
                   o.most, cases[i].waves, cases[i].most);
    }
    check_true(iqt_occupancy("gfx803", &cases[0].in, &(struct iqt_occupancy){ 0 }) ==
                   IQT_ERR_UNSUPPORTED,
               "gfx803 has limits");
    check_end();
}

static void check_targets(void)
{
    static const char *const good[] = { "sm_75",       "sm_90",        "gfx906",
                                        "gfx942",      "gfx1100",      "radv:vega20",
                                        "radv:navi21", "radv:gfx1100", "radv:navi31" };
    static const char *const bad[] = {
        "",           "sm_",
        "compute_90", "spirv",
        "radv:",      "radv:quux",
        "navi21",     "sm_9000000000000000000000000000000000000000000"
    };

    if (!check_begin("stats.targets"))
        return;
    for (size_t i = 0; i < IQT_COUNT(good); i++)
        if (iqt_stats_target_parse(good[i], &(struct iqt_stats_target){ 0 }) != IQT_OK)
            check_fail("%s: %s", good[i], iqt_last_error());
    for (size_t i = 0; i < IQT_COUNT(bad); i++)
        check_true(iqt_stats_target_parse(bad[i], &(struct iqt_stats_target){ 0 }) ==
                       IQT_ERR_ARG,
                   "'%s' is a target", bad[i]);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    check_samples();
    check_pipes();
    check_classes();
    check_products();
    check_unknown();
    check_cuts();
    check_absurd();
    check_occupancy();
    check_targets();
    return check_done();
}
