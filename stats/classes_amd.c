/* AMD's instructions. Names are in AMD's ISA documents of each generation; rates in LLVM's
 * lib/Target/AMDGPU/SISchedule.td: a plain vector instruction issues in one cycle per lane slot,
 * 32-bit integer multiplies and special functions in four (WriteIntMul, WriteTrans32), conversions
 * to and from f32 in four on gfx9 and one since gfx10 (WriteFloatCvt), 64-bit operations in two but
 * on gfx90a and later gfx9 (Write64Bit). Of the latter that file gives one for multiplies, too; the
 * stricter four is kept here. Scalar instructions issue beside and cost the vector unit nothing. */
#include "stats/classes.h"

#include <string.h>

/* How many cycles a kind of operation issues for, on gfx9, gfx90a and later gfx9, gfx10 and gfx11, and gfx12. */
enum rate {
    NONE,
    FULL,
    WIDE,
    SLOW,
    CVT,
    PASS2,
    PASS4,
    PASS8,
    PASS16,
    WMMA4,
    WMMA8,
    WMMA16,
    RATES
};
static const uint8_t cycles_of[RATES][IQT_ISAS] = {
    [FULL] = { 0, 1, 1, 1, 1 },       [WIDE] = { 0, 2, 1, 2, 2 },
    [SLOW] = { 0, 4, 4, 4, 4 },       [CVT] = { 0, 4, 4, 1, 1 },
    [PASS2] = { 0, 2, 2, 2, 2 },      [PASS4] = { 0, 4, 4, 4, 4 },
    [PASS8] = { 0, 8, 8, 8, 8 },      [PASS16] = { 0, 16, 16, 16, 16 },
    [WMMA4] = { 0, 16, 16, 16, 8 },   [WMMA8] = { 0, 32, 32, 32, 8 },
    [WMMA16] = { 0, 32, 32, 32, 16 },
};

