/* Chat: from messages to the tokens of a prompt, by the model's own template.
 *
 * Messages are OpenAI's: {"role": "user", "content": "..."}, content a string or a list of parts, assistant messages
 * with "tool_calls", tool messages with "tool_call_id". Before they reach the template they take the form that
 * templates written for Hugging Face's transformers expect:
 *   - content of text parts alone becomes one string, the parts joined by newlines; null or missing content is "";
 *   - arguments of tool calls that are JSON in a string become the object;
 *   - "developer" is "system" where the template does not know the former;
 *   - where the template refuses a system message (raise_exception), its text goes before the first user message's.
 *     Roles that everyone uses are trusted text, since templates make control tokens of them ('<|' + role + '|>');
 *     nothing else from the messages is: see text/jinja.h on provenance. */
#ifndef TEXT_CHAT_H
#define TEXT_CHAT_H

#include "jinja.h"
#include "tokenizer.h"

typedef struct chat_template chat_template;

/* source NULL: the template in the model's file, or, where there is none, ChatML (chat_is_default tells, so that the
 * caller can say so). tok is borrowed and may be NULL where only chat_render is used. A template may be used by
 * several threads. */
tawny_status chat_open(const tokenizer *tok, const char *source, size_t n, chat_template **out, tawny_error *err);
void chat_close(chat_template *t); /* NULL is fine */
bool chat_is_default(const chat_template *t);

enum { /* what a template asks for, as far as its names tell */
    CHAT_TOOLS = 1,    /* `tools`: offered tools reach the model */
    CHAT_THINKING = 2, /* `enable_thinking` or `thinking`: reasoning can be switched */
    CHAT_EFFORT = 4    /* `reasoning_effort` */
};
unsigned chat_wants(const chat_template *t);

typedef struct chat_request {
    const json_t *messages;        /* an array of objects */
    const json_t *tools;           /* an array, or NULL */
    /* an object of further variables, or NULL; they win over all others but messages */
    const json_t *extra;
    int thinking;                  /* 1 on, 0 off, -1 as the template has it: sets enable_thinking and thinking */
    bool no_generation_prompt;     /* the conversation as it stands, without the opening of an answer */
    const struct tm *now;          /* NULL: local time */
} chat_request;

/* The prompt as text. Errors: TAWNY_E_ARG (the request is malformed, or the template refuses the conversation), and
 * those of jinja_render. */
tawny_status chat_render(const chat_template *t, const chat_request *r, jinja_output *out, tawny_error *err);

/* The prompt as tokens, appended to out: BOS at the start exactly once where the model wants one. *thinks (may be
 * NULL) tells that the prompt ends inside an open <think>: the answer begins with reasoning. */
tawny_status chat_prompt(const chat_template *t, const chat_request *r, tok_vec *out, bool *thinks, tawny_error *err);

#endif
