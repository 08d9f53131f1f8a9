/* HTTP requests as a client, by libcurl: http and https alone, few redirects, nothing that can hang for ever. */
#ifndef CLI_NET_H
#define CLI_NET_H

#include "../base/buf.h"
#include "../base/error.h"

/* What an answer's headers say. */
typedef struct net_answer {
    long code;          /* of HTTP, after redirects */
    int64_t length;     /* of the whole file, from Content-Length or Content-Range; -1: not said */
    bool resumed;       /* 206: the answer begins where it was asked to */
    int64_t begins;     /* of a 206, where it says to begin; -1: it does not */
    char linked_sha[65]; /* X-Linked-Etag or ETag, where it is a SHA-256 in hex; else "" */
    int64_t linked_size; /* X-Linked-Size; -1: not said */
} net_answer;

/* Takes n bytes of the body; false ends the request (the taker keeps its reason). */
typedef bool (*net_take)(void *user, const net_answer *so_far, const void *data, size_t n);

enum { NET_SLOWEST = 256 }; /* bytes a second: what comes more slowly does not come */

typedef struct net_request {
    const char *url, *token; /* token: for "Authorization: Bearer", sent to the URL's own host alone; NULL: none */
    int64_t from;            /* Range: bytes=from- where it is not 0 */
    int64_t count;           /* with from: Range: bytes=from-(from + count - 1) where it is not 0 */
    const char *post;        /* JSON to send by POST; NULL: GET */
    bool any_code;           /* the bodies of errors are taken too */
    bool head;               /* headers alone, redirects not followed: what the first answer says */
    net_take take;
    void *user;
    int stall_seconds;       /* ends where less than NET_SLOWEST came for so long; 0: 30 */
    int total_seconds;       /* ends after so long; 0: no limit */
} net_request;

/* TAWNY_E_IO names host and reason where no answer came whole; an answer of any code is TAWNY_OK. */
tawny_status net_get(const net_request *r, net_answer *out, tawny_error *err);

/* A small answer as a whole, at most max bytes; codes other than 200 are errors. */
tawny_status net_get_text(const char *url, const char *token, size_t max, buf *body, tawny_error *err);

/* A question in JSON (post NULL: GET) to a server of models, and its answer of any code, of at most max bytes, within so many
 * seconds in all. TAWNY_E_LIMIT where it is longer. */
tawny_status net_ask(const char *url, const char *token, const char *post, size_t max, int seconds, buf *body, long *code,
                     tawny_error *err);

bool net_is_url(const char *s); /* begins http:// or https:// */

#endif
