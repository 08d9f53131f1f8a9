/* How fast a tokenizer is, and whether its time is linear: prose, and texts that are hard for one kind or another.
 *     build/bench/tokenize [-m MIB] VOCABULARY.gguf ...
 * For each text: MB/s at 1/16 of the size and at the size (16 MiB unless given), and by how much the time grew a doubling. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "text/tokenizer.h"

static const char prose[] =
    "The tawny owl, also called the brown owl, is a stocky bird of woodland, found in Europe and western Asia. It hunts at night, "
    "mostly rodents, and drops on them from a perch. \"Who's there?\" asked the boy; nobody answered (it was 4:30 in the morning, "
    "on 12 May 1987), and so they didn't stay.\n\nIm Wald war es still; der Kauz rief dreimal, dann fiel der Regen \u2014 "
    "d'abord doucement, puis \u00e0 verse. int main(void) { return 0x1f + a[3]; } \n";

static const struct {
    const char *name, *unit;
} texts[] = {
    {"prose", prose}, {"spaces", " "}, {"newlines", "\n"}, {"one letter", "a"}, {"capitals", "A"}, {"digits", "7"},
    {"CJK", "\u4e2d\u6587\u5b57\u7b26"}, {"one CJK", "\u6642"}, {"combining", "\u0301"}, {"letter+marks", "e\u0301\u0323"},
    {"emoji", "\U0001f469\u200d\U0001f680"}, {"punctuation", "="}, {"quotes", "'s"}, {"no UTF-8", "\xff"}, {"NULs", ""},
    {"merges", "ab"}, {"long merges", "thethe"}, {"base64", "QmFzZTY0IGlzIGRlbnNl"}, {"look-alikes", "<|im_start|"},
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds for the first n bytes; the best of several where they are short. */
static double encode(const tokenizer *t, const char *p, size_t n)
{
    double best = 1e9, all = 0;
    for (int i = 0; i < 5 && (i == 0 || all < 0.3); i++) {
        tok_vec v = {0};
        tawny_error err;
        double from = seconds();
        if (tok_encode(t, p, n, 0, &v, &err) != TAWNY_OK) {
            fprintf(stderr, "%s\n", err.message);
            exit(1);
        }
        double took = seconds() - from;
        all += took;
        if (took < best) best = took;
        tok_vec_free(&v);
    }
    return best;
}

static int bench(const char *path, char *text, size_t size)
{
    enum { STEPS = 4 };
    gguf *g;
    tokenizer *t;
    tawny_error err;
    tawny_status st = gguf_open(path, GGUF_HEADER_ONLY, &g, &err);
    if (st == TAWNY_OK) {
        st = tok_open(g, &t, &err);
        gguf_close(g);
    }
    if (st != TAWNY_OK) return fprintf(stderr, "%s\n", err.message), 1;
    printf("%s\n", path);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t unit = strlen(texts[i].unit) + !*texts[i].unit;
        for (size_t at = 0; at < size; at++) text[at] = texts[i].unit[at % unit];
        double s[STEPS + 1], most = 0;
        for (int k = 0; k <= STEPS; k++) s[k] = encode(t, text, size >> (STEPS - k));
        for (int k = 1; k <= STEPS; k++) most = s[k] / s[k - 1] > most ? s[k] / s[k - 1] : most;
        printf("  %-14s %8.1f MB/s %8.1f MB/s   x%.2f at most a doubling\n", texts[i].name,
               (double)(size >> STEPS) / s[0] * 1e-6, (double)size / s[STEPS] * 1e-6, most);
    }
    tok_close(t);
    return 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    size_t mib = 16;
    int first = 1, bad = 0;
    if (argc > 2 && strcmp(argv[1], "-m") == 0) {
        mib = strtoul(argv[2], NULL, 10);
        first = 3;
    }
    char *text = malloc((mib << 20) + 1);
    if (!text || !mib || first >= argc) return fprintf(stderr, "usage: tokenize [-m MIB] VOCABULARY.gguf ...\n"), 2;
    for (int i = first; i < argc; i++) bad |= bench(argv[i], text, mib << 20);
    free(text);
    return bad;
}
