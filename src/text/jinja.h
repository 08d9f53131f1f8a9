/* Jinja templates as Hugging Face's transformers render chat templates: an immutable sandbox with trim_blocks,
 * lstrip_blocks, loop controls, the `generation` tag (its body is rendered as it stands), raise_exception,
 * strftime_now and a tojson that is Python's json.dumps. A template sees its context and nothing else. Source: the
 * Jinja 3.1 documentation (template designer), Python's language reference; behaviour compared with Jinja 3.1.6.
 *
 * Provenance: every byte of the output is either trusted (the template's own text, and context variables that the
 * caller names as trusted) or not (all other text from the context: what users and models wrote). The marks survive
 * joining, slicing, changes of case, tojson and all other string work, so a tokenizer can look for control tokens in
 * trusted bytes alone. Segments are no token boundaries: text between two control tokens is to be tokenized as a
 * whole.
 *
 * Templates and contexts may be hostile: work, memory, depth and output are limited. Errors name the template's
 * line. */
#ifndef TEXT_JINJA_H
#define TEXT_JINJA_H

#include <jansson.h>
#include <time.h>

#include "../base/error.h"

typedef struct jinja jinja; /* a parsed template: immutable, may be rendered by several threads at once */

/* Parses n bytes (the source is copied). TAWNY_E_FORMAT where it is no template, TAWNY_E_LIMIT where it is too large
 * or nested too deeply. */
tawny_status jinja_parse(const char *source, size_t n, jinja **out, tawny_error *err);
void jinja_free(jinja *t); /* NULL is fine */

typedef struct jinja_options {
    const struct tm *now;       /* the clock of strftime_now; NULL: local time */
    const char *const *trusted; /* NULL-terminated names of context variables whose text is trusted; NULL: none */
    /* Trusts single strings from the context: called with the key that holds it ("" in lists); NULL: none. */
    bool (*trust)(const char *key, const char *text, size_t n);
    uint64_t max_steps;         /* 0: chosen from the size of the context */
    size_t max_bytes;           /* memory while rendering; 0: chosen from the size of the context */
} jinja_options;

typedef struct jinja_segment {
    size_t start, n; /* bytes of the output's text */
    bool trusted;
} jinja_segment;

typedef struct jinja_output {
    char *text; /* n bytes and a NUL */
    size_t n;
    jinja_segment *segments; /* in order, gapless, neighbours differ in trust, none is empty */
    size_t n_segments;
} jinja_output;

/* Renders with the members of the object context as variables; opt may be NULL. context is not changed and must not
 * change meanwhile. TAWNY_E_ARG where the template itself refuses (raise_exception: the message is the template's),
 * TAWNY_E_FORMAT for other errors in the template or between it and the context, TAWNY_E_LIMIT, TAWNY_E_UNSUPPORTED.
 * On failure *out is empty. */
tawny_status jinja_render(const jinja *t, const json_t *context, const jinja_options *opt, jinja_output *out,
                          tawny_error *err);
void jinja_output_free(jinja_output *out); /* and back to empty */

/* Whether the template's source has a name, attribute or string literal `word`: what a template can do is found this
 * way (tools, enable_thinking, reasoning_content ...). */
bool jinja_mentions(const jinja *t, const char *word);

#endif
