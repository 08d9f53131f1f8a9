/* A server that runs a model, as `tawny verify` asks it: which kind it is, what it takes for tokens, and how likely it
 * holds the next ones. All that it says is hostile: bounded, checked, and waited for so long and no longer. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include <jansson.h>

#include "../text/chat.h"
#include "../text/tokenizer.h"

enum {
    REMOTE_TOP = 64,    /* alternatives of a position, at most */
    REMOTE_STEPS = 1024 /* positions that an answer tells of, at most, the last ones counting */
};

typedef enum remote_kind {
    REMOTE_LLAMA,  /* llama-server's own routes: prompts of token ids, any number of alternatives */
    REMOTE_VLLM,   /* OpenAI's with token ids and prompt_logprobs */
    REMOTE_OPENAI, /* OpenAI's /v1/completions with logprobs */
    REMOTE_OLLAMA, /* /api/generate with logprobs: texts alone */
    REMOTE_RESPONSES, /* OpenAI's /v1/responses with logprobs, as LM Studio has them: one message, by the chat template */
    REMOTE_CHAT    /* OpenAI's /v1/chat/completions with logprobs: likewise */
} remote_kind;

/* What the server says of the token after `pos` others. */
typedef struct remote_step {
    int32_t pos;
    tawny_token chosen;        /* what it went on with; -1: not known here */
    int n;
    tawny_token id[REMOTE_TOP]; /* alternatives that are known here, and the natural logarithms of their probabilities */
    double logprob[REMOTE_TOP];
    double unknown;            /* the greatest of those of tokens that are not known here; below -1000: there are none */
    bool not_numbers;          /* a null, NaN or something above 0 was among them */
} remote_step;

typedef struct remote {
    const tokenizer *tok;
    const char *key, *wanted; /* wanted: the model's name there; NULL: none is named */
    char url[512], model[512];
    remote_kind kind;
    int seconds, n_top;
    bool texts;          /* it takes prompts as texts alone */
    bool own_cache;      /* it cannot be told to read a prompt anew */
    bool old_llama;      /* a llama-server of 2024 or before, which needs a temperature below 0 to tell more than 1 and 0 */
    int asked;
    chat_template *chat;
    buf content;         /* the message of the last prompt that was fitted, where prompts are messages */
    int32_t around;      /* tokens that the template puts around it; 0: not known yet */
    int32_t n_ctx;       /* 0: it does not say */
    int64_t n_vocab, n_params, bytes; /* of its model; 0: it does not say */
    tawny_token *by_piece; /* [n_pieces] tokens in the order of their texts */
    size_t n_pieces;
    remote_step *steps;  /* of the last answer: [REMOTE_STEPS] */
    int n_steps;
    long code;           /* of HTTP, of the last answer; 0: none came */
    int64_t prompt_tokens; /* that the server counted, -1: it did not say */
} remote;

const char *remote_kind_name(remote_kind k);

/* Finds out what answers at url; tok is borrowed, and key and model (both may be NULL). TAWNY_E_IO: nobody, or nobody who knows;
 * TAWNY_E_UNSUPPORTED: a server that tells no log probabilities; TAWNY_E_ARG: which of its models? Ends with remote_close in any case. */
tawny_status remote_open(remote *r, const char *url, const char *key, const char *model, const tokenizer *tok, int seconds, tawny_error *err);
void remote_close(remote *r);

/* Greedy continuation of a prompt: r->steps tells of its tokens, and of the prompt's last ones where the server offers that.
 * fresh: nothing of it may come from a cache. tokens[n] are what the prompt is here: see remote_fit. */
tawny_status remote_complete(remote *r, const tawny_token *tokens, int32_t n, int n_predict, bool fresh, tawny_error *err);

/* Tokens that the server can be asked about, about n: themselves, or, where it takes texts or messages alone, those of their text. The
 * next remote_complete is to be about what was fitted last. */
tawny_status remote_fit(remote *r, const tawny_token *tokens, int32_t n, tok_vec *out, tawny_error *err);

/* The server's tokens of a text, nothing before or after it; the prompt that its chat template makes of messages. *offered is
 * false where it has no such route. */
tawny_status remote_tokenize(remote *r, const char *text, tok_vec *out, bool *offered, tawny_error *err);
tawny_status remote_template(remote *r, const json_t *messages, buf *out, bool *offered, tawny_error *err);

/* Drops what is left of a character at the end of a text that was cut. */
void remote_trim(char *s);

/* Between the files: the tokens in the order of their texts, and room for the steps. */
tawny_status remote_index(remote *r, tawny_error *err);
/* remote_read.c: a question and its answer as JSON (NULL with *err; *code tells of HTTP, and is 0 where no whole answer came), and the steps in an answer. */
json_t *remote_ask(remote *r, const char *path, json_t *question, int seconds, long *code, tawny_error *err);
tawny_status remote_read_steps(remote *r, const json_t *answer, int32_t n_prompt, tawny_error *err);

#endif
