/* tawny inspect: what is in a GGUF file. Everything shown was written by a stranger: see inspect_text. */
#include <stdlib.h>
#include <string.h>

#include "../../quant/quant.h"
#include "../base/file.h"
#include "cli.h"
#include "inspect.h"
#include "terminal.h"

uint64_t inspect_elements(const gguf_tensor *t) { return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]; }

const char *inspect_file_type(const gguf *g)
{
    uint32_t type = UINT32_MAX;
    gguf_opt_u32(g, "general.file_type", 0, UINT32_MAX, &type, NULL);
    return gguf_file_type_name(type);
}

/* The character at s, its length in *n; -1 for a byte that begins none. */
static int32_t decode_utf8(const uint8_t *s, size_t left, size_t *n)
{
    size_t len = s[0] < 0x80                   ? 1
                 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                 : (s[0] & 0xf0) == 0xe0       ? 3
                 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                               : 0;
    *n = 1;
    if (len == 1) return s[0];
    if (len == 0 || len > left) return -1;
    int32_t c = s[0] & (0x7f >> len);
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) return -1;
        c = c << 6 | (s[i] & 0x3f);
    }
    if ((len == 3 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) || (len == 4 && (c < 0x10000 || c > 0x10ffff)))
        return -1;
    *n = len;
    return c;
}

static bool harmless(int32_t c)
{
    bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    bool turns =
        c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    return !control && !turns && c != 0xfeff;
}

void inspect_text(FILE *f, gguf_str s, size_t max)
{
    const uint8_t *p = (const uint8_t *)s.p;
    for (size_t i = 0, n = 0; i < s.n; i += n) {
        int32_t c = decode_utf8(p + i, s.n - i, &n);
        if (max && i + n > max) {
            fputs("...", f);
            return;
        }
        if (c < 0) fprintf(f, "\\x%02x", p[i]);
        else if (c == '\n') fputs("\\n", f);
        else if (c == '\t') fputs("\\t", f);
        else if (harmless(c)) fwrite(p + i, 1, n, f);
        else fprintf(f, c < 0x100 ? "\\x%02x" : "\\u%04x", (unsigned)c);
    }
}

static void show_text(const char *label, gguf_str s)
{
    printf("%-14s ", label);
    inspect_text(stdout, s, 200);
    putchar('\n');
}

/* "4.37 GiB", "812 bytes" */
static const char *bytes_text(uint64_t n, char out[32])
{
    if (n < 1 << 10) snprintf(out, 32, "%llu bytes", (unsigned long long)n);
    else if (n < 1 << 20) snprintf(out, 32, "%.1f KiB", (double)n / 0x1p10);
    else if (n < 1 << 30) snprintf(out, 32, "%.1f MiB", (double)n / 0x1p20);
    else snprintf(out, 32, "%.2f GiB", (double)n / 0x1p30);
    return out;
}

static const char *count_text(uint64_t n, char out[32])
{
    if (n < 10000) snprintf(out, 32, "%llu", (unsigned long long)n);
    else if (n < 1000000) snprintf(out, 32, "%.1f thousand", (double)n / 1e3);
    else if (n < 1000000000) snprintf(out, 32, "%.1f million", (double)n / 1e6);
    else snprintf(out, 32, "%.2f billion", (double)n / 1e9);
    return out;
}

static void show_element(const gguf_array *a, uint64_t i)
{
    if (a->type == GGUF_F32 || a->type == GGUF_F64) printf("%g", gguf_array_f64(a, i));
    else if (a->type == GGUF_BOOL) fputs(gguf_array_u64(a, i) ? "true" : "false", stdout);
    else if (a->type == GGUF_U64) printf("%llu", (unsigned long long)gguf_array_u64(a, i));
    else printf("%lld", (long long)gguf_array_i64(a, i));
}

static void show_value(const gguf_kv *kv, bool full)
{
    switch (kv->type) {
    case GGUF_STR: inspect_text(stdout, kv->v.s, full ? 0 : 100); return;
    case GGUF_F32:
    case GGUF_F64: printf("%g", kv->v.f); return;
    case GGUF_BOOL: fputs(kv->v.u ? "true" : "false", stdout); return;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: printf("%lld", (long long)kv->v.i); return;
    case GGUF_ARR: break;
    default: printf("%llu", (unsigned long long)kv->v.u); return;
    }
    const gguf_array *a = &kv->v.a;
    uint64_t shown = full || a->n < 8 ? a->n : 8;
    size_t at = 0;
    gguf_str s;
    printf("[%llu] ", (unsigned long long)a->n);
    for (uint64_t i = 0; i < shown; i++) {
        if (i) fputs(", ", stdout);
        if (a->type != GGUF_STR) show_element(a, i);
        else if (gguf_array_next_str(a, &at, &s)) inspect_text(stdout, s, full ? 0 : 40);
    }
    if (shown < a->n) fputs(", ...", stdout);
}

