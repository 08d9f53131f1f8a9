/* Architectures that are not supported: what they would need, and the nearest relative that is. */
#include <string.h>

#include "archs.h"

typedef struct relative {
    const char *name, *nearest;
    const char *needs; /* NULL: nothing that could be said in a few words */
} relative;

/* Names that are in use, in the spelling of general.architecture. */
static const relative relatives[] = {
    {"arctic", "llama", "a dense feed-forward beside the experts of every layer"},
    {"arwkv7", "mamba2", "RWKV's time mixing"},
    {"bailingmoe3", "bailingmoe2", NULL},
    {"chameleon", "llama", "images as tokens"},
    {"clip", "qwen3vl", "image encoders"},
    {"cogvlm", "llama", "images with experts of their own"},
    {"cohere2moe", "cohere2", "experts"},
    {"deepseek2-ocr", "deepseek2", "images"},
    {"deepseek32", "deepseek2", "sparse attention by an indexer"},
    {"deepseek4", "deepseek2", "hyper-connections"},
    {"dflash", "qwen3", "drafting from a larger model's states"},
    {"dots3note", "dots1", NULL},
    {"dream", "qwen2", "generation by diffusion"},
    {"eagle3", "llama", "drafting from a larger model's states"},
    {"gemma4-assistant", "gemma4", "drafting from a larger model's states"},
    {"glm-dsa", "deepseek2", "sparse attention by an indexer"},
    {"glm5-next", "glm4moe", NULL},
    {"gptj", "gptneox", NULL},
    {"granite-swa", "granite", "sliding windows"},
    {"graniteswitch", "granite", NULL},
    {"grovemoe", "qwen3moe", "adjugate experts"},
    {"hrm-text", "llama", "stacks of layers that take turns"},
    {"hunyuan_vl", "hunyuan-dense", "images"},
    {"hy-v3", "hunyuan-moe", NULL},
    {"hy-v4", "hunyuan-moe", NULL},
    {"jais2", "nemotron", NULL},
    {"kimi-k3", "kimi-linear", NULL},
    {"laguna", "afmoe", "a softplus gate over attention's output"},
    {"llada", "llama", "generation by diffusion"},
    {"llada-moe", "olmoe", "generation by diffusion"},
    {"maple", "step35", NULL},
    {"minimax-01", "minimax-m2", "lightning attention"},
    {"minimax-m3", "minimax-m2", NULL},
    {"muse-glimmer", "llama", NULL},
    {"nanbeige", "llama", NULL},
    {"paddleocr", "ernie4_5", "images"},
    {"plamo2", "jamba", NULL},
    {"plamo3", "gemma3", NULL},
    {"plm", "minicpm3", NULL},
    {"pockettts", "llama", "speech"},
    {"qwen3tts", "qwen3", "speech"},
    {"qwen4exp", "qwen3next", NULL},
    {"rnd1", "qwen3moe", "generation by diffusion"},
    {"rwkv6", "mamba2", "RWKV's time mixing"},
    {"rwkv6qwen2", "mamba2", "RWKV's time mixing"},
    {"rwkv7", "mamba2", "RWKV's time mixing"},
    {"spark2_5", "llama", NULL},
    {"t5", "llama", "an encoder beside its decoder"},
    {"t5encoder", "llama", "relative positions that look both ways"},
    {"talkie", "llama", NULL},
    {"wavtokenizer-dec", "llama", "speech"},
};

static int plain(char c) { return c == '_' || c == '.' ? '-' : c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; }

static int least(int a, int b) { return a < b ? a : b; }

/* Changes of a letter from one name to the other (Levenshtein). */
static int distance(const char *a, const char *b)
{
    enum { MOST = 64 };
    int row[MOST + 1], n = (int)strnlen(b, MOST);
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 0; a[i]; i++) {
        int corner = row[0];
        row[0] = i + 1;
        for (int j = 0; j < n; j++) {
            int change = corner + (plain(a[i]) != plain(b[j]));
            corner = row[j + 1];
            row[j + 1] = least(change, 1 + least(row[j], row[j + 1]));
        }
    }
    return row[n];
}

static const char *nearest_spelling(const char *name)
{
    const char *best = arch_at(0)->name;
    for (size_t i = 0; arch_at(i); i++)
        if (distance(name, arch_at(i)->name) < distance(name, best)) best = arch_at(i)->name;
    return best;
}

bool arch_relative(size_t i, const char **name, const char **nearest)
{
    if (i >= sizeof relatives / sizeof *relatives) return false;
    *name = relatives[i].name;
    *nearest = relatives[i].nearest;
    return true;
}

tawny_status arch_refuse(const model *m, tawny_error *err)
{
    const relative *r = NULL;
    for (size_t i = 0; i < sizeof relatives / sizeof *relatives; i++)
        if (strcmp(relatives[i].name, m->arch_name) == 0) r = &relatives[i];
    if (!r)
        return err_set(err, TAWNY_E_UNSUPPORTED,
                       "%s: architecture '%s' is not known; the nearest name that is supported: %s", gguf_path(m->file),
                       m->arch_name, nearest_spelling(m->arch_name));
    return err_set(err, TAWNY_E_UNSUPPORTED, "%s: architecture '%s' is not supported%s%s; the nearest that is: %s",
                   gguf_path(m->file), m->arch_name, r->needs ? ", for want of " : "", r->needs ? r->needs : "", r->nearest);
}
