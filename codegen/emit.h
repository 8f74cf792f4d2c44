/* Shared by the emitters: a line printer, the spellings of a dialect, expressions for fields. */
#ifndef IQT_CODEGEN_EMIT_H
#define IQT_CODEGEN_EMIT_H

#include "codegen/codegen.h"
#include "codegen/place.h"

/* Spellings of a GPU language. The emitters write the common subset of GLSL and C++; what differs
 * is here. */
struct iqt_spelling {
    const char *prelude;  /* types, macros and functions, before anything else */
    const char *shared;   /* declares shared memory: "shared" */
    const char *constant; /* declares an array of constants; NULL: avoid them */
    const char *function; /* in front of functions */
    const char *subgroup; /* extra prelude of plans that reduce by shuffles */
    const char *tiles;    /* extra prelude of plans over tiles; NULL: there are none */
    const char *floats;   /* extra prelude of plans with float activations */
};
const struct iqt_spelling *iqt_spelling_of(enum iqt_dialect d);
/* dot4() and byte_sum() of GLSL, which depend on the plan. */
const char *iqt_spelling_sums(const struct iqt_plan *plan);

struct iqt_emit {
    struct iqt_buf *out;
    const struct iqt_plan *plan;
    const struct iqt_spelling *spell;
    struct iqt_places *places;
    const char *prefix; /* "w" or "gate": which matrix the text reads */
    uint32_t lanes;     /* of a host vector: weights */
    uint32_t indent;
};

void iqt_emit_line(struct iqt_emit *e, const char *fmt, ...) IQT_PRINTF(2, 3);
void iqt_emit_open(struct iqt_emit *e, const char *fmt, ...)
    IQT_PRINTF(2, 3);                    /* "... {" */
void iqt_emit_scope(struct iqt_emit *e); /* "{" */
void iqt_emit_close(struct iqt_emit *e); /* "}" */

/* Interface of a GPU kernel: buffers, parameters, accessors (dialect.c). */
void iqt_emit_interface(struct iqt_emit *e);
/* First line of the kernel's body, with its name and workgroup size. */
void iqt_emit_entry(struct iqt_emit *e, const char *symbol, const char *params,
                    uint32_t threads);

/* Table functions: lut(codes) for codebooks, scale_value(code) for tables of scales, trellis. */
void iqt_emit_lookup(struct iqt_emit *e);
/* What lut()'s values lack. */
int iqt_emit_lookup_offset(const struct iqt_plan *p);
/* Body lines that fill shared tables; before the first barrier. */
void iqt_emit_lookup_fill(struct iqt_emit *e);

enum { IQT_EXPR_BYTES = 768 };
/* The expressions below read vectors q[r * V + v] and, outside vectors, at[r] + offset. */

/* The field's value for weight i of the span, as uint. */
void iqt_expr_field(const struct iqt_emit *e, const struct iqt_field *f, uint32_t i,
                    char out[IQT_EXPR_BYTES]);
/* The field's lowest byte where it stands in a vector's word, if that is at bit 8 to 16: at which bit.
 * Otherwise 0, and no text. */
uint32_t iqt_expr_low_byte(const struct iqt_emit *e, const struct iqt_field *f,
                           uint32_t i, char out[IQT_EXPR_BYTES]);
/* Four codes of consecutive elements in the bytes of a uint; elements are weights apart. */
void iqt_expr_codes(const struct iqt_emit *e, const struct iqt_field *f, uint32_t i,
                    uint32_t weights, char out[IQT_EXPR_BYTES]);
/* Bits of four consecutive weights on top of the bytes of a uint; the other bits are any. */
void iqt_expr_tops(const struct iqt_emit *e, const struct iqt_field *f, uint32_t i,
                   char out[IQT_EXPR_BYTES]);
/* The integer block scale for weight i, as int. */
void iqt_expr_scale(const struct iqt_emit *e, const struct iqt_scale *s, uint32_t i,
                    char out[IQT_EXPR_BYTES]);
/* A float scale stored in the superblock that holds weight i. */
void iqt_expr_scalar(const struct iqt_emit *e, const struct iqt_scalar *s, uint32_t i,
                     char out[IQT_EXPR_BYTES]);

/* codegen.c dispatches to these. */
void iqt_emit_gpu(struct iqt_emit *e);
/* What the texts of these plans need, before them. */
void iqt_emit_host_prelude(struct iqt_buf *out, const struct iqt_plan *plans,
                           size_t count);
void iqt_emit_host(struct iqt_emit *e);
/* The same as one of several kernels of a text: file-local names get the number. Not fresh: the
 * inner function of that number is already there. */
void iqt_emit_host_again(struct iqt_emit *e, size_t number, bool fresh);

#endif
