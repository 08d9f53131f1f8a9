#include "chat.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../base/file.h"
#include "lineedit.h"
#include "terminal.h"

typedef struct talk {
    generator *g;
    conversation *c;
    int max;
    bool stats;
    buf answer;
    term_out out;
} talk;

static void complain(const tawny_error *err) { fprintf(stderr, "tawny: %s\n", err->message); }

static void put(void *user, const char *text, size_t n)
{
    talk *t = user;
    buf_add(&t->answer, text, n);
    term_put(&t->out, text, n);
}

/* Answers the conversation as it stands; what failed leaves it as it was without its last message. */
static void answer(talk *t)
{
    tawny_error err;
    tok_vec prompt = {0};
    generate_stats stats;
    generate_end end = GENERATE_DONE;
    buf_clear(&t->answer);
    tawny_status st = conversation_prompt(t->c, &prompt, &err);
    if (st == TAWNY_OK) st = generate(t->g, &prompt, t->max, put, t, &stats, &end, &err);
    term_put_end(&t->out);
    tok_vec_free(&prompt);
    if (t->answer.size && t->answer.data[t->answer.size - 1] != '\n') putchar('\n');
    fflush(stdout);
    if (st == TAWNY_OK && t->answer.size)
        st = conversation_add(t->c, "assistant", t->answer.data, t->answer.size, &err);
    else
        conversation_drop(t->c);
    if (st != TAWNY_OK) {
        complain(&err);
        if (st == TAWNY_E_LIMIT) fputs("/clear starts again with an empty context\n", stderr);
    } else if (t->stats || end != GENERATE_DONE) {
        generate_report(t->g, &stats, end);
    }
}

static void ask(talk *t, const char *text, size_t n)
{
    tawny_error err;
    if (conversation_add(t->c, "user", text, n, &err))
        complain(&err);
    else
        answer(t);
}

/* ---- what begins with a slash ---- */
static void do_help(talk *t, const char *rest);

static void do_clear(talk *t, const char *rest)
{
    (void)rest;
    conversation_clear(t->c);
    fputs("(a new conversation)\n", stderr);
}

static void do_system(talk *t, const char *rest)
{
    tawny_error err;
    conversation_clear(t->c);
    if (conversation_system(t->c, *rest ? rest : NULL, &err)) complain(&err);
    else fprintf(stderr, "(a new conversation, %s)\n", *rest ? "with this system prompt" : "without a system prompt");
}

static void do_file(talk *t, const char *rest)
{
    tawny_error err;
    buf text = {0};
    if (file_read(rest, TOK_MAX_TEXT, &text, &err)) complain(&err);
    else ask(t, text.data ? text.data : "", text.size);
    buf_free(&text);
}

static void do_again(talk *t, const char *rest)
{
    (void)rest;
    if (conversation_count(t->c) < 2) {
        fputs("(there is no answer yet)\n", stderr);
        return;
    }
    conversation_drop(t->c);
    tawny_error err;
    if (generator_reseed(t->g, &err)) complain(&err);
    answer(t);
}

static void do_stats(talk *t, const char *rest)
{
    (void)rest;
    t->stats = !t->stats;
    fprintf(stderr, "(numbers after each answer: %s)\n", t->stats ? "yes" : "no");
}

static const struct {
    const char *name, *arg, *help;
    void (*run)(talk *t, const char *rest); /* NULL: ends the chat */
} commands[] = {
    {"/help", "", "this list", do_help},
    {"/clear", "", "begin a new conversation", do_clear},
    {"/again", "", "answer the last message once more, with another seed", do_again},
    {"/system", "TEXT", "begin a new conversation with this system prompt", do_system},
    {"/file", "PATH", "send a file as your message", do_file},
    {"/stats", "", "show tokens a second and GB/s after each answer, or not", do_stats},
    {"/quit", "", "end (Ctrl-D too)", NULL},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void do_help(talk *t, const char *rest)
{
    (void)t, (void)rest;
    for (int i = 0; i < COMMANDS; i++)
        fprintf(stderr, "  %-8s %-5s  %s\n", commands[i].name, commands[i].arg, commands[i].help);
    fputs("A line that ends in a backslash goes on; so does what begins with \"\"\", up to the next \"\"\".\n"
          "Ctrl-C stops an answer, Ctrl-R searches what you typed before.\n", stderr);
}

/* Whether to go on. */
static bool obey(talk *t, const char *line)
{
    size_t n = strcspn(line, " \t\n");
    const char *rest = line + n + strspn(line + n, " \t\n");
    for (int i = 0; i < COMMANDS; i++) {
        if (strlen(commands[i].name) != n || strncmp(line, commands[i].name, n) != 0) continue;
        if (!commands[i].run) return false;
        commands[i].run(t, rest);
        return true;
    }
    fprintf(stderr, "%.*s: no such command; /help lists them\n", (int)(n < 40 ? n : 40), line);
    return true;
}

int chat(generator *g, conversation *c, int max, bool verbose)
{
    talk t = {.g = g, .c = c, .max = max, .stats = verbose, .out = term_out_to(stdout)};
    lineedit *edit = lineedit_open();
    if (!edit) return cli_fail(1, "out of memory");
    fprintf(stderr, "tawny %s, %s, %d threads, %s. /help for help, Ctrl-D to end.\n", TAWNY_VERSION,
            tawny_model_arch(g->model), tawny_engine_n_threads(g->engine), tawny_engine_tier(g->engine));
    for (bool go_on = true; go_on;) {
        const char *text;
        line_end end = lineedit_read(edit, "> ", &text);
        if (end == LINE_EOF) break;
        if (end == LINE_INTERRUPT) {
            fputs("(Ctrl-D or /quit ends)\n", stderr);
            continue;
        }
        const char *start = text + strspn(text, " \t\n");
        if (*start == '/') go_on = obey(&t, start);
        else if (*start) ask(&t, text, strlen(text));
    }
    lineedit_close(edit);
    buf_free(&t.answer);
    return 0;
}
