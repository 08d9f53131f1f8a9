/* Which variable a name means. Jinja's compiler settles this before rendering, scope by scope, and templates depend
 * on the outcome in corner cases (a name set anywhere at the top level hides the context's from every loop, for one),
 * so the same rules are kept here: a scope is first read as a whole without entering inner scopes, then the inner
 * scopes are. A name that is only read comes from the context; one that is set starts as the outer scope's variable
 * of that name, or as nothing, or, where it is set in a branch of an `if` only, as the context's. */
#include <string.h>

#include "jinja_impl.h"

typedef struct resolver {
    jinja_rt *rt;
    int loops;     /* loops around this place, whatever is between */
    int functions; /* macros, call blocks and loops that are not plain so far: they keep frames */
} resolver;

static void resolve_body(resolver *r, scope *sc, nodes body, bool soft);
static void resolve_expr(resolver *r, scope *sc, node *n, bool soft);

static scope *scope_new(jinja_rt *rt, scope *up)
{
    scope *sc = rt_alloc(rt, sizeof *sc);
    *sc = (scope){.up = up};
    return sc;
}

static bool same(const vstr *a, const vstr *b) { return a->n == b->n && memcmp(a->p, b->p, a->n) == 0; }
static bool is(const vstr *a, const char *b) { return a->n == strlen(b) && memcmp(a->p, b, a->n) == 0; }

static slotinfo *own_slot(resolver *r, scope *sc, const vstr *name)
{
    rt_step(r->rt, 1 + sc->n / 8);
    for (uint32_t i = 0; i < sc->n; i++)
        if (same(sc->slots[i].name, name)) return &sc->slots[i];
    return NULL;
}

static slotinfo *find_ref(resolver *r, scope *sc, const vstr *name, uint32_t *up, uint32_t *slot)
{
    *up = 0;
    for (; sc; sc = sc->up, ++*up) {
        slotinfo *s = own_slot(r, sc, name);
        if (s) {
            *slot = (uint32_t)(s - sc->slots);
            return s;
        }
    }
    return NULL;
}

static slotinfo *define(resolver *r, scope *sc, vstr *name, load how)
{
    slotinfo *s = own_slot(r, sc, name);
    if (!s) {
        if (sc->n == sc->cap) {
            uint32_t cap = sc->cap ? sc->cap * 2 : 4;
            slotinfo *v = rt_array(r->rt, cap, sizeof *v);
            if (sc->n) memcpy(v, sc->slots, sc->n * sizeof *v);
            sc->slots = v;
            sc->cap = cap;
        }
        s = &sc->slots[sc->n++];
    }
    *s = (slotinfo){.name = name, .how = how};
    return s;
}

/* From the scope further out where that has the name, else as `otherwise`. */
static void set_load(resolver *r, scope *sc, slotinfo *s, load otherwise)
{
    uint32_t up, slot;
    if (sc->up && find_ref(r, sc->up, s->name, &up, &slot)) {
        s->how = LOAD_ALIAS;
        s->up = up + 1;
        s->slot = slot;
    } else {
        s->how = otherwise;
    }
}

static uint32_t param(resolver *r, scope *sc, vstr *name)
{
    slotinfo *s = define(r, sc, name, LOAD_PARAM);
    s->stored = true;
    return (uint32_t)(s - sc->slots);
}

static void read_name(resolver *r, scope *sc, vstr *name)
{
    uint32_t up, slot;
    if (!find_ref(r, sc, name, &up, &slot)) define(r, sc, name, LOAD_RESOLVE);
}

static void store_name(resolver *r, scope *sc, vstr *name)
{
    slotinfo *s = own_slot(r, sc, name);
    if (!s) {
        s = define(r, sc, name, LOAD_NOTHING);
        set_load(r, sc, s, LOAD_NOTHING);
    }
    s->stored = true;
}

/* ---- first pass: the names of one scope ---- */

static void visit(resolver *r, scope *sc, node *n);

static void visit_all(resolver *r, scope *sc, nodes l)
{
    for (size_t i = 0; i < l.n; i++) visit(r, sc, l.v[i]);
}

static void visit_target(resolver *r, scope *sc, node *n, bool as_param)
{
    rt_guard(r->rt);
    if (n->k == N_TUPLE)
        for (size_t i = 0; i < n->list.n; i++) visit_target(r, sc, n->list.v[i], as_param);
    else if (n->k == N_NSREF)
        read_name(r, sc, n->a->name);
    else if (as_param)
        param(r, sc, n->name);
    else
        store_name(r, sc, n->name);
}

