/* text/: tokenizers on small vocabularies of our own, held to plain statements of the rules. */
#include <time.h>

#include "random.h"
#include "text/pretok.h"
#include "tok_vocab.h"

/* Where pre-tokenizers cut: golden, from the reference. */

static size_t unhex(const char *s, char *out)
{
    size_t n = 0;
    unsigned c;
    for (; sscanf(s, "%2x", &c) == 1; s += 2) out[n++] = (char)c;
    return n;
}

static bool add_length(void *ctx, const char *p, size_t n)
{
    (void)p;
    buf_printf(ctx, " %zu", n);
    return true;
}

START_TEST(pretokenizers_cut_as_the_reference_does)
{
    FILE *f = fopen("tests/golden/pretok.txt", "r");
    ck_assert_ptr_nonnull(f);
    static char line[8192], text[4096];
    size_t n = 0, seen = 0;
    while (fgets(line, sizeof line, f)) {
        size_t name = strcspn(line, " \n");
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#') continue;
        if (strncmp(line, "text ", 5) == 0) {
            n = unhex(line + 5, text);
            continue;
        }
        const pretok *p = pretok_find(line, name);
        ck_assert_msg(p, "%.*s is not known", (int)name, line);
        pattern *cut;
        buf got = {0};
        ck_assert_int_eq(pattern_new(p->stages, p->n_stages, &cut, NULL), TAWNY_OK);
        ck_assert(pattern_split(cut, text, n, add_length, &got));
        ck_assert_msg(strcmp(got.data, line + name) == 0, "%.*s:%s\ninstead of%s", (int)name, line, got.data,
                      line + name);
        pattern_free(cut);
        buf_free(&got);
        seen++;
    }
    fclose(f);
    ck_assert_uint_gt(seen, 200);
}
END_TEST

START_TEST(every_pretokenizer_builds)
{
    const pretok *p;
    for (size_t i = 0; (p = pretok_at(i)); i++) {
        pattern *cut;
        tawny_error err;
        ck_assert_msg(pattern_new(p->stages, p->n_stages, &cut, &err) == TAWNY_OK, "%s: %s", p->names, err.message);
        pattern_free(cut);
    }
    ck_assert_ptr_null(pretok_find("nonsense", 8));
    ck_assert_ptr_eq(pretok_find("", 0), pretok_find("default", 7));
}
END_TEST

/* Byte-level BPE. */

static vocab *hello(void)
{
    vocab *v = vocab_new("gpt2", "gpt-2");
    vocab_add_stand_ins(v);
    const char *const more[] = {"he", "ll",  "hell", "hello", "\u0120h",     "\u0120he",
                                "lo", "<s>", "</s>", "<|x|>", "\u0120\u0120"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        vocab_add(v, more[i], 0, i == 7 || i == 8 ? 3 : i == 9 ? 4 : 1);
    const char *const merges[] = {"h e", "l l", "he ll", "hell o", "\u0120 h", "\u0120h e", "l o", "\u0120 \u0120"};
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) vocab_merge(v, merges[i]);
    gguf_writer_u32(v->w, "tokenizer.ggml.bos_token_id", 263);
    gguf_writer_u32(v->w, "tokenizer.ggml.eos_token_id", 264);
    gguf_writer_bool(v->w, "tokenizer.ggml.add_bos_token", true);
    gguf_writer_str(v->w, "tokenizer.chat_template", "plain", 5);
    gguf_writer_str(v->w, "tokenizer.chat_template.tool_use", "tools", 5);
    return v;
}

