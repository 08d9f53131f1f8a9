/* text/gbnf: what grammars accept, masks against one token at a time, errors, limits. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/gbnf.h"

static gbnf *parsed(const char *text, const gbnf_tokens *tokens)
{
    gbnf *g;
    tawny_error err;
    if (gbnf_parse(text, strlen(text), tokens, &g, &err)) ck_abort_msg("%s\nin: %s", err.message, text);
    return g;
}

/* 'm': the whole matches, 'p': it may go on to match, '-': neither */
static char verdict(gbnf_matcher *m, const char *s, size_t n)
{
    gbnf_state to;
    tawny_error err;
    if (gbnf_bytes(m, gbnf_start(m), s, n, &to, &err)) ck_abort_msg("%s", err.message);
    return to == GBNF_DEAD ? '-' : gbnf_complete(m, to) ? 'm' : 'p';
}

/* each word: a verdict, then the text */
static void expect(const char *grammar, const char *const *words)
{
    gbnf *g = parsed(grammar, NULL);
    gbnf_matcher *m;
    ck_assert_int_eq(gbnf_matcher_new(g, NULL, &m, NULL), TAWNY_OK);
    for (; *words; words++) {
        char v = verdict(m, *words + 1, strlen(*words + 1));
        if (v != (*words)[0]) ck_abort_msg("'%s' is %c, not %c, in: %s", *words + 1, v, (*words)[0], grammar);
    }
    gbnf_matcher_free(m);
    gbnf_free(g);
}
#define EXPECT(grammar, ...) expect(grammar, (const char *const[]){__VA_ARGS__, NULL})

static const char json[] =
    "root ::= value\n"
    "value ::= (object | array | string | number | \"true\" | \"false\" | \"null\") ws\n"
    "object ::= \"{\" ws (string ws \":\" ws value (\",\" ws string ws \":\" ws value)*)? \"}\"\n"
    "array ::= \"[\" ws (value (\",\" ws value)*)? \"]\" # a list\n"
    "string ::=\n"
    "  \"\\\"\" ( [^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\bfnrt/] | \"u\" [0-9a-fA-F]{4}) )* \"\\\"\"\n"
    "number ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]+)? ([eE] [-+]? [0-9]+)?\n"
    "ws ::= [ \\t\\n]{0,20}\n";

START_TEST(notation)
{
    EXPECT("root ::= \"a\" \"bc\"", "p", "pa", "mabc", "-b", "-abcd");
    EXPECT("root ::= \"a\" | \"bc\" |\n  \"d\"\n", "ma", "pb", "mbc", "md", "-c");
    EXPECT("root ::= | \"a\"", "m", "ma", "-aa");
    EXPECT("root ::= \"a\"*", "m", "maaa", "-b");
    EXPECT("root ::= \"a\"+ \"b\"?", "p", "maaa", "maab", "-b", "-abb");
    EXPECT("root ::= [a-c]{2,3}", "pa", "mab", "mabc", "-abca");
    EXPECT("root ::= [a-c] { 2 } \"x\"", "pab", "mabx", "-abc");
    EXPECT("root ::= (\"a\" | \"b\"){2,}", "pa", "mab", "mabababbba");
    EXPECT("root ::= \"a\"{0} \"b\"", "mb", "-a");
    EXPECT("root ::= (\"a\"*)+ \"b\"", "mb", "maaab");
    EXPECT("root ::= (\"a\" \"b\"? ){3} \"c\"", "mabaabc", "maaac", "-aac");
    EXPECT("root ::= [^a-y\\n] [\\]\\-x-] [-a]", "m-]-", "mzxa", "p\xc3\xa9-", "-a", "-\n", "-zz");
    EXPECT("root ::= \"\\x41\\u00e9\\U0001F600\\\"\\\\\\t\"", "mA\xc3\xa9\xf0\x9f\x98\x80\"\\\t", "pA\xc3", "-A\xc4");
    EXPECT("# first\nroot ::= (\n  x # comment\n  | y-1\n)\nx ::= \"x\" # more\r\ny-1 ::= \"y\"", "mx", "my", "-z");
    EXPECT("root ::= .", "m\n", "m\xe2\x82\xac", "p\xe2\x82", "-\xed\xa0\x80", "-\xc0\x80", "-\xf4\x90", "-\xff",
           "-\x80");
    EXPECT("root ::= [\xc3\xa9-\xe2\x82\xac]", "m\xc3\xa9", "m\xe2\x82\xac", "-\xe2\x82\xad", "-\xc3\xa8",
           "m\xe0\xa0\x80");
}
END_TEST

