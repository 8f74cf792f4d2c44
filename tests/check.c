/* The test harness: names, filters, seeds, counts. Knows nothing of what is tested. */
#include "tests/check.h"

#include <assert.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* A check that fails everywhere should not bury the others. */
enum { NAME_BYTES = 256, FAILURES_SHOWN = 8 };

static struct {
    const char *program, *filter;
    bool list, times;
    uint64_t seed, random;
    unsigned passed, failed, skipped;

    char name[NAME_BYTES]; /* the current check; "" between checks */
    unsigned failures;
    bool skip;
    double start; /* CPU seconds */
} state;

static void usage(const char *why, const char *arg)
{
    fprintf(stderr,
            "%s: %s '%s'\nusage: %s [--list] [--times] [--filter GLOB] [--seed N]\n",
            state.program, why, arg, state.program);
    exit(2);
}

static uint64_t parse_seed(const char *text)
{
    char *end;
    const uint64_t seed = strtoull(text, &end, 0);

    if (*text == '\0' || *end != '\0')
        usage("not a number:", text);
    return seed;
}

/* $IQT_SEED, or another one each time. */
static uint64_t first_seed(void)
{
    const char *given = getenv("IQT_SEED");

    return given != NULL ? parse_seed(given)
                         : (iqt_now_ns() ^ (uint64_t)getpid() << 20) & 0xffffffffu;
}

void check_init(int argc, char **argv)
{
    state.program = argv[0];
    state.seed = first_seed();
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--list") == 0)
            state.list = true;
        else if (strcmp(argv[i], "--times") == 0)
            state.times = true;
        else if (strcmp(argv[i], "--filter") == 0 && value != NULL)
            state.filter = argv[++i];
        else if (strcmp(argv[i], "--seed") == 0 && value != NULL)
            state.seed = parse_seed(argv[++i]);
        else
            usage("unknown or incomplete option", argv[i]);
    }
    if (!state.list)
        printf("seed %" PRIu64 "\n", state.seed);
}

/* Of this process and the compilers that it ran. */
static double cpu_seconds(void)
{
    static const int who[] = { RUSAGE_SELF, RUSAGE_CHILDREN };
    double sum = 0;

    for (size_t i = 0; i < IQT_COUNT(who); i++) {
        struct rusage u;

        if (getrusage(who[i], &u) == 0)
            sum += (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                   1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    }
    return sum;
}

bool check_begin(const char *fmt, ...)
{
    va_list args;

    assert(state.name[0] == '\0' && "check_end() is missing");
    va_start(args, fmt);
    vsnprintf(state.name, sizeof state.name, fmt, args);
    va_end(args);

    const bool wanted = state.filter == NULL || fnmatch(state.filter, state.name, 0) == 0;

    if (wanted && state.list)
        puts(state.name);
    if (!wanted || state.list) {
        state.name[0] = '\0';
        return false;
    }
    /* By name, so that a check alone sees the numbers that it saw among all. */
    state.random = iqt_hash(state.name, strlen(state.name), state.seed);
    state.failures = 0;
    state.skip = false;
    state.start = cpu_seconds();
    return true;
}

void check_fail(const char *fmt, ...)
{
    va_list args;

    assert(state.name[0] != '\0' && "check_fail() outside a check");
    if (state.failures++ >= FAILURES_SHOWN)
        return;
    fprintf(stderr, "FAIL %s: ", state.name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, " | repeat: %s --filter '%s' --seed %" PRIu64 "\n", state.program,
            state.name, state.seed);
}

/* Whether the comma-separated list has word. */
static bool list_has(const char *list, const char *word)
{
    const size_t length = strlen(word);

    while (list != NULL && *list != '\0') {
        const size_t part = strcspn(list, ",");

        if (part == length && memcmp(list, word, length) == 0)
            return true;
        list += part + (list[part] == ',');
    }
    return false;
}

void check_skip(const char *need, const char *fmt, ...)
{
    char why[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    if (list_has(getenv("IQT_REQUIRE"), need)) {
        check_fail("IQT_REQUIRE has '%s', but: %s", need, why);
        return;
    }
    fprintf(stderr, "SKIP %s: %s\n", state.name, why);
    state.skip = true;
}

void check_end(void)
{
    assert(state.name[0] != '\0' && "check_end() without check_begin()");
    if (state.failures > FAILURES_SHOWN)
        fprintf(stderr, "FAIL %s: %u more failures\n", state.name,
                state.failures - FAILURES_SHOWN);
    if (state.failures > 0)
        state.failed++;
    else if (state.skip)
        state.skipped++;
    else
        state.passed++;
    if (state.times)
        printf("%8.2f s %s\n", cpu_seconds() - state.start, state.name);
    state.name[0] = '\0';
}

int check_done(void)
{
    if (state.list)
        return 0;
    if (state.passed + state.failed + state.skipped == 0) {
        fprintf(stderr, "%s: no check matches '%s'\n", state.program,
                state.filter == NULL ? "*" : state.filter);
        return 1;
    }
    printf("%u passed, %u failed, %u skipped\n", state.passed, state.failed,
           state.skipped);
    if (state.failed > 0)
        return 1;
    return state.passed == 0 ? 77 : 0;
}

uint64_t check_seed(void)
{
    return state.seed;
}

bool check_draws(uint64_t number, uint32_t one_in)
{
    return getenv("IQT_ALL") != NULL || (state.seed + number) % one_in == 0;
}

/* splitmix64: any seed is good, and the upper half has no weak bits. */
uint32_t check_rand(void)
{
    uint64_t z = state.random += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

float check_gauss(void)
{
    const double u = (check_rand() + 1.0) / 4294967296.0;
    const double v = check_rand() / 4294967296.0;

    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

void check_rand_bytes(void *out, size_t bytes)
{
    uint8_t *p = out;

    for (size_t i = 0; i < bytes; i++)
        p[i] = (uint8_t)check_rand();
}

const char *check_data(void)
{
    const char *folder = getenv("IQT_TEST_DATA");

    return folder == NULL || folder[0] == '\0' ? IQT_TEST_DATA_DIR : folder;
}

#if defined(__SANITIZE_ADDRESS__)
/* A software Vulkan driver leaks some bytes with every load. LeakSanitizer can name the library,
 * and so leave it out, only while it is loaded: nothing is unloaded in a test. */
IQT_API int dlclose(void *library);
int dlclose(void *library)
{
    (void)library;
    return 0;
}

IQT_API const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libvulkan_lvp\nleak:libLLVM\n";
}
#endif
