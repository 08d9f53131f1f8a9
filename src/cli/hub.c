#include "hub.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "../base/file.h"
#include "../gguf/gguf.h"
#include "download.h"
#include "header.h"
#include "hub_choose.h"
#include "net.h"

enum { NAME = 512, SHA = 65, MAX_ANSWER = 32 << 20, MAX_FILES = 65536 };

typedef struct repo {
    char id[256];       /* USER/REPO */
    char quant[64];     /* "" for the usual choice */
    char dir[HUB_PATH]; /* .../models--USER--REPO */
    char commit[NAME];
    char endpoint[NAME];
    char token_text[NAME];
    const char *token; /* NULL: none */
} repo;

/* What the hub says of a file. */
typedef struct hub_file {
    char name[NAME], sha[SHA];
    int64_t size;
} hub_file;

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

static bool format(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static bool format(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, size, fmt, ap);
    va_end(ap);
    return n >= 0 && n < (int)size;
}

static bool cache_home(char *out, size_t size)
{
    if (env("XDG_CACHE_HOME") && *env("XDG_CACHE_HOME") == '/') return format(out, size, "%s", env("XDG_CACHE_HOME"));
    return env("HOME") && format(out, size, "%s/.cache", env("HOME"));
}

static bool hf_home(char *out, size_t size)
{
    char cache[HUB_PATH];
    if (env("HF_HOME")) return format(out, size, "%s", env("HF_HOME"));
    return cache_home(cache, sizeof cache) && format(out, size, "%s/huggingface", cache);
}

static bool hub_cache(char *out, size_t size)
{
    char home[HUB_PATH];
    if (env("HF_HUB_CACHE")) return format(out, size, "%s", env("HF_HUB_CACHE"));
    return hf_home(home, sizeof home) && format(out, size, "%s/hub", home);
}

bool hub_is_spec(const char *spec)
{
    return (strncmp(spec, "hf:", 3) == 0 || net_is_url(spec)) && access(spec, F_OK) != 0;
}

static bool is_id_part(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", s[i])) return false;
    return n > 0 && n < 100 && s[0] != '.' && s[0] != '-';
}

/* HF_TOKEN, or what `hf auth login` left. */
static void find_token(repo *r)
{
    char path[HUB_PATH], home[HUB_PATH];
    buf b = {0};
    if (env("HF_TOKEN"))
        format(r->token_text, sizeof r->token_text, "%s", env("HF_TOKEN"));
    else if (hf_home(home, sizeof home) && format(path, sizeof path, "%s/token", home) && access(path, R_OK) == 0 &&
             file_read(path, sizeof r->token_text - 1, &b, NULL) == TAWNY_OK && b.data)
        format(r->token_text, sizeof r->token_text, "%.*s", (int)strcspn(b.data, "\r\n \t"), b.data);
    buf_free(&b);
    r->token = r->token_text[0] ? r->token_text : NULL;
}

static tawny_status parse(const char *spec, repo *r, tawny_error *err)
{
    const char *id = spec + 3, *slash = strchr(id, '/'), *colon = strrchr(id, ':'),
               *end = colon ? colon : id + strlen(id);
    char cache[HUB_PATH];
    *r = (repo){0};
    if (!slash || slash > end || !is_id_part(id, (size_t)(slash - id)) ||
        !is_id_part(slash + 1, (size_t)(end - slash - 1)) || (colon && !is_id_part(colon + 1, strlen(colon + 1))))
        return err_set(err, TAWNY_E_ARG, "%.100s: a model of the hub is hf:USER/REPO or hf:USER/REPO:QUANT", spec);
    bool ok = format(r->id, sizeof r->id, "%.*s", (int)(end - id), id) &&
              (!colon || format(r->quant, sizeof r->quant, "%s", colon + 1));
    if (!hub_cache(cache, sizeof cache))
        return err_set(err, TAWNY_E_ARG,
                       "neither HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME nor HOME says where models are kept");
    ok = ok && format(r->dir, sizeof r->dir, "%s/models--%.*s--%.*s", cache, (int)(slash - id), id,
                      (int)(end - slash - 1), slash + 1);
    ok = ok && format(r->endpoint, sizeof r->endpoint, "%s",
                      env("HF_ENDPOINT") ? env("HF_ENDPOINT") : "https://huggingface.co");
    if (!ok) return err_set(err, TAWNY_E_ARG, "%.100s: too long a name", spec);
    for (size_t n = strlen(r->endpoint); n && r->endpoint[n - 1] == '/';) r->endpoint[--n] = 0;
    find_token(r);
    return TAWNY_OK;
}

