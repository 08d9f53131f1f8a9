#include "net.h"

#include <string.h>
#include <strings.h>

bool net_is_url(const char *s) { return strncasecmp(s, "http://", 7) == 0 || strncasecmp(s, "https://", 8) == 0; }

#ifndef HAVE_LIBCURL

tawny_status net_get(const net_request *r, net_answer *out, tawny_error *err)
{
    (void)out;
    return err_set(err, TAWNY_E_UNSUPPORTED, "%.200s: this tawny was built without libcurl", r->url);
}

tawny_status net_get_text(const char *url, const char *token, size_t max, buf *body, tawny_error *err)
{
    (void)token, (void)max, (void)body;
    return err_set(err, TAWNY_E_UNSUPPORTED, "%.200s: this tawny was built without libcurl", url);
}

tawny_status net_ask(const char *url, const char *token, const char *post, size_t max, int seconds, buf *body, long *code,
                     tawny_error *err)
{
    (void)post, (void)seconds, (void)code;
    return net_get_text(url, token, max, body, err);
}

#else

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { REDIRECTS = 10, CONNECT_SECONDS = 15, STALL_SECONDS = 30 };

typedef struct transfer {
    const net_request *r;
    net_answer *answer;
    CURL *curl;
    bool refused; /* by whoever takes the body */
    bool elsewhere; /* another part of the file comes than was asked for */
} transfer;

/* The value of header `name` in a line that need not end; NULL where it is another. */
static const char *value_of(const char *line, size_t n, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    if (n <= len || strncasecmp(line, name, len) != 0 || line[len] != ':') return NULL;
    const char *p = line + len + 1, *end = line + n;
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    while (end > p && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) end--;
    if ((size_t)(end - p) >= size) return NULL;
    memcpy(out, p, (size_t)(end - p));
    out[end - p] = 0;
    return out;
}

/* A number of digits alone, up to `end`; -1 where it is none. */
static int64_t number_up_to(const char *s, char end)
{
    char *stop;
    if (*s < '0' || *s > '9') return -1;
    long long v = strtoll(s, &stop, 10);
    return *stop == end ? v : -1;
}

/* A SHA-256 in an ETag, with or without quotes. */
static void take_etag(char out[65], const char *s)
{
    if (*s == '"') s++;
    if (strspn(s, "0123456789abcdefABCDEF") != 64) return;
    for (int i = 0; i < 64; i++) out[i] = (char)(s[i] >= 'A' && s[i] <= 'F' ? s[i] + 32 : s[i]);
    out[64] = 0;
}

static size_t on_header(char *line, size_t size, size_t n, void *user)
{
    transfer *t = user;
    char v[256];
    n *= size;
    if (n > 5 && strncmp(line, "HTTP/", 5) == 0) { /* another answer begins; what a redirect said of its file stays */
        t->answer->length = -1;
        t->answer->resumed = false;
        t->answer->begins = -1;
    }
    bool whole = t->answer->length < 0 && !t->answer->resumed; /* a part has a length of its own */
    if (whole && value_of(line, n, "Content-Length", v, sizeof v)) t->answer->length = number_up_to(v, 0);
    if (value_of(line, n, "Content-Range", v, sizeof v)) {
        const char *slash = strchr(v, '/');
        t->answer->length = slash ? number_up_to(slash + 1, 0) : -1;
        t->answer->resumed = true;
        t->answer->begins = strncasecmp(v, "bytes ", 6) == 0 ? number_up_to(v + 6, '-') : -1;
    }
    if (value_of(line, n, "X-Linked-Size", v, sizeof v)) t->answer->linked_size = number_up_to(v, 0);
    if (value_of(line, n, "X-Linked-Etag", v, sizeof v)) take_etag(t->answer->linked_sha, v);
    if (!t->answer->linked_sha[0] && value_of(line, n, "ETag", v, sizeof v)) take_etag(t->answer->linked_sha, v);
    return n;
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    transfer *t = user;
    n *= size;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->answer->code);
    if (t->answer->code / 100 != 2 && !t->r->any_code) return n; /* pages of error are not looked at */
    if (t->answer->code == 206 && t->answer->begins != t->r->from) {
        t->elsewhere = true;
        return 0;
    }
    if (t->r->take && !t->r->take(t->r->user, t->answer, data, n)) {
        t->refused = true;
        return 0;
    }
    return n;
}

