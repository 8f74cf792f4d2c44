/* The status line on stderr, interrupts, and JSON strings on stdout. */
#include "tools/cli.h"

#include <signal.h>
#include <string.h>
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
        if (terminal)
            fprintf(stderr, "\r\033[K");
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

/* Bytes of the UTF-8 sequence at s, 0 when it is none (over-long forms, surrogates and numbers
 * past U+10FFFF included). */
static size_t utf8_length(const unsigned char *s, size_t bytes)
{
    const size_t length = s[0] < 0x80   ? 1
                          : s[0] < 0xc2 ? 0
                          : s[0] < 0xe0 ? 2
                          : s[0] < 0xf0 ? 3
                          : s[0] < 0xf5 ? 4
                                        : 0;

    if (length == 0 || length > bytes)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return length;
}

void iqt_cli_json(const char *text, size_t bytes)
{
    const unsigned char *s = (const unsigned char *)text;

    putchar('"');
    for (size_t i = 0; i < bytes;) {
        const size_t length = utf8_length(s + i, bytes - i);

        if (length == 0)
            printf("\\ufffd");
        else if (s[i] == '"' || s[i] == '\\')
            printf("\\%c", s[i]);
        else if (s[i] < 0x20 || s[i] == 0x7f)
            printf("\\u%04x", s[i]);
        else
            fwrite(s + i, 1, length, stdout);
        i += length == 0 ? 1 : length;
    }
    putchar('"');
}
