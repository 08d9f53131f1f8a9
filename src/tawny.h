/* tawny: large language models from GGUF files on the CPU alone.
 *
 * A model is the loaded file; a session is one timeline of tokens over it. Nothing here prints,
 * exits or aborts: a fallible function returns a tawny_status and, where err is not NULL, fills it.
 */
#ifndef TAWNY_H
#define TAWNY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TAWNY_VERSION "0.1.0"

/* The version of the numerical contract: results with equal versions are equal to the last bit. */
#define TAWNY_CONTRACT 1

typedef enum tawny_status {
    TAWNY_OK = 0,
    TAWNY_E_IO,          /* the operating system refused a file */
    TAWNY_E_FORMAT,      /* data from outside is malformed */
    TAWNY_E_UNSUPPORTED, /* well-formed, but not something this build can do */
    TAWNY_E_NOMEM,
    TAWNY_E_ARG,   /* the caller asked for something impossible */
    TAWNY_E_LIMIT, /* a stated limit was passed (context full, work, depth, size) */
    TAWNY_E_CPU,   /* the CPU or the forced tier lacks what is needed */
    TAWNY_E_DAMAGED /* a mapped file changed or shrank while in use */
} tawny_status;

typedef struct tawny_error {
    tawny_status code;
    char message[500]; /* names file, field and value; printable, one line */
} tawny_error;

typedef int32_t tawny_token;

#ifdef __cplusplus
}
#endif

#endif
