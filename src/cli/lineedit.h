/* Reading what someone types: with line editing and history (libedit) on a terminal, plain otherwise. */
#ifndef CLI_LINEEDIT_H
#define CLI_LINEEDIT_H

#include <stdbool.h>

typedef struct lineedit lineedit;

typedef enum line_end { LINE_OK, LINE_EOF, LINE_INTERRUPT } line_end;

/* History is kept in ${XDG_STATE_HOME:-~/.local/state}/tawny/history, readable by its owner alone, where
 * that can be written, and in memory otherwise. NULL: out of memory. */
lineedit *lineedit_open(void);
void lineedit_close(lineedit *e);

/* One message: a line; longer where a line ends in a backslash, or where it begins with """ (then all lines
 * up to the next """). *text stays valid until the next call. LINE_INTERRUPT: Ctrl-C gave the line up. */
line_end lineedit_read(lineedit *e, const char *prompt, const char **text);

#endif
