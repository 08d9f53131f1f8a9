#include "hub_choose.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SUFFIX = 20 }; /* "-00001-of-00003.gguf" */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcasecmp(s + n - k, end) == 0;
}

static bool split_of(const char *name, int *no, int *count)
{
    size_t n = strlen(name);
    return n > SUFFIX && sscanf(name + n - SUFFIX, "-%5d-of-%5d.gguf", no, count) == 2 && *no >= 1 && *count >= 1 &&
           *count <= HUB_SPLITS && ends_with(name, ".gguf");
}

static bool is_model(const char *name)
{
    int no, count;
    const char *base = strrchr(name, '/');
    base = base ? base + 1 : name;
    if (!ends_with(name, ".gguf") || strncasecmp(base, "mmproj", 6) == 0 || strcasestr(base, "imatrix")) return false;
    return !split_of(name, &no, &count) || no == 1;
}

static bool part_of_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

/* `quant` as a word of its own: Q4_K is not in Q4_K_M, nor Q4_0 in UD-IQ4_0X. */
static bool has_word(const char *name, const char *quant)
{
    size_t n = strlen(quant);
    for (const char *p = name; n && (p = strcasestr(p, quant)); p++)
        if ((p == name || !part_of_word(p[-1])) && !part_of_word(p[n])) return true;
    return false;
}

/* The shortest name that has the word, so that plain ones go before variants of it. */
static int find(const char *const *names, int n, const char *quant)
{
    int best = -1;
    for (int i = 0; i < n; i++) {
        if (!is_model(names[i]) || (quant && !has_word(names[i], quant))) continue;
        int c = best < 0 || !quant ? 0 : (int)strlen(names[i]) - (int)strlen(names[best]);
        if (best < 0 || c < 0 || (c == 0 && strcmp(names[i], names[best]) < 0)) best = i;
    }
    return best;
}

int hub_choose(const char *const *names, int n, const char *quant)
{
    static const char *const usual[] = {"Q4_K_M", "MXFP4", "Q8_0"};
    if (quant && *quant) return find(names, n, quant);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        int f = find(names, n, usual[i]);
        if (f >= 0) return f;
    }
    return find(names, n, NULL);
}

int hub_split_count(const char *name)
{
    int no, count;
    return split_of(name, &no, &count) ? count : 1;
}

bool hub_split_member(const char *name, int i, char *out, size_t size)
{
    int count = hub_split_count(name);
    if (count == 1) return snprintf(out, size, "%s", name) < (int)size;
    return snprintf(out, size, "%.*s-%05d-of-%05d.gguf", (int)(strlen(name) - SUFFIX), name, i + 1, count) <
           (int)size;
}

bool hub_safe_name(const char *name)
{
    for (const char *p = name;; p++) {
        size_t n = strcspn(p, "/");
        if (n == 0 || n > 255 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.')) return false;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)p[i] < 32 || p[i] == '\\' || p[i] == 127) return false;
        p += n;
        if (!*p) return true;
    }
}
