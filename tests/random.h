/* Counter-based random numbers for tests: the same on every machine, any element by its number. */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* splitmix64 of (seed, i) */
static inline uint64_t random_u64(uint64_t seed, uint64_t i)
{
    uint64_t z = seed * 0x9e3779b97f4a7c15u + i * 0xd1b54a32d192ed03u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline void random_bytes(uint8_t *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)random_u64(seed, i);
}

/* [-1, 1) */
static inline float random_unit(uint64_t seed, uint64_t i)
{
    return (float)((double)(int64_t)random_u64(seed, i) * 0x1p-63);
}

#endif
