/* From template source to tokens. Whitespace control follows the template designer documentation with trim_blocks and
 * lstrip_blocks on: the newline after a block or comment goes, as do blanks between the start of a line and one. */
#include <string.h>

#include "jinja_impl.h"

typedef struct lexer {
    jinja_rt *rt;
    const char *p; /* newlines are "\n" alone */
    size_t n, at;
    uint32_t line;
    token *v;
    size_t n_tok, cap;
    bool line_start; /* the text before ended with a newline, or there is none */
    char close[200]; /* open brackets: what closes them */
    size_t n_close;
} lexer;

static _Noreturn void lex_fail(lexer *x, const char *what)
{
    x->rt->line = x->line;
    rt_fail(x->rt, TAWNY_E_FORMAT, "%s", what);
}

static token *emit(lexer *x, tok t)
{
    if (x->n_tok == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 64;
        token *v = rt_array(x->rt, cap, sizeof *v);
        if (x->n_tok) memcpy(v, x->v, x->n_tok * sizeof *v);
        x->v = v;
        x->cap = cap;
    }
    rt_step(x->rt, 1);
    x->v[x->n_tok] = (token){.t = t, .line = x->line};
    return &x->v[x->n_tok++];
}

static void count_lines(lexer *x, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) x->line += x->p[i] == '\n';
}

static void emit_data(lexer *x, size_t from, size_t to)
{
    if (from < to) emit(x, T_DATA)->s = vstr_new(x->rt, x->p + from, to - from, true);
}

/* Length of white space at i, 0 where there is none. */
static size_t space_at(const lexer *x, size_t i)
{
    uint32_t c;
    if (i >= x->n) return 0;
    size_t k = utf8_next(x->p + i, x->n - i, &c);
    return jchar_space(c) ? k : 0;
}

static size_t skip_space(const lexer *x, size_t i)
{
    for (size_t k; (k = space_at(x, i)); i += k) {}
    return i;
}

/* Where the white space that ends at `to` begins, not before `from`. */
static size_t back_space(const lexer *x, size_t from, size_t to)
{
    while (to > from) {
        size_t k = 1;
        while (k < 4 && to - k > from && ((unsigned char)x->p[to - k] & 0xc0) == 0x80) k++;
        if (space_at(x, to - k) != k) break;
        to -= k;
    }
    return to;
}

static bool has(const lexer *x, size_t i, const char *text)
{
    size_t n = strlen(text);
    return i <= x->n && n <= x->n - i && memcmp(x->p + i, text, n) == 0;
}

/* The end of the text in [from, to) before a tag with strip sign `sign`. */
static size_t data_end(const lexer *x, size_t from, size_t to, char sign, bool variable)
{
    if (sign == '-') return back_space(x, from, to);
    if (sign == '+' || variable) return to;
    size_t line = to;
    while (line > from && x->p[line - 1] != '\n') line--;
    if (line == from && !x->line_start) return to;
    return back_space(x, line, to) == line ? line : to;
}

/* After "%}", "#}": where text goes on. i is at the closing mark, before it possibly a sign (at >= low). */
static size_t after_close(const lexer *x, size_t low, size_t i)
{
    char sign = i > low ? x->p[i - 1] : 0;
    i += 2;
    if (sign == '-') return skip_space(x, i);
    if (sign != '+' && i < x->n && x->p[i] == '\n') i++;
    return i;
}

static void moved(lexer *x, size_t to)
{
    count_lines(x, x->at, to);
    if (to > x->at) x->line_start = x->p[to - 1] == '\n';
    x->at = to;
}

/* "{% raw %}" at i: the end of the tag, or 0. */
static size_t raw_begin(const lexer *x, size_t i)
{
    i += 2;
    if (i < x->n && (x->p[i] == '-' || x->p[i] == '+')) i++;
    i = skip_space(x, i);
    if (!has(x, i, "raw")) return 0;
    i = skip_space(x, i + 3);
    if (has(x, i, "-%}")) return skip_space(x, i + 3);
    return has(x, i, "%}") ? i + 2 : 0;
}

