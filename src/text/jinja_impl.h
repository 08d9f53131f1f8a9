/* Inside the template interpreter: tokens, the syntax tree, scopes, frames, built-in functions. */
#ifndef TEXT_JINJA_IMPL_H
#define TEXT_JINJA_IMPL_H

#include "jinja.h"
#include "value.h"

/* ---- tokens ---- */

typedef enum tok {
    T_EOF, T_DATA, T_VAR_BEGIN, T_VAR_END, T_BLOCK_BEGIN, T_BLOCK_END, T_NAME, T_STRING, T_INT, T_FLOAT,
    T_ADD, T_SUB, T_MUL, T_DIV, T_FLOORDIV, T_MOD, T_POW, T_TILDE, T_LBRACKET, T_RBRACKET, T_LPAREN, T_RPAREN,
    T_LBRACE, T_RBRACE, T_EQ, T_NE, T_GT, T_GE, T_LT, T_LE, T_ASSIGN, T_DOT, T_COLON, T_PIPE, T_COMMA, T_SEMICOLON
} tok;

typedef struct token {
    tok t;
    uint32_t line;
    vstr *s; /* names, strings, data */
    value c; /* numbers */
} token;

typedef struct tokens {
    token *v; /* the last is T_EOF */
    size_t n;
} tokens;

tokens jinja_lex(jinja_rt *rt, const char *source, size_t n);
const char *tok_name(tok t);

/* ---- the syntax tree ---- */

typedef enum nkind {
    N_CONST, N_NAME, N_NSREF, N_TUPLE, N_LIST, N_DICT, N_NOT, N_NEG, N_POS,
    N_ADD, N_SUB, N_MUL, N_DIV, N_FLOORDIV, N_MOD, N_POW, N_AND, N_OR, N_CONCAT, N_COMPARE,
    N_EQ, N_NE, N_GT, N_GE, N_LT, N_LE, N_IN, N_NOTIN, /* operands of N_COMPARE */
    N_COND, N_ATTR, N_ITEM, N_SLICE, N_CALL, N_FILTER, N_TEST,
    N_OUTPUT, N_FOR, N_IF, N_MACRO, N_CALLBLOCK, N_FILTERBLOCK, N_SET, N_SETBLOCK, N_WITH, N_SCOPE, N_BLOCK,
    N_BREAK, N_CONTINUE, N_REFUSED
} nkind;

typedef struct node node;
typedef struct scope scope;
typedef struct frame frame;
typedef struct builtin builtin;

typedef struct nodes {
    node **v;
    size_t n;
} nodes;

typedef struct nargs {
    nodes pos;
    vstr **kw; /* names of kwv */
    nodes kwv;
    node *star, *star2; /* *args and **kwargs, or NULL */
} nargs;

typedef struct nstmt {
    nodes body, other; /* other: else, elif branches, values of with, defaults of parameters */
    nodes orelse;      /* else of an if */
    scope *scope, *test_scope, *else_scope;
    node *test_target; /* the loop's target again, in test_scope */
    uint32_t loop_slot;
    bool recursive, uses_loop;
    bool plain; /* a loop of which nothing can outlive it: no loop variable, no macros or calls in it, few names */
    bool caller, kwargs, varargs; /* a macro body that asks for them */
    uint32_t caller_slot, kwargs_slot, varargs_slot;
} nstmt;

/* What a, b, d and list hold, by kind:
 *   N_NOT.. N_POW, N_AND, N_OR: a, b    N_TUPLE, N_LIST, N_CONCAT, N_OUTPUT: list    N_DICT: list of key, value, ...
 *   N_COMPARE: a, list of N_EQ.. with a   N_COND: a if b else d   N_ATTR: a.name   N_ITEM: a[b]   N_SLICE: a:b:d
 *   N_CALL: a(args)   N_FILTER, N_TEST: a, name, fn, args
 *   N_FOR: a in b if d   N_IF: a; other: N_IF...   N_MACRO: name, list of parameters   N_CALLBLOCK: a, list
 *   N_FILTERBLOCK: a   N_SET: a = b   N_SETBLOCK: a, b the filter   N_WITH: list, st->other   N_REFUSED: name */
struct node {
    nkind k;
    uint32_t line;
    uint32_t up, slot; /* of a resolved name: frames to go up, place there */
    value c;
    vstr *name;
    node *a, *b, *d;
    nodes list;
    nargs *args;
    nstmt *st;
    const builtin *fn; /* NULL where there is no such filter or test */
};

struct jinja {
    arena *mem;
    nodes body;
    scope *root;
    nodes blocks;
    vdict *words;
};

void jinja_parse_tokens(jinja_rt *rt, tokens t, jinja *out);

/* ---- scopes: which variable a name means is settled before rendering, as Jinja's compiler does ---- */

typedef enum load {
    LOAD_PARAM,   /* set by whoever enters the scope */
    LOAD_RESOLVE, /* from the context or the globals */
    LOAD_ALIAS,   /* from a scope further out */
    LOAD_NOTHING  /* not set yet */
} load;

typedef struct slotinfo {
    vstr *name;
    load how;
    bool stored;
    uint32_t up, slot; /* for LOAD_ALIAS */
} slotinfo;

struct scope {
    scope *up;
    slotinfo *slots;
    uint32_t n, cap;
    bool toplevel;
};

void jinja_resolve(jinja_rt *rt, jinja *t);

