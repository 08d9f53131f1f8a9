/* Models damaged on purpose: in each reference model, every metadata key is dropped, set to its limits, and given other
 * types and lengths; keys that other architectures have are added; every tensor is dropped, reshaped and retyped.
 * Loading must fail with an error that names key or tensor, or give a model that runs; nothing else may happen.
 * TAWNY_SWEEP=1 tries all of it (a few minutes), TAWNY_DAMAGE=NAME one model, each change told. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "gguf/gguf.h"
#include "../models/model.h"

enum { MAX_MODELS = 256, MAX_KEYS = 512, NAME = 128, PATTERN = 1 << 20, STRIDE = 12, PARTS = 8 };

static tawny_error e;
static int fd;
static char path[64], label[400];
static uint8_t *pattern; /* what tensors hold: small floats, and whatever other formats make of those */

/* A crash says what was tried. */
static void tell(int sig)
{
    (void)!write(2, label, strlen(label));
    (void)!write(2, "\n", 1);
    signal(sig, SIG_DFL);
    raise(sig);
}

static void setup(void)
{
    fd = memfd_create("damage", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    pattern = malloc(PATTERN);
    ck_assert_ptr_nonnull(pattern);
    uint32_t r = 1;
    for (size_t i = 0; i < PATTERN / sizeof(float); i++) {
        r = r * 1664525 + 1013904223; /* Numerical Recipes' generator: any will do */
        float f = ((float)(r >> 16) - 32767.5f) / 131072;
        memcpy(pattern + i * sizeof f, &f, sizeof f);
    }
    signal(SIGFPE, tell);
#ifndef __SANITIZE_ADDRESS__
    signal(SIGSEGV, tell);
    signal(SIGABRT, tell);
#endif
}

static void teardown(void)
{
    close(fd);
    free(pattern);
}

/* A key's place in the architecture's own part, "attention.head_count", with the type it was seen with. */
typedef struct known_key {
    char name[NAME];
    gguf_type type;
} known_key;

typedef struct tally {
    const char *model, *key; /* what is damaged */
    char arch[64];
    long seen, tried, opened, ran;
    int bad;
    bool all, loud;
} tally;

static void write_file(gguf_writer *w, uint64_t bytes)
{
    buf head = {0};
    ck_assert_msg(gguf_writer_header(w, path, &head, &e) == TAWNY_OK, "%s: %s", label, e.message);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    ck_assert_int_eq(pwrite(fd, head.data, head.size, 0), (ssize_t)head.size);
    for (uint64_t at = 0, n; at < bytes; at += n) {
        n = bytes - at < PATTERN ? bytes - at : PATTERN;
        ck_assert_int_eq(pwrite(fd, pattern, n, (off_t)(head.size + at)), (ssize_t)n);
    }
    buf_free(&head);
}

/* A batch and a single token. */
static bool run_some(tawny_model *m)
{
    static const tawny_token token[] = {1, 2, 3, 1, 0, 2, 1};
    tawny_engine *engine = NULL;
    tawny_session *s = NULL;
    tawny_engine_params p = {.n_threads = 1, .n_ctx = 80, .n_ubatch = 8, .no_pin = true};
    float *out = malloc(7 * (size_t)tawny_model_n_vocab(m) * sizeof *out);
    tawny_status st = out ? tawny_engine_new(m, &p, &engine, &e) : TAWNY_E_NOMEM;
    if (!st) st = tawny_session_new(engine, &s, &e);
    if (!st) st = tawny_session_append(s, token, 6, out, &e);
    if (!st) st = tawny_session_append(s, token + 6, 1, out, &e);
    tawny_session_free(s);
    tawny_engine_free(engine);
    free(out);
    return st == TAWNY_OK;
}

static void try_it(gguf_writer *w, uint64_t bytes, tally *t)
{
    tawny_model *m = NULL;
    write_file(w, bytes);
    t->tried++;
    if (t->loud) fprintf(stderr, "%s\n", label);
    e = (tawny_error){0};
    tawny_status st = tawny_model_open(path, &m, &e);
    if (st == TAWNY_OK) {
        t->opened++;
        t->ran += run_some(m);
        tawny_model_close(m);
        return;
    }
    bool names = strstr(e.message, t->arch) || strstr(e.message, "tensor ") || strstr(e.message, "key ") ||
                 strstr(e.message, "tokenizer.") || strstr(e.message, t->key);
    bool named = names && strstr(e.message, path);
    if (t->loud) fprintf(stderr, "    %s\n", e.message);
    if (named && (st == TAWNY_E_FORMAT || st == TAWNY_E_UNSUPPORTED)) return;
    fprintf(stderr, "%s: status %d, '%s'\n", label, st, e.message);
    t->bad++;
}

static bool skip(tally *t) { return t->seen++ % STRIDE && !t->all; }

/* ---- keys ---- */

static uint64_t largest(gguf_type type)
{
    switch (type) {
    case GGUF_U8: return UINT8_MAX;
    case GGUF_I8: return INT8_MAX;
    case GGUF_U16: return UINT16_MAX;
    case GGUF_I16: return INT16_MAX;
    case GGUF_I32: return INT32_MAX;
    case GGUF_U64: return UINT64_MAX;
    case GGUF_I64: return INT64_MAX;
    default: return UINT32_MAX;
    }
}

#define KINDS(X)                                                                                       \
    X(DROP, "dropped") X(ZERO, "0") X(ONE, "1") X(MOST, "at its largest") X(LESS, "-1") X(NOT_A_NUMBER, "NaN")  \
    X(INF, "infinite") X(STRING, "a string") X(FLOAT, "a float") X(ONE_ELEMENT, "an array of one")              \
    X(NO_ELEMENT, "an array of none") X(ZEROS, "an array of zeros") X(MOSTS, "an array of largest")             \
    X(STRINGS, "an array of strings") X(NANS, "an array of NaN") X(SHORT, "an array one short")
#define ID(name, text) K_##name,
#define TEXT(name, text) text,
enum { KINDS(ID) K_KINDS };
static const char *const kinds[] = {KINDS(TEXT)};

static void set_array(gguf_writer *w, const char *key, gguf_type type, uint64_t value, uint64_t n)
{
    buf b = {0};
    size_t size = gguf_type_size(type);
    for (uint64_t i = 0; i < n; i++) {
        if (type == GGUF_STR)
            buf_add(&b, &(uint64_t){0}, 8);
        else
            buf_add(&b, &value, size);
    }
    gguf_writer_array(w, key, type, b.data ? b.data : "", b.size, n);
    buf_free(&b);
}

/* Sets `key` in w as `kind` says; `type` is that of its value, or of its elements. False: this makes no sense. */
static bool set_key(gguf_writer *w, const char *key, gguf_type type, int kind, uint64_t layers)
{
    bool real = type == GGUF_F32 || type == GGUF_F64, no_number = kind == K_NOT_A_NUMBER || kind == K_NANS;
    bool most = kind == K_MOST || kind == K_MOSTS;
    uint64_t value = most ? largest(type) : kind == K_LESS ? UINT64_MAX : kind == K_ONE;
    if (!real && (no_number || kind == K_INF)) return false;
    if (real) {
        float f = most ? 3e38f : no_number ? NAN : kind == K_LESS ? -1 : kind == K_INF ? INFINITY : kind == K_ONE;
        type = GGUF_F32;
        value = 0;
        memcpy(&value, &f, sizeof f);
    }
    if (type == GGUF_STR && kind != K_DROP && kind != K_STRING && kind != K_STRINGS) type = GGUF_U32;
    switch (kind) {
    case K_DROP: gguf_writer_drop(w, key); return true;
    case K_STRING: gguf_writer_str(w, key, "owl", 3); return true;
    case K_FLOAT: gguf_writer_f32(w, key, 1.5f); return !real;
    case K_ONE_ELEMENT: set_array(w, key, type, 1, 1); return true;
    case K_NO_ELEMENT: set_array(w, key, type, 0, 0); return true;
    case K_ZEROS:
    case K_MOSTS:
    case K_NANS: set_array(w, key, type, value, layers); return true;
    case K_STRINGS: set_array(w, key, GGUF_STR, 0, layers); return true;
    case K_SHORT: set_array(w, key, type, 1, layers - 1); return true;
    default: gguf_writer_scalar(w, key, type, &value); return true;
    }
}

static void copy_keys(gguf_writer *w, const gguf *g)
{
    for (size_t i = 0; i < gguf_kv_count(g); i++) gguf_writer_copy_kv(w, gguf_kv_at(g, i));
}

static uint64_t padded(uint64_t n, uint64_t a) { return (n + a - 1) / a * a; }

static uint64_t add_tensor(gguf_writer *w, const gguf *g, const gguf_tensor *t)
{
    gguf_writer_tensor(w, t->name, t->type, t->n_dims, t->ne, pattern);
    return padded(t->bytes, gguf_alignment(g));
}

static void damage_key(const gguf *g, const char *key, gguf_type type, tally *t)
{
    uint32_t layers = 1;
    char count[NAME];
    snprintf(count, sizeof count, "%s.block_count", t->arch);
    (void)gguf_opt_u32(g, count, 1, 1000, &layers, NULL);
    bool there = gguf_find(g, key) != NULL;
    t->key = key;
    for (int kind = 0; kind < K_KINDS; kind++) {
        bool adds = kind == K_ZERO || kind == K_ONE || kind == K_MOST || kind == K_NOT_A_NUMBER || kind == K_ZEROS;
        if ((!there && !adds) || skip(t)) continue;
        gguf_writer *w = gguf_writer_new();
        uint64_t bytes = 0;
        copy_keys(w, g);
        snprintf(label, sizeof label, "%s: %s %s", t->model, key, kinds[kind]);
        if (set_key(w, key, type, kind, layers)) {
            for (size_t i = 0; i < gguf_tensor_count(g); i++) bytes += add_tensor(w, g, gguf_tensor_at(g, i));
            try_it(w, bytes, t);
        }
        gguf_writer_free(w);
    }
}

/* ---- tensors ---- */

#define TENSOR_KINDS(X)                                                                                 \
    X(CUT, "dropped") X(HALF, "of half its rows") X(DOUBLE, "of twice its rows") X(TRANSPOSED, "transposed")     \
    X(DEEPER, "with one more dimension") X(ELEMENT, "of one element") X(WIDER, "one wider") X(F16, "F16")        \
    X(Q8_0, "Q8_0") X(I32, "I32") X(RENAMED, "under another name")
enum { TENSOR_KINDS(ID) TENSOR_END };
static const char *const tensor_kinds[] = {TENSOR_KINDS(TEXT)};

static bool change_tensor(gguf_tensor *t, int kind)
{
    uint64_t *last = &t->ne[t->n_dims ? t->n_dims - 1 : 0];
    switch (kind) {
    case K_HALF: *last = *last > 1 ? *last / 2 : 1; break;
    case K_DOUBLE: *last *= 2; break;
    case K_TRANSPOSED: {
        uint64_t x = t->ne[0];
        t->ne[0] = t->ne[1];
        t->ne[1] = x;
        if (t->n_dims < 2) t->n_dims = 2;
        break;
    }
    case K_DEEPER:
        if (t->n_dims == GGUF_MAX_DIMS) return false;
        t->ne[t->n_dims++] = 2;
        break;
    case K_ELEMENT:
        for (int i = 0; i < GGUF_MAX_DIMS; i++) t->ne[i] = 1;
        t->n_dims = 1;
        break;
    case K_WIDER: t->ne[0]++; break;
    case K_F16: t->type = 1; break;
    case K_Q8_0: t->type = 8; break;
    case K_I32: t->type = 26; break;
    case K_RENAMED: memcpy(t->name, "owl", 3); break;
    }
    const gguf_type_info *info = gguf_tensor_type(t->type);
    if (t->ne[0] % info->block) return false;
    t->bytes = t->ne[0] / info->block * info->block_bytes * t->ne[1] * t->ne[2] * t->ne[3];
    return true;
}

static void damage_tensor(const gguf *g, size_t which, tally *t)
{
    t->key = gguf_tensor_at(g, which)->name;
    for (int kind = 0; kind < TENSOR_END; kind++) {
        if (skip(t)) continue;
        gguf_tensor changed = *gguf_tensor_at(g, which);
        snprintf(label, sizeof label, "%s: tensor %s %s", t->model, changed.name, tensor_kinds[kind]);
        if (!change_tensor(&changed, kind)) continue;
        gguf_writer *w = gguf_writer_new();
        uint64_t bytes = 0;
        copy_keys(w, g);
        for (size_t i = 0; i < gguf_tensor_count(g); i++)
            if (i != which)
                bytes += add_tensor(w, g, gguf_tensor_at(g, i));
            else if (kind != K_CUT)
                bytes += add_tensor(w, g, &changed);
        try_it(w, bytes, t);
        gguf_writer_free(w);
    }
}

/* ---- models ---- */

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static int list(const char *dir, char names[MAX_MODELS][NAME])
{
    DIR *d = opendir(dir);
    int n = 0;
    for (struct dirent *f; d && (f = readdir(d)) && n < MAX_MODELS;) {
        size_t len = strlen(f->d_name);
        if (len > 5 && len < NAME && strcmp(f->d_name + len - 5, ".gguf") == 0)
            snprintf(names[n++], NAME, "%.*s", (int)len - 5, f->d_name);
    }
    if (d) closedir(d);
    qsort(names, (size_t)n, NAME, by_name);
    return n;
}

static gguf *open_model(const char *dir, const char *name, char own[64])
{
    char file[NAME + 64];
    gguf *g = NULL;
    gguf_str s;
    snprintf(file, sizeof file, "%s/%s.gguf", dir, name);
    ck_assert_msg(gguf_open(file, 0, &g, &e) == TAWNY_OK, "%s", e.message);
    ck_assert_msg(gguf_get_str(g, "general.architecture", &s, &e) == TAWNY_OK && s.n < 64, "%s", e.message);
    snprintf(own, 64, "%.*s", (int)s.n, s.p);
    if (arch_find(own)) return g;
    gguf_close(g);
    return NULL;
}

/* The architecture's part of a key; NULL where it is not the architecture's. */
static const char *own_part(const gguf_kv *kv, const char *a)
{
    size_t n = strlen(a);
    bool own = kv->key.n > n + 1 && kv->key.n - n < NAME && memcmp(kv->key.p, a, n) == 0 && kv->key.p[n] == '.';
    return own ? kv->key.p + n + 1 : NULL;
}

static gguf_type type_of(const gguf_kv *kv) { return kv->type == GGUF_ARR ? kv->v.a.type : kv->type; }

static int collect(const gguf *g, const char *a, known_key *keys, int n)
{
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        const char *own = own_part(kv, a);
        if (!own || n == MAX_KEYS) continue;
        char name[NAME];
        int at = 0;
        snprintf(name, sizeof name, "%.*s", (int)(kv->key.n - (size_t)(own - kv->key.p)), own);
        while (at < n && strcmp(keys[at].name, name) != 0) at++;
        if (at < n) continue;
        memcpy(keys[n].name, name, sizeof name);
        keys[n++].type = type_of(kv);
    }
    return n;
}

