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

void metrics(exchange *x)
{
    sched_stats s;
    buf b = {0};
    sched_stats_of(x->sv->sched, &s);
    double read_s = s.prompt_ms / 1e3, answer_s = s.answer_ms / 1e3;
    metric(&b, "counter", "llamacpp:prompt_tokens_total", "Prompt tokens computed.", (double)s.prompt_tokens);
    metric(&b, "counter", "llamacpp:prompt_seconds_total", "Time until the first token, over all requests.", read_s);
    metric(&b, "counter", "llamacpp:tokens_predicted_total", "Tokens generated.", (double)s.answer_tokens);
    metric(&b, "counter", "llamacpp:tokens_predicted_seconds_total", "Time from the first token to the last, over all requests.", answer_s);
    metric(&b, "gauge", "llamacpp:prompt_tokens_seconds", "Prompt tokens a second.", read_s > 0 ? (double)s.prompt_tokens / read_s : 0);
    metric(&b, "gauge", "llamacpp:predicted_tokens_seconds", "Generated tokens a second.", answer_s > 0 ? (double)s.answer_tokens / answer_s : 0);
    metric(&b, "gauge", "llamacpp:requests_processing", "Requests that are computed.", s.running);
    metric(&b, "gauge", "llamacpp:requests_deferred", "Requests that wait.", s.queued);
    metric(&b, "counter", "llamacpp:n_decode_total", "Steps of the engine.", (double)s.steps);
    metric(&b, "counter", "tawny:requests_total", "Sequences that were asked for.", (double)s.tasks);
    metric(&b, "counter", "tawny:requests_failed_total", "Of them, those that failed.", (double)s.failed);
    metric(&b, "counter", "tawny:requests_cancelled_total", "Of them, those whose client went away.", (double)s.cancelled);
    metric(&b, "counter", "tawny:cached_tokens_total", "Prompt tokens that were computed before.", (double)s.cached_tokens);
    metric(&b, "counter", "tawny:step_seconds_total", "Time of all steps.", s.step_ms / 1e3);
    metric(&b, "counter", "tawny:weight_bytes_total", "Bytes of weights read.", (double)s.bytes_read);
    metric(&b, "gauge", "tawny:weight_gigabytes_seconds", "GB/s at which weights were read, over all steps.",
           s.step_ms > 0 ? (double)s.bytes_read / s.step_ms / 1e6 : 0);
    reply_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", b.data ? b.data : "", b.size);
    buf_free(&b);
}
