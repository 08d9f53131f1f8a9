/* Schemas: rules in GBNF's words. */
#include <stdlib.h>
#include <string.h>

#include "schema_int.h"

void emit_or(rule_text *t)
{
    if (t->any) buf_str(&t->b, " | ");
    t->any = true;
}

void emit_rule(compiler *c, const char *name, rule_text *t)
{
    if (!t->any) buf_printf(&t->b, "%s-never", c->prefix); /* no text */
    buf_printf(c->out, "%s ::= ", name);
    buf_add(c->out, t->b.data, t->b.size);
    buf_char(c->out, '\n');
    if (!c->st && (!buf_ok(&t->b) || !buf_ok(c->out)))
        c->st = err_set(c->err, TAWNY_E_LIMIT, "schema: too large, or out of memory");
    buf_free(&t->b);
    *t = (rule_text){.b.max = SCHEMA_MAX_GRAMMAR};
}

size_t emit_rules(compiler *c, size_t n)
{
    size_t first = c->n_rule;
    if (n > SCHEMA_MAX_RULES || c->n_rule + n > SCHEMA_MAX_RULES)
        schema_refuse(c, TAWNY_E_LIMIT, NULL, NULL, "too large");
    else c->n_rule += n;
    return first;
}

void emit_name(compiler *c, buf *b, uint32_t set)
{
    if (set == c->root) buf_str(b, c->prefix);
    else buf_printf(b, "%s-%u", c->prefix, (unsigned)set);
    if (c->st || c->set[set]->wanted) return;
    c->set[set]->wanted = true;
    c->todo = schema_grow(c, c->todo, c->n_todo, &c->cap_todo, sizeof *c->todo);
    if (!c->st) c->todo[c->n_todo++] = set;
}

void emit_literal(buf *b, const char *s, size_t n)
{
    buf_char(b, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char ch = (unsigned char)s[i];
        if (ch == '"' || ch == '\\') buf_printf(b, "\\%c", ch);
        else if (ch < 0x20 || ch == 0x7f) buf_printf(b, "\\x%02x", ch);
        else buf_char(b, (char)ch);
    }
    buf_char(b, '"');
}

/* GBNF counts to 2000; beyond that in steps, each text in one way only. */
void emit_repeat(buf *b, const char *what, long lo, long hi)
{
    enum { STEP = 1000 };
    for (; lo > STEP; lo -= STEP, hi -= hi < 0 ? 0 : STEP) buf_printf(b, "%s{%d} ", what, STEP);
    if (hi < 0) return (void)buf_printf(b, "%s{%ld,}", what, lo);
    if (hi <= STEP) return (void)buf_printf(b, "%s{%ld,%ld}", what, lo, hi);
    buf_printf(b, "%s{%ld} ", what, lo);
    hi -= lo;
    int depth = 0;
    for (; hi > STEP; hi -= STEP, depth++) buf_printf(b, "(%s{0,%d} | %s{%d} ", what, STEP - 1, what, STEP);
    buf_printf(b, "%s{0,%ld}", what, hi);
    while (depth--) buf_char(b, ')');
}

/* ---- automata ---- */

static bool special(uint32_t ch) { return ch < 0x20 || ch == '"' || ch == '\\' || ch == 0x7f; }