static void lex_raw(lexer *x)
{
    size_t from = x->at;
    for (size_t i = from; i < x->n; i++) {
        if (!has(x, i, "{%")) continue;
        char sign = i + 2 < x->n ? x->p[i + 2] : 0;
        size_t k = skip_space(x, i + 2 + (sign == '-' || sign == '+'));
        if (!has(x, k, "endraw")) continue;
        k = skip_space(x, k + 6);
        size_t low = k;
        if (k < x->n && (x->p[k] == '-' || x->p[k] == '+')) k++;
        if (!has(x, k, "%}")) continue;
        emit_data(x, from, data_end(x, from, i, sign, false));
        moved(x, after_close(x, low, k));
        return;
    }
    lex_fail(x, "missing end of raw directive");
}

static void lex_comment(lexer *x)
{
    const char *end = memmem(x->p + x->at, x->n - x->at, "#}", 2);
    if (!end) lex_fail(x, "missing end of comment tag");
    moved(x, after_close(x, x->at, (size_t)(end - x->p)));
}

/* Text up to the next tag. Returns the character after its brace: '{', '%', '#', or 0 at the end of the template. */
static char lex_data(lexer *x)
{
    size_t i = x->at;
    for (; i + 1 < x->n; i++)
        if (x->p[i] == '{' && (x->p[i + 1] == '{' || x->p[i + 1] == '%' || x->p[i + 1] == '#')) break;
    if (i + 1 >= x->n) {
        emit_data(x, x->at, x->n);
        x->at = x->n;
        return 0;
    }
    char kind = x->p[i + 1], sign = i + 2 < x->n ? x->p[i + 2] : 0;
    size_t raw = kind == '%' ? raw_begin(x, i) : 0;
    emit_data(x, x->at, data_end(x, x->at, i, sign, kind == '{'));
    if (raw) {
        moved(x, raw);
        return 'r';
    }
    moved(x, i + 2 + (sign == '-' || sign == '+'));
    return kind;
}

/* ---- inside tags ---- */

static bool digit_in(char c, int base)
{
    if (base == 16) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    return c >= '0' && c < '0' + base;
}

/* Digits with single underscores between them (with lead, before them too): the end of the run that starts at i. */
static size_t digits(const lexer *x, size_t i, int base, bool lead)
{
    size_t end = i;
    while (end < x->n) {
        size_t k = end + (x->p[end] == '_' && (lead || end > i));
        if (k >= x->n || !digit_in(x->p[k], base)) break;
        end = k + 1;
    }
    return end;
}

static size_t float_end(const lexer *x, size_t i)
{
    if (i && x->p[i - 1] == '.') return 0;
    size_t whole = digits(x, i, 10, false), end = whole;
    if (end + 1 < x->n && x->p[end] == '.' && digit_in(x->p[end + 1], 10)) end = digits(x, end + 1, 10, false);
    if (end < x->n && (x->p[end] == 'e' || x->p[end] == 'E')) {
        size_t k = end + 1;
        if (k < x->n && (x->p[k] == '+' || x->p[k] == '-')) k++;
        if (k < x->n && digit_in(x->p[k], 10)) end = digits(x, k, 10, false);
    }
    return end == whole ? 0 : end;
}

