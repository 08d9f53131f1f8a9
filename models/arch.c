/* The registry of architectures, and loading by it. */
#include <stdio.h>
#include <string.h>

#include "archs.h"
#include "head.h"

static const arch *const archs[] = {
#define ARCH(name) &arch_##name,
#include "archs.def"
#undef ARCH
};

const arch *arch_at(size_t i) { return i < sizeof archs / sizeof *archs ? archs[i] : NULL; }

const arch *arch_find(const char *name)
{
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (strcmp(archs[i]->name, name) == 0) return archs[i];
    return NULL;
}

/* Factors of the frequencies are as many as the full layers turn pairs; windowed ones must not need more. */
static tawny_status check_factors(const model *m, tawny_error *err)
{
    const rope_hp *r = m->hp.rope;
    if (r[1].no_factors || r[1].n_rot <= r[0].n_rot || (!m->rope_freqs[0] && !m->rope_freqs[1])) return TAWNY_OK;
    return err_set(err, TAWNY_E_UNSUPPORTED,
                   "%s: %s.rope.dimension_count_swa %u is more than the %u that the file has factors for", gguf_path(m->file),
                   m->arch_name, r[1].n_rot, r[0].n_rot);
}

static void count(model *m)
{
    for (size_t i = 0; i < gguf_tensor_count(m->file); i++) {
        const gguf_tensor *t = gguf_tensor_at(m->file, i);
        m->weight_bytes += t->bytes;
        m->n_params += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    }
}

tawny_status model_load(model *m, tawny_error *err)
{
    gguf_str name;
    TRY(gguf_get_str(m->file, "general.architecture", &name, err));
    if (name.n == 0 || name.n >= sizeof m->arch_name || memchr(name.p, 0, name.n))
        return err_set(err, TAWNY_E_FORMAT, "%s: general.architecture is not a name", gguf_path(m->file));
    memcpy(m->arch_name, name.p, name.n);
    m->arch = arch_find(m->arch_name);
    if (!m->arch) return arch_refuse(m, err);
    TRY(activation_check(m, err));
    TRY(hparams_load(m, err));
    TRY(head_load(m, err));
    if (m->arch->load) TRY(m->arch->load(m, err));
    TRY(model_bind(m, m->arch->bindings, err));
    TRY(check_factors(m, err));
    TRY(model_bind(m, head_bindings, err));
    TRY(model_check_known(m, err));
    if (!m->output.data) m->output = m->tok_embd; /* tied embeddings */
    count(m);
    return TAWNY_OK;
}
