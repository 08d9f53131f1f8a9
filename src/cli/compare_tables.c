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

/* Behind the first bar of a line of a table, which may be quoted (>) or indented; NULL where it is no such line. */
static char *row_of(char *line)
{
    line += strspn(line, " \t>");
    return *line == '|' ? line + 1 : NULL;
}

/* A cell up to the next bar, blanks and emphasis around it cut off; *p moves behind that. False at the end of a line. */
static bool cell(char **p, char **from, char **to)
{
    static const char around[] = " \t*`";
    char *s = *p, *end = s + strcspn(s, "|\n");
    if (*end != '|') return false;
    *p = end + 1;
    s += strspn(s, around);
    while (end > s && strchr(around, end[-1])) end--;
    *from = s;
    *to = end;
    return true;
}

static bool is_cell(const char *from, const char *to, const char *text)
{
    return (size_t)(to - from) == strlen(text) && memcmp(from, text, strlen(text)) == 0;
}

bool table_is_heading(char *line)
{
    char *p = row_of(line), *from, *to;
    bool model = false, speed = false;
    while (p && cell(&p, &from, &to)) {
        model |= is_cell(from, to, "model");
        speed |= is_cell(from, to, "t/s");
    }
    return model && speed;
}

/* "| --- | ---: |" */
static bool is_rule(const char *p) { return p[strspn(p, " -:|\t\r")] == '\n' || !p[strspn(p, " -:|\t\r")]; }

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

typedef struct build {
    char commit[32], number[16];
} build;

/* What stands behind a table and before the next one: "build: 8337e4cd3 (4840)". */
static void find_build(char *p, build *out)
{
    *out = (build){0};
    for (p = next_line(p); *p && !table_is_heading(p); p = next_line(p)) {
        char *s = p + strspn(p, " \t>*`");
        if (strncmp(s, "build:", 6) != 0) continue;
        s += 6;
        sscanf(s + strspn(s, " *`"), "%31[0-9a-zA-Z]%*[ *`](%15[0-9]", out->commit, out->number);
        return;
    }
}

/* Settings that are as usual have no column. */
static void set_usual(json_t *o)
{
    static const char *const usual[][2] = {{"type_k", "f16"}, {"type_v", "f16"}, {"n_ubatch", "512"}};
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (!json_object_get(o, usual[i][0])) set(o, usual[i][0], usual[i][1]);
}

static tawny_status markdown_row(char *p, const columns *c, const build *b, int *no, table_row *row, void *user,
                                 tawny_error *err)
{
    json_t *o = json_object();
    char *text, *end;
    for (int i = 0; i < c->n && cell(&p, &text, &end); i++) {
        *end = 0;
        if (strcmp(c->name[i], "size") == 0)
            set_scaled(o, "model_size", text);
        else if (strcmp(c->name[i], "params") == 0)
            set_scaled(o, "model_n_params", text);
        else if (strcmp(c->name[i], "t/s") == 0)
            set_speed(o, text);
        else
            set(o, key_of(c->name[i]), text);
    }
    if (json_object_size(o)) {
        set_usual(o);
        if (*b->commit) set(o, "build_commit", b->commit);
        if (*b->number) set(o, "build_number", b->number);
    }
    return hand_over(o, no, row, user, err);
}

tawny_status table_markdown(char *p, table_row *row, void *user, tawny_error *err)
{
    columns c = {0};
    build b = {0};
    char *from, *to;
    int no = 0;
    tawny_status st = TAWNY_OK;
    for (; st == TAWNY_OK && *p;) {
        char *line = row_of(p), *all = p;
        p = next_line(p);
        if (!line || is_rule(line)) continue;
        if (!table_is_heading(all)) {
            st = markdown_row(line, &c, &b, &no, row, user, err);
            continue;
        }
        find_build(all, &b);
        for (c.n = 0; c.n < MAX_COLUMNS && cell(&line, &from, &to); *to = 0) c.name[c.n++] = from;
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
