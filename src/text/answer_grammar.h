/* Grammars of whole answers, in GBNF: what a model must write, in the form that its template speaks, for the answer to be
 * calls of the tools that are offered, with arguments that their schemas allow; or for its content to match a grammar
 * while reasoning may go before. text/toolcall.h reads such answers. */
#ifndef TEXT_ANSWER_GRAMMAR_H
#define TEXT_ANSWER_GRAMMAR_H

#include "gbnf.h"
#include "toolcall.h"

typedef enum call_variant {
    CALLS_JSON,      /* objects with name and arguments */
    CALLS_FUNCTIONS, /* <function=NAME><parameter=KEY> (Qwen3-Coder) */
    CALLS_KEYS,      /* NAME <arg_key>, <arg_value> (GLM) */
    CALLS_NAMED,     /* NAME[ARGS]{...} (Mistral), NAME before the object (DeepSeek V3.1) */
    CALLS_FENCED,    /* the object in a fence of ```json (DeepSeek V3, R1) */
    CALLS_SECOND     /* the format's second pair of markers */
} call_variant;

/* How the answers of a template look. */
typedef struct answer_style {
    answer_format format;
    call_variant variant;
    int thought; /* which markers reasoning stands between; -1: the template has none */
} answer_style;

answer_style answer_style_of(const char *source, size_t n); /* by the source of the template */

typedef struct answer_frame {
    answer_style style;
    bool thinks;              /* the prompt ended inside a thought */
    bool may_think;           /* the answer may begin with one */
    const gbnf_tokens *tokens; /* whose control tokens are named; NULL: markers are text */
} answer_frame;

typedef enum answer_must {
    ANSWER_MUST_CALL, /* nothing but calls */
    ANSWER_MAY_CALL   /* text, then perhaps calls; these are as they must be. With content: that, or calls */
} answer_must;

/* Something may stand around the content. */
bool answer_grammar_frames(const answer_frame *f);

/* Appends the grammar of answers whose content matches the grammar `content` (with a rule root). */
tawny_status answer_grammar_content(const answer_frame *f, const char *content, size_t n, buf *out, tawny_error *err);

/* Appends the grammar of answers with calls of tools [{"type", "function": {"name", "parameters", "strict"}}]: of the one
 * named `only`, or (NULL) any; several: more than one in an answer, where the format has that. With ANSWER_MAY_CALL
 * arguments of functions that are not strict may be any object, where the format writes them as JSON. content: the
 * grammar of answers without calls, NULL: any text. TAWNY_E_UNSUPPORTED, with a JSON pointer into tools,
 * where something cannot be enforced, TAWNY_E_ARG where tools are malformed. */
tawny_status answer_grammar_calls(const answer_frame *f, answer_must must, const json_t *tools, const char *only, bool several,
                                  const buf *content, buf *out, tawny_error *err);

/* The tools' form, whether calls are enforced or not: names of letters, digits, '_', '-', '.', each once, at most 64
 * characters; parameters that are objects. TAWNY_E_ARG with the place. */
tawny_status answer_tools_check(const json_t *tools, tawny_error *err);

#endif
