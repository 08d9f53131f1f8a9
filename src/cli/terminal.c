#include "terminal.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

bool term_is_tty(FILE *f) { return isatty(fileno(f)) == 1; }

int term_width(FILE *f)
{
    struct winsize w;
    if (ioctl(fileno(f), TIOCGWINSZ, &w) == 0 && w.ws_col > 0) return w.ws_col;
    return 80;
}

double term_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void term_bar_start(term_bar *b, const char *label)
{
    *b = (term_bar){.label = label, .since = term_seconds(), .on = term_is_tty(stderr)};
}

void term_bar_set(term_bar *b, double done, const char *note)
{
    double now = term_seconds();
    if (!b->on || now - b->since < 0.25 || now - b->drawn < 0.1) return;
    b->drawn = now;
    b->shown = true;
    done = fmin(fmax(done, 0.0), 1.0);
    char left[64], right[64];
    int used = snprintf(left, sizeof left, "%.40s", b->label);
    used += snprintf(right, sizeof right, " %3.0f%% %.40s", 100.0 * done, note ? note : "");
    int cells = term_width(stderr) - used - 4;
    fprintf(stderr, "\r%s ", left);
    if (cells >= 8) {
        if (cells > 40) cells = 40;
        fputc('[', stderr);
        for (int i = 0; i < cells; i++) fputc(i < (int)(done * cells) ? '=' : ' ', stderr);
        fputc(']', stderr);
    }
    fprintf(stderr, "%s\033[K", right);
    fflush(stderr);
}

void term_bar_end(term_bar *b)
{
    if (b->shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    b->on = b->shown = false;
}

static volatile sig_atomic_t interrupted;

/* A Ctrl-C that comes between two reads of the prompt would go unseen until the next key: ticks end the read. */
static void nudge(long every_us)
{
    struct itimerval t = {{0, every_us}, {0, every_us}};
    setitimer(ITIMER_REAL, &t, NULL);
}

static void on_interrupt(int number)
{
    if (interrupted) {
        signal(number, SIG_DFL);
        raise(number);
    }
    interrupted = 1;
    nudge(20000);
}

static void on_alarm(int number) { (void)number; }

void term_catch_interrupt(void)
{
    struct sigaction ticks = {.sa_handler = on_alarm};
    sigemptyset(&ticks.sa_mask);
    sigaction(SIGALRM, &ticks, NULL);
    struct sigaction a = {.sa_handler = on_interrupt};
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL); /* without SA_RESTART: a read at the prompt is to end */
}

bool term_interrupted(void) { return interrupted != 0; }
void term_interrupt_clear(void)
{
    if (interrupted) nudge(0);
    interrupted = 0;
}

term_out term_out_to(FILE *f) { return (term_out){.f = f, .tty = term_is_tty(f)}; }

void term_put(term_out *o, const char *text, size_t n)
{
    if (!o->tty) {
        fwrite(text, 1, n, o->f);
        fflush(o->f); /* whoever reads a pipe wants the words as they come */
        return;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (o->c2) {
            o->c2 = false;
            if (c >= 0x80 && c < 0xa0) { /* U+0080..U+009F: the controls of ISO 6429 in one character */
                fprintf(o->f, "<%02x>", c);
                continue;
            }
            fputc(0xc2, o->f);
        }
        if (c == 0xc2)
            o->c2 = true;
        else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            fprintf(o->f, "^%c", c ^ 0x40);
        else
            fputc(c, o->f);
    }
    fflush(o->f);
}

void term_put_end(term_out *o)
{
    if (o->c2) fputc(0xc2, o->f);
    o->c2 = false;
    fflush(o->f);
}
