/* Fixed permutations of bits, done for sixteen blocks at a time: words of many blocks lie side by side,
 * so that a shift and a mask serve all of them and compilers make vector code. Knows no format. */
#ifndef IQT_KERNELS_BIT_MOVES_H
#define IQT_KERNELS_BIT_MOVES_H

#include "base/base.h"

enum { IQT_MOVE_LANES = 16, IQT_MOVE_WORDS = 96 };

/* One word of sixteen blocks. */
typedef uint32_t iqt_move_word[IQT_MOVE_LANES];

struct iqt_move {
    uint32_t mask; /* of the output word */
    uint16_t word; /* of the input */
    uint8_t left, right;
};

struct iqt_moves {
    uint32_t words;
    uint16_t from[IQT_MOVE_WORDS * 32]
                 [2];              /* input bits + 1, their sum is an output bit */
    uint32_t flip[IQT_MOVE_WORDS]; /* output bits that are turned over */
    uint16_t end[IQT_MOVE_WORDS];  /* of a word's moves */
    struct iqt_move move[IQT_MOVE_WORDS * 32];
};

/* words: of the output. */
void iqt_moves_begin(struct iqt_moves *m, uint32_t words);
/* Output bit `to` is input bit `from`, or, where it has one already, the exclusive or of both. */
void iqt_moves_add(struct iqt_moves *m, uint32_t to, uint32_t from);
void iqt_moves_flip(struct iqt_moves *m, uint32_t to);
void iqt_moves_end(struct iqt_moves *m);
void iqt_moves_run(const struct iqt_moves *m, const iqt_move_word *in,
                   iqt_move_word *out);

/* A block of bytes as lane `lane` of words. */
void iqt_moves_load(iqt_move_word *to, uint32_t lane, const uint8_t *block,
                    uint32_t bytes);

#endif
