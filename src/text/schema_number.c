/* Schemas: numbers as digits: an automaton that compares with bounds and counts remainders while it reads. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema_int.h"

enum { MAX_DIGITS = 400, MAX_MODULUS = 2000, MAX_FRACTION = 17, MAX_EXACT = 15 };

/* |x| = whole . part, without leading zeros in whole or trailing ones in part */
typedef struct decimal {
    bool neg;
    char whole[MAX_DIGITS], part[MAX_DIGITS];
    int n_whole, n_part;
} decimal;

/* The shortest decimal that reads as this number. */
static bool decimal_of(json_t *v, decimal *d)
{
    char s[64], digits[32];
    int n = 0, exponent = 0;
    *d = (decimal){0};
    if (json_is_integer(v)) {
        snprintf(s, sizeof s, "%" JSON_INTEGER_FORMAT "e0", json_integer_value(v));
    } else {
        for (int p = 1; p <= 17; p++) {
            snprintf(s, sizeof s, "%.*e", p - 1, json_real_value(v));
            if (strtod(s, NULL) == json_real_value(v)) break;
        }
    }
    const char *p = s, *e = strchr(s, 'e');
    if (!e) return false;
    d->neg = *p == '-';
    for (p += d->neg; p < e; p++) {
        if (*p == '.') exponent -= (int)(e - p) - 1;
        else digits[n++] = *p;
    }
    exponent += atoi(e + 1);
    if (exponent > MAX_DIGITS - 40 || exponent < 40 - MAX_DIGITS) return false;
    int before = n + exponent; /* digits before the point */
    for (int i = 0; i < before || i < n; i++) {
        char ch = i < n ? digits[i] : '0';
        if (i < before) {
            if (ch != '0' || d->n_whole) d->whole[d->n_whole++] = ch;
        } else {
            for (int z = before; z < 0 && !i; z++) d->part[d->n_part++] = '0';
            d->part[d->n_part++] = ch;
        }
    }
    while (d->n_part && d->part[d->n_part - 1] == '0') d->n_part--;
    if (!d->n_whole && !d->n_part) d->neg = false;
    return true;
}

/* What has been read: the last character's kind, how |x| compares with the bounds' so far, the remainder. */
typedef struct reading {
    char at; /* 0 start, '-' sign, '0' a zero, '1' digits, '.' the point, 'f' a fraction */
    bool neg, nonzero, part_nonzero;
    int16_t n_whole, n_part, digits; /* digits: of the whole part, where they matter */
    int8_t order[2]; /* -1 below, 0 as far equal, 1 above */
    uint32_t rest;
} reading;

typedef struct machine {
    const number_bounds *b;
    decimal bound[2];
    bool has[2], whole_only, exact; /* no more than MAX_EXACT digits where there is a fraction */
    uint32_t modulus; /* 0: none */
    int scale;        /* digits of the fraction that the remainder counts, and the most there may be */
    int max_part;
    reading *of; /* [states] */
    aut *a;
} machine;

static void whole_digit(machine *m, reading *r, char ch)
{
    for (int i = 0; i < 2; i++) {
        const decimal *d = &m->bound[i];
        if (r->n_whole < d->n_whole && !r->order[i])
            r->order[i] = (int8_t)((ch > d->whole[r->n_whole]) - (ch < d->whole[r->n_whole]));
    }
    int most = (m->bound[0].n_whole > m->bound[1].n_whole ? m->bound[0].n_whole : m->bound[1].n_whole) + 1;
    if (r->n_whole < most) r->n_whole++;
    r->nonzero = true;
    if (m->exact && r->digits < MAX_EXACT) r->digits++;
}

/* The whole part has ended: more digits than the bound's make it larger. */
static void end_whole(machine *m, reading *r)
{
    for (int i = 0; i < 2; i++)
        if (r->n_whole != m->bound[i].n_whole) r->order[i] = r->n_whole > m->bound[i].n_whole ? 1 : -1;
    r->n_whole = 0;
}

static bool step(machine *m, reading *r, char ch)
{
    bool digit = ch >= '0' && ch <= '9';
    if (ch == '-') {
        if (r->at) return false;
        r->at = '-', r->neg = true;
        return true;
    }
    if (ch == '.') {
        if ((r->at != '0' && r->at != '1') || m->whole_only || r->digits >= m->max_part) return false;
        end_whole(m, r);
        r->at = '.';
        return true;
    }
    if (!digit || r->at == '0') return false;
    if (m->modulus) r->rest = (r->rest * 10 + (uint32_t)(ch - '0')) % m->modulus;
    if (r->at == '.' || r->at == 'f') {
        if (r->n_part + r->digits >= m->max_part) return false;
        for (int i = 0; i < 2; i++) {
            char other = r->n_part < m->bound[i].n_part ? m->bound[i].part[r->n_part] : '0';
            if (!r->order[i]) r->order[i] = (int8_t)((ch > other) - (ch < other));
        }
        r->n_part++;
        r->at = 'f';
        r->nonzero |= ch != '0';
        r->part_nonzero |= ch != '0';
    } else if (ch == '0' && r->at != '1') {
        r->at = '0';
    } else {
        r->at = '1';
        whole_digit(m, r, ch);
    }
    return true;
}

/* x against bound i */
static int compare(const machine *m, const reading *r, int i)
{
    const decimal *d = &m->bound[i];
    int order = r->order[i];
    if (!order && r->n_part < d->n_part) order = -1;
    if (r->neg != d->neg) return r->neg ? -1 : 1;
    return r->neg ? -order : order;
}