static void lex_number(lexer *x)
{
    size_t i = x->at, end = float_end(x, i);
    if (end) {
        double f;
        if (!text_to_double(x->p + i, end - i, &f)) lex_fail(x, "malformed number");
        emit(x, T_FLOAT)->c = v_float(f);
        moved(x, end);
        return;
    }
    int base = 10;
    char c = i + 1 < x->n && x->p[i] == '0' ? (char)(x->p[i + 1] | 32) : 0;
    if (c == 'b' || c == 'o' || c == 'x') {
        int b = c == 'b' ? 2 : c == 'o' ? 8 : 16;
        if (digits(x, i + 2, b, true) > i + 2) base = b;
    }
    if (base != 10) i += 2;
    end = digits(x, i, base, base != 10);
    if (base == 10 && x->p[i] == '0')
        for (end = i + 1; end < x->n &&
            (x->p[end] == '0' || (x->p[end] == '_' && end + 1 < x->n && x->p[end + 1] == '0'));) end++;
    int64_t v = 0;
    for (; i < end; i++) {
        if (x->p[i] == '_') continue;
        int d = x->p[i] <= '9' ? x->p[i] - '0' : (x->p[i] | 32) - 'a' + 10;
        if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, d, &v)) lex_fail(x, "integer too large");
    }
    emit(x, T_INT)->c = v_int(v);
    moved(x, end);
}

static uint32_t hex_escape(lexer *x, size_t *i, size_t end, int n)
{
    uint32_t c = 0;
    for (int k = 0; k < n; k++) {
        if (*i >= end || !digit_in(x->p[*i], 16)) lex_fail(x, "malformed escape in a string");
        char d = x->p[(*i)++];
        c = c << 4 | (uint32_t)(d <= '9' ? d - '0' : (d | 32) - 'a' + 10);
    }
    if (c > 0x10ffff) lex_fail(x, "illegal Unicode character in a string");
    return c;
}

/* The escape whose letter is at *i. */
static void escape(lexer *x, vsb *b, size_t *i, size_t end)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char c = x->p[(*i)++];
    const char *known = c ? strchr(from, c) : NULL;
    if (c == '\n') return;
    if (known) {
        vsb_raw(b, &to[known - from], 1, true);
    } else if (c == 'x' || c == 'u' || c == 'U') {
        vsb_char(b, hex_escape(x, i, end, c == 'x' ? 2 : c == 'u' ? 4 : 8), true);
    } else if (c >= '0' && c < '8') {
        uint32_t v = (uint32_t)(c - '0');
        for (int k = 0; k < 2 && *i < end && x->p[*i] >= '0' && x->p[*i] < '8'; k++)
            v = v * 8 + (uint32_t)(x->p[(*i)++] - '0');
        vsb_char(b, v, true);
    } else if (c == 'N') {
        lex_fail(x, "\\N{...} is not supported in strings");
    } else {
        vsb_raw(b, "\\", 1, true);
        (*i)--;
    }
}

static void lex_string(lexer *x)
{
    size_t from = x->at + 1, end = from;
    char quote = x->p[x->at];
    for (; end < x->n && x->p[end] != quote; end++)
        if (x->p[end] == '\\') end++;
    if (end >= x->n) lex_fail(x, "unexpected quote: the string does not end");
    vsb b = {.rt = x->rt};
    for (size_t i = from, k; i < end; i = k) {
        for (k = i; k < end && x->p[k] != '\\'; k++) {}
        vsb_raw(&b, x->p + i, k - i, true);
        if (k == end) break;
        k++;
        escape(x, &b, &k, end);
    }
    emit(x, T_STRING)->s = vsb_done(&b);
    moved(x, end + 1);
}

static size_t name_end(const lexer *x, size_t i)
{
    while (i < x->n) {
        uint32_t c;
        size_t k = utf8_next(x->p + i, x->n - i, &c);
        if (c != '_' && !jchar_word(c)) break;
        i += k;
    }
    return i;
}

