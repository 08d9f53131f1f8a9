/* `tawny verify --activations`: a file of intermediate results against the model. */
#ifndef CLI_VERIFY_ACTIVATIONS_H
#define CLI_VERIFY_ACTIVATIONS_H

#include "engine_opts.h"

/* o's model is resolved; tokens: --tokens, or NULL where the file tells them. An exit code: 0 sound, 1 not, 3 not judged. */
int verify_activations(engine_opts *o, const char *path, const char *tokens, bool json);

#endif
