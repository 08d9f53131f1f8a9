/* Statements, loops, macros, and the way in: parsing and rendering. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jinja_impl.h"

/* ---- frames ---- */

static value context_lookup(jinja_rt *rt, const vstr *name)
{
    jinja_run *run = rt->run;
    if (run->tpl->blocks.n) { /* a block sees the top level's variables */
        const scope *sc = run->tpl->root;
        for (uint32_t i = 0; run->root && i < sc->n; i++)
            if (sc->slots[i].stored && run->root->v[i].t != V_MISSING &&
                vstr_eq(rt, sc->slots[i].name, (vstr *)(uintptr_t)name))
                return run->root->v[i];
    }
    if (name->n == 4 && memcmp(name->p, "self", 4) == 0) return (value){.t = V_BLOCKS};
    value *v = dict_get_str(rt, run->context, name);
    if (v) return *v;
    const builtin *b = find_global(name);
    return b ? (value){.t = V_FUNC, .u.p = b} : v_missing();
}

void frame_reset(jinja_rt *rt, frame *f)
{
    for (uint32_t i = 0; i < f->sc->n; i++) {
        const slotinfo *s = &f->sc->slots[i];
        f->v[i] = v_missing();
        if (s->how == LOAD_RESOLVE) {
            f->v[i] = context_lookup(rt, s->name);
        } else if (s->how == LOAD_ALIAS) {
            frame *from = f;
            for (uint32_t k = s->up; k; k--) from = from->up;
            f->v[i] = from->v[s->slot];
        }
    }
}

frame *frame_enter(jinja_rt *rt, const scope *sc, frame *up)
{
    frame *f = rt_alloc(rt, sizeof *f + sc->n * sizeof(value));
    f->up = up;
    f->sc = sc;
    frame_reset(rt, f);
    return f;
}

/* ---- assignment ---- */

static value *slot_of(const node *name, frame *f)
{
    for (uint32_t i = name->up; i; i--) f = f->up;
    return &f->v[name->slot];
}

static void unpack(jinja_rt *rt, node *target, value v, frame *f)
{
    viter *it = val_iter(rt, v);
    value *sp = rt->sp, x;
    while ((size_t)(rt->sp - sp) <= target->list.n && iter_next(rt, it, &x)) rt_push(rt, x);
    size_t n = (size_t)(rt->sp - sp);
    if (n != target->list.n)
        rt_type_error(rt, "%s values to unpack (expected %zu)", n < target->list.n ? "not enough" : "too many",
            target->list.n);
    for (size_t i = 0; i < n; i++) assign_to(rt, target->list.v[i], sp[i], f);
    rt->sp = sp;
}

void assign_to(jinja_rt *rt, node *target, value v, frame *f)
{
    rt_guard(rt);
    if (target->k == N_NAME) {
        *slot_of(target, f) = v;
    } else if (target->k == N_TUPLE) {
        unpack(rt, target, v, f);
    } else {
        value ns = *slot_of(target->a, f);
        if (ns.t != V_NS) rt_type_error(rt, "cannot assign attribute on non-namespace object");
        dict_set(rt, ns.u.d, v_str(target->name), v);
    }
}

static void check_namespaces(jinja_rt *rt, node *target, frame *f)
{
    if (target->k == N_TUPLE)
        for (size_t i = 0; i < target->list.n; i++) check_namespaces(rt, target->list.v[i], f);
    else if (target->k == N_NSREF && slot_of(target->a, f)->t != V_NS)
        rt_type_error(rt, "cannot assign attribute on non-namespace object");
}

/* The output of body as a string; *how is how it ended. */
static vstr *capture(jinja_rt *rt, nodes body, frame *f, flow *how)
{
    vsb b = {.rt = rt}, *out = rt->out;
    rt->out = &b;
    *how = jinja_exec(rt, body, f);
    rt->out = out;
    return vsb_done(&b);
}

/* ---- loops ---- */

typedef struct loop_test {
    node *loop;
    frame *f;
} loop_test;

static bool next_passing(jinja_rt *rt, viter *it, value *out)
{
    loop_test *t = it->data;
    while (iter_next(rt, it->inner, out)) {
        assign_to(rt, t->loop->st->test_target, *out, t->f);
        if (val_true(rt, jinja_eval(rt, t->loop->d, t->f))) return true;
    }
    return false;
}

static value peek(jinja_rt *rt, loop_state *l)
{
    value v;
    if (l->after.t == V_MISSING && iter_next(rt, l->it, &v)) l->after = v;
    return l->after;
}

static bool loop_next(jinja_rt *rt, loop_state *l, value *out)
{
    if (l->after.t != V_MISSING) {
        *out = l->after;
        l->after = v_missing();
    } else if (!iter_next(rt, l->it, out)) {
        return false;
    }
    l->index0++;
    l->before = l->current;
    l->current = *out;
    return true;
}

