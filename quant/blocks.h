/* The layout of a block of each format, as it lies in the file: little endian, no alignment.
 *
 * Source: the GGUF formats as ggml defines them. Weight numbers below count inside the block. */
#ifndef QUANT_BLOCKS_H
#define QUANT_BLOCKS_H

#include <stdint.h>

/* Blocks are read where they lie in a mapped file, at any address. */
#define QUANT_BLOCK(name) struct __attribute__((packed, may_alias)) quant_##name

typedef uint16_t quant_half; /* bits of an IEEE binary16 */

/* Nibbles: byte j holds weight j low, weight j + 16 high. Fifth bits: bit i of qh is weight i's. */
QUANT_BLOCK(Q4_0) { quant_half d; uint8_t qs[16]; };
QUANT_BLOCK(Q4_1) { quant_half d, m; uint8_t qs[16]; };
QUANT_BLOCK(Q5_0) { quant_half d; uint32_t qh; uint8_t qs[16]; };
QUANT_BLOCK(Q5_1) { quant_half d, m; uint32_t qh; uint8_t qs[16]; };
QUANT_BLOCK(Q8_0) { quant_half d; int8_t qs[32]; };

/* Two bits: byte 32 h + l (h = 0, 1) holds weights 128 h + l + 32 s at bits 2 s. */
QUANT_BLOCK(Q2_K) { uint8_t scales[16] /* 4 bits scale, 4 bits minimum */, qs[64]; quant_half d, dmin; };
/* Low bits as Q2_K; high bit of weight 128 h + l + 32 s: bit 4 h + s of hmask[l], inverted: clear means -4.
 * scales: 16 of 6 bits, minus 32. Low 4 bits: nibbles of bytes 0..7 (low: 0..7, high: 8..15); high 2 bits of
 * scale j: bits 2 (j / 4) of byte 8 + j mod 4. */
QUANT_BLOCK(Q3_K) { uint8_t hmask[32], qs[64], scales[12]; quant_half d; };
/* Nibbles: byte 32 p + l (p = 0..3) holds weights 64 p + l low, 64 p + 32 + l high.
 * scales: 8 scales and 8 minima of 6 bits. j < 4: low 6 bits of byte j and byte j + 4. j >= 4: nibbles of byte
 * j + 4 (low scale, high minimum), topped by the two high bits of byte j - 4 (scale) and byte j (minimum). */
QUANT_BLOCK(Q4_K) { quant_half d, dmin; uint8_t scales[12], qs[128]; };
/* As q4_k; fifth bit of weight 32 g + l: bit g of qh[l]. */
QUANT_BLOCK(Q5_K) { quant_half d, dmin; uint8_t scales[12], qh[32], qs[128]; };
/* Low nibbles: byte 64 h + l (l < 64) holds weight 128 h + l low, 128 h + 64 + l high. High two bits of weight
 * 128 h + 32 s + l (l < 32): bits 2 s of qh[32 h + l]. */
QUANT_BLOCK(Q6_K) { uint8_t ql[128], qh[64]; int8_t scales[16]; quant_half d; };

/* Grid formats: 8 (IQ1, IQ2) or 4 (IQ3) weights are a row of a fixed grid (grids.h), by its number, with signs
 * given apart: 7 bits a group of eight, the eighth such that an even number is negative, or 8 bits.
 * Sub-scales s are odd multiples: 2 s + 1. */
QUANT_BLOCK(IQ2_XXS) { quant_half d; uint32_t qs[16]; }; /* pairs: 4 grid rows of 8 bits; 4 x 7 signs, 4 s */
QUANT_BLOCK(IQ2_XS) { quant_half d; uint16_t qs[32] /* grid row of 9 bits, 7 signs */; uint8_t scales[8]; };
QUANT_BLOCK(IQ2_S) { quant_half d; uint8_t qs[32], signs[32], qh[8] /* bits 8, 9 of the rows */, scales[8]; };
QUANT_BLOCK(IQ3_XXS) { quant_half d; uint8_t qs[64]; uint32_t ss[8] /* 4 x 7 signs, 4 bits s */; };
QUANT_BLOCK(IQ3_S) { quant_half d; uint8_t qs[64], qh[8] /* bit 8 of the rows */, signs[32], scales[4]; };
QUANT_BLOCK(IQ1_S) { quant_half d; uint8_t qs[32]; uint16_t qh[8] /* 4 x 3 bits of rows, 3 s, shift sign */; };
/* qh: a nibble a group of eight, 3 bits of the row and the sign of the shift. scales: four numbers of 3 bits
 * (a sub-scale for 16 weights each); their top nibbles together are the half-precision d. */
QUANT_BLOCK(IQ1_M) { uint8_t qs[32], qh[16]; uint16_t scales[4]; };

/* Codes name a value of a fixed table; nibbles as Q4_0 in every 32 weights. */
QUANT_BLOCK(IQ4_NL) { quant_half d; uint8_t qs[16]; };
QUANT_BLOCK(IQ4_XS) { quant_half d; uint16_t scales_h; uint8_t scales_l[4], qs[128]; }; /* 8 of 6 bits - 32 */
QUANT_BLOCK(MXFP4) { uint8_t e /* power of two, biased by 127 */, qs[16]; };
QUANT_BLOCK(NVFP4) { uint8_t d[4] /* UE4M3 for 16 weights */, qs[32] /* per 16: byte j: weights j, j + 8 */; };

/* Five ternary digits a byte (as a fraction of 243 parts, so that the first digit is the top one): byte l < 32
 * holds weights l + 32 n, byte 32 + l (l < 16) weights 160 + l + 16 n; qh[l]: four, weights 240 + l + 4 n. */
QUANT_BLOCK(TQ1_0) { uint8_t qs[48], qh[4]; quant_half d; };
QUANT_BLOCK(TQ2_0) { uint8_t qs[64]; quant_half d; }; /* two bits as Q2_K */
QUANT_BLOCK(Q1_0) { quant_half d; uint8_t qs[16]; };  /* weight i: bit i */
QUANT_BLOCK(Q2_0) { quant_half d; uint8_t qs[16]; };  /* weight i: bits 2 i */

#endif
