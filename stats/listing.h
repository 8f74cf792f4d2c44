/* A disassembler's listing as a list of instructions. Three syntaxes: nvdisasm -c, llvm-objdump -d
 * for AMD code objects, and what RADV's compiler ACO prints. Text is hostile: it comes from other
 * programs. Knows no instruction set. */
#ifndef IQT_STATS_LISTING_H
#define IQT_STATS_LISTING_H

#include "base/base.h"

enum iqt_syntax { IQT_SYNTAX_SASS, IQT_SYNTAX_OBJDUMP, IQT_SYNTAX_ACO };
enum { IQT_MNEMONIC_BYTES = 48 };
#define IQT_NO_TARGET SIZE_MAX

struct iqt_instruction {
    uint64_t address; /* ACO prints none: the instruction's number */
    char mnemonic[IQT_MNEMONIC_BYTES];
    const char *operands; /* the rest of the line; "" when none */
    size_t target; /* number of the instruction a branch goes to, or IQT_NO_TARGET */
};

struct iqt_listing {
    char *text; /* what operands point into */
    char *function;
    struct iqt_instruction *at;
    size_t count;
};

/* Reads one function: the named one, or the first when function is NULL. IQT_ERR_FORMAT says what
 * is wrong in which line; IQT_ERR_UNKNOWN: no such function. On success the caller frees out. */
IQT_MUST_USE enum iqt_status iqt_listing_parse(enum iqt_syntax syntax, const char *text,
                                               const char *function,
                                               struct iqt_listing *out);
void iqt_listing_free(struct iqt_listing *l);

#endif
