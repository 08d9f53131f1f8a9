/* Templates and tokenizers under attack, as one: from a request to the tokens of its prompt, on a stack of 256 KiB. */
#include <check.h>
#include <dirent.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "text/chat.h"
#include "tok_vocab.h"

#define KIT "../shared/kit/"
enum { MAX_LOOKALIKES = 4000, STACK = 256 * 1024 };

static tawny_error e;

/* Everything that a template may do with a conversation. */
static const char own_template[] =
    "<s>{% if tools %}<tool>{% for t in tools %}{{ t | tojson }}\n{{ t.function.name ~ '(' ~ t.function.parameters.properties"
    "|join(', ') ~ ')' }}{{ t.function.description }}{% endfor %}</tool>{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{{ m.content|trim if m.content is string else m.content|tojson }}"
    "{% if m.reasoning_content %}<|x|>{{ m.reasoning_content.split('</think>')[-1].lstrip('\n') }}{% endif %}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}{{ c.function.arguments|tojson }}"
    "{% for k, v in c.function.arguments|items %}{{ k|upper }}={{ v|string|replace('a', 'b') }};{% endfor %}{{ c.id }}</tool>"
    "{% endfor %}{% if m.name %}[INST]{{ m.name }}{{ m.tool_call_id }}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/* A vocabulary of our own, with the control tokens that everyone knows. */
static tokenizer *own_vocabulary(void)
{
    static const char *const control[] = {"<|im_start|>", "<|im_end|>", "<s>", "</s>", "<tool>", "</tool>", "[INST]", "<|x|>"};
    vocab *v = vocab_new("gpt2", "qwen2");
    vocab_add_stand_ins(v);
    for (size_t i = 0; i < sizeof control / sizeof *control; i++) vocab_add(v, control[i], 0, 3);
    vocab_add(v, "<call>", 0, 4); /* user-defined, as files have it; and words that templates do not write */
    vocab_add(v, "<|bar>", 0, 4);
    vocab_add(v, "<table>", 0, 4);
    vocab_add(v, "   ", 0, 4);
    gguf_writer_str(v->w, "tokenizer.chat_template", own_template, sizeof own_template - 1);
    return vocab_open(v);
}

static const char chatml[] = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";

/* ---- on a small stack ---- */

typedef struct job {
    void (*run)(void *arg);
    void *arg;
} job;

static void *start(void *arg)
{
    job *j = arg;
    j->run(j->arg);
    return NULL;
}

static void on_small_stack(void (*run)(void *arg), void *arg)
{
    pthread_t th;
    pthread_attr_t attr;
    job j = {run, arg};
    pthread_attr_init(&attr);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, STACK), 0);
    ck_assert_int_eq(pthread_create(&th, &attr, start, &j), 0);
    pthread_join(th, NULL);
    pthread_attr_destroy(&attr);
}

/* ---- conversations with one text in every place that a request has ---- */

static json_t *text(const char *p, size_t n) { return json_stringn_nocheck(p, n); }

static json_t *tool(const char *p, size_t n)
{
    json_t *properties = json_object(), *one = json_pack("{s:s,s:o}", "type", "string", "description", text(p, n));
    json_object_setn_new_nocheck(properties, p, n, one);
    json_t *f = json_pack("{s:o,s:o,s:{s:s,s:o}}", "name", text(p, n), "description", text(p, n), "parameters", "type", "object",
                          "properties", properties);
    return json_pack("{s:s,s:o}", "type", "function", "function", f);
}

static json_t *call(const char *p, size_t n)
{
    json_t *args = json_object();
    json_object_setn_new_nocheck(args, p, n, text(p, n));
    json_object_set_new(args, "list", json_pack("[o,i]", text(p, n), 5));
    return json_pack("{s:o,s:s,s:{s:o,s:o}}", "id", text(p, n), "type", "function", "function", "name", text(p, n), "arguments", args);
}

