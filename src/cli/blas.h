/* --gemm blas: OpenBLAS, where tawny was built with it. */
#ifndef CLI_BLAS_H
#define CLI_BLAS_H

#include "cli.h"

/* -1, or an exit code after a message. */
int blas_open(const char *command, tawny_gemm *out);

#endif
