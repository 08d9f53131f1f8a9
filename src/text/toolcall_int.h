/* Inside toolcall: what reads the calls that stand between two markers. */
#ifndef TEXT_TOOLCALL_INT_H
#define TEXT_TOOLCALL_INT_H

#include "toolcall.h"

/* Calls found in the text between markers, in order. */
typedef struct found_call {
    char name[128];
    json_t *arguments; /* an object */
} found_call;

typedef struct found {
    const json_t *tools; /* as offered: how bare values are typed */
    found_call *call;
    size_t n, cap;
} found;

typedef struct text_span {
    const char *p;
    size_t n;
} text_span;

/* Reads all of s; false where it is no call, or not all of it is calls: what was found does not count then. */
typedef bool call_reader(found *f, text_span s);

/* Where the arguments of a call begin, if they are a JSON object that follows the name. */
typedef struct call_head {
    char name[128];
    size_t at;     /* of the opening brace */
    size_t around; /* JSON objects that they stand in */
} call_head;

/* MORE: it cannot be told yet; NONE: whatever follows, the call can be read only when it is whole. */
typedef enum head_state { HEAD_MORE, HEAD_NONE, HEAD_FOUND } head_state;
typedef head_state head_reader(text_span s, call_head *out);

/* A format's markers; close NULL: to the end of the answer, whose readers may leave the marker in. */
typedef struct call_marks {
    const char *open, *close;
    call_reader *read;
    head_reader *head; /* of a call after `open`, or after another one; NULL: arguments are no JSON object */
    const char *tail;  /* what ends a call; NULL: the ends of the objects around the arguments */
} call_marks;

/* NULL-terminated by open: the markers of a format, the likeliest first. */
const call_marks *call_marks_of(answer_format f);
extern const call_marks call_marks_llama; /* Llama 3.x: the whole answer, which may begin with calls */

bool call_read_json(found *f, text_span s); /* an object, or an array of them */

/* toolcall_head.c, by format */
head_reader call_head_json, call_head_llama, call_head_mistral, call_head_deepseek, call_head_kimi, call_head_body;

/* The way through a JSON value with brackets, which may come in pieces. */
typedef struct json_walk {
    size_t depth;
    bool text, escaped, ended; /* text: in a string */
} json_walk;

/* How many of the n bytes belong to the value; ended is set where the last bracket closes, and, with depth > 0, where
 * something stands that JSON does not have. out: gets them without blanks between tokens, and with control characters in
 * strings escaped; may be NULL. */
size_t json_walk_on(json_walk *w, const char *p, size_t n, buf *out);

void found_clear(found *f);

/* Takes ownership of arguments; NULL is an empty object. False where the name is none or memory is short. */
bool found_add(found *f, text_span name, json_t *arguments);

/* A literal as Python writes it, or, with `quote`, as Gemma does: strings between two of `quote`, keys bare. s is left
 * behind it. NULL where there is none. */
json_t *literal_read(text_span *s, const char *quote);
/* KEY=LITERAL, ... or, with quote, KEY:LITERAL, ... up to `end`, which is taken too. An object, or NULL. */
json_t *literal_arguments(text_span *s, const char *quote, char end);

static inline bool text_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
text_span text_trim(text_span s);
bool text_name(text_span s, char *out, size_t size); /* s without blanks around, ended by 0; false where that is none, or too long */
/* s begins with `word`: it is taken off. */
bool text_take(text_span *s, const char *word);
/* Takes what stands before `marker` and the marker off s. */
bool text_take_to(text_span *s, const char *marker, text_span *out);

/* Markers that readers and heads share. */
#define BAR "\xef\xbd\x9c" /* U+FF5C, of DeepSeek's markers */
#define LOW "\xe2\x96\x81" /* U+2581 */
#define DEEPSEEK_MARK(x) "<" BAR "tool" LOW x BAR ">"
#define DEEPSEEK_BEGIN DEEPSEEK_MARK("call" LOW "begin")
#define DEEPSEEK_END DEEPSEEK_MARK("call" LOW "end")
#define DEEPSEEK_SEP DEEPSEEK_MARK("sep")
#define KIMI_BEGIN "<|tool_call_begin|>"
#define KIMI_ARGUMENTS "<|tool_call_argument_begin|>"
#define KIMI_END "<|tool_call_end|>"
void text_kimi_name(text_span *name); /* "functions.NAME:INDEX" becomes NAME */

#endif