/* ---- what is cached ---- */

typedef struct names {
    char **item;
    int n;
} names;

static void names_free(names *l)
{
    for (int i = 0; i < l->n; i++) free(l->item[i]);
    free(l->item);
}

static void names_add(names *l, const char *name)
{
    char **more = l->n < MAX_FILES ? realloc(l->item, ((size_t)l->n + 1) * sizeof *more) : NULL;
    if (!more) return;
    l->item = more;
    if ((more[l->n] = strdup(name))) l->n++;
}

/* Files of a snapshot, two folders deep, as the hub names them. */
static void list_snapshot(const char *dir, const char *under, int depth, names *l)
{
    DIR *d = opendir(dir);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) {
        char path[HUB_PATH], name[NAME];
        if (e->d_name[0] == '.') continue;
        if (!format(path, sizeof path, "%s/%s", dir, e->d_name) ||
            !format(name, sizeof name, "%s%s", under, e->d_name))
            continue;
        if (access(path, R_OK) != 0) continue; /* a link to a blob that is gone */
        size_t n = strlen(name);
        if (n > 5 && strcasecmp(name + n - 5, ".gguf") == 0)
            names_add(l, name);
        else if (depth > 0 && format(name, sizeof name, "%s%s/", under, e->d_name))
            list_snapshot(path, name, depth - 1, l);
    }
    closedir(d);
}

static bool read_commit(repo *r)
{
    char path[HUB_PATH];
    buf b = {0};
    bool ok = format(path, sizeof path, "%s/refs/main", r->dir) && access(path, R_OK) == 0 &&
              file_read(path, sizeof r->commit - 1, &b, NULL) == TAWNY_OK && b.data;
    if (ok)
        ok = format(r->commit, sizeof r->commit, "%.*s", (int)strcspn(b.data, "\r\n"), b.data) &&
             is_id_part(r->commit, strlen(r->commit));
    buf_free(&b);
    return ok;
}

static bool snapshot_path(const repo *r, const char *name, char path[HUB_PATH])
{
    return format(path, HUB_PATH, "%s/snapshots/%s/%s", r->dir, r->commit, name);
}

static bool all_members(const repo *r, const char *name)
{
    for (int i = 0; i < hub_split_count(name); i++) {
        char member[NAME], path[HUB_PATH];
        if (!hub_split_member(name, i, member, sizeof member) || !snapshot_path(r, member, path) ||
            access(path, R_OK) != 0)
            return false;
    }
    return true;
}

/* The file in the cache that the name stands for, whole; false where there is none. */
static bool find_cached(repo *r, char path[HUB_PATH])
{
    char dir[HUB_PATH];
    names l = {0};
    if (!read_commit(r) || !format(dir, sizeof dir, "%s/snapshots/%s", r->dir, r->commit)) return false;
    list_snapshot(dir, "", 2, &l);
    int i = hub_choose((const char *const *)l.item, l.n, r->quant);
    bool ok = i >= 0 && all_members(r, l.item[i]) && snapshot_path(r, l.item[i], path);
    names_free(&l);
    return ok;
}

/* ---- what the hub has ---- */

static tawny_status answer_error(const repo *r, const char *what, tawny_error *err)
{
    return err_set(err, TAWNY_E_FORMAT, "%.200s: the answer about %.200s is not as the hub's: %s", r->endpoint, r->id,
                   what);
}

static bool copy_text(const json_t *j, const char *key, char *out, size_t size)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s && format(out, size, "%s", s);
}

/* One sibling of the answer: a name, and of large files size and SHA-256. */
static bool read_file_entry(const json_t *j, hub_file *f)
{
    *f = (hub_file){.size = -1};
    if (!copy_text(j, "rfilename", f->name, sizeof f->name) || !hub_safe_name(f->name)) return false;
    const json_t *lfs = json_object_get(j, "lfs"), *size = json_object_get(lfs ? lfs : j, "size");
    if (json_is_integer(size) && json_integer_value(size) >= 0) f->size = json_integer_value(size);
    if (lfs && !copy_text(lfs, "sha256", f->sha, sizeof f->sha)) f->sha[0] = 0;
    if (strspn(f->sha, "0123456789abcdef") != 64) f->sha[0] = 0;
    return true;
}