/* The first entry that fits; '*' at the end stands for any rest. */
static const struct {
    const char *name;
    uint8_t class, rate;
} table[] = {
    // clang-format off
    /* integer multiply: quarter rate, then the 24- and 16-bit ones and dot products */
    { "v_mul_lo_u32", IQT_CLASS_MULTIPLY, SLOW },   { "v_mul_lo_i32", IQT_CLASS_MULTIPLY, SLOW },
    { "v_mul_hi_u32", IQT_CLASS_MULTIPLY, SLOW },   { "v_mul_hi_i32", IQT_CLASS_MULTIPLY, SLOW },
    { "v_mad_u64_u32", IQT_CLASS_MULTIPLY, SLOW },  { "v_mad_i64_i32", IQT_CLASS_MULTIPLY, SLOW },
    { "v_mad_co_*", IQT_CLASS_MULTIPLY, SLOW },     { "v_mad_nc_*", IQT_CLASS_MULTIPLY, SLOW },
    { "v_mul_i32_i24", IQT_CLASS_MULTIPLY, FULL },  { "v_mul_u32_u24", IQT_CLASS_MULTIPLY, FULL },
    { "v_mul_hi_i32_i24", IQT_CLASS_MULTIPLY, FULL },
    { "v_mul_hi_u32_u24", IQT_CLASS_MULTIPLY, FULL },
    { "v_mad_i32_i24", IQT_CLASS_MULTIPLY, FULL },  { "v_mad_u32_u24", IQT_CLASS_MULTIPLY, FULL },
    { "v_mad_i32_i16", IQT_CLASS_MULTIPLY, FULL },  { "v_mad_u32_u16", IQT_CLASS_MULTIPLY, FULL },
    { "v_mad_u16", IQT_CLASS_MULTIPLY, FULL },      { "v_mad_i16", IQT_CLASS_MULTIPLY, FULL },
    { "v_mul_lo_u16", IQT_CLASS_MULTIPLY, FULL },   { "v_mul_lo_i16", IQT_CLASS_MULTIPLY, FULL },
    { "v_pk_mul_lo_u16", IQT_CLASS_MULTIPLY, FULL }, { "v_pk_mad_*", IQT_CLASS_MULTIPLY, FULL },
    { "v_dot*", IQT_CLASS_MULTIPLY, FULL },
    /* special functions and conversions; of bytes to float they are plain */
    { "v_cvt_f32_ubyte*", IQT_CLASS_CONVERT, FULL }, { "v_cvt_*", IQT_CLASS_CONVERT, CVT },
    { "v_exp_*", IQT_CLASS_CONVERT, SLOW },         { "v_log_*", IQT_CLASS_CONVERT, SLOW },
    { "v_rcp_*", IQT_CLASS_CONVERT, SLOW },         { "v_rsq_*", IQT_CLASS_CONVERT, SLOW },
    { "v_sqrt_*", IQT_CLASS_CONVERT, SLOW },        { "v_sin_*", IQT_CLASS_CONVERT, SLOW },
    { "v_cos_*", IQT_CLASS_CONVERT, SLOW },
    /* matrix units: passes of a wave of 64 as gfx940 has them; of a wave of 32 cycles that no other vector
     * instruction uses (AMD Matrix Instruction Calculator, rdna3 and rdna4, "Execution cycles") */
    { "v_mfma_*_4x4x*", IQT_CLASS_MMA, PASS2 },     { "v_mfma_*_16x16x16*", IQT_CLASS_MMA, PASS4 },
    { "v_mfma_*_16x16x32*", IQT_CLASS_MMA, PASS4 }, { "v_mfma_*_16x16x8*", IQT_CLASS_MMA, PASS4 },
    { "v_mfma_*_16x16x*", IQT_CLASS_MMA, PASS8 },   { "v_mfma_*_32x32x16*", IQT_CLASS_MMA, PASS8 },
    { "v_mfma_*_32x32x8*", IQT_CLASS_MMA, PASS8 },  { "v_mfma_*", IQT_CLASS_MMA, PASS16 },
    { "v_smfmac_*_16x16x*", IQT_CLASS_MMA, PASS4 }, { "v_smfmac_*", IQT_CLASS_MMA, PASS8 },
    { "v_wmma_*_iu4", IQT_CLASS_MMA, WMMA4 },       { "v_wmma_*_iu8", IQT_CLASS_MMA, WMMA8 },
    { "v_wmma_*", IQT_CLASS_MMA, WMMA16 },          { "v_swmmac_*_iu*", IQT_CLASS_MMA, WMMA8 },
    { "v_swmmac_*", IQT_CLASS_MMA, WMMA16 },
    /* float */
    { "v_pk_*_f*", IQT_CLASS_FLOAT, FULL },         { "v_pk_*_bf*", IQT_CLASS_FLOAT, FULL },
    { "v_fma*", IQT_CLASS_FLOAT, FULL },            { "v_mac_*", IQT_CLASS_FLOAT, FULL },
    { "v_mad_f*", IQT_CLASS_FLOAT, FULL },          { "v_mad_mix*", IQT_CLASS_FLOAT, FULL },
    { "v_madak_*", IQT_CLASS_FLOAT, FULL },         { "v_madmk_*", IQT_CLASS_FLOAT, FULL },
    { "v_mul_f*", IQT_CLASS_FLOAT, FULL },          { "v_mul_legacy_*", IQT_CLASS_FLOAT, FULL },
    { "v_mul_dx9_*", IQT_CLASS_FLOAT, FULL },       { "v_add_f*", IQT_CLASS_FLOAT, FULL },
    { "v_sub_f*", IQT_CLASS_FLOAT, FULL },          { "v_subrev_f*", IQT_CLASS_FLOAT, FULL },
    { "v_rndne_*", IQT_CLASS_FLOAT, FULL },         { "v_floor_*", IQT_CLASS_FLOAT, FULL },
    { "v_trunc_*", IQT_CLASS_FLOAT, FULL },         { "v_ldexp_*", IQT_CLASS_FLOAT, FULL },
    { "v_div_*", IQT_CLASS_FLOAT, FULL },           { "v_fract_*", IQT_CLASS_FLOAT, FULL },
    { "v_ceil_*", IQT_CLASS_FLOAT, FULL },          { "v_frexp_*", IQT_CLASS_FLOAT, FULL },
    /* 64-bit integer and moves */
    { "v_lshlrev_b64", IQT_CLASS_ALU, WIDE },       { "v_lshrrev_b64", IQT_CLASS_ALU, WIDE },
    { "v_ashrrev_i64", IQT_CLASS_ALU, WIDE },       { "v_lshl_add_u64", IQT_CLASS_ALU, WIDE },
    { "v_mov_b64", IQT_CLASS_ALU, WIDE },           { "v_add_nc_u64", IQT_CLASS_ALU, WIDE },
    /* other integer */
    { "v_mov_*", IQT_CLASS_ALU, FULL },             { "v_movr*", IQT_CLASS_ALU, FULL },
    { "v_and_*", IQT_CLASS_ALU, FULL },             { "v_or_*", IQT_CLASS_ALU, FULL },
    { "v_or3_*", IQT_CLASS_ALU, FULL },             { "v_xor_*", IQT_CLASS_ALU, FULL },
    { "v_xor3_*", IQT_CLASS_ALU, FULL },            { "v_xnor_*", IQT_CLASS_ALU, FULL },
    { "v_not_*", IQT_CLASS_ALU, FULL },             { "v_xad_*", IQT_CLASS_ALU, FULL },
    { "v_bitop3_*", IQT_CLASS_ALU, FULL },
    { "v_lsh*", IQT_CLASS_ALU, FULL },              { "v_ashr*", IQT_CLASS_ALU, FULL },
    { "v_add_*", IQT_CLASS_ALU, FULL },             { "v_add3_*", IQT_CLASS_ALU, FULL },
    { "v_addc_*", IQT_CLASS_ALU, FULL },            { "v_sub_*", IQT_CLASS_ALU, FULL },
    { "v_subrev_*", IQT_CLASS_ALU, FULL },          { "v_subb_*", IQT_CLASS_ALU, FULL },
    { "v_subbrev_*", IQT_CLASS_ALU, FULL },         { "v_bfi_*", IQT_CLASS_ALU, FULL },
    { "v_bfe_*", IQT_CLASS_ALU, FULL },             { "v_bfm_*", IQT_CLASS_ALU, FULL },
    { "v_bfrev_*", IQT_CLASS_ALU, FULL },           { "v_bcnt_*", IQT_CLASS_ALU, FULL },
    { "v_perm_*", IQT_CLASS_ALU, FULL },            { "v_permlane*", IQT_CLASS_SHUFFLE, FULL },
    { "v_align*", IQT_CLASS_ALU, FULL },            { "v_cndmask_*", IQT_CLASS_ALU, FULL },
    { "v_cmp_*", IQT_CLASS_ALU, FULL },             { "v_cmpx_*", IQT_CLASS_ALU, FULL },
    { "v_min*", IQT_CLASS_ALU, FULL },              { "v_max*", IQT_CLASS_ALU, FULL },
    { "v_med3_*", IQT_CLASS_ALU, FULL },            { "v_mbcnt_*", IQT_CLASS_ALU, FULL },
    { "v_readfirstlane_*", IQT_CLASS_ALU, FULL },   { "v_readlane_*", IQT_CLASS_ALU, FULL },
    { "v_writelane_*", IQT_CLASS_ALU, FULL },       { "v_swap_*", IQT_CLASS_ALU, FULL },
    { "v_swaprel_*", IQT_CLASS_ALU, FULL },         { "v_sad_*", IQT_CLASS_ALU, FULL },
    { "v_msad_*", IQT_CLASS_ALU, FULL },            { "v_ffb*", IQT_CLASS_ALU, FULL },
    { "v_clz_*", IQT_CLASS_ALU, FULL },             { "v_ctz_*", IQT_CLASS_ALU, FULL },
    { "v_cls_*", IQT_CLASS_ALU, FULL },             { "v_pack_*", IQT_CLASS_ALU, FULL },
    { "v_pk_*", IQT_CLASS_ALU, FULL },              { "v_accvgpr_*", IQT_CLASS_ALU, FULL },
    { "v_nop", IQT_CLASS_CONTROL, FULL },
    /* memory; plain buffer instructions of a code object reach its private memory */
    { "global_load_*", IQT_CLASS_GLOBAL, FULL },    { "flat_load_*", IQT_CLASS_GLOBAL, FULL },
    { "buffer_load_*", IQT_CLASS_GLOBAL, FULL },    { "scratch_*", IQT_CLASS_LOCAL, FULL },
    { "ds_bpermute_*", IQT_CLASS_SHUFFLE, FULL },   { "ds_permute_*", IQT_CLASS_SHUFFLE, FULL },
    { "ds_swizzle_*", IQT_CLASS_SHUFFLE, FULL },    { "ds_bvh*", IQT_CLASS_SHUFFLE, FULL },
    { "ds_read*", IQT_CLASS_SHARED, FULL },         { "ds_load*", IQT_CLASS_SHARED, FULL },
    { "ds_*", IQT_CLASS_STORE, FULL },              { "global_store_*", IQT_CLASS_STORE, FULL },
    { "flat_store_*", IQT_CLASS_STORE, FULL },      { "buffer_store_*", IQT_CLASS_STORE, FULL },
    { "global_atomic_*", IQT_CLASS_STORE, FULL },   { "flat_atomic_*", IQT_CLASS_STORE, FULL },
    { "buffer_atomic_*", IQT_CLASS_STORE, FULL },
    /* caches */
    { "buffer_gl*", IQT_CLASS_CONTROL, NONE },      { "buffer_wb*", IQT_CLASS_CONTROL, NONE },
    { "buffer_inv*", IQT_CLASS_CONTROL, NONE },     { "global_inv*", IQT_CLASS_CONTROL, NONE },
    { "global_wb*", IQT_CLASS_CONTROL, NONE },
    /* scalar unit */
    { "s_load_*", IQT_CLASS_SCALAR_LOAD, NONE },    { "s_buffer_load_*", IQT_CLASS_SCALAR_LOAD, NONE },
    { "s_scratch_load_*", IQT_CLASS_SCALAR_LOAD, NONE },
    { "s_branch", IQT_CLASS_CONTROL, NONE },        { "s_cbranch_*", IQT_CLASS_CONTROL, NONE },
    { "s_wait*", IQT_CLASS_CONTROL, NONE },         { "s_nop", IQT_CLASS_CONTROL, NONE },
    { "s_delay_alu", IQT_CLASS_CONTROL, NONE },     { "s_clause", IQT_CLASS_CONTROL, NONE },
    { "s_barrier*", IQT_CLASS_CONTROL, NONE },      { "s_end*", IQT_CLASS_CONTROL, NONE },
    { "s_sendmsg*", IQT_CLASS_CONTROL, NONE },      { "s_set*", IQT_CLASS_CONTROL, NONE },
    { "s_inst_prefetch", IQT_CLASS_CONTROL, NONE }, { "s_set_inst_prefetch*", IQT_CLASS_CONTROL, NONE },
    { "s_sleep*", IQT_CLASS_CONTROL, NONE },        { "s_code_end", IQT_CLASS_CONTROL, NONE },
    { "s_trap", IQT_CLASS_CONTROL, NONE },          { "s_dcache_*", IQT_CLASS_CONTROL, NONE },
    { "s_gl1_inv", IQT_CLASS_CONTROL, NONE },       { "s_*", IQT_CLASS_UNIFORM, NONE },
    // clang-format on
};