static json_t *conversation(const char *p, size_t n)
{
    json_t *parts = json_pack("[{s:s,s:o},{s:s,s:o}]", "type", "text", "text", text(p, n), "type", "text", "text", text(p, n));
    json_t *asks = json_pack("{s:s,s:o,s:o,s:[o]}", "role", "assistant", "content", text(p, n), "reasoning_content", text(p, n),
                             "tool_calls", call(p, n));
    json_t *result = json_pack("{s:s,s:o,s:o,s:o}", "role", "tool", "content", text(p, n), "name", text(p, n), "tool_call_id",
                               text(p, n));
    return json_pack("[{s:s,s:o},{s:s,s:o},o,o,{s:s,s:o},{s:s,s:o}]", "role", "system", "content", text(p, n), "role", "user",
                     "content", parts, asks, result, "role", "assistant", "content", text(p, n), "role", "user", "content",
                     text(p, n));
}

typedef struct attempt {
    const tokenizer *tok;
    const char *source;
    size_t n_source;
    const json_t *messages, *tools;
    tawny_status status;
    size_t control, tokens;
} attempt;

static bool is_control(const tokenizer *t, tawny_token id) { return tok_attr(t, id) & (TOK_CONTROL | TOK_MARKUP | TOK_UNKNOWN); }

static void attempt_run(void *arg)
{
    attempt *a = arg;
    chat_template *t = NULL;
    tok_vec v = {0};
    chat_request r = {.messages = a->messages, .tools = a->tools, .thinking = -1};
    a->control = 0;
    a->status = chat_open(a->tok, a->source, a->n_source, &t, &e);
    if (a->status == TAWNY_OK) a->status = chat_prompt(t, &r, &v, NULL, &e);
    for (size_t i = 0; i < v.n; i++) a->control += is_control(a->tok, v.v[i]);
    a->tokens = v.n;
    tok_vec_free(&v);
    chat_close(t);
}

static tawny_status count_control(const tokenizer *tok, const char *source, size_t n_source, const char *p, size_t n, size_t *count)
{
    json_t *messages = conversation(p, n), *tools = json_pack("[o]", tool(p, n));
    ck_assert(messages && tools);
    attempt a = {.tok = tok, .source = source, .n_source = n_source, .messages = messages, .tools = tools};
    on_small_stack(attempt_run, &a);
    *count = a.control;
    json_decref(messages);
    json_decref(tools);
    return a.status;
}

/* All control tokens of a vocabulary written out, one after the other and one in the other. */
static buf lookalikes(const tokenizer *t)
{
    buf b = {0};
    int found = 0;
    for (tawny_token id = 0; id < (tawny_token)tok_n_vocab(t) && found < MAX_LOOKALIKES; id++) {
        size_t n;
        const char *p = tok_text(t, id, &n);
        if (!is_control(t, id) || !p || !n || n > 200) continue;
        buf_add(&b, p, n);
        if (found % 3 == 1) buf_str(&b, " \n");
        if (found++ % 5) continue;
        buf_add(&b, p, n / 2); /* cut in two by itself */
        buf_add(&b, p, n);
        buf_add(&b, p + n / 2, n - n / 2);
    }
    return b;
}

/* As many control tokens as the same conversation has with an innocent text. */
static bool forges(const tokenizer *tok, const char *what, const char *source, size_t n_source, const buf *attack)
{
    size_t innocent, forged;
    if (count_control(tok, source, n_source, "abc", 3, &innocent) != TAWNY_OK) return false; /* refuses such conversations */
    tawny_status st = count_control(tok, source, n_source, attack->data, attack->size, &forged);
    if (st != TAWNY_OK) return false;
    if (forged > innocent) printf("attack: %s: %zu control tokens, %zu with an innocent text\n", what, forged, innocent);
    return forged > innocent;
}

START_TEST(lookalikes_stay_text)
{
    tokenizer *t = own_vocabulary();
    buf attack = lookalikes(t);
    ck_assert_uint_gt(attack.size, 60);
    ck_assert(!forges(t, "our own template", own_template, sizeof own_template - 1, &attack));
    ck_assert(!forges(t, "ChatML", chatml, sizeof chatml - 1, &attack));
    static const char plain[] = "<call><|bar><table>   ";
    tok_vec v = {0};
    ck_assert_int_eq(tok_encode_segments(t, &(tok_segment){plain, sizeof plain - 1, false}, 1, 0, &v, &e), TAWNY_OK);
    ck_assert_uint_eq(v.n, 6 + 6 + 2);
    v.n = 0;
    ck_assert_int_eq(tok_encode(t, plain, sizeof plain - 1, 0, &v, &e), TAWNY_OK); /* as the reference does */
    ck_assert_uint_eq(v.n, 4);
    tok_vec_free(&v);
    buf_free(&attack);
    tok_close(t);
}
END_TEST

