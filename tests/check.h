/* A small test harness in the manner of checkasm: named checks, a printed seed, filters, guards.
 *
 *   TEST --list            names
 *   TEST --filter GLOB     only names that match (fnmatch)
 *   TEST --times           what each check takes: seconds of CPU, compilers included
 *   TEST --seed N          the printed seed, to see a failure again; else $IQT_SEED, or a new one
 *
 * Every failure line ends with the command that repeats it. Exit 0 all passed, 1 failures, 77
 * everything skipped. */
#ifndef IQT_TESTS_CHECK_H
#define IQT_TESTS_CHECK_H

#include "base/base.h"

void check_init(int argc, char **argv);
/* Starts a named check; false when it is filtered out or only listed. Re-seeds check_rand(). */
bool check_begin(const char *fmt, ...) IQT_PRINTF(1, 2);
/* Records a failure of the current check; the check goes on. */
void check_fail(const char *fmt, ...) IQT_PRINTF(1, 2);
#define check_true(cond, ...)        \
    do {                             \
        if (!(cond))                 \
            check_fail(__VA_ARGS__); \
    } while (0)
/* The current check cannot run here. Fails instead when IQT_REQUIRE (comma-separated) has need. */
void check_skip(const char *need, const char *fmt, ...) IQT_PRINTF(2, 3);
void check_end(void);
int check_done(void); /* exit code; prints "N passed, M failed, K skipped" */

uint64_t check_seed(void);
/* Whether case `number` of a long list is one of those, one in so many, that the seed draws. IQT_ALL=1
 * (scripts/test_all.sh): all are. */
bool check_draws(uint64_t number, uint32_t one_in);
uint32_t check_rand(void);
float check_gauss(void);
void check_rand_bytes(void *out, size_t bytes);

/* Folder of test data: $IQT_TEST_DATA, else the source's tests folder given at compile time. */
const char *check_data(void);

#endif
