/* A server of models for tests: right or wrong on purpose. It answers from a model by tawny's own engine, in the shape that a
 * kind of server has, or passes on what another server says; then it does the wrong that it is told to. */
#ifndef TESTS_FAKE_SERVER_H
#define TESTS_FAKE_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

typedef enum fake_shape {
    FAKE_LLAMA,
    FAKE_LLAMA_OLD,
    FAKE_ROUTER,    /* llama-server with several models */
    FAKE_VLLM,
    FAKE_OPENAI,    /* OpenAI's completions by token ids */
    FAKE_TEXTS,     /* by texts alone */
    FAKE_CHAT,      /* /v1/chat/completions alone */
    FAKE_LM_STUDIO, /* log probabilities by /v1/responses alone */
    FAKE_OLLAMA
} fake_shape;

typedef enum fake_fault {
    FAKE_RIGHT,
    FAKE_NOISE,     /* probabilities are wrong */
    FAKE_REPEAT,    /* it says the first token of its answer over and over */
    FAKE_NAN,       /* numbers are null */
    FAKE_CONSTANT,  /* it says what it said at first */
    FAKE_BAD_TOKEN, /* it goes on with its third choice */
    FAKE_HALF,      /* probabilities are wrong at every other position */
    FAKE_FEW,       /* it answers 500 where more than 10 alternatives are asked for */
    FAKE_TOKENIZER, FAKE_TEMPLATE, /* routes that answer otherwise */
    FAKE_NO_LOGPROBS,
    FAKE_HANG, FAKE_STREAM, FAKE_DRIP, FAKE_HTML, FAKE_HUGE, FAKE_CUT, FAKE_DROP, FAKE_ERROR, FAKE_GARBAGE /* no answers at all */
} fake_fault;

typedef struct fake_server {
    const char *model;   /* a GGUF file; NULL: pass on to `backend` */
    int backend;         /* a port of 127.0.0.1 */
    fake_shape shape;
    fake_fault fault;
    int from;            /* the fault begins with prompts of so many tokens */
    bool fresh_alone;    /* and is in those that are read anew alone */
    int n_ctx;           /* prompts beyond it are refused; 0: 256 */
    long long n_params;  /* that it tells of its model; 0: none */
    int port;            /* 0: any; out */
    pid_t pid;           /* out; -1: the port is taken */
} fake_server;

void fake_server_start(fake_server *s);
void fake_server_stop(fake_server *s);

#endif
