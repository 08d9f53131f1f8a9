/* How fast grammars are: seconds to compile, to the first mask, and a mask for each token of an answer.
 *     build/bench/grammar [VOCABULARY.gguf [GRAMMAR.gbnf ...]]
 * Without a vocabulary, 128k words are made up. Answers are drawn from the masks, so that every kind of place is met. A
 * mask is `new` where the place in the grammar had none yet. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "text/gbnf.h"
#include "text/schema.h"
#include "text/tokenizer.h"

enum { WORDS = 131072, ANSWERS = 12, LENGTH = 150 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint32_t noise(void)
{
    static uint64_t s = 88172645463325252u;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return (uint32_t)(s >> 20);
}

/* ---- a vocabulary ---- */

static char word[WORDS][16];

static void make_words(void)
{
    static const char letters[] = "eeeeettttaaaooiinnsshhrrdlcumwfgypbvkjxqz";
    static const char marks[] = "{}[]\":,.-_/\\()<>=+*!?#$%&'\n\t ";
    for (int i = 0; i < WORDS; i++) {
        int n = 0, length = 2 + (int)(noise() % 8), kind = (int)(noise() % 16);
        if (i < 256) {
            word[i][0] = (char)i;
            continue;
        }
        if (kind < 8) word[i][n++] = ' ';
        for (; n < length; n++) {
            char letter = letters[noise() % (sizeof letters - 1)];
            word[i][n] = kind == 15   ? marks[noise() % (sizeof marks - 1)]
                         : kind == 14 ? (char)('0' + noise() % 10)
                                      : letter;
            if (kind == 13 && n == 0) word[i][n] = (char)(letter - 32);
            if (kind == 12) word[i][n] = n % 3 ? (char)(0x80 + noise() % 64) : (char)(0xe3 + noise() % 6);
        }
    }
}

static const char *piece(void *ctx, tawny_token t, size_t *n)
{
    (void)ctx;
    *n = t ? strlen(word[t]) : 0;
    return word[t];
}
static bool ends(void *ctx, tawny_token t) { return (void)ctx, t == 0; }
static tawny_token find(void *ctx, const char *text, size_t n) { return (void)ctx, (void)text, (void)n, -1; }

/* ---- grammars ---- */

#define CITY                                                                                                           \
    "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"unit\":{\"enum\":[\"celsius\","             \
    "\"fahrenheit\"]},"                                                                                                \
    "\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":14}},\"required\":[\"city\",\"unit\"]"
static const struct {
    const char *name, *schema;
} schemas[] = {
    {"any JSON", "true"},
    {"an object", "{\"type\":\"object\"}"},
    {"tool call", CITY ",\"additionalProperties\":false}"},
    {"open object", CITY "}"},
    {"recursive tree",
     "{\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"kids\":{\"type\":"
     "\"array\","
     "\"items\":{\"$ref\":\"#/$defs/n\"}}},\"required\":[\"name\",\"kids\"],\"additionalProperties\":false}},"
     "\"$ref\":\"#/$defs/n\"}"},
    {"pattern", "{\"type\":\"array\",\"minItems\":9,\"items\":{\"type\":\"string\",\"pattern\":\"^[A-Z]{2}-\\\\d{4}(-["
                "a-z]+)*$\"}}"},
    {"long string", "{\"type\":\"string\",\"minLength\":500,\"maxLength\":4000}"},
    {"numbers", "{\"type\":\"array\",\"minItems\":30,\"items\":{\"type\":\"number\",\"minimum\":-1,\"maximum\":1000}}"},
    {"name",
     "{\"type\":\"array\",\"minItems\":9,\"items\":{\"type\":\"string\",\"pattern\":\"^[a-zA-Z0-9_-]{1,200}$\"}}"},
    {"mail", "{\"type\":\"array\",\"minItems\":9,\"items\":{\"type\":\"string\",\"format\":\"email\"}}"},
    {"dates", "{\"type\":\"array\",\"minItems\":9,\"items\":{\"type\":\"string\",\"format\":\"date-time\"}}"},
};

