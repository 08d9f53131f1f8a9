/* Recurrent states of sessions: the one that stands at the last token, and those saved at the ends of prompts. */
#include <string.h>
#include <sys/mman.h>

#include "engine.h"

static size_t state_floats(const tawny_session *s) { return s->engine->layout.state_floats; }
static size_t logit_floats(const tawny_engine *e) { return ((size_t)e->model->m.hp.n_vocab + 15) / 16 * 16; }

size_t state_saved_bytes(const tawny_engine *e)
{
    return e->layout.state_floats ? (e->layout.state_floats + logit_floats(e)) * sizeof(float) : 0;
}

static size_t all_bytes(const tawny_session *s) { return 2 * state_floats(s) * sizeof(float) + SESSION_SAVED * state_saved_bytes(s->engine); }

bool state_new(tawny_session *s)
{
    if (!state_floats(s)) return true;
    void *p = mmap(NULL, all_bytes(s), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return false;
    s->kv.state = p;
    float *next = s->kv.state + state_floats(s);
    for (int i = 0; i < SESSION_SAVED; i++, next += state_saved_bytes(s->engine) / sizeof *next)
        s->saved[i] = (saved_state){.state = next, .logits = next + state_floats(s)};
    s->mark = (saved_state){.state = next};
    return true;
}

void state_free(tawny_session *s)
{
    if (s->kv.state) munmap(s->kv.state, all_bytes(s));
    s->kv.state = NULL;
}

void state_copy(tawny_session *to, const tawny_session *from)
{
    if (from->kv.state) memcpy(to->kv.state, from->kv.state, state_floats(from) * sizeof(float));
    to->kv.n_state = from->kv.n_state;
    for (int i = 0; from->kv.state && i < SESSION_SAVED; i++) {
        to->saved[i].n = from->saved[i].n;
        if (from->saved[i].n) memcpy(to->saved[i].state, from->saved[i].state, state_saved_bytes(from->engine));
    }
}

void state_take(tawny_session *s, const void *saved)
{
    state_truncate(s, 0);
    memcpy(s->saved[0].state, saved, state_saved_bytes(s->engine));
    s->saved[0].n = s->n;
    s->kv.n_state = -1;
    state_go_back(s);
}

void state_save(tawny_session *s)
{
    saved_state *to = &s->saved[0];
    for (int i = 1; i < SESSION_SAVED && to->n != s->n; i++)
        if (s->saved[i].n == s->n || s->saved[i].n < to->n) to = &s->saved[i];
    memcpy(to->state, s->kv.state, state_floats(s) * sizeof(float));
    memcpy(to->logits, s->logits, s->engine->model->m.hp.n_vocab * sizeof(float));
    to->n = s->n;
}

void state_mark(tawny_session *s)
{
    memcpy(s->mark.state, s->kv.state, state_floats(s) * sizeof(float));
    s->mark.n = s->n;
}

const saved_state *state_find(const tawny_session *s, int32_t n)
{
    const saved_state *best = NULL;
    for (int i = 0; i < SESSION_SAVED; i++)
        if (s->saved[i].n && s->saved[i].n <= n && (!best || s->saved[i].n > best->n)) best = &s->saved[i];
    return best;
}

int32_t state_go_back(tawny_session *s)
{
    const saved_state *from = state_find(s, s->n);
    if (s->mark.n && s->mark.n <= s->n && (!from || s->mark.n > from->n)) from = &s->mark;
    if (s->kv.n_state <= s->n && s->kv.n_state >= (from ? from->n : 0)) return s->kv.n_state;
    if (from)
        memcpy(s->kv.state, from->state, state_floats(s) * sizeof(float));
    else
        memset(s->kv.state, 0, state_floats(s) * sizeof(float));
    s->kv.n_state = from ? from->n : 0;
    return s->kv.n_state;
}

void state_truncate(tawny_session *s, int32_t n)
{
    for (int i = 0; i < SESSION_SAVED; i++)
        if (s->saved[i].n > n) s->saved[i].n = 0;
    if (s->mark.n > n) s->mark.n = 0;
}
