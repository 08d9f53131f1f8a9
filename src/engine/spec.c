/* Speculation: texts with their guesses, and for how long to guess. */
#include "spec.h"

#include <stdlib.h>
#include <string.h>

#include "spec_int.h"

/* Who guesses, told apart by how often they are right: matches of two, three, four and more, eight and more tokens; the
 * draft model. */
enum { SHORT, TRIPLE, LONG, LONGEST, DRAFT, SOURCES };

/* Guesses tried and right, the older the less they count. */
typedef struct record {
    double tried, right;
} record;

typedef struct stream {
    tawny_token *text; /* [n_ctx + SPEC_MOST] */
    int32_t n, guessed; /* guesses: [guessed] after the text */
    int source;        /* of these */
    ngram ngram;
    record record[SOURCES];
    spec_counts counts;
} stream;

struct spec {
    spec_params p;
    stream *streams; /* [n] */
    draft *draft;
    draft_ask *asks; /* [n] */
    int *of;         /* [n]: whose */
    int n;
    int32_t n_ctx, n_vocab;
    double draft_cost; /* of a guess of the draft model, as a part of a step's */
    /* Weighted sums over steps of tokens x and time y: 1, x, xx, y, xy. */
    double w, x, xx, y, xy;
    tawny_error trouble;
};

static void stream_free(stream *t)
{
    free(t->text);
    ngram_free(&t->ngram);
}

static tawny_status make_draft(spec *s, const tawny_model *m, tawny_error *err)
{
    tawny_engine_params engine = s->p.engine;
    if (!engine.n_ctx || engine.n_ctx > s->n_ctx) engine.n_ctx = s->n_ctx;
    s->draft_cost = (double)tawny_model_bytes_per_token(s->p.draft) / (double)tawny_model_bytes_per_token(m);
    return draft_new(s->p.draft, &engine, s->n, s->n_vocab, s->p.p_min, &s->draft, err);
}

tawny_status spec_new(const tawny_model *m, const spec_params *p, int n, int32_t n_ctx, spec **out, tawny_error *err)
{
    *out = NULL;
    if (p->n_max < 0 || p->n_max > SPEC_MOST) return err_set(err, TAWNY_E_ARG, "draft: %d tokens; 0 to %d can be", p->n_max, SPEC_MOST);
    spec *s = calloc(1, sizeof *s);
    if (!s) return err_nomem(err);
    s->p = *p;
    s->n = n;
    s->n_ctx = n_ctx;
    s->n_vocab = tawny_model_n_vocab(m);
    s->streams = calloc((size_t)n, sizeof *s->streams);
    s->asks = calloc((size_t)n, sizeof *s->asks);
    s->of = calloc((size_t)n, sizeof *s->of);
    tawny_status st = s->streams && s->asks && s->of ? TAWNY_OK : err_nomem(err);
    for (int i = 0; st == TAWNY_OK && i < n; i++) {
        stream *t = &s->streams[i];
        t->text = malloc(((size_t)n_ctx + SPEC_MOST) * sizeof *t->text);
        if (!t->text || (p->ngram && !ngram_new(&t->ngram, n_ctx))) st = err_nomem(err);
    }
    if (st == TAWNY_OK && p->draft) st = make_draft(s, m, err);
    if (st != TAWNY_OK) {
        spec_free(s);
        return st;
    }
    *out = s;
    return TAWNY_OK;
}

void spec_free(spec *s)
{
    if (!s) return;
    draft_free(s->draft);
    for (int i = 0; s->streams && i < s->n; i++) stream_free(&s->streams[i]);
    free(s->streams);
    free(s->asks);
    free(s->of);
    free(s);
}

/* ---- texts ---- */

