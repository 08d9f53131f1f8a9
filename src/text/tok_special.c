/* Special tokens: ids, flags, which tokens end a generation, and attributes that files do not carry.
 *
 * Files name few of them, so the rest is told by token text and by model name, as llama.cpp does it
 * (llama-vocab.cpp): agreement with it is the specification here. */
#include <ctype.h>
#include <string.h>

#include "tok_int.h"

void tok_default_specials(tokenizer *t)
{
    static const struct {
        tok_kind kind;
        tawny_token bos, eos, unk, sep, pad, mask;
    } defaults[] = {
        {TOK_SPM, 1, 2, 0, -1, -1, -1},     {TOK_WPM, 101, -1, 100, 102, 0, 103}, {TOK_BPE, 11, 11, -1, -1, -1, -1},
        {TOK_UGM, -1, 1, 2, -1, 0, -1},     {TOK_PLAMO2, 1, 2, 0, -1, 3, -1},
    };
    for (int i = 0; i < TOK_SPECIALS; i++) t->special[i] = TOK_NONE;
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        if (defaults[i].kind != t->kind || strcmp(t->model, "gemma4") == 0) continue;
        t->special[TOK_BOS] = defaults[i].bos;
        t->special[TOK_EOS] = defaults[i].eos;
        t->special[TOK_UNK] = defaults[i].unk;
        t->special[TOK_SEP] = defaults[i].sep;
        t->special[TOK_PAD] = defaults[i].pad;
        t->special[TOK_MASK] = defaults[i].mask;
    }
    t->escape_whitespaces = true;
    switch (t->kind) {
    case TOK_BPE:
        t->escape_whitespaces = t->pre_flags & PRE_ESCAPE;
        t->clean_spaces = !(t->pre_flags & PRE_KEEP_SPACES);
        t->add_bos = t->pre_flags & PRE_ADD_BOS;
        t->add_sep = t->pre_flags & PRE_ADD_SEP;
        if (t->pre_flags & PRE_NO_BOS) t->special[TOK_BOS] = TOK_NONE;
        break;
    case TOK_SPM: t->add_space_prefix = t->add_bos = true; break;
    case TOK_WPM: t->clean_spaces = t->add_bos = t->add_sep = true; break;
    case TOK_UGM: t->add_eos = true; break;
    default: break;
    }
    t->lowercase = t->kind == TOK_WPM || (t->kind == TOK_BPE && strcmp(t->pre, "whitespace") != 0);
}

/* The id of a key: missing, or all ones, leaves *id as it was. */
static tawny_status get_id(const gguf *g, const tokenizer *t, const char *key, tawny_token *id, tawny_error *err)
{
    const gguf_kv *kv = gguf_find(g, key);
    uint32_t v = 0;
    if (!kv || (kv->type == GGUF_U32 && kv->v.u == UINT32_MAX) || (kv->type == GGUF_I32 && kv->v.i == -1))
        return TAWNY_OK;
    tawny_status st = gguf_get_u32(g, key, 0, t->n - 1, &v, err);
    if (st == TAWNY_OK) *id = (tawny_token)v;
    return st;
}

static tawny_status load_ids(const gguf *g, tokenizer *t, tawny_error *err)
{
    static const struct {
        const char *key;
        tok_special which;
    } ids[] = {
        {"bos", TOK_BOS}, {"eos", TOK_EOS}, {"eot", TOK_EOT}, {"eom", TOK_EOM}, {"unknown", TOK_UNK},
        {"seperator", TOK_SEP}, {"padding", TOK_PAD}, {"mask", TOK_MASK}, {"fim_pre", TOK_FIM_PRE},
        {"fim_suf", TOK_FIM_SUF}, {"fim_mid", TOK_FIM_MID}, {"fim_pad", TOK_FIM_PAD}, {"fim_rep", TOK_FIM_REP},
        {"fim_sep", TOK_FIM_SEP}, {"prefix", TOK_FIM_PRE}, {"suffix", TOK_FIM_SUF}, {"middle", TOK_FIM_MID},
    };
    for (int i = 0; i < TOK_SPECIALS; i++)
        if (t->special[i] >= (tawny_token)t->n) t->special[i] = TOK_NONE;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char key[64] = "tokenizer.ggml.";
        strcat(strcat(key, ids[i].key), "_token_id");
        tawny_status st = get_id(g, t, key, &t->special[ids[i].which], err);
        if (st != TAWNY_OK) return st;
    }
    return TAWNY_OK;
}

