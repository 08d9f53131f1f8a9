/* Prompts to verify with: sentences put together from lists of words, so that a long one does not repeat itself and any
 * seed gives another. Their sense does not matter; that they read as English does, since a model is then sure of much and
 * unsure of some. */
#include "verify.h"

const char *const verify_tricky_texts[] = {
    "Hello, world! It's 2026-11-25; isn't that fine? I'd've said so.",
    "  two spaces,\ttabs\t\tand\n\nnewlines \r\n   at the end   ",
    "1234567890 3.14159 1,000,000 0xDEADBEEF 10^-5 50%",
    "na\xc3\xafve caf\xc3\xa9 \xe2\x80\x94 \xe2\x80\x9cquoted\xe2\x80\x9d \xc2\xbd \xc5\x81\xc3\xb3" "d\xc5\xba \xce\xb1\xce\xb2\xce\xb3",
    "\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x8c\xe4\xb8\x96\xe7\x95\x8c\xe3\x80\x82 \xe3\x81\x93\xe3\x82\x93\xe3\x81\xab\xe3\x81\xa1\xe3\x81\xaf "
    "\xec\x95\x88\xeb\x85\x95",
    "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 \xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7 \xe0\xa4\xa8\xe0\xa4\xae\xe0\xa4\xb8\xe0\xa5\x8d",
    "\xf0\x9f\xa6\x89 \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb \xf0\x9f\x87\xa9\xf0\x9f\x87\xaa e\xcc\x81",
    "int main(void) { return x->y[0] != '\\n' && ++i <= 10 ? a : b; } // done",
    "def f(x):\n    if x:\n        return {\"key\": [1, 2, None]}\n\treturn x**2\n",
    "HTTPServer camelCase snake_case SCREAMING_CASE kebab-case a.b.c/d?e=f&g#h user@example.org",
    "<b>tags</b> [link](http://example.org/a_b) *em* **strong** `code` ~~~ ### heading",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaa ........ ------ !!!??? ((((()))))",
    NULL,
};

typedef struct source {
    uint64_t state;
    buf *out;
} source;

static unsigned below(source *s, unsigned n)
{
    s->state = s->state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    return (unsigned)((s->state >> 33) % n);
}

#define WORD(s, list) buf_str((s)->out, (list)[below(s, sizeof(list) / sizeof *(list))])

static const char *const who[] = {
    "the old miller", "a young surveyor", "my neighbour", "the night watchman", "Eleanor", "the harbour master", "Doctor Lindqvist",
    "a travelling clockmaker", "the captain", "our teacher", "the committee", "a small owl", "the librarian", "Marcus", "the ferryman",
    "an engineer from the north", "the gardener", "the youngest of the sisters", "a colleague", "the astronomer", "the baker", "nobody"};
static const char *const did[] = {
    "looked for", "repaired", "described", "remembered", "carried", "measured", "had forgotten", "painted", "wrote about", "bought",
    "gave away", "could not find", "explained", "counted", "wanted to sell", "listened to", "kept a record of", "waited for", "broke"};
static const char *const what[] = {
    "the wooden bridge", "a letter from the capital", "the second edition of the map", "an old radio", "the weather of that week", "seven copper coins",
    "the river", "a box of lenses", "the results of the experiment", "his grandfather's watch", "the price of bread", "a field of barley",
    "the road to the coast", "the memory of the machine", "an unusual kind of stone", "the last train", "the lamp above the door",
    "a list of names", "the telescope", "her notes on birds", "a recipe for soup", "the engine", "the northern wall"};
static const char *const where[] = {
    "near the station", "in the valley", "on the third floor", "behind the church", "at the edge of the forest", "before sunrise",
    "during the long winter", "after the meeting", "in the spring of that year", "under the stairs", "by the window", "on a Thursday",
    "without saying a word", "for the first time", "with great care", "as everyone had expected", "in spite of the rain"};
static const char *const then[] = {
    "and then", "but", "because", "although", "while", "so that in the end", "and, to our surprise,", "which is why", "until", "whereas"};
static const char *const opening[] = {
    "In the morning", "Later", "As far as we know", "According to the report", "Once", "Nevertheless", "For this reason", "At noon",
    "To begin with", "Some years ago", "Of course", "In other words", "Meanwhile", "On the other hand", "It is said that"};
static const char *const units[] = {"kilometres", "kilograms", "degrees", "hours", "pages", "litres", "tokens", "steps"};

static void clause(source *s)
{
    WORD(s, who);
    buf_char(s->out, ' ');
    WORD(s, did);
    buf_char(s->out, ' ');
    WORD(s, what);
    if (below(s, 3)) {
        buf_char(s->out, ' ');
        WORD(s, where);
    }
}

static void sentence(source *s)
{
    switch (below(s, 9)) {
    case 0:
        buf_printf(s->out, "They counted %u ", 2 + below(s, 990));
        WORD(s, units);
        buf_printf(s->out, " in %u days, that is about %u a day", 2 + below(s, 30), 1 + below(s, 60));
        break;
    case 1:
        buf_str(s->out, "\"Did you know that ");
        clause(s);
        buf_str(s->out, "?\" asked ");
        WORD(s, who);
        break;
    default:
        WORD(s, opening);
        buf_str(s->out, below(s, 2) ? ", " : " ");
        clause(s);
        buf_char(s->out, ' ');
        WORD(s, then);
        buf_char(s->out, ' ');
        clause(s);
    }
    buf_str(s->out, below(s, 7) ? ". " : ".\n\n");
}

tawny_status verify_text(const tokenizer *tok, uint64_t seed, int32_t n, tok_vec *out, tawny_error *err)
{
    enum { STRETCH = 1 << 14 };
    buf text = {.max = (size_t)1 << 28};
    source s = {.state = seed * 2862933555777941757u + 3037000493u, .out = &text};
    tawny_status st = TAWNY_OK;
    do {
        size_t want = text.size + STRETCH;
        while (text.size < want && buf_ok(&text)) sentence(&s);
        out->n = 0;
        st = buf_ok(&text) ? tok_encode(tok, text.data, text.size, TOK_ADD_SPECIAL, out, err)
                           : err_set(err, TAWNY_E_LIMIT, "a text of %d tokens is too long for this tokenizer", n);
        if (st == TAWNY_OK && out->n == 0) st = err_set(err, TAWNY_E_UNSUPPORTED, "the model's vocabulary has no tokens for English");
    } while (st == TAWNY_OK && out->n < (size_t)n);
    buf_free(&text);
    return st;
}