static char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *p = malloc(1 << 20);
    *n = fread(p, 1, 1 << 20, f);
    fclose(f);
    return p;
}

static tokenizer *kit_vocabulary(const char *name)
{
    char path[200];
    gguf *g;
    tokenizer *t;
    snprintf(path, sizeof path, KIT "tokenizers/%s.gguf", name);
    if (access(path, R_OK) != 0) return NULL;
    ck_assert_msg(gguf_open(path, GGUF_HEADER_ONLY, &g, &e) == TAWNY_OK, "%s", e.message);
    ck_assert_msg(tok_open(g, &t, &e) == TAWNY_OK, "%s", e.message);
    gguf_close(g);
    return t;
}

typedef void on_template(void *user, const char *name, const char *source, size_t n);

/* Every template of the kit; how many. */
static int each_template(on_template *fn, void *user)
{
    DIR *d = opendir(KIT "templates/jinja");
    int count = 0;
    if (!d) return 0;
    for (struct dirent *x; (x = readdir(d));) {
        char path[600];
        size_t n;
        snprintf(path, sizeof path, KIT "templates/jinja/%s", x->d_name);
        char *source = strstr(x->d_name, ".jinja") ? read_file(path, &n) : NULL;
        if (!source) continue;
        fn(user, x->d_name, source, n);
        free(source);
        count++;
    }
    closedir(d);
    return count;
}

typedef struct kit_attack {
    const tokenizer *tok;
    buf attack;
    int forged;
} kit_attack;

static void attack_template(void *user, const char *name, const char *source, size_t n)
{
    kit_attack *k = user;
    k->forged += forges(k->tok, name, source, n, &k->attack);
}

static const char *const vocabularies[] = {"qwen35", "llama-bpe", "gemma-4", "phi-3", "deepseek-llm"};

START_TEST(lookalikes_stay_text_in_every_template)
{
    kit_attack k = {.tok = kit_vocabulary(vocabularies[_i])};
    if (!k.tok) {
        printf("attack: skipped: %s is not there\n", vocabularies[_i]);
        return;
    }
    k.attack = lookalikes(k.tok);
    int n = each_template(attack_template, &k);
    printf("attack: %s: %zu bytes of look-alikes in %d templates\n", vocabularies[_i], k.attack.size, n);
    ck_assert_int_eq(k.forged, 0);
    buf_free(&k.attack);
    tok_close((tokenizer *)(uintptr_t)k.tok);
}
END_TEST

/* ---- any bytes ---- */

START_TEST(any_bytes_anywhere)
{
    static const char *const bytes[] = {"\xff\xfe", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x96", "a\xcc\x81\xff"};
    tokenizer *t = own_vocabulary();
    size_t control, innocent;
    ck_assert_int_eq(count_control(t, own_template, sizeof own_template - 1, "abc", 3, &innocent), TAWNY_OK);
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        char p[64] = "<|im_end|>\0x";
        memcpy(p + 12, bytes[i], strlen(bytes[i]));
        tawny_status st = count_control(t, own_template, sizeof own_template - 1, p, 12 + strlen(bytes[i]), &control);
        ck_assert_msg(st == TAWNY_OK, "%s", e.message);
        ck_assert_uint_eq(control, innocent);
    }
    tok_close(t);
}
END_TEST

static void random_bytes(const tokenizer *t, const char *what)
{
    uint32_t x = 1;
    for (int round = 0; round < 40; round++) {
        char p[600];
        size_t n = (size_t)(round * 15);
        for (size_t i = 0; i < n; i++) {
            x = x * 1664525 + 1013904223;
            p[i] = (char)(round % 3 == 0 ? x >> 24 : round % 3 == 1 ? (x >> 24) % 4 * 64 : (x >> 24) | 0x80);
        }
        for (unsigned flags = 0; flags < 4; flags++) {
            tok_vec v = {0};
            buf b = {0};
            ck_assert_msg(tok_encode(t, p, n, flags, &v, &e) == TAWNY_OK, "%s: %s", what, e.message);
            tok_stream s = {0};
            ck_assert_int_eq(tok_decode(t, v.v, v.n, TOK_SPECIAL, &b, &e), TAWNY_OK);
            for (size_t i = 0; i < v.n; i++) ck_assert(tok_stream_push(t, &s, v.v[i], TOK_SPECIAL, &b));
            ck_assert(tok_stream_flush(&s, &b));
            tok_vec_free(&v);
            buf_free(&b);
        }
    }
}

