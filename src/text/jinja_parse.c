/* From tokens to the syntax tree: expressions. Statements are in jinja_stmt.c. Precedence and oddities follow Jinja's
 * grammar: filters bind tighter than every operator, a test's argument needs no parentheses, comparisons chain. */
#include "jinja_parse.h"

#include <string.h>

_Noreturn void parse_fail(parser *x, const char *what)
{
    x->rt->line = cur(x)->line;
    rt_fail(x->rt, TAWNY_E_FORMAT, "%s", what);
}

_Noreturn static void unexpected(parser *x, const char *wanted)
{
    const token *t = cur(x);
    x->rt->line = t->line;
    const char *got = t->t == T_NAME ? vstr_cstr(x->rt, t->s) : tok_name(t->t);
    if (wanted) rt_fail(x->rt, TAWNY_E_FORMAT, "expected '%s', got '%.100s'", wanted, got);
    rt_fail(x->rt, TAWNY_E_FORMAT, "unexpected '%.100s'", got);
}

token *advance(parser *x)
{
    token *t = cur(x);
    if (t->t != T_EOF) x->at++;
    return t;
}

bool skip_tok(parser *x, tok t)
{
    if (cur(x)->t != t) return false;
    advance(x);
    return true;
}

token *expect(parser *x, tok t)
{
    if (cur(x)->t != t) unexpected(x, tok_name(t));
    return advance(x);
}

static bool name_is(const token *t, const char *word)
{
    return t->t == T_NAME && t->s->n == strlen(word) && memcmp(t->s->p, word, t->s->n) == 0;
}

bool at_name(parser *x, const char *word) { return name_is(cur(x), word); }

bool skip_name(parser *x, const char *word)
{
    if (!at_name(x, word)) return false;
    advance(x);
    return true;
}

void expect_name(parser *x, const char *word)
{
    if (!skip_name(x, word)) unexpected(x, word);
}

static token *look(parser *x) { return &x->t.v[x->at + (cur(x)->t != T_EOF)]; }

node *new_node(parser *x, nkind k, uint32_t line)
{
    node *n = rt_alloc(x->rt, sizeof *n);
    *n = (node){.k = k, .line = line};
    rt_step(x->rt, 1);
    return n;
}

void nodes_add(jinja_rt *rt, nodes *l, node *n)
{
    if ((l->n & (l->n - 1)) == 0) { /* full at every power of two */
        node **v = rt_array(rt, l->n ? l->n * 2 : 1, sizeof *v);
        if (l->n) memcpy(v, l->v, l->n * sizeof *v);
        l->v = v;
    }
    l->v[l->n++] = n;
}

/* The one string that stands for s in this template: equal names are the same bytes, and are found by their address. */
static vstr *word_seen(parser *x, vstr *s)
{
    value *v = dict_get(x->rt, x->words, v_str(s));
    if (v) return v->u.s;
    vstr_seal(x->rt, s);
    dict_set(x->rt, x->words, v_str(s), v_str(s));
    return s;
}

static node *binary(parser *x, nkind k, node *a, node *b, uint32_t line)
{
    node *n = new_node(x, k, line);
    n->a = a;
    n->b = b;
    return n;
}

static node *constant(parser *x, value c, uint32_t line)
{
    node *n = new_node(x, N_CONST, line);
    n->c = c;
    return n;
}

/* ---- primary expressions ---- */

