#include "compare_tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/buf.h"

enum { MAX_COLUMNS = 256 };

typedef struct columns {
    int n;
    char *name[MAX_COLUMNS]; /* in the text, or the heap's (CSV) */
} columns;

static char *next_line(char *p)
{
    p += strcspn(p, "\n");
    return *p ? p + 1 : p;
}

static void set(json_t *o, const char *key, const char *value)
{
    json_object_set_new(o, key, json_string(value)); /* no valid UTF-8: no such key */
}

static tawny_status hand_over(json_t *o, int *no, table_row *row, void *user, tawny_error *err)
{
    tawny_status st = json_object_size(o) ? row(user, o, ++*no, err) : TAWNY_OK;
    json_decref(o);
    return st;
}

/* ---- CSV ---- */

/* A field, quoted or not; *p moves behind it. False at the end of a line. */
static bool csv_field(char **p, buf *out)
{
    char *s = *p;
    buf_clear(out);
    buf_str(out, "");
    if (!*s || *s == '\n' || *s == '\r') return false;
    if (*s == '"') {
        for (s++; *s && !(*s == '"' && s[1] != '"'); s++) {
            if (*s == '"') s++;
            buf_char(out, *s);
        }
        if (*s) s++;
    } else {
        size_t n = strcspn(s, ",\r\n");
        buf_add(out, s, n);
        s += n;
    }
    if (*s == ',') s++;
    *p = s;
    return true;
}

tawny_status table_csv(char *p, table_row *row, void *user, tawny_error *err)
{
    columns c = {0};
    int no = 0;
    buf field = {0};
    tawny_status st = TAWNY_OK;
    while (c.n < MAX_COLUMNS && csv_field(&p, &field)) c.name[c.n++] = strdup(field.data ? field.data : "");
    for (p = next_line(p); st == TAWNY_OK && *p; p = next_line(p)) {
        json_t *o = json_object();
        for (int i = 0; i < c.n && csv_field(&p, &field); i++)
            if (c.name[i]) set(o, c.name[i], field.data ? field.data : "");
        st = hand_over(o, &no, row, user, err);
    }
    for (int i = 0; i < c.n; i++) free(c.name[i]);
    buf_free(&field);
    return st;
}

/* ---- Markdown ---- */

/* A cell up to the next bar, blanks around it cut off; *p moves behind that. NULL at the end of a line. */
static char *cell(char **p)
{
    char *s = *p, *end = s + strcspn(s, "|\n");
    if (*end != '|') return NULL;
    *p = end + 1;
    s += strspn(s, " ");
    while (end > s && end[-1] == ' ') end--;
    *end = 0;
    return s;
}

static const char *key_of(const char *heading)
{
    static const char *const names[][2] = {
        {"model", "model_type"}, {"backend", "backends"}, {"ngl", "n_gpu_layers"}, {"threads", "n_threads"},
        {"fa", "flash_attn"},    {"dev", "devices"},      {"nkvo", "no_kv_offload"}, {"ncmoe", "n_cpu_moe"},
        {"nopo", "no_op_offload"}, {"embd", "embeddings"}, {"ot", "tensor_buft_overrides"}, {"mla", "mla_attn"},
        {"mmap", "use_mmap"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], heading) == 0) return names[i][1];
    return heading;
}

/* "92.10 MiB", "4.58 GiB", "134.52 M", "8.03 B": the number. */
static void set_scaled(json_t *o, const char *key, const char *text)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"KiB", 1024.}, {"MiB", 1048576.}, {"GiB", 1073741824.}, {"TiB", 1099511627776.},
                 {"K", 1e3},     {"M", 1e6},        {"B", 1e9},           {"T", 1e12}};
    char *end, out[32];
    double x = strtod(text, &end);
    end += strspn(end, " ");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (end > text && strcmp(end, units[i].unit) == 0) {
            snprintf(out, sizeof out, "%.0f", x * units[i].factor);
            set(o, key, out);
        }
}

/* "12.34 ± 0.56" */
static void set_speed(json_t *o, const char *text)
{
    char *end, out[32];
    double x = strtod(text, &end);
    snprintf(out, sizeof out, "%.6f", x);
    if (end == text) return;
    set(o, "avg_ts", out);
    end += strcspn(end, "0123456789");
    if (*end) set(o, "stddev_ts", end);
}

static tawny_status markdown_row(char *p, const columns *c, const char *build, int *no, table_row *row, void *user,
                                 tawny_error *err)
{
    json_t *o = json_object();
    char *text;
    for (int i = 0; i < c->n && (text = cell(&p)); i++) {
        if (strcmp(c->name[i], "size") == 0)
            set_scaled(o, "model_size", text);
        else if (strcmp(c->name[i], "params") == 0)
            set_scaled(o, "model_n_params", text);
        else if (strcmp(c->name[i], "t/s") == 0)
            set_speed(o, text);
        else
            set(o, key_of(c->name[i]), text);
    }
    if (json_object_size(o) && *build) set(o, "build_commit", build);
    return hand_over(o, no, row, user, err);
}

/* What stands behind the table: "build: 8337e4cd3 (4840)". */
static void find_build(const char *text, char out[32])
{
    const char *p = strstr(text, "\nbuild: ");
    *out = 0;
    if (p) sscanf(p, "\nbuild: %31[0-9a-zA-Z]", out);
}

tawny_status table_markdown(char *p, table_row *row, void *user, tawny_error *err)
{
    columns c = {0};
    char build[32], *name;
    int no = 0;
    tawny_status st = TAWNY_OK;
    find_build(p, build);
    for (; st == TAWNY_OK && *p;) {
        char *line = p;
        p = next_line(p);
        if (*line != '|' || strncmp(line, "| --", 4) == 0 || strncmp(line, "|--", 3) == 0) continue;
        if (strncmp(line, "| model ", 8) != 0) {
            st = markdown_row(line + 1, &c, build, &no, row, user, err);
            continue;
        }
        line++;
        for (c.n = 0; c.n < MAX_COLUMNS && (name = cell(&line)); c.n++) c.name[c.n] = name;
    }
    return st;
}

/* ---- SQL ---- */

/* INSERT INTO table (a, b) VALUES ('x', 'y'); on a line. Quotes within values are not doubled by llama-bench: a value ends where
 * the next begins. */
static json_t *insert_row(char *p)
{
    json_t *o = json_object();
    char *end = p + strcspn(p, "\n"), *name = strchr(p, '('), *value = strstr(p, "VALUES ('");
    if (!name || !value || name > value || value > end) return o;
    value += strlen("VALUES ('");
    for (name++; name && value && *name && *name != ')';) {
        size_t n = strcspn(name, ",)");
        char *stop = strstr(value, "', '"), *last = strstr(value, "');");
        if (!stop || (last && last < stop)) stop = last;
        if (!stop || stop > end) break;
        bool more = name[n] == ',';
        name[n] = 0;
        *stop = 0;
        set(o, name, value);
        value = stop + strlen("', '");
        name = more ? name + n + 1 + strspn(name + n + 1, " ") : NULL;
    }
    return o;
}

tawny_status table_sql(char *p, table_row *row, void *user, tawny_error *err)
{
    int no = 0;
    tawny_status st = TAWNY_OK;
    while (st == TAWNY_OK && *p) {
        char *line = p;
        p = next_line(p);
        if (strncmp(line, "INSERT INTO ", 12) == 0) st = hand_over(insert_row(line), &no, row, user, err);
    }
    return st;
}
