#include "tiny_model.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { EMBD = 64, FF = 128, HEADS = 4, KV_HEADS = 2, HEAD = EMBD / HEADS, KV = KV_HEADS * HEAD,
       LAYERS = 2, VOCAB = 256 + 3 };

/* GPT-2 writes each byte as one printable character: its own where it is one, else from U+0100 on. */
static uint32_t shown(unsigned byte)
{
    uint32_t next = 0x100;
    for (unsigned b = 0; b < 256; b++) {
        int printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (b == byte) return printable ? b : next;
        next += !printable;
    }
    return 0;
}

static void add_string(buf *b, const char *s, size_t n)
{
    uint64_t size = n;
    buf_add(b, &size, sizeof size);
    buf_add(b, s, n);
}

static void add_vocabulary(gguf_writer *w)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>", "ab"};
    buf tokens = {0}, merges = {0};
    int32_t types[VOCAB];
    for (unsigned i = 0; i < VOCAB; i++) {
        buf one = {0};
        if (i < 256) buf_utf8(&one, shown(i));
        else buf_str(&one, special[i - 256]);
        add_string(&tokens, one.data, one.size);
        types[i] = i == 256 || i == 257 ? 3 : 1; /* control, normal */
        buf_free(&one);
    }
    add_string(&merges, "a b", 3);
    gguf_writer_array(w, "tokenizer.ggml.tokens", GGUF_STR, tokens.data, tokens.size, VOCAB);
    gguf_writer_array(w, "tokenizer.ggml.token_type", GGUF_I32, types, sizeof types, VOCAB);
    gguf_writer_array(w, "tokenizer.ggml.merges", GGUF_STR, merges.data, merges.size, 1);
    buf_free(&tokens);
    buf_free(&merges);
    const char chat[] = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
                        "<|im_start|>assistant\n";
    gguf_writer_str(w, "tokenizer.ggml.model", "gpt2", 4);
    gguf_writer_str(w, "tokenizer.ggml.pre", "gpt-2", 5);
    gguf_writer_str(w, "tokenizer.chat_template", chat, sizeof chat - 1);
    gguf_writer_u32(w, "tokenizer.ggml.eos_token_id", 257);
    gguf_writer_bool(w, "tokenizer.ggml.add_bos_token", false);
}

static void add_header(gguf_writer *w, uint32_t n_vocab)
{
    gguf_writer_str(w, "general.architecture", "llama", 5);
    gguf_writer_u32(w, "llama.context_length", TINY_CTX);
    gguf_writer_u32(w, "llama.embedding_length", EMBD);
    gguf_writer_u32(w, "llama.feed_forward_length", FF);
    gguf_writer_u32(w, "llama.block_count", LAYERS);
    gguf_writer_u32(w, "llama.attention.head_count", HEADS);
    gguf_writer_u32(w, "llama.attention.head_count_kv", KV_HEADS);
    gguf_writer_u32(w, "llama.rope.dimension_count", HEAD);
    gguf_writer_u32(w, "llama.vocab_size", n_vocab);
    gguf_writer_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
}

/* Weights live until the file is written: one block of memory for all. */
typedef struct weights {
    gguf_writer *w;
    float *at, *end;
    uint64_t random;
    const char *damaged; /* the tensor that is; NULL: none */
} weights;

static void add_tensor(weights *ws, const char *name, uint64_t n0, uint64_t n1)
{
    uint64_t ne[2] = {n0, n1}, n = n0 * (n1 ? n1 : 1);
    if ((uint64_t)(ws->end - ws->at) < n) abort();
    for (uint64_t i = 0; i < n; i++) {
        ws->random = ws->random * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
        double u = (double)(ws->random >> 11) * 0x1p-53;
        ws->at[i] = n1 ? (float)(0.6 * u - 0.3) : (float)(0.5 + u);
        if (ws->damaged && strcmp(name, ws->damaged) == 0) ws->at[i] = -ws->at[i];
    }
    gguf_writer_tensor(ws->w, name, 0, n1 ? 2 : 1, ne, ws->at);
    ws->at += n;
}

static void add_tensors(weights *ws, uint64_t more_rows)
{
    static const struct {
        const char *name;
        uint64_t n0, n1;
    } layer[] = {
        {"attn_norm", EMBD, 0}, {"attn_q", EMBD, EMBD}, {"attn_k", EMBD, KV}, {"attn_v", EMBD, KV},
        {"attn_output", EMBD, EMBD}, {"ffn_norm", EMBD, 0}, {"ffn_gate", EMBD, FF}, {"ffn_up", EMBD, FF},
        {"ffn_down", FF, EMBD},
    };
    add_tensor(ws, "token_embd.weight", EMBD, VOCAB + more_rows);
    add_tensor(ws, "output_norm.weight", EMBD, 0);
    for (int l = 0; l < LAYERS; l++) {
        for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
            buf name = {0};
            buf_printf(&name, "blk.%d.%s.weight", l, layer[i].name);
            add_tensor(ws, name.data, layer[i].n0, layer[i].n1);
            buf_free(&name);
        }
    }
}

static tawny_status write_model(const char *path, const char *damaged, uint64_t more_rows, tawny_error *err)
{
    enum { ENOUGH = 1 << 18 };
    gguf_writer *w = gguf_writer_new();
    float *memory = malloc(ENOUGH * sizeof *memory);
    if (!w || !memory) abort();
    add_header(w, VOCAB + (uint32_t)more_rows);
    add_vocabulary(w);
    add_tensors(&(weights){.w = w, .at = memory, .end = memory + ENOUGH, .random = 1, .damaged = damaged}, more_rows);
    tawny_status st = gguf_writer_write(w, path, err);
    gguf_writer_free(w);
    free(memory);
    return st;
}

tawny_status tiny_model_write(const char *path, tawny_error *err) { return write_model(path, NULL, 0, err); }
tawny_status tiny_model_write_padded(const char *path, tawny_error *err) { return write_model(path, NULL, 13, err); }
tawny_status tiny_model_write_damaged(const char *path, const char *tensor, tawny_error *err) { return write_model(path, tensor, 0, err); }
