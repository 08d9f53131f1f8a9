/* Shapes of answers, after
 *   - llama.cpp: tools/server/README.md;
 *   - vLLM: vllm/entrypoints/openai/completion/protocol.py and serving.py, vllm/logprobs.py;
 *   - ollama: docs/api.md, api/types.go (logprobs from 0.12.11 on);
 *   - LM Studio: lmstudio.ai/docs/developer/openai-compat, lmstudio.ai/blog/openresponses (logprobs by /v1/responses from 0.3.39 on);
 *   - OpenAI: platform.openai.com/docs/api-reference. */
#include "fake_shapes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 20 }; /* alternatives that OpenAI's, vLLM's and ollama's routes give */

/* llama-server before 2024-12: probabilities by their texts; at temperature 0 that of the most probable token is 1, below 0 they
 * are what they are. */
static json_t *old_llama(const json_t *list, bool greedy)
{
    size_t i, k;
    const json_t *p, *a;
    json_t *out = json_array();
    json_array_foreach(list, i, p) {
        json_t *probs = json_array();
        json_array_foreach(json_object_get(p, "top_logprobs"), k, a)
            json_array_append_new(probs, json_pack("{s:O,s:f}", "tok_str", json_object_get(a, "token"), "prob",
                                                   greedy ? k == 0 : exp(json_number_value(json_object_get(a, "logprob")))));
        json_array_append_new(out, json_pack("{s:O,s:o}", "content", json_object_get(p, "token"), "probs", probs));
    }
    return json_pack("{s:s,s:b,s:o}", "content", "", "stop", 1, "completion_probabilities", out);
}

static json_t *one(const json_t *p)
{
    return json_pack("{s:O,s:O,s:O}", "token", json_object_get(p, "token"), "logprob", json_object_get(p, "logprob"), "bytes",
                     json_object_get(p, "bytes"));
}

/* [{"token", "logprob", "bytes", "top_logprobs": [...]}] */
static json_t *objects(const json_t *list)
{
    size_t i, k;
    const json_t *p, *a;
    json_t *out = json_array();
    json_array_foreach(list, i, p) {
        json_t *o = one(p), *top = json_array();
        json_array_foreach(json_object_get(p, "top_logprobs"), k, a)
            if (k < MOST) json_array_append_new(top, one(a));
        json_object_set_new(o, "top_logprobs", top);
        json_array_append_new(out, o);
    }
    return out;
}

static json_t *name_of(fake_shape shape, const json_t *a)
{
    return shape == FAKE_VLLM ? json_sprintf("token_id:%lld", (long long)json_integer_value(json_object_get(a, "id")))
                              : json_incref(json_object_get(a, "token"));
}

/* {"text_offset", "token_logprobs", "tokens", "top_logprobs"}, lists side by side. */
static json_t *lists(fake_shape shape, const json_t *list)
{
    size_t i, k;
    const json_t *p, *a;
    json_t *tokens = json_array(), *values = json_array(), *tops = json_array(), *offsets = json_array();
    json_array_foreach(list, i, p) {
        json_t *top = json_object();
        json_array_foreach(json_object_get(p, "top_logprobs"), k, a) {
            json_t *name = name_of(shape, a);
            if (k < MOST && !json_object_get(top, json_string_value(name))) json_object_set(top, json_string_value(name), json_object_get(a, "logprob"));
            json_decref(name);
        }
        json_array_append_new(tokens, name_of(shape, p));
        json_array_append(values, json_object_get(p, "logprob"));
        json_array_append_new(tops, top);
        json_array_append_new(offsets, json_integer((json_int_t)i));
    }
    return json_pack("{s:o,s:o,s:o,s:o}", "text_offset", offsets, "token_logprobs", values, "tokens", tokens, "top_logprobs", tops);
}

/* [null, {"ID": {"logprob", "rank", "decoded_token"}, ...}, ...] */
static json_t *prompt_logprobs(const json_t *before)
{
    size_t i, k;
    const json_t *p, *a;
    json_t *all = json_array();
    json_array_append_new(all, json_null());
    json_array_foreach(before, i, p) {
        json_t *map = json_object();
        json_array_foreach(json_object_get(p, "top_logprobs"), k, a) {
            char key[24];
            snprintf(key, sizeof key, "%lld", (long long)json_integer_value(json_object_get(a, "id")));
            if (k < MOST)
                json_object_set_new(map, key, json_pack("{s:O,s:i,s:O}", "logprob", json_object_get(a, "logprob"), "rank", (int)k + 1, "decoded_token",
                                                        json_object_get(a, "token")));
        }
        json_array_append_new(all, map);
    }
    return all;
}

