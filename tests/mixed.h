/* A session among others: what it computes in steps that it shares. */
#ifndef TESTS_MIXED_H
#define TESTS_MIXED_H

#include "tawny.h"

enum { MIXED_SESSIONS = 4, MIXED_OTHERS = 16 /* tokens of a step that the others have beside the twins' chunks */ };

/* The logits of all n tokens into out [n][n_vocab], in steps of `chunk` tokens beside other sessions in changing order: a
 * stranger, and from a third of the way on a fork that goes its own way and a twin that must get the same bits.
 * The engine has MIXED_SESSIONS sessions and a batch of 2 chunk + MIXED_OTHERS tokens. */
tawny_status mixed_run(tawny_engine *e, const tawny_token *token, int32_t n, int32_t chunk, size_t n_vocab, float *out,
                       tawny_error *err);

#endif
