/* Speculation: tokens, and the bits of the logits that each was sampled from, are those without it. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/spec.h"
#include "engine/engine.h"
#include "gguf/gguf.h"
#include "tiny_model.h"

enum { CTX = 256, PROMPT = 40, ANSWER = 90, MOST_VOCAB = 512 };

typedef struct answer {
    tawny_token token[ANSWER];
    uint64_t bits[ANSWER]; /* a hash of the logits */
    int n;
    uint64_t guessed, right;
} answer;

static tawny_error err;

static uint64_t hash(const float *x, int n)
{
    uint64_t h = 14695981039346656037u;
    for (int i = 0; i < n; i++) {
        uint32_t b;
        memcpy(&b, &x[i], sizeof b);
        h = (h ^ b) * 1099511628211u;
    }
    return h;
}

/* One that repeats itself, so that the text has something to say. */
static void make_prompt(tawny_token *t, int n_vocab)
{
    for (int i = 0; i < PROMPT; i++) t[i] = (tawny_token)((uint32_t)(i % 13 + 1) * 2654435761u >> 8) % n_vocab;
}

typedef struct sequence {
    tawny_session *session;
    sampler *sampler;
    sampler_state state;
    answer *a;
} sequence;

static void sample(sequence *q, const float *logits, int n_vocab, int32_t n, tawny_token *t)
{
    int32_t all;
    const tawny_token *history = tawny_session_tokens(q->session, &all);
    ck_assert_int_ge(all, n);
    sampler_input in = {.logits = logits, .history = history, .n_history = (size_t)n, .position = (uint64_t)n};
    ck_assert_int_eq(sampler_sample(q->sampler, &q->state, &in, t, &err), TAWNY_OK);
    q->a->bits[q->a->n] = hash(logits, n_vocab);
    q->a->token[q->a->n++] = *t;
}

/* Tokens of several sequences, one of each a step. */
static void plain(tawny_engine *e, sequence *q, int n, int n_vocab)
{
    tawny_step items[4];
    tawny_token prompt[PROMPT], next[4];
    make_prompt(prompt, n_vocab);
    for (int i = 0; i < n; i++) {
        ck_assert_msg(tawny_session_append(q[i].session, prompt, PROMPT - i, NULL, &err) == TAWNY_OK, "%s", err.message);
        sample(&q[i], tawny_session_logits(q[i].session), n_vocab, PROMPT - i, &next[i]);
    }
    for (int k = 1; k < ANSWER; k++) {
        for (int i = 0; i < n; i++) items[i] = (tawny_step){.session = q[i].session, .tokens = &next[i], .n = 1, .n_logits = 1};
        ck_assert_int_eq(tawny_engine_step(e, items, n, &err), TAWNY_OK);
        for (int i = 0; i < n; i++) sample(&q[i], items[i].logits, n_vocab, PROMPT - i + k, &next[i]);
    }
}

/* Rows of an item, as far as guesses were right. */
static void take(spec *s, int i, sequence *q, const tawny_step *it, int n_vocab)
{
    bool right = true;
    int32_t n, have;
    for (int row = 0; row < it->n_logits && right && q->a->n < ANSWER; row++) {
        tawny_token t;
        spec_text(s, i, &n);
        sample(q, it->logits + (size_t)row * (size_t)n_vocab, n_vocab, n, &t);
        right = spec_add(s, i, t);
    }
    spec_text(s, i, &n);
    tawny_session_tokens(q->session, &have);
    if (have >= n) tawny_session_go_back(q->session, n - 1);
}