static json_t *completion(fake_shape shape, const json_t *list, const json_t *before, int n_prompt)
{
    json_t *logprobs = shape == FAKE_LM_STUDIO ? json_null() : lists(shape, list);
    json_t *choice = json_pack("{s:i,s:s,s:o,s:s}", "index", 0, "text", "", "logprobs", logprobs, "finish_reason", "length");
    if (shape == FAKE_VLLM) {
        json_object_set_new(choice, "stop_reason", json_null());
        json_object_set_new(choice, "prompt_logprobs", before ? prompt_logprobs(before) : json_null());
    }
    int n = (int)json_array_size(list);
    return json_pack("{s:s,s:s,s:i,s:s,s:[o],s:{s:i,s:i,s:i}}", "id", "cmpl-1", "object", "text_completion", "created", 1764000000, "model", "tiny",
                     "choices", choice, "usage", "prompt_tokens", n_prompt, "total_tokens", n_prompt + n, "completion_tokens", n);
}

static json_t *chat(fake_shape shape, const json_t *list, int n_prompt)
{
    json_t *logprobs = shape == FAKE_LM_STUDIO ? json_null() : json_pack("{s:o}", "content", objects(list));
    json_t *choice = json_pack("{s:i,s:{s:s,s:s},s:o,s:s}", "index", 0, "message", "role", "assistant", "content", "", "logprobs", logprobs,
                               "finish_reason", "length");
    int n = (int)json_array_size(list);
    return json_pack("{s:s,s:s,s:i,s:s,s:[o],s:{s:i,s:i,s:i}}", "id", "chatcmpl-1", "object", "chat.completion", "created", 1764000000, "model",
                     "tiny", "choices", choice, "usage", "prompt_tokens", n_prompt, "completion_tokens", n, "total_tokens", n_prompt + n);
}

static json_t *responses(const json_t *list, int n_prompt)
{
    json_t *text = json_pack("{s:s,s:s,s:[],s:o}", "type", "output_text", "text", "", "annotations", "logprobs", objects(list));
    json_t *message = json_pack("{s:s,s:s,s:s,s:s,s:[o]}", "id", "msg_1", "type", "message", "role", "assistant", "status", "incomplete", "content",
                                text);
    int n = (int)json_array_size(list);
    return json_pack("{s:s,s:s,s:i,s:s,s:{s:s},s:s,s:n,s:[o],s:n,s:{s:i,s:i,s:i}}", "id", "resp_1", "object", "response", "created_at", 1764000000,
                     "status", "incomplete", "incomplete_details", "reason", "max_output_tokens", "model", "tiny", "previous_response_id", "output",
                     message, "error", "usage", "input_tokens", n_prompt, "output_tokens", n, "total_tokens", n_prompt + n);
}

static json_t *generated(const json_t *list, int n_prompt)
{
    return json_pack("{s:s,s:s,s:s,s:b,s:s,s:I,s:I,s:i,s:I,s:i,s:I,s:o}", "model", "tiny:latest", "created_at", "2025-11-25T19:22:45.499127Z",
                     "response", "", "done", 1, "done_reason", "length", "total_duration", (json_int_t)5043500667, "load_duration",
                     (json_int_t)5025959, "prompt_eval_count", n_prompt, "prompt_eval_duration", (json_int_t)325953000, "eval_count",
                     (int)json_array_size(list), "eval_duration", (json_int_t)4709213000, "logprobs", objects(list));
}

json_t *fake_shaped(fake_shape shape, const char *path, const json_t *question, json_t *list, const json_t *before, int n_prompt)
{
    json_t *j;
    if (shape == FAKE_LLAMA || shape == FAKE_ROUTER) j = json_pack("{s:s,s:b,s:i,s:O}", "content", "", "stop", 1, "tokens_evaluated", n_prompt, "completion_probabilities", list);
    else if (shape == FAKE_LLAMA_OLD) j = old_llama(list, json_number_value(json_object_get(question, "temperature")) >= 0);
    else if (shape == FAKE_OLLAMA) j = generated(list, n_prompt);
    else if (strcmp(path, "/v1/responses") == 0) j = responses(list, n_prompt);
    else if (strcmp(path, "/v1/chat/completions") == 0) j = chat(shape, list, n_prompt);
    else j = completion(shape, list, before, n_prompt);
    json_decref(list);
    return j;
}

