#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "watch.h"

/* SPARE: connections beyond the limit, that come while others are told to give way; FILES: descriptors beside those. */
enum { THREADS = 4, SPARE = 16, FILES = 128, HEADERS = 64 * 1024, BLOCK = 32 * 1024, MOST_UNSENT = 1 << 20 };

struct http {
    server *sv;
    struct MHD_Daemon *daemon;
    watch *watch;
    int fd;
};

/* What MHD keeps for a request: made when its first line is there. */
typedef struct request {
    char *path;
    exchange *x;
    bool refused; /* answered before its body was read */
} request;

const char *http_header(const exchange *x, const char *name) { return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name); }
const char *http_query(const exchange *x, const char *name) { return MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name); }

/* ---- who may ask ---- */

/* In a time that does not depend on where they differ. */
static bool same_secret(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned differ = n != m;
    for (size_t i = 0; i < n; i++) differ |= (unsigned)((unsigned char)a[i] ^ (unsigned char)(m ? b[i % m] : 0));
    return differ == 0;
}

static bool has_key(const server *sv, struct MHD_Connection *c)
{
    const char *given = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
    if (given && strncasecmp(given, "Bearer ", 7) == 0)
        given += 7;
    else
        given = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "x-api-key");
    bool ok = sv->config.n_keys == 0;
    for (size_t i = 0; given && i < sv->config.n_keys; i++) ok |= same_secret(given, sv->config.keys[i]);
    return ok;
}

/* The name in a Host header or an origin, without its port. */
static bool host_is(const char *host, const char *name)
{
    size_t n = strlen(name);
    return strncasecmp(host, name, n) == 0 && (host[n] == 0 || host[n] == ':');
}

static bool is_address(const char *host)
{
    char name[64];
    struct in6_addr a;
    size_t n = *host == '[' ? strcspn(host, "]") : strcspn(host, ":");
    if (n >= sizeof name) return false;
    memcpy(name, host, n);
    name[n] = 0;
    return *host == '[' ? host[n] == ']' && inet_pton(AF_INET6, name + 1, &a) == 1 : inet_pton(AF_INET, name, &a) == 1;
}

/* A name that somebody else made point here (DNS rebinding) is none of these. */
static bool known_host(const server *sv, const char *host)
{
    if (!host) return true; /* HTTP/1.0 */
    if (host_is(host, "localhost") || is_address(host) || host_is(host, sv->config.host)) return true;
    for (size_t i = 0; i < sv->config.n_hosts; i++)
        if (host_is(host, sv->config.hosts[i])) return true;
    return false;
}

static bool header_is(struct MHD_Connection *c, const char *name, const char *value)
{
    const char *given = MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
    return given && strcmp(given, value) == 0;
}

/* Pages of other origins may not ask: a browser says where a request comes from. What they may do is to link to a page. */
static bool foreign(struct MHD_Connection *c, const route *r)
{
    const char *origin = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Origin"), *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");
    const char *site = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Sec-Fetch-Site");
    bool follows = r && (r->flags & ROUTE_PAGE) && header_is(c, "Sec-Fetch-Mode", "navigate") && header_is(c, "Sec-Fetch-Dest", "document");
    if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0 && !follows) return true;
    if (!origin) return false;
    const char *at = strstr(origin, "://");
    return !at || !host || strcasecmp(at + 3, host) != 0;
}

/* ---- where a request ends ---- */

typedef struct framing {
    int hosts, lengths, codings;
    bool chunked;
} framing;

static enum MHD_Result count_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    framing *f = cls;
    (void)kind;
    f->hosts += strcasecmp(name, "Host") == 0;
    f->lengths += strcasecmp(name, "Content-Length") == 0;
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        f->codings++;
        f->chunked = value && strcasecmp(value, "chunked") == 0;
    }
    return MHD_YES;
}

/* What a proxy before this server might read otherwise, as two requests where this sees one (RFC 9112, sections 3.2, 6.1
 * and 6.3); NULL where there is nothing. */
static const char *ambiguous(struct MHD_Connection *c, const char *version)
{
    framing f = {0};
    MHD_get_connection_values(c, MHD_HEADER_KIND, count_header, &f);
    if (f.hosts > 1 || (f.hosts == 0 && strcmp(version, "HTTP/1.0") != 0)) return "exactly one Host header is wanted";
    if (f.lengths > 1) return "several Content-Length headers";
    if (f.codings > 1 || (f.codings && !f.chunked)) return "Transfer-Encoding: chunked alone is known";
    return f.codings && f.lengths ? "Content-Length and Transfer-Encoding exclude each other" : NULL;
}

