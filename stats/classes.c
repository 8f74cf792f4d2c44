/* Names of classes, and which table an instruction set has. */
#include "stats/classes.h"

const char *iqt_class_name(enum iqt_class c)
{
    static const char *const names[IQT_CLASSES] = {
        [IQT_CLASS_ALU] = "alu",
        [IQT_CLASS_MULTIPLY] = "multiply",
        [IQT_CLASS_FLOAT] = "float",
        [IQT_CLASS_CONVERT] = "convert",
        [IQT_CLASS_MMA] = "mma",
        [IQT_CLASS_GLOBAL] = "load_global",
        [IQT_CLASS_SHARED] = "load_shared",
        [IQT_CLASS_CONSTANT] = "load_constant",
        [IQT_CLASS_LOCAL] = "local",
        [IQT_CLASS_STORE] = "store",
        [IQT_CLASS_SHUFFLE] = "shuffle",
        [IQT_CLASS_UNIFORM] = "uniform",
        [IQT_CLASS_SCALAR_LOAD] = "scalar_load",
        [IQT_CLASS_CONTROL] = "control",
    };

    return names[c];
}

enum iqt_status iqt_classify(enum iqt_isa isa, enum iqt_syntax syntax,
                             const struct iqt_instruction *i, struct iqt_kind *out)
{
    return isa == IQT_ISA_SASS ? iqt_classify_sass(i, out)
                               : iqt_classify_amd(isa, syntax, i, out);
}
