/* llama-server's own doors. */
#ifndef SERVER_LLAMA_H
#define SERVER_LLAMA_H

#include "completion.h"

extern const param *const llama_completion_tables[], *const llama_infill_tables[], *const llama_tokenize_tables[];
extern const param *const llama_detokenize_tables[], *const llama_template_tables[], *const llama_embed_tables[];
extern const param *const llama_rerank_tables[], *const llama_slots_tables[];

void llama_completion(exchange *x);     /* POST /completion */
void llama_infill(exchange *x);         /* POST /infill */
void llama_tokenize(exchange *x);       /* POST /tokenize */
void llama_detokenize(exchange *x);     /* POST /detokenize */
void llama_apply_template(exchange *x); /* POST /apply-template */
void llama_embed(exchange *x);          /* POST /embedding */
void llama_rerank(exchange *x);         /* POST /rerank */
void llama_props(exchange *x);          /* GET /props */
void llama_slots(exchange *x);          /* GET /slots */
void llama_slots_action(exchange *x);   /* POST /slots/{id} */
void llama_lora(exchange *x);           /* GET /lora-adapters */

/* "generation_settings": what a request comes to, or with x->json NULL, what requests begin with. */
json_t *llama_settings(const exchange *x, const completion *c, bool post_probs);

#endif
