/* What the attention kernels of AVX2 share. */
#ifndef SIMD_AVX2_ATTN_H
#define SIMD_AVX2_ATTN_H

#include "avx2_tile.h"

/* Memory that is fetched bit by bit while other work goes on. */
typedef struct avx2_fetch {
    const uint8_t *at;
    size_t due, done, step;
} avx2_fetch;

/* In so many steps, by the first rows alone. */
AVX2_INLINE avx2_fetch avx2_fetch_in(const simd_attn *a, int row, size_t steps)
{
    return (avx2_fetch){a->ahead, 0, 0, row == 0 && a->ahead ? (a->ahead_bytes + steps - 1) / steps : 0};
}

AVX2_INLINE void avx2_fetch_step(avx2_fetch *f)
{
    f->due += f->step;
    for (; f->done < f->due; f->done += 64) _mm_prefetch((const char *)f->at + f->done, _MM_HINT_T0);
}

/* The next row alone, or a pair of the same range. */
AVX2_INLINE int avx2_pair_at(const simd_attn *a, int r)
{
    return r + 1 < a->rows && a->lo[r] == a->lo[r + 1] && a->hi[r] == a->hi[r + 1] ? 2 : 1;
}

#endif
