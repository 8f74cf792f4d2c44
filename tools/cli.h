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
    IQT_OPT_U32,    /* uint32_t, decimal */
    IQT_OPT_U64,    /* uint64_t, decimal or 0x */
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

/* Every command is one constant in its own file tools/cmd_<name>.c; the table is in main.c. */
extern const struct iqt_command iqt_cmd_info, iqt_cmd_doctor, iqt_cmd_decode, iqt_cmd_gen,
    iqt_cmd_devices, iqt_cmd_tune, iqt_cmd_db, iqt_cmd_bench, iqt_cmd_check,
    iqt_cmd_golden, iqt_cmd_matvec, iqt_cmd_report;

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

#endif