static tawny_status load_flags(const gguf *g, tokenizer *t, tawny_error *err)
{
    const struct {
        const char *key;
        bool *flag;
    } flags[] = {
        {"tokenizer.ggml.add_space_prefix", &t->add_space_prefix},
        {"tokenizer.ggml.remove_extra_whitespaces", &t->remove_extra_whitespaces},
        {"tokenizer.ggml.add_bos_token", &t->add_bos},
        {"tokenizer.ggml.add_eos_token", &t->add_eos},
        {"tokenizer.ggml.add_sep_token", &t->add_sep},
        {"tokenizer.ggml.normalizer.lowercase", &t->lowercase},
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        tawny_status st = gguf_opt_bool(g, flags[i].key, flags[i].flag, err);
        if (st != TAWNY_OK) return st;
    }
    if (t->pre_flags & PRE_GEMMA) t->add_bos = true;
    t->strip_accents = t->lowercase;
    return gguf_opt_bool(g, "tokenizer.ggml.normalizer.strip_accents", &t->strip_accents, err);
}

static tawny_status load_suppressed(const gguf *g, tokenizer *t, tawny_error *err)
{
    gguf_array a;
    tawny_status st = gguf_opt_array(g, "tokenizer.ggml.suppress_tokens", GGUF_I32, &a, err);
    if (st != TAWNY_OK || !a.data) return st;
    t->suppressed = arena_array(t->mem, a.n, sizeof *t->suppressed);
    if (!t->suppressed) return err_nomem(err);
    for (uint64_t i = 0; i < a.n; i++) {
        int64_t id = gguf_array_i64(&a, i);
        if (id < 0 || id >= t->n)
            return tok_bad(t, err, "tokenizer.ggml.suppress_tokens[%llu] is %lld in a vocabulary of %u",
                           (unsigned long long)i, (long long)id, t->n);
        t->suppressed[t->n_suppressed++] = (tawny_token)id;
    }
    return TAWNY_OK;
}

static tawny_token find(const tokenizer *t, const char *text)
{
    return tok_index_find(&t->index, text, strlen(text));
}

static bool same(const tokenizer *t, uint32_t id, const char *text)
{
    return t->text[id].n == strlen(text) && memcmp(t->text[id].p, text, t->text[id].n) == 0;
}

