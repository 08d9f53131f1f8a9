/* The run of `tawny verify`: texts and templates first, then prompts of growing depth, computed on both sides. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/file.h"
#include "../engine/engine.h"
#include "../text/chat.h"
#include "terminal.h"
#include "verify.h"

enum { ROWS = 32, BISECT = 20 };

typedef struct verify_run {
    tawny_session *main;
    const tokenizer *tok;
    remote *r;
    const verify_options *o;
    verify_result *v;
    const verify_watch *watch;
    int32_t n_vocab;
    tok_vec text, prompt; /* the whole text; what is asked about now, and what followed */
    float *rows;          /* [ROWS][n_vocab] */
    verify_sample *samples; /* [REMOTE_STEPS] */
} verify_run;

/* ---- tokens and templates ---- */

static tawny_status check_tokenizer(verify_run *c, tawny_error *err)
{
    tok_vec ours = {0}, theirs = {0};
    bool offered = true;
    tawny_status st = TAWNY_OK;
    snprintf(c->v->tokenizer, sizeof c->v->tokenizer, "same");
    for (int i = 0; verify_tricky_texts[i] && offered && !c->v->tokenizer_differs; i++) {
        const char *text = verify_tricky_texts[i];
        ours.n = theirs.n = 0;
        st = tok_encode(c->tok, text, strlen(text), TOK_PARSE_SPECIAL, &ours, err);
        if (st == TAWNY_OK) st = remote_tokenize(c->r, text, &theirs, &offered, err);
        if (st != TAWNY_OK) break;
        size_t same = 0;
        while (same < ours.n && same < theirs.n && ours.v[same] == theirs.v[same]) same++;
        if (!offered) snprintf(c->v->tokenizer, sizeof c->v->tokenizer, "not offered by the server");
        if (!offered || (same == ours.n && same == theirs.n)) continue;
        c->v->tokenizer_differs = true;
        snprintf(c->v->tokenizer, sizeof c->v->tokenizer, "differs: text %d, token %zu is %d there and %d here (%zu and %zu tokens)", i + 1,
                 same + 1, same < theirs.n ? theirs.v[same] : -1, same < ours.n ? ours.v[same] : -1, theirs.n, ours.n);
    }
    tok_vec_free(&ours);
    tok_vec_free(&theirs);
    return st;
}

/* A BOS at the start is not always a part of the prompt that a server shows. */
static void drop_bos(const tokenizer *tok, const char **text, size_t *n)
{
    size_t len;
    const char *bos = tok_text(tok, tok_special_id(tok, TOK_BOS), &len);
    if (bos && len && *n >= len && memcmp(*text, bos, len) == 0) *text += len, *n -= len;
}

static tawny_status check_template(verify_run *c, tawny_error *err)
{
    verify_result *v = c->v;
    chat_template *t = NULL;
    jinja_output ours = {0};
    buf theirs = {0};
    bool offered;
    json_t *messages = json_pack("[{s:s,s:s},{s:s,s:s},{s:s,s:s}]", "role", "user", "content", "Who are you?", "role", "assistant", "content",
                                 "An owl.", "role", "user", "content", "  Why?\n");
    tawny_status st = messages ? remote_template(c->r, messages, &theirs, &offered, err) : err_nomem(err);
    if (st != TAWNY_OK) goto done;
    tawny_error why;
    if (!offered) {
        snprintf(v->template, sizeof v->template, "not offered by the server");
    } else if (chat_open(c->tok, NULL, 0, &t, &why) != TAWNY_OK ||
               chat_render(t, &(chat_request){.messages = messages, .thinking = -1}, &ours, &why) != TAWNY_OK) {
        snprintf(v->template, sizeof v->template, "not compared: %.200s", why.message);
        remote_trim(v->template);
    } else {
        const char *a = theirs.data ? theirs.data : "", *b = ours.text;
        size_t n = theirs.size, m = ours.n, same = 0;
        drop_bos(c->tok, &a, &n);
        drop_bos(c->tok, &b, &m);
        while (same < n && same < m && a[same] == b[same]) same++;
        v->template_differs = same < n || same < m;
        if (v->template_differs) snprintf(v->template, sizeof v->template, "differs from byte %zu of the prompt on", same);
        else snprintf(v->template, sizeof v->template, "same");
    }
done:
    jinja_output_free(&ours);
    chat_close(t);
    buf_free(&theirs);
    json_decref(messages);
    return st;
}

/* ---- one prompt ---- */

/* Our logits before each step's token, in order; steps that follow an unknown token are left out. Returns how many were
 * compared, or -1. */
