/* What the parsers of the three syntaxes share. */
#ifndef IQT_STATS_LISTING_BUILD_H
#define IQT_STATS_LISTING_BUILD_H

#include "stats/listing.h"

struct iqt_label {
    const char *name;
    size_t at; /* number of the instruction behind it */
};

/* A listing on its way. Labels and goals point into the text. */
struct iqt_build {
    struct iqt_listing list;
    size_t capacity;
    struct iqt_label *label;
    size_t labels, label_capacity;
    const char **goal; /* per instruction: the label a branch names, or NULL */
    uint64_t base;     /* address of the function */
    bool inside, done; /* of the wanted function */
    const char *wanted;
    size_t line; /* number of the line, for messages */
};

/* One line of a syntax: NUL-terminated, without its newline, may be changed in place. */
typedef enum iqt_status (*iqt_line_fn)(struct iqt_build *b, char *line);
enum iqt_status iqt_line_sass(struct iqt_build *b, char *line);
enum iqt_status iqt_line_objdump(struct iqt_build *b, char *line);
enum iqt_status iqt_line_aco(struct iqt_build *b, char *line);

/* The beginning of a function; decides whether it is the wanted one. */
IQT_MUST_USE enum iqt_status iqt_build_function(struct iqt_build *b, const char *name);
IQT_MUST_USE enum iqt_status iqt_build_label(struct iqt_build *b, const char *name);
/* text: mnemonic and operands, kept. goal: label of a branch or NULL. */
IQT_MUST_USE enum iqt_status iqt_build_add(struct iqt_build *b, uint64_t address,
                                           char *text, const char *goal);

#endif