/* "ARCH.suffix", where the file has it. */
static void show_arch_key(const gguf *g, const char *label, const char *suffix)
{
    gguf_str arch = {"", 0};
    char key[160];
    gguf_opt_str(g, "general.architecture", &arch, NULL);
    snprintf(key, sizeof key, "%.*s.%s", (int)(arch.n < 64 ? arch.n : 64), arch.p, suffix);
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv) return;
    printf("%-14s ", label);
    show_value(kv, false);
    putchar('\n');
}

static void show_tokenizer(const gguf *g)
{
    gguf_str model = {0}, pre = {0}, chat = {0};
    gguf_array tokens = {0};
    gguf_opt_str(g, "tokenizer.ggml.model", &model, NULL);
    gguf_opt_str(g, "tokenizer.ggml.pre", &pre, NULL);
    gguf_opt_str(g, "tokenizer.chat_template", &chat, NULL);
    gguf_opt_array(g, "tokenizer.ggml.tokens", GGUF_STR, &tokens, NULL);
    if (!model.p) return;
    printf("%-14s ", "tokenizer");
    inspect_text(stdout, model, 60);
    if (pre.p) {
        fputs(" (", stdout);
        inspect_text(stdout, pre, 60);
        putchar(')');
    }
    printf(", %llu tokens%s\n", (unsigned long long)tokens.n, chat.p ? ", with a chat template" : "");
}

inspect_sum inspect_sum_type(const gguf *g, uint32_t type)
{
    inspect_sum s = {0};
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (t->type != type) continue;
        s.n++;
        s.params += inspect_elements(t);
        s.bytes += t->bytes;
    }
    return s;
}

static void show_types(const gguf *g)
{
    char size[32], count[32];
    for (uint32_t type = 0; gguf_tensor_type(type); type++) {
        inspect_sum s = inspect_sum_type(g, type);
        if (s.n)
            printf("  %-12s %6llu tensors  %16s  %12s\n", gguf_tensor_type(type)->name, (unsigned long long)s.n,
                   count_text(s.params, count), bytes_text(s.bytes, size));
    }
}

static void show_summary(const gguf *g)
{
    char size[32], count[32];
    uint64_t params = 0, bytes = 0;
    gguf_str s = {0};
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        params += inspect_elements(gguf_tensor_at(g, i));
        bytes += gguf_tensor_at(g, i)->bytes;
    }
    show_text("file", (gguf_str){gguf_path(g), strlen(gguf_path(g))});
    printf("%-14s GGUF version %u, %s", "format", gguf_version(g), bytes_text(gguf_file_bytes(g), size));
    if (gguf_split_count(g) > 1) printf(" in %u files", gguf_split_count(g));
    putchar('\n');
    if (!gguf_opt_str(g, "general.architecture", &s, NULL) && s.p) show_text("architecture", s);
    s.p = NULL;
    if (!gguf_opt_str(g, "general.name", &s, NULL) && s.p) show_text("name", s);
    if (inspect_file_type(g)) printf("%-14s %s\n", "file type", inspect_file_type(g));
    printf("%-14s %s", "parameters", count_text(params, count));
    if (params) printf(", %.2f bits each", (double)bytes * 8 / (double)params);
    putchar('\n');
    show_arch_key(g, "context", "context_length");
    show_arch_key(g, "layers", "block_count");
    show_arch_key(g, "embedding", "embedding_length");
    show_arch_key(g, "heads", "attention.head_count");
    show_arch_key(g, "heads (KV)", "attention.head_count_kv");
    show_arch_key(g, "feed-forward", "feed_forward_length");
    show_arch_key(g, "experts", "expert_count");
    show_arch_key(g, "experts used", "expert_used_count");
    show_tokenizer(g);
    printf("%-14s %zu\n", "tensors", gguf_tensor_count(g));
    show_types(g);
}

static void show_metadata(const gguf *g, bool full)
{
    printf("\nmetadata, %zu keys\n", gguf_kv_count(g));
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        fputs("  ", stdout);
        inspect_text(stdout, kv->key, 0);
        printf(" (%s%s) = ", gguf_type_name(kv->type == GGUF_ARR ? kv->v.a.type : kv->type),
               kv->type == GGUF_ARR ? "[]" : "");
        show_value(kv, full);
        putchar('\n');
    }
}

static void show_tensors(const gguf *g, const hash128 *sums)
{
    printf("\ntensors, %zu of them%s\n", gguf_tensor_count(g), sums ? ", with the XXH3-128 of their data" : "");
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        char shape[96], size[32], hex[HASH_HEX] = "";
        int at = snprintf(shape, sizeof shape, "%llu", (unsigned long long)t->ne[0]);
        for (uint32_t d = 1; d < t->n_dims; d++)
            at += snprintf(shape + at, sizeof shape - (size_t)at, " x %llu", (unsigned long long)t->ne[d]);
        if (sums) hash_hex(sums[i], hex);
        printf("  %-40s %-8s %20s %12s%s%s\n", t->name, gguf_tensor_type(t->type)->name, shape,
               bytes_text(t->bytes, size), sums ? "  " : "", hex);
    }
}

