#include "supported.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../models/model.h"

enum { ROWS = 256, NAME = 64, PATH = 512 };

typedef struct row {
    char last[PATH]; /* model: noted several times in a row */
    int models;
    double worst[MET_COLUMNS]; /* below 0: nothing noted */
} row;

static row rows[ROWS]; /* as in the registry */
static int noted;

static void clear(void)
{
    for (int i = 0; i < ROWS; i++)
        for (int c = 0; c < MET_COLUMNS; c++) rows[i].worst[c] = -1;
}

static int index_of(const char *name)
{
    int i = 0;
    while (arch_at((size_t)i) && strcmp(arch_at((size_t)i)->name, name) != 0) i++;
    return arch_at((size_t)i) && i < ROWS ? i : -1;
}

static int row_of_model(const char *path)
{
    gguf *g = NULL;
    gguf_str s;
    char name[NAME] = "";
    if (gguf_open(path, GGUF_HEADER_ONLY, &g, NULL) == TAWNY_OK &&
        gguf_get_str(g, "general.architecture", &s, NULL) == TAWNY_OK && s.n < NAME)
        memcpy(name, s.p, s.n);
    gguf_close(g);
    return index_of(name);
}

void supported_note(const char *path, met column, double nmse)
{
    if (!noted++) clear();
    int i = row_of_model(path);
    ck_assert_int_ge(i, 0);
    row *r = &rows[i];
    if (strcmp(r->last, path) != 0) {
        snprintf(r->last, sizeof r->last, "%s", path);
        r->models++;
    }
    if (nmse > r->worst[column]) r->worst[column] = nmse;
}

static const char *const head =
    "# Architectures that are supported\n\n"
    "Written by `make supported`, checked by `build/tests/check models`. For each architecture the number of tiny\n"
    "reference models with random weights, and the worst normalized mean squared error of all logits of all of them\n"
    "against the reference: a prompt at once, token by token, among other sessions in one batch (these on every\n"
    "instruction set, F32 cache), with an F16 cache; and of quantized models against the F32 evaluation of what their\n"
    "weights stand for, with 8 and with 16 bits of activations. A dash: no reference model, or none of this kind.\n\n"
    "| architecture | models | prefill | steps | mixed | F16 cache | 8 bits | 16 bits |\n"
    "|---|---|---|---|---|---|---|---|\n";

static int by_name(const void *a, const void *b)
{
    return strcmp(arch_at((size_t)*(const int *)a)->name, arch_at((size_t)*(const int *)b)->name);
}

void supported_write(const char *path)
{
    int order[ROWS], n = 0;
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(head, f);
    while (n < ROWS && arch_at((size_t)n)) order[n] = n, n++;
    qsort(order, (size_t)n, sizeof *order, by_name);
    for (int k = 0; k < n; k++) {
        const row *r = &rows[order[k]];
        fprintf(f, "| %s | %d |", arch_at((size_t)order[k])->name, r->models);
        for (int c = 0; c < MET_COLUMNS; c++)
            if (r->worst[c] < 0)
                fputs(" – |", f);
            else
                fprintf(f, " %.1e |", r->worst[c]);
        fputc('\n', f);
    }
    ck_assert_int_eq(fclose(f), 0);
}

/* A line's cells; false where it is no row. */
static bool cells_of(char *line, char *cell[2 + MET_COLUMNS])
{
    if (strncmp(line, "| ", 2) != 0 || strncmp(line, "| architecture ", 15) == 0) return false;
    int n = 0;
    for (char *s = strtok(line, "|\n"); s && n < 2 + MET_COLUMNS; s = strtok(NULL, "|\n")) {
        while (*s == ' ') s++;
        s[strcspn(s, " ")] = 0;
        cell[n++] = s;
    }
    return n == 2 + MET_COLUMNS;
}

/* The bits are the same everywhere, but the table need not follow every change of them: a factor of ten is left. */
static void check_row(const row *r, char *cell[2 + MET_COLUMNS])
{
    ck_assert_msg(r->models == atoi(cell[1]), "%s: %d reference models, the table has %s", cell[0], r->models, cell[1]);
    for (int c = 0; c < MET_COLUMNS; c++) {
        char *end;
        double limit = strtod(cell[2 + c], &end);
        if (end == cell[2 + c])
            ck_assert_msg(r->worst[c] < 0, "%s, column %d: %.3g is not in the table", cell[0], c, r->worst[c]);
        else
            ck_assert_msg(r->worst[c] >= 0 && r->worst[c] <= 10 * limit + 1e-12, "%s, column %d: NMSE %.3g, the table has %s",
                          cell[0], c, r->worst[c], cell[2 + c]);
    }
}

void supported_check(const char *path, int measured)
{
    bool seen[ROWS] = {0};
    char line[256], *cell[2 + MET_COLUMNS];
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s cannot be read", path);
    if (!noted) clear();
    while (fgets(line, sizeof line, f)) {
        if (!cells_of(line, cell)) continue;
        int i = index_of(cell[0]);
        ck_assert_msg(i >= 0, "%s: %s is not in archs.def", path, cell[0]);
        ck_assert_msg(!seen[i], "%s: %s has two rows", path, cell[0]);
        seen[i] = true;
        if (measured) check_row(&rows[i], cell);
    }
    fclose(f);
    for (int i = 0; arch_at((size_t)i); i++)
        ck_assert_msg(seen[i], "%s: %s is missing; `make supported` writes the table", path, arch_at((size_t)i)->name);
}
