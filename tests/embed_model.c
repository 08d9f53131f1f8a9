#include "embed_model.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool load(const char *path, bool pooled, embed_reference *r)
{
    FILE *f = fopen(path, "rb");
    *r = (embed_reference){0};
    if (!f) return false;
    bool ok = fread(&r->n, 4, 1, f) == 1 && fread(&r->dim, 4, 1, f) == 1;
    ok = ok && r->n > 0 && r->n < 65536 && r->dim > 0 && r->dim < 1 << 20;
    r->rows = pooled ? 1 : r->n;
    size_t n = (size_t)r->n, values = ok ? (size_t)r->rows * (size_t)r->dim : 0;
    if (ok) {
        r->token = malloc(n * sizeof *r->token);
        r->data = malloc(values * sizeof *r->data);
        ok = r->token && r->data && fread(r->token, 4, n, f) == n && fread(r->data, 4, values, f) == values;
    }
    fclose(f);
    if (!ok) embed_reference_free(r);
    return ok;
}

bool embed_reference_load(const char *dir, const char *name, bool pooled, embed_reference *r)
{
    char path[512];
    const char *ending = pooled ? ".pool" : "";
    snprintf(path, sizeof path, "%.200s/%.128s.exact%s.f32", dir, name, ending);
    if (load(path, pooled, r)) return true;
    snprintf(path, sizeof path, "%.200s/%.128s%s.f32", dir, name, ending);
    return load(path, pooled, r);
}

void embed_reference_free(embed_reference *r)
{
    free(r->token);
    free(r->data);
    *r = (embed_reference){0};
}

tawny_status embed_model_write(const char *path, uint32_t pooling, const embed_tensor *more, tawny_error *err)
{
    gguf *g = NULL;
    tawny_status st = gguf_open(EMBED_GOLDEN, 0, &g, err);
    if (st != TAWNY_OK) return st;
    gguf_writer *w = gguf_writer_new();
    for (size_t i = 0; i < gguf_kv_count(g); i++) gguf_writer_copy_kv(w, gguf_kv_at(g, i));
    gguf_writer_u32(w, "jina-bert-v2.pooling_type", pooling);
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        bool replaced = false;
        for (const embed_tensor *m = more; m->name; m++) replaced |= strcmp(m->name, t->name) == 0;
        if (!replaced) gguf_writer_tensor(w, t->name, t->type, t->n_dims, t->ne, t->data);
    }
    for (const embed_tensor *m = more; m->name; m++)
        gguf_writer_tensor(w, m->name, 0, m->ne[1] ? 2 : 1, m->ne, m->data);
    st = gguf_writer_write(w, path, err);
    gguf_writer_free(w);
    gguf_close(g);
    return st;
}

void open_engine(setup *s, const char *path, const char *tier, tawny_engine_params p)
{
    tawny_error err = {0};
    p.type_k = p.type_v = TAWNY_KV_F32;
    if (tier) setenv("TAWNY_CPU", tier, 1);
    ck_assert_msg(tawny_model_open(path, &s->m, &err) == TAWNY_OK, "%s", err.message);
    unsetenv("TAWNY_CPU");
    ck_assert_msg(tawny_engine_new(s->m, &p, &s->e, &err) == TAWNY_OK, "%s", err.message);
}

void close_engine(setup *s)
{
    tawny_engine_free(s->e);
    tawny_model_close(s->m);
}

void embed(const setup *s, const tawny_text *t, int32_t n, tawny_pooling p, float *out)
{
    tawny_error err = {0};
    ck_assert_msg(tawny_engine_embed(s->e, t, n, p, out, &err) == TAWNY_OK, "%s", err.message);
}

heads *make_heads(void)
{
    heads *h = malloc(sizeof *h);
    float *p = (float *)(void *)h;
    uint32_t x = 3;
    for (size_t i = 0; i < sizeof *h / sizeof *p; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = ((float)(x >> 8) * 0x1p-24f - 0.5f) * 0.5f;
    }
    return h;
}

char *temporary(char path[64])
{
    strcpy(path, "/tmp/tawny-embed-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    return path;
}