START_TEST(byte_level)
{
    tokenizer *t = vocab_open(hello());
    ck_assert_str_eq(vocab_encode(t, "hello", 0), "259");
    ck_assert_str_eq(vocab_encode(t, "hello hell", 0), "259 32 258"); /* h e goes before Ġ h */
    ck_assert_str_eq(vocab_encode(t, "llo", 0), "257 111");           /* l l goes before l o */
    ck_assert_str_eq(vocab_encode(t, "", TOK_ADD_SPECIAL), "263");
    ck_assert_str_eq(vocab_encode(t, "", TOK_ADD_SPECIAL | TOK_NO_BOS), "");
    ck_assert_str_eq(vocab_encode(t, "<s>lo", TOK_PARSE_SPECIAL), "263 262");
    ck_assert_str_eq(vocab_encode(t, "<s>lo", 0), "60 115 62 262");
    ck_assert_str_eq(vocab_encode(t, "lo<|x|>lo", 0), "262 265 262"); /* user-defined tokens are always parsed */
    /* malformed: a byte is U+FFFD, an overlong form its short one */
    ck_assert_str_eq(vocab_encode(t, "\xff", 0), "239 191 189");
    ck_assert_str_eq(vocab_encode(t, "\xc1\xa1", 0), "97");
    ck_assert_str_eq(vocab_encode(t, "\xf4\x90\x80\x80", 0), "239 191 189 239 191 189 239 191 189 239 191 189");
    tok_vec v = {0};
    ck_assert_int_eq(tok_encode(t, "a\0b", 3, 0, &v, NULL), TAWNY_OK);
    ck_assert_str_eq(vocab_ids(&v), "97 0 98");
    v.n = 0;
    for (int i = 0; i < 256; i++) tok_vec_add(&v, i);
    buf b = {0};
    ck_assert_int_eq(tok_decode(t, v.v, v.n, TOK_RAW_PIECES, &b, NULL), TAWNY_OK);
    ck_assert_uint_eq(b.size, 256);
    for (int i = 0; i < 256; i++) ck_assert_int_eq((unsigned char)b.data[i], i);
    buf_free(&b);
    ck_assert_int_eq(tok_decode(t, (tawny_token[]){300}, 1, 0, &b, NULL), TAWNY_E_ARG);
    tok_vec_free(&v);
    tok_close(t);
}
END_TEST

START_TEST(asks_the_vocabulary)
{
    tokenizer *t = vocab_open(hello());
    size_t n;
    ck_assert_int_eq(tok_special_id(t, TOK_BOS), 263);
    ck_assert_int_eq(tok_special_id(t, TOK_PAD), TOK_NONE);
    ck_assert_int_eq(tok_special_id(t, TOK_NEWLINE), 10);
    ck_assert(tok_is_eog(t, 264) && !tok_is_eog(t, 263) && !tok_is_eog(t, -1) && !tok_is_eog(t, 9999));
    ck_assert_int_eq(tok_find(t, "hello", 5), 259);
    ck_assert_int_eq(tok_find(t, "hullo", 5), TOK_NONE);
    ck_assert_str_eq(tok_chat_template(t, NULL, &n), "plain");
    ck_assert_str_eq(tok_chat_template(t, "tool_use", &n), "tools");
    ck_assert_ptr_null(tok_chat_template(t, "rag", &n));
    tok_piece(t, 263, 0, &n);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(memcmp(tok_piece(t, 263, TOK_SPECIAL, &n), "<s>", 3), 0);
    ck_assert_int_eq(memcmp(tok_piece(t, 261, 0, &n), " he", 3), 0);
    tok_close(t);
}
END_TEST

START_TEST(control_tokens_only_where_trusted)
{
    tokenizer *t = vocab_open(hello());
    tok_vec v = {0};
    const tok_segment plain[] = {
        {"<s>", 3, true}, {"he", 2, false}, {"llo", 3, true}, {"<s>", 3, false}, {"", 0, true}};
    ck_assert_int_eq(tok_encode_segments(t, plain, 5, 0, &v, NULL), TAWNY_OK);
    ck_assert_str_eq(vocab_ids(&v), "263 259 60 115 62");
    v.n = 0; /* not across the border, but across two trusted ones */
    const tok_segment split[] = {
        {"<s", 2, true}, {">", 1, false}, {"<", 1, true}, {"s>", 2, true}, {"<|x|>", 5, false}};
    ck_assert_int_eq(tok_encode_segments(t, split, 5, TOK_ADD_SPECIAL, &v, NULL), TAWNY_OK);
    ck_assert_str_eq(vocab_ids(&v), "263 60 115 62 263 60 124 120 124 62"); /* user-defined, but a template's word */
    v.n = 0;
    ck_assert_int_eq(tok_encode(t, "<|x|>", 5, 0, &v, NULL), TAWNY_OK); /* where nothing is told of trust */
    ck_assert_str_eq(vocab_ids(&v), "265");
    tok_vec_free(&v);
    tok_close(t);
}
END_TEST

