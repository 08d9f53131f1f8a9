#include "generate.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../engine/cost.h"
#include "terminal.h"

enum { PIECE = 32 << 20 }; /* bytes between two looks at the clock while a file is read */

/* The share of a tensor's pages that are in memory, from a few samples. */
static double resident(const gguf_tensor *t, size_t page)
{
    const size_t samples = 16;
    int in = 0;
    for (size_t i = 0; i < samples; i++) {
        unsigned char there = 0;
        uintptr_t at = ((uintptr_t)t->data + t->bytes / samples * i) / page * page;
        in += mincore((void *)at, 1, &there) == 0 && (there & 1);
    }
    return (double)in / (double)samples;
}

/* Brings a file that is not in memory there with a bar, rather than by faults within the first prompt. A
 * model larger than the memory that is free is left to the faults, and so are tensors of which tokens take single rows. */
static void read_in(const tawny_model *m)
{
    const gguf *g = m->m.file;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = gguf_tensor_count(g);
    double total = 0, missing = 0, done = 0;
    for (size_t i = 0; i < n; i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (cost_use_of(m, t) != COST_ALL) continue;
        total += (double)t->bytes;
        missing += (double)t->bytes * (1 - resident(t, page));
    }
    double room = (double)sysconf(_SC_AVPHYS_PAGES) * (double)page;
    if (missing < 64e6 || missing > room) return;
    term_bar bar;
    term_bar_start(&bar, "loading");
    for (size_t i = 0; i < n && !term_interrupted(); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (cost_use_of(m, t) != COST_ALL) continue;
        uintptr_t from = (uintptr_t)t->data / page * page, to = (uintptr_t)t->data + t->bytes;
        for (uintptr_t at = from; at < to && !term_interrupted(); at += PIECE) {
            size_t size = to - at < PIECE ? to - at : PIECE;
            if (madvise((void *)at, size, MADV_POPULATE_READ) != 0) goto done; /* an older kernel, or a lost file */
            done += (double)size;
            term_bar_set(&bar, done / total, NULL);
        }
    }
done:
    term_bar_end(&bar);
}

/* The draft model, and who asks it and the text. */
static tawny_status open_spec(generator *g, const engine_opts *e, const spec_opts *o, tawny_error *err)
{
    spec_params p = o->p;
    tokenizer *tok = NULL;
    tawny_status st = TAWNY_OK;
    p.engine = e->params;
    if (!p.ngram && !o->draft) return st;
    if (o->draft) {
        st = tawny_model_open_as(o->draft, e->load, &g->draft, err);
        if (st == TAWNY_OK) st = tok_open(g->draft->m.file, &tok, err);
        if (st == TAWNY_OK) st = spec_same_tokens(g->tok, tok, o->draft, err);
        tok_close(tok);
        p.draft = g->draft;
    }
    return st == TAWNY_OK ? spec_new(g->model, &p, 1, tawny_engine_n_ctx(g->engine), &g->spec, err) : st;
}

int generator_open(generator *g, const engine_opts *e, const spec_opts *p, sampler_opts *s, const char *command, bool fingerprint)
{
    tawny_error err;
    *g = (generator){.sampling = s};
    tawny_status st = engine_opts_open(e, &g->model, &err);
    if (st == TAWNY_OK) st = tok_open(g->model->m.file, &g->tok, &err);
    if (st != TAWNY_OK) return cli_fail_err(&err);
    int code = sampler_opts_resolve(s, command, g->tok);
    if (code >= 0) return code;
    read_in(g->model);
    st = tawny_engine_new(g->model, &e->params, &g->engine, &err);
    if (st == TAWNY_OK) st = tawny_session_new(g->engine, &g->session, &err);
    if (st == TAWNY_OK) st = open_spec(g, e, p, &err);
    if (st == TAWNY_OK && fingerprint) st = tawny_fingerprint_new(g->model, &g->fingerprint, &err);
    if (st == TAWNY_OK)
        st = sampler_opts_new(s, g->tok, (size_t)tawny_engine_n_ctx(g->engine), &g->sampler, &err);
    return st == TAWNY_OK ? -1 : cli_fail_err(&err);
}

