/* The command table and the option tables of the iqtile program. Options may stand anywhere;
 * help is printed from the same tables. Results go to stdout, chatter to stderr. */
#ifndef IQT_TOOLS_CLI_H
#define IQT_TOOLS_CLI_H

#include "base/base.h"

#include <stdio.h>

enum { IQT_EXIT_OK = 0, IQT_EXIT_FAILED = 1, IQT_EXIT_USAGE = 2 };

enum iqt_opt_type {
    IQT_OPT_FLAG,   /* bool */
    IQT_OPT_STRING, /* const char * */
    IQT_OPT_MAYBE,  /* const char *, after '='; "" without a value */
    IQT_OPT_U32,    /* uint32_t, decimal */
    IQT_OPT_U64,    /* uint64_t, decimal or 0x */
    IQT_OPT_LIST,   /* struct iqt_opt_list: may be repeated */
};

enum { IQT_OPT_REPEATS = 64 };
struct iqt_opt_list {
    const char *item[IQT_OPT_REPEATS];
    size_t count;
};

struct iqt_opt {
    const char *name; /* without dashes; one letter makes a short option */
    enum iqt_opt_type type;
    const char *arg; /* name of the value in help; NULL for flags */
    const char *help;
    size_t offset; /* of the value in the command's option struct */
};

struct iqt_command {
    const char *name;
    const char *usage;          /* after "iqtile NAME ": "FILE TENSOR -o OUT [options]" */
    const char *summary;        /* one line */
    const struct iqt_opt *opts; /* ends with name NULL; may be NULL */
    size_t opts_bytes; /* sizeof the option struct, zero-initialised before parsing */
    int min_args, max_args; /* positional; max_args < 0: any number */
    /* opts: the filled option struct; args: positional arguments. Returns an exit code. */
    int (*run)(const void *opts, int count, char **args);
};

/* Every command is one constant in its own file tools/cmd_<name>.c; the table is in main.c. A
 * name that starts with '_' is left out of help: for the program's own use. */
extern const struct iqt_command iqt_cmd_info, iqt_cmd_doctor, iqt_cmd_decode, iqt_cmd_gen,
    iqt_cmd_devices, iqt_cmd_tune, iqt_cmd_db, iqt_cmd_bench, iqt_cmd_check,
    iqt_cmd_golden, iqt_cmd_matvec, iqt_cmd_report, iqt_cmd_gpu_report, iqt_cmd_stats,
    iqt_cmd_predict, iqt_cmd_quantize, iqt_cmd_imatrix, iqt_cmd_compare,
    iqt_cmd_perplexity;

/* main.c: all commands, NULL-terminated. */
extern const struct iqt_command *const iqt_commands[];

/* options.c. Parses argv[0 .. argc) (argv[0] is the command's name) into opts and *args, which
 * points into argv. Returns -1 to go on, else the exit code: help was asked for and printed, or
 * the arguments are wrong. */
int iqt_options_parse(const struct iqt_command *cmd, int argc, char **argv, void *opts,
                      int *count, char ***args);
void iqt_options_help(const struct iqt_command *cmd);

/* Prints "iqtile: <last error>" to stderr and returns IQT_EXIT_FAILED; IQT_EXIT_USAGE for
 * IQT_ERR_ARG and IQT_ERR_UNKNOWN. */
int iqt_cli_fail(enum iqt_status status);
/* Prints "iqtile: ..." and a hint to --help; returns IQT_EXIT_USAGE. */
int iqt_cli_usage(const char *fmt, ...) IQT_PRINTF(1, 2);

/* Set by SIGINT and SIGTERM once iqt_cli_catch_interrupts() was called. */
void iqt_cli_catch_interrupts(void);
bool iqt_cli_interrupted(void);

/* One status line with percent and time left on stderr, redrawn in place on a terminal, at most
 * a line every 5 s elsewhere. done == total ends it. */
void iqt_cli_progress(const char *what, uint64_t done, uint64_t total);
/* Takes the status line off a terminal, before something else is printed. */
void iqt_cli_progress_hide(void);

/* ---- operands.c: what the words on a command line stand for ---- */

/* IQT_ERR_UNKNOWN lists the valid names. */
IQT_MUST_USE enum iqt_status iqt_cli_format(const char *name,
                                            const struct iqt_format **out);
IQT_MUST_USE enum iqt_status iqt_cli_layout(const char *name, enum iqt_layout *out);
/* Numbers of columns from "1,4,8". */
struct iqt_cli_columns {
    uint32_t n[IQT_MAX_COLS];
    size_t count;
};
IQT_MUST_USE enum iqt_status iqt_cli_columns(const char *list,
                                             struct iqt_cli_columns *out);

struct iqt_gguf;
/* A tensor whose rows can be decoded: format, rows and all of their bytes are there. */
struct iqt_weights {
    struct iqt_gguf *file; /* owns rows, unless they had to be taken apart */
    uint8_t *apart;
    const struct iqt_format *format;
    size_t m, k, row_bytes;
    const uint8_t *rows;
};
IQT_MUST_USE enum iqt_status iqt_weights_open(const char *path, const char *tensor,
                                              struct iqt_weights *out);
void iqt_weights_close(struct iqt_weights *w);

enum { IQT_CLI_MAX_DEVICES = 16 };
/* What --device names: that device, or, when it is NULL, every device there is. */
struct iqt_specs {
    char spec[IQT_CLI_MAX_DEVICES][sizeof((struct iqt_device_info *)NULL)->spec];
    size_t count;
};
IQT_MUST_USE enum iqt_status iqt_specs_find(const char *device, struct iqt_specs *out);

/* A context, a device and a queue that belong together. spec NULL: the preferred device; packed_dir NULL:
 * packed rows are not kept. Notes of the context go to standard error. */
struct iqt_seat {
    struct iqt_context *ctx;
    struct iqt_device *dev;
    struct iqt_queue *queue;
};
IQT_MUST_USE enum iqt_status iqt_seat_open(const char *spec, const char *packed_dir,
                                           struct iqt_seat *out);
void iqt_seat_close(struct iqt_seat *seat);

#endif
