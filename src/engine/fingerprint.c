/* Fingerprints of a run. */
#include <stdlib.h>

#include "../base/hash.h"
#include "engine.h"

struct tawny_fingerprint {
    hash_state *hash;
};

tawny_status tawny_fingerprint_new(tawny_model *m, tawny_fingerprint **out, tawny_error *err)
{
    char hex[33];
    *out = NULL;
    tawny_status st = tawny_model_hash(m, hex, err);
    if (st != TAWNY_OK) return st;
    tawny_fingerprint *f = malloc(sizeof *f);
    if (f) f->hash = hash_new();
    if (!f || !f->hash) {
        free(f);
        return err_nomem(err);
    }
    uint32_t contract = TAWNY_CONTRACT;
    hash_add(f->hash, &contract, sizeof contract);
    hash_add(f->hash, hex, 32);
    *out = f;
    return TAWNY_OK;
}

void tawny_fingerprint_free(tawny_fingerprint *f)
{
    if (!f) return;
    hash_free(f->hash);
    free(f);
}

void tawny_fingerprint_add(tawny_fingerprint *f, const float *logits, size_t n) { hash_add(f->hash, logits, n * sizeof *logits); }
void tawny_fingerprint_hex(const tawny_fingerprint *f, char hex[33]) { hash_hex(hash_value(f->hash), hex); }
