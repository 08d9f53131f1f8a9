/* What the registry knows. */
#ifndef MODELS_ARCHS_H
#define MODELS_ARCHS_H

#include "model.h"

#define ARCH(name) extern const arch arch_##name;
#include "archs.def"
#undef ARCH

tawny_status hparams_load(model *m, tawny_error *err);

#endif