START_TEST(recursion)
{
    EXPECT("root ::= root \"a\" | \"b\"", "mb", "mbaaa", "-a", "-bab");
    EXPECT("root ::= e\ne ::= e \"+\" t | t\nt ::= t \"*\" f | f\nf ::= \"(\" e \")\" | [0-9]+", "m1+2*(3+4)",
           "p(1", "p1+", "-)");
    EXPECT("root ::= \"a\" root \"b\" |", "m", "maabb", "paab", "-abb");
    EXPECT("root ::= x x x\nx ::= \"a\" | x x |", "m", "maaaaaaa");
    EXPECT("root ::= \"a\" root | \"a\"", "ma", "maaaa");
    EXPECT("root ::= a b c\na ::= | \"x\"\nb ::= a a\nc ::= b \"y\"", "my", "mxxxxxy", "-xxxxxxy");
    EXPECT("root ::= a\na ::= b\nb ::= a | \"z\"", "mz", "-a");
    EXPECT("root ::= \"a\" root \"x\" | \"a\" root \"y\" | \"m\"", "maaaamxyxy", "paaaamxyx", "-aamxz");
}
END_TEST

START_TEST(json_texts)
{
    EXPECT(json, "m{\"a\": [1, 2.5e-3, {\"b\\u00e9\": null}], \"c\": \"\xc3\xa9\"}", "p{\"a\": [1, 2",
           "-{\"a\" 1}", "-[1,]", "-01", "m-0.5", "p\"\\u00e", "-\"\\x\"", "-\"a\nb\"", "m[[[[[]]]]] ");
}
END_TEST

