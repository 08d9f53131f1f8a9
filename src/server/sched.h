/* The scheduler: one thread owns the engine and computes all tasks together, a step after the other. Tasks join and
 * leave between steps; prompts go in pieces beside the answers that run, small enough for these to keep their pace. */
#ifndef SERVER_SCHED_H
#define SERVER_SCHED_H

#include "../engine/spec.h"
#include "task.h"

typedef struct sched sched;

typedef struct sched_params {
    tawny_engine_params engine; /* n_sessions is set by n_slots */
    int n_slots;                /* tasks computed together */
    int max_queue;              /* that wait at most */
    spec_params spec;           /* neither source: no speculation */
} sched_params;

/* Starts the thread. Model and tokenizer are borrowed. */
tawny_status sched_new(tawny_model *m, const tokenizer *tok, const sched_params *p, sched **out, tawny_error *err);
void sched_free(sched *s); /* ends what runs (TASK_CANCELLED) and waits for the thread; NULL is fine */

typedef enum sched_answer { SCHED_TAKEN, SCHED_FULL, SCHED_DRAINING } sched_answer;

/* Takes all n tasks or none; each taken one has the scheduler as a further owner until it has ended. */
sched_answer sched_submit(sched *s, task *const *tasks, int n);
void sched_cancel(sched *s, task *j); /* ended at the next step at the latest */

void sched_drain(sched *s);                     /* new tasks are refused; those that are there go on */
bool sched_wait(sched *s, double milliseconds); /* until nothing runs or waits; false where the time was not enough */
void sched_cancel_all(sched *s);

/* Runs fn in the scheduler's thread between two steps, and returns when it has: whoever needs the engine for itself. */
void sched_call(sched *s, void (*fn)(void *arg, tawny_engine *e), void *arg);

/* For what is done with a slot beside tasks: waits until it computes nothing and nobody else has begun, then runs fn in the
 * scheduler's thread; no task begins there while somebody waits, nor, with `hold`, before sched_slot_end, which runs a further
 * fn there. *session: the slot's; may be NULL, and be exchanged for another. */
typedef void sched_slot_fn(void *arg, tawny_engine *e, tawny_session **session);
void sched_slot_begin(sched *s, int no, bool hold, sched_slot_fn *fn, void *arg);
void sched_slot_end(sched *s, int no, sched_slot_fn *fn, void *arg);

/* Work that is no sequence, as embeddings are: done in pieces between steps, so that answers keep their pace. */
typedef struct sched_work {
    bool (*step)(struct sched_work *w, tawny_engine *e); /* a piece; false: it was the last */
    /* From the scheduler's thread, once, and the last that it does with w. ended: the server ends, not all was done. */
    void (*done)(struct sched_work *w, bool ended);
    struct sched_work *next;
} sched_work;
sched_answer sched_post(sched *s, sched_work *w);

const tawny_engine *sched_engine(const sched *s); /* for its unchanging properties */
int sched_n_slots(const sched *s);

typedef struct sched_slot {
    int n_tokens;      /* in its cache */
    bool busy, reading; /* reading: its prompt is not whole yet */
    int n_prompt, n_done, n_answer;
} sched_slot;

/* Counts since the start, for metrics. */
typedef struct sched_stats {
    uint64_t prompt_tokens, cached_tokens, answer_tokens, steps, tasks, failed, cancelled;
    uint64_t cache_hits;         /* tasks that went on from tokens computed before */
    uint64_t busy;               /* slots in a step, over all steps */
    uint64_t most_tokens;        /* of a sequence, prompt and answer */
    double queue_ms, prompt_ms, answer_ms; /* of tasks: until they began, until the first token, and from there on */
    double step_ms;              /* of all steps, in the engine */
    double decode_ms;            /* of a step without prompts, lately; 0: there was none */
    uint64_t bytes_read;         /* of weights, by all steps */
    tawny_prefix_stats prefixes; /* the engine's cache of pasts */
    uint64_t guessed, guessed_right; /* tokens */
    bool draft_failed;           /* the draft model, which is not asked any more */
    int queued, running;
} sched_stats;
void sched_stats_of(sched *s, sched_stats *out);
void sched_slot_of(sched *s, int i, sched_slot *out);

#endif
