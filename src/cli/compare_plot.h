/* Comparisons as pictures: bars of tok/s, a group a test. */
#ifndef CLI_COMPARE_PLOT_H
#define CLI_COMPARE_PLOT_H

#include "compare.h"

void compare_svg(const compare_table *t, const compare_pair *p, int n);  /* one picture, to stdout */
void compare_html(const compare_table *t, const compare_pair *p, int n); /* one page that needs nothing else, to stdout */
json_t *compare_json(const compare_table *t, const compare_pair *p, int n);

#endif