/* A control token that merges could make must not come from text that is not trusted. */
START_TEST(merges_make_no_control_tokens)
{
    vocab *w = vocab_new("llama", NULL);
    vocab_add(w, "<unk>", 0, 2);
    tawny_token bos = vocab_add(w, "<s>", 0, 3);
    vocab_add(w, "</s>", 0, 3);
    vocab_add_bytes(w);
    const char *const more[] = {"<", "s", ">", "s>", "\u2581"};
    for (size_t i = 0; i < 5; i++) vocab_add(w, more[i], (float)-i, 1);
    tokenizer *t = vocab_open(w);
    tok_vec v = {0};
    const tok_segment user = {"<s>", 3, false};
    ck_assert_int_eq(tok_encode_segments(t, &user, 1, 0, &v, NULL), TAWNY_OK);
    for (size_t i = 0; i < v.n; i++) ck_assert_int_ne(v.v[i], bos);
    ck_assert_str_eq(vocab_ids(&v), "263 259 262"); /* with the leading space */
    ck_assert_str_eq(vocab_encode(t, "<s>", 0), "263 1"); /* as the reference does */
    tok_vec_free(&v);
    tok_close(t);
}
END_TEST

START_TEST(streams_whole_characters)
{
    tokenizer *t = vocab_open(hello());
    tok_stream s = {0};
    buf b = {0};
    const char *text = "a\u00e9\u20ac\U0001f600z\xff\xe2\x82x\xe2";
    size_t sizes[] = {1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 14, 14, 14, 18, 18};
    for (size_t i = 0; text[i]; i++) {
        ck_assert(tok_stream_push(t, &s, (unsigned char)text[i], 0, &b));
        ck_assert_uint_eq(b.size, sizes[i]);
    }
    ck_assert(tok_stream_flush(&s, &b));
    ck_assert_str_eq(b.data, "a\u00e9\u20ac\U0001f600z\ufffd\ufffdx\ufffd");
    buf_free(&b);
    tok_close(t);
}
END_TEST

/* Merges: against the definition, on random vocabularies of letters, also such as no training makes. */

typedef struct rule {
    tawny_token left, right, to;
} rule;

/* Lowest rank first, leftmost first. */
static size_t merge_plainly(const rule *r, size_t n_rules, tawny_token *s, size_t n)
{
    for (size_t k = 0; k < n_rules;) {
        size_t i = 0;
        while (i + 1 < n && !(s[i] == r[k].left && s[i + 1] == r[k].right)) i++;
        if (i + 1 >= n) {
            k++;
            continue;
        }
        s[i] = r[k].to;
        memmove(s + i + 1, s + i + 2, (n - i - 2) * sizeof *s);
        n--;
        k = 0;
    }
    return n;
}

