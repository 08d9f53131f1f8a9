/* Which threads take part: a core that is busy with something else is done without. Times are made up. */
#include <check.h>
#include <stdio.h>

#include "base/balance.h"
#include "base/team.h"

#define MS ((uint64_t)1000000)

typedef struct world {
    balance b;
    uint64_t now;
    int left_out; /* how often */
} world;

/* A run of 30 ms, or of 60 with `lost` ms of waiting for one thread where more than `good` take part. */
static int run_once(world *w, int good, uint64_t lost)
{
    int n = balance_begin(&w->b, w->now);
    bool slow = n > good;
    uint64_t took = (slow ? 60 : 30) * MS;
    w->now += took;
    w->left_out += balance_end(&w->b, w->now, took, slow ? lost * MS : 0);
    return n;
}

START_TEST(busy_core)
{
    world w = {.b = {.size = 2, .active = 2}};
    ck_assert_int_eq(run_once(&w, 1, 30), 2);
    ck_assert_int_eq(run_once(&w, 1, 30), 2); /* twice is enough */
    ck_assert_int_eq(run_once(&w, 1, 30), 1);
    int tried = 0, runs = 1000;
    for (int i = 0; i < runs; i++) tried += run_once(&w, 1, 30) == 2;
    ck_assert_int_ge(tried, 5); /* with rests of up to four seconds */
    ck_assert_int_le(tried, 15);
    while (run_once(&w, 2, 0) == 1) {} /* the core is free again */
    for (int i = 0; i < 100; i++) ck_assert_int_eq(run_once(&w, 2, 0), 2);
}
END_TEST

START_TEST(short_trouble)
{
    world w = {.b = {.size = 2, .active = 2}};
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(run_once(&w, i % 2 ? 1 : 2, 30), 2); /* every other run: no two in a row */
        ck_assert_int_eq(run_once(&w, 1, 5), 2);              /* a little: worth it */
    }
    ck_assert_int_eq(w.left_out, 0);
}
END_TEST

/* Runs until both threads take part, in ms of the rest. */
static uint64_t rest_of(world *w)
{
    uint64_t from = w->now;
    while (w->b.active == 1) run_once(w, 2, 0);
    return (w->now - from) / MS;
}

START_TEST(short_trouble_after_long)
{
    static const struct {
        uint64_t well, rest; /* ms that all was well between, and the longest that the next rest may be */
    } cases[] = {{60, 4000}, {5000, 4000}, {6100, 2000}, {7100, 1000}, {8100, 250}, {60000, 250}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world w = {.b = {.size = 2, .active = 2}};
        for (int k = 0; k < 1000; k++) run_once(&w, 1, 30);
        rest_of(&w);
        for (uint64_t end = w.now + cases[i].well * MS; w.now < end;) ck_assert_int_eq(run_once(&w, 2, 0), 2);
        run_once(&w, 1, 30);
        run_once(&w, 1, 30);
        ck_assert_int_eq(w.b.active, 1);
        uint64_t rest = rest_of(&w);
        ck_assert_uint_ge(rest + 60, cases[i].rest);
        ck_assert_uint_le(rest, cases[i].rest + 60);
    }
}
END_TEST

START_TEST(many_threads)
{
    world w = {.b = {.size = 16, .active = 16}};
    for (int i = 0; i < 200; i++) run_once(&w, 14, 10); /* two cores are busy */
    ck_assert_int_ge(w.b.active, 14);
    ck_assert_int_le(w.b.active, 15); /* 15: trying */
    for (int i = 0; i < 2000; i++) run_once(&w, 16, 0);
    ck_assert_int_eq(w.b.active, 16);
    world one = {.b = {.size = 1, .active = 1}};
    for (int i = 0; i < 10; i++) ck_assert_int_eq(run_once(&one, 0, 50), 1);
}
END_TEST

/* Work that is drawn, with threads that come and go. */
typedef struct sums {
    team *t;
    _Atomic int64_t total;
} sums;

static void draw(void *arg, int tid)
{
    sums *s = arg;
    for (int op = 0; op < 20; op++) {
        _Atomic int64_t *work = team_work(s->t, tid);
        for (int64_t u; (u = team_take(work)) < 50;) atomic_fetch_add(&s->total, u);
        team_barrier(s->t, tid);
    }
}

START_TEST(all_work_is_done_once)
{
    sums s = {.t = team_new(2, true)};
    for (int i = 0; i < 300; i++) team_run(s.t, draw, &s);
    ck_assert_int_eq(s.total, (int64_t)300 * 20 * (49 * 50 / 2));
    team_free(s.t);
}
END_TEST

Suite *suite_balance(void)
{
    Suite *s = suite_create("balance");
    TCase *t = tcase_create("balance");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, busy_core);
    tcase_add_test(t, short_trouble);
    tcase_add_test(t, short_trouble_after_long);
    tcase_add_test(t, many_threads);
    tcase_add_test(t, all_work_is_done_once);
    suite_add_tcase(s, t);
    return s;
}
