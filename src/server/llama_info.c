/* llama-server's /props, /slots and /lora-adapters, and the settings that its answers repeat. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"
#include "llama.h"

static json_t *names_of(const sampler_params *p)
{
    json_t *list = json_array();
    for (int i = 0; i < p->n_chain; i++) json_array_append_new(list, json_string(sampler_name(p->chain[i])));
    return list;
}

static void set_number(json_t *o, const char *name, float value) { json_object_set_new(o, name, json_real((double)value)); }
static void set_int(json_t *o, const char *name, long long value) { json_object_set_new(o, name, json_integer(value)); }

/* As the request has it, or an empty list. */
static void set_given(json_t *o, const char *name, const json_t *body)
{
    json_t *v = json_object_get(body, name);
    json_object_set_new(o, name, json_is_array(v) || json_is_object(v) ? json_incref(v) : json_is_string(v) ? json_pack("[O]", v) : json_array());
}

static void sampling_json(json_t *o, const sampler_params *p)
{
    set_int(o, "seed", p->seed == SAMPLER_SEED_RANDOM ? UINT32_MAX : (long long)p->seed);
    set_number(o, "temperature", p->temp);
    set_number(o, "dynatemp_range", p->dynatemp_range);
    set_number(o, "dynatemp_exponent", p->dynatemp_exponent);
    set_int(o, "top_k", p->top_k);
    set_number(o, "top_p", p->top_p);
    set_number(o, "min_p", p->min_p);
    set_number(o, "top_n_sigma", p->top_n_sigma);
    set_number(o, "xtc_probability", p->xtc_probability);
    set_number(o, "xtc_threshold", p->xtc_threshold);
    set_number(o, "typical_p", p->typ_p);
    set_int(o, "repeat_last_n", p->repeat_last_n);
    set_number(o, "repeat_penalty", p->repeat_penalty);
    set_number(o, "presence_penalty", p->presence_penalty);
    set_number(o, "frequency_penalty", p->frequency_penalty);
    set_number(o, "dry_multiplier", p->dry_multiplier);
    set_number(o, "dry_base", p->dry_base);
    set_int(o, "dry_allowed_length", p->dry_allowed_length);
    set_int(o, "dry_penalty_last_n", p->dry_penalty_last_n);
    set_int(o, "mirostat", p->mirostat);
    set_number(o, "mirostat_tau", p->mirostat_tau);
    set_number(o, "mirostat_eta", p->mirostat_eta);
}

json_t *llama_settings(const exchange *x, const completion *c, bool post_probs)
{
    json_t *o = json_object();
    sampling_json(o, &c->sampling);
    set_given(o, "dry_sequence_breakers", x->json);
    if (!json_object_get(x->json, "dry_sequence_breakers")) {
        sampler_params usual = sampler_params_default();
        json_t *list = json_object_get(o, "dry_sequence_breakers");
        for (int i = 0; i < usual.n_dry_breakers; i++) json_array_append_new(list, json_string(usual.dry_breakers[i]));
    }
    set_given(o, "stop", x->json);
    set_given(o, "logit_bias", x->json);
    set_int(o, "max_tokens", c->max_tokens);
    set_int(o, "n_predict", c->max_tokens);
    set_int(o, "n_keep", 0);
    set_int(o, "n_discard", 0);
    set_int(o, "n_probs", c->n_top > 0 ? c->n_top : 0);
    set_int(o, "min_keep", c->sampling.min_keep);
    json_object_set_new(o, "ignore_eos", json_boolean(c->ignore_eos));
    json_object_set_new(o, "stream", json_boolean(c->stream));
    json_object_set_new(o, "post_sampling_probs", json_boolean(post_probs));
    json_object_set_new(o, "grammar", json_string(c->grammar ? c->grammar : ""));
    json_object_set_new(o, "samplers", names_of(&c->sampling));
    json_object_set_new(o, "lora", json_array());
    return o;
}

static json_t *token_text(const server *sv, tok_special which)
{
    size_t n;
    tawny_token id = tok_special_id(sv->tok, which);
    const char *p = id == TOK_NONE ? NULL : tok_piece(sv->tok, id, TOK_SPECIAL, &n);
    json_t *s = p ? json_stringn(p, n) : NULL;
    return s ? s : json_string("");
}

static json_t *template_json(const server *sv)
{
    size_t n = 0;
    const char *source = sv->config.template_source;
    if (source) n = strlen(source);
    else source = tok_chat_template(sv->tok, NULL, &n);
    json_t *s = source ? json_stringn(source, n) : NULL;
    return s ? s : json_string("");
}

void llama_props(exchange *x)
{
    const server *sv = x->sv;
    completion c;
    completion_defaults(sv, &c);
    unsigned wants = chat_wants(sv->chat);
    json_t *caps = json_pack("{s:b,s:b,s:b}", "supports_tools", (wants & CHAT_TOOLS) != 0, "supports_tool_calls", (wants & CHAT_TOOLS) != 0,
                             "supports_reasoning_effort", (wants & CHAT_EFFORT) != 0);
    json_t *o = json_pack("{s:{s:o,s:i},s:i,s:s,s:s,s:{s:b,s:b},s:o,s:o,s:o,s:o,s:s,s:b,s:b,s:b,s:b}", "default_generation_settings", "params",
                          llama_settings(x, &c, false), "n_ctx", (int)tawny_engine_n_ctx(sched_engine(sv->sched)), "total_slots",
                          sched_n_slots(sv->sched), "model_alias", server_model_name(sv), "model_path", sv->path, "modalities", "vision", 0, "audio",
                          0, "chat_template", template_json(sv), "chat_template_caps", caps, "bos_token", token_text(sv, TOK_BOS), "eos_token",
                          token_text(sv, TOK_EOS), "build_info", x->fingerprint, "endpoint_slots", 1, "endpoint_props", 0, "endpoint_metrics", 1,
                          "is_sleeping", 0);
    reply_json(x, 200, o);
}

static json_t *slot_json(const server *sv, int i, bool *busy)
{
    sched_slot s;
    sched_slot_of(sv->sched, i, &s);
    json_t *o = json_pack("{s:i,s:i,s:b,s:b,s:i,s:i}", "id", i, "n_ctx", (int)tawny_engine_n_ctx(sched_engine(sv->sched)), "speculative", 0,
                          "is_processing", s.busy, "n_tokens", s.n_tokens, "n_past", s.n_tokens);
    if (s.busy) {
        set_int(o, "n_prompt_tokens", s.n_prompt);
        set_int(o, "n_prompt_tokens_processed", s.n_done);
        json_object_set_new(o, "next_token", json_pack("[{s:b,s:i}]", "has_next_token", 1, "n_decoded", s.n_answer));
    }
    *busy = s.busy;
    return o;
}

void llama_slots(exchange *x)
{
    json_t *list = json_array();
    int idle = 0;
    for (int i = 0; i < sched_n_slots(x->sv->sched); i++) {
        bool busy;
        json_array_append_new(list, slot_json(x->sv, i, &busy));
        idle += !busy;
    }
    if (idle == 0 && http_query(x, "fail_on_no_slot")) {
        json_decref(list);
        reply_error(x, 503, "unavailable_error", "no slot available", NULL);
    } else {
        reply_json(x, 200, list);
    }
}

void llama_lora(exchange *x) { reply_json(x, 200, json_array()); }
