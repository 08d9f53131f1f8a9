#include "prompt_cache.h"

#include <errno.h>
#include <stdio.h>

#include "../base/file.h"
#include "cli.h"

typedef struct source {
    FILE *f;
    const char *path;
} source;

static tawny_status get(void *user, void *data, size_t n, tawny_error *err)
{
    source *s = user;
    if (fread(data, 1, n, s->f) == n) return TAWNY_OK;
    if (ferror(s->f)) return err_errno(err, errno, "%s", s->path);
    return err_set(err, TAWNY_E_FORMAT, "%s: it is damaged: it ends early", s->path);
}

static tawny_status put(void *user, const void *data, size_t n, tawny_error *err) { return file_out_put(user, data, n, err); }

int prompt_cache_read(const char *path, tawny_session *session)
{
    tawny_error err;
    source s = {.f = fopen(path, "rbe"), .path = path};
    if (!s.f && errno == ENOENT) return -1;
    if (!s.f) return cli_fail_err((err_errno(&err, errno, "--prompt-cache %s", path), &err));
    tawny_status st = tawny_session_load(session, path, get, &s, &err);
    if (st == TAWNY_OK && fgetc(s.f) != EOF) st = err_set(&err, TAWNY_E_FORMAT, "%s: it is damaged: bytes follow its end", path);
    fclose(s.f);
    return st == TAWNY_OK ? -1 : cli_fail_err(&err);
}

int prompt_cache_write(const char *path, const tawny_session *session)
{
    tawny_error err;
    file_out o;
    tawny_status st = file_out_open(path, &o, &err);
    if (st == TAWNY_OK) {
        st = tawny_session_save(session, put, &o, &err);
        if (st == TAWNY_OK) st = file_out_commit(&o, &err);
        else file_out_abort(&o);
    }
    return st == TAWNY_OK ? -1 : cli_fail_err(&err);
}