static int compare_steps(verify_run *c, int32_t depth, tawny_error *err)
{
    const remote *r = c->r;
    tawny_session *fork = NULL;
    int n = 0, k = 0;
    int32_t at = r->steps[0].pos; /* the session's length that the row is for */
    for (int i = 0; i < r->n_steps; i++)
        if (r->steps[i].pos >= depth && !tok_vec_add(&c->prompt, r->steps[i].chosen)) return err_set(err, TAWNY_E_NOMEM, "out of memory"), -1;
    for (int32_t i = depth; i < at; i++)
        if ((size_t)i >= c->prompt.n || c->prompt.v[i] < 0) return 0;
    if (tawny_session_sync(c->main, c->prompt.v, at, NULL, NULL, err) != TAWNY_OK) return -1;
    const float *row = tawny_session_logits(c->main);
    if (!row) return err_set(err, TAWNY_E_ARG, "no logits"), -1;
    verify_compare(row, c->n_vocab, &r->steps[k++], at >= depth, c->tok, &c->samples[n++]);
    if (k < r->n_steps && tawny_session_fork(c->main, &fork, err) != TAWNY_OK) return -1;
    while (k < r->n_steps) {
        int32_t m = 0;
        while (m < ROWS && k + m < r->n_steps && r->steps[k + m].pos == at + m + 1 && (size_t)(at + m) < c->prompt.n && c->prompt.v[at + m] >= 0)
            m++;
        if (!m) break;
        if (tawny_session_append(fork, c->prompt.v + at, m, c->rows, err) != TAWNY_OK) {
            n = -1;
            break;
        }
        for (int32_t i = 0; i < m; i++)
            verify_compare(c->rows + (size_t)i * (size_t)c->n_vocab, c->n_vocab, &r->steps[k + i], at + i + 1 >= depth, c->tok, &c->samples[n++]);
        at += m;
        k += m;
    }
    tawny_session_free(fork);
    return n;
}

static bool repeats(const remote *r, int32_t depth)
{
    enum { ENOUGH = 6 };
    int n = 0, same = 0;
    for (int i = 0; i < r->n_steps; i++) {
        if (r->steps[i].pos < depth) continue;
        if (n++ >= 2 && r->steps[i].chosen == r->steps[i - 2].chosen) same++;
    }
    return n >= ENOUGH && same == n - 2;
}

/* Asks and judges one depth; *d has depth and fresh. */
static tawny_status ask_depth(verify_run *c, verify_depth *d, tawny_error *err)
{
    c->prompt.n = 0;
    tawny_status st = remote_fit(c->r, c->text.v, d->depth, &c->prompt, err);
    if (st != TAWNY_OK) return st;
    d->depth = (int32_t)c->prompt.n;
    d->either = c->r->own_cache;
    c->r->seconds = c->o->timeout ? c->o->timeout : d->depth <= 4096 ? VERIFY_SECONDS : (int)((int64_t)VERIFY_SECONDS * d->depth / 4096);
    st = remote_complete(c->r, c->prompt.v, d->depth, c->o->n, d->fresh, err);
    if (st != TAWNY_OK) return st;
    int64_t counted = c->r->prompt_tokens;
    if (c->r->texts && counted >= 0 && (counted > d->depth || (c->r->kind != REMOTE_OLLAMA && counted != d->depth))) {
        c->v->tokenizer_differs = true;
        snprintf(c->v->tokenizer, sizeof c->v->tokenizer, "differs%s: a prompt is of %lld tokens there and of %d here",
                 c->r->chat ? " (or the chat template)" : "", (long long)counted, d->depth);
        d->verdict = VERDICT_UNKNOWN;
        return TAWNY_OK;
    }
    int n = compare_steps(c, d->depth, err);
    c->r->code = 200;
    if (n < 0) return err->code;
    if (n == 0) return err_set(err, TAWNY_E_IO, "%.200s: no token of the answer is known here", c->r->url);
    verify_judge(d, c->samples, n);
    d->repeats = d->verdict != VERDICT_SOUND && repeats(c->r, d->depth);
    return TAWNY_OK;
}

static tawny_status one_depth(verify_run *c, verify_depth *d, double done, tawny_error *err)
{
    double since = term_seconds();
    c->watch->asks(c->watch->user, d->depth, done);
    tawny_status st = ask_depth(c, d, err);
    d->seconds = term_seconds() - since;
    if (st == TAWNY_OK && d->verdict != VERDICT_UNKNOWN) c->watch->tells(c->watch->user, d);
    return st;
}

/* ---- the whole ---- */

static tawny_status read_text(verify_run *c, int32_t n, tawny_error *err)
{
    if (!c->o->file) return verify_text(c->tok, (uint64_t)c->o->seed, n, &c->text, err);
    buf text = {0};
    tawny_status st = file_read(c->o->file, 16 << 20, &text, err);
    if (st == TAWNY_OK) st = tok_encode(c->tok, text.data ? text.data : "", text.size, TOK_ADD_SPECIAL, &c->text, err);
    if (st == TAWNY_OK && c->text.n < 2) st = err_set(err, TAWNY_E_ARG, "%s: fewer than two tokens", c->o->file);
    buf_free(&text);
    return st;
}

