/* Sets of files: NAME-00001-of-00003.gguf and so on, each a GGUF with its own tensors. The first holds
 * the model's metadata; all hold split.no (from 0), split.count and split.tensors.count (of the set). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

static const char suffix_form[] = "-%05u-of-%05u.gguf";
enum { SUFFIX = 20 }; /* "-00001-of-00003.gguf" */

/* The members' common part of path where it is named as member `no` (from 0) of `count`; 0 where it is not. */
static size_t prefix_length(const char *path, uint32_t no, uint32_t count)
{
    char suffix[40];
    size_t n = strlen(path), k = (size_t)snprintf(suffix, sizeof suffix, suffix_form, no + 1, count);
    return k == SUFFIX && n > k && strcmp(path + n - k, suffix) == 0 ? n - k : 0;
}

/* Takes over m's file and tensors as member `no`. */
static tawny_status adopt(gguf *g, gguf *m, uint32_t no, tawny_error *err)
{
    for (size_t i = 0; i < m->n_tensors; i++) {
        if (!gguf_grow(&g->tensors, g->n_tensors, &g->cap_tensors, sizeof *g->tensors)) return err_nomem(err);
        g->tensors[g->n_tensors] = m->tensors[i];
        g->tensors[g->n_tensors++].split = no;
    }
    g->maps[g->n_maps++] = m->maps[0];
    m->n_maps = 0;
    return TAWNY_OK;
}

/* m was opened as member `no` of `count`: does it say so itself, and is it of the same set? */
static tawny_status check_member(const gguf *first, const gguf *m, uint32_t no, uint32_t count, uint32_t tensors,
                                 tawny_error *err)
{
    uint32_t n = 0, c = 0, t = 0;
    tawny_status status;
    if ((status = gguf_get_u32(m, "split.count", 0, UINT32_MAX, &c, err))) return status;
    if ((status = gguf_get_u32(m, "split.no", 0, UINT32_MAX, &n, err))) return status;
    if ((status = gguf_get_u32(m, "split.tensors.count", 0, UINT32_MAX, &t, err))) return status;
    const char *key = c != count ? "split.count" : n != no ? "split.no" : t != tensors ? "split.tensors.count" : NULL;
    if (key)
        return err_set(err, TAWNY_E_FORMAT, "%s: key %s is %u; as member %u of its set it must be %u", m->label, key,
                       c != count ? c : n != no ? n : t, no + 1, c != count ? count : n != no ? no : tensors);
    static const char *const same[] = {"general.architecture", "general.name"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        const gguf_kv *a = gguf_find(first, same[i]), *b = gguf_find(m, same[i]);
        if (!a || !b || a->type != GGUF_STR || b->type != GGUF_STR) continue;
        if (a->v.s.n != b->v.s.n || memcmp(a->v.s.p, b->v.s.p, a->v.s.n) != 0)
            return err_set(err, TAWNY_E_FORMAT, "%s: of another set: %s is '%.*s' here and '%.*s' in the first file",
                           m->label, same[i], gguf_shown(b->v.s.n), b->v.s.p, gguf_shown(a->v.s.n), a->v.s.p);
    }
    return TAWNY_OK;
}

tawny_status gguf_join_splits(gguf **set, unsigned flags, tawny_error *err)
{
    gguf *g = *set, *m = NULL;
    uint32_t count = 1, no = 0, tensors = 0;
    char *path = NULL;
    tawny_status status;
    if ((status = gguf_opt_u32(g, "split.count", 0, GGUF_MAX_SPLITS, &count, err))) return status;
    if (count <= 1) return TAWNY_OK;
    if ((status = gguf_get_u32(g, "split.no", 0, count - 1, &no, err))) return status;
    if ((status = gguf_get_u32(g, "split.tensors.count", 0, UINT32_MAX, &tensors, err))) return status;

    size_t prefix = prefix_length(g->path, no, count);
    if (!prefix)
        return err_set(err, TAWNY_E_FORMAT,
                       "%s: file %u of a set of %u must be named ...-%05u-of-%05u.gguf to find the others", g->label,
                       no + 1, count, no + 1, count);
    path = malloc(prefix + 40);
    if (!path) return err_nomem(err);
    memcpy(path, g->path, prefix);
    if (no != 0) { /* start again at the first */
        snprintf(path + prefix, 40, suffix_form, 1u, count);
        if ((status = gguf_read_file(path, flags, &m, err))) goto end;
        if ((status = check_member(m, m, 0, count, tensors, err))) goto end;
        gguf_close(g);
        *set = g = m;
        m = NULL;
    }
    file_map *maps = realloc(g->maps, count * sizeof *maps);
    if (!maps) {
        status = err_nomem(err);
        goto end;
    }
    g->maps = maps;
    for (uint32_t i = 1; i < count; i++) {
        snprintf(path + prefix, 40, suffix_form, i + 1, count);
        if ((status = gguf_read_file(path, flags, &m, err))) goto end;
        if ((status = check_member(g, m, i, count, tensors, err))) goto end;
        if ((status = adopt(g, m, i, err))) goto end;
        gguf_close(m);
        m = NULL;
    }
    if (g->n_tensors != tensors) {
        status = err_set(err, TAWNY_E_FORMAT, "%s: key split.tensors.count is %u, the %u files hold %zu tensors",
                         g->label, tensors, count, g->n_tensors);
        goto end;
    }
    status = gguf_index_tensors(g, err);
end:
    gguf_close(m);
    free(path);
    return status;
}
