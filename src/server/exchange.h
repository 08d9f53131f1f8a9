/* An exchange: a request, the tasks it became, and the answer on its way. A door is what a family of clients expects:
 * it reads the request and shapes the answer; all else is common. */
#ifndef SERVER_EXCHANGE_H
#define SERVER_EXCHANGE_H

#include "params.h"
#include "serve.h"

struct MHD_Connection;
typedef struct exchange exchange;

/* One answer of a request (n of them with "n"), as it comes. */
typedef struct choice {
    exchange *x;
    int index;
    task *task;
    answer *parser;        /* tells reasoning, text and calls apart; NULL: all is text */
    size_t text_at, token_at; /* so much of the task's was seen */
    size_t offset;            /* characters of the text before that token */
    buf text, reasoning;   /* all so far */
    json_t *calls;         /* [{"name", "arguments" (text), "whole": its object has an end}]; arguments once the call has ended */
    buf arguments;         /* of the call that has not */
    json_t *tokens;        /* [{"id", "token", "logprob", "bytes", "top_logprobs", "offset"}] of answers with log probabilities: those that no delta carried yet, or all (not streamed) */
    task_state state;
} choice;

/* How the answer looks. All but whole and error are called for streamed answers alone, and append to x->out. */
typedef struct door {
    const char *stream_type;                                         /* Content-Type of streamed answers */
    void (*start)(exchange *x);                                      /* NULL: nothing comes first */
    void (*text)(exchange *x, choice *c, answer_kind kind, const char *text, size_t n);
    void (*call)(exchange *x, choice *c, int no, const char *name);  /* a call begins; NULL: it is of no interest yet */
    void (*arguments)(exchange *x, choice *c, int no, const char *text, size_t n); /* more of them; NULL: likewise */
    void (*call_end)(exchange *x, choice *c, int no, const json_t *call); /* as in choice.calls; NULL: of no interest */
    void (*finish)(exchange *x, choice *c);                          /* of one choice */
    void (*end)(exchange *x);                                        /* of all */
    void (*fail)(exchange *x, const char *message);                  /* in the middle of a stream */
    void (*ping)(exchange *x);                                       /* while a long prompt is read; NULL: nothing */
    json_t *(*whole)(exchange *x);                                   /* the answer that is not streamed */
    /* The body of an error: type and param may be NULL. */
    json_t *(*error)(int status, const char *type, const char *message, const char *field);
} door;

typedef struct route {
    const char *method, *path;
    void (*handle)(exchange *x);
    const door *door;          /* for errors before the handler has chosen another */
    unsigned flags;            /* ROUTE_... */
    const param *const *tables; /* of the body, ended by NULL; NULL: no body */
    const char *doc;
} route;
enum {
    ROUTE_PUBLIC = 1, /* no key is asked for */
    ROUTE_DRAINING = 2, /* answered also while the server ends */
    ROUTE_TEXT = 4,     /* the answer is plain text, no JSON */
    ROUTE_LOADING = 8,  /* answered also while the model is being loaded */
    ROUTE_PAGE = 16,    /* for people: other sites may link to it */
    ROUTE_ANY_BODY = 64, /* none is as good as an empty object */
    ROUTE_HIDDEN = 32   /* no part of the interface that openapi.c describes */
};
enum { REPLY_FIELDS = 12 };