static void speculative(tawny_engine *e, spec *s, sequence *q, int n, int n_vocab)
{
    tawny_token prompt[PROMPT];
    make_prompt(prompt, n_vocab);
    for (int i = 0; i < n; i++) {
        tawny_step it = {.session = q[i].session, .tokens = prompt, .n = PROMPT - i, .n_logits = 1};
        ck_assert_int_eq(tawny_engine_step(e, &it, 1, &err), TAWNY_OK);
        spec_begin(s, i, prompt, PROMPT - i);
        take(s, i, &q[i], &it, n_vocab);
    }
    for (;;) {
        tawny_step items[4];
        spec_ask asks[4];
        int live = 0;
        for (int i = 0; i < n; i++)
            if (q[i].a->n < ANSWER) asks[live++] = (spec_ask){.i = i, .most = 8, .sampler = q[i].sampler, .state = &q[i].state};
        if (!live) return;
        spec_guess(s, asks, live, 30);
        for (int k = 0; k < live; k++) {
            int32_t have, all;
            tawny_session *of = q[asks[k].i].session;
            const tawny_token *text = spec_text(s, asks[k].i, &all);
            tawny_session_tokens(of, &have);
            ck_assert_int_lt(have, all);
            if (asks[k].n) tawny_session_mark(of);
            items[k] = (tawny_step){.session = of, .tokens = text + have, .n = all - have + asks[k].n, .n_logits = 1 + asks[k].n};
        }
        ck_assert_msg(tawny_engine_step(e, items, live, &err) == TAWNY_OK, "%s", err.message);
        for (int k = 0; k < live; k++) take(s, asks[k].i, &q[asks[k].i], &items[k], n_vocab);
    }
}

/* n sequences with the sampler's parameters and seeds of their own; p: with speculation. */
static void answers(const char *path, const sampler_params *how, const spec_params *p, int n, answer *out)
{
    tawny_model *m;
    tawny_engine *e;
    sequence q[4];
    spec *s = NULL;
    tawny_engine_params params = {.n_threads = 2, .n_ctx = CTX, .n_sessions = n};
    ck_assert_msg(tawny_model_open(path, &m, &err) == TAWNY_OK, "%s", err.message);
    ck_assert_msg(tawny_engine_new(m, &params, &e, &err) == TAWNY_OK, "%s", err.message);
    int n_vocab = tawny_model_n_vocab(m);
    ck_assert_int_le(n_vocab, MOST_VOCAB);
    memset(out, 0, (size_t)n * sizeof *out);
    for (int i = 0; i < n; i++) {
        sampler_params mine = *how;
        mine.seed = how->seed + (uint64_t)i;
        q[i].a = &out[i];
        ck_assert_int_eq(tawny_session_new(e, &q[i].session, &err), TAWNY_OK);
        ck_assert_int_eq(sampler_new(&mine, n_vocab, CTX, NULL, &q[i].sampler, &err), TAWNY_OK);
        sampler_state_init(q[i].sampler, &q[i].state);
    }
    if (p) {
        ck_assert_msg(spec_new(m, p, n, CTX, &s, &err) == TAWNY_OK, "%s", err.message);
        speculative(e, s, q, n, n_vocab);
        ck_assert_ptr_null(spec_trouble(s));
    } else {
        plain(e, q, n, n_vocab);
    }
    for (int i = 0; i < n; i++) {
        if (s) out[i].guessed = spec_counts_of(s, i).guessed, out[i].right = spec_counts_of(s, i).right;
        sampler_free(q[i].sampler);
        tawny_session_free(q[i].session);
    }
    spec_free(s);
    tawny_engine_free(e);
    tawny_model_close(m);
}

static void equal(const char *path, const char *what, const answer *want, const answer *got, int n)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < ANSWER; k++)
            ck_assert_msg(want[i].token[k] == got[i].token[k] && want[i].bits[k] == got[i].bits[k], "%s, %s: sequence %d, token %d: %d, not %d",
                          path, what, i, k, got[i].token[k], want[i].token[k]);
}

static sampler_params greedy(void)
{
    sampler_params p = sampler_params_default();
    p.temp = 0;
    p.seed = 1;
    return p;
}

/* Everything that looks at the past. */
static sampler_params drawn(void)
{
    sampler_params p = sampler_params_default();
    p.seed = 7;
    p.temp = 0.7f;
    p.repeat_penalty = 1.1f;
    p.repeat_last_n = 32;
    p.presence_penalty = 0.2f;
    p.dry_multiplier = 0.5f;
    p.top_k = 20;
    return p;
}