START_TEST(merges_follow_the_definition)
{
    enum { LETTERS = 3, RULES = 24 };
    uint64_t seed = (uint64_t)_i + 1, at = 0;
    char text[64][40] = {"a", "b", "c"}, pair[100];
    tawny_token id[64];
    rule rules[RULES];
    size_t n = LETTERS, n_rules = 0;
    vocab *v = vocab_new("gpt2", "gpt-2");
    vocab_add_stand_ins(v);
    for (size_t i = 0; i < n; i++) id[i] = text[i][0];
    for (int tries = 0; tries < 200 && n_rules < RULES; tries++) {
        size_t l = random_u64(seed, at++) % n, r = random_u64(seed, at++) % n, twin = 0;
        if (strlen(text[l]) + strlen(text[r]) > 12) continue;
        char both[40] = "";
        strcat(strcat(both, text[l]), text[r]);
        memcpy(text[n], both, sizeof both);
        while (strcmp(text[twin], text[n]) != 0) twin++;
        bool again = false;
        for (size_t k = 0; k < n_rules; k++) again |= rules[k].left == id[l] && rules[k].right == id[r];
        if (again) continue;
        if (twin == n) id[n] = vocab_add(v, text[n], 0, 1), n++;
        rules[n_rules++] = (rule){id[l], id[r], id[twin]};
        if (_i % 2 && n_rules > 1) { /* out of order */
            size_t k = random_u64(seed, at++) % n_rules;
            rule x = rules[k];
            rules[k] = rules[n_rules - 1];
            rules[n_rules - 1] = x;
        }
    }
    for (size_t k = 0; k < n_rules; k++) {
        const char *l = "", *r = "";
        for (size_t i = 0; i < n; i++) {
            if (id[i] == rules[k].left) l = text[i];
            if (id[i] == rules[k].right) r = text[i];
        }
        strcat(strcat(strcpy(pair, l), " "), r);
        vocab_merge(v, pair);
    }
    tokenizer *t = vocab_open(v);
    for (size_t len = 1; len < 400; len = len * 3 / 2 + 1) {
        char s[512];
        tawny_token want[512];
        tok_vec got = {0};
        bool flat = random_u64(seed, at++) % 4 == 0;
        for (size_t i = 0; i < len; i++) want[i] = s[i] = flat ? 'a' : (char)('a' + random_u64(seed, at++) % LETTERS);
        size_t n_want = merge_plainly(rules, n_rules, want, len);
        ck_assert_int_eq(tok_encode(t, s, len, 0, &got, NULL), TAWNY_OK);
        ck_assert_uint_eq(got.n, n_want);
        ck_assert_int_eq(memcmp(got.v, want, n_want * sizeof *want), 0);
        tok_vec_free(&got);
    }
    tok_close(t);
}
END_TEST

/* SentencePiece: the highest score first, leftmost first among equals; scores with many ties. */
START_TEST(scores_follow_the_definition)
{
    uint64_t seed = (uint64_t)_i + 100, at = 0;
    static char text[200][16];
    static float score[200];
    size_t n = 0;
    vocab *v = vocab_new("llama", NULL);
    gguf_writer_bool(v->w, "tokenizer.ggml.add_space_prefix", false);
    vocab_add(v, "<unk>", 0, 2);
    vocab_add_bytes(v);
    for (size_t k = 0; k < 60; k++) {
        size_t len = k < 3 ? 1 : 2 + random_u64(seed, at++) % 5;
        for (size_t i = 0; i < len; i++) text[n][i] = (char)('a' + (k < 3 ? k : random_u64(seed, at++) % 3));
        text[n][len] = '\0';
        size_t twin = 0;
        while (strcmp(text[twin], text[n]) != 0) twin++;
        if (twin < n) continue;
        score[n] = -(float)(random_u64(seed, at++) % (_i % 2 ? 4 : 1000));
        vocab_add(v, text[n], score[n], 1);
        n++;
    }
    tokenizer *t = vocab_open(v);
    for (size_t len = 1; len < 300; len = len * 2 + 1) {
        char s[512];
        size_t cut[513], count = len;
        for (size_t i = 0; i < len; i++) s[i] = (char)('a' + random_u64(seed, at++) % 3);
        for (size_t i = 0; i <= len; i++) cut[i] = i;
        for (;;) {
            size_t best = count;
            float top = 0;
            for (size_t i = 0; i + 1 < count; i++) {
                size_t m = cut[i + 2] - cut[i], k = 0;
                while (k < n && !(strlen(text[k]) == m && memcmp(text[k], s + cut[i], m) == 0)) k++;
                if (k < n && (best == count || score[k] > top)) best = i, top = score[k];
            }
            if (best == count) break;
            memmove(cut + best + 1, cut + best + 2, (count - best - 1) * sizeof *cut);
            count--;
        }
        tok_vec got = {0};
        ck_assert_int_eq(tok_encode(t, s, len, 0, &got, NULL), TAWNY_OK);
        ck_assert_uint_eq(got.n, count);
        for (size_t i = 0; i < count; i++) ck_assert_int_eq(got.v[i], tok_find(t, s + cut[i], cut[i + 1] - cut[i]));
        tok_vec_free(&got);
    }
    tok_close(t);
}
END_TEST

