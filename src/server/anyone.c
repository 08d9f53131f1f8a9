#include "anyone.h"

#include <stdio.h>
#include <string.h>

void health(exchange *x)
{
    if (atomic_load(&x->sv->draining))
        reply_error(x, 503, "unavailable_error", "the server is shutting down", NULL);
    else
        reply_json(x, 200, json_pack("{s:s}", "status", "ok"));
}

static void metric(buf *b, const char *type, const char *name, const char *help, double value)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name, value);
}

static double rate(double n, double seconds) { return seconds > 0 ? n / seconds : 0; }

/* As llama-server has them. */
static void its_metrics(buf *b, const sched_stats *s)
{
    double read_s = s->prompt_ms / 1e3, answer_s = s->answer_ms / 1e3;
    metric(b, "counter", "llamacpp:prompt_tokens_total", "Prompt tokens computed.", (double)s->prompt_tokens);
    metric(b, "counter", "llamacpp:prompt_tokens_cached_total", "Prompt tokens that were computed before.", (double)s->cached_tokens);
    metric(b, "counter", "llamacpp:prompt_seconds_total", "Time until the first token, over all requests.", read_s);
    metric(b, "counter", "llamacpp:tokens_predicted_total", "Tokens generated.", (double)s->answer_tokens);
    metric(b, "counter", "llamacpp:tokens_predicted_seconds_total", "Time from the first token to the last, over all requests.", answer_s);
    metric(b, "counter", "llamacpp:n_decode_total", "Steps of the engine.", (double)s->steps);
    metric(b, "counter", "llamacpp:n_tokens_max", "Tokens of the longest sequence, prompt and answer.", (double)s->most_tokens);
    metric(b, "gauge", "llamacpp:prompt_tokens_seconds", "Prompt tokens a second.", rate((double)s->prompt_tokens, read_s));
    metric(b, "gauge", "llamacpp:predicted_tokens_seconds", "Generated tokens a second.", rate((double)s->answer_tokens, answer_s));
    metric(b, "gauge", "llamacpp:requests_processing", "Requests that are computed.", s->running);
    metric(b, "gauge", "llamacpp:requests_deferred", "Requests that wait.", s->queued);
    metric(b, "gauge", "llamacpp:n_busy_slots_per_decode", "Slots that a step computes for, on average.", rate((double)s->busy, (double)s->steps));
}

void metrics(exchange *x)
{
    const server *sv = x->sv;
    sched_stats s;
    buf b = {0};
    sched_stats_of(sv->sched, &s);
    its_metrics(&b, &s);
    metric(&b, "counter", "tawny:requests_total", "Sequences that were asked for.", (double)s.tasks);
    metric(&b, "counter", "tawny:requests_failed_total", "Of them, those that failed.", (double)s.failed);
    metric(&b, "counter", "tawny:requests_cancelled_total", "Of them, those whose client went away.", (double)s.cancelled);
    metric(&b, "counter", "tawny:cache_hits_total", "Of them, those that went on from tokens computed before, in a slot or the cache.", (double)s.cache_hits);
    metric(&b, "counter", "tawny:prefix_cache_hits_total", "Sequences that went on from the cache of prefixes.", (double)s.prefixes.hits);
    metric(&b, "counter", "tawny:prefix_cache_tokens_total", "Tokens that they found there.", (double)s.prefixes.tokens);
    metric(&b, "counter", "tawny:prefix_cache_evicted_total", "Blocks of the cache that gave way to others.", (double)s.prefixes.evicted);
    metric(&b, "gauge", "tawny:prefix_cache_blocks", "Blocks of up to 64 tokens in the cache.", s.prefixes.blocks);
    metric(&b, "gauge", "tawny:prefix_cache_bytes", "Memory of the cache.", (double)s.prefixes.bytes);
    metric(&b, "gauge", "tawny:prefix_cache_bytes_limit", "Memory of the cache at most.", (double)s.prefixes.most_bytes);
    metric(&b, "counter", "tawny:queue_seconds_total", "Time until they began, over all requests.", s.queue_ms / 1e3);
    metric(&b, "counter", "tawny:step_seconds_total", "Time of all steps.", s.step_ms / 1e3);
    metric(&b, "counter", "tawny:weight_bytes_total", "Bytes of weights read by all steps.", (double)s.bytes_read);
    metric(&b, "counter", "tawny:http_requests_total", "Requests that reached their handler.", (double)atomic_load(&sv->handled));
    metric(&b, "counter", "tawny:http_refused_total", "Requests that were refused by their headers: host, origin, path, key, size.",
           (double)atomic_load(&sv->refused));
    metric(&b, "counter", "tawny:draft_tokens_total", "Tokens that were guessed by speculation.", (double)s.guessed);
    metric(&b, "counter", "tawny:draft_tokens_accepted_total", "Of them, those that were right.", (double)s.guessed_right);
    metric(&b, "gauge", "tawny:draft_model_failed", "1 where the draft model failed, and is not asked any more.", s.draft_failed);
    metric(&b, "gauge", "tawny:slots", "Sequences that are computed together at most.", sched_n_slots(sv->sched));
    metric(&b, "gauge", "tawny:read_gigabytes_per_second", "GB/s at which steps without prompts read weights, lately.",
           rate((double)tawny_model_bytes_per_token(sv->model) / 1e6, s.decode_ms));
    double possible = atomic_load(&sv->read_gbs);
    if (possible > 0) metric(&b, "gauge", "tawny:read_gigabytes_per_second_possible", "GB/s at which memory can be read, as measured.", possible);
    reply_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", b.data ? b.data : "", b.size);
    buf_free(&b);
}