static void run(const char *name, const char *text, size_t n, bool schema, const gbnf_tokens *tokens,
                const gbnf_vocab *v)
{
    buf made = {0};
    gbnf *g;
    gbnf_matcher *m;
    tawny_error err;
    const uint64_t *mask;
    size_t allowed, all = 0, fresh = 0;
    double from = seconds(), worst = 0, total = 0, first;
    tawny_status st = schema ? schema_rules(text, n, "root", 0, &made, &err) : TAWNY_OK;
    if (!st) st = schema ? gbnf_parse(made.data, made.size, tokens, &g, &err) : gbnf_parse(text, n, tokens, &g, &err);
    if (!st) st = gbnf_matcher_new(g, v, &m, &err);
    double compiled = seconds() - from;
    if (st) {
        printf("%-22s %s\n", name, err.message);
        return;
    }
    from = seconds();
    gbnf_allowed(m, gbnf_start(m), &mask, &allowed, &err);
    first = seconds() - from;
    for (int a = 0; a < ANSWERS; a++) {
        gbnf_state s = gbnf_start(m);
        for (int i = 0; i < LENGTH; i++) {
            from = seconds();
            if (gbnf_allowed(m, s, &mask, &allowed, &err)) break;
            double took = seconds() - from;
            if (!allowed) break;
            size_t pick = noise() % allowed, t = 0;
            for (;; t++)
                if (mask[t / 64] >> t % 64 & 1 && !pick--) break;
            if (tokens->ends(tokens->ctx, (tawny_token)t)) break;
            from = seconds();
            if (gbnf_token(m, s, (tawny_token)t, &s, &err)) break;
            took += seconds() - from;
            total += took;
            if (took > worst) worst = took;
            fresh += took > 20e-6;
            all++;
        }
    }
    printf("%-22s %9.1f %9.1f %9.1f %9.1f %8zu %8zu\n", name, 1e6 * compiled, 1e6 * first,
           1e6 * total / (double)(all ? all : 1), 1e6 * worst, fresh, all);
    gbnf_matcher_free(m);
    gbnf_free(g);
    buf_free(&made);
}

static void long_enum(buf *b)
{
    buf_str(b, "{\"enum\":[");
    for (int i = 0; i < 1000; i++) buf_printf(b, "%s\"%s-%d\"", i ? "," : "", "value of some length" + noise() % 8, i);
    buf_str(b, "]}");
}

int main(int argc, char **argv)
{
    gbnf_tokens tokens = {NULL, WORDS, piece, ends, find};
    gbnf_vocab *v;
    tokenizer *t = NULL;
    gguf *file = NULL;
    tawny_error err;
    tawny_status st = TAWNY_OK;
    make_words();
    if (argc > 1) st = gguf_open(argv[1], GGUF_HEADER_ONLY, &file, &err);
    if (!st && file) st = tok_open(file, &t, &err);
    if (!st && t) tokens = gbnf_tokens_of(t);
    double from = seconds();
    if (!st) st = gbnf_vocab_new(&tokens, &v, &err);
    if (st) return fprintf(stderr, "%s\n", err.message), 1;
    printf("%d tokens, sorted in %.1f ms; microseconds:\n%-22s %9s %9s %9s %9s %8s %8s\n", tokens.n,
           1e3 * (seconds() - from), "grammar", "compile", "first", "average", "worst", "new", "tokens");
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++)
        run(schemas[i].name, schemas[i].schema, strlen(schemas[i].schema), true, &tokens, v);
    buf b = {0};
    long_enum(&b);
    run("enum of 1000", b.data, b.size, true, &tokens, v);
    for (int i = 2; i < argc; i++) {
        buf_clear(&b);
        const char *name = strrchr(argv[i], '/');
        if (file_read(argv[i], 1 << 20, &b, &err)) return fprintf(stderr, "%s\n", err.message), 1;
        run(name ? name + 1 : argv[i], b.data, b.size, false, &tokens, v);
    }
    buf_free(&b);
    gbnf_vocab_free(v);
    tok_close(t);
    gguf_close(file);
    return 0;
}
