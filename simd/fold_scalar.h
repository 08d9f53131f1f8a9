/* The order in which sixteen partial sums become one: 8, 4, 2, 1. */
#ifndef SIMD_FOLD_SCALAR_H
#define SIMD_FOLD_SCALAR_H

static inline float fold(float *p)
{
    for (int n = 8; n; n /= 2)
        for (int i = 0; i < n; i++) p[i] += p[i + n];
    return p[0];
}

#endif
