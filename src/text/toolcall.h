/* What a model's answer says: reasoning, text, and calls of tools, told apart while it streams.
 *
 * Text and reasoning are passed on as soon as they cannot be the beginning of a marker. Where a function that was offered is
 * called with a JSON object after its name, the call begins with that object, and its arguments are passed on as they come,
 * even if the answer ends or goes wrong in them; other calls are passed on when they are complete, and what looks like one
 * but is none is text. However the answer is cut into pieces, it comes out the same. Formats, as the models' own templates and documentation
 * give them:
 *   tags     <tool_call>...</tool_call> around JSON {"name", "arguments"} (Hermes, Qwen), around <function=NAME> with
 *            <parameter=KEY> (Qwen3-Coder), or around NAME with <arg_key>, <arg_value> (GLM-4.5)
 *   llama    the whole answer is JSON {"name", "parameters"}, several apart by ";" (Llama 3.x), perhaps after
 *            <|python_tag|>
 *   mistral  [TOOL_CALLS] before a JSON array, or before NAME[ARGS]{...}, again for each call
 *   deepseek markers <...tool calls begin...> around calls of a name and a JSON object (DeepSeek V3, R1, V3.1)
 *   dsml     <...DSML...function_calls> around <...invoke name="NAME"> with <...parameter name="KEY"> (DeepSeek V3.2)
 *   gemma    <|tool_call>call:NAME{KEY:VALUE}<tool_call|>, strings between two <|"|> (Gemma 4), or with other markers
 *            (FunctionGemma)
 *   lfm2     <|tool_call_start|>[NAME(KEY=VALUE)]<|tool_call_end|>, values as in Python
 *   granite  <|tool_call|> or <tool_call> before a JSON array (Granite 3)
 *   kimi     <|tool_calls_section_begin|> with functions.NAME:INDEX and a JSON object (Kimi K2)
 *   minimax  <minimax:tool_call> around <invoke name="NAME"> with <parameter name="KEY">
 *   nemotron <TOOLCALL>[...]</TOOLCALL>, command <|START_ACTION|>[...]<|END_ACTION|>: JSON
 *   harmony  <|channel|>analysis|commentary|final<|message|>... with "to=functions.NAME" in a call's header (gpt-oss)
 * Except in harmony, an answer may begin with reasoning in <think>...</think>, or between the markers that Mistral, Gemma
 * and Command use. */
#ifndef TEXT_TOOLCALL_H
#define TEXT_TOOLCALL_H

#include <jansson.h>

#include "../base/buf.h"
#include "../base/error.h"

typedef enum answer_format {
    ANSWER_PLAIN, ANSWER_TAGS, ANSWER_LLAMA, ANSWER_MISTRAL, ANSWER_HARMONY, ANSWER_DEEPSEEK, ANSWER_DSML, ANSWER_GEMMA,
    ANSWER_LFM2, ANSWER_GRANITE, ANSWER_KIMI, ANSWER_MINIMAX, ANSWER_NEMOTRON, ANSWER_COMMAND
} answer_format;

/* By the markers in the source of the model's chat template. */
answer_format answer_format_of(const char *source, size_t n);

typedef enum answer_kind { ANSWER_TEXT, ANSWER_REASONING } answer_kind;

typedef struct answer_events {
    void *user;
    /* whole UTF-8 characters where the input was so */
    void (*text)(void *user, answer_kind kind, const char *text, size_t n);
    void (*call)(void *user, const char *name);                         /* a call begins */
    /* Of its arguments: all together a JSON object without blanks between tokens, as the model wrote it. */
    void (*arguments)(void *user, const char *text, size_t n);
    void (*call_end)(void *user, bool whole);                           /* not whole: the object has no end */
} answer_events;

typedef struct answer answer;

/* tools: as offered to the model, an array, borrowed; NULL: no calls are looked for. thinks: the prompt ended inside
 * <think>. NULL when out of memory. */
answer *answer_new(answer_format format, const json_t *tools, bool thinks, const answer_events *events);
void answer_free(answer *a); /* NULL is fine */

/* The next piece of the answer, control tokens written out. TAWNY_E_LIMIT where a call is longer than 16 MiB. */
tawny_status answer_push(answer *a, const char *text, size_t n, tawny_error *err);
tawny_status answer_end(answer *a, tawny_error *err); /* the answer is complete: what was held back comes out */
/* The arguments of a call as an object; of those that have no end, the members that have. New. */
json_t *answer_arguments(const char *text, size_t n);
size_t answer_calls(const answer *a);                 /* calls so far */
size_t answer_thought(const answer *a);               /* bytes up to the end of the last thought, 0 where there was none */

#endif