size_t loop_length(jinja_rt *rt, loop_state *l)
{
    size_t n;
    if (l->length >= 0) return (size_t)l->length;
    if (!val_len(rt, l->src, &n)) { /* a generator: the rest of it is taken now */
        vseq *rest = val_list(rt, (value){.t = V_ITER, .u.iter = l->it});
        l->it = val_iter(rt, v_seq(V_LIST, rest));
        n = rest->n + (size_t)(l->index0 + 1) + (l->after.t != V_MISSING);
    }
    l->length = (int64_t)n;
    return n;
}

value loop_attr(jinja_rt *rt, value loop, const vstr *name)
{
    static const char *const names[] = {"index", "index0", "first", "last", "length", "revindex", "revindex0",
        "previtem",
        "nextitem", "depth", "depth0"};
    loop_state *l = (loop_state *)(uintptr_t)loop.u.p;
    size_t i = 0, count = sizeof names / sizeof *names;
    while (i < count && !(strlen(names[i]) == name->n && memcmp(names[i], name->p, name->n) == 0)) i++;
    value v;
    switch (i) {
    case 0: return v_int(l->index0 + 1);
    case 1: return v_int(l->index0);
    case 2: return v_bool(l->index0 == 0);
    case 3: return v_bool(peek(rt, l).t == V_MISSING);
    case 4: return v_int((int64_t)loop_length(rt, l));
    case 5: return v_int((int64_t)loop_length(rt, l) - l->index0);
    case 6: return v_int((int64_t)loop_length(rt, l) - l->index0 - 1);
    case 7: return l->index0 == 0 ? v_undef(rt, "there is no previous item") : l->before;
    case 8: v = peek(rt, l); return v.t == V_MISSING ? v_undef(rt, "there is no next item") : v;
    case 9: return v_int(l->depth0 + 1);
    case 10: return v_int(l->depth0);
    default: return v_undef_attr(rt, loop, name);
    }
}

/* What a loop needs, used again by the next one where nothing can have kept a part of it: templates run loops inside
 * of loops over all messages, and memory goes back at the end of the render only. */
typedef struct loop_room {
    struct loop_room *next;
    loop_state l;
    viter it;
    frame *f; /* with POOLED_SLOTS slots */
} loop_room;

static loop_room *loop_room_take(jinja_rt *rt, const nstmt *st)
{
    loop_room *r = st->plain ? rt->run->rooms : NULL;
    if (r) {
        rt->run->rooms = r->next;
        return r;
    }
    uint32_t slots = st->plain || st->scope->n < POOLED_SLOTS ? POOLED_SLOTS : st->scope->n;
    r = rt_alloc(rt, sizeof *r);
    r->f = rt_alloc(rt, sizeof *r->f + slots * sizeof(value));
    return r;
}

/* Runs over src from within r where it can: lists and ranges. */
static viter *loop_iter(jinja_rt *rt, loop_room *r, value src)
{
    if (src.t != V_LIST && src.t != V_RANGE) return val_iter(rt, src);
    iter_start(&r->it, src);
    return &r->it;
}

static void run_loop(jinja_rt *rt, node *n, value src, frame *f, int64_t depth0)
{
    nstmt *st = n->st;
    bool none = true;
    loop_room *r = loop_room_take(rt, st);
    viter *it = loop_iter(rt, r, src);
    if (n->d) {
        loop_test *t = rt_alloc(rt, sizeof *t);
        *t = (loop_test){n, frame_enter(rt, st->test_scope, f)};
        src = v_iter(rt, next_passing, src, it, t);
        it = src.u.iter;
    }
    loop_state *l = &r->l;
    *l = (loop_state){.it = it, .src = src, .index0 = -1, .depth0 = depth0, .length = -1, .def = n, .up = f};
    frame *in = r->f;
    in->up = f;
    in->sc = st->scope;
    for (value v; loop_next(rt, l, &v);) {
        frame_reset(rt, in);
        assign_to(rt, n->a, v, in);
        if (st->uses_loop) in->v[st->loop_slot] = (value){.t = V_LOOP, .u.p = l};
        flow how = jinja_exec(rt, st->body, in);
        if (how == FLOW_BREAK) break;
        /* as in Jinja, an iteration that ends by `continue` does not keep `else` away */
        if (how == FLOW_ON) none = false;
        rt->line = n->line;
    }
    if (st->plain) {
        r->next = rt->run->rooms;
        rt->run->rooms = r;
    }
    if (none && st->other.n) jinja_exec(rt, st->other, frame_enter(rt, st->else_scope, f));
}

