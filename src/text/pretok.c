/* Which expressions go with which name. The names and expressions are those of the models' own tokenizers, as
 * the converters of llama.cpp recognise them (convert_hf_to_gguf_update.py) and its tokenizer applies them:
 * where it simplifies an expression, so do we, since token ids must agree. */
#include "pretok.h"

#include <string.h>

#define CONTRACTION "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define SPACES "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const char *const llama3[] = {
    CONTRACTION "|" "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES,
};

static const char *const jais2[] = {
    CONTRACTION "|"
        "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)"
        "|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!"
        "\\S)|\\s{1,2}(?!\\S)|\\s{1}",
};

static const char *const deepseek_llm[] = {
    "[\r\n]",
    "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-"
        "\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481"
        "\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-"
        "\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57"
        "\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3"
        "\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124"
        "\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b"
        "\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-"
        "\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0"
        "-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
        "\U0001e900-\U0001e943]+",
    "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
    "@tail",
    "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+",
    "\\p{N}+",
};

static const char *const deepseek_coder[] = {
    "[\r\n]",
    "\\s?\\p{L}+",
    "\\s?\\p{P}+",
    "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+",
    "\\p{N}",
};

static const char *const deepseek3[] = {
    "\\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p"
        "{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"),
};

static const char *const spark[] = {
    "\\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p"
        "{P}\\p{S}]+|[\r\n]|\\s+(?!\\S)|\\s+"),
    "\\p{N}",
};

static const char *const youtu[] = {
    "[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-"
        "\u303f\ufe30-\ufe4f]+|[\u3105-\u312f]+|[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
        CONTRACTION "?"
        "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
        CONTRACTION "?" "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES,
};

static const char *const falcon[] = {
    "[\\p{P}\\$\\+<=>\\^~\\|`]+",
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)",
    "[0-9][0-9][0-9]",
};

static const char *const starcoder[] = {
    "\\p{N}",
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)",
};

static const char *const gpt2[] = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)",
};

static const char *const qwen2[] = {
    CONTRACTION "|" "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES,
};

static const char *const qwen35[] = {
    CONTRACTION "|" "[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" SPACES,
};

static const char *const bloom[] = {
    " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+",
};

static const char *const viking[] = {
    " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+",
    "\\p{N}",
};

static const char *const tekken[] = {
    "[^\\r\\n\\p{L}\\p{N}]?((?=[\\p{L}])([^a-z]))*((?=[\\p{L}])([^A-Z]))+|[^\\r\\n\\p{L}\\p{N}]?((?=[\\p{L}"
        "])([^a-z]))+((?=[\\p{L}])([^A-Z]))*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES,
};

static const char *const chameleon[] = {
    "<sentinel:[0-9]+>",
    "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
    "([\\t\\n]|    |  )",
    "\\p{N}",
    "[\\p{P}!-/:-@\\[-`{-~]",
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)",
};

static const char *const gpt4o[] = {
    "[^\\r\\n\\p{L}\\p{N}]?((?=[\\p{L}])([^a-z]))*((?=[\\p{L}])([^A-Z]))+" CONTRACTION "?"
        "|[^\\r\\n\\p{L}\\p{N}]?((?=[\\p{L}])([^a-z]))+((?=[\\p{L}])([^A-Z]))*" CONTRACTION "?"
        "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES,
};

static const char *const granite_multi[] = {
    "[^\\r\\n\\p{L}\\p{N}]?((?=[\\p{L}\\p{M}])([^a-z]))*((?=[\\p{L}\\p{M}])([^A-Z]))+" CONTRACTION "?"
        "|[^\\r\\n\\p{L}\\p{N}]?((?=[\\p{L}\\p{M}])([^a-z]))+((?=[\\p{L}\\p{M}])([^A-Z]))*" CONTRACTION "?"
        "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES,
};

static const char *const tiny_aya[] = {
    "@groups",
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
        CONTRACTION "?"
        "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
        CONTRACTION "?" "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES,
};

static const char *const kimi_k2[] = {
    "[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f\U0002b820-"
        "\U0002ceaf\U0002ceb0-\U0002ebef\uf900-\ufaff\U0002f800-\U0002fa1f]+|[^\\r\\n\\p{L}\\p{N}]?((?=\\p{L})["
        "^\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f\U0002b820-"
        "\U0002ceaf\U0002ceb0-\U0002ebef\uf900-\ufaff\U0002f800-\U0002fa1f])+" CONTRACTION "?"
        "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES,
};

static const char *const superbpe[] = {
    "\\p{N}+",
    "@threes",
};

static const char *const bailing[] = {
    "'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+["
        "\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
};

static const char *const seed_coder[] = {
    CONTRACTION "|" "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" SPACES,
};

static const char *const ufakzeka[] = {
    "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES,
};

static const char *const afmoe[] = {
    "@groups",
    "[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-"
        "\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?["
        "\\p{P}\\p{S}]+[\\r\\n]*" SPACES,
};

static const char *const laguna[] = {
    "[^\\n]+|[\\n]+",
    CONTRACTION "|" "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES,
};

