#include "lineedit.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/buf.h"
#include "terminal.h"

#ifdef HAVE_LIBEDIT
#include <histedit.h>
#endif

struct lineedit {
    buf message;
    const char *prompt;
    bool editing;
    char *line; /* of getline */
    size_t line_size;
#ifdef HAVE_LIBEDIT
    EditLine *el;
    History *history;
    HistEvent event;
    char path[PATH_MAX]; /* of the history file; empty: none */
#endif
};

#ifdef HAVE_LIBEDIT

static char *show_prompt(EditLine *el)
{
    static char nothing[] = "";
    lineedit *e = NULL;
    if (el_get(el, EL_CLIENTDATA, &e) != 0 || !e) return nothing;
    union { /* libedit wants a char * that it does not write to */
        const char *in;
        char *out;
    } prompt = {.in = e->prompt};
    return prompt.out;
}

/* The history file's path, its folders made; an empty one where that fails. */
static void find_history(char path[PATH_MAX])
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = state && state[0] == '/' ? snprintf(path, PATH_MAX, "%s/tawny/history", state)
            : home && home[0] == '/' ? snprintf(path, PATH_MAX, "%s/.local/state/tawny/history", home)
                                     : -1;
    if (n < 0 || n >= PATH_MAX) {
        path[0] = 0;
        return;
    }
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int failed = mkdir(path, 0700) != 0 && errno != EEXIST;
        *slash = '/';
        if (failed) {
            path[0] = 0;
            return;
        }
    }
}

static bool open_editor(lineedit *e)
{
    if (!term_is_tty(stdin) || !term_is_tty(stderr)) return false;
    setlocale(LC_CTYPE, "");
    /* The prompt and what is typed go to stderr, so that stdout holds the answers alone. */
    if (!(e->el = el_init("tawny", stdin, stderr, stderr))) return false;
    el_set(e->el, EL_CLIENTDATA, e);
    el_set(e->el, EL_PROMPT, show_prompt);
    el_set(e->el, EL_EDITOR, "emacs");
    el_set(e->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    if ((e->history = history_init())) {
        history(e->history, &e->event, H_SETSIZE, 1000);
        history(e->history, &e->event, H_SETUNIQUE, 1);
        find_history(e->path);
        if (e->path[0]) history(e->history, &e->event, H_LOAD, e->path);
        el_set(e->el, EL_HIST, history, e->history);
    }
    el_source(e->el, NULL); /* ~/.editrc */
    return true;
}

static const char *edit_line(lineedit *e, size_t *n)
{
    int count = 0;
    errno = 0;
    const char *line = el_gets(e->el, &count);
    if (!line || count <= 0) return NULL;
    *n = (size_t)count;
    return line;
}

static void remember(lineedit *e, const char *text)
{
    if (!e->history || !text[strspn(text, " \t\n")]) return;
    history(e->history, &e->event, H_ENTER, text);
    if (!e->path[0]) return;
    mode_t old = umask(077);
    history(e->history, &e->event, H_SAVE, e->path);
    umask(old);
}

static void close_editor(lineedit *e)
{
    if (e->el) el_end(e->el);
    if (e->history) history_end(e->history);
}

#else

static bool open_editor(lineedit *e) { return e == NULL; }
static const char *edit_line(lineedit *e, size_t *n) { return *n = 0, e->line; }
static void remember(lineedit *e, const char *text) { (void)e, (void)text; }
static void close_editor(lineedit *e) { (void)e; }

#endif

static const char *plain_line(lineedit *e, size_t *n)
{
    if (term_is_tty(stdin)) {
        fputs(e->prompt, stderr);
        fflush(stderr);
    }
    errno = 0;
    ssize_t got = getline(&e->line, &e->line_size, stdin);
    if (got < 0) {
        clearerr(stdin);
        return NULL;
    }
    *n = (size_t)got;
    return e->line;
}

lineedit *lineedit_open(void)
{
    lineedit *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    e->message.max = 64 << 20;
    e->editing = open_editor(e);
    return e;
}

void lineedit_close(lineedit *e)
{
    if (!e) return;
    close_editor(e);
    buf_free(&e->message);
    free(e->line);
    free(e);
}

static bool ends_with(const buf *b, const char *end)
{
    size_t n = strlen(end);
    return b->size >= n && memcmp(b->data + b->size - n, end, n) == 0;
}

static void drop(buf *b, size_t n)
{
    b->size -= n;
    b->data[b->size] = 0;
}

/* Appends a line without its newline; whether the message goes on with the next one. */
static bool add_line(buf *m, const char *line, size_t n, bool first, bool *quoted)
{
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
    if (first && n >= 3 && memcmp(line, "\"\"\"", 3) == 0) {
        *quoted = true;
        line += 3;
        n -= 3;
    }
    if (!buf_add(m, line, n)) return false;
    if (*quoted && ends_with(m, "\"\"\"")) return drop(m, 3), false;
    if (!*quoted && !ends_with(m, "\\")) return false;
    if (!*quoted) drop(m, 1);
    return buf_char(m, '\n');
}

line_end lineedit_read(lineedit *e, const char *prompt, const char **text)
{
    bool quoted = false, first = true, more = true;
    buf_clear(&e->message);
    buf_str(&e->message, "");
    e->prompt = prompt;
    term_interrupt_clear();
    for (; more; first = false) {
        size_t n = 0;
        const char *line = e->editing ? edit_line(e, &n) : plain_line(e, &n);
        if (!line) {
            bool stopped = term_interrupted();
            if (term_is_tty(stdin)) fputc('\n', stderr);
            term_interrupt_clear();
            if (stopped) return LINE_INTERRUPT;
            if (first) return LINE_EOF;
            break;
        }
        more = add_line(&e->message, line, n, first, &quoted);
        e->prompt = "... ";
    }
    if (!buf_ok(&e->message)) return LINE_EOF;
    *text = e->message.data;
    remember(e, *text);
    return LINE_OK;
}
