#include "verify_activations.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "activations.h"
#include "ids.h"

enum { NOT_JUDGED = 3, MAX_TOKENS = 2048 };

static void name_of(const activation_error *e, char *out, size_t size)
{
    if (e->layer >= 0) snprintf(out, size, "%s of layer %d", e->name, e->layer);
    else snprintf(out, size, "%s", e->name);
}

static void print_words(const activation_report *r, int32_t n_tokens)
{
    char name[64];
    const activation_error *e = r->first >= 0 ? &r->v[r->first] : NULL;
    printf("%zu results over %d tokens compared, %zu of the file left out (views, and what is not computed by such a name here)\n", r->n,
           n_tokens, r->left_out);
    if (!e) {
        printf("verdict   sound: errors of %.2g at most\n", r->before);
        return;
    }
    name_of(e, name, sizeof name);
    printf("verdict   broken: the first that diverges is %s, ", name);
    if (e->not_numbers) printf("which has numbers that are not finite");
    else printf("with an error of %.2g", e->error);
    if (r->first > 0) {
        name_of(&r->v[r->first - 1], name, sizeof name);
        printf(" after %.2g at most, up to %s", r->before, name);
    }
    putchar('\n');
}

static int print_json(const activation_report *r, int32_t n_tokens)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n; i++) {
        const activation_error *e = &r->v[i];
        json_array_append_new(list, json_pack("{s:s,s:i,s:f,s:f,s:b,s:b}", "name", e->name, "layer", e->layer, "error", e->error, "largest",
                                              e->largest, "not_numbers", e->not_numbers, "diverges", e->diverges));
    }
    json_t *j = json_pack("{s:s,s:i,s:f,s:I,s:o}", "verdict", r->first < 0 ? "sound" : "broken", "tokens", n_tokens, "largest_error_before",
                          r->before, "left_out", (json_int_t)r->left_out, "results", list);
    if (j && r->first >= 0) json_object_set(j, "first", json_array_get(list, (size_t)r->first));
    int code = j && json_dumpf(j, stdout, JSON_INDENT(2)) == 0 ? 0 : cli_fail(1, "verify: out of memory");
    putchar('\n');
    json_decref(j);
    return code;
}

int verify_activations(engine_opts *o, const char *path, const char *spec, bool json)
{
    activations a = {0};
    activation_report report = {0};
    tawny_model *m = NULL;
    tawny_engine *e = NULL;
    tawny_token *given = NULL;
    tawny_error err;
    int32_t n = 0;
    int code = spec ? ids_parse("verify", spec, &given, &n) : -1;
    if (code >= 0) goto done;
    code = NOT_JUDGED;
    if (activations_read(path, &a, &err) != TAWNY_OK) goto failed;
    const tawny_token *tokens = given ? given : a.tokens;
    if (!given) n = a.n_tokens;
    if (n < 1 || n > MAX_TOKENS) {
        code = cli_fail(2, "verify: %s: %s", path, n ? "more than 2048 tokens" : "it does not tell the tokens; --tokens does");
        goto done;
    }
    tawny_engine_params *p = &o->params;
    p->n_ctx = p->n_ubatch = n;
    if (!p->act_bits) p->act_bits = 16;
    if (tawny_model_open(o->model, &m, &err) || tawny_engine_new(m, p, &e, &err) || activations_compare(e, &a, tokens, n, &report, &err)) goto failed;
    if (!report.n) {
        cli_fail(NOT_JUDGED, "verify: %s: none of its %zu results is one that is computed here", path, a.n);
        goto done;
    }
    code = report.first >= 0;
    if (json && print_json(&report, n) != 0) code = NOT_JUDGED;
    if (!json) print_words(&report, n);
    goto done;
failed:
    cli_fail(code, "verify: %s", err.message);
done:
    activation_report_free(&report);
    tawny_engine_free(e);
    tawny_model_close(m);
    activations_free(&a);
    free(given);
    return code == 2 || code == NOT_JUDGED ? code : cli_finish(code);
}
