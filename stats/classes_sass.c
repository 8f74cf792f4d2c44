/* NVIDIA's instructions. Names without their suffixes are in NVIDIA's "CUDA Binary Utilities",
 * chapter Instruction Set Reference; rates in the "CUDA C++ Programming Guide", table Throughput of
 * Native Arithmetic Instructions: logic, shift, add, compare, permute and the integer multiplies
 * run at 64 a cycle and multiprocessor (half of the 128 issued), conversions and special functions
 * at 16. I2FP, the faster conversion of newer architectures, is counted like I2F: the guide does
 * not list it apart. IMAD.MOV, IMAD.SHL, IMAD.IADD are moves, shifts and adds that the compiler
 * puts on the multiply pipe, so they count there. */
#include "stats/classes.h"

#include <string.h>

// clang-format off
static const struct {
    const char *names; /* each with a blank on both sides */
    enum iqt_class class;
} table[] = {
    { " LOP LOP3 PLOP3 SHF SHL SHR IADD IADD3 IADD32I VIADD VIADDMNMX LEA ISETP ICMP SEL PRMT BMSK SGXT "
      "MOV MOV32I IMNMX IMNMX3 VIMNMX VIMNMX3 VABSDIFF VABSDIFF4 VHMNMX IABS R2P P2R FSEL "
      "FSETP FMNMX FMNMX3 FCMP FSET VOTE PSETP PSET CSETP HSETP2 HSET2 HMNMX2 VADD VMNMX CS2R "
      "ISCADD ", IQT_CLASS_ALU },
    { " IMAD IMUL IDP IDP4A IMUL32I IMAD32I VMAD IMADSP ", IQT_CLASS_MULTIPLY },
    { " FFMA FFMA2 FFMA32I FMUL FMUL2 FMUL32I FADD FADD2 FADD32I FSWZADD HADD2 HFMA2 HMUL2 HADD2_32I "
      "HFMA2_32I HMUL2_32I FHADD FHFMA ", IQT_CLASS_FLOAT },
    { " I2F I2FP F2I F2IP F2F F2FP I2I I2IP FRND MUFU POPC FLO BREV REDUX FCHK DADD DMUL DFMA DSETP "
      "DMNMX ", IQT_CLASS_CONVERT },
    { " HMMA IMMA BMMA DMMA QMMA OMMA HGMMA IGMMA BGMMA QGMMA ", IQT_CLASS_MMA },
    { " LDG LDGSTS LD TLD TEX ", IQT_CLASS_GLOBAL },
    { " LDS LDSM ", IQT_CLASS_SHARED },
    { " LDC ", IQT_CLASS_CONSTANT },
    { " LDL STL ", IQT_CLASS_LOCAL },
    { " STG ST STS STSM ATOM ATOMS ATOMG RED REDG REDS ", IQT_CLASS_STORE },
    { " SHFL MATCH MOVM ", IQT_CLASS_SHUFFLE },
    { " R2UR S2UR LDCU CREDUX ULDC UMOV UMOV32I ULOP ULOP3 ULOP32I USHF USHL USHR UIADD3 UIADD3_64 "
      "UVIADD UIMAD UIMUL ULEA USEL UISETP UPLOP3 UPRMT UP2UR UR2UP UFLO UBREV UBMSK USGXT UPOPC UCLEA "
      "UVIMNMX UIMNMX UIABS UPSETP UF2F UF2FP UF2I UI2F UI2FP UFADD UFMUL UFFMA UFSETP UFSEL UFMNMX "
      "VOTEU ", IQT_CLASS_UNIFORM },
    { " BRA BRX JMP JMX BREAK BSSY BSYNC BMOV BPT BAR B2R R2B CALL RET EXIT KILL NOP YIELD NANOSLEEP "
      "WARPSYNC WARPGROUP DEPBAR LDGDEPBAR MEMBAR ERRBAR CCTL CCTLL ACQBULK PREEXIT RPCMOV LEPC SYNCS "
      "S2R GETLMEMBASE SETLMEMBASE SSY SYNC PBK BRK PCNT CONT ENDCOLLECTIVE ELECT FENCE CGAERRBAR "
      "UCGABAR_ARV UCGABAR_WAIT ", IQT_CLASS_CONTROL },
};
// clang-format on

static bool has_suffix(const char *mnemonic, const char *suffix)
{
    const size_t length = strlen(suffix);

    for (const char *at = strchr(mnemonic, '.'); at != NULL; at = strchr(at + 1, '.'))
        if (strncmp(at, suffix, length) == 0 && (at[length] == '.' || at[length] == '\0'))
            return true;
    return false;
}

static uint32_t width(const char *mnemonic)
{
    static const struct {
        const char *suffix;
        uint32_t bytes;
    } widths[] = {
        { ".256", 32 }, { ".128", 16 }, { ".96", 12 }, { ".64", 8 }, { ".U16", 2 },
        { ".S16", 2 },  { ".U8", 1 },   { ".S8", 1 },  { ".4", 16 }, { ".2", 8 },
    };

    for (size_t i = 0; i < IQT_COUNT(widths); i++)
        if (has_suffix(mnemonic, widths[i].suffix))
            return widths[i].bytes;
    return 4;
}

/* Shapes are written without blanks: IMMA.16832 is 16 x 8 x 32. What has none here takes as long as the largest of
 * int8, which a float16 product of 16 x 8 x 16 does. */
static double products(const char *mnemonic)
{
    static const struct {
        const char *suffix;
        double products;
    } shapes[] = { { ".8816", 0.25 }, { ".16816", 0.5 } };

    for (size_t i = 0; strncmp(mnemonic, "IMMA", 4) == 0 && i < IQT_COUNT(shapes); i++)
        if (has_suffix(mnemonic, shapes[i].suffix))
            return shapes[i].products;
    return 1;
}

static bool is_memory(enum iqt_class c)
{
    return c >= IQT_CLASS_GLOBAL && c <= IQT_CLASS_SHUFFLE;
}

enum iqt_status iqt_classify_sass(const struct iqt_instruction *i, struct iqt_kind *out)
{
    char name[IQT_MNEMONIC_BYTES + 2];
    const size_t length = strcspn(i->mnemonic, ".");

    name[0] = ' ';
    memcpy(name + 1, i->mnemonic, length);
    strcpy(name + 1 + length, " ");
    *out = (struct iqt_kind){ 0 };
    for (size_t t = 0; t < IQT_COUNT(table); t++) {
        if (strstr(table[t].names, name) == NULL)
            continue;
        out->class = table[t].class;
        out->bytes = is_memory(out->class) ? width(i->mnemonic) : 0;
        out->products = out->class == IQT_CLASS_MMA ? products(i->mnemonic) : 0;
        return IQT_OK;
    }
    return iqt_fail(IQT_ERR_UNSUPPORTED,
                    "instruction '%s' at 0x%llx has no class: add it to the table in "
                    "stats/classes_sass.c",
                    i->mnemonic, (unsigned long long)i->address);
}