void spec_begin(spec *s, int i, const tawny_token *prompt, int32_t n)
{
    stream *t = &s->streams[i];
    if (n > s->n_ctx) n = s->n_ctx;
    memcpy(t->text, prompt, (size_t)n * sizeof *prompt);
    t->n = n;
    t->guessed = 0;
    t->counts = (spec_counts){0};
    if (s->p.ngram) ngram_clear(&t->ngram);
    memset(t->record, 0, sizeof t->record);
}

const tawny_token *spec_text(const spec *s, int i, int32_t *n)
{
    *n = s->streams[i].n;
    return s->streams[i].text;
}

bool spec_add(spec *s, int i, tawny_token token)
{
    stream *t = &s->streams[i];
    bool right = t->guessed > 0 && t->text[t->n] == token;
    if (t->guessed > 0) {
        t->record[t->source].tried++;
        t->record[t->source].right += right;
        t->counts.right += right;
    }
    t->guessed = right ? t->guessed - 1 : 0;
    if (t->n < s->n_ctx) t->text[t->n++] = token;
    return right;
}

spec_counts spec_counts_of(const spec *s, int i) { return s->streams[i].counts; }
const char *spec_trouble(const spec *s) { return s->trouble.code != TAWNY_OK ? s->trouble.message : NULL; }

/* ---- how long ---- */

void spec_took(spec *s, int tokens, double ms)
{
    const double keep = 0.97;
    double x = tokens;
    s->w = keep * s->w + 1;
    s->x = keep * s->x + x;
    s->xx = keep * s->xx + x * x;
    s->y = keep * s->y + ms;
    s->xy = keep * s->xy + x * ms;
}

/* What a further token costs, as a part of a step with one: the slope of a line through the times of steps, which a guess
 * of a fifth stands beside while there are few or all had the same number of tokens. */
static double token_cost(const spec *s)
{
    const double usual = 0.2, least = 0.01, doubt = 8;
    if (s->w < 1 || s->y <= 0) return usual;
    double mean_x = s->x / s->w, mean_y = s->y / s->w;
    double varies = s->xx - s->x * mean_x, slopes = s->xy - s->x * mean_y;
    double unit = mean_y / (1 + usual * (mean_x - 1)); /* a step with one token, by the guess */
    double slope = (slopes + doubt * usual * unit) / (varies + doubt), one = mean_y - slope * (mean_x - 1);
    if (one <= 0) return 1;
    return slope / one < least ? least : slope / one > 1 ? 1 : slope / one;
}

/* How likely the source's next guess is right. */
static double chance(const record *r, int source)
{
    static const double usual[SOURCES] = {0.3, 0.5, 0.7, 0.85, 0.7};
    const double doubt = 2;
    return (r->right + doubt * usual[source]) / (r->tried + doubt);
}

/* The length that gives the most tokens for the time: with k guesses, each right with chance p as long as all before it
 * were, 1 + p + ... + p^k come of the sequence's step, and one of each sequence beside it. At least `least`. */
static int best_length(double p, double cost, double extra, int beside, int least, int most)
{
    double tokens = 1 + beside, time = 1 + cost * beside, best = tokens / time, next = 1;
    int length = 0;
    if (most < least) return 0;
    for (int k = 1; k <= most; k++) {
        next *= p;
        tokens += next;
        time += cost + extra;
        if (k > least && tokens / time <= best) continue;
        best = tokens / time;
        length = k;
    }
    return length;
}

/* ---- guesses ---- */

static int match_source(int length) { return length >= 8 ? LONGEST : length >= 4 ? LONG : length == 3 ? TRIPLE : SHORT; }

/* What followed before, and after that, where a match ends near the text's own end, what the guess itself says. */
static int guess_by_text(const spec *s, stream *t, double cost, int beside, int most)
{
    int length;
    int32_t from = s->p.ngram ? ngram_find(&t->ngram, t->text, t->n, &length) : -1;
    if (from < 0) return 0;
    t->source = match_source(length);
    int k = best_length(chance(&t->record[t->source], t->source), cost, 0, beside, s->p.n_min, most);
    for (int j = 0; j < k; j++) t->text[t->n + j] = t->text[from + j];
    return k;
}