static bool accepts(machine *m, reading r)
{
    if (r.at != '0' && r.at != '1' && r.at != 'f') return false;
    if (r.at != 'f') end_whole(m, &r);
    if (r.neg && !r.nonzero) return false; /* -0 */
    if (!(m->b->types & (r.part_nonzero ? T_FRAC : T_INT))) return false;
    for (int i = r.n_part; m->modulus && i < m->scale; i++) r.rest = r.rest * 10 % m->modulus;
    if (m->modulus && r.rest) return false;
    for (int i = 0; i < 2; i++) {
        if (!m->has[i]) continue;
        int order = compare(m, &r, i);
        bool open = i ? m->b->below : m->b->above;
        if (i ? order > 0 : order < 0) return false;
        if (!order && open) return false;
    }
    return true;
}

/* The multiple p / 10^scale. */
static tawny_status read_modulus(machine *m)
{
    decimal d;
    uint64_t p = 0;
    if (!decimal_of(m->b->multiple, &d)) return TAWNY_E_LIMIT;
    for (int i = 0; i < d.n_whole + d.n_part; i++) {
        p = p * 10 + (uint64_t)((i < d.n_whole ? d.whole[i] : d.part[i - d.n_whole]) - '0');
        if (p > MAX_MODULUS) return TAWNY_E_LIMIT;
    }
    m->modulus = (uint32_t)p;
    m->scale = d.n_part;
    m->max_part = d.n_part;
    return m->scale > MAX_FRACTION ? TAWNY_E_LIMIT : TAWNY_OK;
}

static tawny_status prepare(machine *m, const number_bounds *b)
{
    m->b = b;
    m->max_part = MAX_FRACTION;
    m->whole_only = !(b->types & T_FRAC);
    for (int i = 0; i < 2; i++) {
        json_t *v = i ? b->upper : b->lower;
        m->has[i] = v;
        if (v && !decimal_of(v, &m->bound[i])) return TAWNY_E_LIMIT;
    }
    /* nothing may round to a bound that it must not reach, nor to a whole number */
    m->exact = (b->lower && b->above) || (b->upper && b->below) || !(b->types & T_INT);
    if (m->exact) m->max_part = MAX_EXACT;
    return b->multiple ? read_modulus(m) : TAWNY_OK;
}

static tawny_status state_of(machine *m, const reading *r, aut_table *t, uint32_t *state)
{
    uint32_t h = 7;
    const uint8_t *p = (const uint8_t *)r;
    for (size_t i = 0; i < sizeof *r; i++) h = (h ^ p[i]) * 16777619u;
    h ^= h >> 15;
    for (uint32_t i = h & (t->size - 1); t->slot[i]; i = (i + 1) & (t->size - 1))
        if (memcmp(&m->of[t->slot[i]], r, sizeof *r) == 0) return *state = t->slot[i], TAWNY_OK;
    tawny_status st = aut_add_state(m->a, accepts(m, *r), state);
    if (st) return st;
    memcpy(&m->of[*state], r, sizeof *r);
    return aut_table_add(t, h, *state);
}

static tawny_status explore(machine *m)
{
    static const char symbol[] = {0, '-', '.', 0, '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 0};
    aut_table table;
    uint32_t to;
    tawny_status st = aut_table_new(&table);
    memset(&m->of[AUT_START], 0, sizeof *m->of);
    for (uint32_t i = AUT_START; i < m->a->n && !st; i++) {
        for (uint32_t k = 0; k < sizeof symbol && !st; k++) {
            reading r;
            memcpy(&r, &m->of[i], sizeof r);
            if (!symbol[k] || !step(m, &r, symbol[k])) continue;
            st = state_of(m, &r, &table, &to);
            m->a->next[(size_t)i * m->a->n_class + k] = to;
        }
    }
    aut_table_free(&table);
    return st;
}

tawny_status schema_decimals(const number_bounds *b, aut **out)
{
    static const uint32_t from[] = {0,   '-', '.', '/', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '9' + 1};
    machine m = {0};
    *out = NULL;
    tawny_status st = prepare(&m, b);
    if (st) return st;
    m.of = malloc((AUT_MAX_STATES + 1) * sizeof *m.of);
    st = m.of ? aut_new(from, sizeof from / sizeof *from, &m.a) : TAWNY_E_NOMEM;
    if (!st) st = explore(&m);
    if (!st) st = aut_trim(m.a);
    if (st) aut_free(m.a);
    else *out = m.a;
    free(m.of);
    return st;
}

/* By digits: the automaton of the multiple reads them. */
bool schema_is_multiple(json_t *v, json_t *of)
{
    decimal d;
    char text[2 * MAX_DIGITS + 4];
    number_bounds b = {.multiple = of, .types = T_NUMBER};
    machine m = {0};
    if (!decimal_of(v, &d)) return false;
    if (prepare(&m, &b)) return fmod(json_number_value(v), json_number_value(of)) == 0;
    snprintf(text, sizeof text, "%s%.*s%s%.*s", d.neg ? "-" : "", d.n_whole ? d.n_whole : 1, d.n_whole ? d.whole : "0",
             d.n_part ? "." : "", d.n_part, d.part);
    reading r = {0};
    for (const char *p = text; *p; p++)
        if (!step(&m, &r, *p)) return false;
    return accepts(&m, r);
}