/* The depths one after the other, until the server will not go on; TAWNY_OK where anything was judged. */
static tawny_status all_depths(verify_run *c, tawny_error *err)
{
    verify_result *v = c->v;
    for (int i = 0; i < v->n_depths; i++) {
        tawny_status st = one_depth(c, &v->depths[i], verify_done(v, i), err);
        if (st == TAWNY_OK && v->tokenizer_differs && v->depths[i].verdict == VERDICT_UNKNOWN) st = err_set(err, TAWNY_E_IO, "%s", v->tokenizer);
        if (st != TAWNY_OK) {
            int32_t depth = v->depths[i].depth;
            v->n_depths = i;
            if (c->r->code != 400 && c->r->code != 413 && c->r->code != 422) v->overall = VERDICT_UNKNOWN; /* it did not just decline */
            snprintf(v->stopped, sizeof v->stopped, "at %d tokens: %.460s", depth, err->message);
            remote_trim(v->stopped);
            return i ? TAWNY_OK : st;
        }
    }
    return TAWNY_OK;
}

/* Between the deepest sound prompt and the first broken one: where does it begin? Ends where the server does. */
static void narrow(verify_run *c)
{
    verify_result *v = c->v;
    tawny_error err;
    int32_t bad = 0, good = 0;
    bool fresh = true; /* as the first broken one was */
    for (int i = 0; i < v->n_depths && !bad; i++) {
        if (v->depths[i].verdict == VERDICT_BROKEN) bad = v->depths[i].depth, fresh = v->depths[i].fresh;
        else if (v->depths[i].verdict == VERDICT_SOUND) good = v->depths[i].depth;
    }
    if (!bad || c->r->texts || c->o->quick) return;
    if (good < 2) good = 2;
    for (int i = 0; i < BISECT && bad - good > 1; i++) {
        verify_depth d = {.depth = good + (bad - good) / 2, .fresh = fresh, .bad_pos = -1};
        if (one_depth(c, &d, 1, &err) != TAWNY_OK) {
            snprintf(v->stopped, sizeof v->stopped, "at %d tokens: %.460s", d.depth, err.message);
            remote_trim(v->stopped);
            return;
        }
        if (d.verdict == VERDICT_BROKEN) bad = d.depth;
        else good = d.depth;
        verify_add_depth(v, d.depth, fresh, d.depth);
        for (int k = 0; k < v->n_depths; k++)
            if (v->depths[k].depth == d.depth) v->depths[k] = d;
    }
}

/* What the pattern of depths says of the cause. */
static void guess(verify_result *v)
{
    int cached_sound = 0, fresh_bad = 0, cached_bad = 0, fresh_sound = 0, flips = 0;
    if (v->arithmetic == VERDICT_SOUND) return;
    for (int i = 0; i < v->n_depths; i++) {
        const verify_depth *d = &v->depths[i];
        flips += d->flips;
        if (d->depth < v->from || d->either) continue;
        if (d->verdict == VERDICT_SOUND) cached_sound += !d->fresh, fresh_sound += d->fresh;
        else cached_bad += !d->fresh, fresh_bad += d->fresh;
    }
    const char *why = "";
    if (v->arithmetic == VERDICT_SUSPICIOUS)
        why = flips ? "" : "the most probable tokens are the same: less precise arithmetic (a cache of 4 bits, sums in 16 bits) looks like this";
    else if (v->sound_to < 0)
        why = "no prompt is sound: another model, quantization or adapter behind the server would look like this too";
    else if (fresh_bad && cached_sound > 1 && !cached_bad)
        why = "as long prompts are sound where the server has most of them in its cache: the fault is in reading a long prompt at once";
    else if (cached_bad && fresh_sound && !fresh_bad)
        why = "prompts that are read anew are sound: the fault is in going on from the cache, or in the middle of a micro-batch";
    snprintf(v->note, sizeof v->note, "%s", why);
}

static void conclude(verify_result *v)
{
    v->from = v->sound_to = -1;
    for (int i = 0; i < v->n_depths; i++)
        if (v->depths[i].verdict != VERDICT_UNKNOWN && v->depths[i].verdict > v->arithmetic) v->arithmetic = v->depths[i].verdict;
    v->constant = verify_is_constant(v->depths, v->n_depths);
    if (v->constant) v->arithmetic = VERDICT_BROKEN;
    for (int i = 0; i < v->n_depths && v->from < 0; i++) {
        if (v->depths[i].verdict == v->arithmetic && v->arithmetic != VERDICT_SOUND) v->from = v->depths[i].depth;
        else if (v->depths[i].verdict == VERDICT_SOUND) v->sound_to = v->depths[i].depth;
    }
    if (v->arithmetic == VERDICT_SOUND && v->overall != VERDICT_UNKNOWN && (v->tokenizer_differs || v->template_differs))
        v->overall = VERDICT_SUSPICIOUS;
    else if (v->arithmetic != VERDICT_SOUND) v->overall = v->arithmetic;
    guess(v);
}