/* Names that a branch sets for the first time may have kept what the context or the outer scope gave them. */
static void visit_if(resolver *r, scope *sc, node *n)
{
    visit(r, sc, n->a);
    uint32_t known = sc->n;
    bool *stored = rt_alloc(r->rt, known + 1);
    for (uint32_t i = 0; i < known; i++) stored[i] = sc->slots[i].stored;
    visit_all(r, sc, n->st->body);
    visit_all(r, sc, n->st->other);
    visit_all(r, sc, n->st->orelse);
    for (uint32_t i = 0; i < sc->n; i++)
        if (sc->slots[i].stored && !(i < known && stored[i])) set_load(r, sc, &sc->slots[i], LOAD_RESOLVE);
    rt_step(r->rt, sc->n);
}

static void visit_args(resolver *r, scope *sc, nargs *a)
{
    if (!a) return;
    visit_all(r, sc, a->pos);
    visit_all(r, sc, a->kwv);
    visit(r, sc, a->star);
    visit(r, sc, a->star2);
}

static void visit(resolver *r, scope *sc, node *n)
{
    if (!n) return;
    rt_guard(r->rt);
    switch (n->k) {
    case N_NAME: read_name(r, sc, n->name); break;
    case N_IF: visit_if(r, sc, n); break;
    case N_FOR: visit(r, sc, n->b); break;
    case N_MACRO: store_name(r, sc, n->name); break;
    case N_SET:
        visit(r, sc, n->b);
        visit_target(r, sc, n->a, false);
        break;
    case N_SETBLOCK: visit_target(r, sc, n->a, false); break;
    case N_WITH: visit_all(r, sc, n->st->other); break;
    case N_SCOPE:
    case N_BLOCK: break;
    default: /* expressions, output; of call and filter blocks the call or filter */
        visit(r, sc, n->a);
        if (n->k != N_CALLBLOCK) visit_all(r, sc, n->list);
        visit(r, sc, n->b);
        visit(r, sc, n->d);
        visit_args(r, sc, n->args);
    }
}

/* ---- whether a body reads `loop`, `caller`, `kwargs`, `varargs` before it sets them ---- */

enum { NOT_SEEN, READ_FIRST, SET_FIRST };

static int mention(resolver *r, const node *n, const char *word);

static int mention_all(resolver *r, nodes l, const char *word)
{
    int seen = NOT_SEEN;
    for (size_t i = 0; i < l.n && !seen; i++) seen = mention(r, l.v[i], word);
    return seen;
}

static int mention_target(const node *n, const char *word)
{
    int seen = NOT_SEEN;
    if (n->k == N_NAME) return is(n->name, word) ? SET_FIRST : NOT_SEEN;
    for (size_t i = 0; i < n->list.n && !seen; i++) seen = mention_target(n->list.v[i], word);
    return seen;
}

static int mention_targets(nodes l, const char *word)
{
    int seen = NOT_SEEN;
    for (size_t i = 0; i < l.n && !seen; i++) seen = mention_target(l.v[i], word);
    return seen;
}

static int mention_statement(resolver *r, const node *n, const char *word)
{
    int seen = NOT_SEEN;
    const nstmt *st = n->st;
    switch (n->k) {
    case N_FOR:
    case N_SET:
    case N_SETBLOCK:
        if (!seen) seen = mention_target(n->a, word);
        if (!seen) seen = mention(r, n->b, word);
        break;
    case N_MACRO:
    case N_WITH: seen = mention_targets(n->list, word); break;
    case N_CALLBLOCK:
        seen = mention(r, n->a, word);
        if (!seen) seen = mention_targets(n->list, word);
        break;
    case N_BLOCK: return NOT_SEEN;
    default: seen = mention(r, n->a, word); break;
    }
    bool values_first = n->k == N_MACRO || n->k == N_WITH || n->k == N_CALLBLOCK;
    if (!seen && values_first) seen = mention_all(r, st->other, word);
    if (!seen) seen = mention_all(r, st->body, word);
    if (!seen && !values_first) seen = mention_all(r, st->other, word);
    if (!seen) seen = mention_all(r, st->orelse, word);
    if (!seen && n->k == N_FOR) seen = mention(r, n->d, word);
    return seen;
}

static int mention(resolver *r, const node *n, const char *word)
{
    if (!n) return NOT_SEEN;
    rt_guard(r->rt);
    if (n->k == N_NAME) return is(n->name, word) ? READ_FIRST : NOT_SEEN;
    if (n->st) return mention_statement(r, n, word);
    int seen = mention(r, n->a, word);
    if (!seen) seen = mention_all(r, n->list, word);
    if (!seen) seen = mention(r, n->b, word);
    if (!seen) seen = mention(r, n->d, word);
    if (!seen && n->args) {
        seen = mention_all(r, n->args->pos, word);
        if (!seen) seen = mention_all(r, n->args->kwv, word);
        if (!seen) seen = mention(r, n->args->star, word);
        if (!seen) seen = mention(r, n->args->star2, word);
    }
    return seen;
}

