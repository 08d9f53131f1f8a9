#include "openapi.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "http.h"

static const struct {
    const char *status, *what;
} errors[] = {
    {"400", "the request is wrong: the message names the field"}, {"401", "no key, or a wrong one"},
    {"403", "the request comes from another site's page, or names another host"}, {"404", "there is no such thing"},
    {"405", "the path takes another method"}, {"413", "the body is too large"}, {"429", "the queue is full: try again later"},
    {"500", "the server failed"}, {"503", "the model is being loaded, or the server ends"},
};

static json_t *error_of(const route *r, const char *what)
{
    json_t *example = r->door->error(400, NULL, what, NULL), *properties = json_object(), *required = json_array(), *v;
    const char *key;
    json_object_foreach(example, key, v) {
        json_object_set_new(properties, key, json_pack("{s:s}", "type", json_is_object(v) ? "object" : "string"));
        json_array_append_new(required, json_string(key));
    }
    json_decref(example);
    return json_pack("{s:s,s:{s:{s:{s:s,s:o,s:o}}}}", "description", what, "content", "application/json", "schema", "type", "object", "properties",
                     properties, "required", required);
}

static bool streams(const route *r)
{
    for (const param *const *t = r->tables; t && *t; t++)
        for (const param *p = *t; p->name; p++)
            if (strcmp(p->name, "stream") == 0) return true;
    return false;
}

static json_t *body_schema(const route *r)
{
    json_t *schema = params_schema(r->tables);
    openapi_shape(r, json_object_get(schema, "properties"));
    return schema;
}

static json_t *responses(const route *r)
{
    const char *type = r->flags & ROUTE_TEXT ? "text/plain" : "application/json";
    json_t *content = json_pack("{s:{s:{}}}", type, "schema");
    if (streams(r)) json_object_set_new(content, r->door->stream_type, json_pack("{s:{}}", "schema"));
    json_t *o = json_pack("{s:{s:s,s:o}}", "200", "description", r->doc, "content", content);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) json_object_set_new(o, errors[i].status, error_of(r, errors[i].what));
    return o;
}

/* "post_v1_messages" */
static json_t *operation_id(const route *r)
{
    char id[128];
    size_t n = (size_t)snprintf(id, sizeof id, "%s%s", r->method, r->path);
    for (size_t i = 0; i < n && i < sizeof id; i++) id[i] = (char)(isalnum((unsigned char)id[i]) ? tolower((unsigned char)id[i]) : '_');
    return json_string(id);
}

static bool has_rest(const route *r) { return r->path[strlen(r->path) - 1] == '*'; }

/* What comes behind the question mark, where a handler wants it. */
static const struct {
    const char *path, *name, *schema;
} queries[] = {{"/slots/*", "action", "{\"enum\":[\"save\",\"restore\",\"erase\"]}"}};

static json_t *parameters(const route *r)
{
    json_t *list = json_array();
    if (has_rest(r))
        json_array_append_new(list, json_pack("{s:s,s:s,s:b,s:{s:s}}", "name", "rest", "in", "path", "required", 1, "schema", "type", "string"));
    for (size_t i = 0; strcmp(r->method, "POST") == 0 && i < sizeof queries / sizeof *queries; i++)
        if (strcmp(queries[i].path, r->path) == 0)
            json_array_append_new(list, json_pack("{s:s,s:s,s:b,s:o}", "name", queries[i].name, "in", "query", "required", 1, "schema",
                                                  json_loads(queries[i].schema, 0, NULL)));
    return list;
}

static json_t *operation(const route *r)
{
    json_t *o = json_pack("{s:o,s:s,s:o}", "operationId", operation_id(r), "summary", r->doc, "responses", responses(r));
    if (r->tables)
        json_object_set_new(o, "requestBody", json_pack("{s:b,s:{s:{s:o}}}", "required", !(r->flags & ROUTE_ANY_BODY), "content", "application/json", "schema",
                                                        body_schema(r)));
    if (has_rest(r)) json_object_set_new(o, "parameters", parameters(r));
    if (r->flags & ROUTE_PUBLIC) json_object_set_new(o, "security", json_array());
    return o;
}

static void add_route(json_t *paths, const route *r)
{
    char path[160], method[16];
    snprintf(path, sizeof path, "%.*s%s", (int)(strlen(r->path) - has_rest(r)), r->path, has_rest(r) ? "{rest}" : "");
    snprintf(method, sizeof method, "%s", r->method);
    for (char *p = method; *p; p++) *p = (char)tolower((unsigned char)*p);
    json_t *item = json_object_get(paths, path);
    if (!item) json_object_set_new(paths, path, item = json_object());
    json_object_set_new(item, method, operation(r));
}

char *openapi_text(const server *sv)
{
    json_t *paths = json_object();
    json_t *security = sv->config.n_keys ? json_pack("[{s:[]},{s:[]}]", "bearer", "key") : json_array();
    for (const route *r = server_routes; r->path; r++)
        if (!(r->flags & ROUTE_HIDDEN)) add_route(paths, r);
    json_t *all = json_pack("{s:s,s:{s:s,s:s,s:s},s:o,s:o,s:{s:{s:{s:s,s:s},s:{s:s,s:s,s:s}}}}", "openapi", "3.1.0", "info", "title", "tawny",
                            "version", TAWNY_VERSION, "description", "a large language model, by the interfaces that clients know", "paths",
                            paths, "security", security, "components", "securitySchemes", "bearer", "type", "http", "scheme", "bearer",
                            "key", "type", "apiKey", "in", "header", "name", "x-api-key");
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return text;
}

void openapi(exchange *x)
{
    reply_constant(x, 200, "application/json; charset=utf-8", x->sv->openapi, strlen(x->sv->openapi));
}
