#include "spec_opts.h"

#include <string.h>

#include "engine_opts.h"

spec_opts spec_opts_default(void) { return (spec_opts){.p = {.n_max = SPEC_USUAL}}; }

/* llama.cpp's names for the same; its other kinds guess in ways of their own. */
bool spec_opts_kinds(const char *names, spec_params *p, bool *draft)
{
    static const char *const known[] = {"none", "ngram", "ngram-simple", "draft", "draft-simple"};
    bool found[sizeof known / sizeof *known] = {false};
    for (const char *at = names; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t n = strcspn(at, ","), i = 0;
        while (i < sizeof known / sizeof *known && (strlen(known[i]) != n || memcmp(known[i], at, n) != 0)) i++;
        if (i == sizeof known / sizeof *known) return false;
        found[i] = true;
    }
    p->ngram = found[1] || found[2];
    *draft = found[3] || found[4];
    return true;
}

int spec_opts_resolve(spec_opts *o, const char *command, char *path, size_t size)
{
    bool draft = false;
    if (!spec_opts_kinds(o->kinds, &o->p, &draft))
        return cli_fail(2, "%s: --spec %s: none, ngram (or ngram-simple) and draft (or draft-simple) are known", command, o->kinds);
    if (draft && !o->draft) return cli_fail(2, "%s: --spec %s: a draft model is needed (-md FILE)", command, o->kinds);
    if (o->p.n_min > o->p.n_max) return cli_fail(2, "%s: --draft-min %d is more than --draft-max %d", command, o->p.n_min, o->p.n_max);
    if (o->kinds && !draft) o->draft = NULL;
    return o->draft ? engine_opts_find(&o->draft, path, size) : -1;
}
