/* Elementary functions in double precision, made of IEEE additions, multiplications and divisions
 * alone: no libm and no fused operations, so every machine and C library gives the same bits.
 * For tables made at load time and for the few numbers a token needs (samplers); the vector
 * functions of the forward pass are in simd/vmath.h.
 *
 * Rounding mode is taken to be to nearest. NaN gives NaN. Errors, tested against long double:
 *     d_exp, d_log, d_sin, d_cos, d_pow   below 1 ulp
 *     d_tanh                              below 3 ulp
 *     d_erf                               below 16 ulp */
#ifndef BASE_MATHF_H
#define BASE_MATHF_H

double d_exp(double x);
double d_log(double x); /* 0 gives -inf, below 0 NaN */
double d_tanh(double x);
double d_erf(double x);

/* As C's pow: a negative base wants an integral exponent; anything to the power 0 is 1. */
double d_pow(double x, double y);

/* In radians, |x| <= 1e8 (a position times a frequency); beyond that NaN. */
double d_sin(double x);
double d_cos(double x);

#endif
