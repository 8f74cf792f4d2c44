/* The status line on stderr, interrupts. */
#include "tools/cli.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    /* The second one ends the program: a driver call may never come back. */
    interrupted = 1;
    signal(number, SIG_DFL);
}

void iqt_cli_catch_interrupts(void)
{
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
}

bool iqt_cli_interrupted(void)
{
    return interrupted != 0;
}

static void print_duration(uint64_t seconds)
{
    if (seconds >= 60)
        fprintf(stderr, "%um %02us", (unsigned)(seconds / 60), (unsigned)(seconds % 60));
    else
        fprintf(stderr, "%us", (unsigned)seconds);
}

void iqt_cli_progress_hide(void)
{
    if (isatty(STDERR_FILENO) != 0)
        fprintf(stderr, "\r\033[K");
}

void iqt_cli_progress(const char *what, uint64_t done, uint64_t total)
{
    static uint64_t start_ns, shown_ns, last_done;
    static bool open;
    const bool terminal = isatty(STDERR_FILENO) != 0;
    const uint64_t now = iqt_now_ns(), every = terminal ? 100000000u : 5000000000u;

    if (!open || done < last_done) {
        start_ns = now;
        shown_ns = terminal ? 0 : now; /* short work stays silent in a log */
        open = true;
    }
    last_done = done;
    if (done >= total) {
        open = false;
        iqt_cli_progress_hide();
        return;
    }
    if (now - shown_ns < every)
        return;
    shown_ns = now;
    fprintf(stderr, "%s%s: %u%%", terminal ? "\r\033[K" : "", what,
            (unsigned)((double)done * 100 / (double)total));
    if (done > 0) {
        fprintf(stderr, ", ");
        print_duration((uint64_t)((double)(now - start_ns) / 1e9 *
                                  (double)(total - done) / (double)done));
        fprintf(stderr, " left");
    }
    if (!terminal)
        fprintf(stderr, "\n");
    fflush(stderr);
}
