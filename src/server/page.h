/* "/": a page for people, and the line that Ollama's clients look for. */
#ifndef SERVER_PAGE_H
#define SERVER_PAGE_H

#include "exchange.h"

void page_root(exchange *x); /* GET / */
void page_file(exchange *x); /* GET /page/NAME */

#endif