void generator_close(generator *g)
{
    constraint_close(&g->constraint);
    sampler_free(g->sampler);
    tawny_fingerprint_free(g->fingerprint);
    spec_free(g->spec);
    tawny_session_free(g->session);
    tawny_engine_free(g->engine);
    tok_close(g->tok);
    tawny_model_close(g->model);
    tawny_model_close(g->draft);
    *g = (generator){0};
}

tawny_status generator_reseed(generator *g, tawny_error *err)
{
    sampler *next;
    g->sampling->p.seed = sampler_seed(g->sampler) + 1;
    tawny_status st =
        sampler_opts_new(g->sampling, g->tok, (size_t)tawny_engine_n_ctx(g->engine), &next, err);
    if (st != TAWNY_OK) return st;
    sampler_free(g->sampler);
    g->sampler = next;
    return TAWNY_OK;
}

typedef struct reading {
    term_bar bar;
    int32_t from;
} reading;

static bool show_reading(void *user, int32_t done, int32_t total)
{
    reading *r = user;
    double now = term_seconds() - r->bar.since;
    char rate[32];
    snprintf(rate, sizeof rate, "%.0f tok/s", now > 0 ? (done - r->from) / now : 0);
    if (done < total) term_bar_set(&r->bar, (double)(done - r->from) / (total - r->from), rate);
    return !term_interrupted();
}

/* The prompt into the session. */
static tawny_status read_prompt(generator *g, const tok_vec *prompt, generate_stats *stats, tawny_error *err)
{
    int32_t n = (int32_t)prompt->n, have, same = 0;
    const tawny_token *old = tawny_session_tokens(g->session, &have);
    while (same < n && same < have && old[same] == prompt->v[same]) same++;
    reading r = {.from = same};
    term_bar_start(&r.bar, "reading");
    double t0 = term_seconds();
    tawny_status st = tawny_session_sync(g->session, prompt->v, n, show_reading, &r, err);
    stats->n_prompt = n;
    stats->n_read = n - same;
    stats->read_s = term_seconds() - t0;
    term_bar_end(&r.bar);
    return st;
}

/* The next token after n others, whose logits these are. */
static tawny_status next_token(generator *g, sampler_state *state, const float *logits, int32_t n, tawny_token *t, tawny_error *err)
{
    int32_t all;
    const tawny_token *history = tawny_session_tokens(g->session, &all);
    if (g->fingerprint) tawny_fingerprint_add(g->fingerprint, logits, tok_n_vocab(g->tok));
    sampler_input in = {.logits = logits, .history = history, .n_history = (size_t)n, .position = (uint64_t)n};
    tawny_status st = constraint_allow(&g->constraint, &in, err);
    if (st == TAWNY_OK) st = sampler_sample(g->sampler, state, &in, t, err);
    return st == TAWNY_OK ? constraint_accept(&g->constraint, *t, err) : st;
}

/* A step with the text's last tokens and guesses after them, at most so many. */
static tawny_status guess(generator *g, const sampler_state *state, int most, const float **logits, tawny_error *err)
{
    int32_t n, have;
    const tawny_token *text = spec_text(g->spec, 0, &n);
    tawny_session_tokens(g->session, &have);
    if (have >= n) have = tawny_session_go_back(g->session, n - 1);
    int room = tawny_engine_n_ubatch(g->engine) - (n - have);
    spec_ask ask = {.most = most < room ? most : room, .sampler = g->sampler, .state = state};
    spec_guess(g->spec, &ask, 1, tawny_engine_n_ubatch(g->engine));
    if (ask.n) tawny_session_mark(g->session);
    tawny_step item = {.session = g->session, .tokens = text + have, .n = n - have + ask.n, .n_logits = 1 + ask.n};
    double start = term_seconds();
    tawny_status st = tawny_engine_step(g->engine, &item, 1, err);
    spec_took(g->spec, item.n, 1e3 * (term_seconds() - start));
    *logits = item.logits;
    return st;
}

/* The logits after one more token: those that are there, where it was guessed. */
static tawny_status advance(generator *g, const sampler_state *state, tawny_token t, int most, const float **logits,
                            generate_stats *stats, tawny_error *err)
{
    stats->n_steps++;
    if (g->spec && spec_add(g->spec, 0, t)) {
        *logits += tok_n_vocab(g->tok);
        return TAWNY_OK;
    }
    stats->n_passes++;
    if (g->spec) return guess(g, state, most, logits, err);
    tawny_status st = tawny_session_append(g->session, &t, 1, NULL, err);
    *logits = tawny_session_logits(g->session);
    return st;
}