enum { POOLED_SLOTS = 16 }; /* loops with at most so many names use each other's memory */

struct frame {
    frame *up;
    const scope *sc;
    value v[];
};

/* ---- rendering ---- */

typedef struct jinja_run {
    const jinja *tpl;
    vdict *context;
    frame *root;
    const struct tm *now;
    struct loop_room *rooms; /* of loops that ended, for the next ones */
} jinja_run;

typedef enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } flow;

typedef struct cargs {
    value *pos;
    size_t n;
    vstr **kw;
    value *kwv;
    size_t n_kw;
} cargs;

value jinja_eval(jinja_rt *rt, node *n, frame *f);
flow jinja_exec(jinja_rt *rt, nodes body, frame *f);
frame *frame_enter(jinja_rt *rt, const scope *sc, frame *up);
void frame_reset(jinja_rt *rt, frame *f);
void assign_to(jinja_rt *rt, node *target, value v, frame *f);
value call_value(jinja_rt *rt, value fn, const cargs *a);
vstr *macro_invoke(jinja_rt *rt, value fn, const cargs *a);
value block_call(jinja_rt *rt, value block);
void exec_call_block(jinja_rt *rt, node *n, frame *f);

typedef struct macro {
    node *def;
    frame *up;
} macro;

typedef struct loop_state {
    viter *it;
    value src;
    value before, current, after; /* after: V_MISSING where not peeked at */
    int64_t index0, depth0;
    int64_t length; /* -1: not known */
    value changed;
    node *def;
    frame *up; /* where the loop stands: for recursion */
} loop_state;

size_t loop_length(jinja_rt *rt, loop_state *l);
value loop_attr(jinja_rt *rt, value loop, const vstr *name);
value loop_call(jinja_rt *rt, value loop, const cargs *a); /* loop(items) */
void loop_repr_to(vsb *b, value v);
void macro_repr_to(vsb *b, value v);

/* ---- operators ---- */

value op_binary(jinja_rt *rt, nkind op, value a, value b);
value op_unary(jinja_rt *rt, nkind op, value a);
bool op_compare(jinja_rt *rt, nkind op, value a, value b);
value op_attr(jinja_rt *rt, value obj, const vstr *name);
value op_item(jinja_rt *rt, value obj, value key);
value op_slice(jinja_rt *rt, value obj, value start, value stop, value step);
value op_concat_markup(jinja_rt *rt, vstr *a, vstr *b); /* a + b of strings */
vstr *str_percent(jinja_rt *rt, vstr *format, value arg);
vstr *str_format(jinja_rt *rt, vstr *format, const cargs *a);
vstr *format_spec(jinja_rt *rt, value v, const char *spec, size_t n);
vstr *html_escape(jinja_rt *rt, value v);
vstr *str_repeat(jinja_rt *rt, vstr *s, int64_t times);
vstr *tojson_text(jinja_rt *rt, value v, bool ascii, value indent, value separators, bool sort);
value time_now(jinja_rt *rt, value format);

/* ---- built-in filters, tests, methods, functions ---- */

typedef value builtin_fn(jinja_rt *rt, value self, value *a, const cargs *raw);

struct builtin {
    const char *name;
    builtin_fn *fn;
    const char *params; /* names, blanks between; "/" before them: by position only; NULL: what comes, in raw */
    int required;
};

enum { MAX_PARAMS = 6 };

struct vmethod {
    value self;
    const builtin *fn;
};

value builtin_call(jinja_rt *rt, const builtin *b, value self, const cargs *a);
const builtin *find_filter(const vstr *name);
const builtin *find_test(const vstr *name);
const builtin *find_global(const vstr *name);
const builtin *find_method(value obj, const vstr *name);
extern const builtin filters_text[], filters_list[], builtin_tests[], builtin_globals[], methods_str[],
    methods_dict[],
    methods_list[], methods_tuple[], methods_number[], methods_loop[], methods_cycler[];
const builtin *builtin_in(const builtin *table, const char *p, size_t n);

/* Arguments: fails with the name of the built-in. */
int64_t arg_int(jinja_rt *rt, value v, int64_t otherwise); /* otherwise: where v is missing */
bool arg_true(jinja_rt *rt, value v, bool otherwise);
vstr *arg_str(jinja_rt *rt, value v);                       /* must be a string */
vstr *soft_str(jinja_rt *rt, value v);                      /* str(), keeping markup */
value arg_or(value v, value otherwise);
value attr_path(jinja_rt *rt, value item, value path, value otherwise); /* "a.b.0" as filters take it */
value ignore_case(jinja_rt *rt, value v);
void sort_values(jinja_rt *rt, value *items, value *keys, size_t n, bool reverse); /* stable */

/* ---- characters ---- */

bool jchar_space(uint32_t c);
bool jchar_alpha(uint32_t c);
bool jchar_digit(uint32_t c);
bool jchar_decimal(uint32_t c);
bool jchar_numeric(uint32_t c);
bool jchar_upper(uint32_t c);
bool jchar_lower(uint32_t c);
bool jchar_word(uint32_t c); /* letters, digits, numbers */
bool jchar_line_end(uint32_t c);
/* The full mapping, 1 to 3 code points; returns how many. */
size_t jchar_to_upper(uint32_t c, uint32_t out[3]);
size_t jchar_to_lower(uint32_t c, uint32_t out[3]);
size_t jchar_to_title(uint32_t c, uint32_t out[3]);

#endif
