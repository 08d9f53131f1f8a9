#include "mixed.h"

#include <string.h>

#include "base/error.h"

enum { SELF, STRANGER, STRAY, TWIN };

typedef struct crowd {
    tawny_session *s[MIXED_SESSIONS]; /* NULL: not there yet */
    const tawny_token *token;
    int32_t n, chunk, turn;
    size_t n_vocab;
    float *out;
} crowd;

static int32_t length(tawny_session *s)
{
    int32_t n;
    tawny_session_tokens(s, &n);
    return n;
}

/* One to five tokens that are none of the prompt's at this place; all, some or none of their logits. */
static void other_item(const crowd *c, int who, tawny_step *it)
{
    int32_t at = length(c->s[who]), n = 1 + (c->turn + who) % 5, from = (at * 7 + who) % (c->n - 5);
    if (c->chunk == 1) n = 1;
    if (n > 2 * c->n - at) tawny_session_truncate(c->s[who], 1);
    *it = (tawny_step){.session = c->s[who], .tokens = c->token + from, .n = n, .n_logits = c->turn % (n + 1)};
}

static void own_item(const crowd *c, int who, tawny_step *it)
{
    int32_t at = length(c->s[who]), n = c->n - at < c->chunk ? c->n - at : c->chunk;
    *it = (tawny_step){.session = c->s[who], .tokens = c->token + at, .n = n, .n_logits = n};
}

static tawny_status turn(tawny_engine *e, crowd *c, tawny_error *err)
{
    tawny_step items[MIXED_SESSIONS];
    int32_t n = 0, at = length(c->s[SELF]);
    size_t row = c->n_vocab * sizeof(float);
    for (int i = 0; i < MIXED_SESSIONS; i++) {
        int who = (i + c->turn) % MIXED_SESSIONS;
        if (!c->s[who]) continue;
        if (who == SELF || who == TWIN)
            own_item(c, who, &items[n++]);
        else
            other_item(c, who, &items[n++]);
    }
    tawny_status st = tawny_engine_step(e, items, n, err);
    if (st != TAWNY_OK) return st;
    for (int32_t i = 0; i < n; i++)
        if (items[i].session == c->s[SELF]) memcpy(c->out + (size_t)at * c->n_vocab, items[i].logits, (size_t)items[i].n * row);
    for (int32_t i = 0; i < n; i++)
        if (items[i].session == c->s[TWIN] && memcmp(c->out + (size_t)at * c->n_vocab, items[i].logits, (size_t)items[i].n * row) != 0)
            return err_set(err, TAWNY_E_DAMAGED, "twins differ after %d tokens", at);
    c->turn++;
    return TAWNY_OK;
}

tawny_status mixed_run(tawny_engine *e, const tawny_token *token, int32_t n, int32_t chunk, size_t n_vocab, float *out,
                       tawny_error *err)
{
    crowd c = {.token = token, .n = n, .chunk = chunk, .n_vocab = n_vocab, .out = out};
    tawny_status st = tawny_session_new(e, &c.s[SELF], err);
    if (st == TAWNY_OK) st = tawny_session_new(e, &c.s[STRANGER], err);
    while (st == TAWNY_OK && length(c.s[SELF]) < n) {
        st = turn(e, &c, err);
        bool third = !c.s[TWIN] && length(c.s[SELF]) >= n / 3;
        if (st == TAWNY_OK && third) st = tawny_session_fork(c.s[SELF], &c.s[STRAY], err);
        if (st == TAWNY_OK && third) st = tawny_session_fork(c.s[SELF], &c.s[TWIN], err);
    }
    for (int i = 0; i < MIXED_SESSIONS; i++) tawny_session_free(c.s[i]);
    return st;
}
