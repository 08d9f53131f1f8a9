#include "findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void findings_add(findings *f, finding_level level, const char *id, const char *what, const char *why,
                  const char *fix)
{
    if (f->n == FINDINGS_MAX) return;
    finding *x = &f->list[f->n++];
    x->level = level;
    snprintf(x->id, sizeof x->id, "%s", id);
    snprintf(x->what, sizeof x->what, "%s", what);
    snprintf(x->why, sizeof x->why, "%s", why);
    snprintf(x->fix, sizeof x->fix, "%s", fix);
}

void findings_addf(findings *f, finding_level level, const char *id, const char *why, const char *fix,
                   const char *what, ...)
{
    char text[240];
    va_list ap;
    va_start(ap, what);
    vsnprintf(text, sizeof text, what, ap);
    va_end(ap);
    findings_add(f, level, id, text, why, fix);
}

bool findings_has(const findings *f, const char *id)
{
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->list[i].id, id) == 0) return true;
    return false;
}

void findings_fact(findings *f, const char *section, const char *name, json_t *value)
{
    if (!f->facts) f->facts = json_object();
    json_t *s = json_object_get(f->facts, section);
    if (!s) json_object_set_new(f->facts, section, s = json_object());
    json_object_set_new(s, name, value);
}

/* Printable, and valid JSON: a file of /sys may hold anything. */
static json_t *clean(const char *text)
{
    char out[400];
    size_t n = 0;
    for (; *text && n < sizeof out - 1; text++)
        out[n++] = (unsigned char)*text >= 32 && (unsigned char)*text < 127 ? *text : '?';
    out[n] = 0;
    return json_string(out);
}

void findings_fact_text(findings *f, const char *section, const char *name, const char *text)
{
    findings_fact(f, section, name, clean(text));
}

static void print_value(const json_t *v)
{
    size_t i;
    const json_t *x;
    switch (json_typeof(v)) {
    case JSON_STRING: printf("%s", json_string_value(v)); break;
    case JSON_INTEGER: printf("%lld", (long long)json_integer_value(v)); break;
    case JSON_REAL: printf("%.1f", json_real_value(v)); break;
    case JSON_TRUE: printf("yes"); break;
    case JSON_FALSE: printf("no"); break;
    case JSON_ARRAY:
        json_array_foreach(v, i, x)
        {
            if (i) printf(", ");
            print_value(x);
        }
        if (json_array_size(v) == 0) printf("none");
        break;
    default: printf("not known");
    }
}

void findings_print(const findings *f)
{
    static const char *const marks[] = {"-", "!", "!!"};
    const char *section, *name;
    json_t *facts, *v;
    json_object_foreach(f->facts, section, facts)
    {
        printf("%s\n", section);
        json_object_foreach(facts, name, v)
        {
            printf("  %-24s ", name);
            print_value(v);
            putchar('\n');
        }
    }
    putchar('\n');
    for (int level = FINDING_WRONG; level >= FINDING_NOTE; level--)
        for (int i = 0; i < f->n; i++) {
            const finding *x = &f->list[i];
            if ((int)x->level != level) continue;
            printf("%s %s\n    %s\n", marks[level], x->what, x->why);
            if (x->fix[0]) printf("    $ %s\n", x->fix);
        }
}

json_t *findings_json(const findings *f)
{
    static const char *const levels[] = {"note", "slow", "wrong"};
    json_t *list = json_array();
    for (int i = 0; i < f->n; i++) {
        const finding *x = &f->list[i];
        json_array_append_new(list, json_pack("{s:s,s:s,s:o,s:o,s:o}", "id", x->id, "level", levels[x->level], "what",
                                              clean(x->what), "why", clean(x->why), "fix", clean(x->fix)));
    }
    return json_pack("{s:O?,s:o}", "facts", f->facts, "findings", list);
}

void findings_free(findings *f) { json_decref(f->facts); }
