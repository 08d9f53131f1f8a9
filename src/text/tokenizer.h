/* Tokenizers: text to token ids and back, from the metadata of a GGUF file.
 *
 * Byte-level BPE (gpt2), SentencePiece BPE (llama), BPE over UTF-8 (gemma4), WordPiece (bert), Unigram (t5),
 * RWKV, PLaMo-2, and what goes by no_vocab and test. Token ids agree with llama.cpp's. A tokenizer does not
 * change once it is open, so any number of threads may use it; it does not need the gguf any more. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include "../base/buf.h"
#include "../base/error.h"
#include "../gguf/gguf.h"

typedef struct tokenizer tokenizer;

enum { TOK_NONE = -1 }; /* no such token */

/* A growing list of tokens; start zeroed, end with tok_vec_free. */
typedef struct tok_vec {
    tawny_token *v;
    size_t n, cap;
} tok_vec;

bool tok_vec_add(tok_vec *v, tawny_token t); /* false when out of memory */
void tok_vec_free(tok_vec *v);

/* Fails with a message that names file, key and value where the vocabulary makes no sense. */
tawny_status tok_open(const gguf *g, tokenizer **out, tawny_error *err);
void tok_close(tokenizer *t); /* NULL is fine */

enum {
    TOK_ADD_SPECIAL = 1,   /* what the model wants before and after the text: BOS, EOS, SEP */
    TOK_PARSE_SPECIAL = 2, /* control tokens written out in the text become those tokens */
    TOK_NO_BOS = 4         /* with TOK_ADD_SPECIAL: not the one at the start */
};

/* Appends the tokens of n bytes at text (any bytes; NULs too). Time is linear in n. Where it fails (out of
 * memory, more than TOK_MAX_TEXT bytes) out is as it was. */
#define TOK_MAX_TEXT ((size_t)1 << 30)
tawny_status tok_encode(const tokenizer *t, const char *text, size_t n, unsigned flags, tok_vec *out,
                        tawny_error *err);

/* The segments' texts as one text: a control token is parsed only where all of it lies in trusted segments.
 * Tokens that the reference renders as text though the model calls them control tokens (<|start|>, <|message|>
 * and their like) count as control tokens here, and so do user-defined ones that templates write (<tool_call>).
 * TOK_PARSE_SPECIAL has no effect. */
typedef struct tok_segment {
    const char *text;
    size_t n;
    bool trusted;
} tok_segment;
tawny_status tok_encode_segments(const tokenizer *t, const tok_segment *segments, size_t n, unsigned flags,
                                 tok_vec *out, tawny_error *err);

/* A query and a document as the model's reranker wants them: its template (tokenizer.chat_template.rerank) filled
 * in, or BOS query EOS SEP document EOS, each token where the model adds it; [CLS] query [SEP] document [SEP] of
 * WordPiece. Of the flags, TOK_PARSE_SPECIAL counts: for what is in the two texts. */
tawny_status tok_encode_pair(const tokenizer *t, const char *query, size_t n_query, const char *document,
                             size_t n_document, unsigned flags, tok_vec *out, tawny_error *err);

/* Back to text. */
enum {
    TOK_SPECIAL = 1,        /* control tokens are written out, not left out */
    TOK_REMOVE_SPECIAL = 2, /* a BOS at the start and an EOS at the end are dropped, where the model adds them */
    TOK_RAW_PIECES = 4      /* nothing but the pieces: no leading space dropped, no spaces tidied */
};

/* The bytes of one token (any bytes, not always whole characters); *n is 0 for ids out of range too. */
const char *tok_piece(const tokenizer *t, tawny_token id, unsigned flags, size_t *n);

/* Appends the text of n tokens to out. */
tawny_status tok_decode(const tokenizer *t, const tawny_token *ids, size_t n, unsigned flags, buf *out,
                        tawny_error *err);

/* One token at a time: what comes out is valid UTF-8, in whole characters; bytes that can become no character
 * are U+FFFD. Start zeroed; no end needed. */
typedef struct tok_stream {
    char held[4];
    unsigned n;
} tok_stream;
bool tok_stream_push(const tokenizer *t, tok_stream *s, tawny_token id, unsigned flags, buf *out);
bool tok_stream_flush(tok_stream *s, buf *out); /* an unfinished character at the end is U+FFFD */

/* The vocabulary. */
typedef enum tok_kind { TOK_BPE, TOK_SPM, TOK_WPM, TOK_UGM, TOK_RWKV, TOK_PLAMO2, TOK_TEST, TOK_EMPTY } tok_kind;
tok_kind tok_kind_of(const tokenizer *t);
const char *tok_model(const tokenizer *t); /* tokenizer.ggml.model */
const char *tok_pre(const tokenizer *t);   /* tokenizer.ggml.pre; "" where the file has none */
uint32_t tok_n_vocab(const tokenizer *t);

enum { /* attributes of a token */
    TOK_UNKNOWN = 1,
    TOK_UNUSED = 2,
    TOK_NORMAL = 4,
    TOK_CONTROL = 8,
    TOK_USER_DEFINED = 16,
    TOK_BYTE = 32,
    TOK_LSTRIP = 64, /* takes the white space before it */
    TOK_RSTRIP = 128,
    TOK_MARKUP = 256 /* a control token of the file, or one that its templates write, whatever the rest says */
};
unsigned tok_attr(const tokenizer *t, tawny_token id);                          /* 0 for ids out of range */
const char *tok_text(const tokenizer *t, tawny_token id, size_t *n); /* as in the file; NULL out of range */
float tok_score(const tokenizer *t, tawny_token id);
tawny_token tok_find(const tokenizer *t, const char *text, size_t n);           /* TOK_NONE where there is none */
bool tok_is_eog(const tokenizer *t, tawny_token id);                            /* ends a generation */

typedef enum tok_special {
    TOK_BOS, TOK_EOS, TOK_EOT, TOK_EOM, TOK_UNK, TOK_SEP, TOK_PAD, TOK_MASK, TOK_NEWLINE,
    TOK_FIM_PRE, TOK_FIM_SUF, TOK_FIM_MID, TOK_FIM_PAD, TOK_FIM_REP, TOK_FIM_SEP,
    TOK_SPECIALS
} tok_special;
tawny_token tok_special_id(const tokenizer *t, tok_special which); /* TOK_NONE where there is none */
bool tok_add_bos(const tokenizer *t);
bool tok_add_eos(const tokenizer *t);

/* Tokens that the file wants never to be sampled. */
const tawny_token *tok_suppressed(const tokenizer *t, size_t *n);

/* tokenizer.chat_template, or tokenizer.chat_template.NAME; NULL where there is none. NUL-terminated. */
const char *tok_chat_template(const tokenizer *t, const char *name, size_t *n);

#endif
