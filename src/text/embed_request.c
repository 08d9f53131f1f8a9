#include "embed_request.h"

#include <stdlib.h>

/* Closes a text: what came after the last one's end. */
static tawny_status end_text(embed_request *r, const embed_rules *rules, const char *field, tawny_error *err)
{
    size_t from = r->n ? r->text[r->n - 1].end : 0, n = r->ids.n - from;
    if (n == 0) return err_set(err, TAWNY_E_ARG, "%s has no tokens", field);
    if (n > (size_t)rules->most)
        return err_set(err, TAWNY_E_LIMIT, "%s has %zu tokens; at most %d fit (-c)", field, n, rules->most);
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 16;
        embed_text *text = realloc(r->text, cap * sizeof *text);
        if (!text) return err_nomem(err);
        r->text = text;
        r->cap = cap;
    }
    r->text[r->n++] = (embed_text){.end = r->ids.n};
    return TAWNY_OK;
}

static unsigned flags_of(const embed_rules *rules)
{
    return TOK_ADD_SPECIAL | (rules->special ? TOK_PARSE_SPECIAL : 0u);
}

static tawny_status add_text(embed_request *r, const embed_rules *rules, const json_t *s, const char *field,
                             tawny_error *err)
{
    if (!json_is_string(s)) return err_set(err, TAWNY_E_ARG, "%s is no string", field);
    const char *text = json_string_value(s);
    tawny_status st = tok_encode(rules->tok, text, json_string_length(s), flags_of(rules), &r->ids, err);
    return st == TAWNY_OK ? end_text(r, rules, field, err) : st;
}

static tawny_status add_ids(embed_request *r, const embed_rules *rules, const json_t *ids, const char *field,
                            tawny_error *err)
{
    if (!json_is_array(ids)) return err_set(err, TAWNY_E_ARG, "%s is no array of token ids", field);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        json_int_t v = json_integer_value(id);
        if (!json_is_integer(id) || v < 0 || v >= rules->n_vocab)
            return err_set(err, TAWNY_E_ARG, "%s[%zu] is no token id from 0 to %d", field, i, rules->n_vocab - 1);
        if (!tok_vec_add(&r->ids, (tawny_token)v)) return err_nomem(err);
    }
    return end_text(r, rules, field, err);
}

/* A text, token ids, or an array of either. */
static tawny_status read_input(embed_request *r, const embed_rules *rules, const json_t *input, tawny_error *err)
{
    if (json_is_string(input)) return add_text(r, rules, input, "input", err);
    if (!json_is_array(input)) return err_set(err, TAWNY_E_ARG, "input is neither a string nor an array");
    if (json_array_size(input) == 0) return err_set(err, TAWNY_E_ARG, "input is empty");
    const json_t *first = json_array_get(input, 0);
    if (json_is_number(first)) return add_ids(r, rules, input, "input", err);
    for (size_t i = 0; i < json_array_size(input); i++) {
        char field[64];
        snprintf(field, sizeof field, "input[%zu]", i);
        tawny_status st = (json_is_array(first) ? add_ids : add_text)(r, rules, json_array_get(input, i), field, err);
        if (st != TAWNY_OK) return st;
    }
    return TAWNY_OK;
}

static tawny_status read_documents(embed_request *r, const embed_rules *rules, const json_t *query,
                                   const json_t *documents, tawny_error *err)
{
    if (!json_is_string(query)) return err_set(err, TAWNY_E_ARG, "query is %s", query ? "no string" : "missing");
    if (!json_is_array(documents))
        return err_set(err, TAWNY_E_ARG, "documents is %s", documents ? "no array" : "missing");
    if (json_array_size(documents) == 0) return err_set(err, TAWNY_E_ARG, "documents is empty");
    if (!rules->rank)
        return err_set(err, TAWNY_E_UNSUPPORTED,
                       "query: the model's pooling is not that of a reranker (--pooling rank)");
    for (size_t i = 0; i < json_array_size(documents); i++) {
        const json_t *d = json_array_get(documents, i);
        char field[64];
        snprintf(field, sizeof field, "documents[%zu]", i);
        if (json_is_object(d)) d = json_object_get(d, "text");
        if (!json_is_string(d)) return err_set(err, TAWNY_E_ARG, "%s is no string", field);
        tawny_status st =
            tok_encode_pair(rules->tok, json_string_value(query), json_string_length(query), json_string_value(d),
                            json_string_length(d), flags_of(rules), &r->ids, err);
        snprintf(field, sizeof field, "documents[%zu] with the query", i);
        if (st == TAWNY_OK) st = end_text(r, rules, field, err);
        if (st != TAWNY_OK) return st;
    }
    return TAWNY_OK;
}

static tawny_status read_object(embed_request *r, const embed_rules *rules, const json_t *line, tawny_error *err)
{
    const json_t *input = json_object_get(line, "input"), *query = json_object_get(line, "query");
    const json_t *documents = json_object_get(line, "documents");
    if (input && (query || documents))
        return err_set(err, TAWNY_E_ARG, "input stands alone, without query and documents");
    if (query || documents) return read_documents(r, rules, query, documents, err);
    return input ? read_input(r, rules, input, err) : err_set(err, TAWNY_E_ARG, "input is missing");
}

tawny_status embed_request_read(embed_request *r, const embed_rules *rules, size_t number, const json_t *line,
                                tawny_error *err)
{
    size_t n = r->n, ids = r->ids.n;
    tawny_status st = (json_is_object(line) ? read_object : read_input)(r, rules, line, err);
    if (st != TAWNY_OK) {
        r->n = n;
        r->ids.n = ids;
        return st;
    }
    for (size_t i = n; i < r->n; i++) {
        r->text[i].line = number;
        r->text[i].index = i - n;
        r->text[i].rerank = json_object_get(line, "query") != NULL;
    }
    return TAWNY_OK;
}

void embed_request_clear(embed_request *r) { r->ids.n = r->n = 0; }

void embed_request_free(embed_request *r)
{
    tok_vec_free(&r->ids);
    free(r->text);
    *r = (embed_request){0};
}
