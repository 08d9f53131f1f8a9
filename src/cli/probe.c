#include "probe.h"

#include <errno.h>
#include <math.h>

#include "../engine/engine.h"

static void line(void *user, const char *name, int layer, const float *values, int n, int64_t dim)
{
    const probe_dump *p = user;
    fprintf(p->f, "{\"name\": \"%s\", \"layer\": %d, \"pos\": %d, \"shape\": [%d, %lld], \"values\": [", name, layer, p->pos, n,
            (long long)dim);
    for (int64_t i = 0; i < n * dim; i++) {
        if (i) putc(',', p->f);
        if (isfinite(values[i])) fprintf(p->f, "%.9g", (double)values[i]);
        else fputs("null", p->f);
    }
    fputs("]}\n", p->f);
}

tawny_status probe_dump_open(probe_dump *p, const char *path, tawny_engine *e, const tawny_token *tokens, int32_t n, tawny_error *err)
{
    p->path = path;
    p->f = fopen(path, "w");
    if (!p->f) return err_errno(err, errno, "%s", path);
    fputs("{\"tokens\": [", p->f);
    for (int32_t i = 0; i < n; i++) fprintf(p->f, i ? ",%d" : "%d", tokens[i]);
    fputs("]}\n", p->f);
    e->shared.probe = line;
    e->shared.probe_user = p;
    return TAWNY_OK;
}

tawny_status probe_dump_close(probe_dump *p, tawny_error *err)
{
    if (!p->f) return TAWNY_OK;
    bool failed = ferror(p->f);
    if (fclose(p->f) != 0) failed = true;
    p->f = NULL;
    return failed ? err_errno(err, errno, "%s", p->path) : TAWNY_OK;
}
