/* From tokens to the syntax tree: statements. */
#include <string.h>

#include "jinja_parse.h"

static node *parse_statement(parser *x);

static bool at_any(parser *x, const char *const *words)
{
    for (; words && *words; words++)
        if (at_name(x, *words)) return true;
    return false;
}

/* Text, print statements and blocks up to a block that starts with one of `ends`, whose word is then the current
 * token. */
static nodes subparse(parser *x, const char *const *ends)
{
    nodes body = {0};
    node *out = NULL;
    rt_guard(x->rt);
    while (cur(x)->t != T_EOF) {
        token *t = advance(x);
        if (t->t == T_BLOCK_BEGIN) {
            out = NULL;
            if (at_any(x, ends)) return body;
            nodes_add(x->rt, &body, parse_statement(x));
            expect(x, T_BLOCK_END);
            continue;
        }
        node *n;
        if (t->t == T_DATA) {
            n = new_node(x, N_CONST, t->line);
            n->c = v_str(t->s);
        } else {
            n = parse_tuple(x, (tuple_mode){.condexpr = true});
            expect(x, T_VAR_END);
        }
        if (!out) {
            out = new_node(x, N_OUTPUT, t->line);
            nodes_add(x->rt, &body, out);
        }
        nodes_add(x->rt, &out->list, n);
    }
    if (ends) {
        x->rt->line = cur(x)->line;
        rt_fail(x->rt, TAWNY_E_FORMAT, "unexpected end of template, expected '%s'", ends[0]);
    }
    return body;
}

static nodes statements(parser *x, const char *const *ends)
{
    skip_tok(x, T_COLON);
    expect(x, T_BLOCK_END);
    return subparse(x, ends);
}

/* As statements, with one possible end that is taken. */
static nodes statements_to(parser *x, const char *end)
{
    const char *ends[] = {end, NULL};
    nodes body = statements(x, ends);
    advance(x);
    return body;
}

static node *new_stmt(parser *x, nkind k, uint32_t line)
{
    node *n = new_node(x, k, line);
    n->st = rt_alloc(x->rt, sizeof *n->st);
    *n->st = (nstmt){0};
    return n;
}

static void check_target(parser *x, const node *n)
{
    if (n->k == N_NAME || n->k == N_NSREF) return;
    if (n->k != N_TUPLE) parse_fail(x, "can't assign to this expression");
    for (size_t i = 0; i < n->list.n; i++) check_target(x, n->list.v[i]);
}

static node *parse_target(parser *x, tuple_mode m)
{
    m.simple = true;
    node *n = parse_tuple(x, m);
    check_target(x, n);
    return n;
}

static node *target_name(parser *x)
{
    token *t = expect(x, T_NAME);
    node *n = new_node(x, N_NAME, t->line);
    n->name = t->s;
    return n;
}

static node *parse_for(parser *x, uint32_t line)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    node *n = new_stmt(x, N_FOR, line);
    n->a = parse_target(x, (tuple_mode){0});
    expect_name(x, "in");
    n->b = parse_tuple(x, (tuple_mode){0});
    if (skip_name(x, "if")) n->d = parse_expr(x, true);
    n->st->recursive = skip_name(x, "recursive");
    x->loops++;
    n->st->body = statements(x, ends);
    x->loops--;
    if (skip_name(x, "else"))
        n->st->other = statements_to(x, "endfor");
    else
        advance(x);
    return n;
}

static node *parse_if(parser *x, uint32_t line)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    node *first = NULL, *n;
    do {
        n = new_stmt(x, N_IF, line);
        n->a = parse_tuple(x, (tuple_mode){0});
        n->st->body = statements(x, ends);
        if (first)
            nodes_add(x->rt, &first->st->other, n);
        else
            first = n;
        line = cur(x)->line;
    } while (skip_name(x, "elif"));
    if (skip_name(x, "else"))
        first->st->orelse = statements_to(x, "endif");
    else
        advance(x);
    return first;
}

/* Parameters with their defaults: list of names, and in other as many defaults, NULL where there is none. */
static void parse_signature(parser *x, node *n)
{
    bool defaults = false;
    expect(x, T_LPAREN);
    while (cur(x)->t != T_RPAREN) {
        if (n->list.n) expect(x, T_COMMA);
        nodes_add(x->rt, &n->list, target_name(x));
        node *d = skip_tok(x, T_ASSIGN) ? parse_expr(x, true) : NULL;
        if (!d && defaults) parse_fail(x, "non-default argument follows default argument");
        defaults = d != NULL;
        nodes_add(x->rt, &n->st->other, d);
    }
    expect(x, T_RPAREN);
}

/* The body of a macro or call block: a function of its own, so loops outside do not count. */
static nodes function_body(parser *x, const char *end)
{
    int loops = x->loops;
    x->loops = 0;
    nodes body = statements_to(x, end);
    x->loops = loops;
    return body;
}

static node *parse_macro(parser *x, uint32_t line)
{
    node *n = new_stmt(x, N_MACRO, line);
    n->a = target_name(x);
    n->name = n->a->name;
    parse_signature(x, n);
    n->st->body = function_body(x, "endmacro");
    return n;
}

static node *parse_call_block(parser *x, uint32_t line)
{
    node *n = new_stmt(x, N_CALLBLOCK, line);
    if (cur(x)->t == T_LPAREN) parse_signature(x, n);
    n->a = parse_expr(x, true);
    if (n->a->k != N_CALL) parse_fail(x, "expected call");
    n->st->body = function_body(x, "endcall");
    return n;
}

