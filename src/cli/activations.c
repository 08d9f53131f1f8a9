/* Intermediate results held against ours, which the engine's probes give. */
#include "activations.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../engine/engine.h"

/* What sound builds of other kinds stay below (README.md, "Thresholds"). */
#define ALWAYS 0.3 /* an error of so much is none of rounding */
#define JUMP 0.12  /* and one of this, where it is so many times the largest before it: */
#define TIMES 4
#define PRINTED 6e-5 /* texts have four decimals */

typedef struct comparison {
    const activations *a;
    activation_report *out;
    bool *seen; /* [a->n] */
    bool no_memory;
} comparison;

static activation_error *add(comparison *c)
{
    activation_report *r = c->out;
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 512;
        activation_error *v = realloc(r->v, cap * sizeof *v);
        if (!v) {
            c->no_memory = true;
            return NULL;
        }
        r->v = v;
        r->cap = cap;
    }
    r->v[r->n] = (activation_error){0};
    return &r->v[r->n++];
}

static void measure(comparison *c, const activation *x, const float *ours, size_t n)
{
    activation_error *e = add(c);
    double square = 0, sum = 0, largest = 0;
    if (!e) return;
    memcpy(e->name, x->name, sizeof e->name);
    e->layer = x->layer;
    for (size_t i = 0; i < n; i++) square += (double)ours[i] * (double)ours[i];
    double scale = sqrt(square / (double)n);
    for (size_t i = 0; i < x->n; i++) {
        float mine = ours[x->index ? (size_t)x->index[i] : i];
        double d = fabs((double)x->value[i] - (double)mine);
        if (!isfinite(x->value[i])) {
            e->not_numbers |= isfinite(mine) != 0;
            continue;
        }
        if (x->index) d = d > PRINTED ? d - PRINTED : 0;
        sum += d * d;
        if (d > largest) largest = d;
    }
    if (!(scale > 0)) scale = 1;
    e->error = x->n ? sqrt(sum / (double)x->n) / scale : 0;
    e->largest = largest / scale;
}

/* The probe: values [n][dim], of all tokens. */
static void compare(void *user, const char *name, int layer, const float *values, int n, int64_t dim)
{
    comparison *c = user;
    for (size_t i = 0; i < c->a->n; i++) {
        const activation *x = &c->a->v[i];
        if (x->layer != layer || strcmp(x->name, name) != 0) continue;
        int64_t total = x->ne[0] * x->ne[1] * x->ne[2] * x->ne[3], rows = total / dim;
        int64_t from = x->pos >= 0 ? x->pos : n - rows;
        if (total % dim || from < 0 || rows > n || from > n - rows || x->n == 0) continue;
        c->seen[i] = true;
        measure(c, x, values + (size_t)from * (size_t)dim, (size_t)total);
    }
}

static void judge(activation_report *r)
{
    r->first = -1;
    r->before = 0;
    for (size_t i = 0; i < r->n; i++) {
        activation_error *e = &r->v[i];
        e->diverges = e->not_numbers || e->error > ALWAYS || (e->error > JUMP && e->error > TIMES * r->before);
        if (e->diverges && r->first < 0) r->first = (int)i;
        if (r->first < 0 && e->error > r->before) r->before = e->error;
    }
}

tawny_status activations_compare(tawny_engine *e, const activations *a, const tawny_token *tokens, int32_t n, activation_report *out,
                                 tawny_error *err)
{
    comparison c = {.a = a, .out = out, .seen = calloc(a->n + 1, sizeof *c.seen)};
    tawny_session *s = NULL;
    float *all = NULL;
    *out = (activation_report){.first = -1};
    tawny_status st = c.seen ? tawny_session_new(e, &s, err) : err_nomem(err);
    if (st != TAWNY_OK) goto done;
    all = malloc((size_t)n * (size_t)tawny_model_n_vocab(e->model) * sizeof *all);
    if (!all) {
        st = err_nomem(err);
        goto done;
    }
    e->shared.probe = compare;
    e->shared.probe_user = &c;
    st = tawny_session_append(s, tokens, n, all, err);
    e->shared.probe = NULL;
    if (st == TAWNY_OK && c.no_memory) st = err_nomem(err);
    judge(out);
    for (size_t i = 0; i < a->n; i++) out->left_out += !c.seen[i];
done:
    tawny_session_free(s);
    free(all);
    free(c.seen);
    return st;
}

void activation_report_free(activation_report *r)
{
    free(r->v);
    *r = (activation_report){0};
}
