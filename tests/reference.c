#include "reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool reference_load(const char *path, reference *r)
{
    FILE *f = fopen(path, "rb");
    *r = (reference){0};
    if (!f) return false;
    bool ok = fread(&r->n, 4, 1, f) == 1 && fread(&r->dim, 4, 1, f) == 1 && r->n > 0 && r->n < 65536 && r->dim > 0 && r->dim < 1 << 20;
    size_t n = (size_t)r->n, values = ok ? n * (size_t)r->dim : 0;
    if (ok) {
        r->token = malloc(n * sizeof *r->token);
        r->data = malloc(values * sizeof *r->data);
        ok = r->token && r->data && fread(r->token, 4, n, f) == n && fread(r->data, 4, values, f) == values;
    }
    fclose(f);
    if (!ok) reference_free(r);
    return ok;
}

void reference_free(reference *r)
{
    free(r->token);
    free(r->data);
    *r = (reference){0};
}

double reference_nmse(const float *a, const float *b, size_t n)
{
    double diff = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        diff += d * d;
        sum += (double)a[i] * (double)a[i];
    }
    return isfinite(diff) ? diff / sum : (double)INFINITY;
}

/* Another answer over the same engine first: the first half of the prompt, then other tokens; sync goes back. */
static tawny_status spoil(tawny_session *s, const tawny_token *token, int32_t n, tawny_error *err)
{
    tawny_status st = tawny_session_append(s, token, n / 2, NULL, err);
    if (st == TAWNY_OK) st = tawny_session_append(s, token, n - n / 2, NULL, err);
    return st;
}

static tawny_status compute(tawny_session *s, const tawny_token *token, int32_t n, how h, size_t n_vocab, float *out, tawny_error *err)
{
    int32_t from = 0;
    if (h.reuse) { /* the logits of the reused part come from a plain run of that part */
        tawny_status st = tawny_session_append(s, token, n / 2, out, err);
        if (st == TAWNY_OK) st = spoil(s, token, n / 2, err);
        if (st != TAWNY_OK) return st;
        tawny_session_truncate(s, n / 2);
        from = n / 2;
    }
    for (int32_t i = from, m; i < n; i += m) {
        m = n - i < h.chunk ? n - i : h.chunk;
        tawny_status st = tawny_session_append(s, token + i, m, out + (size_t)i * n_vocab, err);
        if (st != TAWNY_OK) return st;
    }
    return TAWNY_OK;
}

static tawny_status run(const char *model, const tawny_token *token, int32_t n, how h, float **out, char hex[33], tawny_error *err)
{
    tawny_model *m = NULL;
    tawny_engine *e = NULL;
    tawny_session *s = NULL;
    tawny_fingerprint *f = NULL;
    float *own = NULL;
    tawny_engine_params p = {.n_threads = h.threads, .n_ctx = 2 * n, .n_ubatch = h.chunk > n / 2 ? h.chunk : n, .act_bits = h.act_bits, .type_k = h.kv, .type_v = h.kv};
    if (h.tier) setenv("TAWNY_CPU", h.tier, 1);
    tawny_status st = tawny_model_open(model, &m, err);
    if (h.tier) unsetenv("TAWNY_CPU");
    if (st == TAWNY_OK && p.n_ctx > tawny_model_n_ctx_train(m)) p.n_ctx = tawny_model_n_ctx_train(m);
    if (st == TAWNY_OK) st = tawny_engine_new(m, &p, &e, err);
    if (st == TAWNY_OK) st = tawny_session_new(e, &s, err);
    if (st == TAWNY_OK && hex) st = tawny_fingerprint_new(m, &f, err);
    if (st == TAWNY_OK) {
        size_t n_vocab = (size_t)tawny_model_n_vocab(m), values = (size_t)n * n_vocab;
        if (!out) out = &own;
        if (!*out) *out = malloc(values * sizeof **out);
        st = *out ? compute(s, token, n, h, n_vocab, *out, err) : TAWNY_E_NOMEM;
        if (st == TAWNY_OK && hex) {
            tawny_fingerprint_add(f, *out, values);
            tawny_fingerprint_hex(f, hex);
        }
    }
    free(own);
    tawny_fingerprint_free(f);
    tawny_session_free(s);
    tawny_engine_free(e);
    tawny_model_close(m);
    return st;
}

bool reference_run(const char *model, const tawny_token *token, int32_t n, how h, float *out, tawny_error *err)
{
    return run(model, token, n, h, &out, NULL, err) == TAWNY_OK;
}

bool reference_fingerprint(const char *model, const tawny_token *token, int32_t n, how h, char hex[33], tawny_error *err)
{
    return run(model, token, n, h, NULL, hex, err) == TAWNY_OK;
}
