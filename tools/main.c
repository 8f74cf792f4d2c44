/* The program: finds the command, parses its options by its table, runs it, and makes sure that
 * what it printed arrived. Knows no command from inside. */
#include "tools/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct iqt_command *const iqt_commands[] = {
    &iqt_cmd_info,    &iqt_cmd_doctor,  &iqt_cmd_devices,    &iqt_cmd_decode,
    &iqt_cmd_matvec,  &iqt_cmd_gen,     &iqt_cmd_stats,      &iqt_cmd_tune,
    &iqt_cmd_db,      &iqt_cmd_bench,   &iqt_cmd_report,     &iqt_cmd_gpu_report,
    &iqt_cmd_check,   &iqt_cmd_golden,  &iqt_cmd_predict,    &iqt_cmd_quantize,
    &iqt_cmd_imatrix, &iqt_cmd_compare, &iqt_cmd_perplexity, NULL,
};

static const struct iqt_command *find_command(const char *name)
{
    for (const struct iqt_command *const *c = iqt_commands; *c != NULL; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

static void print_help(FILE *to)
{
    fprintf(to, "iqtile " IQT_VERSION ": matrix-vector products with IQ*_K weights\n\n"
                "usage: iqtile COMMAND [options]\n\ncommands:\n");
    for (const struct iqt_command *const *c = iqt_commands; *c != NULL; c++)
        if ((*c)->name[0] != '_')
            fprintf(to, "  %-10s %s\n", (*c)->name, (*c)->summary);
    fprintf(to, "\n  help COMMAND, COMMAND --help   options of a command\n"
                "  --version                      version of the program\n\n"
                "Exit codes: 0 done, 1 failed or defects found, 2 wrong usage.\n");
}

static int unknown_command(const char *name)
{
    fprintf(stderr, "iqtile: unknown command '%s'; the commands are", name);
    for (const struct iqt_command *const *c = iqt_commands; *c != NULL; c++)
        if ((*c)->name[0] != '_')
            fprintf(stderr, " %s", (*c)->name);
    fprintf(stderr, "\n");
    return IQT_EXIT_USAGE;
}

static int run_command(const struct iqt_command *cmd, int argc, char **argv)
{
    void *opts = calloc(1, cmd->opts_bytes + 1);
    char **args;
    int count;
    int code;

    if (opts == NULL)
        return iqt_cli_fail(iqt_fail(IQT_ERR_NO_MEMORY, "no memory for options"));
    code = iqt_options_parse(cmd, argc, argv, opts, &count, &args);
    if (code < 0)
        code = cmd->run(opts, count, args);
    free(opts);
    return code;
}

static int help_about(int argc, char **argv)
{
    const struct iqt_command *cmd;

    if (argc < 3) {
        print_help(stdout);
        return IQT_EXIT_OK;
    }
    cmd = find_command(argv[2]);
    if (cmd == NULL)
        return unknown_command(argv[2]);
    iqt_options_help(cmd);
    return IQT_EXIT_OK;
}

/* The command is the first word, or, when options stand in front of it, the first word that is a
 * command's name. Returns its place in argv, 0 when there is none. */
static int command_place(int argc, char **argv)
{
    if (argv[1][0] != '-')
        return 1;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (find_command(argv[i]) != NULL)
            return i;
    return 0;
}

static int dispatch(int argc, char **argv)
{
    const struct iqt_command *cmd;
    int place;

    if (argc < 2) {
        print_help(stderr);
        return IQT_EXIT_USAGE;
    }
    if (strcmp(argv[1], "help") == 0)
        return help_about(argc, argv);
    place = command_place(argc, argv);
    if (place == 0) {
        if (strcmp(argv[1], "--version") == 0) {
            printf("iqtile %s\n", iqt_version());
            return IQT_EXIT_OK;
        }
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
            print_help(stdout);
            return IQT_EXIT_OK;
        }
        return iqt_cli_usage("no command given before or after '%s'", argv[1]);
    }
    cmd = find_command(argv[place]);
    if (cmd == NULL)
        return unknown_command(argv[place]);
    /* Move the command to the front: its options follow in their order. */
    for (int i = place; i > 1; i--)
        argv[i] = argv[i - 1];
    argv[1] = (char *)cmd->name;
    return run_command(cmd, argc - 1, argv + 1);
}

/* A closed descriptor 0..2 would be given to the next file opened, and results would go into it.
 * Opened for reading, descriptor 1 makes every write fail, which is what it should do. */
static void hold_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDONLY) < 0)
            _exit(IQT_EXIT_FAILED);
}

/* Results that did not arrive are a failure, whatever the command thought. */
static int close_stdout(int code)
{
    const bool bad = ferror(stdout) != 0;

    errno = 0;
    if (fflush(stdout) == 0 && !bad)
        return code;
    fprintf(stderr, "iqtile: cannot write to standard output%s%s\n",
            errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
    return code == IQT_EXIT_OK ? IQT_EXIT_FAILED : code;
}

int main(int argc, char **argv)
{
    hold_standard_files();
    signal(SIGPIPE, SIG_IGN); /* a write to a closed pipe fails like any other */
    return close_stdout(dispatch(argc, argv));
}
