/* What the registry knows. */
#ifndef MODELS_ARCHS_H
#define MODELS_ARCHS_H

#include "model.h"

#define ARCH(name) extern const arch arch_##name;
#include "archs.def"
#undef ARCH

/* Fails with the name that the file asks for, what is missing, and the nearest that is supported. */
tawny_status arch_refuse(const model *m, tawny_error *err);
/* The i-th name that is known but not supported, and its nearest relative; false past the last. */
bool arch_relative(size_t i, const char **name, const char **nearest);

/* Fails where the file names an activation that is not the architecture's. */
tawny_status activation_check(const model *m, tawny_error *err);

tawny_status hparams_load(model *m, tawny_error *err);

#endif
