/* Ollama's answers about the model and the server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "embed.h"
#include "ollama.h"

json_t *ollama_error(int status, const char *type, const char *message, const char *field)
{
    (void)status, (void)type, (void)field;
    return json_pack("{s:s}", "error", message);
}

const door ollama_door = {.stream_type = "application/x-ndjson", .error = ollama_error};

static json_t *time_json(time_t seconds, long nanoseconds)
{
    struct tm t;
    char day[32], all[64];
    gmtime_r(&seconds, &t);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(all, sizeof all, "%s.%09ldZ", day, nanoseconds);
    return json_string(all);
}

json_t *ollama_time(double seconds_ago)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return time_json(t.tv_sec - (time_t)seconds_ago, t.tv_nsec);
}

static json_t *modified(const server *sv)
{
    struct stat st;
    return stat(sv->path, &st) == 0 ? time_json(st.st_mtim.tv_sec, st.st_mtim.tv_nsec) : ollama_time(0);
}

static const gguf *file_of(const server *sv) { return sv->model->m.file; }

static const char *quantization(const server *sv)
{
    uint32_t type = UINT32_MAX;
    gguf_opt_u32(file_of(sv), "general.file_type", 0, UINT32_MAX, &type, NULL);
    const char *name = gguf_file_type_name(type);
    return name ? name : "unknown";
}

static json_t *details(const server *sv)
{
    char size[32];
    double n = (double)tawny_model_n_params(sv->model);
    const char *family = tawny_model_arch(sv->model);
    if (n >= 1e9) snprintf(size, sizeof size, "%.1fB", n / 1e9);
    else snprintf(size, sizeof size, "%.2fM", n / 1e6);
    return json_pack("{s:s,s:s,s:s,s:[s],s:s,s:s}", "parent_model", "", "format", "gguf", "family", family, "families", family, "parameter_size", size,
                     "quantization_level", quantization(sv));
}

static json_t *model_json(const server *sv)
{
    const char *name = server_model_name(sv);
    return json_pack("{s:s,s:s,s:I,s:s,s:o}", "name", name, "model", name, "size", (json_int_t)gguf_file_bytes(file_of(sv)), "digest", "", "details",
                     details(sv));
}

void ollama_tags(exchange *x)
{
    json_t *m = model_json(x->sv);
    json_object_set_new(m, "modified_at", modified(x->sv));
    reply_json(x, 200, json_pack("{s:[o]}", "models", m));
}

void ollama_ps(exchange *x)
{
    const double forever = -100.0 * 365 * 86400; /* the model stays as long as the server */
    json_t *m = model_json(x->sv);
    json_object_set_new(m, "expires_at", ollama_time(forever));
    json_object_set_new(m, "size_vram", json_integer(0));
    json_object_set_new(m, "context_length", json_integer(tawny_engine_n_ctx(sched_engine(x->sv->sched))));
    reply_json(x, 200, json_pack("{s:[o]}", "models", m));
}

void ollama_version(exchange *x) { reply_json(x, 200, json_pack("{s:s}", "version", OLLAMA_VERSION)); }

/* ---- one model ---- */

typedef struct show_body {
    const char *model, *name;
    bool verbose;
} show_body;

#define B(field) offsetof(show_body, field)
static const param show_table[] = {
    {"model", PARAM_TEXT, B(model), 0, 4096, 0, false, "there is one model: any name will do"},
    {"name", PARAM_TEXT, B(name), 0, 4096, 0, false, "the same"},
    {"verbose", PARAM_BOOL, B(verbose), 0, 0, 0, false, "lists too"},
    PARAM_END,
};
const param *const ollama_show_tables[] = {show_table, NULL};

static json_t *number_json(gguf_type type, const gguf_kv *kv)
{
    switch (type) {
    case GGUF_F32:
    case GGUF_F64: return json_real(kv->v.f);
    case GGUF_BOOL: return json_boolean(kv->v.u != 0);
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: return json_integer((json_int_t)kv->v.i);
    default: return json_integer((json_int_t)kv->v.u);
    }
}