/* A page that could not be read is zeros in the mapping: no result that used it may stand. */
static int damaged(const gguf *g)
{
    return gguf_damaged(g) ? cli_fail(1, "%s: the file shrank or could not be read", gguf_path(g)) : -1;
}

static hash128 *checksums(const gguf *g)
{
    hash128 *sums = calloc(gguf_tensor_count(g) + 1, sizeof *sums);
    uint64_t all = gguf_file_bytes(g), done = 0;
    term_bar bar;
    term_bar_start(&bar, "checksums");
    for (size_t i = 0; sums && i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        sums[i] = hash_bytes(t->data, (size_t)t->bytes);
        done += t->bytes;
        term_bar_set(&bar, (double)done / (double)all, NULL);
    }
    term_bar_end(&bar);
    return sums;
}

static int dump(const gguf *g, const char *name, const char *path)
{
    enum { CHUNK = 1 << 14 }; /* whole blocks of every format */
    static float values[CHUNK];
    const gguf_tensor *t = gguf_tensor_find(g, name);
    if (!t) return cli_fail(1, "%s: there is no tensor %s", gguf_path(g), name);
    int format = quant_from_ggml(t->type);
    if (format < 0)
        return cli_fail(1, "%s: tensor %s: type %s has no float values", gguf_path(g), name,
                        gguf_tensor_type(t->type)->name);
    const quant_traits *q = &quant_table[format];
    const uint8_t *src = t->data;
    file_out o;
    tawny_error err;
    if (file_out_open(path, &o, &err)) return cli_fail_err(&err);
    tawny_status status = TAWNY_OK;
    for (uint64_t left = inspect_elements(t); left && !status; ) {
        size_t n = left < CHUNK ? (size_t)left : CHUNK;
        q->decode(src, values, n);
        src += quant_row_bytes((quant_id)format, n);
        left -= n;
        status = file_out_put(&o, values, n * sizeof *values, &err);
    }
    int code = status ? cli_fail_err(&err) : damaged(g);
    if (code < 0 && file_out_commit(&o, &err)) code = cli_fail_err(&err);
    file_out_abort(&o);
    return code < 0 ? 0 : code;
}

int cmd_inspect(int argc, char **argv)
{
    inspect_opts in = {0};
    cli_list rest = {0};
    const cli_opt opts[] = {
        {"--json", CLI_FLAG, &in.json, NULL, "as JSON", 0, 0},
        {"--metadata", CLI_FLAG, &in.metadata, NULL, "list every metadata key", 0, 0},
        {"--tensors", CLI_FLAG, &in.tensors, NULL, "list the tensors", 0, 0},
        {"--checksums", CLI_FLAG, &in.checksums, NULL, "list the tensors with the XXH3-128 of their data", 0, 0},
        {"--full", CLI_FLAG, &in.full, NULL, "long arrays and strings to their end", 0, 0},
        {"--header", CLI_FLAG, &in.header, NULL,
         "the header of this file alone, even where data or other files are missing", 0, 0},
        {"--dump", CLI_STR, &in.dump, "TENSOR", "write this tensor's values as raw float32 to -o", 0, 0},
        {"-o --output", CLI_STR, &in.out, "FILE", "where --dump writes to", 0, 0},
        {0},
    };
    int code = cli_parse("inspect", argc, argv, opts, &rest);
    if (code >= 0) return code;
    const char *path = rest.n == 1 ? rest.items[0] : NULL;
    free(rest.items);
    if (!path) return cli_fail(2, "inspect: one FILE is needed");
    if (!in.dump != !in.out) return cli_fail(2, "inspect: --dump and -o go together");
    if (in.header && (in.dump || in.checksums))
        return cli_fail(2, "inspect: --header reads no data for --dump or --checksums");

    gguf *g = NULL;
    tawny_error err;
    if (gguf_open(path, in.header ? GGUF_HEADER_ONLY | GGUF_NO_SPLITS : 0, &g, &err)) return cli_fail_err(&err);
    hash128 *sums = NULL;
    if (in.dump) {
        code = dump(g, in.dump, in.out);
        goto end;
    }
    if (in.checksums && !(sums = checksums(g))) {
        code = cli_fail(1, "out of memory");
        goto end;
    }
    if (in.json) {
        code = inspect_json(g, &in, sums);
    } else {
        show_summary(g);
        if (in.metadata || in.full) show_metadata(g, in.full);
        if (in.tensors || sums) show_tensors(g, sums);
        code = cli_finish(0);
    }
    if (damaged(g) > 0) code = 1;
end:
    free(sums);
    gguf_close(g);
    return code;
}
