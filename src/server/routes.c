/* All paths, and who answers there. */
#include "anyone.h"
#include "http.h"
#include "openai.h"

const route server_routes[] = {
    {"GET", "/health", health, &openai_door, ROUTE_PUBLIC | ROUTE_DRAINING, NULL, "whether requests are taken"},
    {"GET", "/v1/health", health, &openai_door, ROUTE_PUBLIC | ROUTE_DRAINING, NULL, "the same"},
    {"GET", "/metrics", metrics, &openai_door, ROUTE_DRAINING, NULL, "counts and rates, for Prometheus"},
    {"GET", "/v1/models", openai_models, &openai_door, 0, NULL, "the model"},
    {"GET", "/models", openai_models, &openai_door, 0, NULL, "the same"},
    {"POST", "/v1/chat/completions", openai_chat, &openai_door, 0, openai_chat_tables, "the next message of a conversation"},
    {"POST", "/chat/completions", openai_chat, &openai_door, 0, openai_chat_tables, "the same"},
    {"POST", "/v1/completions", openai_completions, &openai_door, 0, openai_text_tables, "a text goes on"},
    {NULL, NULL, NULL, &openai_door, 0, NULL, NULL},
};
