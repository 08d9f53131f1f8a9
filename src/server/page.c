#include "page.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http.h"

typedef struct page_part {
    const char *name; /* below "/page/"; "": the page itself */
    const char *type;
    const char *tag, *tag_gzip; /* ETag: of what is in it, and in which coding */
    const unsigned char *data, *gzip;
    size_t size, gzip_size;
} page_part;

#include <page.inc> /* page_parts[], ended by one without a name: made of src/server/page, or empty where that was left out */

/* Nothing but the page's own files and this server can be reached from it; no markup can become a script. */
static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
                             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                             "require-trusted-types-for 'script'; trusted-types dompurify";

static const page_part *find(const char *name)
{
    const page_part *p = page_parts;
    while (p->name && strcmp(p->name, name) != 0) p++;
    return p->name ? p : NULL;
}

static const char *skip(const char *p) { return p + strspn(p, " \t"); }

/* Whether a header's list ("text/html, text/plain;q=0.5") names it, and not with a quality of 0. */
static bool lists(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; p; p = strchr(p, ',')) {
        p = skip(p + (*p == ','));
        if (strncasecmp(p, name, n) != 0) continue;
        const char *q = skip(p + n);
        if (*q == 0 || *q == ',') return true;
        if (*q != ';') continue;
        q = skip(q + 1);
        if (strncasecmp(q, "q=", 2) != 0 || strtod(q + 2, NULL) > 0) return true;
    }
    return false;
}

/* Whether If-None-Match knows it: a list of tags, weak ones too, or a star. */
static bool known(const char *list, const char *tag)
{
    if (!list) return false;
    return strcmp(skip(list), "*") == 0 || strstr(list, tag);
}

static void send_part(exchange *x, const page_part *p)
{
    bool gzip = p->gzip_size && lists(http_header(x, "Accept-Encoding"), "gzip");
    const char *tag = gzip ? p->tag_gzip : p->tag;
    reply_field(x, "ETag", tag);
    reply_field(x, "Cache-Control", "no-cache"); /* kept, and asked for again: another build has another tag */
    reply_field(x, "Vary", *p->name ? "Accept-Encoding" : "Accept, Accept-Encoding");
    reply_field(x, "Referrer-Policy", "no-referrer");
    reply_field(x, "Cross-Origin-Resource-Policy", "same-origin");
    if (!*p->name) reply_field(x, "Content-Security-Policy", policy);
    if (known(http_header(x, "If-None-Match"), tag)) {
        reply_text(x, 304, p->type, "", 0);
        return;
    }
    if (gzip) reply_field(x, "Content-Encoding", "gzip");
    reply_constant(x, 200, p->type, (const char *)(gzip ? p->gzip : p->data), gzip ? p->gzip_size : p->size);
}

static void say(exchange *x, int status, const char *text)
{
    reply_field(x, "Vary", "Accept");
    reply_text(x, status, "text/plain; charset=utf-8", text, strlen(text));
}

void page_root(exchange *x)
{
    const page_part *p = find("");
    bool wants_page = lists(http_header(x, "Accept"), "text/html");
    if (wants_page && p) {
        send_part(x, p);
    } else if (!atomic_load(&x->sv->ready)) {
        x->retry_after = 1;
        reply_error(x, 503, "unavailable_error", "Loading model", NULL);
    } else if (wants_page) {
        say(x, 404, "tawny is running; it was built without its page (npm bundles that: src/server/page/README.md)\n");
    } else {
        say(x, 200, "Ollama is running"); /* what Ollama's clients look for, to the letter */
    }
}

void page_file(exchange *x)
{
    const page_part *p = find(http_rest(x));
    if (p && *p->name)
        send_part(x, p);
    else
        reply_error(x, 404, NULL, "there is no such path", NULL);
}