static node *parse_name(parser *x, bool with_namespace)
{
    token *t = advance(x);
    static const struct { const char *word; int v; } words[] = {
        {"true", 1}, {"True", 1}, {"false", 0}, {"False", 0}, {"none", 2}, {"None", 2}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (name_is(t, words[i].word)) return constant(x, words[i].v == 2 ? v_none() : v_bool(words[i].v), t->line);
    node *n = new_node(x, N_NAME, t->line);
    n->name = word_seen(x, t->s);
    if (with_namespace && skip_tok(x, T_DOT)) {
        node *r = new_node(x, N_NSREF, t->line);
        r->a = n;
        r->name = word_seen(x, expect(x, T_NAME)->s);
        return r;
    }
    return n;
}

static node *parse_string(parser *x)
{
    token *t = advance(x);
    vstr *s = t->s;
    while (cur(x)->t == T_STRING) s = vstr_cat(x->rt, s, advance(x)->s);
    vstr_bytes(x->rt, s);
    return constant(x, v_str(word_seen(x, s)), t->line);
}

static node *parse_list(parser *x)
{
    node *n = new_node(x, N_LIST, advance(x)->line);
    while (cur(x)->t != T_RBRACKET) {
        if (n->list.n) expect(x, T_COMMA);
        if (cur(x)->t == T_RBRACKET) break;
        nodes_add(x->rt, &n->list, parse_expr(x, true));
    }
    expect(x, T_RBRACKET);
    return n;
}

static node *parse_dict(parser *x)
{
    node *n = new_node(x, N_DICT, advance(x)->line);
    while (cur(x)->t != T_RBRACE) {
        if (n->list.n) expect(x, T_COMMA);
        if (cur(x)->t == T_RBRACE) break;
        nodes_add(x->rt, &n->list, parse_expr(x, true));
        expect(x, T_COLON);
        nodes_add(x->rt, &n->list, parse_expr(x, true));
    }
    expect(x, T_RBRACE);
    return n;
}

node *parse_primary(parser *x, bool with_namespace)
{
    token *t = cur(x);
    node *n;
    rt_guard(x->rt);
    switch (t->t) {
    case T_NAME: return parse_name(x, with_namespace);
    case T_STRING: return parse_string(x);
    case T_INT:
    case T_FLOAT: return constant(x, advance(x)->c, t->line);
    case T_LPAREN:
        advance(x);
        n = parse_tuple(x, (tuple_mode){.condexpr = true, .parens = true});
        expect(x, T_RPAREN);
        return n;
    case T_LBRACKET: return parse_list(x);
    case T_LBRACE: return parse_dict(x);
    default: unexpected(x, NULL);
    }
}

static bool tuple_end(parser *x)
{
    tok t = cur(x)->t;
    return t == T_VAR_END || t == T_BLOCK_END || t == T_RPAREN;
}

node *parse_tuple(parser *x, tuple_mode m)
{
    uint32_t line = cur(x)->line;
    nodes l = {0};
    bool tuple = false;
    for (;;) {
        if (l.n) expect(x, T_COMMA);
        if (tuple_end(x)) break;
        nodes_add(x->rt, &l, m.simple ? parse_primary(x, m.with_namespace) : parse_expr(x, m.condexpr));
        if (cur(x)->t != T_COMMA) break;
        tuple = true;
    }
    if (!tuple) {
        if (l.n) return l.v[0];
        if (!m.parens) unexpected(x, "an expression");
    }
    node *n = new_node(x, N_TUPLE, line);
    n->list = l;
    return n;
}

/* ---- what follows a primary: subscripts, calls, filters, tests ---- */

static node *slice_part(parser *x)
{
    tok t = cur(x)->t;
    return t == T_COLON || t == T_RBRACKET || t == T_COMMA ? NULL : parse_expr(x, true);
}

static node *parse_subscribed(parser *x)
{
    uint32_t line = cur(x)->line;
    node *start = NULL;
    if (cur(x)->t != T_COLON) {
        start = parse_expr(x, true);
        if (cur(x)->t != T_COLON) return start;
    }
    node *n = new_node(x, N_SLICE, line);
    n->a = start;
    advance(x);
    n->b = slice_part(x);
    if (skip_tok(x, T_COLON)) n->d = slice_part(x);
    return n;
}

static node *parse_subscript(parser *x, node *of)
{
    token *t = advance(x);
    if (t->t == T_DOT) {
        token *name = advance(x);
        if (name->t == T_NAME) {
            node *n = new_node(x, N_ATTR, t->line);
            n->a = of;
            n->name = word_seen(x, name->s);
            return n;
        }
        if (name->t != T_INT) parse_fail(x, "expected name or number after '.'");
        return binary(x, N_ITEM, of, constant(x, name->c, name->line), t->line);
    }
    nodes l = {0};
    while (cur(x)->t != T_RBRACKET) {
        if (l.n) expect(x, T_COMMA);
        nodes_add(x->rt, &l, parse_subscribed(x));
    }
    expect(x, T_RBRACKET);
    if (l.n == 1) return binary(x, N_ITEM, of, l.v[0], t->line);
    node *tuple = new_node(x, N_TUPLE, t->line);
    tuple->list = l;
    return binary(x, N_ITEM, of, tuple, t->line);
}

static void add_kwarg(parser *x, nargs *a)
{
    size_t n = a->kwv.n;
    if ((n & (n - 1)) == 0) {
        vstr **kw = rt_array(x->rt, n ? n * 2 : 1, sizeof *kw);
        if (n) memcpy(kw, a->kw, n * sizeof *kw);
        a->kw = kw;
    }
    a->kw[n] = word_seen(x, advance(x)->s);
    for (size_t i = 0; i < n; i++)
        if (a->kw[i]->n == a->kw[n]->n && memcmp(a->kw[i]->p, a->kw[n]->p, a->kw[n]->n) == 0)
            parse_fail(x, "keyword argument repeated");
    advance(x);
    nodes_add(x->rt, &a->kwv, parse_expr(x, true));
}

static nargs *parse_args(parser *x)
{
    nargs *a = rt_alloc(x->rt, sizeof *a);
    *a = (nargs){0};
    expect(x, T_LPAREN);
    for (bool first = true; cur(x)->t != T_RPAREN; first = false) {
        if (!first) {
            expect(x, T_COMMA);
            if (cur(x)->t == T_RPAREN) break;
        }
        bool ok = true;
        if (cur(x)->t == T_MUL) {
            ok = !a->star && !a->star2;
            advance(x);
            a->star = parse_expr(x, true);
        } else if (cur(x)->t == T_POW) {
            ok = !a->star2;
            advance(x);
            a->star2 = parse_expr(x, true);
        } else if (cur(x)->t == T_NAME && look(x)->t == T_ASSIGN) {
            ok = !a->star2;
            add_kwarg(x, a);
        } else {
            ok = !a->star && !a->star2 && !a->kwv.n;
            nodes_add(x->rt, &a->pos, parse_expr(x, true));
        }
        if (!ok) parse_fail(x, "invalid syntax for function call expression");
    }
    expect(x, T_RPAREN);
    return a;
}

static node *parse_call(parser *x, node *of)
{
    node *n = new_node(x, N_CALL, cur(x)->line);
    n->a = of;
    n->args = parse_args(x);
    return n;
}

static node *parse_postfix(parser *x, node *n)
{
    for (;;) {
        tok t = cur(x)->t;
        if (t == T_DOT || t == T_LBRACKET)
            n = parse_subscript(x, n);
        else if (t == T_LPAREN)
            n = parse_call(x, n);
        else
            return n;
    }
}

/* The name of a filter or test, dots included. */
static vstr *parse_dotted(parser *x)
{
    vstr *name = expect(x, T_NAME)->s;
    while (skip_tok(x, T_DOT)) {
        name = vstr_cat(x->rt, vstr_cat(x->rt, name, vstr_c(x->rt, ".")), expect(x, T_NAME)->s);
        vstr_bytes(x->rt, name);
    }
    return name;
}

static nargs *no_args(parser *x)
{
    nargs *a = rt_alloc(x->rt, sizeof *a);
    *a = (nargs){0};
    return a;
}

node *parse_filter(parser *x, node *of, bool inline_start)
{
    while (inline_start || cur(x)->t == T_PIPE) {
        if (!inline_start) advance(x);
        inline_start = false;
        node *n = new_node(x, N_FILTER, cur(x)->line);
        n->a = of;
        n->name = parse_dotted(x);
        n->fn = find_filter(n->name);
        n->args = cur(x)->t == T_LPAREN ? parse_args(x) : no_args(x);
        of = n;
    }
    return of;
}

static node *parse_test(parser *x, node *of)
{
    uint32_t line = advance(x)->line;
    bool negated = skip_name(x, "not");
    node *n = new_node(x, N_TEST, line);
    n->a = of;
    n->name = parse_dotted(x);
    n->fn = find_test(n->name);
    tok t = cur(x)->t;
    bool arg = t == T_NAME || t == T_STRING || t == T_INT || t == T_FLOAT || t == T_LBRACKET || t == T_LBRACE;
    if (t == T_LPAREN) {
        n->args = parse_args(x);
    } else {
        n->args = no_args(x);
        if (arg && !at_name(x, "else") && !at_name(x, "or") && !at_name(x, "and")) {
            if (at_name(x, "is")) parse_fail(x, "you cannot chain multiple tests with is");
            nodes_add(x->rt, &n->args->pos, parse_postfix(x, parse_primary(x, false)));
        }
    }
    return negated ? binary(x, N_NOT, n, NULL, line) : n;
}

static node *parse_filter_expr(parser *x, node *n)
{
    for (;;) {
        if (cur(x)->t == T_PIPE)
            n = parse_filter(x, n, false);
        else if (at_name(x, "is"))
            n = parse_test(x, n);
        else if (cur(x)->t == T_LPAREN)
            n = parse_call(x, n);
        else
            return n;
    }
}

/* ---- operators, from the tightest ---- */

static node *parse_unary(parser *x, bool with_filter)
{
    tok t = cur(x)->t;
    uint32_t line = cur(x)->line;
    node *n;
    rt_guard(x->rt);
    if (t == T_SUB || t == T_ADD) {
        advance(x);
        n = binary(x, t == T_SUB ? N_NEG : N_POS, parse_unary(x, false), NULL, line);
    } else {
        n = parse_primary(x, false);
    }
    n = parse_postfix(x, n);
    return with_filter ? parse_filter_expr(x, n) : n;
}

static node *parse_pow(parser *x)
{
    uint32_t line = cur(x)->line;
    node *n = parse_unary(x, true);
    while (skip_tok(x, T_POW)) n = binary(x, N_POW, n, parse_unary(x, true), line);
    return n;
}

static node *parse_math2(parser *x)
{
    uint32_t line = cur(x)->line;
    node *n = parse_pow(x);
    for (;;) {
        tok t = cur(x)->t;
        nkind k = t == T_MUL ? N_MUL : t == T_DIV ? N_DIV : t == T_FLOORDIV ? N_FLOORDIV : t == T_MOD ? N_MOD
            : N_CONST;
        if (k == N_CONST) return n;
        advance(x);
        n = binary(x, k, n, parse_pow(x), line);
    }
}

static node *parse_concat(parser *x)
{
    uint32_t line = cur(x)->line;
    node *first = parse_math2(x);
    if (cur(x)->t != T_TILDE) return first;
    node *n = new_node(x, N_CONCAT, line);
    nodes_add(x->rt, &n->list, first);
    while (skip_tok(x, T_TILDE)) nodes_add(x->rt, &n->list, parse_math2(x));
    return n;
}

static node *parse_math1(parser *x)
{
    uint32_t line = cur(x)->line;
    node *n = parse_concat(x);
    for (tok t; (t = cur(x)->t) == T_ADD || t == T_SUB;) {
        advance(x);
        n = binary(x, t == T_ADD ? N_ADD : N_SUB, n, parse_concat(x), line);
    }
    return n;
}

static bool compare_op(parser *x, nkind *k)
{
    static const nkind kinds[] = {N_EQ, N_NE, N_GT, N_GE, N_LT, N_LE};
    tok t = cur(x)->t;
    if (t >= T_EQ && t <= T_LE) {
        *k = kinds[t - T_EQ];
    } else if (at_name(x, "in")) {
        *k = N_IN;
    } else if (at_name(x, "not") && name_is(look(x), "in")) {
        *k = N_NOTIN;
        advance(x);
    } else {
        return false;
    }
    advance(x);
    return true;
}

static node *parse_compare(parser *x)
{
    uint32_t line = cur(x)->line;
    node *first = parse_math1(x), *n = NULL;
    for (nkind k; compare_op(x, &k);) {
        if (!n) n = binary(x, N_COMPARE, first, NULL, line);
        nodes_add(x->rt, &n->list, binary(x, k, parse_math1(x), NULL, line));
    }
    return n ? n : first;
}

static node *parse_not(parser *x)
{
    uint32_t line = cur(x)->line;
    rt_guard(x->rt);
    if (skip_name(x, "not")) return binary(x, N_NOT, parse_not(x), NULL, line);
    return parse_compare(x);
}

static node *parse_and(parser *x)
{
    uint32_t line = cur(x)->line;
    node *n = parse_not(x);
    while (skip_name(x, "and")) n = binary(x, N_AND, n, parse_not(x), line);
    return n;
}

static node *parse_or(parser *x)
{
    uint32_t line = cur(x)->line;
    node *n = parse_and(x);
    while (skip_name(x, "or")) n = binary(x, N_OR, n, parse_and(x), line);
    return n;
}

node *parse_expr(parser *x, bool condexpr)
{
    uint32_t line = cur(x)->line;
    rt_guard(x->rt);
    node *n = parse_or(x);
    while (condexpr && skip_name(x, "if")) {
        node *c = new_node(x, N_COND, line);
        c->a = n;
        c->b = parse_or(x);
        if (skip_name(x, "else")) c->d = parse_expr(x, true);
        n = c;
    }
    return n;
}
