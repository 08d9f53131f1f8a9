#include "reference.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../models/model.h"
#include "mixed.h"

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

const char *reference_path(char out[REFERENCE_PATH], const char *dir, const char *name, const char *ending)
{
    int n = snprintf(out, REFERENCE_PATH, "%.200s/%.128s%.20s", dir, name, ending);
    return n < REFERENCE_PATH ? out : "";
}

bool reference_of(const char *dir, const char *name, reference *r)
{
    char path[REFERENCE_PATH];
    if (reference_load(reference_path(path, dir, name, ".exact.f32"), r)) return true;
    return reference_load(reference_path(path, dir, name, ".f32"), r);
}

static bool supported(const char *path)
{
    gguf *g;
    gguf_str name;
    char text[64] = "";
    if (gguf_open(path, GGUF_HEADER_ONLY, &g, NULL) != TAWNY_OK) return false;
    if (gguf_get_str(g, "general.architecture", &name, NULL) == TAWNY_OK && name.n < sizeof text) memcpy(text, name.p, name.n);
    gguf_close(g);
    return arch_find(text) != NULL;
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

int reference_list(const char *dir, char names[REFERENCE_FILES][REFERENCE_NAME], int *skipped)
{
    DIR *d = opendir(dir);
    int n = 0;
    if (!d) return 0;
    for (struct dirent *e; (e = readdir(d)) && n < REFERENCE_FILES;) {
        char path[REFERENCE_PATH];
        size_t len = strlen(e->d_name);
        if (len < 6 || len >= REFERENCE_NAME || strcmp(e->d_name + len - 5, ".gguf") != 0) continue;
        memcpy(names[n], e->d_name, len - 5);
        names[n][len - 5] = 0;
        if (!supported(reference_path(path, dir, names[n], ".gguf")))
            ++*skipped;
        else if (access(reference_path(path, dir, names[n], ".pool.f32"), R_OK) != 0)
            n++;
    }
    closedir(d);
    qsort(names, (size_t)n, REFERENCE_NAME, by_name);
    return n;
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

static tawny_status run(const char *path, const tawny_token *token, int32_t n, how h, float **out, char hex[33], tawny_error *err)
{
    tawny_model *m = NULL;
    tawny_engine *e = NULL;
    tawny_session *s = NULL;
    tawny_fingerprint *f = NULL;
    float *own = NULL;
    tawny_engine_params p = {.n_threads = h.threads, .n_ctx = 2 * n, .n_ubatch = h.chunk > n / 2 ? h.chunk : n, .act_bits = h.act_bits, .type_k = h.kv, .type_v = h.kv};
    if (h.mixed) {
        p.n_sessions = MIXED_SESSIONS;
        p.n_ubatch = 2 * h.chunk + MIXED_OTHERS;
    }
    if (h.tier) setenv("TAWNY_CPU", h.tier, 1);
    tawny_status st = tawny_model_open(path, &m, err);
    if (h.tier) unsetenv("TAWNY_CPU");
    if (st == TAWNY_OK && p.n_ctx > tawny_model_n_ctx_train(m)) p.n_ctx = tawny_model_n_ctx_train(m);
    if (st == TAWNY_OK) st = tawny_engine_new(m, &p, &e, err);
    if (st == TAWNY_OK && !h.mixed) st = tawny_session_new(e, &s, err);
    if (st == TAWNY_OK && hex) st = tawny_fingerprint_new(m, &f, err);
    if (st == TAWNY_OK) {
        size_t n_vocab = (size_t)tawny_model_n_vocab(m), values = (size_t)n * n_vocab;
        if (!out) out = &own;
        if (!*out) *out = malloc(values * sizeof **out);
        st = !*out     ? TAWNY_E_NOMEM
             : h.mixed ? mixed_run(e, token, n, h.chunk, n_vocab, *out, err)
                       : compute(s, token, n, h, n_vocab, *out, err);
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

bool reference_run(const char *path, const tawny_token *token, int32_t n, how h, float *out, tawny_error *err)
{
    return run(path, token, n, h, &out, NULL, err) == TAWNY_OK;
}

bool reference_fingerprint(const char *path, const tawny_token *token, int32_t n, how h, char hex[33], tawny_error *err)
{
    return run(path, token, n, h, NULL, hex, err) == TAWNY_OK;
}
