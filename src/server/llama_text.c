/* llama-server's /tokenize, /detokenize and /apply-template. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llama.h"

/* ---- text to tokens ---- */

typedef struct tokenize_body {
    const json_t *content;
    bool add_special, parse_special, with_pieces;
} tokenize_body;

#define T(field) offsetof(tokenize_body, field)
static const param tokenize_table[] = {
    {"content", PARAM_JSON, T(content), 0, 0, JSON_T_STRING | JSON_T_ARRAY, false, "a text, or texts and token ids mixed"},
    {"add_special", PARAM_BOOL, T(add_special), 0, 0, 0, false, "with what the model wants before and after a text"},
    {"parse_special", PARAM_BOOL, T(parse_special), 0, 0, 0, false, "control tokens written out become those tokens (default: true)"},
    {"with_pieces", PARAM_BOOL, T(with_pieces), 0, 0, 0, false, "each with its text, or its bytes where these are none"},
    PARAM_END,
};
const param *const llama_tokenize_tables[] = {tokenize_table, NULL};

static json_t *token_with_piece(const server *sv, tawny_token id)
{
    size_t n;
    const char *p = tok_piece(sv->tok, id, TOK_SPECIAL, &n);
    json_t *piece = json_stringn(p, n);
    if (!piece) {
        piece = json_array();
        for (size_t i = 0; i < n; i++) json_array_append_new(piece, json_integer((unsigned char)p[i]));
    }
    return json_pack("{s:i,s:o}", "id", (int)id, "piece", piece);
}

void llama_tokenize(exchange *x)
{
    tokenize_body b = {.parse_special = true};
    tok_vec tokens = {0};
    if (!exchange_params(x, tokenize_table, &b)) return;
    unsigned flags = (b.add_special ? TOK_ADD_SPECIAL : 0u) | (b.parse_special ? TOK_PARSE_SPECIAL : 0u);
    if (!b.content || completion_mixed(x, b.content, "content", flags, &tokens)) {
        json_t *list = json_array();
        for (size_t i = 0; i < tokens.n; i++)
            json_array_append_new(list, b.with_pieces ? token_with_piece(x->sv, tokens.v[i]) : json_integer(tokens.v[i]));
        reply_json(x, 200, json_pack("{s:o}", "tokens", list));
    }
    tok_vec_free(&tokens);
}

/* ---- and back ---- */

typedef struct detokenize_body {
    const json_t *tokens;
} detokenize_body;

static const param detokenize_table[] = {
    {"tokens", PARAM_JSON, offsetof(detokenize_body, tokens), 0, 0, JSON_T_ARRAY, false, "token ids"},
    PARAM_END,
};
const param *const llama_detokenize_tables[] = {detokenize_table, NULL};

void llama_detokenize(exchange *x)
{
    detokenize_body b = {0};
    tok_stream stream = {0};
    buf text = {0};
    bool ok = true;
    if (!exchange_params(x, detokenize_table, &b)) return;
    for (size_t i = 0; i < json_array_size(b.tokens); i++) {
        const json_t *id = json_array_get(b.tokens, i);
        json_int_t v = json_integer_value(id);
        if (!json_is_integer(id) || v < 0 || v >= (json_int_t)tok_n_vocab(x->sv->tok)) {
            reply_error(x, 400, NULL, "'tokens' must hold token ids of the vocabulary", "tokens");
            buf_free(&text);
            return;
        }
        ok = ok && tok_stream_push(x->sv->tok, &stream, (tawny_token)v, TOK_SPECIAL, &text);
    }
    if (ok && tok_stream_flush(&stream, &text))
        reply_json(x, 200, json_pack("{s:o}", "content", json_stringn(text.data ? text.data : "", text.size)));
    else
        reply_error(x, 500, NULL, "out of memory", NULL);
    buf_free(&text);
}

/* ---- templates ---- */

typedef struct template_body {
    const json_t *messages, *tools, *variables;
    bool generate;
} template_body;

#define P(field) offsetof(template_body, field)
static const param template_table[] = {
    {"messages", PARAM_JSON, P(messages), 0, 0, JSON_T_ARRAY, true, "the conversation"},
    {"tools", PARAM_JSON, P(tools), 0, 0, JSON_T_ARRAY, false, "functions that the model may call"},
    {"chat_template_kwargs", PARAM_JSON, P(variables), 0, 0, JSON_T_OBJECT, false, "further variables of the template"},
    {"add_generation_prompt", PARAM_BOOL, P(generate), 0, 0, 0, false, "with the opening of an answer (default: true)"},
    PARAM_END,
};
const param *const llama_template_tables[] = {template_table, NULL};

void llama_apply_template(exchange *x)
{
    template_body b = {.generate = true};
    tawny_error err;
    jinja_output out = {0};
    if (!exchange_params(x, template_table, &b)) return;
    chat_request r = {.messages = b.messages, .tools = json_array_size(b.tools) ? b.tools : NULL, .extra = b.variables, .thinking = -1,
                      .no_generation_prompt = !b.generate};
    if (chat_render(x->sv->chat, &r, &out, &err) == TAWNY_OK)
        reply_json(x, 200, json_pack("{s:o}", "prompt", json_stringn(out.text ? out.text : "", out.n)));
    else
        reply_status(x, &err, "messages");
    jinja_output_free(&out);
}
