/* tawny logits: the logits after each of some tokens, and their fingerprint. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_opts.h"
#include "ids.h"
#include "probe.h"

/* The file that check_logits.py and other readers know: n, dim, the tokens, then the rows. */
static bool write_header(FILE *f, const tawny_token *tokens, int32_t n, int32_t dim)
{
    return fwrite(&n, sizeof n, 1, f) == 1 && fwrite(&dim, sizeof dim, 1, f) == 1 && fwrite(tokens, sizeof *tokens, (size_t)n, f) == (size_t)n;
}

static tawny_status compute(tawny_session *s, tawny_fingerprint *fp, probe_dump *probe, const tawny_token *tokens, int32_t n, int32_t chunk, float *rows,
                            size_t n_vocab, FILE *f, tawny_error *err)
{
    for (int32_t i = 0; i < n; i += chunk) {
        int32_t m = n - i < chunk ? n - i : chunk;
        probe->pos = i;
        tawny_status st = tawny_session_append(s, tokens + i, m, rows, err);
        if (st != TAWNY_OK) return st;
        tawny_fingerprint_add(fp, rows, (size_t)m * n_vocab);
        if (f && fwrite(rows, sizeof *rows, (size_t)m * n_vocab, f) != (size_t)m * n_vocab) {
            err->code = TAWNY_E_IO;
            snprintf(err->message, sizeof err->message, "-o: %s", strerror(errno));
            return TAWNY_E_IO;
        }
    }
    return TAWNY_OK;
}

int cmd_logits(int argc, char **argv)
{
    engine_opts o = {0};
    const char *spec = NULL, *path = NULL, *probe_path = NULL;
    probe_dump probe = {0};
    int chunk = 512;
    const cli_opt opts[] = {
        ENGINE_OPTS(o),
        {"--tokens", CLI_STR, &spec, "IDS", "token ids: 1,2,3 or @FILE", 0, 0},
        {"-b --batch-size", CLI_INT, &chunk, "N", "tokens a chunk of the prompt (default: 512)", 1, 65536},
        {"-o --output", CLI_STR, &path, "FILE", "int32 n, int32 dim, int32 tokens[n], float32 logits[n][dim]", 0, 0},
        {"--probe", CLI_STR, &probe_path, "FILE", "intermediate results, a JSON line each; `tawny verify --activations` reads such", 0, 0},
        {0},
    };
    int code = cli_parse("logits", argc, argv, opts, NULL);
    if (code >= 0) return code;
    if (!spec) return cli_fail(2, "logits: --tokens is needed");
    char model_path[4096];
    code = engine_opts_resolve(&o, "logits", model_path, sizeof model_path);
    if (code >= 0) return code;

    tawny_token *tokens = NULL;
    int32_t n = 0;
    tawny_model *m = NULL;
    tawny_engine *e = NULL;
    tawny_session *s = NULL;
    tawny_fingerprint *fp = NULL;
    float *rows = NULL;
    FILE *f = NULL;
    tawny_error err = {0};
    char hex[33];
    code = ids_parse("logits", spec, &tokens, &n);
    if (code >= 0) goto done;
    code = 1;
    if (chunk > n) chunk = n;
    if (!o.params.n_ctx) o.params.n_ctx = n;
    o.params.n_ubatch = chunk;
    if (engine_opts_open(&o, &m, &err) || tawny_engine_new(m, &o.params, &e, &err) || tawny_session_new(e, &s, &err) ||
        tawny_fingerprint_new(m, &fp, &err)) {
        code = cli_fail_err(&err);
        goto done;
    }
    int32_t n_vocab = tawny_model_n_vocab(m);
    rows = malloc((size_t)chunk * (size_t)n_vocab * sizeof *rows);
    if (!rows) {
        code = cli_fail(1, "out of memory");
        goto done;
    }
    if (path && !(f = fopen(path, "wb"))) {
        code = cli_fail(1, "%s: %s", path, strerror(errno));
        goto done;
    }
    if (f && !write_header(f, tokens, n, n_vocab)) {
        code = cli_fail(1, "%s: %s", path, strerror(errno));
        goto done;
    }
    if (probe_path && probe_dump_open(&probe, probe_path, e, tokens, n, &err) != TAWNY_OK) {
        code = cli_fail_err(&err);
        goto done;
    }
    if (compute(s, fp, &probe, tokens, n, chunk, rows, (size_t)n_vocab, f, &err) != TAWNY_OK) {
        code = cli_fail_err(&err);
        goto done;
    }
    if (probe_path && probe_dump_close(&probe, &err) != TAWNY_OK) {
        code = cli_fail_err(&err);
        goto done;
    }
    tawny_fingerprint_hex(fp, hex);
    printf("%s\n", hex);
    code = 0;
    if (f && fclose(f) != 0) code = cli_fail(1, "%s: %s", path, strerror(errno));
    f = NULL;
done:
    if (f) fclose(f);
    probe_dump_close(&probe, NULL);
    tawny_fingerprint_free(fp);
    tawny_session_free(s);
    tawny_engine_free(e);
    tawny_model_close(m);
    free(rows);
    free(tokens);
    return code < 0 ? 1 : cli_finish(code);
}