static void put_code(buf *b, uint32_t ch)
{
    if ((ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z')) buf_char(b, (char)ch);
    else if (ch < 0x100) buf_printf(b, "\\x%02x", (unsigned)ch);
    else if (ch < 0x10000) buf_printf(b, "\\u%04x", (unsigned)ch);
    else buf_printf(b, "\\U%08x", (unsigned)ch);
}

static void put_range(buf *b, uint32_t lo, uint32_t hi)
{
    if (lo > hi) return;
    put_code(b, lo);
    if (hi == lo) return;
    buf_char(b, '-');
    put_code(b, hi);
}

static void put_escape(rule_text *t, uint32_t ch)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *at = ch ? strchr(from, (int)ch) : NULL;
    char s[8] = {'\\', at ? to[at - from] : 0};
    emit_or(t);
    if (!at && (ch & 15) < 10) return (void)buf_printf(&t->b, "\"\\\\u%04x\"", (unsigned)ch);
    if (!at)
        return (void)buf_printf(&t->b, "\"\\\\u00%x\" [%x%X]", (unsigned)ch >> 4, (unsigned)ch & 15, (unsigned)ch & 15);
    emit_literal(&t->b, s, 2);
}

/* The characters on which state s goes to `to`, as JSON writes them. */
static void put_characters(compiler *c, rule_text *t, const aut *a, uint32_t s, uint32_t to, bool quoted)
{
    const uint32_t *next = &a->next[(size_t)s * a->n_class];
    buf raw = {.max = SCHEMA_MAX_GRAMMAR};
    unsigned n_special = 0;
    bool all = true;
    for (uint32_t k = 0; k < a->n_class; k++) all &= next[k] == to;
    if (all && quoted) return emit_or(t), (void)buf_printf(&t->b, "%s-char", c->prefix);
    for (uint32_t k = 0; k < a->n_class; k++) {
        uint32_t lo = a->from[k], hi = k + 1 < a->n_class ? a->from[k + 1] - 1 : AUT_MAX_CODE;
        if (next[k] != to) continue;
        for (; lo < 0x80 && lo <= hi; lo++) {
            uint32_t end = lo;
            if (special(lo)) {
                n_special++;
                continue;
            }
            while (end < hi && end < 0x7f && !special(end + 1)) end++;
            put_range(&raw, lo, end);
            lo = end;
        }
        put_range(&raw, lo, hi);
    }
    if (raw.size) emit_or(t), buf_printf(&t->b, "[%s]", raw.data);
    if (n_special == 35) {
        emit_or(t);
        buf_printf(&t->b, "%s-escape", c->prefix);
    } else if (n_special) {
        for (uint32_t k = 0; k < a->n_class && a->from[k] < 0x80; k++)
            for (uint32_t ch = a->from[k]; next[k] == to && ch < 0x80 && (k + 1 == a->n_class || ch < a->from[k + 1]);
                 ch++)
                if (special(ch)) put_escape(t, ch);
    }
    buf_free(&raw);
}

static void put_state(compiler *c, const char *name, const aut *a, uint32_t s, bool quoted)
{
    rule_text t = {.b.max = SCHEMA_MAX_GRAMMAR};
    const uint32_t *next = &a->next[(size_t)s * a->n_class];
    char rule[80];
    if (a->final[s]) emit_or(&t), buf_str(&t.b, quoted ? "\"\\\"\"" : "\"\"");
    for (uint32_t k = 0; k < a->n_class; k++) {
        bool before = !next[k];
        for (uint32_t i = 0; i < k && !before; i++) before = next[i] == next[k];
        if (before) continue;
        rule_text chars = {.b.max = SCHEMA_MAX_GRAMMAR};
        put_characters(c, &chars, a, s, next[k], quoted);
        if (chars.any) emit_or(&t), buf_printf(&t.b, "(%s) %s-%u", chars.b.data, name, (unsigned)next[k]);
        buf_free(&chars.b);
    }
    snprintf(rule, sizeof rule, "%s-%u", name, (unsigned)s);
    emit_rule(c, rule, &t);
}

void emit_aut(compiler *c, buf *b, const aut *a, bool quoted)
{
    if (c->st) return;
    size_t i = 0;
    while (i < c->n_automaton && (c->automaton[i].quoted != quoted || !aut_same(c->automaton[i].a, a))) i++;
    char name[64];
    snprintf(name, sizeof name, "%s-a%zu", c->prefix, i);
    buf_printf(b, quoted ? "\"\\\"\" %s-1" : "%s-1", name);
    if (i < c->n_automaton) return;
    c->automaton = schema_grow(c, c->automaton, c->n_automaton, &c->cap_automaton, sizeof *c->automaton);
    if (c->st) return;
    aut *copy = NULL;
    if (!schema_ok(c, aut_combine(a, a, AUT_AND, &copy), NULL, NULL)) return;
    c->automaton[c->n_automaton].a = copy;
    c->automaton[c->n_automaton++].quoted = quoted;
    emit_rules(c, a->n);
    for (uint32_t s = AUT_START; s < a->n && !c->st; s++) put_state(c, name, a, s, quoted);
}

/* ---- constants ---- */

static void put_scalar(buf *b, const json_t *v)
{
    char *text = NULL, whole[64];
    double d = json_is_real(v) ? json_real_value(v) : 0.5;
    if (d == (double)(int64_t)(d > -1e15 && d < 1e15 ? d : 0) && d > -1e15 && d < 1e15) {
        snprintf(whole, sizeof whole, "%.0f", d + 0.0);
        emit_literal(b, whole, strlen(whole));
        return;
    }
    text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    if (text) emit_literal(b, text, strlen(text));
    else b->failed = true;
    free(text);
}

void emit_constant(compiler *c, buf *b, const json_t *v)
{
    const char *key;
    json_t *w;
    size_t i, n = 0;
    if (!json_is_object(v) && !json_is_array(v)) return put_scalar(b, v);
    buf_printf(b, json_is_object(v) ? "\"{\" %s-ws " : "\"[\" %s-ws ", c->prefix);
    json_object_foreach((json_t *)(uintptr_t)v, key, w) {
        json_t *name = json_string(key);
        if (n++) buf_printf(b, "\",\" %s-ws ", c->prefix);
        put_scalar(b, name);
        buf_printf(b, " \":\" %s-ws ", c->prefix);
        emit_constant(c, b, w);
        buf_char(b, ' ');
        json_decref(name);
    }
    json_array_foreach(v, i, w) {
        if (i) buf_printf(b, "\",\" %s-ws ", c->prefix);
        emit_constant(c, b, w);
        buf_char(b, ' ');
    }
    buf_printf(b, json_is_object(v) ? "%s-ws \"}\"" : "%s-ws \"]\"", c->prefix);
}

/* ---- cases ---- */

static void put_words(compiler *c, rule_text *t, json_t *list)
{
    size_t n = json_array_size(list), m = 0, i;
    const char **word = calloc(n + 1, sizeof *word);
    size_t *length = calloc(n + 1, sizeof *length);
    aut *a = NULL;
    json_t *v;
    if (!word || !length) c->st = err_nomem(c->err);
    json_array_foreach(list, i, v) {
        if (c->st || !json_is_string(v)) continue;
        word[m] = json_string_value(v);
        length[m++] = json_string_length(v);
    }
    bool trie = m > 8 && !c->st && aut_words(word, length, m, &a) == TAWNY_OK;
    if (trie) {
        emit_or(t);
        emit_aut(c, &t->b, a, true);
        aut_free(a);
    }
    json_array_foreach(list, i, v) {
        if (c->st || (trie && json_is_string(v))) continue;
        emit_or(t);
        emit_constant(c, &t->b, v);
    }
    free(word);
    free(length);
}

static void put_values(compiler *c, rule_text *t, const scase *k, const fact *f)
{
    json_t *sifted = json_array(), *v;
    size_t i;
    json_array_foreach(f->v, i, v)
        if (schema_case_has(c, k, v, f)) json_array_append(sifted, v);
    put_words(c, t, sifted);
    json_decref(sifted);
}

static void put_number(compiler *c, rule_text *t, const scase *k)
{
    aut *a = schema_numbers(c, k, k->types);
    if (c->st) return;
    emit_or(t);
    if (a) emit_aut(c, &t->b, a, false);
    else buf_printf(&t->b, "%s-%s", c->prefix, k->types & T_FRAC ? "number" : "integer");
    aut_free(a);
}

static void put_string(compiler *c, rule_text *t, const scase *k)
{
    char what[64];
    long lo, hi;
    aut *a = schema_strings(c, k);
    if (c->st) return;
    emit_or(t);
    schema_range_of(k, F_LENGTH, &lo, &hi);
    if (a) {
        emit_aut(c, &t->b, a, true);
    } else if (lo || hi >= 0) {
        snprintf(what, sizeof what, "%s-char", c->prefix);
        buf_str(&t->b, "\"\\\"\" ");
        emit_repeat(&t->b, what, lo, hi);
        buf_str(&t->b, " \"\\\"\"");
    } else {
        buf_printf(&t->b, "%s-string", c->prefix);
    }
    aut_free(a);
}

static bool about(const scase *k, fact_kind first, fact_kind last)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->f[i].kind >= first && k->f[i].kind <= last) return true;
    return false;
}

