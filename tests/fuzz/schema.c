/* Fuzz target: any bytes as a JSON Schema. The grammar that comes of one that is accepted parses, and has a start. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/gbnf.h"
#include "text/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    buf out = {.max = 1 << 20};
    gbnf *g = NULL;
    gbnf_matcher *m = NULL;
    tawny_error e;
    if (schema_rules((const char *)data, size, "root", 0, &out, &e) == TAWNY_OK) {
        tawny_status st = gbnf_parse(out.data, out.size, NULL, &g, &e);
        bool barren = st == TAWNY_E_FORMAT && strstr(e.message, "no text matches"); /* a schema that nothing satisfies */
        if (st != TAWNY_OK && st != TAWNY_E_LIMIT && !barren) abort();
        if (st == TAWNY_OK) gbnf_matcher_new(g, NULL, &m, &e);
    }
    gbnf_matcher_free(m);
    gbnf_free(g);
    buf_free(&out);
    return 0;
}