/* The file's metadata but for lists, which may be long, and the template, which has a place of its own. */
static json_t *metadata(const server *sv)
{
    json_t *o = json_object();
    for (size_t i = 0; i < gguf_kv_count(file_of(sv)); i++) {
        const gguf_kv *kv = gguf_kv_at(file_of(sv), i);
        json_t *key = json_stringn(kv->key.p, kv->key.n), *v = NULL;
        if (kv->type == GGUF_STR && (kv->key.n < 23 || memcmp(kv->key.p, "tokenizer.chat_template", 23) != 0)) v = json_stringn(kv->v.s.p, kv->v.s.n);
        else if (kv->type == GGUF_ARR) v = json_null();
        else if (kv->type != GGUF_STR) v = number_json(kv->type, kv);
        if (key && v) json_object_set(o, json_string_value(key), v);
        json_decref(key);
        json_decref(v);
    }
    return o;
}

static json_t *capabilities(const server *sv)
{
    unsigned wants = chat_wants(sv->chat);
    if (tawny_model_embeds_only(sv->model)) return json_pack("[s]", "embedding");
    json_t *list = json_pack("[s]", "completion");
    if (wants & CHAT_TOOLS) json_array_append_new(list, json_string("tools"));
    if (wants & CHAT_THINKING) json_array_append_new(list, json_string("thinking"));
    if (tok_special_id(sv->tok, TOK_FIM_MID) != TOK_NONE) json_array_append_new(list, json_string("insert"));
    return list;
}

void ollama_show(exchange *x)
{
    show_body b = {0};
    size_t n = 0;
    if (!exchange_params(x, show_table, &b)) return;
    const char *source = x->sv->config.template_source ? x->sv->config.template_source : tok_chat_template(x->sv->tok, NULL, &n);
    reply_json(x, 200, json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:o}", "modelfile", "", "parameters", "", "template", source ? source : "", "details",
                                 details(x->sv), "model_info", metadata(x->sv), "capabilities", capabilities(x->sv), "modified_at",
                                 modified(x->sv)));
}

/* ---- embeddings ---- */

typedef struct embed_body {
    const json_t *input, *prompt;
} embed_body;

static const param embed_table[] = {
    {"model", PARAM_TEXT, B(model), 0, 4096, 0, false, "there is one model: any name will do"},
    PARAM_END,
};
static const param input_table[] = {
    {"input", PARAM_JSON, offsetof(embed_body, input), 0, 0, JSON_T_STRING | JSON_T_ARRAY, true, "a text, or a list of texts"},
    PARAM_END,
};
static const param prompt_table[] = {
    {"prompt", PARAM_JSON, offsetof(embed_body, prompt), 0, 0, JSON_T_STRING, true, "a text"},
    PARAM_END,
};
const param *const ollama_embed_tables[] = {input_table, embed_table, NULL};
const param *const ollama_embeddings_tables[] = {prompt_table, embed_table, NULL};

static json_t *rows(const embed_job *j)
{
    json_t *list = json_array();
    for (size_t i = 0; i < j->texts.n; i++) {
        int n;
        json_array_append_new(list, embed_row_json(j, embed_rows(j, i, &n)));
    }
    return list;
}

static json_t *embed_shape(exchange *x, const embed_job *j)
{
    json_int_t ns = (json_int_t)(j->ms * 1e6);
    return json_pack("{s:s,s:o,s:I,s:i,s:i}", "model", server_model_name(x->sv), "embeddings", rows(j), "total_duration", ns, "load_duration", 0,
                     "prompt_eval_count", embed_all_tokens(j));
}

static json_t *embeddings_shape(exchange *x, const embed_job *j)
{
    int n;
    (void)x;
    return json_pack("{s:o}", "embedding", embed_row_json(j, embed_rows(j, 0, &n)));
}

static void embed(exchange *x, const json_t *input, const char *field, json_t *(*shape)(exchange *x, const embed_job *j))
{
    embed_job *j = embed_new(x, shape);
    if (j && embed_pooled(x, j) && embed_read(x, j, input, field)) embed_submit(x, j);
}

void ollama_embed(exchange *x)
{
    embed_body b = {0};
    if (exchange_params(x, input_table, &b)) embed(x, b.input, "input", embed_shape);
}

void ollama_embeddings(exchange *x)
{
    embed_body b = {0};
    if (exchange_params(x, prompt_table, &b)) embed(x, b.prompt, "prompt", embeddings_shape);
}
