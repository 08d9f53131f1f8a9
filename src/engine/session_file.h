/* Sessions in files, in steps, so that whoever reads may do it beside a working engine:
 * tawny_session_save reads a session that nobody changes, from any thread. */
#ifndef ENGINE_SESSION_FILE_H
#define ENGINE_SESSION_FILE_H

#include "../base/hash.h"
#include "engine.h"

enum { SESSION_FILE_VERSION = 1 };

/* All numbers little-endian. Behind it: tokens (int32), pages of the KV cache (positions beyond the tokens are zeros), where
 * n_state is n_tokens the recurrent state, n_saved times an int32 of tokens, the state and the logits there; then
 * XXH3-128 of all before. */
typedef struct session_head {
    char magic[8];             /* "tawnyses" */
    uint32_t version, contract;
    char model[32];            /* tawny_model_hash */
    uint8_t setup[16];         /* XXH3-128 of what else makes the bits: layout of the cache, turning of positions, ... */
    uint32_t type_k, type_v;   /* simd_kv */
    uint32_t act_bits, page;   /* page: positions in one */
    uint64_t page_bytes, state_floats;
    uint32_t n_vocab, n_tokens;
    int32_t n_state;           /* n_tokens, or -1: the state is not known */
    uint32_t n_saved;
    uint8_t check[16];         /* XXH3-128 of the head before it */
} session_head;

/* A file that is being read. */
typedef struct session_image {
    session_head head;
    const char *name;
    tawny_read read;
    void *user;
} session_image;

/* Reads the head and holds it against the engine; from any thread. */
tawny_status session_image_open(session_image *g, const tawny_engine *e, const char *name, tawny_read read, void *user, tawny_error *err);
/* Room in the cache for the empty session s; in the engine's thread. */
tawny_status session_image_room(const session_image *g, tawny_session *s, tawny_error *err);
/* The rest, into s, which nobody else uses; from any thread. On failure s is good for nothing but to be freed. */
tawny_status session_image_read(session_image *g, tawny_session *s, tawny_error *err);

#endif
