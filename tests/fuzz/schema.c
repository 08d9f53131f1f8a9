/* Fuzz target: any bytes as a JSON Schema. The grammar that comes of one that is accepted parses, and has a start. */
#include <stdint.h>
#include <stdlib.h>

#include "text/gbnf.h"
#include "text/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    buf out = {.max = 1 << 20}, loose = {.max = 1 << 20};
    gbnf *g = NULL;
    gbnf_matcher *m = NULL;
    tawny_error e;
    if (schema_to_gbnf((const char *)data, size, &out, &loose, &e) == TAWNY_OK) {
        tawny_status st = gbnf_parse(out.data, out.size, NULL, &g, &e);
        if (st != TAWNY_OK && st != TAWNY_E_LIMIT) abort();
        if (st == TAWNY_OK) gbnf_matcher_new(g, NULL, &m, &e);
    }
    gbnf_matcher_free(m);
    gbnf_free(g);
    buf_free(&out);
    buf_free(&loose);
    return 0;
}