/* A pattern with any number of '*'. */
static bool fits(const char *pattern, const char *name)
{
    const char *star = NULL, *retry = NULL;

    while (*name != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            retry = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

/* Without the encoding, and "v_mov_b32" of "v_dual_mov_b32". */
static void plain_name(const char *mnemonic, char out[IQT_MNEMONIC_BYTES])
{
    static const char *const encodings[] = { "_e32", "_e64", "_sdwa", "_dpp", "_dpp8" };
    static const char dual[] = "v_dual_";
    const bool paired = strncmp(mnemonic, dual, sizeof dual - 1) == 0;
    size_t length;

    strcpy(out, paired ? "v_" : "");
    strcat(out, mnemonic + (paired ? sizeof dual - 1 : 0));
    length = strlen(out);
    for (size_t i = 0; i < IQT_COUNT(encodings); i++) {
        const size_t tail = strlen(encodings[i]);

        if (length > tail && strcmp(out + length - tail, encodings[i]) == 0) {
            out[length - tail] = '\0';
            length -= tail;
            i = SIZE_MAX; /* "_e64_dpp" has two */
        }
    }
}

static uint32_t width(const char *name)
{
    static const struct {
        const char *pattern;
        uint32_t bytes;
    } widths[] = {
        { "*2addr*_b64", 16 },
        { "ds_read2*_b64", 16 },
        { "ds_write2*_b64", 16 },
        { "*2addr*_b32", 8 },
        { "ds_read2*_b32", 8 },
        { "ds_write2*_b32", 8 },
        { "*x16", 64 },
        { "*x8", 32 },
        { "*x4", 16 },
        { "*x3", 12 },
        { "*x2", 8 },
        { "*b512", 64 },
        { "*b256", 32 },
        { "*b128", 16 },
        { "*b96", 12 },
        { "*b64", 8 },
        { "*_u8*", 1 },
        { "*_i8*", 1 },
        { "*byte*", 1 },
        { "*_b8*", 1 },
        { "*short*", 2 },
        { "*_u16*", 2 },
        { "*_i16*", 2 },
        { "*_b16*", 2 },
    };

    for (size_t i = 0; i < IQT_COUNT(widths); i++)
        if (fits(widths[i].pattern, name))
            return widths[i].bytes;
    return 4;
}

static bool is_memory(enum iqt_class c)
{
    return (c >= IQT_CLASS_GLOBAL && c <= IQT_CLASS_SHUFFLE) ||
           c == IQT_CLASS_SCALAR_LOAD;
}

enum iqt_status iqt_classify_amd(enum iqt_isa isa, enum iqt_syntax syntax,
                                 const struct iqt_instruction *i, struct iqt_kind *out)
{
    char name[IQT_MNEMONIC_BYTES + 2];

    plain_name(i->mnemonic, name);
    for (size_t t = 0; t < IQT_COUNT(table); t++) {
        if (!fits(table[t].name, name))
            continue;
        out->class = table[t].class;
        out->cycles = cycles_of[table[t].rate][isa];
        out->bytes = is_memory(out->class) ? width(name) : 0;
        if (syntax == IQT_SYNTAX_OBJDUMP && strncmp(name, "buffer_", 7) == 0 &&
            out->bytes)
            out->class = IQT_CLASS_LOCAL;
        return IQT_OK;
    }
    return iqt_fail(IQT_ERR_UNSUPPORTED,
                    "instruction '%s' at 0x%llx has no class: add it to the table in "
                    "stats/classes_amd.c",
                    i->mnemonic, (unsigned long long)i->address);
}
