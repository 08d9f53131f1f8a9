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

/* A format's markers; close NULL: to the end of the answer, whose readers may leave the marker in. */
typedef struct call_marks {
    const char *open, *close;
    call_reader *read;
} call_marks;

/* NULL-terminated by open: the markers of a format, the likeliest first. */
const call_marks *call_marks_of(answer_format f);
/* Llama 3.x: the whole answer; true where it begins with calls. */
bool call_read_llama(found *f, text_span s);

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
/* s begins with `word`: it is taken off. */
bool text_take(text_span *s, const char *word);

#endif
