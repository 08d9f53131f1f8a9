#include "json_limits.h"

#include <stdbool.h>

const char *json_too_deep(const char *text, size_t n)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
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