/* The chosen file and those of its set, from the list of the repository's files. */
static tawny_status choose(const repo *r, const json_t *siblings, hub_file **files, int *n_files, tawny_error *err)
{
    size_t n = json_array_size(siblings);
    hub_file *all = calloc(n + 1, sizeof *all);
    const char **list = calloc(n + 1, sizeof *list);
    tawny_status st = all && list ? TAWNY_OK : err_nomem(err);
    int known = 0, chosen = -1;
    for (size_t i = 0; st == TAWNY_OK && i < n && i < MAX_FILES; i++)
        if (read_file_entry(json_array_get(siblings, i), &all[known])) {
            list[known] = all[known].name;
            known++;
        }
    if (st == TAWNY_OK && (chosen = hub_choose(list, known, r->quant)) < 0)
        st = err_set(err, TAWNY_E_FORMAT, "hf:%s: no GGUF file%s%s there", r->id, r->quant[0] ? " of type " : "",
                     r->quant);
    int members = st == TAWNY_OK ? hub_split_count(list[chosen]) : 0;
    *files = members ? calloc((size_t)members, sizeof **files) : NULL;
    *n_files = members;
    for (int i = 0; st == TAWNY_OK && i < members; i++) {
        char name[NAME];
        int at = -1;
        if (!*files || !hub_split_member(list[chosen], i, name, sizeof name)) st = err_nomem(err);
        for (int k = 0; st == TAWNY_OK && k < known; k++)
            if (strcmp(list[k], name) == 0) at = k;
        if (st == TAWNY_OK && at < 0)
            st = err_set(err, TAWNY_E_FORMAT, "hf:%s: %.200s of the set is not there", r->id, name);
        if (st == TAWNY_OK) (*files)[i] = all[at];
    }
    free(list);
    free(all);
    return st;
}

static tawny_status ask(repo *r, hub_file **files, int *n, tawny_error *err)
{
    char url[2 * NAME];
    buf b = {0};
    *files = NULL;
    format(url, sizeof url, "%s/api/models/%s/revision/main?blobs=true", r->endpoint, r->id);
    tawny_status st = net_get_text(url, r->token, MAX_ANSWER, &b, err);
    json_t *j = st == TAWNY_OK ? json_loadb(b.data ? b.data : "", b.size, 0, NULL) : NULL;
    if (st == TAWNY_OK && !json_is_object(j)) st = answer_error(r, "no JSON object", err);
    if (st == TAWNY_OK &&
        (!copy_text(j, "sha", r->commit, sizeof r->commit) || !is_id_part(r->commit, strlen(r->commit))))
        st = answer_error(r, "sha is no commit", err);
    if (st == TAWNY_OK && !json_is_array(json_object_get(j, "siblings")))
        st = answer_error(r, "siblings is no list", err);
    if (st == TAWNY_OK) st = choose(r, json_object_get(j, "siblings"), files, n, err);
    json_decref(j);
    buf_free(&b);
    return st;
}

/* ---- fetching ---- */

static void resolve_url(const repo *r, const hub_file *f, char *url, size_t size)
{
    size_t at = (size_t)snprintf(url, size, "%s/%s/resolve/%s/", r->endpoint, r->id, r->commit);
    for (const unsigned char *p = (const unsigned char *)f->name; *p && at + 4 < size; p++) {
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/~", *p))
            url[at++] = (char)*p;
        else
            at += (size_t)snprintf(url + at, size - at, "%%%02X", *p);
    }
    url[at < size ? at : size - 1] = 0;
}

/* Ollama keeps what it fetched as blobs/sha256-HEX. */
static bool find_in_ollama(const hub_file *f, char path[HUB_PATH])
{
    char home[HUB_PATH] = "";
    if (env("HOME")) format(home, sizeof home, "%s/.ollama/models", env("HOME"));
    const char *dirs[] = {env("OLLAMA_MODELS"), home, "/usr/share/ollama/.ollama/models",
                          "/var/lib/ollama/.ollama/models", "/var/lib/ollama"};
    for (size_t i = 0; f->sha[0] && i < sizeof dirs / sizeof *dirs; i++) {
        if (!dirs[i] || !*dirs[i] || !format(path, HUB_PATH, "%s/blobs/sha256-%s", dirs[i], f->sha)) continue;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        bool same = fd >= 0 && (f->size < 0 || lseek(fd, 0, SEEK_END) == f->size);
        if (fd >= 0) close(fd);
        if (same) return true;
    }
    return false;
}

/* The name in the snapshot as a link to the blob, put there in one step. */
static tawny_status link_name(const char *path, const char *target, tawny_error *err)
{
    char temp[HUB_PATH];
    tawny_status st = make_folders(path, err);
    if (st != TAWNY_OK) return st;
    if (!format(temp, sizeof temp, "%s.%d.link", path, (int)getpid()))
        return err_set(err, TAWNY_E_ARG, "%.200s...: too long a path", path);
    unlink(temp);
    if (symlink(target, temp) != 0 || rename(temp, path) != 0) {
        st = err_errno(err, errno, "%s", path);
        unlink(temp);
    }
    return st;
}

