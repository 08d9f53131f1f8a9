/* All paths, and who answers there. */
#include "anthropic.h"
#include "anyone.h"
#include "http.h"
#include "llama.h"
#include "measure.h"
#include "ollama.h"
#include "openai.h"
#include "openapi.h"
#include "page.h"

const route server_routes[] = {
    {"GET", "/", page_root, &openai_door, ROUTE_PUBLIC | ROUTE_TEXT | ROUTE_LOADING | ROUTE_PAGE, NULL, "that the server is there; a page for browsers"},
    {"GET", "/page/*", page_file, &openai_door, ROUTE_PUBLIC | ROUTE_LOADING | ROUTE_HIDDEN, NULL, "what that page is made of"},
    {"GET", "/health", health, &openai_door, ROUTE_PUBLIC | ROUTE_DRAINING, NULL, "whether requests are taken"},
    {"GET", "/v1/health", health, &openai_door, ROUTE_PUBLIC | ROUTE_DRAINING, NULL, "the same"},
    {"GET", "/metrics", metrics, &openai_door, ROUTE_DRAINING | ROUTE_TEXT, NULL, "counts and rates, for Prometheus"},
    {"POST", "/measure", measure_now, &openai_door, 0, NULL, "measures how fast memory can be read, in half a second between steps"},
    {"GET", "/v1/models", openai_models, &openai_door, 0, NULL, "the model"},
    {"GET", "/v1/models/*", openai_model, &openai_door, 0, NULL, "the model of this name"},
    {"GET", "/models", openai_models, &openai_door, 0, NULL, "the same"},
    {"POST", "/v1/chat/completions", openai_chat, &openai_door, 0, openai_chat_tables, "the next message of a conversation"},
    {"POST", "/chat/completions", openai_chat, &openai_door, 0, openai_chat_tables, "the same"},
    {"POST", "/v1/completions", openai_completions, &openai_door, 0, openai_text_tables, "a text goes on"},
    {"POST", "/v1/responses", openai_responses, &openai_door, 0, openai_responses_tables, "the next answer, as items"},
    {"POST", "/v1/embeddings", openai_embeddings, &openai_door, 0, openai_embeddings_tables, "embeddings of texts"},
    {"POST", "/responses", openai_responses, &openai_door, 0, openai_responses_tables, "the same"},
    {"POST", "/v1/messages", anthropic_messages, &anthropic_door, 0, anthropic_messages_tables, "the next message of a conversation, as Anthropic has it"},
    {"POST", "/v1/messages/count_tokens", anthropic_count_tokens, &anthropic_door, 0, anthropic_count_tables, "how many tokens a conversation is"},
    {"POST", "/completion", llama_completion, &openai_door, 0, llama_completion_tables, "a text goes on, as llama-server has it"},
    {"POST", "/completions", llama_completion, &openai_door, 0, llama_completion_tables, "the same"},
    {"POST", "/infill", llama_infill, &openai_door, 0, llama_infill_tables, "a gap in a text is filled"},
    {"POST", "/tokenize", llama_tokenize, &openai_door, 0, llama_tokenize_tables, "text to token ids"},
    {"POST", "/detokenize", llama_detokenize, &openai_door, 0, llama_detokenize_tables, "token ids to text"},
    {"POST", "/apply-template", llama_apply_template, &openai_door, 0, llama_template_tables, "a conversation as the model's text"},
    {"POST", "/embedding", llama_embed, &openai_door, 0, llama_embed_tables, "embeddings of texts, as llama-server has it"},
    {"POST", "/embeddings", llama_embed, &openai_door, 0, llama_embed_tables, "the same"},
    {"POST", "/rerank", llama_rerank, &openai_door, 0, llama_rerank_tables, "how well documents answer a query"},
    {"POST", "/reranking", llama_rerank, &openai_door, 0, llama_rerank_tables, "the same"},
    {"POST", "/v1/rerank", llama_rerank, &openai_door, 0, llama_rerank_tables, "the same"},
    {"POST", "/v1/reranking", llama_rerank, &openai_door, 0, llama_rerank_tables, "the same"},
    {"GET", "/props", llama_props, &openai_door, 0, NULL, "what the server and its model are like"},
    {"GET", "/slots", llama_slots, &openai_door, 0, NULL, "what is computed"},
    {"POST", "/slots/*", llama_slots_action, &openai_door, ROUTE_ANY_BODY, llama_slots_tables, "a slot's past is saved to a file, restored from one, or erased"},
    {"GET", "/lora-adapters", llama_lora, &openai_door, 0, NULL, "none are known"},
    {"POST", "/api/chat", ollama_chat, &ollama_door, 0, ollama_chat_tables, "the next message of a conversation, as Ollama has it"},
    {"POST", "/api/generate", ollama_generate, &ollama_door, 0, ollama_generate_tables, "an answer to a prompt"},
    {"POST", "/api/embed", ollama_embed, &ollama_door, 0, ollama_embed_tables, "embeddings of texts"},
    {"POST", "/api/embeddings", ollama_embeddings, &ollama_door, 0, ollama_embeddings_tables, "the embedding of a text"},
    {"GET", "/api/tags", ollama_tags, &ollama_door, 0, NULL, "the models: one"},
    {"POST", "/api/show", ollama_show, &ollama_door, 0, ollama_show_tables, "the model's metadata and template"},
    {"GET", "/api/ps", ollama_ps, &ollama_door, 0, NULL, "the models that are loaded"},
    {"GET", "/api/version", ollama_version, &ollama_door, ROUTE_PUBLIC, NULL, "the version of this interface"},
    {"GET", "/openapi.json", openapi, &openai_door, 0, NULL, "this interface"},
    {NULL, NULL, NULL, &openai_door, 0, NULL, NULL},
};
