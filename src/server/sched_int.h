/* What the files of the scheduler share: sched.c (the queue, the thread, its life), sched_admit.c (who begins, and where),
 * sched_step.c (a step: its items, what came of it), sched_spec.c (a step's guesses). All run in the scheduler's thread but for what sched.h has. */
#ifndef SERVER_SCHED_INT_H
#define SERVER_SCHED_INT_H

#include "sched.h"
#include "slot.h"

typedef struct call {
    void (*fn)(void *arg, tawny_engine *e);
    sched_slot_fn *slot_fn; /* in place of fn, for a slot */
    int slot;
    bool begins, hold;      /* not begins: ends */
    void *arg;
    bool done;
    struct call *next;
} call;

struct sched {
    tawny_model *model;
    const tokenizer *tok;
    tawny_engine *engine;
    gbnf_vocab *vocab; /* made when the first grammar comes */
    slot *slots;
    int n_slots, max_queue, first; /* first: whose prompt goes first in the next step */
    tawny_step *items;  /* [n_slots] */
    slot **of;          /* [n_slots]: whose item it is */
    spec *spec;         /* NULL: no speculation */
    spec_ask *asks;     /* [n_slots] */
    pthread_t thread;
    bool started;
    double decode_ms;   /* of a step without prompts, as it was lately */
    double token_ms;    /* that a token of a prompt adds to a step */
    uint64_t now;       /* steps so far */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t work;  /* something to do */
    pthread_cond_t idle;  /* something was done */
    task *head, **tail;
    int n_queued, n_running;
    bool stop, draining, cancel_all;
    call *calls;
    sched_work *works;   /* a ring: the last one, whose next is the first */
    int n_works;
    sched_stats stats;
    sched_slot *shown;    /* [n_slots] */
};

void sched_wake(task *j); /* tells who waits for it */
void sched_finish(sched *s, slot *x); /* the slot's task has ended: counts it, tells who waits, and lets it go */
bool sched_wanted(task *j); /* whether anybody still waits for it */
void sched_admit(sched *s); /* tasks from the queue to idle slots, as long as there are both */
void sched_first(sched *s, slot *x); /* the first token after a prompt that was there whole, with its logits */
void sched_step(sched *s);  /* the next tokens of answers and pieces of prompts, in one pass; nothing where there are none */

/* sched_spec.c */
void sched_guess(sched *s);                          /* guesses for all slots that answer */
tawny_step sched_spec_item(sched *s, const slot *x); /* what a slot that answers has to compute, with its guesses */
void sched_spec_begin(sched *s, const slot *x);      /* its prompt has been read */
/* Samples from the rows of the item, as long as guesses were right; false where the task ended. */
bool sched_spec_sample(sched *s, const tawny_step *item, slot *x);

#endif
