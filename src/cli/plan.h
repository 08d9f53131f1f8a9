/* What a model needs and how fast a machine can run it, by arithmetic: bytes over bandwidth, operations over rate. */
#ifndef CLI_PLAN_H
#define CLI_PLAN_H

#include "../engine/engine.h"
#include "machines.h"

typedef struct plan_need {
    uint64_t weights;           /* bytes of all weights */
    uint64_t weights_per_token; /* that decoding a token reads */
    uint64_t weights_touched;   /* that come into memory where n_ctx tokens of every sequence are computed from the mapped file */
    uint64_t kv;                /* bytes of the cache for n_ctx positions, all sequences, with recurrent states */
    uint64_t kv_read;           /* bytes that decoding reads of it where n_ctx positions are filled, a sequence */
    uint64_t buffers;
    uint64_t process;           /* the program itself, its libraries and the vocabulary */
    double ops_per_token;       /* of prefill: 2 a weight of the matrices that a token meets */
    bool moe;
    int32_t n_ctx, n_seq, act_bits;
} plan_need;

/* What m takes with these parameters (n_sessions of them at once). */
tawny_status plan_need_of(tawny_model *m, const tawny_engine_params *p, plan_need *out, tawny_error *err);
uint64_t plan_peak(const plan_need *n); /* bytes of memory at the most, all together */

typedef enum plan_fit { PLAN_FITS, PLAN_FITS_MOST, PLAN_TOO_BIG } plan_fit;

typedef struct range {
    double low, high;
} range;

typedef struct plan_result {
    plan_fit fit;
    int32_t most_ctx;   /* the longest context that fits, up to what the model was trained for; 0: none */
    range decode_empty; /* tok/s with an empty cache */
    range decode_full;  /* with n_ctx positions filled */
    range prefill;      /* tok/s */
    double bound;       /* tok/s that the memory's data sheet allows; 0: not known */
} plan_result;

/* This machine's decode, rehearsed (engine/rehearse.h) with the model whose header is at path; of the caches of full contexts
 * the bandwidth of `where` tells. TAWNY_E_NOMEM: there is no room for it, and the bandwidth's figures stay. */
tawny_status plan_rehearse(const char *path, const tawny_model *m, const tawny_engine_params *p, const plan_need *need,
                           const machine *where, plan_result *out, tawny_error *err);

tawny_status plan_on(tawny_model *m, const tawny_engine_params *p, const plan_need *need, const machine *where, plan_result *out,
                     tawny_error *err);

#endif