static sampler_params mirostat(void)
{
    sampler_params p = sampler_params_default();
    p.seed = 3;
    p.mirostat = 2;
    return p;
}

/* The text, the model itself, another one, a recurrent one; adapted and of a fixed length. */
static void every_way(const char *path, const char *other)
{
    static answer want[3], got[3];
    tawny_model *own, *second;
    ck_assert_int_eq(tawny_model_open(path, &own, &err), TAWNY_OK);
    ck_assert_int_eq(tawny_model_open(other, &second, &err), TAWNY_OK);
    tawny_engine_params small = {.n_threads = 1, .n_ubatch = 16};
    const struct {
        const char *what;
        spec_params p;
    } ways[] = {
        {"ngram", {.ngram = true, .n_max = 8}},
        {"ngram, 5", {.ngram = true, .n_max = 5, .n_min = 5}},
        {"itself", {.draft = own, .n_max = 4, .n_min = 4, .engine = {.n_threads = 2}}},
        {"another", {.draft = second, .n_max = 6, .n_min = 2, .engine = small}},
        {"another, sure", {.draft = second, .n_max = 8, .n_min = 1, .p_min = 0.1f, .engine = small}},
        {"both", {.ngram = true, .draft = own, .n_max = 8, .n_min = 1, .engine = small}},
    };
    const sampler_params samplers[] = {greedy(), drawn(), mirostat()};
    for (size_t k = 0; k < sizeof samplers / sizeof *samplers; k++) {
        answers(path, &samplers[k], NULL, 3, want);
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            answers(path, &samplers[k], &ways[i].p, 3, got);
            equal(path, ways[i].what, want, got, 3);
            if (ways[i].p.draft == own && !ways[i].p.ngram)
                for (int j = 0; j < 3; j++) ck_assert_uint_gt(got[j].right, got[j].guessed * 8 / 10);
        }
    }
    tawny_model_close(second);
    tawny_model_close(own);
}

static void architecture(const char *path) { every_way(path, "tests/golden/archs/llama-plain.gguf"); }

START_TEST(architectures)
{
    architecture("tests/golden/archs/qwen3.gguf");
    architecture("tests/golden/archs/gemma3.gguf");
    architecture("tests/golden/archs/gpt-oss.gguf");
    architecture("tests/golden/archs/deepseek2.gguf");
    architecture("tests/golden/archs/qwen2moe.gguf");
    every_way("tests/golden/archs/llama-plain.gguf", "tests/golden/archs/qwen35.gguf");
}
END_TEST

START_TEST(recurrent) { architecture("tests/golden/archs/qwen35.gguf"); }
END_TEST

/* A text that repeats: guesses are made, most are right, and then few steps are needed. */
START_TEST(repetition)
{
    static answer want[1], got[1];
    static const char path[] = "tests/golden/archs/llama-plain.gguf";
    sampler_params p = greedy();
    spec_params ngram = {.ngram = true, .n_max = 8};
    answers(path, &p, NULL, 1, want);
    answers(path, &p, &ngram, 1, got);
    equal(path, "ngram", want, got, 1);
    ck_assert_uint_ge(got->guessed, got->right);
}
END_TEST

/* ---- the text's own guesses ---- */

static spec *text_alone(tawny_model **m)
{
    spec *s;
    spec_params p = {.ngram = true, .n_max = 8, .n_min = 8};
    ck_assert_int_eq(tawny_model_open("tests/golden/archs/llama-plain.gguf", m, &err), TAWNY_OK);
    ck_assert_int_eq(spec_new(*m, &p, 1, CTX, &s, &err), TAWNY_OK);
    return s;
}

static void guesses(spec *s, const tawny_token *text, int n, const tawny_token *want, int n_want)
{
    int32_t all;
    sampler_state state;
    spec_ask a = {.most = 8, .state = &state};
    spec_begin(s, 0, text, n);
    spec_guess(s, &a, 1, 0);
    ck_assert_int_eq(a.n, n_want);
    const tawny_token *t = spec_text(s, 0, &all);
    ck_assert_int_eq(all, n);
    if (n_want) ck_assert_mem_eq(t + n, want, (size_t)n_want * sizeof *want);
}

