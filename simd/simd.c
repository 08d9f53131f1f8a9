/* The choice of the tier. */
#include "simd.h"

#include <stdlib.h>
#include <string.h>

#include "../src/base/cpu.h"
#include "parts.h"

simd_table simd;

static simd_tier current;
static simd_tier tile_tier[QUANT_FORMATS];

/* The parts of each tier, NULL at the end. */
static const simd_part *const parts[SIMD_TIERS][16] = {
    [SIMD_SCALAR] = {SIMD_PARTS_SCALAR NULL},
    [SIMD_AVX2] = {SIMD_PARTS_AVX2 NULL},
    [SIMD_AVX512] = {SIMD_PARTS_AVX512 NULL},
};

const char *simd_tier_name(simd_tier t)
{
    static const char *const names[SIMD_TIERS] = {"scalar", "avx2", "avx512"};
    return names[t];
}

bool simd_available(simd_tier t)
{
    const cpu_info *c = cpu_get();
    return t == SIMD_SCALAR || (t == SIMD_AVX2 && c->avx2) || (t == SIMD_AVX512 && c->avx512);
}

/* Tables hold nothing but function pointers, all of one size: a filled slot overrides. */
static void override(const simd_part *p, simd_tier t)
{
    typedef void (*fn)(void);
    fn from[sizeof(simd_table) / sizeof(fn)], to[sizeof(simd_table) / sizeof(fn)];
    _Static_assert(sizeof(simd_table) % sizeof(fn) == 0, "simd_table holds function pointers only");
    memcpy(from, &p->t, sizeof from);
    memcpy(to, &simd, sizeof to);
    for (size_t i = 0; i < sizeof from / sizeof *from; i++)
        if (from[i]) to[i] = from[i];
    memcpy(&simd, to, sizeof to);
    for (int f = 0; f < QUANT_FORMATS; f++)
        if (p->t.tile[f]) tile_tier[f] = t;
}

tawny_status simd_init(const char *force, tawny_error *err)
{
    if (!force) force = getenv("TAWNY_CPU");
    simd_tier t = SIMD_SCALAR;
    if (force && *force) {
        while (t < SIMD_TIERS && strcmp(force, simd_tier_name(t)) != 0) t++;
        if (t == SIMD_TIERS)
            return err_set(err, TAWNY_E_CPU, "TAWNY_CPU=%s: unknown tier; scalar, avx2 and avx512 are known", force);
        if (!simd_available(t))
            return err_set(err, TAWNY_E_CPU, "TAWNY_CPU=%s: this CPU or its operating system lacks it", force);
    } else {
        for (int i = 0; i < SIMD_TIERS; i++)
            if (simd_available((simd_tier)i)) t = (simd_tier)i;
    }
    memset(&simd, 0, sizeof simd);
    for (int i = 0; i <= (int)t; i++)
        for (const simd_part *const *p = parts[i]; *p; p++) override(*p, (simd_tier)i);
    current = t;
    return TAWNY_OK;
}

simd_tier simd_current(void) { return current; }
simd_tier simd_tile_tier(quant_id f) { return tile_tier[f]; }

void simd_act_layout(simd_act *a, quant_act kind, int64_t k)
{
    size_t n = (size_t)k, at = n;
    a->kind = kind;
    a->k = k;
    a->off_d = a->off_s32 = a->off_s16 = 0;
    if (kind == QUANT_ACT_F32) {
        a->stride = (n * sizeof(float) + 63) / 64 * 64;
        return;
    }
    at = (at + 63) / 64 * 64;
    a->off_d = at;
    at += (n / (kind == QUANT_ACT_Q32 ? 32 : 256)) * sizeof(float);
    a->off_s32 = at = (at + 63) / 64 * 64;
    at += n / 32 * sizeof(int16_t);
    a->off_s16 = at = (at + 63) / 64 * 64;
    at += n / 16 * sizeof(int16_t);
    /* 64 bytes to spare, so that a vector load of scales or sums at the end stays inside the column */
    a->stride = (at + 63) / 64 * 64 + 64;
}