/* {% generation %}: marks what the model is trained on; here a call block whose caller is rendered as it stands. */
static node *parse_generation(parser *x, uint32_t line)
{
    node *n = new_stmt(x, N_CALLBLOCK, line);
    n->st->body = function_body(x, "endgeneration");
    return n;
}

static node *parse_set(parser *x, uint32_t line)
{
    node *target = parse_target(x, (tuple_mode){.with_namespace = true});
    if (skip_tok(x, T_ASSIGN)) {
        node *n = new_stmt(x, N_SET, line);
        n->a = target;
        n->b = parse_tuple(x, (tuple_mode){.condexpr = true});
        return n;
    }
    node *n = new_stmt(x, N_SETBLOCK, line);
    n->a = target;
    n->b = parse_filter(x, NULL, false);
    n->st->body = statements_to(x, "endset");
    return n;
}

static node *parse_with(parser *x, uint32_t line)
{
    node *n = new_stmt(x, N_WITH, line);
    while (cur(x)->t != T_BLOCK_END) {
        if (n->list.n) expect(x, T_COMMA);
        nodes_add(x->rt, &n->list, parse_target(x, (tuple_mode){0}));
        expect(x, T_ASSIGN);
        nodes_add(x->rt, &n->st->other, parse_expr(x, true));
    }
    n->st->body = statements_to(x, "endwith");
    return n;
}

static node *parse_filter_block(parser *x, uint32_t line)
{
    node *n = new_stmt(x, N_FILTERBLOCK, line);
    n->a = parse_filter(x, NULL, true);
    n->st->body = statements_to(x, "endfilter");
    return n;
}

static node *parse_print(parser *x, uint32_t line)
{
    node *n = new_node(x, N_OUTPUT, line);
    while (cur(x)->t != T_BLOCK_END) {
        if (n->list.n) expect(x, T_COMMA);
        nodes_add(x->rt, &n->list, parse_expr(x, true));
    }
    return n;
}

static node *parse_autoescape(parser *x, uint32_t line)
{
    node *n = new_stmt(x, N_SCOPE, line);
    node *on = parse_expr(x, true);
    if (on->k != N_CONST || val_true(x->rt, on->c))
        rt_fail(x->rt, TAWNY_E_UNSUPPORTED, "autoescape is not supported in chat templates");
    n->st->body = statements_to(x, "endautoescape");
    return n;
}

static node *parse_block(parser *x, uint32_t line)
{
    node *n = new_stmt(x, N_BLOCK, line);
    n->name = expect(x, T_NAME)->s;
    for (size_t i = 0; i < x->blocks.n; i++)
        if (vstr_eq(x->rt, x->blocks.v[i]->name, n->name)) parse_fail(x, "block defined twice");
    if (skip_name(x, "scoped") || skip_name(x, "required"))
        rt_fail(x->rt, TAWNY_E_UNSUPPORTED, "scoped and required blocks are not supported in chat templates");
    nodes_add(x->rt, &x->blocks, n);
    n->st->body = function_body(x, "endblock");
    if (cur(x)->t == T_NAME && vstr_eq(x->rt, cur(x)->s, n->name)) advance(x);
    return n;
}

/* What would reach outside the template: refused where it is executed, as Jinja does without a loader. */
static node *parse_refused(parser *x, vstr *word, uint32_t line)
{
    node *n = new_node(x, N_REFUSED, line);
    n->name = word;
    parse_expr(x, true);
    while (cur(x)->t != T_BLOCK_END && cur(x)->t != T_EOF) advance(x);
    return n;
}

static node *parse_loop_control(parser *x, nkind k, uint32_t line)
{
    if (!x->loops) parse_fail(x, "break and continue are allowed in loops only");
    return new_node(x, k, line);
}

static node *parse_statement(parser *x)
{
    if (cur(x)->t != T_NAME) parse_fail(x, "tag name expected");
    token *t = advance(x);
    uint32_t line = x->rt->line = t->line;
    static const struct { const char *word; node *(*parse)(parser *, uint32_t); } tags[] = {
        {"for", parse_for}, {"if", parse_if}, {"set", parse_set}, {"macro", parse_macro}, {"call", parse_call_block},
        {"filter", parse_filter_block}, {"with", parse_with}, {"generation", parse_generation},
        {"print", parse_print},
        {"autoescape", parse_autoescape}, {"block", parse_block}};
    static const char *const refused[] = {"include", "import", "from", "extends", NULL};
    const char *word = vstr_cstr(x->rt, t->s);
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (strcmp(word, tags[i].word) == 0) return tags[i].parse(x, line);
    if (strcmp(word, "break") == 0) return parse_loop_control(x, N_BREAK, line);
    if (strcmp(word, "continue") == 0) return parse_loop_control(x, N_CONTINUE, line);
    for (size_t i = 0; refused[i]; i++)
        if (strcmp(word, refused[i]) == 0) return parse_refused(x, t->s, line);
    rt_fail(x->rt, TAWNY_E_FORMAT, "encountered unknown tag '%.100s'", word);
}

void jinja_parse_tokens(jinja_rt *rt, tokens t, jinja *out)
{
    parser *x = rt_alloc(rt, sizeof *x);
    *x = (parser){.rt = rt, .t = t, .words = dict_new(rt, 64)};
    out->body = subparse(x, NULL);
    out->blocks = x->blocks;
    out->words = x->words;
}