static bool about(int64_t a, int64_t b) { return a <= b + b / 50 && a >= b - b / 50; }

/* Older llama.cpp and ik_llama.cpp count an embedding that is the output matrix, too, twice. */
tawny_status verify_same_model(const remote *r, tawny_model *m, tawny_error *err)
{
    int64_t n_vocab = tawny_model_n_vocab(m), bytes = (int64_t)tawny_model_bytes(m), params = (int64_t)tawny_model_n_params(m);
    const gguf_tensor *embd = gguf_tensor_find(m->m.file, "token_embd.weight");
    bool twice = embd && !gguf_tensor_find(m->m.file, "output.weight");
    int64_t more = twice ? (int64_t)(embd->ne[0] * embd->ne[1]) : 0, more_bytes = twice ? (int64_t)embd->bytes : 0;
    if (r->n_vocab && r->n_vocab != n_vocab && r->n_vocab != (int64_t)tok_n_vocab(r->tok)) /* the matrix may have more rows */
        return err_set(err, TAWNY_E_FORMAT, "the server runs another model: %lld tokens in its vocabulary, here %lld", (long long)r->n_vocab,
                       (long long)n_vocab);
    if (r->n_params && !about(r->n_params, params) && !about(r->n_params, params + more))
        return err_set(err, TAWNY_E_FORMAT, "the server runs another model: of %lld parameters, here %lld", (long long)r->n_params,
                       (long long)params);
    if (r->bytes && !about(r->bytes, bytes) && !about(r->bytes, bytes + more_bytes))
        return err_set(err, TAWNY_E_FORMAT, "the server runs another quantization: %lld bytes of weights, here %lld", (long long)r->bytes,
                       (long long)bytes);
    return TAWNY_OK;
}

/* The longest prompt that both contexts, the text and --depth have room for; what is left out is noted. */
static int32_t deepest(verify_run *c, int32_t ours, int32_t texts)
{
    char why[320] = "";
    int32_t room = c->o->n + 1, most = c->o->depth, theirs = c->r->n_ctx;
    if (ours - room < most) {
        most = ours - room;
        snprintf(why, sizeof why, "the context here has room for %d tokens (-c N for more)", ours);
    }
    if (theirs && theirs - room < most) {
        most = theirs - room;
        snprintf(why, sizeof why, "the server's context has room for %d tokens", theirs);
    }
    if (texts && texts < most) {
        most = texts;
        snprintf(why, sizeof why, "%.200s has %d tokens", c->o->file, texts);
    }
    c->v->n_left_out = 0;
    verify_leave_out(c->v, c->o->depth, most, why);
    return most;
}

tawny_status verify_server(tawny_engine *e, const tokenizer *tok, remote *r, const verify_options *o, verify_result *v,
                           const verify_watch *watch, tawny_error *err)
{
    verify_run c = {.tok = tok, .r = r, .o = o, .v = v, .watch = watch, .n_vocab = tawny_model_n_vocab(e->model)};
    int32_t ours = tawny_engine_n_ctx(e);
    *v = (verify_result){.from = -1, .sound_to = -1};
    if (r->kind == REMOTE_OLLAMA) r->n_ctx = ours;
    tawny_status st = tawny_session_new(e, &c.main, err);
    if (st != TAWNY_OK) return st;
    c.rows = malloc((size_t)ROWS * (size_t)c.n_vocab * sizeof *c.rows);
    c.samples = malloc(REMOTE_STEPS * sizeof *c.samples);
    int32_t most = deepest(&c, ours, 0);
    st = c.rows && c.samples ? read_text(&c, most, err) : err_nomem(err);
    if (st != TAWNY_OK) goto done;
    if ((size_t)most > c.text.n) most = deepest(&c, ours, (int32_t)c.text.n);
    verify_plan(v, o, most);
    if (!v->n_depths) st = err_set(err, TAWNY_E_LIMIT, "the contexts are too short: %d here, %d at the server", ours, r->n_ctx);
    if (st == TAWNY_OK) st = check_tokenizer(&c, err);
    if (st == TAWNY_OK) st = check_template(&c, err);
    if (st == TAWNY_OK) st = all_depths(&c, err);
    if (st == TAWNY_OK) {
        narrow(&c);
        conclude(v);
    }
done:
    tawny_session_free(c.main);
    tok_vec_free(&c.text);
    tok_vec_free(&c.prompt);
    free(c.rows);
    free(c.samples);
    return st;
}