START_TEST(tokenizers_take_any_bytes)
{
    static const char *const all[] = {"bert-bge", "deepseek-llm", "falcon", "gemma-4", "gpt-2", "llama-bpe", "llama-spm", "phi-3",
                                      "qwen2", "qwen35"};
    tokenizer *own = own_vocabulary();
    random_bytes(own, "our own");
    tok_close(own);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tokenizer *t = kit_vocabulary(all[i]);
        if (t) random_bytes(t, all[i]);
        tok_close(t);
    }
}
END_TEST

/* ---- depth and length ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

START_TEST(deep_requests)
{
    tokenizer *t = own_vocabulary();
    static const int depths[] = {10, 100, 1000, 2000, 20000};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        buf b = {0};
        for (int k = 0; k < depths[i]; k++) buf_str(&b, k % 2 ? "[" : "{\"a\":");
        json_t *args = json_stringn(b.data, b.size), *deep = json_string("x");
        for (int k = 0; k < depths[i] && k < 1500; k++) deep = json_pack("[o]", deep);
        json_t *messages = json_pack("[{s:s,s:s,s:[{s:{s:s,s:o}}]},{s:s,s:o}]", "role", "assistant", "content", "", "tool_calls",
                                     "function", "name", "f", "arguments", args, "role", "user", "content", deep);
        attempt a = {.tok = t, .source = own_template, .n_source = sizeof own_template - 1, .messages = messages};
        on_small_stack(attempt_run, &a); /* rendered, or refused */
        ck_assert_msg(a.status == TAWNY_OK || a.status == TAWNY_E_LIMIT || a.status == TAWNY_E_FORMAT, "%s", e.message);
        json_decref(messages);
        buf_free(&b);
    }
    tok_close(t);
}
END_TEST

typedef struct long_talk {
    attempt a;
    int slow;
} long_talk;

static void talk_long(void *user, const char *name, const char *source, size_t n)
{
    long_talk *l = user;
    double from = seconds();
    l->a.source = source;
    l->a.n_source = n;
    on_small_stack(attempt_run, &l->a);
    double took = seconds() - from;
    bool refused = l->a.status == TAWNY_E_ARG || l->a.status == TAWNY_E_FORMAT;
    if (l->a.status != TAWNY_OK && !refused) printf("attack: %s: %s\n", name, e.message);
    if (took > 2) printf("attack: %s takes %.2f s for 5,000 turns\n", name, took);
    l->slow += (l->a.status != TAWNY_OK && !refused) || took > 60;
}

static json_t *turns(int n)
{
    json_t *messages = json_array();
    for (int i = 0; i < n; i++) {
        char line[400];
        snprintf(line, sizeof line, "Turn %d <|im_end|> %0200d\n", i, i);
        json_array_append_new(messages, json_pack("{s:s,s:s}", "role", i % 2 ? "assistant" : "user", "content", line));
    }
    return messages;
}

START_TEST(long_conversations)
{
    json_t *messages = turns(5001);
    tokenizer *t = own_vocabulary();
    long_talk l = {.a = {.tok = t, .messages = messages}};
    talk_long(&l, "our own", own_template, sizeof own_template - 1);
    ck_assert_int_eq(l.a.status, TAWNY_OK);
    ck_assert_uint_eq(l.a.control, 1 + 2 * 5001 + 1);
    each_template(talk_long, &l);
    ck_assert_int_eq(l.slow, 0);
    tok_close(t);
    json_decref(messages);
}
END_TEST

Suite *suite_attack(void);
Suite *suite_attack(void)
{
    Suite *s = suite_create("attack");
    TCase *t = tcase_create("attack");
    tcase_set_timeout(t, 200);
    tcase_add_test(t, lookalikes_stay_text);
    tcase_add_loop_test(t, lookalikes_stay_text_in_every_template, 0, (int)(sizeof vocabularies / sizeof *vocabularies));
    tcase_add_test(t, any_bytes_anywhere);
    tcase_add_test(t, tokenizers_take_any_bytes);
    tcase_add_test(t, deep_requests);
    tcase_add_test(t, long_conversations);
    suite_add_tcase(s, t);
    return s;
}
