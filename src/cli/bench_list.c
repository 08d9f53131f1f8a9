/* Lists of values, as llama-bench takes them. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static bool number(const char **p, int max, int *out)
{
    long long v = 0;
    const char *s = *p;
    for (; *s >= '0' && *s <= '9' && v <= max; s++) v = v * 10 + (*s - '0');
    if (s == *p || v > max) return false;
    *p = s;
    *out = (int)v;
    return true;
}

/* first[-last[+step | *factor]] up to a comma or the end. */
static bool range(const char **p, int min, int max, bench_numbers *out)
{
    int first, last, step = 1;
    char how = '+';
    if (!number(p, max, &first)) return false;
    last = first;
    if (**p == '-') {
        ++*p;
        if (!number(p, max, &last)) return false;
        if (**p == '+' || **p == '*') {
            how = *(*p)++;
            if (!number(p, max, &step)) return false;
        }
    }
    if (first < min || last < first || step < (how == '*' ? 2 : 1) || (how == '*' && first == 0)) return false;
    for (long long v = first; v <= last; v = how == '*' ? v * step : v + step) {
        if (out->n == BENCH_MAX_LIST) return false;
        out->v[out->n++] = (int)v;
    }
    return true;
}

int bench_numbers_parse(const char *flag, const cli_list *given, int otherwise, int min, int max, bench_numbers *out)
{
    *out = (bench_numbers){.n = given->n ? 0 : 1, .v = {otherwise}};
    for (size_t i = 0; i < given->n; i++) {
        const char *p = given->items[i];
        bool ok = range(&p, min, max, out);
        while (ok && *p == ',') {
            p++;
            ok = range(&p, min, max, out);
        }
        if (!ok || *p)
            return cli_fail(2, "bench: %s %s: numbers from %d to %d, first-last+step, first-last*factor, at most %d",
                            flag, given->items[i], min, max, BENCH_MAX_LIST);
    }
    return -1;
}

int bench_words_parse(const char *flag, const cli_list *given, const char *otherwise, bench_words *out, char **store)
{
    size_t size = strlen(otherwise) + 1;
    for (size_t i = 0; i < given->n; i++) size += strlen(given->items[i]) + 1;
    char *at = *store = malloc(size);
    if (!at) return cli_fail(1, "out of memory");
    *out = (bench_words){0};
    for (size_t i = 0; i < (given->n ? given->n : 1); i++) {
        const char *text = given->n ? given->items[i] : otherwise;
        strcpy(at, text);
        for (char *word = at, *end; word; word = end) {
            if ((end = strchr(word, ','))) *end++ = 0;
            if (!*word || out->n == BENCH_MAX_LIST)
                return cli_fail(2, "bench: %s %s: words separated by commas, at most %d of them", flag, text,
                                BENCH_MAX_LIST);
            out->v[out->n++] = word;
        }
        at += strlen(text) + 1;
    }
    return -1;
}
