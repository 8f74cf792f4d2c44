/* From a listing to numbers: the hot loop, instructions by class, slots. */
#ifndef IQT_STATS_COUNT_H
#define IQT_STATS_COUNT_H

#include "stats/classes.h"

struct iqt_counts {
    double class[IQT_CLASSES]; /* instructions */
    double instructions;       /* all of them */
    double memory_slots;       /* 4 a load, store or shuffle, 8 of 8 bytes, 16 of 16 */
    double mma_slots;          /* of the target's matrix units: struct iqt_tensor */
    double cycles;             /* AMD: issue cycles of the vector unit per lane */
    double bytes;              /* global loads, a thread's */
    double wide_bytes;         /* of those, in loads of 16 bytes and more */
    double scalar_bytes;       /* AMD: loads of the scalar unit, a wave's */
};

/* Instructions [begin, end) that a backward branch repeats. */
struct iqt_loop {
    size_t begin, end;
};
enum { IQT_MOST_LOOPS = 64 };

struct iqt_count_input {
    const struct iqt_listing *list;
    enum iqt_isa isa;
    enum iqt_syntax syntax;
    bool scalar_data;     /* a wave's scalar loads bring weights and activations, too */
    double product_slots; /* NVIDIA: of a product of its matrix units */
};

/* Adds the instructions [begin, end), each times. */
IQT_MUST_USE enum iqt_status iqt_count_add(const struct iqt_count_input *in, size_t begin,
                                           size_t end, double times,
                                           struct iqt_counts *to);
/* Adds all of a count, so many times. */
void iqt_counts_add(struct iqt_counts *to, const struct iqt_counts *c, double times);
/* What a count loaded from global memory. */
double iqt_count_loaded(const struct iqt_count_input *in, const struct iqt_counts *c);
/* The innermost loops that load at least so many bytes an iteration, the longest first. What a
 * forward branch may skip inside a loop is counted as if it ran, a loop inside of it as if it ran
 * once: inner, unless NULL, has how many there are in the first. */
IQT_MUST_USE enum iqt_status iqt_count_loops(const struct iqt_count_input *in,
                                             double least_bytes,
                                             struct iqt_loop out[IQT_MOST_LOOPS],
                                             size_t *count, size_t *inner);

/* The slots of an NVIDIA GPU: the fullest of all instructions, twice the ALU's, twice the
 * multiplies, the loads and shuffles, eight times conversions, the products. AMD: issue cycles. */
double iqt_counts_slots(enum iqt_isa isa, const struct iqt_counts *c);

#endif
