/* Values of the template interpreter: Python's None, bool, int (64 bits, overflow is an error), float, str, list,
 * tuple, dict and what Jinja adds. All live in one arena a render and are immutable (namespaces and iterators apart).
 *
 * Errors leave by longjmp (rt_fail) to the one setjmp of a parse or render; nothing but the arena and the output is
 * owned meanwhile, so nothing can leak. */
#ifndef TEXT_VALUE_H
#define TEXT_VALUE_H

#include <setjmp.h>
#include <time.h>

#include "../base/arena.h"
#include "../base/error.h"

typedef enum vtype {
    V_MISSING, /* no value: an argument not given, a variable not yet set */
    V_UNDEF,
    V_NONE,
    V_BOOL,
    V_INT,
    V_FLOAT,
    V_STR,
    V_LIST,
    V_TUPLE,
    V_DICT,
    V_RANGE,
    V_VIEW,   /* keys(), values(), items() of a dict */
    V_ITER,   /* a generator: can be iterated once */
    V_NS,     /* namespace() */
    V_MACRO,
    V_FUNC,   /* a global function */
    V_METHOD, /* a method bound to its object */
    V_LOOP,
    V_CYCLER,
    V_JOINER,
    V_BLOCKS, /* self */
    V_BLOCK   /* self.name */
} vtype;

typedef struct vstr vstr;
typedef struct vseq vseq;
typedef struct vdict vdict;
typedef struct vrange vrange;
typedef struct vview vview;
typedef struct viter viter;
typedef struct vmethod vmethod;
typedef struct vcycler vcycler;
typedef struct jinja_rt jinja_rt;

typedef struct value {
    vtype t;
    uint32_t aux; /* V_UNDEF: what u holds, and the type of the object that lacks the attribute */
    union {
        bool b;
        int64_t i;
        double f;
        vstr *s;
        vseq *q;
        vdict *d; /* V_DICT and V_NS */
        vrange *range;
        vview *view;
        viter *iter;
        vmethod *method;
        vcycler *cycler;
        const void *p;
    } u;
} value;

/* Bytes up to `end` (from the end of the run before) are of one provenance. */
typedef struct vmark {
    size_t end;
    bool trust;
} vmark;

/* UTF-8 text with provenance: flat, or a rope (p NULL) that is flattened when its bytes are wanted. */
struct vstr {
    const char *p;
    size_t n;            /* bytes */
    size_t chars;        /* code points; SIZE_MAX: not counted yet */
    uint64_t hash;       /* 0: not computed yet */
    const vmark *marks;  /* runs that cover [0, n); NULL where the whole string is of provenance `trust` */
    vstr *left, *right;
    uint32_t n_marks;
    uint32_t depth; /* of the rope; 0 where flat */
    bool trust;
    bool markup; /* "safe" text: joined with other text, the other is HTML-escaped */
};

struct vseq {
    value *v;
    size_t n;
    bool group; /* a tuple of groupby(): .grouper and .list */
};

struct vdict {
    value *keys, *vals; /* in order of insertion */
    uint32_t n, cap;
    uint32_t *index; /* open addressing, position + 1; NULL while small */
    uint32_t n_index;
};

/* Why a value is undefined: said when it is used. Undefined values are made all the time in conditions, so they take
 * no memory: u.s is the name (or, for UNDEF_HINT, u.p a whole message). */
enum { UNDEF_HINT, UNDEF_NAME, UNDEF_ATTRIBUTE, UNDEF_ELEMENT, UNDEF_DENIED };

struct vrange {
    int64_t start, stop, step;
    size_t n;
};

struct vview {
    vdict *d;
    char kind; /* 'k', 'v', 'i' */
};

struct viter {
    bool (*next)(jinja_rt *rt, viter *it, value *out);
    value src; /* what it runs over */
    viter *inner;
    size_t at;
    void *data;
    bool done;
};

struct vcycler {
    value *items;
    size_t n, at;
    vstr *sep; /* of a joiner */
};