static void curl_once(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

static void set_up(transfer *t, struct curl_slist **headers)
{
    CURL *c = t->curl;
    const net_request *r = t->r;
    char line[512], range[64];
    curl_easy_setopt(c, CURLOPT_URL, r->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, r->head ? 0L : 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "tawny/" TAWNY_VERSION);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, (long)NET_SLOWEST);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)(r->stall_seconds ? r->stall_seconds : STALL_SECONDS));
    curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)r->total_seconds);
    curl_easy_setopt(c, CURLOPT_NOBODY, r->head ? 1L : 0L);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    if (r->from || r->count) {
        snprintf(range, sizeof range, r->count ? "%lld-%lld" : "%lld-", (long long)r->from, (long long)(r->from + r->count - 1));
        curl_easy_setopt(c, CURLOPT_RANGE, range);
    }
    if (r->token && *r->token && snprintf(line, sizeof line, "Authorization: Bearer %s", r->token) < (int)sizeof line) {
        *headers = curl_slist_append(NULL, line); /* libcurl drops it where a redirect leads to another host */
    }
    if (r->post) {
        struct curl_slist *more = curl_slist_append(*headers, "Content-Type: application/json");
        if (more) *headers = more;
        more = curl_slist_append(*headers, "Expect:"); /* no waiting for a 100 */
        if (more) *headers = more;
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->post);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(r->post));
    }
    if (*headers) curl_easy_setopt(c, CURLOPT_HTTPHEADER, *headers);
}

tawny_status net_get(const net_request *r, net_answer *out, tawny_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char reason[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    pthread_once(&once, curl_once);
    *out = (net_answer){.length = -1, .linked_size = -1, .begins = -1};
    transfer t = {.r = r, .answer = out, .curl = curl_easy_init()};
    if (!t.curl) return err_nomem(err);
    set_up(&t, &headers);
    curl_easy_setopt(t.curl, CURLOPT_ERRORBUFFER, reason);
    CURLcode code = curl_easy_perform(t.curl);
    curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, &out->code);
    curl_easy_cleanup(t.curl);
    curl_slist_free_all(headers);
    if (t.elsewhere && out->begins < 0)
        return err_set(err, TAWNY_E_IO, "%.200s: a part of the file comes, and the server does not say which", r->url);
    if (t.elsewhere)
        return err_set(err, TAWNY_E_IO, "%.200s: bytes from %lld on were asked for, and others come (from %lld on)", r->url,
                       (long long)r->from, (long long)out->begins);
    if (code == CURLE_OK || t.refused) return TAWNY_OK;
    return err_set(err, TAWNY_E_IO, "%.200s: %s", r->url, *reason ? reason : curl_easy_strerror(code));
}

static bool take_text(void *user, const net_answer *a, const void *data, size_t n)
{
    (void)a;
    return buf_add(user, data, n);
}

tawny_status net_ask(const char *url, const char *token, const char *post, size_t max, int seconds, buf *body, long *code,
                     tawny_error *err)
{
    net_answer a;
    buf_clear(body);
    body->max = max;
    net_request r = {.url = url, .token = token, .post = post, .any_code = true, .take = take_text, .user = body,
                     .stall_seconds = seconds, .total_seconds = seconds};
    tawny_status st = net_get(&r, &a, err);
    *code = a.code;
    if (st == TAWNY_OK && !buf_ok(body)) return err_set(err, TAWNY_E_LIMIT, "%.200s: the answer is longer than %zu bytes", url, max);
    return st;
}

tawny_status net_get_text(const char *url, const char *token, size_t max, buf *body, tawny_error *err)
{
    net_answer a;
    body->max = max;
    net_request r = {.url = url, .token = token, .take = take_text, .user = body, .total_seconds = 120};
    tawny_status st = net_get(&r, &a, err);
    if (st != TAWNY_OK) return st;
    if (!buf_ok(body)) return err_set(err, TAWNY_E_LIMIT, "%.200s: the answer is longer than %zu bytes", url, max);
    if (a.code == 401 || a.code == 403)
        return err_set(err, TAWNY_E_IO, "%.200s: access refused (%ld)%s", url, a.code, token ? "" : "; HF_TOKEN may give it");
    if (a.code != 200) return err_set(err, TAWNY_E_IO, "%.200s: the server answers %ld", url, a.code);
    return TAWNY_OK;
}

#endif
