/* base/: errors, arenas, buffers, half-precision numbers. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/num.h"

START_TEST(error_is_printable)
{
    tawny_error e;
    ck_assert_int_eq(err_set(&e, TAWNY_E_FORMAT, "a\nb \xff \xc3\xa9"), TAWNY_E_FORMAT);
    ck_assert_str_eq(e.message, "a?b ? \xc3\xa9");
    err_errno(&e, 2, "x");
    ck_assert_str_eq(e.message, "x: No such file or directory");
}
END_TEST

START_TEST(arena_aligns_and_checks)
{
    arena *a = arena_new();
    for (size_t n = 0; n < 300000; n = n * 2 + 1) {
        char *p = arena_alloc(a, n);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < n; i++) ck_assert_int_eq(p[i], 0);
    }
    ck_assert_ptr_null(arena_array(a, SIZE_MAX / 2, 3));
    ck_assert_ptr_null(arena_alloc(a, SIZE_MAX));
    arena_free(a);
}
END_TEST

START_TEST(buf_has_a_ceiling)
{
    buf b = {.max = 10};
    ck_assert(buf_str(&b, "12345"));
    ck_assert(!buf_str(&b, "678901"));
    ck_assert(!buf_ok(&b));
    ck_assert_str_eq(b.data, "12345");
    buf_clear(&b);
    ck_assert(buf_printf(&b, "%d", 1234567890));
    ck_assert_str_eq(b.data, "1234567890");
    buf_free(&b);
}
END_TEST

START_TEST(half_round_trip)
{
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = f16_to_f32((uint16_t)h);
        if (isnan(f)) continue;
        ck_assert_uint_eq(f32_to_f16(f), h);
        float g = bf16_to_f32((uint16_t)h);
        if (!isnan(g)) ck_assert_uint_eq(f32_to_bf16(g), h);
    }
    ck_assert_uint_eq(f32_to_f16(65519.0f), 0x7bff);
    ck_assert_uint_eq(f32_to_f16(65520.0f), 0x7c00);
    ck_assert_uint_eq(f32_to_f16(0x1p-25f), 0);
    ck_assert_uint_eq(f32_to_f16(0x1.8p-24f), 2);
}
END_TEST

Suite *suite_base(void)
{
    Suite *s = suite_create("base");
    TCase *t = tcase_create("base");
    tcase_add_test(t, error_is_printable);
    tcase_add_test(t, arena_aligns_and_checks);
    tcase_add_test(t, buf_has_a_ceiling);
    tcase_add_test(t, half_round_trip);
    suite_add_tcase(s, t);
    return s;
}