/* ---- routes ---- */

/* "/slots/" and a star match everything below. */
static bool path_is(const char *pattern, const char *path)
{
    size_t n = strlen(pattern);
    if (n && pattern[n - 1] == '*') return strncmp(pattern, path, n - 1) == 0 && path[n - 1];
    return strcmp(pattern, path) == 0;
}

/* *other: one that takes another method. */
static const route *find_route(const char *method, const char *path, const route **other)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    *other = NULL;
    for (const route *r = server_routes; r->path; r++) {
        if (!path_is(r->path, path)) continue;
        if (strcmp(r->method, wanted) == 0) return r;
        *other = r;
    }
    return NULL;
}

/* The methods that a path takes, for the Allow header. */
static void methods_of(const char *path, char *out, size_t size)
{
    size_t n = 0;
    *out = 0;
    for (const route *r = server_routes; r->path && n < size; r++)
        if (path_is(r->path, path) && !strstr(out, r->method))
            n += (size_t)snprintf(out + n, size - n, "%s%s%s", n ? ", " : "", r->method, strcmp(r->method, "GET") == 0 ? ", HEAD" : "");
}

const char *http_rest(const exchange *x) { return x->path + strlen(x->route->path) - 1; }

/* ---- answers ---- */

/* x: whose answer it is; NULL: nobody's. */
static void add_headers(struct MHD_Response *r, const exchange *x)
{
    MHD_add_response_header(r, "Server", "tawny");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    for (int i = 0; x && i < x->n_fields; i++) MHD_add_response_header(r, x->fields[i].name, x->fields[i].value);
    if (!MHD_get_response_header(r, "Cache-Control")) MHD_add_response_header(r, "Cache-Control", "no-store");
}

static enum MHD_Result send_buffer(struct MHD_Connection *c, const exchange *x, int status, const char *type, const char *text, size_t n,
                                   int retry_after, const char *allow)
{
    union { /* MHD takes a void *, and changes nothing */
        const char *in;
        void *out;
    } u = {.in = text};
    char seconds[16];
    enum MHD_ResponseMemoryMode mode = x ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_COPY; /* an exchange lives until all is sent */
    struct MHD_Response *r = MHD_create_response_from_buffer(n, n ? u.out : (void *)&u, n ? mode : MHD_RESPMEM_MUST_COPY);
    if (!r) return MHD_NO;
    add_headers(r, x);
    if (status != 304) MHD_add_response_header(r, "Content-Type", type);
    snprintf(seconds, sizeof seconds, "%d", retry_after);
    if (retry_after) MHD_add_response_header(r, "Retry-After", seconds);
    if (allow) MHD_add_response_header(r, "Allow", allow);
    if (status == 401) MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
    enum MHD_Result ok = MHD_queue_response(c, (unsigned)status, r);
    MHD_destroy_response(r);
    return ok;
}

static client *client_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static enum MHD_Result send_reply(exchange *x)
{
    const char *text = x->constant ? x->constant : x->reply.data;
    size_t n = x->constant ? x->n_constant : x->reply.size;
    watch_reading(client_of(x->connection), n);
    return send_buffer(x->connection, x, x->status, x->reply_type, text, n, x->retry_after, NULL);
}

/* The exchange waits: no thread does. Under its lock, since whoever wakes it looks at `suspended`. */
static bool wait_for_news(exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool wait = !x->news;
    x->news = false;
    if (wait) {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->lock);
    return wait;
}

static ssize_t read_stream(void *cls, uint64_t pos, char *out, size_t max)
{
    exchange *x = cls;
    (void)pos;
    for (;;) {
        if (x->ended && !x->last_words) {
            x->last_words = true;
            watch_reading(client_of(x->connection), x->out.size);
        }
        if (x->out.size) {
            size_t n = x->out.size < max ? x->out.size : max;
            memcpy(out, x->out.data, n);
            memmove(x->out.data, x->out.data + n, x->out.size - n);
            x->out.size -= n;
            return (ssize_t)n;
        }
        if (x->ended) return MHD_CONTENT_READER_END_OF_STREAM;
        exchange_drain(x);
        if (x->out.failed || x->out.size > MOST_UNSENT) return MHD_CONTENT_READER_END_WITH_ERROR;
        if (!x->out.size && !x->ended && wait_for_news(x)) return 0;
    }
}

