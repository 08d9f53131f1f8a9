/* Makes test models: decodes every weight of a GGUF file to F32, or encodes its matrices in a format.
 *
 *     build/tests/mkmodel FORMAT IN.gguf OUT.gguf [PART=FORMAT ...]
 *
 *     build/tests/mkmodel tiny OUT.gguf       the model of tests/tiny_model.h
 *
 * F32 decodes everything: the model that the file stands for, to judge a quantized one by. Another FORMAT
 * encodes matrices (Q8_0 where a row is not whole blocks of FORMAT); vectors, norms, routers become F32. PART=FORMAT:
 * tensors whose name contains PART get this format instead ("F32" keeps them out). Metadata is copied. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "gguf/gguf.h"
#include "quant/quant.h"
#include "tiny_model.h"

typedef struct job {
    const gguf_tensor *t;
    quant_id from, to;
} job;

enum { CHUNK = 1 << 22 }; /* weights decoded at once */

static void convert(const job *j, uint64_t at, uint64_t n, float *x, uint8_t *out)
{
    const quant_traits *from = &quant_table[j->from], *to = &quant_table[j->to];
    uint64_t row = j->t->ne[0], rows = n / row;
    const uint8_t *src = j->t->data + quant_row_bytes(j->from, at);
#pragma omp parallel for schedule(dynamic)
    for (uint64_t r = 0; r < rows; r++) {
        from->decode(src + r * quant_row_bytes(j->from, row), x + r * row, row);
        to->encode(x + r * row, out + r * quant_row_bytes(j->to, row), row);
    }
}

static tawny_status produce(void *ctx, const char *name, struct file_out *o, tawny_error *err)
{
    const job *j = ctx;
    const uint64_t *ne = j->t->ne;
    uint64_t total = ne[0] * ne[1] * ne[2] * ne[3], step = CHUNK / (ne[0] ? ne[0] : 1) * ne[0];
    if (step < ne[0]) step = ne[0];
    float *x = malloc(step * sizeof *x);
    uint8_t *out = malloc(step * sizeof *x);
    tawny_status s = x && out ? TAWNY_OK : err_nomem(err);
    for (uint64_t at = 0; s == TAWNY_OK && at < total; at += step) {
        uint64_t n = total - at < step ? total - at : step;
        convert(j, at, n, x, out);
        s = file_out_put(o, out, quant_row_bytes(j->to, n), err);
    }
    fprintf(stderr, "%s: %s to %s\n", name, quant_table[j->from].name, quant_table[j->to].name);
    free(x);
    free(out);
    return s;
}

static bool is_matrix(const gguf_tensor *t)
{
    static const char *const no[] = {"norm", "ffn_gate_inp", "ssm_conv1d", "position_embd", "token_types",
                                     "rope_freqs"};
    size_t n = strlen(t->name);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (strstr(t->name, no[i])) return false;
    return t->n_dims >= 2 && n > 7 && strcmp(t->name + n - 7, ".weight") == 0;
}

/* The format a tensor gets; -1 where a part names an unknown one. */
static int format_of(const gguf_tensor *t, int wanted, char **parts, int n)
{
    int f = is_matrix(t) ? wanted : QUANT_F32;
    for (int i = 0; i < n; i++) {
        const char *eq = strchr(parts[i], '=');
        char part[GGUF_MAX_NAME];
        if (!eq) return -1;
        snprintf(part, sizeof part, "%.*s", (int)(eq - parts[i]), parts[i]);
        if (strstr(t->name, part)) f = quant_from_name(eq + 1);
    }
    if (f < 0 || !quant_table[f].encode) return -1;
    if (t->ne[0] % (uint64_t)quant_table[f].block_len == 0) return f;
    return t->ne[0] % (uint64_t)quant_table[QUANT_Q8_0].block_len == 0 ? QUANT_Q8_0 : QUANT_F32;
}

static int fail(const char *what)
{
    fprintf(stderr, "mkmodel: %s\n", what);
    return 1;
}

static void copy_metadata(gguf_writer *w, const gguf *g)
{
    for (size_t i = 0; i < gguf_kv_count(g); i++) gguf_writer_copy_kv(w, gguf_kv_at(g, i));
    static const char *const stale[] = {"split.no", "split.count", "split.tensors.count", "general.file_type"};
    for (size_t i = 0; i < sizeof stale / sizeof *stale; i++) gguf_writer_drop(w, stale[i]);
}

int main(int argc, char **argv)
{
    tawny_error err;
    gguf *g = NULL;
    int wanted = argc > 1 ? quant_from_name(argv[1]) : -1, rc = 1;
    if (argc == 3 && strcmp(argv[1], "tiny") == 0) return tiny_model_write(argv[2], &err) == TAWNY_OK ? 0 : fail(err.message);
    if (argc < 4) return fail("FORMAT IN.gguf OUT.gguf [PART=FORMAT ...]");
    if (wanted < 0 || !quant_table[wanted].encode) return fail("the format is unknown, or it has no encoder");
    if (gguf_open(argv[2], 0, &g, &err) != TAWNY_OK) return fail(err.message);
    gguf_writer *w = gguf_writer_new();
    job *jobs = calloc(gguf_tensor_count(g) + 1, sizeof *jobs);
    if (!w || !jobs) goto done;
    copy_metadata(w, g);
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        int from = quant_from_ggml(t->type), to = format_of(t, wanted, argv + 4, argc - 4);
        if (to < 0) {
            fail("PART=FORMAT: a known format with an encoder is wanted");
            goto done;
        }
        if (from < 0) {
            gguf_writer_tensor(w, t->name, t->type, t->n_dims, t->ne, t->data); /* integers */
            continue;
        }
        jobs[i] = (job){t, (quant_id)from, (quant_id)to};
        gguf_writer_tensor_fn(w, t->name, quant_table[to].ggml_id, t->n_dims, t->ne, produce, &jobs[i]);
    }
    if (gguf_writer_write(w, argv[3], &err) == TAWNY_OK) rc = 0;
    else fail(err.message);
done:
    gguf_writer_free(w);
    gguf_close(g);
    free(jobs);
    return rc;
}
