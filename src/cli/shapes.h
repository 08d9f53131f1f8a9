/* Models by name, without a file: the shapes of well-known ones, as the header of the file they would be. */
#ifndef CLI_SHAPES_H
#define CLI_SHAPES_H

#include <stdio.h>

#include "../base/buf.h"
#include "../base/error.h"

typedef enum shape_type { SHAPE_Q4_K_M, SHAPE_Q8_0 } shape_type;

/* "Q4_K_M" and "Q8_0", in any case. */
bool shape_type_by_name(const char *name, shape_type *out);
const char *shape_names(void); /* "7b, 8b, ..." */

/* Appends the header of model `name` ("8b") in the given type, with the formats that llama-quantize would choose tensor
 * by tensor. Models that come in a type of their own (gpt-oss: MXFP4) have that. */
tawny_status shape_header(const char *name, shape_type type, buf *head, tawny_error *err);

#endif