static enum MHD_Result send_stream(exchange *x)
{
    struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_stream, x, NULL);
    if (!r) return MHD_NO;
    add_headers(r, x);
    MHD_add_response_header(r, "Content-Type", x->door->stream_type);
    MHD_add_response_header(r, "X-Accel-Buffering", "no");
    enum MHD_Result ok = MHD_queue_response(x->connection, 200, r);
    MHD_destroy_response(r);
    return ok;
}

/* A stream begins when there is something to send: until then an error has a status of its own. */
static enum MHD_Result proceed(exchange *x)
{
    for (;;) {
        exchange_drain(x);
        if (x->status) return send_reply(x);
        if (x->stream && (x->out.size || x->ended)) return send_stream(x);
        if (x->ended) return MHD_NO;
        if (wait_for_news(x)) return MHD_YES;
    }
}

/* ---- requests ---- */

static enum MHD_Result refuse(server *sv, request *q, struct MHD_Connection *c, const route *r, int status, const char *type, const char *message,
                              int retry)
{
    json_t *body = (r ? r : server_routes)->door->error(status, type, message, NULL);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL, allow[64];
    methods_of(q->path, allow, sizeof allow);
    enum MHD_Result ok = send_buffer(c, NULL, status, "application/json; charset=utf-8", text ? text : "", text ? strlen(text) : 0,
                                     retry, status == 405 ? allow : NULL);
    q->refused = true;
    atomic_fetch_add(&sv->refused, 1);
    json_decref(body);
    free(text);
    return ok;
}

static enum MHD_Result first_look(http *h, request *q, struct MHD_Connection *c, const char *method, const char *version)
{
    server *sv = h->sv;
    const char *unclear = ambiguous(c, version);
    const route *other, *r = find_route(method, q->path, &other);
    const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");
    if (unclear) return refuse(sv, q, c, r, 400, NULL, unclear, 0);
    if (!known_host(sv, MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host")))
        return refuse(sv, q, c, r, 403, NULL, "the Host header names another host; --allowed-host lets it in", 0);
    if (foreign(c, r)) return refuse(sv, q, c, r, 403, NULL, "requests from pages of other sites are refused", 0);
    if (!r) return refuse(sv, q, c, other, other ? 405 : 404, NULL, other ? "this path takes another method" : "there is no such path", 0);
    if (!(r->flags & ROUTE_PUBLIC) && !has_key(sv, c)) return refuse(sv, q, c, r, 401, "authentication_error", "Invalid API Key", 0);
    if (!atomic_load(&sv->ready) && !(r->flags & ROUTE_LOADING)) return refuse(sv, q, c, r, 503, "unavailable_error", "Loading model", 1);
    if (atomic_load(&sv->draining) && !(r->flags & ROUTE_DRAINING))
        return refuse(sv, q, c, r, 503, "unavailable_error", "the server is shutting down", 1);
    if (length && strtoull(length, NULL, 10) > sv->config.max_body) return refuse(sv, q, c, r, 413, NULL, "the body is too large", 0);
    q->x = exchange_new(sv, c, r);
    if (q->x) q->x->path = q->path;
    return q->x ? MHD_YES : MHD_NO;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                                  const char *data, size_t *n, void **con)
{
    http *h = cls;
    request *q = *con;
    (void)url;
    if (!q) return MHD_NO;
    if (q->refused) {
        *n = 0;
        return MHD_YES;
    }
    if (!q->x) return first_look(h, q, c, method, version);
    if (*n) {
        watch_asked_more(client_of(c), *n);
        buf_add(&q->x->body, data, *n);
        *n = 0;
        return MHD_YES;
    }
    if (!q->x->handled) {
        if (q->x->body.failed) return refuse(h->sv, q, c, q->x->route, 413, NULL, "the body is too large", 0);
        atomic_fetch_add(&h->sv->handled, 1);
        exchange_handle(q->x);
        watch_waiting(client_of(c), q->x->stream ? q->x : NULL);
    }
    return proceed(q->x);
}

static void *on_line(void *cls, const char *uri, struct MHD_Connection *c)
{
    request *q = calloc(1, sizeof *q);
    (void)cls;
    watch_asking(client_of(c));
    if (q && !(q->path = strndup(uri, strcspn(uri, "?")))) {
        free(q);
        q = NULL;
    }
    return q;
}

static void on_completed(void *cls, struct MHD_Connection *c, void **con, enum MHD_RequestTerminationCode why)
{
    request *q = *con;
    (void)cls, (void)why;
    watch_idle(client_of(c));
    if (!q) return;
    exchange_free(q->x);
    free(q->path);
    free(q);
    *con = NULL;
}

static void on_connection(void *cls, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode code)
{
    http *h = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = info ? watch_add(h->watch, info->connect_fd) : NULL;
    } else {
        watch_remove(*context); /* its descriptor is still open: nobody else's can be hung up on */
        *context = NULL;
    }
}

/* ---- the daemon ---- */

/* As many connections as are wanted, or as the limit of open files has room for once it is as high as it may be. */
static int affordable(int wanted)
{
    struct rlimit r;
    rlim_t need = (rlim_t)wanted + SPARE + FILES;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= need) return wanted;
    r.rlim_cur = r.rlim_max < need ? r.rlim_max : need;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0) getrlimit(RLIMIT_NOFILE, &r);
    return r.rlim_cur >= need ? wanted : r.rlim_cur > SPARE + FILES ? (int)(r.rlim_cur - SPARE - FILES) : 1;
}