START_TEST(errors)
{
    static const char *const bad[][2] = {
        {"", "grammar: there is no rule named root"},
        {"a ::= \"x\"", "grammar: there is no rule named root"},
        {"root ::= x", "grammar, line 1, column 10: this rule is not defined"},
        {"root ::= \"a\"\nroot ::= \"b\"", "grammar, line 2, column 1: a rule that is defined already"},
        {"root ::= \"a", "grammar, line 1, column 12: a literal without its end"},
        {"root ::= [a", "grammar, line 1, column 12: a class without its ]"},
        {"root ::= [z-a]", "grammar, line 1, column 14: a range whose end comes before its beginning"},
        {"root ::= \"\\q\"", "grammar, line 1, column 12: an unknown escape"},
        {"root ::= \"\\x4\"", "grammar, line 1, column 14: hexadecimal digits are missing"},
        {"root ::= \"\\U00110000\"", "grammar, line 1, column 21: a character beyond U+10FFFF"},
        {"root ::= \"\xff\"", "grammar, line 1, column 12: not UTF-8"},
        {"root ::= (\"a\"", "grammar, line 1, column 14: a ) is missing"},
        {"root ::= \"a\")", "grammar, line 1, column 13: the end of the line is missing"},
        {"root ::= *", "grammar, line 1, column 10: nothing to repeat"},
        {"root ::= \"a\"{x}", "grammar, line 1, column 14: a number is missing"},
        {"root ::= \"a\"{3,2}", "grammar, line 1, column 17: {m,n} with n below m"},
        {"root ::= \"a\"{3000}", "grammar, line 1, column 18: too many repetitions"},
        {"root = \"a\"", "grammar, line 1, column 6: ::= is missing"},
        {"::= \"a\"", "grammar, line 1, column 1: the name of a rule is missing"},
        {"root ::= <x>", "grammar, line 1, column 10: tokens need a vocabulary"},
        {"root ::= !x", "grammar, line 1, column 11: a token <...> is missing after !"},
        {"root ::= <[5]", "grammar, line 1, column 14: a token without its >"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gbnf *g;
        tawny_error err = {0};
        ck_assert_int_ne(gbnf_parse(bad[i][0], strlen(bad[i][0]), NULL, &g, &err), TAWNY_OK);
        ck_assert_ptr_null(g);
        ck_assert_msg(strcmp(err.message, bad[i][1]) == 0, "%s: %s", bad[i][0], err.message);
    }
}
END_TEST

START_TEST(hostile_grammars)
{
    char *deep = malloc(100000), *wide = malloc(3000000);
    gbnf *g;
    gbnf_matcher *m;
    tawny_error err;
    strcpy(deep, "root ::= ");
    memset(deep + 9, '(', 90000);
    ck_assert_int_eq(gbnf_parse(deep, 90009, NULL, &g, &err), TAWNY_E_LIMIT);
    /* thousands of nullable rules, each after the next */
    size_t n = (size_t)sprintf(wide, "root ::= r0 \"x\"\n");
    for (int i = 0; i < 5000; i++) n += (size_t)sprintf(wide + n, "r%d ::= r%d | \"%d\"\n", i, i + 1, i);
    n += (size_t)sprintf(wide + n, "r5000 ::= \n");
    ck_assert_int_eq(gbnf_parse(wide, n, NULL, &g, &err), TAWNY_OK);
    ck_assert_int_eq(gbnf_matcher_new(g, NULL, &m, &err), TAWNY_OK);
    ck_assert_int_eq(verdict(m, "x", 1), 'm');
    ck_assert_int_eq(verdict(m, "4777x", 5), 'm');
    gbnf_matcher_free(m);
    gbnf_free(g);
    /* two thousand to the power of three, in calls */
    g = parsed("root ::= (((\"a\"{1,2000}){1,2000}){1,2000})", NULL);
    ck_assert_int_eq(gbnf_matcher_new(g, NULL, &m, &err), TAWNY_OK);
    gbnf_state s;
    memset(deep, 'a', 300);
    tawny_status st = gbnf_bytes(m, gbnf_start(m), deep, 300, &s, &err);
    ck_assert(st == TAWNY_E_LIMIT || (st == TAWNY_OK && gbnf_complete(m, s)));
    gbnf_matcher_free(m);
    gbnf_free(g);
    /* as ambiguous as can be */
    g = parsed("root ::= root root | root root root | \"a\" |", NULL);
    ck_assert_int_eq(gbnf_matcher_new(g, NULL, &m, &err), TAWNY_OK);
    st = gbnf_bytes(m, gbnf_start(m), deep, 300, &s, &err);
    ck_assert(st == TAWNY_E_LIMIT || (st == TAWNY_OK && gbnf_complete(m, s)));
    gbnf_matcher_free(m);
    gbnf_free(g);
    free(deep);
    free(wide);
}
END_TEST

/* ---- tokens ---- */

static const char *const words[] = {"a", "b", "ab", "abc", "\"", "\"a", "{\"", "\": ", "1",
                                    "12", "}", ",", "[", "]", " ", "\xc3", "\xa9", "\xc3\xa9",
                                    "<think>", "</think>", "", "<end>", "true", "a\"", "ba", "caf\xc3"};
enum { WORDS = sizeof words / sizeof *words, END = 21 };
static const char *piece(void *ctx, tawny_token t, size_t *n)
{
    (void)ctx;
    *n = strlen(words[t]);
    return words[t];
}
static bool ends(void *ctx, tawny_token t) { return (void)ctx, t == END; }
static tawny_token find(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    for (int t = 0; t < WORDS; t++)
        if (strlen(words[t]) == n && memcmp(words[t], text, n) == 0) return t;
    return -1;
}
static const gbnf_tokens tokens = {NULL, WORDS, piece, ends, find};

/* Random ways through a grammar: at each place the mask is what token by token gives, and the bytes agree. */
static void wander(const char *grammar)
{
    gbnf *g = parsed(grammar, &tokens);
    gbnf_vocab *v;
    gbnf_matcher *m;
    uint32_t rng = 1;
    ck_assert_int_eq(gbnf_vocab_new(&tokens, &v, NULL), TAWNY_OK);
    ck_assert_int_eq(gbnf_matcher_new(g, v, &m, NULL), TAWNY_OK);
    for (int trip = 0; trip < 30; trip++) {
        gbnf_state s = gbnf_start(m), to, next[WORDS];
        for (int step = 0; step < 30; step++) {
            const uint64_t *mask;
            size_t n, some = 0;
            ck_assert_int_eq(gbnf_allowed(m, s, &mask, &n, NULL), TAWNY_OK);
            for (tawny_token t = 0; t < WORDS; t++) {
                if (gbnf_token(m, s, t, &to, NULL)) ck_abort_msg("a limit");
                if ((mask[0] >> t & 1) != (to != GBNF_DEAD))
                    ck_abort_msg("'%s' at step %d of %s", words[t], step, grammar);
                if (to && t != END) next[some++] = to;
            }
            if (n != (size_t)__builtin_popcountll(mask[0])) ck_abort_msg("the count");
            if (!some) break;
            rng = rng * 1664525 + 1013904223;
            s = next[(rng >> 8) % some];
        }
    }
    gbnf_matcher_free(m);
    gbnf_vocab_free(v);
    gbnf_free(g);
}

START_TEST(masks_agree_with_single_tokens)
{
    wander(json);
    wander("root ::= [ab]+ \"c\"? [^a]*");
    wander("root ::= .*");
    wander("root ::= <think> (!</think>)* </think> [a-c]{3}");
    wander("root ::= (\"<th\" \"ink>\" | <[18]>) <[0]> | !<think>*");
    wander("root ::= \"\\\"\" [^\"\\\\\\x00-\\x1f]{0,45} \"\\\"\""); /* plain tokens, up to near the end */
    wander("root ::= [a-zA-Z1]{0,45} \",\""); /* letters */
    wander("root ::= root \"a\" | root \"\xc3\xa9\" | \"b\" |");
}
END_TEST

START_TEST(named_tokens)
{
    gbnf *g = parsed("root ::= <think> (!</think>)* </think> \"ab\"", &tokens);
    gbnf_vocab *v;
    gbnf_matcher *m;
    gbnf_state s, t;
    const uint64_t *mask;
    size_t n;
    ck_assert_int_eq(gbnf_vocab_new(&tokens, &v, NULL), TAWNY_OK);
    ck_assert_int_eq(gbnf_matcher_new(g, v, &m, NULL), TAWNY_OK);
    ck_assert_int_eq(gbnf_allowed(m, gbnf_start(m), &mask, &n, NULL), TAWNY_OK);
    ck_assert(n == 1 && mask[0] == 1 << 18);
    ck_assert(gbnf_token(m, gbnf_start(m), 18, &s, NULL) == TAWNY_OK && s);
    ck_assert_int_eq(gbnf_allowed(m, s, &mask, &n, NULL), TAWNY_OK);
    ck_assert_uint_eq(n, WORDS - 2); /* neither the empty one nor the end */
    ck_assert(gbnf_token(m, s, 12, &t, NULL) == TAWNY_OK && t == s); /* the same situation is the same set */
    ck_assert(gbnf_token(m, s, 19, &t, NULL) == TAWNY_OK && t);
    ck_assert(gbnf_token(m, t, END, &s, NULL) == TAWNY_OK && !s);
    ck_assert(gbnf_token(m, t, 2, &t, NULL) == TAWNY_OK && t && gbnf_complete(m, t));
    ck_assert_int_eq(gbnf_allowed(m, t, &mask, &n, NULL), TAWNY_OK);
    ck_assert(n == 1 && mask[0] == 1 << END);
    ck_assert(gbnf_token(m, t, END, &s, NULL) == TAWNY_OK && s == t);
    ck_assert(gbnf_token(m, t, -1, &s, NULL) == TAWNY_OK && !s);
    ck_assert(gbnf_token(m, t, WORDS, &s, NULL) == TAWNY_OK && !s);
    gbnf_matcher_free(m);
    gbnf_vocab_free(v);
    gbnf_free(g);
}
END_TEST

/* A long list of like things needs no more sets than a short one. */
START_TEST(sets_come_back)
{
    gbnf *g = parsed(json, NULL);
    gbnf_matcher *m;
    gbnf_state a, b;
    ck_assert_int_eq(gbnf_matcher_new(g, NULL, &m, NULL), TAWNY_OK);
    ck_assert_int_eq(gbnf_bytes(m, gbnf_start(m), "[{\"a\":[1,2]},", 13, &a, NULL), TAWNY_OK);
    b = a;
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(gbnf_bytes(m, b, "{\"a\":[1,2]},", 12, &b, NULL), TAWNY_OK);
        ck_assert_uint_eq(a, b);
    }
    gbnf_matcher_free(m);
    gbnf_free(g);
}
END_TEST

Suite *suite_gbnf(void)
{
    Suite *s = suite_create("gbnf");
    TCase *t = tcase_create("gbnf");
    tcase_set_timeout(t, 30);
    tcase_add_test(t, notation);
    tcase_add_test(t, recursion);
    tcase_add_test(t, json_texts);
    tcase_add_test(t, errors);
    tcase_add_test(t, hostile_grammars);
    tcase_add_test(t, masks_agree_with_single_tokens);
    tcase_add_test(t, named_tokens);
    tcase_add_test(t, sets_come_back);
    suite_add_tcase(s, t);
    return s;
}