/* Special tokens: longest first, each from left to right, in what is free. */
START_TEST(special_tokens_follow_the_definition)
{
    uint64_t seed = (uint64_t)_i + 500, at = 0;
    static char text[12][8];
    tawny_token id[12];
    size_t n = 0;
    vocab *v = vocab_new("gpt2", "gpt-2");
    if (_i % 2)
        gguf_writer_str(v->w, "general.name", "a Phi-3 model", 13); /* its special tokens take white space along */
    vocab_add_stand_ins(v);
    while (n < 10) {
        size_t len = 2 + random_u64(seed, at++) % 4, twin = 0;
        for (size_t i = 0; i < len; i++) text[n][i] = "ab \n"[random_u64(seed, at++) % 4];
        text[n][len] = '\0';
        while (strcmp(text[twin], text[n]) != 0) twin++;
        if (twin == n) id[n] = vocab_add(v, text[n], 0, 4), n++;
    }
    tokenizer *t = vocab_open(v);
    for (int round = 0; round < 50; round++) {
        char s[100];
        tawny_token who[100] = {0}; /* 0: free, -1: taken along, else the token */
        size_t len = 1 + random_u64(seed, at++) % 99, count = 0;
        tok_vec got = {0};
        for (size_t i = 0; i < len; i++) s[i] = "ab \n"[random_u64(seed, at++) % 4];
        for (size_t m = 7; m >= 2; m--)
            for (size_t k = 0; k < n; k++)
                for (size_t i = 0; strlen(text[k]) == m && i + m <= len; i++) {
                    bool fits = memcmp(s + i, text[k], m) == 0;
                    for (size_t j = i; j < i + m; j++) fits &= who[j] == 0;
                    if (!fits) continue;
                    for (size_t j = i; j < i + m; j++) who[j] = j == i ? id[k] : -1;
                    for (size_t j = i + m; _i % 2 && j < len && who[j] == 0 && strchr(" \n", s[j]); j++) who[j] = -1;
                }
        ck_assert_int_eq(tok_encode(t, s, len, 0, &got, NULL), TAWNY_OK);
        for (size_t i = 0; i < len; i++) {
            if (who[i] == -1) continue;
            ck_assert_uint_lt(count, got.n);
            ck_assert_int_eq(got.v[count++], who[i] ? who[i] : s[i]);
        }
        ck_assert_uint_eq(got.n, count);
        tok_vec_free(&got);
    }
    tok_close(t);
}
END_TEST

START_TEST(word_pieces)
{
    vocab *v = vocab_new("bert", NULL);
    const char *const texts[] = {"[PAD]", "[UNK]", "[CLS]",   "[SEP]",        "\u2581un",
                                 "aff",   "able",  "\u2581,", "\u2581\u4e2d", "\u2581cafe"};
    for (size_t i = 0; i < 10; i++) vocab_add(v, texts[i], 0, i < 4 ? 3 : 1);
    gguf_writer_u32(v->w, "tokenizer.ggml.unknown_token_id", 1);
    gguf_writer_u32(v->w, "tokenizer.ggml.bos_token_id", 2);
    gguf_writer_u32(v->w, "tokenizer.ggml.seperator_token_id", 3);
    tokenizer *t = vocab_open(v);
    ck_assert_str_eq(vocab_encode(t, "UNaffable, \u4e2d\u4e2d Caf\u00e9 cafe\u0301 unx", TOK_ADD_SPECIAL),
                     "2 4 5 6 7 8 8 9 9 1 3");
    ck_assert_str_eq(vocab_encode(t, " \xff\x01 ", 0), "");
    tok_close(t);
}
END_TEST