static bool reads(resolver *r, nodes body, const char *word) { return mention_all(r, body, word) == READ_FIRST; }

/* ---- second pass: names get their places, inner scopes are entered ---- */

static void place(resolver *r, scope *sc, node *n)
{
    if (find_ref(r, sc, n->name, &n->up, &n->slot)) return;
    slotinfo *s = define(r, sc, n->name, LOAD_RESOLVE);
    n->up = 0;
    n->slot = (uint32_t)(s - sc->slots);
}

static void resolve_target(resolver *r, scope *sc, node *n)
{
    if (n->k == N_TUPLE) {
        for (size_t i = 0; i < n->list.n; i++) resolve_target(r, sc, n->list.v[i]);
        return;
    }
    node *name = n->k == N_NSREF ? n->a : n;
    if (r->loops && n->k == N_NAME && is(n->name, "loop")) {
        r->rt->line = n->line;
        rt_fail(r->rt, TAWNY_E_FORMAT, "can't assign to the special loop variable");
    }
    place(r, sc, name);
}

static void resolve_all(resolver *r, scope *sc, nodes l, bool soft)
{
    for (size_t i = 0; i < l.n; i++) resolve_expr(r, sc, l.v[i], soft);
}

static void resolve_expr(resolver *r, scope *sc, node *n, bool soft)
{
    if (!n) return;
    rt_guard(r->rt);
    if (n->k == N_NAME) {
        place(r, sc, n);
        return;
    }
    soft |= n->k == N_COND;
    if ((n->k == N_FILTER || n->k == N_TEST) && !n->fn && !soft) { /* in a condition it fails when it is reached */
        r->rt->line = n->line;
        rt_fail(r->rt, TAWNY_E_FORMAT, "no %s named '%.100s'", n->k == N_FILTER ? "filter" : "test",
                vstr_cstr(r->rt, n->name));
    }
    resolve_expr(r, sc, n->a, soft);
    resolve_expr(r, sc, n->b, soft);
    resolve_expr(r, sc, n->d, soft);
    resolve_all(r, sc, n->list, soft);
    if (!n->args) return;
    resolve_all(r, sc, n->args->pos, soft);
    resolve_all(r, sc, n->args->kwv, soft);
    resolve_expr(r, sc, n->args->star, soft);
    resolve_expr(r, sc, n->args->star2, soft);
}

static node *clone_target(resolver *r, const node *n)
{
    node *c = rt_alloc(r->rt, sizeof *c);
    rt_guard(r->rt);
    *c = *n;
    if (n->k == N_TUPLE) {
        c->list.v = rt_array(r->rt, n->list.n, sizeof *c->list.v);
        for (size_t i = 0; i < n->list.n; i++) c->list.v[i] = clone_target(r, n->list.v[i]);
    }
    return c;
}

static void resolve_for(resolver *r, scope *sc, node *n)
{
    nstmt *st = n->st;
    jinja_rt *rt = r->rt;
    resolve_expr(r, sc, n->b, false);
    r->loops++;
    scope *body = st->scope = scope_new(rt, sc);
    st->uses_loop = st->recursive || reads(r, st->body, "loop");
    if (st->uses_loop) st->loop_slot = param(r, body, vstr_c(rt, "loop"));
    visit_target(r, body, n->a, true);
    visit_all(r, body, st->body);
    if (n->d) {
        scope *test = st->test_scope = scope_new(rt, sc);
        st->test_target = clone_target(r, n->a);
        visit_target(r, test, n->a, true);
        visit(r, test, n->d);
        resolve_target(r, test, st->test_target);
        resolve_expr(r, test, n->d, false);
    }
    resolve_target(r, body, n->a);
    int functions = r->functions;
    resolve_body(r, body, st->body, false);
    st->plain = !st->uses_loop && r->functions == functions && body->n <= POOLED_SLOTS;
    if (!st->plain) r->functions++; /* its loop variable may be kept, and leads to the frames around it */
    if (st->other.n) {
        scope *other = st->else_scope = scope_new(rt, sc);
        visit_all(r, other, st->other);
        resolve_body(r, other, st->other, false);
    }
    r->loops--;
}

