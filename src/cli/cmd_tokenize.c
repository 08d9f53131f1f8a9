/* tawny tokenize: text to token ids and back, one text or one JSON object a line. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/file.h"
#include "../text/tokenizer.h"
#include "cli.h"

typedef struct options {
    const char *model, *text, *file;
    bool jsonl, decode, no_bos, special;
} options;

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bool base64_decode(const char *p, size_t n, buf *out)
{
    uint32_t bits = 0;
    unsigned count = 0;
    while (n && p[n - 1] == '=') n--;
    for (size_t i = 0; i < n; i++) {
        const char *d = p[i] ? strchr(digits, p[i]) : NULL;
        if (!d) return false;
        bits = bits << 6 | (uint32_t)(d - digits);
        if ((count += 6) < 8) continue;
        count -= 8;
        buf_char(out, (char)(bits >> count));
    }
    return count < 6 && buf_ok(out);
}

static void base64_encode(const char *p, size_t n, buf *out)
{
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++) bits = bits << 8 | (i + k < n ? (unsigned char)p[i + k] : 0u);
        for (size_t k = 0; k < 4; k++) buf_char(out, i + k > n ? '=' : digits[bits >> (18 - 6 * k) & 63]);
    }
}

static void print_ids(const tok_vec *v)
{
    putchar('[');
    for (size_t i = 0; i < v->n; i++) printf(i ? ", %d" : "%d", v->v[i]);
    putchar(']');
}

static unsigned encode_flags(const options *o)
{
    return (o->no_bos ? 0u : TOK_ADD_SPECIAL) | (o->special ? TOK_PARSE_SPECIAL : 0u);
}

static int encode_one(const tokenizer *t, const options *o)
{
    buf b = {0};
    tok_vec v = {0};
    tawny_error err;
    tawny_status st = TAWNY_OK;
    if (!o->text) st = file_read(o->file ? o->file : "-", TOK_MAX_TEXT, &b, &err);
    const char *text = o->text ? o->text : b.data ? b.data : "";
    if (st == TAWNY_OK) st = tok_encode(t, text, o->text ? strlen(o->text) : b.size, encode_flags(o), &v, &err);
    if (st == TAWNY_OK) {
        print_ids(&v);
        putchar('\n');
    }
    tok_vec_free(&v);
    buf_free(&b);
    return st == TAWNY_OK ? cli_finish(0) : cli_fail_err(&err);
}

/* {"text": ...} or {"text_b64": ...}: {"ids": [...]}. */
static tawny_status encode_line(const tokenizer *t, const options *o, const json_t *line, tawny_error *err)
{
    buf b = {0};
    tok_vec v = {0};
    const json_t *text = json_object_get(line, "text"), *b64 = json_object_get(line, "text_b64");
    if (json_is_string(text)) buf_add(&b, json_string_value(text), json_string_length(text));
    else if (!json_is_string(b64)) return err_set(err, TAWNY_E_ARG, "neither \"text\" nor \"text_b64\" is a string");
    else if (!base64_decode(json_string_value(b64), json_string_length(b64), &b)) {
        buf_free(&b);
        return err_set(err, TAWNY_E_ARG, "\"text_b64\" is not base64");
    }
    tawny_status st =
        buf_ok(&b) ? tok_encode(t, b.data ? b.data : "", b.size, encode_flags(o), &v, err) : err_nomem(err);
    if (st == TAWNY_OK) {
        fputs("{\"ids\": ", stdout);
        print_ids(&v);
        puts("}");
    }
    tok_vec_free(&v);
    buf_free(&b);
    return st;
}

