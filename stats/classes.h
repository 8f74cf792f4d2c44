/* What an instruction costs: mnemonic to class, bytes and issue cycles, one table per instruction
 * set. What is not in the table is an error that names it. Knows no kernel. */
#ifndef IQT_STATS_CLASSES_H
#define IQT_STATS_CLASSES_H

#include "stats/listing.h"

enum iqt_isa {
    IQT_ISA_SASS,
    IQT_ISA_GCN,   /* gfx9: waves of 64 on 16 lanes */
    IQT_ISA_CDNA,  /* gfx90a, gfx94x, gfx950: the same with full-rate 64-bit operations */
    IQT_ISA_RDNA,  /* gfx10, gfx11 */
    IQT_ISA_RDNA4, /* gfx12: the same with faster matrix units */
    IQT_ISAS,
};

enum iqt_class {
    IQT_CLASS_ALU,      /* logic, shift, add, compare, select, permute */
    IQT_CLASS_MULTIPLY, /* integer multiply and dot product */
    IQT_CLASS_FLOAT,
    IQT_CLASS_CONVERT, /* conversions and special functions */
    IQT_CLASS_MMA,
    IQT_CLASS_GLOBAL,   /* global loads */
    IQT_CLASS_SHARED,   /* shared loads */
    IQT_CLASS_CONSTANT, /* constant loads of a thread */
    IQT_CLASS_LOCAL,    /* spills and indexed arrays, both ways */
    IQT_CLASS_STORE,    /* global and shared stores, atomics */
    IQT_CLASS_SHUFFLE,
    IQT_CLASS_UNIFORM,     /* uniform datapath, scalar unit */
    IQT_CLASS_SCALAR_LOAD, /* of a wave */
    IQT_CLASS_CONTROL,     /* branches, barriers, waits, no-ops */
    IQT_CLASSES,
};
const char *iqt_class_name(enum iqt_class c);

struct iqt_kind {
    enum iqt_class class;
    uint32_t bytes; /* of a memory instruction, a thread's */
    uint32_t
        cycles; /* AMD: issue cycles of the vector unit per lane; 0: another unit's */
    double products; /* NVIDIA's matrix units: int8 products of 16 x 8 x 32 */
};

/* IQT_ERR_UNSUPPORTED names an instruction that is not in the table. */
IQT_MUST_USE enum iqt_status iqt_classify(enum iqt_isa isa, enum iqt_syntax syntax,
                                          const struct iqt_instruction *i,
                                          struct iqt_kind *out);

/* The two tables behind it. */
enum iqt_status iqt_classify_sass(const struct iqt_instruction *i, struct iqt_kind *out);
enum iqt_status iqt_classify_amd(enum iqt_isa isa, enum iqt_syntax syntax,
                                 const struct iqt_instruction *i, struct iqt_kind *out);

#endif
