#include "hash.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static hash128 canonical(XXH128_hash_t h)
{
    XXH128_canonical_t c;
    hash128 out;
    XXH128_canonicalFromHash(&c, h);
    memcpy(out.bytes, c.digest, sizeof out.bytes);
    return out;
}

hash128 hash_bytes(const void *data, size_t n) { return canonical(XXH3_128bits(data, n)); }

uint64_t hash_chain(uint64_t before, const void *data, size_t n) { return XXH3_64bits_withSeed(data, n, before); }

hash_state *hash_new(void)
{
    XXH3_state_t *s = XXH3_createState();
    if (s) XXH3_128bits_reset(s);
    return (hash_state *)s;
}

void hash_free(hash_state *s) { XXH3_freeState((XXH3_state_t *)s); }
void hash_add(hash_state *s, const void *data, size_t n) { XXH3_128bits_update((XXH3_state_t *)s, data, n); }
hash128 hash_value(const hash_state *s) { return canonical(XXH3_128bits_digest((const XXH3_state_t *)s)); }

void hash_hex(hash128 h, char hex[HASH_HEX])
{
    for (int i = 0; i < 16; i++) snprintf(hex + 2 * i, 3, "%02x", h.bytes[i]);
}
