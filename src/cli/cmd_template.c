/* tawny template: a chat template rendered over a context, to stdout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/file.h"
#include "../gguf/gguf.h"
#include "../text/jinja.h"
#include "cli.h"

enum { MAX_TEMPLATE = 4 << 20, MAX_CONTEXT = 1 << 30 };

typedef struct template_opts {
    const char *model, *file, *context, *date;
    bool segments;
} template_opts;

/* The template's source, from a file or from a model's metadata. */
static tawny_status read_source(const template_opts *o, buf *out, tawny_error *err)
{
    if (o->file) return file_read(o->file, MAX_TEMPLATE, out, err);
    gguf *g = NULL;
    gguf_str s = {0};
    tawny_status st = gguf_open(o->model, GGUF_HEADER_ONLY, &g, err);
    if (st == TAWNY_OK) st = gguf_get_str(g, "tokenizer.chat_template", &s, err);
    if (st == TAWNY_OK && s.n && !buf_add(out, s.p, s.n)) st = err_nomem(err);
    gguf_close(g);
    return st;
}

static json_t *read_context(const char *path, tawny_error *err)
{
    buf text = {0};
    json_error_t e;
    if (file_read(path, MAX_CONTEXT, &text, err) != TAWNY_OK) return NULL;
    json_t *j = json_loadb(text.data ? text.data : "", text.size, JSON_ALLOW_NUL, &e);
    if (!j) err_set(err, TAWNY_E_FORMAT, "%s: line %d: %s", path, e.line, e.text);
    buf_free(&text);
    return j;
}

/* --date fixes the clock at noon of that day. */
static bool parse_date(const char *text, struct tm *out)
{
    int y, m, d;
    char end;
    if (sscanf(text, "%4d-%2d-%2d%c", &y, &m, &d, &end) != 3 || m < 1 || m > 12 || d < 1 || d > 31) return false;
    *out = (struct tm){.tm_year = y - 1900, .tm_mon = m - 1, .tm_mday = d, .tm_hour = 12};
    return timegm(out) != (time_t)-1 && out->tm_mday == d; /* fills in the day of the week */
}

static void print_segments(const jinja_output *out)
{
    for (size_t i = 0; i < out->n_segments; i++) {
        const jinja_segment *s = &out->segments[i];
        json_t *j = json_pack("{s:b,s:o}", "trusted", s->trusted, "text",
            json_stringn_nocheck(out->text + s->start, s->n));
        if (j) json_dumpf(j, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(j);
    }
}

static int run(const template_opts *o, const struct tm *now)
{
    static const char *const trusted[] = {"bos_token", "eos_token", "pad_token", "unk_token", NULL};
    const jinja_options opt = {.now = o->date ? now : NULL, .trusted = trusted};
    buf source = {0};
    jinja *t = NULL;
    json_t *context = NULL;
    jinja_output out = {0};
    tawny_error err = {0};
    int code = 1;
    if (read_source(o, &source, &err) != TAWNY_OK) goto done;
    if (!(context = read_context(o->context, &err))) goto done;
    if (jinja_parse(source.data ? source.data : "", source.size, &t, &err) != TAWNY_OK) goto done;
    if (jinja_render(t, context, &opt, &out, &err) != TAWNY_OK) goto done;
    if (o->segments)
        print_segments(&out);
    else
        fwrite(out.text, 1, out.n, stdout);
    code = 0;
done:
    if (code) cli_fail(1, "template: %s", err.message);
    jinja_output_free(&out);
    jinja_free(t);
    json_decref(context);
    buf_free(&source);
    return cli_finish(code);
}

int cmd_template(int argc, char **argv)
{
    template_opts o = {0};
    struct tm now = {0};
    const cli_opt opts[] = {
        {"-m --model", CLI_STR, &o.model, "FILE", "the model whose template is rendered", 0, 0},
        {"--file", CLI_STR, &o.file, "FILE", "a template by itself", 0, 0},
        {"--context", CLI_STR, &o.context, "FILE",
            "JSON object: messages, tools, add_generation_prompt, bos_token, ... (- is stdin)", 0, 0},
        {"--date", CLI_STR, &o.date, "YYYY-MM-DD", "fixes the clock of the template", 0, 0},
        {"--segments", CLI_FLAG, &o.segments, NULL, "print the text in pieces, trusted and not, as JSON lines", 0, 0},
        {0},
    };
    int code = cli_parse("template", argc, argv, opts, NULL);
    if (code >= 0) return code;
    if (!o.model == !o.file) return cli_fail(2, "template: one of -m and --file is needed");
    if (!o.context) return cli_fail(2, "template: --context is needed");
    if (o.date && !parse_date(o.date, &now)) return cli_fail(2, "template: --date: not a date: '%.40s'", o.date);
    return run(&o, &now);
}