static json_t *about_ollama(const char *path, long long n_params)
{
    const char *details = "{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":\"llama\",\"families\":[\"llama\"],\"parameter_size\":\"1M\","
                          "\"quantization_level\":\"Q8_0\"}";
    if (strcmp(path, "/api/tags") == 0)
        return json_pack("{s:[{s:s,s:s,s:s,s:i,s:s,s:o}]}", "models", "name", "tiny:latest", "model", "tiny:latest", "modified_at",
                         "2025-11-25T19:22:45.499127Z", "size", 1000000, "digest", "sha256:0", "details", json_loads(details, 0, NULL));
    if (strcmp(path, "/api/ps") == 0) return json_pack("{s:[]}", "models");
    if (strcmp(path, "/api/show") == 0)
        return json_pack("{s:o,s:{s:s,s:I}}", "details", json_loads(details, 0, NULL), "model_info", "general.architecture", "llama",
                         "general.parameter_count", (json_int_t)n_params);
    return NULL;
}

json_t *fake_about(fake_shape shape, const char *path, int n_ctx, long long n_params)
{
    bool llama = shape == FAKE_LLAMA || shape == FAKE_LLAMA_OLD || shape == FAKE_ROUTER;
    if (shape == FAKE_ROUTER && strcmp(path, "/props") == 0)
        return json_pack("{s:s,s:s,s:s,s:{s:n,s:i}}", "role", "router", "model_alias", "llama-server", "model_path", "none",
                         "default_generation_settings", "params", "n_ctx", 0);
    if (shape == FAKE_ROUTER && strcmp(path, "/props?model=%74%69%6E%79") == 0) path = "/props";
    if (shape == FAKE_OLLAMA) return about_ollama(path, n_params);
    if (llama && strcmp(path, "/props") == 0) return json_pack("{s:{s:i}}", "default_generation_settings", "n_ctx", n_ctx);
    if (strcmp(path, "/v1/models") != 0) return NULL;
    if (shape == FAKE_VLLM)
        return json_pack("{s:s,s:[{s:s,s:s,s:i,s:s,s:s,s:n,s:i,s:[]}]}", "object", "list", "data", "id", "tiny", "object", "model", "created",
                         1764000000, "owned_by", "vllm", "root", "tiny", "parent", "max_model_len", n_ctx, "permission");
    if (shape == FAKE_LM_STUDIO || shape == FAKE_ROUTER)
        return json_pack("{s:[{s:s,s:s,s:s},{s:s,s:s,s:s}],s:s}", "data", "id", "tiny", "object", "model", "owned_by", "organization_owner", "id",
                         "text-embedding-nomic-embed-text-v1.5", "object", "model", "owned_by", "organization_owner", "object", "list");
    json_t *m = json_pack("{s:s,s:s,s:i,s:s}", "id", "tiny", "object", "model", "created", 1764000000, "owned_by", llama ? "llamacpp" : "me");
    if (llama && n_params) json_object_set_new(m, "meta", json_pack("{s:I}", "n_params", (json_int_t)n_params));
    return json_pack("{s:s,s:[o]}", "object", "list", "data", m);
}

json_t *fake_refuses(fake_shape shape, const char *path, const json_t *q)
{
    const json_t *prompt = json_object_get(q, "prompt"), *top = json_object_get(q, "top_logprobs");
    bool is_completion = strcmp(path, "/v1/completions") == 0;
    bool texts = shape == FAKE_LM_STUDIO || shape == FAKE_TEXTS || shape == FAKE_CHAT || shape == FAKE_OLLAMA;
    const char *model = json_string_value(json_object_get(q, "model"));
    if (shape == FAKE_ROUTER && (!model || strcmp(model, "tiny") != 0))
        return json_pack("{s:{s:s}}", "error", "message", "model name is missing from the request");
    if (is_completion && shape == FAKE_CHAT) return json_pack("{s:s}", "error", "only chats");
    if (strcmp(path, "/v1/responses") == 0 && shape != FAKE_LM_STUDIO) return json_pack("{s:s}", "error", "no such route");
    if (texts && prompt && !json_is_string(prompt)) return json_pack("{s:{s:s,s:s}}", "error", "message", "'prompt' is to be a string", "type", "invalid_request_error");
    if (json_integer_value(json_object_get(q, "logprobs")) > MOST || json_integer_value(json_object_get(q, "prompt_logprobs")) > MOST ||
        json_integer_value(top) > MOST)
        return json_pack("{s:{s:s,s:s,s:n,s:i}}", "error", "message", "Requested sample logprobs of 40, which is greater than max allowed: 20",
                         "type", "BadRequestError", "param", "code", 400);
    return NULL;
}
