#include "json_limits.h"

#include <stdbool.h>

const char *json_too_deep(const char *text, size_t n)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (!c) return "it has a NUL byte"; /* jansson takes one for the end */
        if (in_string) {
            if (c == '\\' && i + 1 < n && text[i + 1])
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_MAX_DEPTH) return "it nests deeper than 128 levels";
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return NULL;
}
