/* XXH3-128 of bytes: fingerprints, checksums, keys of the prefix cache. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct hash128 {
    uint8_t bytes[16]; /* canonical (big-endian) form */
} hash128;

typedef struct hash_state hash_state;

hash128 hash_bytes(const void *data, size_t n);
/* XXH3-64 of the bytes with `before` as its seed: of pieces one after the other, each with the hash of all before it. */
uint64_t hash_chain(uint64_t before, const void *data, size_t n);
hash_state *hash_new(void); /* NULL when out of memory */
void hash_free(hash_state *s);
void hash_add(hash_state *s, const void *data, size_t n);
hash128 hash_value(const hash_state *s);

enum { HASH_HEX = 33 };
void hash_hex(hash128 h, char hex[HASH_HEX]);

#endif
