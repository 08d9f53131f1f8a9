#include "schema.h"

#include <stdlib.h>
#include <string.h>

#include "schema_int.h"

/* What every grammar has. $ is the prefix. `char` is a character of a string in any writing of JSON, but for halves of
 * surrogate pairs; `escape` the writings of the characters that must be escaped. */
static const char rules[] =
    "$-value ::= $-object | $-array | $-string | $-digits | \"true\" | \"false\" | \"null\"\n"
    "$-object ::= \"{\" $-space ($-pair (\",\" $-space $-pair)*)? \"}\"\n"
    "$-pair ::= $-string $-space \":\" $-space $-value $-space\n"
    "$-array ::= \"[\" $-space ($-value $-space (\",\" $-space $-value $-space)*)? \"]\"\n"
    "$-string ::= \"\\\"\" $-char* \"\\\"\"\n"
    "$-char ::= [^\"\\\\\\x00-\\x1f] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" $-unit)\n"
    "$-unit ::= ([0-9a-cA-CefEF] $-x | [dD] [0-7]) $-x $-x | [dD] [89abAB] $-x $-x \"\\\\u\" [dD] [c-fC-F] $-x $-x\n"
    "$-x ::= [0-9a-fA-F]\n"
    "$-escape ::= \"\\\\\" ([\"\\\\bfnrt] | \"u00\" ([01] $-x | \"7\" [fF]))\n"
    "$-digits ::= \"-\"? (\"0\" | [1-9] [0-9]*) (\".\" [0-9]+)? ([eE] [-+]? [0-9]+)?\n"
    "$-integer ::= \"-\"? (\"0\" | [1-9] [0-9]*)\n"
    "$-number ::= \"-\"? ((\"0\" | [1-9] [0-9]*) (\".\" [0-9]{1,17})? | [1-9] (\".\" [0-9]{1,17})? [eE] "
    "(\"+\"? $-power | \"-\" $-power))\n"
    "$-power ::= [0-9] [0-9]? | [12] [0-9] [0-9] | \"30\" [0-7]\n"
    "$-space ::= [ \\t\\n\\r]{0,24}\n"
    "$-ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n"
    "$-never ::= [^\\x00-\\U0010ffff]\n";

static void put_rules(buf *out, const char *prefix)
{
    for (const char *p = rules; *p; p++) {
        if (*p == '$') buf_str(out, prefix);
        else buf_char(out, *p);
    }
}

static void compile(compiler *c)
{
    c->made = json_array();
    c->keys = json_array();
    if (!c->made || !c->keys) c->st = err_nomem(c->err);
    if (!c->st) schema_index(c);
    if (!c->st) {
        sref r = {.s = c->top};
        c->root = schema_set(c, &r, 1);
        const conj *k = schema_cases(c, c->root);
        if (k && !k->n_case) schema_refuse(c, TAWNY_E_FORMAT, c->top, NULL, "nothing is allowed here");
    }
    if (!c->st) emit_all(c);
}

static void free_compiler(compiler *c)
{
    for (size_t i = 0; i < c->n_automaton; i++) aut_free(c->automaton[i].a);
    for (size_t i = 0; i < c->n_regex; i++) aut_free(c->regex[i].a);
    free(c->automaton);
    free(c->regex);
    free(c->todo);
    schema_free_sets(c);
    schema_free_index(c);
    json_decref(c->made);
    json_decref(c->keys);
    json_decref(c->top);
}

tawny_status schema_rules(const char *schema, size_t n, const char *prefix, unsigned flags, buf *out, tawny_error *err)
{
    compiler c = {.prefix = prefix, .closed = flags & SCHEMA_CLOSED, .out = out, .err = err};
    if (strlen(prefix) > SCHEMA_MAX_PREFIX)
        return err_set(err, TAWNY_E_LIMIT, "schema: a prefix longer than %d bytes", SCHEMA_MAX_PREFIX);
    c.st = schema_load(schema, n, &c.top, err);
    if (c.st) return c.st;
    bool anything = json_is_true(c.top) || (json_is_object(c.top) && !json_object_size(c.top));
    if (anything) buf_printf(out, "%s ::= %s-space %s-value %s-space\n", prefix, prefix, prefix, prefix);
    else compile(&c);
    put_rules(out, prefix);
    if (!c.st && !buf_ok(out)) c.st = err_set(err, TAWNY_E_LIMIT, "schema: too large, or out of memory");
    free_compiler(&c);
    return c.st;
}

tawny_status schema_to_gbnf(const char *schema, size_t n, buf *out, tawny_error *err)
{
    return schema_rules(schema, n, "root", 0, out, err);
}
