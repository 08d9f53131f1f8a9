/* Whether a server computes what the model says: its probabilities held against those computed here.
 *
 * verify_text.c makes prompts, verify_depths.c chooses their lengths, verify_run.c asks and compares, verify_judge.c knows
 * what is sound (and from which measurements), verify_report.c and verify_junit.c tell. */
#ifndef CLI_VERIFY_H
#define CLI_VERIFY_H

#include "remote.h"

/* ---- what was seen ---- */

typedef enum verdict { VERDICT_SOUND, VERDICT_SUSPICIOUS, VERDICT_BROKEN, VERDICT_UNKNOWN } verdict;
const char *verdict_name(verdict v);

/* One position: the server's probabilities against ours. */
typedef struct verify_sample {
    int32_t pos;               /* tokens before it */
    double kl;                 /* of theirs from ours, over what they tell of and one class for the rest: a lower bound */
    tawny_token ours, theirs;  /* the most probable tokens; theirs -1: not known */
    double margin;             /* natural logarithm of how much more probable ours is than theirs, here */
    double top;                /* the logarithm of their most probable token's probability */
    bool not_numbers, not_greedy; /* not_greedy: it went on with a token that it calls clearly less probable than another */
} verify_sample;

/* A prompt of `depth` tokens and what followed, or the prompt's own positions. */
typedef struct verify_depth {
    int32_t depth;
    bool fresh, either;        /* fresh: nothing came from the server's cache; either: that is not known, it cannot be told */
    int n;                     /* positions compared */
    double kl_mean, kl_max, kl_typical; /* typical: the mean without the greatest one, which may be a matter of luck */
    int flips, ties, not_numbers, not_greedy; /* flips: other most probable tokens by more than a near-tie */
    double margin_max;         /* of flips */
    int32_t bad_pos;           /* the first position that is not sound by itself; -1 */
    bool repeats;              /* not sound, and the server says one token, or two in turn, over and over */
    double seconds;            /* that both sides took */
    verdict verdict;
    verify_sample first;       /* the first sample, for verify_judge_constant */
} verify_depth;

void verify_compare(const float *logits, int32_t n_vocab, const remote_step *s, bool greedy, const tokenizer *tok, verify_sample *out);
void verify_judge(verify_depth *d, const verify_sample *samples, int n);
/* All answers are the same though ours are not. */
bool verify_is_constant(const verify_depth *d, int n);

/* ---- prompts ---- */

/* n tokens at least of English that has not been said before, another for each seed; BOS where the model wants one. */
tawny_status verify_text(const tokenizer *tok, uint64_t seed, int32_t n, tok_vec *out, tawny_error *err);
/* Texts that tell tokenizers apart; NULL-terminated. */
extern const char *const verify_tricky_texts[];

/* ---- a run ---- */

enum { VERIFY_DEPTHS = 512, VERIFY_USUAL = 8, VERIFY_SECONDS = 300 /* for an answer, in proportion beyond 4096 tokens */ };

typedef struct verify_options {
    const char *model, *file; /* file: a text to use instead of verify_text's */
    int depth, ubatch, n, seed, timeout; /* timeout 0: by VERIFY_SECONDS */
    bool quick; /* few depths, and none to find out where exactly a fault begins */
} verify_options;

typedef struct verify_result {
    verify_depth depths[VERIFY_DEPTHS];
    int n_depths;
    verdict arithmetic, overall;
    int32_t from;          /* the least depth known not to be sound; -1 */
    int32_t sound_to;      /* the greatest sound depth below it; -1 */
    bool constant;
    char tokenizer[256], template[256]; /* "same", "not offered", or how they differ */
    bool tokenizer_differs, template_differs;
    char stopped[512];     /* why no deeper prompt was tried; "" */
    int32_t left_out[VERIFY_USUAL]; /* depths that were not tried since a context or a text is too short */
    int n_left_out;
    char why_left_out[448]; /* "" */
    char note[256];
} verify_result;

/* What a run tells as it goes on: which depth it asks about next, with how much of the work behind it (0 to 1), and what came of it. */
typedef struct verify_watch {
    void (*asks)(void *user, int32_t depth, double done);
    void (*tells)(void *user, const verify_depth *d);
    void *user;
} verify_watch;

/* TAWNY_OK: result is full, whatever it says. */
tawny_status verify_server(tawny_engine *e, const tokenizer *tok, remote *r, const verify_options *o, verify_result *result,
                           const verify_watch *watch, tawny_error *err);
/* Whether the server's model may be this one, by what it says of its size. */
tawny_status verify_same_model(const remote *r, tawny_model *m, tawny_error *err);

/* ---- depths ---- */

/* Keeps v->depths in order; a depth that is there already is asked about anew where either wants that. */
void verify_add_depth(verify_result *v, int32_t depth, bool fresh, int32_t most);
/* 64 and doublings of 512; the micro-batch's multiples: its doublings and their neighbours anew, the others out of the cache, where
 * the rest of a prompt begins in the middle of a micro-batch; and the deepest, most. */
void verify_plan(verify_result *v, const verify_options *o, int32_t most);
/* Of the depths up to `wanted` those above most are left out, for this reason. */
void verify_leave_out(verify_result *v, int32_t wanted, int32_t most, const char *why);
/* How much of the work lies before v->depths[at], from 0 to 1. */
double verify_done(const verify_result *v, int at);

/* ---- reports ---- */

void verify_print_depth(void *user, const verify_depth *d); /* a row; user: bool, whether the heading was printed */
void verify_print_verdict(const verify_result *v);
json_t *verify_json(const verify_result *v, const remote *r, const verify_options *o);
void verify_words(const verify_result *v, char *out, size_t size); /* the verdict in one line */
tawny_status verify_junit(const verify_result *v, const remote *r, const verify_options *o, const char *path, tawny_error *err);

#endif