/* Old records count less, so that a source gets another chance. */
static void fade(stream *t)
{
    const double keep = 0.95;
    for (int i = 0; i < SOURCES; i++) {
        t->record[i].tried *= keep;
        t->record[i].right *= keep;
    }
}

static int room_of(const spec *s, const stream *t, const spec_ask *a)
{
    int most = s->p.n_max < a->most ? s->p.n_max : a->most;
    return most < s->n_ctx - t->n ? most : s->n_ctx - t->n;
}

/* Asks the draft model for those that have no guess. */
static void ask_draft(spec *s, spec_ask *asks, int n, double cost, int32_t room)
{
    int n_asks = 0;
    for (int i = 0; i < n; i++) {
        stream *t = &s->streams[asks[i].i];
        int most = room_of(s, t, &asks[i]);
        if (asks[i].n || !most) continue;
        int k = best_length(chance(&t->record[DRAFT], DRAFT), cost, s->draft_cost, n - 1, s->p.n_min, most);
        if (!k) continue;
        s->of[n_asks] = i;
        s->asks[n_asks++] = (draft_ask){.text = t->text, .n = t->n, .stream = asks[i].i, .most = k, .sampler = asks[i].sampler,
                                        .state = *asks[i].state, .out = t->text + t->n};
    }
    if (draft_guess(s->draft, s->asks, n_asks, room, &s->trouble) != TAWNY_OK) {
        draft_free(s->draft);
        s->draft = NULL;
        return;
    }
    for (int i = 0; i < n_asks; i++) {
        asks[s->of[i]].n = s->asks[i].n_out < s->p.n_min ? 0 : s->asks[i].n_out;
        s->streams[s->asks[i].stream].source = DRAFT;
    }
}

void spec_guess(spec *s, spec_ask *asks, int n, int32_t room)
{
    double cost = token_cost(s);
    for (int i = 0; i < n; i++) {
        stream *t = &s->streams[asks[i].i];
        fade(t);
        asks[i].n = guess_by_text(s, t, cost, n - 1, room_of(s, t, &asks[i]));
    }
    if (s->draft) ask_draft(s, asks, n, cost, room);
    for (int i = 0; i < n; i++) {
        stream *t = &s->streams[asks[i].i];
        t->guessed = asks[i].n;
        t->counts.guessed += (uint64_t)asks[i].n;
    }
}

static bool unused(const tokenizer *t, uint32_t i) { return (tok_attr(t, (tawny_token)i) & TOK_UNUSED) != 0; }

tawny_status spec_same_tokens(const tokenizer *of_model, const tokenizer *of_draft, const char *draft_path, tawny_error *err)
{
    uint32_t n = tok_n_vocab(of_model), n_draft = tok_n_vocab(of_draft);
    if (tok_kind_of(of_model) != tok_kind_of(of_draft))
        return err_set(err, TAWNY_E_ARG, "%s: the draft model's tokenizer is %s, the model's %s", draft_path, tok_model(of_draft), tok_model(of_model));
    for (uint32_t i = 0; i < n || i < n_draft; i++) {
        size_t a = 0, b = 0;
        const char *x = tok_text(of_model, (tawny_token)i, &a), *y = tok_text(of_draft, (tawny_token)i, &b);
        if (x && y && a == b && memcmp(x, y, a) == 0) continue;
        if ((!x && unused(of_draft, i)) || (!y && unused(of_model, i))) continue;
        if (!x || !y)
            return err_set(err, TAWNY_E_ARG, "%s: the draft model has %u tokens, the model %u", draft_path, n_draft, n);
        return err_set(err, TAWNY_E_ARG, "%s: the draft model's token %u is \"%.*s\", the model's \"%.*s\"", draft_path, i,
                       (int)(b < 60 ? b : 60), y, (int)(a < 60 ? a : 60), x);
    }
    return TAWNY_OK;
}
