/* OpenBLAS as the matrix product of float weights. It is loaded when it is asked for: its threads and buffers would cost
 * every other start, and the engine calls it from its own team, each thread for rows of its own. */
#include "blas.h"

#ifdef HAVE_OPENBLAS

#include <cblas.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static void (*sgemm)(CBLAS_ORDER, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, blasint, blasint, blasint, float, const float *,
                     blasint, const float *, blasint, float, float *, blasint);

static void product(int rows, int cols, int k, const float *w, int ldw, const float *x, int ldx, float *y, int ldy)
{
    sgemm(CblasColMajor, CblasTrans, CblasNoTrans, rows, cols, k, 1, w, ldw, x, ldx, 0, y, ldy);
}

int blas_open(const char *command, tawny_gemm *out)
{
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL), *found = library ? dlsym(library, "cblas_sgemm") : NULL;
    if (!found) return cli_fail(1, "%s: --gemm blas: %s", command, dlerror());
    memcpy(&sgemm, &found, sizeof sgemm);
    *out = product;
    return -1;
}

#else

int blas_open(const char *command, tawny_gemm *out)
{
    *out = NULL;
    return cli_fail(1, "%s: --gemm blas: this tawny was built without OpenBLAS", command);
}

#endif