/* {"ids": [...]}: {"text_b64": ...}. */
static tawny_status decode_line(const tokenizer *t, const options *o, const json_t *line, tawny_error *err)
{
    const json_t *ids = json_object_get(line, "ids");
    tok_vec v = {0};
    buf b = {0}, b64 = {0};
    tawny_status st = json_is_array(ids) ? TAWNY_OK : err_set(err, TAWNY_E_ARG, "\"ids\" is no array");
    for (size_t i = 0; st == TAWNY_OK && i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        json_int_t n = json_integer_value(id);
        if (!json_is_integer(id) || n < 0 || n > INT32_MAX)
            st = err_set(err, TAWNY_E_ARG, "ids[%zu] is no token id", i);
        else if (!tok_vec_add(&v, (tawny_token)n)) st = err_nomem(err);
    }
    if (st == TAWNY_OK) st = tok_decode(t, v.v, v.n, o->special ? TOK_SPECIAL : 0, &b, err);
    if (st == TAWNY_OK) {
        base64_encode(b.data, b.size, &b64);
        if (buf_ok(&b64)) printf("{\"text_b64\": \"%s\"}\n", b64.data ? b64.data : "");
        else st = err_nomem(err);
    }
    tok_vec_free(&v);
    buf_free(&b);
    buf_free(&b64);
    return st;
}

static int each_line(const tokenizer *t, const options *o)
{
    bool std = !o->file || strcmp(o->file, "-") == 0;
    FILE *f = std ? stdin : fopen(o->file, "rb");
    if (!f) return cli_fail(1, "%s: %s", o->file, strerror(errno));
    char *line = NULL;
    size_t cap = 0;
    int code = 0;
    tawny_error err;
    ssize_t n;
    for (size_t at = 1; code == 0 && (n = getline(&line, &cap, f)) >= 0; at++) {
        json_error_t why;
        if (strspn(line, " \t\r\n") == (size_t)n) continue;
        json_t *j = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, &why);
        tawny_status st = !json_is_object(j)
                              ? err_set(&err, TAWNY_E_ARG, "no JSON object%s%s", j ? "" : ": ", j ? "" : why.text)
                          : o->decode ? decode_line(t, o, j, &err)
                                      : encode_line(t, o, j, &err);
        json_decref(j);
        if (st != TAWNY_OK) code = cli_fail(1, "%s: line %zu: %s", std ? "stdin" : o->file, at, err.message);
    }
    if (code == 0 && ferror(f)) code = cli_fail(1, "%s: %s", std ? "stdin" : o->file, strerror(errno));
    free(line);
    if (!std) fclose(f);
    return cli_finish(code);
}

int cmd_tokenize(int argc, char **argv)
{
    options o = {0};
    const cli_opt opts[] = {
        {"-m --model", CLI_STR, &o.model, "FILE", "GGUF file; a vocabulary alone will do", 0, 0},
        {"-p --prompt", CLI_STR, &o.text, "TEXT", "the text", 0, 0},
        {"-f --file", CLI_STR, &o.file, "FILE", "a file with the text (default: standard input)", 0, 0},
        {"--jsonl", CLI_FLAG, &o.jsonl, NULL,
         "each line is {\"text\": ...} or {\"text_b64\": ...}; writes {\"ids\": [...]}", 0, 0},
        {"--decode", CLI_FLAG, &o.decode, NULL, "each line is {\"ids\": [...]}; writes {\"text_b64\": ...}", 0, 0},
        {"--no-bos", CLI_FLAG, &o.no_bos, NULL, "add nothing before and after the text", 0, 0},
        {"--special", CLI_FLAG, &o.special, NULL, "control tokens in the text are parsed; with --decode: written out",
         0, 0},
        {0},
    };
    int code = cli_parse("tokenize", argc, argv, opts, NULL);
    if (code >= 0) return code;
    if (!o.model) return cli_fail(2, "tokenize: -m is needed");
    if (o.text && (o.file || o.jsonl || o.decode)) return cli_fail(2, "tokenize: -p stands alone");
    gguf *g = NULL;
    tokenizer *t = NULL;
    tawny_error err;
    tawny_status st = gguf_open(o.model, GGUF_HEADER_ONLY, &g, &err);
    if (st == TAWNY_OK) st = tok_open(g, &t, &err);
    gguf_close(g);
    code = st != TAWNY_OK ? cli_fail_err(&err) : o.jsonl || o.decode ? each_line(t, &o) : encode_one(t, &o);
    tok_close(t);
    return code;
}