/* Keys that no reference model has, but some architecture reads. */
static const known_key rare[] = {
    {"nextn_predict_layers", GGUF_U32}, {"rope.scale_linear", GGUF_F32}, {"rope.scaling.type", GGUF_STR},
    {"rope.scaling.factor", GGUF_F32}, {"rope.scaling.attn_factor", GGUF_F32}, {"rope.scaling.alpha", GGUF_F32},
    {"rope.dimension_count_swa", GGUF_U32}, {"rope.dimension_sections", GGUF_I32}, {"attention.scale", GGUF_F32},
    {"attention.key_length_swa", GGUF_U32}, {"attention.value_length_swa", GGUF_U32}, {"attention.clamp_kqv", GGUF_F32},
    {"attention.max_alibi_bias", GGUF_F32}, {"attention.shared_kv_layers", GGUF_U32}, {"attention.causal", GGUF_BOOL},
    {"expert_group_count", GGUF_U32}, {"expert_group_used_count", GGUF_U32}, {"pooling_type", GGUF_U32},
    {"rope.scaling.finetuned", GGUF_BOOL}, {"attention.temperature_scale", GGUF_F32},
};

static void damage_model(const gguf *g, const known_key *keys, int n_keys, tally *t)
{
    char key[2 * NAME];
    for (int i = 0; i < n_keys; i++) {
        snprintf(key, sizeof key, "%.63s.%.127s", t->arch, keys[i].name);
        const gguf_kv *kv = gguf_find(g, key);
        damage_key(g, key, kv ? type_of(kv) : keys[i].type, t);
    }
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        snprintf(key, sizeof key, "%.*s", (int)(kv->key.n < NAME ? kv->key.n : NAME), kv->key.p);
        if (!own_part(kv, t->arch) && strncmp(key, "general.", 8) != 0) damage_key(g, key, type_of(kv), t);
    }
    for (size_t i = 0; i < gguf_tensor_count(g); i++) damage_tensor(g, i, t);
}