START_TEST(unigrams)
{
    vocab *v = vocab_new("t5", NULL);
    const char *const texts[] = {"<pad>", "</s>", "<unk>", "\u2581", "\u2581a", "b", "ab", "\u2581abc", "c", "<x>"};
    const float scores[] = {0, 0, 0, -2, -3, -4, -9, -20, -5, 0};
    const int types[] = {3, 3, 2, 1, 1, 1, 1, 1, 1, 4};
    for (size_t i = 0; i < 10; i++) vocab_add(v, texts[i], scores[i], types[i]);
    gguf_writer_bool(v->w, "tokenizer.ggml.add_space_prefix", true);
    gguf_writer_bool(v->w, "tokenizer.ggml.remove_extra_whitespaces", true);
    tokenizer *t = vocab_open(v);
    ck_assert_str_eq(vocab_encode(t, "abc", TOK_ADD_SPECIAL), "4 5 8 1"); /* -12 beats -16 and -20 */
    ck_assert_str_eq(vocab_encode(t, "  ab   zz b ", 0), "4 5 3 2 3 5");   /* unknown ones in a row are one */
    ck_assert_str_eq(vocab_encode(t, "\xff", 0), "3 2");
    tok_close(t);
}
END_TEST

START_TEST(longest_and_best)
{
    vocab *v = vocab_new("rwkv", NULL);
    vocab_add(v, "<s>", 0, 1);
    vocab_add(v, "a", 0, 1);
    vocab_add(v, "ab", 0, 1);
    vocab_add(v, "abcd", 0, 1);
    vocab_add(v, "\\x63", 0, 1);
    tokenizer *t = vocab_open(v);
    ck_assert_str_eq(vocab_encode(t, "abcabcdzc", 0), "2 4 3 4"); /* z is nothing, and there is no unknown token */
    tok_close(t);
    v = vocab_new("plamo2", NULL);
    vocab_add(v, "<unk>", 0, 3);
    vocab_add_bytes(v);
    vocab_add(v, "a", -1, 1);  /* 257 */
    vocab_add(v, "b", -1, 1);
    vocab_add(v, "ab", -3, 1);
    vocab_add(v, "abb", -2, 1);
    t = vocab_open(v);
    ck_assert_str_eq(vocab_encode(t, "abab", 0), "257 258 257 258");
    ck_assert_str_eq(vocab_encode(t, "abb\u00e9", 0), "260 196 170");
    tok_close(t);
}
END_TEST

/* What must not open, and how the message begins to say why. */

static void refuse(vocab *v, const char *part)
{
    tokenizer *t = NULL;
    tawny_error err = {0};
    ck_assert_int_ne(vocab_try(v, &t, &err), TAWNY_OK);
    ck_assert_ptr_null(t);
    ck_assert_msg(strstr(err.message, part) && strstr(err.message, "/tmp/tawny-vocab-"), "%s: wanted %s", err.message,
                  part);
}

START_TEST(refuses_nonsense)
{
    vocab *v = hello();
    gguf_writer_u32(v->w, "tokenizer.ggml.bos_token_id", 267);
    refuse(v, "tokenizer.ggml.bos_token_id");
    v = hello();
    vocab_add(v, "hello", 0, 1);
    refuse(v, "tokenizer.ggml.tokens[267] is \"hello\"");
    v = hello();
    vocab_merge(v, "h x");
    refuse(v, "tokenizer.ggml.merges[8]");
    v = hello();
    vocab_merge(v, "hx");
    refuse(v, "no pair");
    v = hello();
    v->score[9] = __builtin_nanf("");
    refuse(v, "tokenizer.ggml.scores[9] is NaN");
    v = hello();
    v->type[9] = 6;
    refuse(v, "tokenizer.ggml.token_type[9]");
    v = hello();
    gguf_writer_str(v->w, "tokenizer.ggml.pre", "nonsense", 8);
    refuse(v, "nonsense");
    v = hello();
    gguf_writer_array(v->w, "tokenizer.ggml.suppress_tokens", GGUF_I32, (int32_t[]){1, -1}, 8, 2);
    refuse(v, "tokenizer.ggml.suppress_tokens[1] is -1");
    v = vocab_new("t5", NULL);
    vocab_add(v, "x", 0, 1);
    gguf_writer_array(v->w, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, "\xff\xff\xff\xff\0\0", 6, 6);
    gguf_writer_u32(v->w, "tokenizer.ggml.unknown_token_id", 0);
    refuse(v, "precompiled_charsmap");
}
END_TEST

