/* What the commands need of a terminal: whether there is one, its width, a progress bar, Ctrl-C, and
 * text of a model shown so that it cannot drive the terminal. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

bool term_is_tty(FILE *f);
int term_width(FILE *f); /* columns; 80 where unknown */

/* Seconds of a clock that only goes forward. */
double term_seconds(void);

/* A bar on stderr, only where that is a terminal; drawn at most ten times a second, and only for what
 * takes longer than a quarter of a second. */
typedef struct term_bar {
    const char *label;
    double since, drawn;
    bool on, shown;
} term_bar;
void term_bar_start(term_bar *b, const char *label);
void term_bar_set(term_bar *b, double done, const char *note); /* done from 0 to 1; note may be NULL */
void term_bar_end(term_bar *b);                                /* erases it */

/* From now on Ctrl-C sets a flag, and ends the process only where the flag is already set. */
void term_catch_interrupt(void);
bool term_interrupted(void);
void term_interrupt_clear(void);

/* Writes a model's text. To a terminal, control characters other than newline and tab are shown as ^X or
 * <xx> and not obeyed; bytes of one character may come in several calls. To anything else, as it is. */
typedef struct term_out {
    FILE *f;
    bool tty;
    bool c2; /* a lead byte that may begin a C1 control is held back */
} term_out;
term_out term_out_to(FILE *f);
void term_put(term_out *o, const char *text, size_t n);
void term_put_end(term_out *o);

#endif