static void lex_operator(lexer *x)
{
    static const struct { char text[3]; tok t; } ops[] = {
        {"//", T_FLOORDIV}, {"**", T_POW}, {"==", T_EQ}, {"!=", T_NE}, {">=", T_GE}, {"<=", T_LE}, {"+", T_ADD},
        {"-", T_SUB},
        {"/", T_DIV}, {"*", T_MUL}, {"%", T_MOD}, {"~", T_TILDE}, {"[", T_LBRACKET}, {"]", T_RBRACKET},
        {"(", T_LPAREN},
        {")", T_RPAREN}, {"{", T_LBRACE}, {"}", T_RBRACE}, {">", T_GT}, {"<", T_LT}, {"=", T_ASSIGN}, {".", T_DOT},
        {":", T_COLON}, {"|", T_PIPE}, {",", T_COMMA}, {";", T_SEMICOLON}};
    size_t i = 0, count = sizeof ops / sizeof *ops;
    while (i < count && !has(x, x->at, ops[i].text)) i++;
    if (i == count) lex_fail(x, "unexpected character");
    char c = x->p[x->at];
    if (c == '(' || c == '[' || c == '{') {
        if (x->n_close == sizeof x->close) rt_fail(x->rt, TAWNY_E_LIMIT, "nested too deeply");
        x->close[x->n_close++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (!x->n_close || x->close[--x->n_close] != c) lex_fail(x, "unexpected closing bracket");
    }
    emit(x, ops[i].t);
    moved(x, x->at + strlen(ops[i].text));
}

/* The end of the tag at x->at, if it is here: takes it. */
static bool tag_end(lexer *x, char kind)
{
    if (x->n_close) return false;
    size_t i = x->at;
    char sign = i < x->n && (x->p[i] == '-' || (x->p[i] == '+' && kind == '%')) ? x->p[i] : 0;
    i += sign != 0;
    if (!has(x, i, kind == '%' ? "%}" : "}}")) return false;
    emit(x, kind == '%' ? T_BLOCK_END : T_VAR_END);
    if (kind == '%')
        i = after_close(x, x->at, i);
    else
        i = sign ? skip_space(x, i + 2) : i + 2;
    moved(x, i);
    return true;
}

static void lex_tag(lexer *x, char kind)
{
    emit(x, kind == '%' ? T_BLOCK_BEGIN : T_VAR_BEGIN);
    x->n_close = 0;
    while (!tag_end(x, kind)) {
        size_t i = x->at, end;
        if (i >= x->n) return; /* the parser misses the end of the tag */
        if ((end = skip_space(x, i)) > i) {
            moved(x, end);
        } else if (digit_in(x->p[i], 10)) {
            lex_number(x);
        } else if ((end = name_end(x, i)) > i) {
            emit(x, T_NAME)->s = vstr_new(x->rt, x->p + i, end - i, true);
            moved(x, end);
        } else if (x->p[i] == '"' || x->p[i] == '\'') {
            lex_string(x);
        } else {
            lex_operator(x);
        }
    }
}

/* Newlines become "\n"; one at the end of the template goes. */
static void normalize(lexer *x, const char *source, size_t n)
{
    char *p = rt_alloc(x->rt, n);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        p[k++] = source[i] == '\r' ? '\n' : source[i];
        if (source[i] == '\r' && i + 1 < n && source[i + 1] == '\n') i++;
    }
    if (k && p[k - 1] == '\n') k--;
    x->p = p;
    x->n = k;
}

tokens jinja_lex(jinja_rt *rt, const char *source, size_t n)
{
    lexer *x = rt_alloc(rt, sizeof *x);
    *x = (lexer){.rt = rt, .line = 1, .line_start = true};
    normalize(x, source, n);
    for (char kind; (kind = lex_data(x));) {
        if (kind == 'r')
            lex_raw(x);
        else if (kind == '#')
            lex_comment(x);
        else
            lex_tag(x, kind);
    }
    emit(x, T_EOF);
    return (tokens){x->v, x->n_tok};
}

const char *tok_name(tok t)
{
    static const char *const names[] = {"end of template", "text", "{{", "end of print statement", "{%",
        "end of statement block", "name", "string", "integer", "float", "+", "-", "*", "/", "//", "%", "**", "~", "[",
        "]",
        "(", ")", "{", "}", "==", "!=", ">", ">=", "<", "<=", "=", ".", ":", "|", ",", ";"};
    return names[t];
}
