/* Hostile files, made rather than kept: each row of a table describes one, and what opening it must say.
 *
 * A file is written down as words, separated by blanks:
 *     'GGUF'      these bytes                       <key>    a string with its length before it
 *     1:N 2:N 4:N 8:N   an integer of so many bytes  f:X d:X  a float, a double
 *     zN  N zeros      sN  a string of N letters with its length before it
 *     pN  zeros up to a multiple of N                H:T,K    the header of version 3: T tensors, K keys
 *     (W ...)*N   the words W, N times; '#' in a string or number stands for the count from 0
 *
 * A model is a small valid one with changes, separated by semicolons:
 *     drop KEY | u32 KEY V | i32 KEY V | f32 KEY V | bool KEY V | str KEY TEXT | strs KEY A,B,... |
 *     f32s KEY N V | i32s KEY N V | notensor NAME | shape NAME A,B,... | type NAME T | value NAME V */
#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

#include "base/buf.h"
#include "base/error.h"

/* What is asked of the file once it is open, about its key "k". */
typedef enum hostile_look {
    LOOK_OPEN,
    LOOK_U32,    /* from 1 to 1000 */
    LOOK_F32,    /* from 0 to 1 */
    LOOK_BOOL,
    LOOK_STR,
    LOOK_STRS,   /* an array of strings */
    LOOK_F32S,   /* an array of floats */
    LOOK_LAYERS  /* u32 per layer, 4 layers, 1 to 64 */
} hostile_look;

typedef struct hostile_file {
    const char *name;
    tawny_status status;
    const char *text; /* the message has this in it */
    const char *words;
    hostile_look look;
} hostile_file;

extern const hostile_file hostile_files[]; /* ends with a row without a name */

bool hostile_bytes(const char *words, buf *out); /* false where the words make no sense */

typedef struct hostile_model {
    const char *name;
    tawny_status status;
    const char *text;
    const char *changes;
} hostile_model;

extern const hostile_model hostile_models[];     /* what the model loader refuses */
extern const hostile_model hostile_tokenizers[]; /* what the tokenizer refuses */

/* The small valid model: llama, 2 layers of width 32, byte-level BPE with 261 tokens, F32. */
tawny_status hostile_model_write(const char *changes, const char *path, tawny_error *err);

#endif
