/* From tokens to text. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tok_int.h"
#include "unicode.h"

/* Byte-level BPE (GPT-2) writes bytes as printable characters: those of Latin-1 that are printable stand for
 * themselves, the others, in order, for U+0100 and up. */
static bool printable(unsigned c)
{
    return (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
}

int tok_stand_in(uint32_t cp)
{
    if (cp < 256) return printable(cp) ? (int)cp : -1;
    uint32_t k = cp - 256;
    return k < 33 ? (int)k : k == 33 ? 0x7f : k < 67 ? (int)(0x80 + k - 34) : k == 67 ? 0xad : -1;
}

unsigned tok_stand_in_of(unsigned char b, char out[4])
{
    uint32_t cp = b;
    if (!printable(b)) cp = 256 + (b < 33 ? b : b == 0x7f ? 33u : b == 0xad ? 67u : b - 0x80u + 34);
    return uni_encode(cp, out);
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

int tok_hex_byte(const tok_str *s)
{
    if (s->n != 6 || memcmp(s->p, "<0x", 3) != 0 || s->p[5] != '>') return -1;
    int hi = hex(s->p[3]), lo = hex(s->p[4]);
    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

/* Bytes for stand-ins. What is none comes out as the reference shows it, within reason. */
static void decode_stand_ins(const tok_str *s, buf *b)
{
    uint32_t cp;
    char u[4];
    for (size_t i = 0; i < s->n;) {
        i += uni_decode(s->p + i, s->n - i, &cp);
        int byte = tok_stand_in(cp);
        if (byte >= 0) {
            buf_char(b, (char)byte);
            continue;
        }
        unsigned n = uni_encode(cp, u);
        if (s->n > 128) {
            buf_add(b, u, n);
            continue;
        }
        buf_str(b, "[UNK_BYTE_0x");
        for (unsigned k = 0; k < n; k++) buf_printf(b, "%02x", (unsigned char)u[k]);
        buf_add(b, s->p, s->n);
        buf_char(b, ']');
    }
}

static void unescape_spaces(const tok_str *s, buf *b)
{
    for (size_t i = 0; i < s->n;) {
        if (s->n - i >= 3 && memcmp(s->p + i, "\u2581", 3) == 0) {
            buf_char(b, ' ');
            i += 3;
        } else {
            buf_char(b, s->p[i++]);
        }
    }
}

/* RWKV's texts are Python literals: \t \n \r \xHH and escaped characters. */
static void unescape_rwkv(const tok_str *s, buf *b)
{
    for (size_t i = 0; i < s->n; i++) {
        char c = s->p[i];
        if (c != '\\' || i + 1 == s->n) {
            if (c != '\\') buf_char(b, c);
            continue;
        }
        c = s->p[++i];
        if (c == 'x' && i + 2 < s->n && hex(s->p[i + 1]) >= 0 && hex(s->p[i + 2]) >= 0) {
            buf_char(b, (char)(hex(s->p[i + 1]) * 16 + hex(s->p[i + 2])));
            i += 2;
        } else {
            buf_char(b, c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c);
        }
    }
}

/* A token of the model "hybriddna" for DNA: bases, and the mark that they are (see bpe.c). */
static bool is_bases(const tokenizer *t, const tok_str *s)
{
    return s->n > 3 && memcmp(s->p + s->n - 3, "\ue000", 3) == 0 && strcmp(t->model, "hybriddna") == 0;
}

static void piece_of(const tokenizer *t, uint32_t id, buf *b)
{
    const tok_str *s = &t->text[id];
    unsigned attr = t->attr[id];
    int byte = tok_hex_byte(s);
    if (t->kind == TOK_RWKV) {
        unescape_rwkv(s, b);
    } else if (t->kind == TOK_TEST) {
        buf_printf(b, "%x", id);
    } else if (t->kind == TOK_PLAMO2) {
        if (attr & TOK_BYTE && byte >= 0) buf_char(b, (char)byte);
        else buf_add(b, s->p, s->n);
    } else if (attr & (TOK_UNKNOWN | TOK_CONTROL | TOK_USER_DEFINED)) {
        buf_add(b, s->p, s->n);
    } else if (attr & TOK_NORMAL) {
        if (is_bases(t, s)) buf_add(b, s->p, s->n - 3);
        else if (t->kind != TOK_BPE || t->escape_whitespaces) unescape_spaces(s, b);
        else decode_stand_ins(s, b);
    } else if (attr & TOK_BYTE) {
        buf_char(b, (char)byte);
    }
}

tawny_status tok_load_pieces(tokenizer *t, tawny_error *err)
{
    buf b = {0};
    tawny_status st = TAWNY_OK;
    size_t *end = arena_array(t->mem, t->n, sizeof *end);
    t->piece = arena_array(t->mem, t->n, sizeof *t->piece);
    if (!end || !t->piece) return err_nomem(err);
    for (uint32_t i = 0; i < t->n && st == TAWNY_OK; i++) {
        if (t->attr[i] & TOK_BYTE && tok_hex_byte(&t->text[i]) < 0)
            st = tok_bad(t, err, "tokenizer.ggml.token_type[%u] is 6 (a byte), but its text is \"%.*s\"", i,
                         (int)(t->text[i].n < 40 ? t->text[i].n : 40), t->text[i].p);
        piece_of(t, i, &b);
        end[i] = b.size;
    }
    char *all = arena_alloc(t->mem, b.size + 1);
    if (st == TAWNY_OK && (!buf_ok(&b) || !all)) st = err_nomem(err);
    if (st == TAWNY_OK) {
        if (b.size) memcpy(all, b.data, b.size);
        for (uint32_t i = 0; i < t->n; i++) {
            size_t from = i ? end[i - 1] : 0;
            t->piece[i] = (tok_str){all + from, (uint32_t)(end[i] - from)};
        }
    }
    buf_free(&b);
    return st;
}

const char *tok_piece(const tokenizer *t, tawny_token id, unsigned flags, size_t *n)
{
    *n = 0;
    if (id < 0 || (uint32_t)id >= t->n) return "";
    if (!(flags & TOK_SPECIAL) && t->attr[id] & (TOK_UNKNOWN | TOK_CONTROL)) return "";
    *n = t->piece[id].n;
    return t->piece[id].p;
}

/* The three passes of clean_up_tokenization_spaces, as the reference makes them; each returns the new length. */

/* A space before . , ? ! goes. */
static size_t tidy_marks(char *s, size_t n)
{
    size_t to = n ? 1 : 0;
    for (size_t i = 1; i < n; i++) {
        char x = s[i];
        if (s[i - 1] == ' ' && (x == '?' || x == '!' || x == '.' || x == ',')) to--;
        s[to++] = x;
    }
    return to;
}

/* The spaces around a lone apostrophe go. */
static size_t tidy_apostrophes(char *s, size_t n)
{
    size_t to = n ? 1 : 0;
    for (size_t i = 1; i < n; i++) {
        char x = s[i];
        if (x == '\'' && i + 1 < n && s[i - 1] == ' ' && s[i + 1] == ' ') {
            to--;
            s[++i] = '\0';
        }
        s[to++] = x;
    }
    return to;
}

/* The space before 's 'm 're 've goes. */
static size_t tidy_contractions(char *s, size_t n)
{
    size_t to = n ? 1 : 0;
    for (size_t i = 1; i < n; i++) {
        char x = s[i];
        if (s[i - 1] == ' ' && x == '\'' && i + 1 < n) {
            char a = s[i + 1], b = i + 2 < n ? s[i + 2] : '\0';
            if (a == 's' || a == 'm' || ((a == 'r' || a == 'v') && b == 'e')) to--;
        }
        s[to++] = x;
    }
    return to;
}

tawny_status tok_decode(const tokenizer *t, const tawny_token *ids, size_t n, unsigned flags, buf *out,
                        tawny_error *err)
{
    size_t from = out->size;
    bool drop_space = t->add_space_prefix && !(flags & TOK_RAW_PIECES);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= t->n)
            return err_set(err, TAWNY_E_ARG, "token %zu is %d in a vocabulary of %u", i, ids[i], t->n);
    if (flags & TOK_REMOVE_SPECIAL && t->add_bos && n && ids[0] == t->special[TOK_BOS]) {
        drop_space = false;
        ids++;
        n--;
    }
    if (flags & TOK_REMOVE_SPECIAL && t->add_eos && n && ids[n - 1] == t->special[TOK_EOS]) n--;
    for (size_t i = 0; i < n; i++, drop_space = false) {
        size_t len;
        const char *p = tok_piece(t, ids[i], flags, &len);
        size_t skip = drop_space && len && *p == ' ';
        buf_add(out, p + skip, len - skip);
    }
    if (!buf_ok(out)) return err_nomem(err);
    if (t->clean_spaces && !(flags & TOK_RAW_PIECES) && out->size > from) {
        char *s = out->data + from;
        size_t len = tidy_contractions(s, tidy_apostrophes(s, tidy_marks(s, out->size - from)));
        out->size = from + len;
        out->data[out->size] = '\0';
    }
    return TAWNY_OK;
}

bool tok_stream_push(const tokenizer *t, tok_stream *s, tawny_token id, unsigned flags, buf *out)
{
    size_t n, i = 0;
    const char *p = tok_piece(t, id, flags, &n);
    while (i < n) {
        while (i < n && s->n == 0 && (unsigned char)p[i] < 0x80) buf_char(out, p[i++]);
        if (i == n) break;
        s->held[s->n++] = p[i++];
        int len = uni_strict(s->held, s->n);
        if (len > 0) {
            buf_add(out, s->held, (size_t)len);
            s->n = 0;
        } else if (len < 0) { /* the held bytes but the last one are malformed; it may start a character */
            buf_str(out, "\ufffd");
            if ((unsigned)-len < s->n) i--;
            s->n = 0;
        }
    }
    return buf_ok(out);
}

bool tok_stream_flush(tok_stream *s, buf *out)
{
    if (s->n) buf_str(out, "\ufffd");
    s->n = 0;
    return buf_ok(out);
}
