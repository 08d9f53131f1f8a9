/* A step's speculation (src/engine/spec.h): slots are its sequences. */
#include "sched_int.h"

enum { READ_ALONE = 512, READ_BESIDE = 64 }; /* tokens of prompts that the draft model reads before a step */

static bool answers(const slot *x) { return x->task && !x->reading; }

/* Tokens of the slot's text that its session lacks: one, or those too that a recurrent state is to see again. */
static int32_t lacking(const sched *s, const slot *x)
{
    int32_t have, n;
    tawny_session_tokens(x->session, &have);
    spec_text(s->spec, x->no, &n);
    return n - have;
}

/* Guesses that can be used: every slot has its part of a step's tokens, so that all fit whoever joins. */
static int room_for(const sched *s, const slot *x)
{
    int room = tawny_engine_n_ubatch(s->engine) / s->n_slots - lacking(s, x), max = x->task->p.max_tokens;
    int left = max < 0 ? room : max - x->n_answer - 1;
    return left < room ? left : room;
}

void sched_guess(sched *s)
{
    int n = 0;
    for (int i = 0; i < s->n_slots; i++) {
        slot *x = &s->slots[i];
        x->guess = 0;
        if (!answers(x)) continue;
        int room = room_for(s, x);
        s->asks[n++] = (spec_ask){.i = i, .most = room > 0 ? room : 0, .sampler = x->sampler, .state = &x->state};
    }
    if (n) spec_guess(s->spec, s->asks, n, n > 1 ? READ_BESIDE : READ_ALONE);
    for (int i = 0; i < n; i++) {
        slot *x = &s->slots[s->asks[i].i];
        x->guess = s->asks[i].n;
        if (x->guess) tawny_session_mark(x->session);
    }
}

tawny_step sched_spec_item(sched *s, const slot *x)
{
    int32_t n, lacks = lacking(s, x);
    const tawny_token *text = spec_text(s->spec, x->no, &n);
    return (tawny_step){.session = x->session, .tokens = text + n - lacks, .n = lacks + x->guess, .n_logits = 1 + x->guess};
}

void sched_spec_begin(sched *s, const slot *x)
{
    int32_t n;
    const tawny_token *text = tawny_session_tokens(x->session, &n);
    spec_begin(s->spec, x->no, text, n);
}

/* What the session has of wrong guesses goes. */
static void forget(sched *s, slot *x, bool more)
{
    int32_t n, have;
    spec_text(s->spec, x->no, &n);
    tawny_session_tokens(x->session, &have);
    if (more && have >= n) tawny_session_go_back(x->session, n - 1);
    if (!more) tawny_session_truncate(x->session, n);
}

static void count(sched *s, const slot *x)
{
    spec_counts c = spec_counts_of(s->spec, x->no);
    pthread_mutex_lock(&x->task->lock);
    x->task->n_guessed = (int)c.guessed;
    x->task->n_guessed_right = (int)c.right;
    pthread_mutex_unlock(&x->task->lock);
}

bool sched_spec_sample(sched *s, const tawny_step *item, slot *x)
{
    size_t n_vocab = (size_t)tawny_model_n_vocab(s->model);
    bool more = true, right = true;
    uint64_t before = spec_counts_of(s->spec, x->no).right;
    for (int i = 0; i < item->n_logits && more && right; i++) {
        int32_t n;
        spec_text(s->spec, x->no, &n);
        count(s, x);
        more = slot_sample(x, item->logits + (size_t)i * n_vocab, n, s->tok, tawny_engine_n_ctx(s->engine));
        right = more && spec_add(s->spec, x->no, x->next);
    }
    forget(s, x, more);
    pthread_mutex_lock(&s->lock);
    s->stats.guessed += (uint64_t)x->guess;
    s->stats.guessed_right += spec_counts_of(s->spec, x->no).right - before;
    s->stats.draft_failed = spec_trouble(s->spec) != NULL;
    pthread_mutex_unlock(&s->lock);
    x->guess = 0;
    return more;
}
