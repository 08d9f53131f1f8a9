#include "compare_plot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <plots.inc> /* plots_script[] and plots_style[], of src/cli/plots.js and uPlot; a zero each where npm was not there */

/* Text from files inside of markup. */
static void escaped(const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '<': fputs("&lt;", stdout); break;
        case '>': fputs("&gt;", stdout); break;
        case '&': fputs("&amp;", stdout); break;
        case '"': fputs("&quot;", stdout); break;
        default: putchar(*s);
        }
    }
}

static double most_of(const compare_pair *p)
{
    double a = p->cpu ? p->cpu->ts : 0, b = p->gpu ? p->gpu->ts : 0;
    return a > b ? a : b;
}

/* Speeds of prefill and generation differ by orders of magnitude: each test's bars are drawn against its own faster side,
 * and carry their numbers. */
static void bars(const compare_table *t, const compare_pair *p, int y)
{
    enum { LEFT = 290, WIDTH = 380 };
    const compare_row *rows[] = {p->cpu, p->gpu};
    static const char *const fills[] = {"#c2703d", "#3b6ea5"};
    for (int k = 0; k < 2; k++) {
        const compare_row *r = rows[k];
        if (!r) continue;
        double w = WIDTH * r->ts / most_of(p), gbs = compare_gbs(r), percent = compare_percent(t, r);
        printf("<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"14\" fill=\"%s\"/>", LEFT, y + 16 * k, w, fills[k]);
        printf("<text x=\"%.1f\" y=\"%d\">%.2f tok/s", LEFT + w + 6, y + 16 * k + 11, r->ts);
        if (gbs >= 0) printf(", %.0f GB/s", gbs);
        if (percent >= 0) printf(" (%.0f%%)", percent);
        puts("</text>");
    }
}

void compare_svg(const compare_table *t, const compare_pair *p, int n)
{
    enum { STEP = 44, TOP = 40 };
    printf(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 860 %d\" width=\"860\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\" "
        "role=\"img\"><title>CPU and GPU, tokens a second</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
        TOP + STEP * n + 10, TOP + STEP * n + 10);
    puts("<rect x=\"290\" y=\"12\" width=\"14\" height=\"14\" fill=\"#c2703d\"/><text x=\"310\" y=\"23\">CPU</text>"
         "<rect x=\"360\" y=\"12\" width=\"14\" height=\"14\" fill=\"#3b6ea5\"/><text x=\"380\" y=\"23\">GPU</text>");
    for (int i = 0; i < n; i++) {
        char label[COMPARE_TEXT];
        snprintf(label, sizeof label, "%.34s", (p[i].cpu ? p[i].cpu : p[i].gpu)->model);
        printf("<text x=\"280\" y=\"%d\" text-anchor=\"end\">", TOP + STEP * i + 12);
        escaped(label);
        printf("</text><text x=\"280\" y=\"%d\" text-anchor=\"end\" fill=\"#666\">%s</text>\n", TOP + STEP * i + 27,
               p[i].test);
        bars(t, &p[i], TOP + STEP * i);
    }
    puts("</svg>");
}

static void number(double x, const char *unit)
{
    if (x < 0)
        fputs("<td></td>", stdout);
    else
        printf("<td>%.2f%s</td>", x, unit);
}

/* Data for a script: no text in it can end the element. */
static void data(json_t *j)
{
    char *text = json_dumps(j, JSON_COMPACT);
    for (const char *s = text; s && *s; s++) {
        if (*s == '<')
            fputs("\\u003c", stdout);
        else
            putchar(*s);
    }
    free(text);
    json_decref(j);
}

/* The picture stands for what a browser without scripts, or a program built without npm, does not draw. */
static void plots(const compare_table *t, const compare_pair *p, int n)
{
    bool bundled = sizeof plots_script > 1;
    puts("<div id=\"plots\"></div><div id=\"picture\">");
    compare_svg(t, p, n);
    puts("</div>");
    if (!bundled) return;
    fputs("<style>", stdout);
    fwrite(plots_style, 1, sizeof plots_style, stdout);
    fputs("</style>\n<script type=\"application/json\" id=\"pairs\">", stdout);
    json_t *all = compare_json(t, p, n);
    data(json_incref(json_object_get(all, "pairs")));
    json_decref(all);
    fputs("</script>\n<script>", stdout);
    fwrite(plots_script, 1, sizeof plots_script, stdout);
    puts("</script>");
}

void compare_html(const compare_table *t, const compare_pair *p, int n)
{
    size_t k;
    const json_t *w;
    puts(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
        "<title>CPU and GPU compared</title>\n<style>body{font:15px sans-serif;margin:2em auto;max-width:900px;padding:0 1em}"
        "table{border-collapse:collapse;font-size:13px}td,th{padding:4px 8px;border-bottom:1px solid #ccc;text-align:right}"
        "td:first-child,th:first-child,td:last-child{text-align:left}svg{max-width:100%;height:auto}li{margin:.3em 0}</style></head><body>\n"
        "<h1>CPU and GPU compared</h1>");
    plots(t, p, n);
    puts(
        "<table><tr><th>model</th><th>test</th><th>CPU tok/s</th><th>GPU tok/s</th><th>CPU GB/s</th><th>GPU GB/s</th><th></th></tr>");
    for (int i = 0; i < n; i++) {
        char why[320];
        compare_verdict(t, &p[i], why, sizeof why);
        fputs("<tr><td>", stdout);
        escaped((p[i].cpu ? p[i].cpu : p[i].gpu)->model);
        printf("</td><td>%s</td>", p[i].test);
        number(p[i].cpu ? p[i].cpu->ts : -1, "");
        number(p[i].gpu ? p[i].gpu->ts : -1, "");
        number(p[i].cpu ? compare_gbs(p[i].cpu) : -1, "");
        number(p[i].gpu ? compare_gbs(p[i].gpu) : -1, "");
        fputs("<td>", stdout);
        escaped(why);
        puts("</td></tr>");
    }
    puts("</table>");
    if (json_array_size(t->warnings)) puts("<h2>Not the same work</h2><ul>");
    json_array_foreach(t->warnings, k, w)
    {
        fputs("<li>", stdout);
        escaped(json_string_value(w));
        puts("</li>");
    }
    puts(json_array_size(t->warnings) ? "</ul></body></html>" : "</body></html>");
}
