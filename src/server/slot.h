/* A slot: a session with the task that it is computing, and what sampling needs beside it. The scheduler's own. */
#ifndef SERVER_SLOT_H
#define SERVER_SLOT_H

#include "task.h"

typedef struct slot {
    int no;
    tawny_session *session;
    task *task; /* NULL: idle; the session is kept for whoever goes on from it */
    int32_t n_done;      /* tokens of the prompt that are in the session */
    bool reading;        /* the prompt is not whole yet */
    tawny_token next;    /* sampled, and to be computed in the next step */
    int guess;           /* tokens guessed after it, for this step */
    int n_answer;
    sampler *sampler;
    sampler_state state;
    grammar *grammar;    /* the matcher's */
    gbnf_matcher *matcher;
    const gbnf_vocab *vocab; /* the matcher's */
    bool shared_matcher; /* with other tasks */
    gbnf_state place;
    tok_stream stream;
    buf text;            /* of the last token */
    task_top *top;        /* [n_top + 1] */
    sampler_prob *probs; /* [n_probs] */
    size_t n_probs;
    tawny_fingerprint *fingerprint;
    bool asked, begun, held; /* sched_slot_begin: waited for; not ended yet; no task may begin */
    uint64_t used;       /* a step's number: the least recently used idle slot gives way first */
} slot;

static inline bool slot_idle(const slot *s) { return !s->task && !s->asked && !s->held; } /* for tasks */

/* Takes the task (whose owner the slot becomes): sampler, matcher. vocab: for grammars. On failure nothing is taken. */
tawny_status slot_begin(slot *s, task *j, tawny_engine *e, tawny_model *m, const tokenizer *tok, const gbnf_vocab *vocab,
                        tawny_error *err);

/* Samples after the first n tokens of the session, whose logits these are; ends the task where it ends. True where the
 * slot's next token is to be computed. */
bool slot_sample(slot *s, const float *logits, int32_t n, const tokenizer *tok, int32_t n_ctx);

void slot_end(slot *s);  /* lets the task go, which has ended */
void slot_free(slot *s); /* and the session */

#endif