static tawny_status fetch(const repo *r, const hub_file *f, const hub_options *o, tawny_error *err)
{
    char path[HUB_PATH], blob[HUB_PATH], url[4 * NAME], target[HUB_PATH];
    tawny_status st = TAWNY_OK;
    if (!snapshot_path(r, f->name, path)) return err_set(err, TAWNY_E_ARG, "%.200s: too long a path", f->name);
    if (access(path, R_OK) == 0) return TAWNY_OK;
    if (find_in_ollama(f, target)) return link_name(path, target, err);
    if (!f->sha[0]) return err_set(err, TAWNY_E_FORMAT, "hf:%s: the hub gives no SHA-256 for %.200s", r->id, f->name);
    if (!format(blob, sizeof blob, "%s/blobs/%s", r->dir, f->sha))
        return err_set(err, TAWNY_E_ARG, "%.200s: too long a path", f->name);
    resolve_url(r, f, url, sizeof url);
    const char *base = strrchr(f->name, '/');
    st = download_file(&(download){.url = url,
                                   .token = r->token,
                                   .path = blob,
                                   .label = base ? base + 1 : f->name,
                                   .size = f->size,
                                   .sha256 = f->sha,
                                   .quiet = o->quiet},
                       err);
    if (st != TAWNY_OK) return st;
    size_t at = 0;
    for (const char *p = f->name; (p = strchr(p, '/')); p++)
        at += (size_t)snprintf(target + at, sizeof target - at, "../");
    if (at >= sizeof target / 2 || !format(target + at, sizeof target - at, "../../blobs/%s", f->sha))
        return err_set(err, TAWNY_E_ARG, "%.200s: too long a path", f->name);
    return link_name(path, target, err);
}

static tawny_status write_commit(const repo *r, tawny_error *err)
{
    char path[HUB_PATH];
    if (!format(path, sizeof path, "%s/refs/main", r->dir))
        return err_set(err, TAWNY_E_ARG, "%.200s...: too long a path", r->dir);
    tawny_status st = make_folders(path, err);
    return st == TAWNY_OK ? file_write(path, r->commit, strlen(r->commit), err) : st;
}

static bool offline(const hub_options *o)
{
    return o->offline || (env("HF_HUB_OFFLINE") && strcmp(env("HF_HUB_OFFLINE"), "0") != 0);
}

static tawny_status get_repo(const char *spec, const hub_options *o, char path[HUB_PATH], tawny_error *err)
{
    repo r;
    hub_file *files = NULL;
    int n = 0;
    tawny_status st = parse(spec, &r, err);
    if (st != TAWNY_OK) return st;
    bool cached = find_cached(&r, path);
    if (cached && !o->refresh) return TAWNY_OK;
    if (offline(o)) {
        if (cached) return TAWNY_OK;
        return err_set(err, TAWNY_E_IO, "%.200s is not in the cache (%.200s), and the network is not to be used",
                       spec, r.dir);
    }
    st = ask(&r, &files, &n, err);
    for (int i = 0; st == TAWNY_OK && i < n; i++) st = fetch(&r, &files[i], o, err);
    if (st == TAWNY_OK) st = write_commit(&r, err);
    if (st == TAWNY_OK && !snapshot_path(&r, files[0].name, path))
        st = err_set(err, TAWNY_E_ARG, "%.200s: too long a path", files[0].name);
    free(files);
    return st;
}

/* ---- plain URLs ---- */

/* The last part of the URL's path, which names the file. */
static tawny_status url_name(const char *url, char *name, size_t size, tawny_error *err)
{
    size_t n = strcspn(url, "?#");
    const char *p = url + n;
    while (p > url && p[-1] != '/') p--;
    if (!format(name, size, "%.*s", (int)(url + n - p), p) || !hub_safe_name(name) || strlen(name) < 6 ||
        strcasecmp(name + strlen(name) - 5, ".gguf") != 0)
        return err_set(err, TAWNY_E_ARG, "%.200s: does not end in the name of a GGUF file", url);
    return TAWNY_OK;
}

/* The URL of member i of the set that the file at url, called name, belongs to (itself, where there is no set). */
static bool url_of_member(const char *url, const char *name, int i, char *out, size_t size)
{
    char member[NAME];
    const char *end = url + strcspn(url, "?#");
    return hub_split_member(name, i, member, sizeof member) &&
           format(out, size, "%.*s%s%s", (int)(end - url - (ptrdiff_t)strlen(name)), url, member, end);
}