/* A parse or a render in progress: memory, limits, the way out. */
struct jinja_rt {
    arena *mem;
    char *at, *end;
    size_t used, max_bytes, block;
    uint64_t steps, max_steps;
    size_t max_text; /* bytes of one string */
    char *stack_base;
    jmp_buf escape;
    tawny_error *err;
    uint32_t line;  /* of the template, for messages */
    value *sp, *stack_end; /* arguments of calls in progress */
    struct vsb *out;       /* where output goes */
    struct jinja_run *run; /* a render's own state */
};

/* The ceiling on C stack used below the entry, so that callers may have small stacks. */
enum { RT_STACK = 150 * 1024 };

_Noreturn void rt_fail(jinja_rt *rt, tawny_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
_Noreturn void rt_type_error(jinja_rt *rt, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void *rt_alloc(jinja_rt *rt, size_t n);                   /* never NULL; aligned to 16; not zeroed */
void *rt_array(jinja_rt *rt, size_t n, size_t size);
_Noreturn void rt_out_of_steps(jinja_rt *rt);
_Noreturn void rt_too_deep(jinja_rt *rt);

/* Counts work; n is about a nanosecond times ten. */
static inline void rt_step(jinja_rt *rt, size_t n)
{
    rt->steps += n;
    if (rt->steps > rt->max_steps) rt_out_of_steps(rt);
}

/* To be called by everything that recurses. */
static inline void rt_guard(jinja_rt *rt)
{
    char *here = __builtin_frame_address(0);
    if (rt->stack_base - here > RT_STACK) rt_too_deep(rt);
    rt_step(rt, 1);
}

void rt_push(jinja_rt *rt, value v);

/* Constructors. */
static inline value v_none(void) { return (value){.t = V_NONE}; }
static inline value v_missing(void) { return (value){.t = V_MISSING}; }
static inline value v_bool(bool b) { return (value){.t = V_BOOL, .u.b = b}; }
static inline value v_int(int64_t i) { return (value){.t = V_INT, .u.i = i}; }
static inline value v_float(double f) { return (value){.t = V_FLOAT, .u.f = f}; }
static inline value v_str(vstr *s) { return (value){.t = V_STR, .u.s = s}; }
static inline value v_seq(vtype t, vseq *q) { return (value){.t = t, .u.q = q}; }
static inline value v_dict(vdict *d) { return (value){.t = V_DICT, .u.d = d}; }
value v_undef(jinja_rt *rt, const char *hint);                          /* with a message of its own */
value v_undef_name(jinja_rt *rt, const vstr *name);                     /* a variable */
value v_undef_attr(jinja_rt *rt, value obj, const vstr *name);          /* an attribute */
value v_undef_item(jinja_rt *rt, value obj, value key);                 /* an element */
value v_undef_denied(jinja_rt *rt, value obj, const vstr *name);        /* refused by the sandbox */
_Noreturn void rt_undefined(jinja_rt *rt, value undef);                 /* fails with its message */
vseq *seq_new(jinja_rt *rt, size_t n);                                  /* n elements, to be filled in */
value v_iter(jinja_rt *rt, bool (*next)(jinja_rt *, viter *, value *), value src, viter *inner, void *data);

/* Strings. */
vstr *vstr_new(jinja_rt *rt, const char *p, size_t n, bool trust);    /* borrows p */
vstr *vstr_copy(jinja_rt *rt, const char *p, size_t n, bool trust);   /* copies p */
/* a literal of this program: borrowed, trusted */
vstr *vstr_c(jinja_rt *rt, const char *text);
const char *vstr_bytes(jinja_rt *rt, vstr *s);                        /* flattens */
const char *vstr_cstr(jinja_rt *rt, vstr *s);                         /* a copy with a NUL after it, for messages */
/* Computes what is computed when first asked for: a template's strings are shared by threads and must not change. */
void vstr_seal(jinja_rt *rt, vstr *s);
size_t vstr_chars(jinja_rt *rt, vstr *s);
size_t vstr_offset(jinja_rt *rt, vstr *s, size_t chars);              /* bytes before that many code points */
vstr *vstr_sub(jinja_rt *rt, vstr *s, size_t from, size_t to);        /* bytes; keeps marks and markup */
vstr *vstr_cat(jinja_rt *rt, vstr *a, vstr *b);                       /* a rope; no escaping */
vstr *vstr_plain(jinja_rt *rt, vstr *s);                              /* without its markup flag */
vstr *vstr_markup(jinja_rt *rt, vstr *s);                             /* with it */
bool vstr_trust_at(const vstr *s, size_t at);                         /* s is flat */
bool vstr_eq(jinja_rt *rt, vstr *a, vstr *b);
bool vstr_is(jinja_rt *rt, vstr *s, const char *text);
int vstr_cmp(jinja_rt *rt, vstr *a, vstr *b);                         /* by code point */
size_t vstr_find(jinja_rt *rt, vstr *s, vstr *sub, size_t from, size_t to);  /* byte offset, or SIZE_MAX */
size_t vstr_rfind(jinja_rt *rt, vstr *s, vstr *sub, size_t from, size_t to);

/* One code point at p of n > 0 bytes: its length, the code point in *c; a byte that is no UTF-8 is U+DC80 + (byte -
 * 0x80). */
size_t utf8_next(const char *p, size_t n, uint32_t *c);

/* A growing string with marks. */
typedef struct vsb {
    jinja_rt *rt;
    char *p;
    size_t n, cap;
    vmark *marks;
    size_t n_marks, cap_marks;
} vsb;

void vsb_raw(vsb *b, const char *p, size_t n, bool trust);
void vsb_c(vsb *b, const char *text);                             /* trusted */
void vsb_char(vsb *b, uint32_t codepoint, bool trust);
void vsb_fill(vsb *b, char c, size_t n);                          /* trusted */
void vsb_str(vsb *b, vstr *s);
void vsb_sub(vsb *b, vstr *s, size_t from, size_t to);
void vsb_int(vsb *b, int64_t i);
vstr *vsb_done(vsb *b);

/* Dicts. */
vdict *dict_new(jinja_rt *rt, size_t cap);
void dict_set(jinja_rt *rt, vdict *d, value key, value v); /* the key must be hashable, or it fails */
value *dict_get(jinja_rt *rt, const vdict *d, value key);  /* NULL: not there */
value *dict_get_str(jinja_rt *rt, const vdict *d, const vstr *key);
value *dict_get_c(jinja_rt *rt, const vdict *d, const char *key);
bool val_hashable(value v);

/* What Python does with any value. */
const char *val_type(value v); /* 'str', 'list', ... */
bool val_true(jinja_rt *rt, value v);
bool val_eq(jinja_rt *rt, value a, value b);
int val_cmp(jinja_rt *rt, value a, value b, const char *op); /* <0, 0, >0; fails where there is no order; NaN: 2 */
bool val_in(jinja_rt *rt, value item, value container);
bool val_len(jinja_rt *rt, value v, size_t *n); /* false where it has no length */
bool val_number(value v);                       /* bool, int, float */
double val_double(value v);                     /* of a number */
int64_t val_int(value v);                       /* of a bool or int */
bool val_is_int(value v);                       /* bool or int */

/* Iteration: NULL where v cannot be iterated (val_iter fails there instead). */
void iter_start(viter *it, value v); /* of a list or range, in memory of the caller's */
viter *val_try_iter(jinja_rt *rt, value v);
viter *val_iter(jinja_rt *rt, value v);
bool iter_next(jinja_rt *rt, viter *it, value *out);
vseq *val_list(jinja_rt *rt, value v); /* all elements; shares memory where v is a list or tuple */

/* str() and repr(), with marks. */
vstr *val_str(jinja_rt *rt, value v);
void val_str_to(vsb *b, value v);
void val_repr_to(vsb *b, value v);
void vstr_repr_to(vsb *b, vstr *s);
void float_repr_to(vsb *b, double f);
/* f with prec digits after the point ('f'), in exponential notation ('e'), or general ('g'); alt keeps trailing zeros
 * and points. */
void float_fixed_to(vsb *b, double f, int prec, char kind, bool alt);
bool text_to_double(const char *p, size_t n, double *out); /* a whole, plain number; no locale */

#endif