static vstr *loop_text(jinja_rt *rt, node *n, value src, frame *f, int64_t depth0)
{
    vsb b = {.rt = rt}, *out = rt->out;
    rt->out = &b;
    run_loop(rt, n, src, f, depth0);
    rt->out = out;
    return vsb_done(&b);
}

value loop_call(jinja_rt *rt, value loop, const cargs *a)
{
    loop_state *l = (loop_state *)(uintptr_t)loop.u.p;
    if (!l->def->st->recursive)
        rt_type_error(rt, "the loop must have the 'recursive' marker to be called recursively");
    if (a->n != 1 || a->n_kw) rt_type_error(rt, "a loop takes one argument");
    return v_str(loop_text(rt, l->def, a->pos[0], l->up, l->depth0 + 1));
}

void loop_repr_to(vsb *b, value v)
{
    loop_state *l = (loop_state *)(uintptr_t)v.u.p;
    vsb_c(b, "<LoopContext ");
    vsb_int(b, l->index0 + 1);
    vsb_c(b, "/");
    vsb_int(b, (int64_t)loop_length(b->rt, l));
    vsb_c(b, ">");
}

/* ---- macros ---- */

void macro_repr_to(vsb *b, value v)
{
    const macro *m = v.u.p;
    vsb_c(b, "<Macro ");
    if (m->def->name)
        vstr_repr_to(b, m->def->name);
    else
        vsb_c(b, "anonymous");
    vsb_c(b, ">");
}

/* Takes the keyword argument called name out of those not used yet. */
static value take_kw(const cargs *a, bool *used, const vstr *name)
{
    for (size_t i = 0; i < a->n_kw; i++) {
        vstr *k = a->kw[i];
        if (used[i] || k->n != name->n || !k->p || memcmp(k->p, name->p, k->n) != 0) continue;
        used[i] = true;
        return a->kwv[i];
    }
    return v_missing();
}

static value rest_kw(jinja_rt *rt, const cargs *a, const bool *used)
{
    vdict *d = dict_new(rt, a->n_kw);
    for (size_t i = 0; i < a->n_kw; i++)
        if (!used[i]) dict_set(rt, d, v_str(a->kw[i]), a->kwv[i]);
    return v_dict(d);
}

static void macro_specials(jinja_rt *rt, const node *def, const cargs *a, bool *used, frame *f)
{
    const nstmt *st = def->st;
    size_t params = def->list.n;
    const char *name = def->name ? vstr_cstr(rt, def->name) : "caller";
    if (st->caller) {
        vstr key = {.p = "caller", .n = 6};
        value c = take_kw(a, used, &key);
        if (c.t == V_MISSING || c.t == V_NONE) c = v_undef(rt, "no caller defined");
        f->v[st->caller_slot] = c;
    }
    for (size_t i = 0; i < a->n_kw && !st->kwargs; i++)
        if (!used[i])
            rt_type_error(rt, "macro '%.100s' takes no keyword argument '%.100s'", name, vstr_cstr(rt, a->kw[i]));
    if (st->kwargs) f->v[st->kwargs_slot] = rest_kw(rt, a, used);
    if (!st->varargs) {
        if (a->n > params) rt_type_error(rt, "macro '%.100s' takes not more than %zu argument(s)", name, params);
        return;
    }
    size_t extra = a->n > params ? a->n - params : 0;
    vseq *q = seq_new(rt, extra);
    if (extra) memcpy(q->v, a->pos + params, extra * sizeof(value));
    f->v[st->varargs_slot] = v_seq(V_TUPLE, q);
}

vstr *macro_invoke(jinja_rt *rt, value fn, const cargs *a)
{
    const macro *m = fn.u.p;
    node *def = m->def;
    rt_guard(rt);
    for (size_t i = 0; i < a->n_kw; i++) vstr_bytes(rt, a->kw[i]);
    frame *f = frame_enter(rt, def->st->scope, m->up);
    bool *used = rt_alloc(rt, a->n_kw + 1);
    memset(used, 0, a->n_kw + 1);
    for (size_t i = 0; i < def->list.n; i++) {
        const node *p = def->list.v[i];
        f->v[p->slot] = i < a->n ? a->pos[i] : take_kw(a, used, p->name);
    }
    macro_specials(rt, def, a, used, f);
    for (size_t i = 0; i < def->list.n; i++) {
        const node *p = def->list.v[i];
        node *otherwise = def->st->other.v[i];
        if (f->v[p->slot].t != V_MISSING) continue;
        f->v[p->slot] = otherwise ? jinja_eval(rt, otherwise, f) : v_undef_name(rt, p->name);
    }
    flow how;
    return capture(rt, def->st->body, f, &how);
}

