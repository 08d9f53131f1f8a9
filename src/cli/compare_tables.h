/* Tables as llama-bench prints them: CSV, Markdown and SQL, a row after the other as an object of texts under the keys of its
 * JSON. */
#ifndef CLI_COMPARE_TABLES_H
#define CLI_COMPARE_TABLES_H

#include <jansson.h>

#include "../base/error.h"

/* Takes row `no` (from 1 on); another status ends the reading. */
typedef tawny_status table_row(void *user, const json_t *row, int no, tawny_error *err);

/* The text is changed. Markdown's columns are fewer: sizes are rounded, and threads or layers on a GPU are not told of. */
tawny_status table_csv(char *text, table_row *row, void *user, tawny_error *err);
tawny_status table_markdown(char *text, table_row *row, void *user, tawny_error *err);
bool table_is_heading(char *line); /* of Markdown, with columns "model" and "t/s"; may be quoted, and in bold */
tawny_status table_sql(char *text, table_row *row, void *user, tawny_error *err);

#endif