static void find_by_text(tokenizer *t)
{
    static const struct {
        tok_special which;
        const char *texts[13];
    } known[] = {
        {TOK_EOT,
         {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>",
          "_<EOT>", "[EOT]", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<end_of_utterance>"}},
        {TOK_EOM, {"<|eom_id|>"}},
        {TOK_FIM_PRE,
         {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\uff5cfim\u2581begin\uff5c>", "<PRE>", "\u2581<PRE>",
          "<|code_prefix|>", "<|prefix|>"}},
        {TOK_FIM_SUF,
         {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<\uff5cfim\u2581hole\uff5c>", "<SUF>", "\u2581<SUF>",
          "<|code_suffix|>", "<|suffix|>"}},
        {TOK_FIM_MID,
         {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<\uff5cfim\u2581end\uff5c>", "<MID>", "\u2581<MID>",
          "<|code_middle|>", "<|middle|>"}},
        {TOK_FIM_PAD, {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}},
        {TOK_FIM_REP, {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}},
        {TOK_FIM_SEP, {"<|file_sep|>"}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        for (const char *const *p = known[i].texts; *p && t->special[known[i].which] == TOK_NONE; p++) {
            tawny_token id = find(t, *p);
            if (id == TOK_NONE) continue;
            t->special[known[i].which] = id;
            t->attr[id] |= TOK_CONTROL;
        }
}

static void find_eog(tokenizer *t)
{
    static const char *const texts[] = {
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
        "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
        "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<\uff5cend\u2581of\u2581sentence\uff5c>",
        "[e~[",
    };
    static const tok_special also[] = {TOK_FIM_PAD, TOK_FIM_REP, TOK_FIM_SEP, TOK_EOS, TOK_EOT, TOK_EOM};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        tawny_token id = find(t, texts[i]);
        if (id == TOK_NONE) continue;
        t->eog[id] = 1;
        t->attr[id] |= TOK_CONTROL;
    }
    for (size_t i = 0; i < sizeof also / sizeof *also; i++)
        if (t->special[also[i]] != TOK_NONE) t->eog[t->special[also[i]]] = 1;
}

/* These are rendered even where control tokens are left out. */
static void show(tokenizer *t, tawny_token id)
{
    t->attr[id] = (uint16_t)(TOK_USER_DEFINED | TOK_MARKUP);
}

static bool ends(const tokenizer *t, const char *text)
{
    tawny_token id = find(t, text);
    return id != TOK_NONE && t->eog[id];
}

/* Exceptions: Harmony (gpt-oss) and its kin, where <|end|> ends a message and not the turn; and models to
 * which </s> is a word like others. */
static void exceptions(tokenizer *t)
{
    static const char *const shown[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        tawny_token id = find(t, shown[i]);
        if (id != TOK_NONE) show(t, id);
    }
    bool call = ends(t, "<|call|>") || ends(t, "<|calls|>");
    if (ends(t, "<|end|>") && call && (ends(t, "<|return|>") || ends(t, "<|flush|>"))) {
        tawny_token id = find(t, "<|end|>");
        t->eog[id] = 0;
        show(t, id);
    }
    if (ends(t, "</s>") && (ends(t, "<|tool_response>") || ends(t, "<|plamo:eos|>"))) {
        tawny_token id = find(t, "</s>");
        t->eog[id] = 0;
        t->attr[id] = TOK_NORMAL;
    }
}

static void mark_user_defined(tokenizer *t, tawny_token id)
{
    if (id != TOK_NONE && t->attr[id] & TOK_USER_DEFINED) t->attr[id] |= TOK_MARKUP;
}

/* Files call some of the words that only templates write user-defined (<tool_call>, <think>, <|channel>): those in
 * brackets that stand in one of the model's templates, or that have a bar at a bracket. */
static void find_markup(tokenizer *t)
{
    enum { LONGEST = 64 };
    for (size_t i = 0; i < t->n_templates; i++) {
        const char *p = t->templates[i].text, *end = p + t->templates[i].n;
        for (; p < end; p++) {
            if (*p != '<' && *p != '[') continue;
            size_t most = end - p < LONGEST ? (size_t)(end - p) : LONGEST;
            const char *close = memchr(p, *p == '<' ? '>' : ']', most);
            if (close) mark_user_defined(t, tok_index_find(&t->index, p, (size_t)(close - p) + 1));
        }
    }
    for (uint32_t i = 0; i < t->n; i++) {
        const tok_str *s = &t->text[i];
        if (s->n < 4 || s->p[0] != '<' || s->p[s->n - 1] != '>') continue;
        if (s->p[1] == '|' || s->p[s->n - 2] == '|') mark_user_defined(t, (tawny_token)i);
    }
}

/* Control tokens whose text says so are unused ones. */
static void find_unused(tokenizer *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->attr[i] & TOK_CONTROL && memmem(t->text[i].p, t->text[i].n, "unused", 6)) t->attr[i] |= TOK_UNUSED;
}

static bool has(gguf_str s, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= s.n; i++) {
        size_t k = 0;
        while (k < n && tolower((unsigned char)s.p[i + k]) == part[k]) k++;
        if (k == n) return true;
    }
    return false;
}

static tawny_status attributes_by_name(const gguf *g, tokenizer *t, tawny_error *err)
{
    gguf_str name = {"", 0}, arch = {"", 0}, pre = {t->pre, strlen(t->pre)};
    tawny_status st = gguf_opt_str(g, "general.name", &name, err);
    if (st == TAWNY_OK) st = gguf_opt_str(g, "general.architecture", &arch, err);
    if (st != TAWNY_OK) return st;
    const char *mask = NULL;
    if (has(pre, "jina-v2-de") || has(pre, "jina-v2-es") || has(pre, "jina-v2-code") || has(arch, "nomic-bert-moe") ||
        has(arch, "jina-bert-v3"))
        mask = "<mask>";
    else if (has(name, "phi-3") || has(name, "phi3")) {
        for (uint32_t i = 0; i < t->n; i++) {
            bool special = t->attr[i] & (TOK_CONTROL | TOK_USER_DEFINED | TOK_UNKNOWN);
            bool not = same(t, i, "<unk>") || same(t, i, "<s>") || same(t, i, "<|endoftext|>");
            if ((special || same(t, i, "</s>")) && !not) t->attr[i] |= TOK_RSTRIP;
        }
    } else if (has(name, "modern-bert"))
        mask = "[MASK]";
    tawny_token id = mask ? find(t, mask) : TOK_NONE;
    if (id != TOK_NONE) t->attr[id] |= TOK_LSTRIP;
    return TAWNY_OK;
}

tawny_status tok_load_specials(const gguf *g, tokenizer *t, tawny_error *err)
{
    tawny_status st = load_ids(g, t, err);
    if (st == TAWNY_OK) st = load_flags(g, t, err);
    if (st == TAWNY_OK) st = load_suppressed(g, t, err);
    if (st != TAWNY_OK) return st;
    find_by_text(t);
    find_unused(t);
    find_eog(t);
    exceptions(t);
    find_markup(t);
    return attributes_by_name(g, t, err);
}
