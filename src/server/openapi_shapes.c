/* What tables leave to the handlers: the elements of lists, the members of objects. */
#include "anthropic.h"
#include "http.h"
#include "ollama.h"
#include "openai.h"
#include "openapi.h"

#define JSON(...) #__VA_ARGS__
#define STRINGS JSON({"type": "string"})
#define TEXT_OR_TOKENS JSON({"type": ["string", "integer"]})
#define CALLS                                                                                                                             \
    JSON({"type": ["array", "null"], "items": {"type": "object", "required": ["function"], "properties": {"id": {"type": "string"},       \
          "type": {"const": "function"}, "function": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"},  \
          "arguments": {"type": ["string", "object"]}}}}}})
#define PARTS                                                                                                                             \
    JSON({"type": "array", "items": {"oneOf": [                                                                                           \
          {"type": "object", "required": ["type", "text"],                                                                                \
           "properties": {"type": {"enum": ["text", "input_text", "output_text"]}, "text": {"type": "string"}}},                          \
          {"type": "object", "required": ["type", "refusal"], "properties": {"type": {"const": "refusal"}, "refusal": {"type": "string"}}}]}})
#define MESSAGES                                                                                                                          \
    "{\"type\": \"object\", \"required\": [\"role\"], \"properties\": {\"role\": {\"enum\": [\"system\", \"developer\", \"user\", "       \
    "\"assistant\", \"tool\"]}, \"content\": {\"anyOf\": [{\"type\": [\"string\", \"null\"]}, " PARTS "]}, \"refusal\": {\"type\": "      \
    "[\"string\", \"null\"]}, \"reasoning_content\": {\"type\": \"string\"}, \"tool_call_id\": {\"type\": \"string\"}, \"name\": "        \
    "{\"type\": \"string\"}, \"tool_calls\": " CALLS "}}"
#define FUNCTION(rest)                                                                                                                    \
    "\"name\": {\"type\": \"string\", \"pattern\": \"^[A-Za-z0-9_.-]{1,64}$\"}, \"description\": {\"type\": \"string\"}, "                \
    "\"strict\": {\"type\": [\"boolean\", \"null\"]}, " rest
#define PARAMETERS "\"parameters\": {\"type\": [\"object\", \"null\"]}"
#define TOOLS                                                                                                                             \
    "{\"type\": \"object\", \"required\": [\"type\", \"function\"], \"properties\": {\"type\": {\"const\": \"function\"}, \"function\": " \
    "{\"type\": \"object\", \"required\": [\"name\"], \"properties\": {" FUNCTION(PARAMETERS) "}}}}"
#define ITEM_TOOLS                                                                                                                        \
    "{\"type\": \"object\", \"required\": [\"type\", \"name\"], \"properties\": {\"type\": {\"const\": \"function\"}, "                   \
    FUNCTION(PARAMETERS) "}}"
#define USES                                                                                                                              \
    "{\"type\": \"object\", \"required\": [\"name\", \"input_schema\"], \"properties\": {\"type\": {\"enum\": [\"custom\"]}, "            \
    FUNCTION("\"input_schema\": {\"type\": \"object\"}") "}}"
#define CHOICES(named)                                                                                                                    \
    "[{\"type\": \"null\"}, {\"enum\": [\"none\", \"auto\", \"required\"]}, " named ", "                                                                        \
    JSON({"type": "object", "required": ["type"], "properties": {"type": {"const": "allowed_tools"}, "mode": {"enum": ["auto", "required"]}, \
          "tools": {"type": "array"}, "allowed_tools": {"type": "object"}}}) "]"
#define ITEMS                                                                                                                             \
    "[{\"type\": \"object\", \"required\": [\"role\", \"content\"], \"properties\": {\"type\": {\"const\": \"message\"}, \"role\": "      \
    "{\"enum\": [\"system\", \"developer\", \"user\", \"assistant\"]}, \"content\": {\"anyOf\": [{\"type\": \"string\"}, " PARTS "]}}}, " \
    JSON({"type": "object", "required": ["type", "call_id", "name", "arguments"], "properties": {"type": {"const": "function_call"},      \
          "call_id": {"type": "string"}, "name": {"type": "string"}, "arguments": {"type": "string"}}}) ", "                              \
    "{\"type\": \"object\", \"required\": [\"type\", \"call_id\", \"output\"], \"properties\": {\"type\": {\"const\": "                   \
    "\"function_call_output\"}, \"call_id\": {\"type\": \"string\"}, \"output\": {\"anyOf\": [{\"type\": \"string\"}, " PARTS "]}}}, "    \
    JSON({"type": "object", "required": ["type"], "properties": {"type": {"const": "reasoning"}, "content": {"type": ["array", "null"],   \
          "items": {"type": "object", "properties": {"text": {"type": "string"}}}}}}) "]"
#define TEXT_BLOCKS                                                                                                                       \
    JSON({"type": "object", "required": ["type", "text"], "properties": {"type": {"const": "text"}, "text": {"type": "string"}}})
#define BLOCKS                                                                                                                            \
    "[" TEXT_BLOCKS ", "                                                                                                                  \
    JSON({"type": "object", "required": ["type", "thinking"], "properties": {"type": {"const": "thinking"}, "thinking": {"type": "string"}, \
          "signature": {"type": "string"}}}) ", "                                                                                         \
    JSON({"type": "object", "required": ["type", "id", "name", "input"], "properties": {"type": {"const": "tool_use"},                    \
          "id": {"type": "string"}, "name": {"type": "string"}, "input": {"type": "object"}}}) ", "                                       \
    "{\"type\": \"object\", \"required\": [\"type\", \"tool_use_id\"], \"properties\": {\"type\": {\"const\": \"tool_result\"}, "         \
    "\"tool_use_id\": {\"type\": \"string\"}, \"content\": {\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"array\", \"items\": "        \
    TEXT_BLOCKS "}]}}}]"

static const struct {
    const door *door;            /* NULL: any */
    const param *const *tables;  /* NULL: any */
    const char *name, *key, *schema;
} shapes[] = {
    {&openai_door, NULL, "messages", "items", MESSAGES},
    {&anthropic_door, NULL, "messages", "items",
     "{\"type\": \"object\", \"required\": [\"role\", \"content\"], \"properties\": {\"role\": {\"enum\": [\"user\", \"assistant\"]}, "
     "\"content\": {\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"array\", \"items\": {\"oneOf\": " BLOCKS "}}]}}}"},
    {&ollama_door, NULL, "messages", "items",
     "{\"type\": \"object\", \"required\": [\"role\"], \"properties\": {\"role\": {\"enum\": [\"system\", \"user\", \"assistant\", "
     "\"tool\"]}, \"content\": {\"type\": [\"string\", \"null\"]}, \"thinking\": {\"type\": \"string\"}, \"tool_name\": {\"type\": "
     "\"string\"}, \"tool_calls\": " CALLS "}}"},
    {NULL, NULL, "messages", "minItems", "1"},
    {&openai_door, NULL, "tools", "items", TOOLS},
    {&openai_door, openai_responses_tables, "tools", "items", ITEM_TOOLS},
    {&ollama_door, NULL, "tools", "items", TOOLS},
    {&anthropic_door, NULL, "tools", "items", USES},
    {&openai_door, NULL, "tool_choice", "anyOf",
     CHOICES(JSON({"type": "object", "required": ["type", "function"], "properties": {"type": {"const": "function"}, "function": {"type": "object",
                   "required": ["name"], "properties": {"name": {"type": "string"}}}}}))},
    {&openai_door, openai_responses_tables, "tool_choice", "anyOf",
     CHOICES(JSON({"type": "object", "required": ["type", "name"], "properties": {"type": {"const": "function"}, "name": {"type": "string"}}}))},
    {&anthropic_door, NULL, "tool_choice", "properties",
     JSON({"type": {"enum": ["auto", "any", "none", "tool"]}, "name": {"type": "string"}, "disable_parallel_tool_use": {"type": "boolean"}})},
    {&anthropic_door, NULL, "tool_choice", "required", JSON(["type"])},
    {&anthropic_door, NULL, "thinking", "properties",
     JSON({"type": {"enum": ["enabled", "adaptive", "disabled"]}, "budget_tokens": {"type": "integer"}})},
    {&anthropic_door, NULL, "thinking", "required", JSON(["type"])},
    {&anthropic_door, NULL, "system", "items", TEXT_BLOCKS},
    {&openai_door, NULL, "response_format", "properties",
     JSON({"type": {"enum": ["text", "json_object", "json_schema"]}, "json_schema": {"type": "object", "properties": {"name": {"type": "string"},
           "schema": {"type": "object"}, "strict": {"type": ["boolean", "null"]}}}, "schema": {"type": "object"}})},
    {&openai_door, NULL, "response_format", "required", JSON(["type"])},
    {&openai_door, NULL, "stream_options", "properties", JSON({"include_usage": {"type": "boolean"}})},
    {NULL, NULL, "stop", "items", JSON({"type": "string", "maxLength": 4096})},
    {NULL, NULL, "stop_sequences", "items", JSON({"type": "string", "maxLength": 4096})},
    {NULL, NULL, "dry_sequence_breakers", "items", STRINGS},
    {NULL, NULL, "documents", "items", STRINGS},
    {NULL, NULL, "texts", "items", STRINGS},
    {NULL, NULL, "prompt", "items", TEXT_OR_TOKENS},
    {NULL, NULL, "content", "items", TEXT_OR_TOKENS},
    {NULL, NULL, "input", "items", STRINGS},
    {NULL, openai_responses_tables, "input", "items", "{\"anyOf\": " ITEMS "}"},
    {NULL, NULL, "response_fields", "items", STRINGS},
    {NULL, NULL, "tokens", "items", JSON({"type": "integer", "minimum": 0})},
    {NULL, NULL, "options", "properties",
     JSON({"num_predict": {"type": "integer"}, "temperature": {"type": "number"}, "seed": {"type": "integer"},
           "stop": {"type": "array", "items": {"type": "string"}}})},
};

void openapi_shape(const route *r, json_t *properties)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        json_t *p = json_object_get(properties, shapes[i].name);
        if (!p || (shapes[i].door && shapes[i].door != r->door) || (shapes[i].tables && shapes[i].tables != r->tables)) continue;
        json_object_set_new(p, shapes[i].key, json_loads(shapes[i].schema, JSON_DECODE_ANY, NULL));
    }
}