#define LIST(...) (const tawny_token[]){__VA_ARGS__}
START_TEST(what_followed_before)
{
    tawny_model *m;
    spec *s = text_alone(&m);
    guesses(s, LIST(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2), 12, LIST(3, 4, 5, 6, 7, 8, 9, 10), 8);
    guesses(s, LIST(1, 2, 3, 9, 9, 1, 2, 4, 5, 6, 7, 8, 1, 2), 14, LIST(4, 5, 6, 7, 8, 1, 2, 4), 8);   /* the latest of equals */
    guesses(s, LIST(5, 1, 2, 3, 9, 7, 1, 2, 4, 9, 9, 5, 1, 2), 14, LIST(3, 9, 7, 1, 2, 4, 9, 9), 8);   /* a longer match first */
    guesses(s, LIST(8, 1, 2, 1, 2), 5, LIST(1, 2, 1, 2, 1, 2, 1, 2), 8);                               /* into the guess itself */
    guesses(s, LIST(4, 4, 4, 4), 4, LIST(4, 4, 4, 4, 4, 4, 4, 4), 8);
    guesses(s, LIST(1, 2, 3, 4, 5), 5, NULL, 0);
    guesses(s, LIST(1, 2), 2, NULL, 0);
    guesses(s, LIST(1), 1, NULL, 0);
    spec_free(s);
    tawny_model_close(m);
}
END_TEST

/* What is guessed wrong again and again is guessed less, and not at all where steps with more tokens take much longer. */
START_TEST(lengths)
{
    tawny_model *m;
    spec *s;
    sampler_state state;
    spec_params p = {.ngram = true, .n_max = 8};
    ck_assert_int_eq(tawny_model_open("tests/golden/archs/llama-plain.gguf", &m, &err), TAWNY_OK);
    ck_assert_int_eq(spec_new(m, &p, 1, CTX, &s, &err), TAWNY_OK);
    tawny_token text[40];
    for (int i = 0; i < 40; i++) text[i] = i % 10;
    spec_begin(s, 0, text, 40);
    spec_ask a = {.most = 8, .state = &state};
    for (int i = 0; i < 200; i++) spec_took(s, 1 + i % 8, 10 + 0.2 * (i % 8)); /* cheap ones */
    spec_guess(s, &a, 1, 0);
    ck_assert_int_eq(a.n, 8);
    for (int i = 0; i < 30; i++) {
        spec_add(s, 0, text[i % 10]);
        spec_guess(s, &a, 1, 0);
    }
    ck_assert_int_eq(a.n, 8);
    for (int i = 0; i < 200; i++) spec_took(s, 1 + i % 8, 10 + 15 * (i % 8)); /* each dearer than a step */
    spec_guess(s, &a, 1, 0);
    ck_assert_int_eq(a.n, 0);
    for (int i = 0; i < 200; i++) spec_took(s, 1 + i % 8, 10 + 2 * (i % 8));
    for (int i = 0; i < 40; i++) { /* matches whose next token is another each time */
        spec_begin(s, 0, text, 40);
        for (int k = 0; k < 12; k++) {
            spec_guess(s, &a, 1, 0);
            spec_add(s, 0, 20 + k % 3);
        }
    }
    ck_assert_int_lt(a.n, 4);
    a.most = 2;
    spec_begin(s, 0, text, 40);
    spec_guess(s, &a, 1, 0);
    ck_assert_int_le(a.n, 2);
    spec_free(s);
    tawny_model_close(m);
}
END_TEST

