/* What `tawny verify` says: rows and words, JSON. */
#include <stdio.h>

#include "cli.h"
#include "verify.h"

void verify_print_depth(void *user, const verify_depth *d)
{
    bool *heading = user;
    if (!*heading) printf("%8s  %-6s %9s %10s %10s %10s  %-24s %s\n", "depth", "prompt", "positions", "KL typical", "KL mean", "KL max", "most probable token", "verdict");
    *heading = true;
    char argmax[64];
    snprintf(argmax, sizeof argmax, "%d same, %d near, %d other", d->n - d->flips - d->ties, d->ties, d->flips);
    printf("%8d  %-6s %9d %10.2g %10.2g %10.2g  %-24s %s%s%s%s\n", d->depth, d->either ? "either" : d->fresh ? "new" : "cached", d->n, d->kl_typical, d->kl_mean,
           d->kl_max, argmax,
           verdict_name(d->verdict), d->not_numbers ? ", numbers that are no probabilities" : "",
           d->not_greedy ? ", goes on with tokens it calls improbable" : "", d->repeats ? ", repeats itself" : "");
    fflush(stdout);
}

void verify_words(const verify_result *v, char *out, size_t size)
{
    int32_t deepest = v->n_depths ? v->depths[v->n_depths - 1].depth : 0;
    int32_t pos = -1;
    for (int i = 0; i < v->n_depths; i++)
        if (v->depths[i].depth == v->from) pos = v->depths[i].bad_pos;
    char sound[64] = "";
    if (v->sound_to >= 0) snprintf(sound, sizeof sound, ", sound up to %d", v->sound_to);
    if (v->constant)
        snprintf(out, size, "broken: the server says the same whatever it is asked");
    else if (v->arithmetic != VERDICT_SOUND)
        snprintf(out, size, "%s from prompts of %d tokens on (first at position %d)%s", verdict_name(v->arithmetic), v->from, pos, sound);
    else if (v->overall == VERDICT_UNKNOWN)
        snprintf(out, size, "unknown: sound up to %d tokens, then it could not be judged", deepest);
    else
        snprintf(out, size, "%s: the arithmetic is sound up to %d tokens%s%s", verdict_name(v->overall), deepest,
                 v->tokenizer_differs ? ", but the tokenizer differs" : "", v->template_differs ? ", but the chat template differs" : "");
}

void verify_print_verdict(const verify_result *v)
{
    char words[256];
    verify_words(v, words, sizeof words);
    printf("tokenizer      %s\nchat template  %s\n", v->tokenizer, v->template);
    if (*v->why_left_out) printf("left out       %s\n", v->why_left_out);
    if (*v->stopped) printf("stopped        %s\n", v->stopped);
    printf("verdict        %s\n", words);
    if (*v->note) printf("               %s\n", v->note);
}

static json_t *depth_json(const verify_depth *d)
{
    json_t *cached = d->either ? json_null() : json_boolean(!d->fresh);
    json_t *j = json_pack("{s:i,s:o,s:i,s:f,s:f,s:f,s:i,s:i,s:f,s:i,s:i,s:b,s:f,s:s}", "depth", d->depth, "cached", cached, "positions", d->n, "kl_typical", d->kl_typical, "kl_mean",
                          d->kl_mean, "kl_max", d->kl_max, "near_ties", d->ties, "other_argmax", d->flips, "margin_max", d->margin_max, "not_numbers",
                          d->not_numbers, "not_greedy", d->not_greedy, "repeats", d->repeats, "seconds", d->seconds, "verdict", verdict_name(d->verdict));
    if (j && d->bad_pos >= 0) json_object_set_new(j, "first_bad_position", json_integer(d->bad_pos));
    return j;
}

json_t *verify_json(const verify_result *v, const remote *r, const verify_options *o)
{
    char words[256];
    verify_words(v, words, sizeof words);
    json_t *depths = json_array();
    for (int i = 0; i < v->n_depths; i++) json_array_append_new(depths, depth_json(&v->depths[i]));
    json_t *j = json_pack("{s:s,s:s,s:s,s:s,s:{s:s,s:s,s:s*},s:s,s:{s:s,s:b},s:{s:s,s:b},s:b,s:o}", "verdict", verdict_name(v->overall),
                          "arithmetic", verdict_name(v->arithmetic), "words", words, "tawny", TAWNY_VERSION, "server", "url", r->url, "kind",
                          remote_kind_name(r->kind), "model", *r->model ? r->model : NULL, "model", o->model, "tokenizer", "result", v->tokenizer,
                          "differs", v->tokenizer_differs, "template", "result", v->template, "differs", v->template_differs, "constant",
                          v->constant, "depths", depths);
    if (!j) return NULL;
    if (v->from >= 0) json_object_set_new(j, "from_depth", json_integer(v->from));
    if (v->sound_to >= 0) json_object_set_new(j, "sound_to_depth", json_integer(v->sound_to));
    if (*v->stopped) json_object_set_new(j, "stopped", json_string(v->stopped));
    if (*v->note) json_object_set_new(j, "note", json_string(v->note));
    json_t *left_out = json_array();
    for (int i = 0; i < v->n_left_out; i++) json_array_append_new(left_out, json_integer(v->left_out[i]));
    json_object_set_new(j, "left_out", json_pack("{s:o,s:s}", "depths", left_out, "why", v->why_left_out));
    return j;
}