static tawny_status open_socket(const server_config *c, int *fd, tawny_error *err)
{
    char port[16];
    struct addrinfo hint = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list;
    snprintf(port, sizeof port, "%d", c->port);
    int code = getaddrinfo(c->host, port, &hint, &list), reason = 0;
    if (code) return err_set(err, TAWNY_E_ARG, "--host %.100s: %s", c->host, gai_strerror(code));
    *fd = -1;
    for (struct addrinfo *a = list; a && *fd < 0; a = a->ai_next) {
        int one = 1;
        *fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (*fd < 0) continue;
        setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(*fd, a->ai_addr, a->ai_addrlen) == 0 && listen(*fd, 1024) == 0) break;
        reason = errno;
        close(*fd);
        *fd = -1;
    }
    freeaddrinfo(list);
    return *fd < 0 ? err_errno(err, reason, "%.100s:%d", c->host, c->port) : TAWNY_OK;
}

static int port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0) return 0;
    if (a.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)(void *)&a)->sin_port);
    return a.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)(void *)&a)->sin6_port) : 0;
}

/* MHD's own complaints are not for the terminal. */
static void silent(void *cls, const char *fmt, va_list ap) { (void)cls, (void)fmt, (void)ap; }

tawny_status http_start(server *sv, http **out, tawny_error *err)
{
    *out = NULL;
    http *h = calloc(1, sizeof *h);
    if (!h) return err_nomem(err);
    h->sv = sv;
    h->fd = sv->config.listen_fd;
    server_config *o = &sv->config;
    o->max_connections = affordable(o->max_connections);
    watch_params w = {.most = o->max_connections, .timeout = o->timeout, .ping = o->ping};
    tawny_status st = watch_new(&w, &h->watch, err);
    if (st == TAWNY_OK && h->fd < 0) st = open_socket(o, &h->fd, err);
    if (st == TAWNY_OK) {
        sv->port = port_of(h->fd);
        h->daemon = MHD_start_daemon(
            MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, h,
            MHD_OPTION_EXTERNAL_LOGGER, silent, NULL, MHD_OPTION_LISTEN_SOCKET, h->fd, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS,
            MHD_OPTION_URI_LOG_CALLBACK, on_line, h, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_NOTIFY_CONNECTION,
            on_connection, h, MHD_OPTION_CONNECTION_LIMIT, (unsigned)o->max_connections + SPARE, MHD_OPTION_CONNECTION_TIMEOUT,
            (unsigned)o->timeout, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(HEADERS + BLOCK), MHD_OPTION_END);
        if (!h->daemon) st = err_set(err, TAWNY_E_IO, "%.100s:%d: the HTTP server could not be started", o->host, sv->port);
    }
    if (st != TAWNY_OK) {
        http_stop(h);
        return st;
    }
    *out = h;
    return TAWNY_OK;
}

void http_stop(http *h)
{
    if (!h) return;
    if (h->daemon) MHD_stop_daemon(h->daemon); /* closes the socket */
    else if (h->fd >= 0) close(h->fd);
    watch_free(h->watch);
    free(h);
}