static void resolve_function(resolver *r, scope *sc, node *n)
{
    nstmt *st = n->st;
    r->functions++;
    scope *in = st->scope = scope_new(r->rt, sc);
    bool own_caller = false, own_kwargs = false, own_varargs = false;
    for (size_t i = 0; i < n->list.n; i++) {
        vstr *name = n->list.v[i]->name;
        own_caller |= is(name, "caller");
        own_kwargs |= is(name, "kwargs");
        own_varargs |= is(name, "varargs");
        if (own_slot(r, in, name)) {
            r->rt->line = n->line;
            rt_fail(r->rt, TAWNY_E_FORMAT, "duplicate parameter '%.100s'", vstr_cstr(r->rt, name));
        }
        n->list.v[i]->slot = param(r, in, name);
    }
    st->caller = reads(r, st->body, "caller");
    st->kwargs = !own_kwargs && reads(r, st->body, "kwargs");
    st->varargs = !own_varargs && reads(r, st->body, "varargs");
    if (st->caller && !own_caller) st->caller_slot = param(r, in, vstr_c(r->rt, "caller"));
    if (own_caller) st->caller = false;
    if (st->kwargs) st->kwargs_slot = param(r, in, vstr_c(r->rt, "kwargs"));
    if (st->varargs) st->varargs_slot = param(r, in, vstr_c(r->rt, "varargs"));
    visit_all(r, in, st->other);
    visit_all(r, in, st->body);
    resolve_all(r, in, st->other, false);
    resolve_body(r, in, st->body, false);
}

static void resolve_with(resolver *r, scope *sc, node *n)
{
    scope *in = n->st->scope = scope_new(r->rt, sc);
    resolve_all(r, sc, n->st->other, false);
    for (size_t i = 0; i < n->list.n; i++) visit_target(r, in, n->list.v[i], true);
    visit_all(r, in, n->st->body);
    for (size_t i = 0; i < n->list.n; i++) {
        int loops = r->loops;
        r->loops = 0; /* `with loop = ...` is allowed */
        resolve_target(r, in, n->list.v[i]);
        r->loops = loops;
    }
    resolve_body(r, in, n->st->body, false);
}

/* Filter blocks, set blocks, and scopes without anything else. */
static void resolve_inner(resolver *r, scope *sc, node *n)
{
    scope *in = n->st->scope = scope_new(r->rt, sc);
    node *filter = n->k == N_FILTERBLOCK ? n->a : n->k == N_SETBLOCK ? n->b : NULL;
    visit(r, in, filter);
    visit_all(r, in, n->st->body);
    resolve_expr(r, in, filter, false);
    resolve_body(r, in, n->st->body, false);
}

static void resolve_if(resolver *r, scope *sc, node *n)
{
    resolve_expr(r, sc, n->a, true);
    resolve_body(r, sc, n->st->body, true);
    for (size_t i = 0; i < n->st->other.n; i++) resolve_if(r, sc, n->st->other.v[i]);
    resolve_body(r, sc, n->st->orelse, true);
}

static void resolve_statement(resolver *r, scope *sc, node *n, bool soft)
{
    rt_guard(r->rt);
    switch (n->k) {
    case N_FOR: resolve_for(r, sc, n); break;
    case N_IF: resolve_if(r, sc, n); break;
    case N_MACRO:
        resolve_function(r, sc, n);
        place(r, sc, n->a);
        break;
    case N_CALLBLOCK:
        resolve_expr(r, sc, n->a, soft);
        resolve_function(r, sc, n);
        break;
    case N_SET:
        resolve_expr(r, sc, n->b, soft);
        resolve_target(r, sc, n->a);
        break;
    case N_SETBLOCK:
        resolve_inner(r, sc, n);
        resolve_target(r, sc, n->a);
        break;
    case N_FILTERBLOCK:
    case N_SCOPE: resolve_inner(r, sc, n); break;
    case N_WITH: resolve_with(r, sc, n); break;
    case N_BLOCK: /* its scope sees the context and the top level's variables by name alone */
        n->st->scope = scope_new(r->rt, NULL);
        visit_all(r, n->st->scope, n->st->body);
        resolve_body(r, n->st->scope, n->st->body, false);
        break;
    case N_OUTPUT: resolve_all(r, sc, n->list, soft); break;
    default: break;
    }
}

static void resolve_body(resolver *r, scope *sc, nodes body, bool soft)
{
    for (size_t i = 0; i < body.n; i++) resolve_statement(r, sc, body.v[i], soft);
}

void jinja_resolve(jinja_rt *rt, jinja *t)
{
    resolver *r = rt_alloc(rt, sizeof *r);
    *r = (resolver){.rt = rt};
    t->root = scope_new(rt, NULL);
    visit_all(r, t->root, t->body);
    resolve_body(r, t->root, t->body, false);
}