START_TEST(every_key_and_tensor)
{
    static char names[MAX_MODELS][NAME];
    static known_key keys[MAX_KEYS];
    const char *dir = "../shared/kit/archs", *one = getenv("TAWNY_DAMAGE");
    int n = list(dir, names), n_keys = 0, models = 0;
    tally t = {.all = getenv("TAWNY_SWEEP") || one, .loud = one != NULL};
    if (!n) {
        printf("damage: no reference models in ../shared/kit/archs; those of tests/golden\n");
        n = list(dir = "tests/golden/archs", names);
    }
    for (size_t i = 0; i < sizeof rare / sizeof *rare; i++) keys[n_keys++] = rare[i];
    for (int i = 0; i < n; i++) {
        gguf *g = open_model(dir, names[i], t.arch);
        if (g) n_keys = collect(g, t.arch, keys, n_keys);
        gguf_close(g);
    }
    for (int i = _i; i < n; i += PARTS) {
        gguf *g = one && strcmp(one, names[i]) != 0 ? NULL : open_model(dir, names[i], t.arch);
        if (!g) continue;
        t.model = names[i];
        t.seen = i; /* other changes in other models */
        damage_model(g, keys, n_keys, &t);
        gguf_close(g);
        models++;
    }
    printf("damage: %d models, %ld changes, %ld still open, %ld of them ran\n", models, t.tried, t.opened, t.ran);
    ck_assert_int_eq(t.bad, 0);
}
END_TEST

Suite *suite_damage(void)
{
    Suite *s = suite_create("damage");
    TCase *t = tcase_create("damage");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, getenv("TAWNY_SWEEP") ? 3600 : 120);
    tcase_add_loop_test(t, every_key_and_tensor, 0, PARTS);
    suite_add_tcase(s, t);
    return s;
}
