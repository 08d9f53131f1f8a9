/* Which activation an architecture's feed-forward has is part of its code. A file that names another one is of a model that would be
 * computed wrongly, and is refused. Names are those of Hugging Face's configurations. */
#include <stdio.h>
#include <string.h>

#include "archs.h"

enum { NAMES = 6 };

typedef struct kind {
    const char *archs; /* each between blanks; NULL: all others */
    const char *names[NAMES];
} kind;

static const kind kinds[] = {
    {" gemma gemma2 gemma3 gemma3n gemma4 grok gpt2 starcoder starcoder2 gptneox falcon phi2 codeshell bloom mpt ",
     {"gelu", "gelu_new", "gelu_fast", "gelu_tanh", "gelu_pytorch_tanh", "geglu"}},
    {" arcee nemotron nemotron_h nemotron_h_moe ", {"relu2", "relu_squared"}},
    {" smallthinker ", {"relu"}},
    {" apertus ", {"xielu"}},
    {" gpt-oss ", {"silu", "swish", "swiglu", "swiglu_oai"}},
    {NULL, {"silu", "swish", "swiglu"}},
};

static const kind *kind_of(const char *name)
{
    char word[80];
    const kind *k = kinds;
    snprintf(word, sizeof word, " %s ", name);
    while (k->archs && !strstr(k->archs, word)) k++;
    return k;
}

tawny_status activation_check(const model *m, tawny_error *err)
{
    static const char *const keys[] = {"hidden_act", "hidden_activation", "activation_function"};
    if (m->arch->encoder) return TAWNY_OK; /* which read it */
    const kind *k = kind_of(m->arch_name);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char key[128];
        gguf_str said = {0};
        bool known = false;
        snprintf(key, sizeof key, "%s.%s", m->arch_name, keys[i]);
        TRY(gguf_opt_str(m->file, key, &said, err));
        for (int n = 0; said.p && n < NAMES && k->names[n]; n++) known |= gguf_str_eq(said, k->names[n]);
        if (said.p && !known)
            return err_set(err, TAWNY_E_UNSUPPORTED, "%s: %s is '%.*s'; %s is computed with %s", gguf_path(m->file), key,
                           (int)(said.n < 40 ? said.n : 40), said.p, m->arch_name, k->names[0]);
    }
    return TAWNY_OK;
}