/* Guesses that are left over go. */
static void forget(generator *g, generate_stats *stats)
{
    int32_t n;
    if (!g->spec) return;
    spec_text(g->spec, 0, &n);
    tawny_session_truncate(g->session, n);
    stats->guesses = spec_counts_of(g->spec, 0);
}

static void give(buf *text, generate_put *put, void *user)
{
    if (text->size) put(user, text->data, text->size);
    buf_clear(text);
}

tawny_status generate(generator *g, const tok_vec *prompt, int max, generate_put *put, void *user,
                      generate_stats *stats, generate_end *end, tawny_error *err)
{
    *stats = (generate_stats){0};
    *end = GENERATE_LIMIT;
    if (prompt->n == 0) return err_set(err, TAWNY_E_ARG, "the prompt is empty: there are no tokens to go on from");
    if (prompt->n > INT32_MAX) return err_set(err, TAWNY_E_LIMIT, "the prompt has %zu tokens", prompt->n);
    term_interrupt_clear();
    tawny_status st = read_prompt(g, prompt, stats, err);
    if (term_interrupted()) {
        *end = GENERATE_INTERRUPTED;
        return TAWNY_OK;
    }
    if (st != TAWNY_OK) return st;

    buf text = {0};
    tok_stream stream = {0};
    sampler_state state;
    sampler_state_init(g->sampler, &state);
    constraint_start(&g->constraint);
    const float *logits = tawny_session_logits(g->session);
    if (g->spec) spec_begin(g->spec, 0, prompt->v, (int32_t)prompt->n);
    double t0 = term_seconds();
    for (int room = tawny_engine_n_ctx(g->engine) - (int)prompt->n; max < 0 || stats->n_answer < max; room--) {
        tawny_token t;
        st = next_token(g, &state, logits, (int32_t)prompt->n + stats->n_answer, &t, err);
        if (st != TAWNY_OK) break;
        if (tok_is_eog(g->tok, t)) {
            *end = GENERATE_DONE;
            break;
        }
        stats->n_answer++;
        if (!tok_stream_push(g->tok, &stream, t, 0, &text)) {
            st = err_nomem(err);
            break;
        }
        give(&text, put, user);
        if (max >= 0 && stats->n_answer >= max) break;
        if (room == 0 || term_interrupted()) {
            *end = room == 0 ? GENERATE_FULL : GENERATE_INTERRUPTED;
            break;
        }
        st = advance(g, &state, t, max < 0 ? SPEC_MOST : max - stats->n_answer - 1, &logits, stats, err);
        if (st != TAWNY_OK) break;
    }
    forget(g, stats);
    stats->answer_s = term_seconds() - t0;
    if (tok_stream_flush(&stream, &text)) give(&text, put, user);
    buf_free(&text);
    return st;
}

static double rate(double n, double s) { return s > 0 ? n / s : 0; }

void generate_report(const generator *g, const generate_stats *s, generate_end end)
{
    static const char *const ends[] = {"", ", stopped by -n", ", the context is full", ", interrupted"};
    double bytes = (double)tawny_model_bytes_per_token(g->model);
    fprintf(stderr, "[read %d of %d tokens", s->n_read, s->n_prompt);
    if (s->n_read) fprintf(stderr, ", %.1f tok/s", rate(s->n_read, s->read_s));
    fprintf(stderr, "; answer %d tokens", s->n_answer);
    if (s->n_steps)
        fprintf(stderr, ", %.1f tok/s, %.1f GB/s of weights", rate(s->n_steps, s->answer_s),
                1e-9 * rate(bytes * s->n_passes, s->answer_s));
    if (s->guesses.guessed)
        fprintf(stderr, ", %llu of %llu guesses right", (unsigned long long)s->guesses.right, (unsigned long long)s->guesses.guessed);
    fprintf(stderr, "%s]\n", ends[end]);
    if (g->spec && spec_trouble(g->spec)) fprintf(stderr, "tawny: the draft model is not asked any more: %s\n", spec_trouble(g->spec));
}
