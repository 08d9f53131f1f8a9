/* Fuzz target: any bytes as chat templates, rendered over a small conversation. A byte 0x1e ends a template, so that one
 * input holds many and a change in one leaves the others alone. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *context(void)
{
    static json_t *c;
    if (!c)
        c = json_loads("{\"messages\":[{\"role\":\"system\",\"content\":\"Be \u00e9\"},{\"role\":\"user\",\"content\":\" Hi \"},"
                       "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":"
                       "{\"a\":1,\"b\":[1.5,true,null]}}}]}],\"tools\":null,\"add_generation_prompt\":true,\"bos_token\":\"<s>\","
                       "\"i\":7,\"s\":\"Hello World\",\"l\":[3,1,2],\"d\":{\"b\":1,\"a\":2}}", 0, NULL);
    return c;
}

static void render(const uint8_t *data, size_t size)
{
    jinja *t = NULL;
    jinja_output out = {0};
    tawny_error e = {0};
    size_t at = 0;
    if (jinja_parse((const char *)data, size, &t, &e) != TAWNY_OK) {
        if (!e.message[0]) abort();
        return;
    }
    if (jinja_render(t, context(), NULL, &out, &e) != TAWNY_OK && (out.text || !e.message[0])) abort();
    for (size_t i = 0; i < out.n_segments; i++) {
        if (out.segments[i].start != at || out.segments[i].n == 0) abort();
        at += out.segments[i].n;
    }
    if (at != out.n) abort();
    jinja_output_free(&out);
    jinja_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t at = 0, end; at < size; at = end + 1) {
        for (end = at; end < size && data[end] != 0x1e; end++) {}
        render(data + at, end - at);
    }
    return 0;
}