static tawny_status get_url(const char *url, const hub_options *o, char path[HUB_PATH], tawny_error *err)
{
    char name[NAME], cache[HUB_PATH], member[NAME], from[HUB_PATH], to[HUB_PATH];
    tawny_status st = url_name(url, name, sizeof name, err);
    if (st != TAWNY_OK) return st;
    if (!cache_home(cache, sizeof cache) || !format(path, HUB_PATH, "%s/tawny/models/%s", cache, name))
        return err_set(err, TAWNY_E_ARG, "neither XDG_CACHE_HOME nor HOME says where models are kept");
    for (int i = 0; st == TAWNY_OK && i < hub_split_count(name); i++) {
        if (!hub_split_member(name, i, member, sizeof member) ||
            !format(to, sizeof to, "%s/tawny/models/%s", cache, member) ||
            !url_of_member(url, name, i, from, sizeof from))
            return err_set(err, TAWNY_E_ARG, "%.200s: too long a path", url);
        if (access(to, R_OK) == 0) continue;
        if (offline(o)) return err_set(err, TAWNY_E_IO, "%.200s is not there, and the network is not to be used", to);
        st = download_file(&(download){.url = from, .path = to, .label = member, .size = -1, .quiet = o->quiet}, err);
        gguf *g = NULL;
        if (st == TAWNY_OK && (st = gguf_open(to, GGUF_NO_SPLITS, &g, err)) != TAWNY_OK)
            unlink(to); /* no model came, but a page */
        gguf_close(g);
    }
    return st;
}

tawny_status hub_get(const char *spec, const hub_options *o, char path[HUB_PATH], tawny_error *err)
{
    return net_is_url(spec) ? get_url(spec, o, path, err) : get_repo(spec, o, path, err);
}

/* ---- headers alone ---- */

typedef char url_text[4 * NAME];

/* Those of the set that the file at url belongs to, by its name; any other file is alone. */
static tawny_status url_header(const char *url, int *fd, tawny_error *err)
{
    char name[NAME];
    const char *list[HUB_SPLITS] = {url};
    tawny_status st = TAWNY_OK;
    int n = url_name(url, name, sizeof name, NULL) == TAWNY_OK ? hub_split_count(name) : 1;
    url_text *urls = n > 1 ? malloc((size_t)n * sizeof *urls) : NULL;
    if (n > 1 && !urls) return err_nomem(err);
    for (int i = 0; st == TAWNY_OK && urls && i < n; i++) {
        if (!url_of_member(url, name, i, urls[i], sizeof urls[i])) st = err_set(err, TAWNY_E_ARG, "%.200s: too long a URL", url);
        list[i] = urls[i];
    }
    if (st == TAWNY_OK) st = header_fetch(list, n, NULL, fd, err);
    free(urls);
    return st;
}

static tawny_status repo_header(repo *r, int *fd, tawny_error *err)
{
    hub_file *files = NULL;
    const char *list[HUB_SPLITS];
    int n = 0;
    tawny_status st = ask(r, &files, &n, err);
    url_text *urls = st == TAWNY_OK ? malloc((size_t)n * sizeof *urls) : NULL;
    if (st == TAWNY_OK && !urls) st = err_nomem(err);
    for (int i = 0; urls && i < n; i++) {
        resolve_url(r, &files[i], urls[i], sizeof urls[i]);
        list[i] = urls[i];
    }
    if (st == TAWNY_OK) st = header_fetch(list, n, r->token, fd, err);
    free(urls);
    free(files);
    return st;
}

tawny_status hub_header(const char *spec, const hub_options *o, char path[HUB_PATH], int *fd, tawny_error *err)
{
    repo r;
    tawny_status st = TAWNY_OK;
    *fd = -1;
    if (net_is_url(spec)) {
        if (offline(o)) return err_set(err, TAWNY_E_IO, "%.200s: the network is not to be used", spec);
        st = url_header(spec, fd, err);
    } else {
        st = parse(spec, &r, err);
        if (st != TAWNY_OK || find_cached(&r, path)) return st;
        if (offline(o))
            return err_set(err, TAWNY_E_IO, "%.200s is not in the cache (%.200s), and the network is not to be used", spec, r.dir);
        st = repo_header(&r, fd, err);
    }
    if (st == TAWNY_OK) format(path, HUB_PATH, "/proc/self/fd/%d", *fd);
    return st;
}
