/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011):
 * random bits as a function of a key and a counter, with no state. */
#ifndef ENGINE_PHILOX_H
#define ENGINE_PHILOX_H

#include <stdint.h>

static inline void philox4x32(uint32_t c[4], uint32_t k0, uint32_t k1)
{
    for (int i = 0; i < 10; i++) {
        uint64_t a = (uint64_t)0xd2511f53 * c[0], b = (uint64_t)0xcd9e8d57 * c[2];
        uint32_t c0 = (uint32_t)(b >> 32) ^ c[1] ^ k0, c2 = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[1] = (uint32_t)b;
        c[3] = (uint32_t)a;
        c[0] = c0;
        c[2] = c2;
        k0 += 0x9e3779b9;
        k1 += 0xbb67ae85;
    }
}

/* Uniform in [0, 1), 53 bits. */
static inline double philox_uniform(uint64_t seed, uint64_t position, uint32_t draw)
{
    uint32_t c[4] = {(uint32_t)position, (uint32_t)(position >> 32), draw, 0};
    philox4x32(c, (uint32_t)seed, (uint32_t)(seed >> 32));
    return (double)(((uint64_t)c[1] << 32 | c[0]) >> 11) * 0x1p-53;
}

#endif