/* The end of the context: guesses leave off there. */
START_TEST(full_context)
{
    tawny_model *m;
    spec *s = text_alone(&m);
    sampler_state state;
    tawny_token text[CTX] = {0};
    spec_ask a = {.most = 8, .state = &state};
    for (int n = CTX - 10; n <= CTX; n++) {
        spec_begin(s, 0, text, n);
        spec_guess(s, &a, 1, 0);
        ck_assert_int_eq(a.n, CTX - n >= 8 ? 8 : 0);
        spec_add(s, 0, 0);
    }
    spec_free(s);
    tawny_model_close(m);
}
END_TEST

/* ---- tokens that are not the model's ---- */

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[4][128];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

/* A copy of `from` where the first `was` is `is`, of the same length. */
static void changed(const char *from, const char *to, const char *was, const char *is)
{
    static char data[1 << 20];
    FILE *f = fopen(from, "rb");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(data, 1, sizeof data, f), i = 0, length = strlen(was);
    fclose(f);
    ck_assert_uint_lt(n, sizeof data);
    while (i + length <= n && memcmp(data + i, was, length) != 0) i++;
    ck_assert_uint_le(i + length, n);
    memcpy(data + i, is, length);
    f = fopen(to, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, n, f), n);
    fclose(f);
}

static tawny_status compare(const char *a, const char *b)
{
    gguf *x, *y;
    tokenizer *of_a, *of_b;
    ck_assert_int_eq(gguf_open(a, 0, &x, &err), TAWNY_OK);
    ck_assert_int_eq(gguf_open(b, 0, &y, &err), TAWNY_OK);
    ck_assert_int_eq(tok_open(x, &of_a, &err), TAWNY_OK);
    ck_assert_int_eq(tok_open(y, &of_b, &err), TAWNY_OK);
    tawny_status st = spec_same_tokens(of_a, of_b, b, &err);
    tok_close(of_a);
    tok_close(of_b);
    gguf_close(x);
    gguf_close(y);
    return st;
}

static void setup(void)
{
    strcpy(dir, "/tmp/tawny-spec-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(tiny_model_write(in_dir("m"), &err), TAWNY_OK);
    ck_assert_int_eq(tiny_model_write_padded(in_dir("padded"), &err), TAWNY_OK);
    ck_assert_int_eq(tiny_model_write_damaged(in_dir("damaged"), "blk.1.ffn_down.weight", &err), TAWNY_OK);
    changed(in_dir("m"), in_dir("renamed"), "<|im_end|>", "<|IM_end|>");
}

static void teardown(void)
{
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", dir);
    ck_assert_int_eq(system(line), 0);
}

START_TEST(other_tokens)
{
    ck_assert_int_eq(compare(in_dir("m"), in_dir("damaged")), TAWNY_OK);
    ck_assert_int_eq(compare(in_dir("m"), in_dir("renamed")), TAWNY_E_ARG);
    ck_assert_ptr_nonnull(strstr(err.message, "token 257 is \"<|IM_end|>\""));
    ck_assert_int_eq(compare(in_dir("m"), "tests/golden/archs/llama-plain.gguf"), TAWNY_E_ARG);
    ck_assert_ptr_nonnull(strstr(err.message, "tokenizer is"));
}
END_TEST

/* More rows of logits than the other has, either way; weights that say the opposite. */
START_TEST(other_sizes)
{
    every_way(in_dir("m"), in_dir("padded"));
    every_way(in_dir("padded"), in_dir("m"));
    every_way(in_dir("m"), in_dir("damaged"));
}
END_TEST

Suite *suite_spec(void)
{
    Suite *s = suite_create("spec");
    TCase *t = tcase_create("equal");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, architectures);
    tcase_add_test(t, recurrent);
    tcase_add_test(t, repetition);
    suite_add_tcase(s, t);
    t = tcase_create("guesses");
    tcase_add_test(t, what_followed_before);
    tcase_add_test(t, lengths);
    tcase_add_test(t, full_context);
    suite_add_tcase(s, t);
    t = tcase_create("vocabularies");
    tcase_set_timeout(t, 120);
    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_add_test(t, other_tokens);
    tcase_add_test(t, other_sizes);
    suite_add_tcase(s, t);
    return s;
}