/* Time: four times the text may take ten times the time, not sixteen (the machine may be busy). */

static double seconds(const tokenizer *t, const char *unit, size_t n)
{
    buf b = {0};
    double best = 1e9;
    while (b.size < n) buf_str(&b, unit);
    for (int i = 0; i < 3; i++) {
        tok_vec v = {0};
        struct timespec from, to;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
        ck_assert_int_eq(tok_encode(t, b.data, b.size, 0, &v, NULL), TAWNY_OK);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
        double s = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
        if (s < best) best = s;
        tok_vec_free(&v);
    }
    buf_free(&b);
    return best;
}

START_TEST(time_is_linear)
{
    static const char *const units[] = {" ",     "a",    "ll",  "hello", "\u4e2d", "\u0301",
                                        "<|x|>", "<|x|", "\n ", "1",     "\xff",   "<"};
    const char *pres[] = {"gpt-2", "llama-bpe", "deepseek-llm", "superbpe", "exaone-moe", "tiny_aya", "jais-2"};
    vocab *v = hello();
    gguf_writer_str(v->w, "tokenizer.ggml.pre", pres[_i], strlen(pres[_i]));
    for (char s[32] = "\n\n"; strlen(s) < 24; strcat(s, "\n"))
        vocab_add(v, s, 0, 4); /* special tokens, one in the other */
    tokenizer *t = vocab_open(v);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        double small = seconds(t, units[i], 40000), large = seconds(t, units[i], 160000);
        ck_assert_msg(large < 10 * small + 2e-3, "\"%s\": %.2f ms, %.2f ms", units[i], small * 1e3, large * 1e3);
    }
    tok_close(t);
}
END_TEST

START_TEST(threads_share_a_tokenizer)
{
    tokenizer *t = vocab_open(hello());
    int wrong = 0;
#pragma omp parallel for reduction(+ : wrong) num_threads(4)
    for (int i = 0; i < 200; i++) {
        tok_vec v = {0};
        if (tok_encode(t, "hello hell <s> llo", 18, TOK_PARSE_SPECIAL, &v, NULL) != TAWNY_OK || v.n != 8 ||
            v.v[4] != 263)
            wrong++;
        tok_vec_free(&v);
    }
    ck_assert_int_eq(wrong, 0);
    tok_close(t);
}
END_TEST

Suite *suite_tokens(void)
{
    Suite *s = suite_create("tokens");
    TCase *t = tcase_create("tokens");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, pretokenizers_cut_as_the_reference_does);
    tcase_add_test(t, every_pretokenizer_builds);
    tcase_add_test(t, byte_level);
    tcase_add_test(t, asks_the_vocabulary);
    tcase_add_test(t, control_tokens_only_where_trusted);
    tcase_add_test(t, merges_make_no_control_tokens);
    tcase_add_test(t, streams_whole_characters);
    tcase_add_loop_test(t, merges_follow_the_definition, 0, 40);
    tcase_add_loop_test(t, scores_follow_the_definition, 0, 20);
    tcase_add_loop_test(t, special_tokens_follow_the_definition, 0, 20);
    tcase_add_test(t, word_pieces);
    tcase_add_test(t, unigrams);
    tcase_add_test(t, longest_and_best);
    tcase_add_test(t, refuses_nonsense);
    tcase_add_loop_test(t, time_is_linear, 0, 7);
    tcase_add_test(t, threads_share_a_tokenizer);
    suite_add_tcase(s, t);
    return s;
}