value block_call(jinja_rt *rt, value block)
{
    const node *n = block.u.p;
    flow how;
    return v_str(capture(rt, n->st->body, frame_enter(rt, n->st->scope, NULL), &how));
}

/* ---- statements ---- */

static flow exec_if(jinja_rt *rt, node *n, frame *f)
{
    if (val_true(rt, jinja_eval(rt, n->a, f))) return jinja_exec(rt, n->st->body, f);
    for (size_t i = 0; i < n->st->other.n; i++) {
        node *branch = n->st->other.v[i];
        if (val_true(rt, jinja_eval(rt, branch->a, f))) return jinja_exec(rt, branch->st->body, f);
    }
    return jinja_exec(rt, n->st->orelse, f);
}

static void exec_for(jinja_rt *rt, node *n, frame *f)
{
    value src = jinja_eval(rt, n->b, f);
    rt->line = n->line;
    if (n->st->recursive)
        vsb_str(rt->out, loop_text(rt, n, src, f, 0));
    else
        run_loop(rt, n, src, f, 0);
}

static flow exec_set_block(jinja_rt *rt, node *n, frame *f)
{
    flow how;
    frame *in = frame_enter(rt, n->st->scope, f);
    vstr *s = capture(rt, n->st->body, in, &how);
    if (how != FLOW_ON) return how;
    value v = v_str(s);
    if (n->b) { /* the innermost filter finds its text on the stack */
        rt_push(rt, v);
        v = jinja_eval(rt, n->b, in);
    }
    assign_to(rt, n->a, v, f);
    return FLOW_ON;
}

static flow exec_filter_block(jinja_rt *rt, node *n, frame *f)
{
    flow how;
    frame *in = frame_enter(rt, n->st->scope, f);
    vstr *s = capture(rt, n->st->body, in, &how);
    if (how != FLOW_ON) return how;
    rt_push(rt, v_str(s));
    value v = jinja_eval(rt, n->a, in);
    if (v.t != V_STR) rt_type_error(rt, "a filter block must give a string, not '%s'", val_type(v));
    vsb_str(rt->out, v.u.s);
    return FLOW_ON;
}

static flow exec_with(jinja_rt *rt, node *n, frame *f)
{
    frame *in = frame_enter(rt, n->st->scope, f);
    for (size_t i = 0; i < n->list.n; i++) assign_to(rt, n->list.v[i], jinja_eval(rt, n->st->other.v[i], f), in);
    return jinja_exec(rt, n->st->body, in);
}

static void exec_output(jinja_rt *rt, node *n, frame *f)
{
    for (size_t i = 0; i < n->list.n; i++) {
        node *x = n->list.v[i];
        rt->line = x->line;
        val_str_to(rt->out, jinja_eval(rt, x, f));
    }
}

static flow exec_one(jinja_rt *rt, node *n, frame *f)
{
    switch (n->k) {
    case N_OUTPUT: exec_output(rt, n, f); return FLOW_ON;
    case N_IF: return exec_if(rt, n, f);
    case N_FOR: exec_for(rt, n, f); return FLOW_ON;
    case N_SET: {
        check_namespaces(rt, n->a, f);
        value v = jinja_eval(rt, n->b, f);
        rt->line = n->line;
        assign_to(rt, n->a, v, f);
        return FLOW_ON;
    }
    case N_SETBLOCK: return exec_set_block(rt, n, f);
    case N_MACRO: {
        macro *m = rt_alloc(rt, sizeof *m);
        *m = (macro){.def = n, .up = f};
        *slot_of(n->a, f) = (value){.t = V_MACRO, .u.p = m};
        return FLOW_ON;
    }
    case N_CALLBLOCK: exec_call_block(rt, n, f); return FLOW_ON;
    case N_FILTERBLOCK: return exec_filter_block(rt, n, f);
    case N_WITH: return exec_with(rt, n, f);
    case N_SCOPE: return jinja_exec(rt, n->st->body, frame_enter(rt, n->st->scope, f));
    case N_BLOCK: vsb_str(rt->out, block_call(rt, (value){.t = V_BLOCK, .u.p = n}).u.s); return FLOW_ON;
    case N_BREAK: return FLOW_BREAK;
    case N_CONTINUE: return FLOW_CONTINUE;
    default:
        rt_fail(rt, TAWNY_E_UNSUPPORTED, "'%.100s' needs other templates, and a chat template has none",
            vstr_cstr(rt, n->name));
    }
}

flow jinja_exec(jinja_rt *rt, nodes body, frame *f)
{
    rt_guard(rt);
    for (size_t i = 0; i < body.n; i++) {
        rt_step(rt, 1);
        rt->line = body.v[i]->line;
        flow how = exec_one(rt, body.v[i], f);
        if (how != FLOW_ON) return how;
    }
    return FLOW_ON;
}