struct exchange {
    sched_work work;               /* of exchange_post */
    bool (*piece)(exchange *x, tawny_engine *e);
    void (*aside)(exchange *x);
    void (*done)(exchange *x);
    tawny_error failure;           /* that a piece left; TAWNY_OK: none */
    server *sv;
    struct MHD_Connection *connection;
    const route *route;
    const char *path;              /* of the request, as it came */
    const door *door;
    void *own;                     /* the door's */
    void (*free_own)(void *own);
    buf body;
    json_t *json;                  /* the body, where the route has tables: an object */
    json_t *kept;                  /* by exchange_keep; NULL: nothing */
    char id[64];
    char fingerprint[64];          /* of the server, when the request came */
    int64_t created;               /* the same moment, seconds since 1970 */
    bool handled, stream, started, ended;
    bool last_words;               /* what is in out is all that will be */
    choice *choices;
    int n_choices, per_prompt;     /* per_prompt: choices that share a prompt, one after the other; 0: all do */
    buf out;                       /* of a stream, not sent yet */
    _Atomic double sent;           /* ms, when something was appended to out */
    double ping;                   /* ms without anything sent until something is; < 0: never */
    int status;                    /* of an answer that is ready, 0: none */
    buf reply;
    const char *constant;          /* in place of reply: of somebody who lives longer; NULL: reply it is */
    size_t n_constant;
    const char *reply_type;        /* its Content-Type */
    int retry_after;               /* seconds, with 429 and 503; 0: not said */
    struct {
        const char *name, *value;
    } fields[REPLY_FIELDS];        /* further headers of the answer */
    int n_fields;

    pthread_mutex_t lock;          /* guards all below */
    bool news, suspended;
    bool working;                  /* work of exchange_post is not done yet */
    bool cut;                      /* it ended before it was done: the client has gone, or the server ends */
};

/* ---- for doors ---- */

void reply_json(exchange *x, int status, json_t *body); /* takes body */
void reply_text(exchange *x, int status, const char *type, const char *text, size_t n);
/* The same without a copy: text lives as long as the server. */
void reply_constant(exchange *x, int status, const char *type, const char *text, size_t n);
/* In the door's shape. field: the parameter, or NULL. */
void reply_error(exchange *x, int status, const char *type, const char *message, const char *field);
void reply_field(exchange *x, const char *name, const char *value); /* a header; both live as long as x */
void reply_status(exchange *x, const tawny_error *err, const char *field); /* by the kind of error */

/* Reads the body's parameters; false after a reply that names the field. */
bool exchange_params(exchange *x, const param *table, void *to);

/* Gives the tasks to the scheduler and lets the exchange wait for them; takes the tasks. parsers: chat answers are told
 * apart (tools as offered, may be NULL; thinks: the prompt ended inside <think>). */
typedef struct exchange_chat {
    const json_t *tools;
    bool thinks;
    answer_format format;
} exchange_chat;
void exchange_submit(exchange *x, task **tasks, int n, const exchange_chat *chat);

/* Takes j, which then lives as long as the exchange. NULL is out of memory, which whoever needs j sees. */
void exchange_keep(exchange *x, json_t *j);

/* Work in the engine's thread, in pieces, for an exchange that then replies: piece(x) computes the next one, false: it was
 * the last; done(x), in a thread of HTTP, replies. What they work on is the door's own. */
void exchange_post(exchange *x, bool (*piece)(exchange *x, tawny_engine *e), void (*done)(exchange *x));

/* The same in a thread of its own, for what waits for files and not for the engine; at most 16 at once. */
void exchange_aside(exchange *x, void (*work)(exchange *x), void (*done)(exchange *x));

/* SSE: "event: name\ndata: {json}\n\n", without the first line where name is NULL. Takes data. */
void put_event(exchange *x, const char *name, json_t *data);
void put_line(exchange *x, json_t *data); /* NDJSON; takes data */

/* ---- for http.c ---- */

exchange *exchange_new(server *sv, struct MHD_Connection *c, const route *r);
void exchange_free(exchange *x);
void exchange_handle(exchange *x);  /* the request is whole: parses the body, calls the handler */
/* Looks at what the tasks did; afterwards out has what is to be sent, and ended or status what is done. */
void exchange_drain(exchange *x);
/* From any thread: a stream that nothing was sent in for so many milliseconds is woken, to send that it is alive. */
void exchange_ping(exchange *x, double now, double milliseconds);

#endif