static void common(compiler *c, rule_text *t, const char *rule)
{
    emit_or(t);
    buf_printf(&t->b, "%s-%s", c->prefix, rule);
}

static void put_case(compiler *c, rule_text *t, const scase *k)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->f[i].kind == F_VALUES) return put_values(c, t, k, &k->f[i]);
    if (k->types == T_ALL && !k->n) return common(c, t, "value");
    if (k->types & T_NULL) emit_or(t), buf_str(&t->b, "\"null\"");
    if (k->types & T_TRUE) emit_or(t), buf_str(&t->b, "\"true\"");
    if (k->types & T_FALSE) emit_or(t), buf_str(&t->b, "\"false\"");
    if (k->types & T_NUMBER) put_number(c, t, k);
    if (k->types & T_STRING) put_string(c, t, k);
    if (k->types & T_ARRAY && !about(k, F_ARRAY, F_UNIQUE)) common(c, t, "array");
    else if (k->types & T_ARRAY) emit_array(c, t, k);
    if (k->types & T_OBJECT && !about(k, F_OBJECT, F_PROPERTIES)) common(c, t, "object");
    else if (k->types & T_OBJECT) emit_object(c, t, k);
}

static void put_set(compiler *c, uint32_t set)
{
    rule_text t = {.b.max = SCHEMA_MAX_GRAMMAR};
    char name[64];
    const conj *k = schema_cases(c, set);
    for (size_t i = 0; k && i < k->n_case && !c->st; i++) put_case(c, &t, &k->cases[i]);
    if (set == c->root) snprintf(name, sizeof name, "%s", c->prefix);
    else snprintf(name, sizeof name, "%s-%u", c->prefix, (unsigned)set);
    emit_rule(c, name, &t);
}

void emit_all(compiler *c)
{
    buf none = {0};
    emit_name(c, &none, c->root);
    buf_free(&none);
    while (c->n_todo && !c->st) put_set(c, c->todo[--c->n_todo]);
}
