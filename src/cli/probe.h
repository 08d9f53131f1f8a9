/* Intermediate results of forward passes, written as JSON lines (README.md, "Intermediate results"). */
#ifndef CLI_PROBE_H
#define CLI_PROBE_H

#include <stdio.h>

#include "../base/error.h"

typedef struct probe_dump {
    FILE *f;
    const char *path;
    int32_t pos; /* of the first token of the pass, which the caller keeps */
} probe_dump;

/* From now on what the engine's passes give on their way goes to the file, after a line with the tokens. */
tawny_status probe_dump_open(probe_dump *p, const char *path, tawny_engine *e, const tawny_token *tokens, int32_t n, tawny_error *err);
/* TAWNY_E_IO where something could not be written. One that is not open is fine. */
tawny_status probe_dump_close(probe_dump *p, tawny_error *err);

#endif
