/* A task: one sequence to be completed. A door makes it from a request, the engine's thread fills it, and whoever waits
 * for it is woken. Between them stand a lock and a count of owners. */
#ifndef SERVER_TASK_H
#define SERVER_TASK_H

#include <pthread.h>
#include <stdatomic.h>

#include "../base/buf.h"
#include "../engine/sampler.h"
#include "../text/tokenizer.h"
#include "grammar.h"

enum { TASK_MAX_STOPS = 64, TASK_MAX_TOP = 64 };

/* What is asked for. Arrays are the task's own. */
typedef struct task_params {
    sampler_params sampling; /* its bias and dry_breakers point into the task's own memory */
    int max_tokens;          /* -1: until the context is full */
    char **stop;             /* [n_stop], texts that end the answer and are left out of it */
    int n_stop;
    int n_top;               /* alternatives with their log probabilities for each token; -1: none are wanted at all */
    bool post_probs;         /* not the model's: probabilities (in place of their logarithms) that sampling drew from */
    int slot;                /* that is to compute it; -1: any */
    bool special;            /* control tokens are written out in the text */
    bool ignore_eos;
    bool no_reuse;           /* compute the whole prompt anew */
    bool fingerprint;
    grammar *grammar;        /* that the answer must match; NULL: none; owned */
} task_params;

typedef enum task_state {
    TASK_QUEUED, TASK_RUNNING,
    TASK_STOPPED,   /* the model ended it */
    TASK_STOP_WORD, /* a stop text */
    TASK_LENGTH,    /* max_tokens, or the context is full */
    TASK_CANCELLED, /* nobody waits for it any more, or the server ends */
    TASK_FAILED     /* error says why */
} task_state;
static inline bool task_ended(task_state s) { return s >= TASK_STOPPED; }

typedef struct task_top {
    tawny_token token;
    float logprob;
} task_top;

typedef struct task_token {
    tawny_token id;
    size_t text_end; /* of the task's text, with this token */
    float logprob;   /* where n_top >= 0 */
    int n_top, top;  /* alternatives [n_top] at task.top[top] */
} task_token;

/* Milliseconds of CLOCK_MONOTONIC, 0 where it has not happened. */
typedef struct task_times {
    double queued, started, first, ended;
} task_times;

typedef struct task {
    _Atomic int owners;
    task_params p;
    tok_vec prompt;

    pthread_mutex_t lock; /* guards all below */
    void (*wake)(void *user); /* after each change, under the lock, from the engine's thread; NULL: nobody waits */
    void *user;
    task_state state;
    bool cancel;          /* asked for */
    int fd;               /* the client's socket, asked whether it is still there; -1: none */
    size_t taken, most_untaken; /* bytes of text that went on to the client, and may wait for it; 0: any number */
    buf text;             /* of the answer, whole UTF-8 characters */
    size_t ready;         /* so much of it can be no part of a stop text any more */
    task_token *tokens;
    size_t n_tokens, cap_tokens;
    task_top *top;
    size_t n_tops, cap_tops;
    int stop_word;        /* which of p.stop; with TASK_STOP_WORD */
    int n_prompt, n_cached, n_done; /* of the prompt: tokens, those that were there already, those there now */
    int n_guessed, n_guessed_right; /* of speculation */
    int slot;             /* that works at it; -1: none yet */
    task_times times;
    char fingerprint[33];
    tawny_error error;
    struct task *next;     /* in the queue */
} task;

/* One owner. NULL when out of memory. */
task *task_new(void);
void task_hold(task *j);
void task_drop(task *j); /* the last one frees it; NULL is fine */

/* Adds a stop text of n bytes; false when out of memory or beyond TASK_MAX_STOPS. Empty ones are left out. */
bool task_add_stop(task *j, const char *text, size_t n);

/* ---- for the engine's thread ---- */

/* Adds a token with its text (n bytes, whole characters); looks for stop texts. True where one was found: the text then
 * ends before it. false also where memory ends, with the state TASK_FAILED. */
bool task_put(task *j, tawny_token t, const char *text, size_t n, const task_top *chosen, const task_top *top, int n_top);
void task_end(task *j, task_state s); /* what was held back of the text is ready */
void task_fail(task *j, const tawny_error *err);

double task_now(void); /* ms of CLOCK_MONOTONIC */
/* Milliseconds on the prompt and on the answer, until the task ended or now. Under its lock, or when it has ended. */
typedef struct task_phases {
    double prompt, answer;
} task_phases;
task_phases task_phases_of(const task *j);

#endif