static const char *const exaone_moe[] = {
    CONTRACTION "|"
        "[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s"
        "*[\\r\\n]|\\s+(?!\\S)|\\s+",
};

static const char *const lines[] = {
    "[^\\n]+|[\\n]+",
};

static const char *const minicpm5[] = {
    "\\p{N}{1,3}",
    CONTRACTION "|" "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES,
};

static const char *const words[] = {
    "\\S+",
};

static const char *const standard[] = {
    "[\\p{P}\\$\\+<=>\\^~\\|]+",
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)",
    "\\p{N}+",
    "[0-9][0-9][0-9]",
};

#define STAGES(x) x, sizeof x / sizeof *x

static const pretok table[] = {
    {"llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2"
     " jina-v5-nano", PRE_IGNORE_MERGES | PRE_ADD_BOS, STAGES(llama3)},
    {"dbrx smaug-bpe", 0, STAGES(llama3)},
    {"chatglm-bpe", PRE_NO_BOS, STAGES(llama3)},
    {"glm4 glm5", PRE_NO_BOS | PRE_IGNORE_MERGES, STAGES(llama3)},
    {"jais-2", 0, STAGES(jais2)},
    {"deepseek-llm", PRE_KEEP_SPACES, STAGES(deepseek_llm)},
    {"deepseek-coder", PRE_KEEP_SPACES, STAGES(deepseek_coder)},
    {"deepseek-v3 hunyuan-dense hy_v4 joyai-llm", PRE_KEEP_SPACES, STAGES(deepseek3)},
    {"spark2_5", PRE_KEEP_SPACES, STAGES(spark)},
    {"youtu", PRE_KEEP_SPACES | PRE_IGNORE_MERGES, STAGES(youtu)},
    {"falcon", 0, STAGES(falcon)},
    {"starcoder refact codeshell exaone minerva-7b mellum2", 0, STAGES(starcoder)},
    {"command-r smollm", PRE_KEEP_SPACES, STAGES(starcoder)},
    {"gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert mpt"
     " olmo jais exaone4", 0, STAGES(gpt2)},
    {"trillion granite-docling", PRE_KEEP_SPACES, STAGES(gpt2)},
    {"jina-v1-en jina-v2-code roberta-bpe", PRE_ADD_SEP, STAGES(gpt2)},
    {"stablelm2 megrez", 0, STAGES(qwen2)},
    {"qwen2 deepseek-r1-qwen kormo f2llmv2 hunyuan solar-open grok-2", PRE_KEEP_SPACES, STAGES(qwen2)},
    {"qwen35", PRE_KEEP_SPACES, STAGES(qwen35)},
    {"poro-chat", PRE_KEEP_SPACES, STAGES(bloom)},
    {"bloom gpt3-finnish", 0, STAGES(bloom)},
    {"viking", PRE_KEEP_SPACES, STAGES(viking)},
    {"tekken", PRE_KEEP_SPACES | PRE_IGNORE_MERGES | PRE_ADD_BOS, STAGES(tekken)},
    {"chameleon", PRE_ADD_BOS | PRE_KEEP_SPACES, STAGES(chameleon)},
    {"gpt-4o llama4 kanana2 talkie minimax-m2", PRE_KEEP_SPACES, STAGES(gpt4o)},
    {"granite-embed-multi-97m", PRE_KEEP_SPACES | PRE_IGNORE_MERGES, STAGES(granite_multi)},
    {"tiny_aya cohere2moe", PRE_KEEP_SPACES, STAGES(tiny_aya)},
    {"kimi-k2", PRE_KEEP_SPACES | PRE_NO_MERGES, STAGES(kimi_k2)},
    {"superbpe", PRE_KEEP_SPACES, STAGES(superbpe)},
    {"bailingmoe bailingmoe2 llada-moe", PRE_KEEP_SPACES, STAGES(bailing)},
    {"seed-coder", PRE_KEEP_SPACES, STAGES(seed_coder)},
    {"ufakzeka", PRE_KEEP_SPACES, STAGES(ufakzeka)},
    {"afmoe", PRE_KEEP_SPACES, STAGES(afmoe)},
    {"laguna", PRE_KEEP_SPACES, STAGES(laguna)},
    {"exaone-moe", 0, STAGES(exaone_moe)},
    {"gemma4 granite-embed-multi-311m", PRE_RAW | PRE_ESCAPE | PRE_GEMMA, STAGES(lines)},
    {"sarvam-moe", PRE_RAW | PRE_ESCAPE | PRE_KEEP_SPACES, STAGES(lines)},
    {"minicpm5", PRE_IGNORE_MERGES, STAGES(minicpm5)},
    {"whitespace", PRE_RAW, STAGES(words)},
    {"default", 0, STAGES(standard)},
};

const pretok *pretok_at(size_t i) { return i < sizeof table / sizeof *table ? &table[i] : NULL; }

const pretok *pretok_find(const char *name, size_t n)
{
    if (n == 0) return pretok_find("default", 7);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (const char *p = table[i].names; *p;) {
            size_t len = strcspn(p, " ");
            if (len == n && memcmp(p, name, n) == 0) return &table[i];
            p += len + (p[len] == ' ');
        }
    return NULL;
}
