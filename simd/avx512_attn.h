/* What the attention kernels of AVX-512 share: rows in groups, their ranges, what is fetched meanwhile. */
#ifndef SIMD_AVX512_ATTN_H
#define SIMD_AVX512_ATTN_H

#include "avx512_float.h"
#include "parts.h"

/* Rows of the next group, as equal as can be and at most `most`. */
INLINE int group_of(int left, int most) { return left <= most ? left : (left + (left + most - 1) / most - 1) / ((left + most - 1) / most); }

/* CALL(n) for groups of constant n <= 6 (or 4), from row `row` on. */
#define ATTN_GROUPS(a, most, row, CALL)                                        \
    for (int row = 0, n_##row; row < (a)->rows; row += n_##row) {              \
        n_##row = group_of((a)->rows - row, most);                             \
        switch (n_##row) {                                                     \
        case 1: CALL(1); break;                                                \
        case 2: CALL(2); break;                                                \
        case 3: CALL(3); break;                                                \
        case 4: CALL(4); break;                                                \
        case 5: if ((most) >= 5) { CALL(5); } break;                           \
        default: if ((most) >= 6) { CALL(6); } break;                          \
        }                                                                      \
    }

/* Memory that is fetched bit by bit while other work goes on. */
typedef struct fetch {
    const uint8_t *at;
    size_t due, done, step;
} fetch;

/* In so many steps, by the first group of rows alone. */
INLINE fetch fetch_in(const simd_attn *a, int row, size_t steps)
{
    return (fetch){a->ahead, 0, 0, row == 0 && a->ahead ? (a->ahead_bytes + steps - 1) / steps : 0};
}

INLINE void fetch_step(fetch *f)
{
    f->due += f->step;
    for (; f->done < f->due; f->done += 64) _mm_prefetch((const char *)f->at + f->done, _MM_HINT_T0);
}

/* What n rows see together, [from, to). */
INLINE void common_range(const simd_attn *a, int row, int n, int *from, int *to)
{
    *from = 0;
    *to = SIMD_PAGE;
    for (int r = row; r < row + n; r++) {
        if (a->lo[r] > *from) *from = a->lo[r];
        if (a->hi[r] < *to) *to = a->hi[r];
    }
}

#endif
