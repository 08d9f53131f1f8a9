/* Steps of loading that several architectures share, beyond what hparams.c reads for all. */
#ifndef MODELS_LOAD_H
#define MODELS_LOAD_H

#include "model.h"

/* The epsilon of the norms, required: of RMS norms, or of layer norms (which the model then has). */
tawny_status load_rms_eps(model *m, tawny_error *err);
tawny_status load_layer_norm_eps(model *m, tawny_error *err);

/* Sliding windows of `window` tokens in the layers that attention.sliding_window_pattern names: an array of
 * flags, or a period p (`period` where the key is missing) of which all layers but the p-th have a window; a
 * period of 0: all. Layers with a window use rope[1], with rope.freq_base_swa, rope.dimension_count_swa,
 * and attention.key_length_swa and value_length_swa where given. */
tawny_status load_windows(model *m, uint32_t window, uint32_t period, tawny_error *err);
/* With the first of each period full instead of the last. */
tawny_status load_windows_after_full(model *m, uint32_t window, uint32_t period, tawny_error *err);

/* Fails by name where attention.sliding_window_pattern is not there, or is no array. */
tawny_status load_needs_pattern(const model *m, tawny_error *err);

/* Windows of encoders, half of them before a token and half after it. With `first` the first layer of a period is the
 * one without. Turned at a base of 10000 unless rope.freq_base_swa says otherwise. */
tawny_status load_windows_both(model *m, uint32_t window, uint32_t period, bool first, tawny_error *err);

/* load_windows with attention.sliding_window tokens, where that is given and not 0; layers with a window turn with the
 * base of the others, without their scaling. */
tawny_status load_unscaled_windows(model *m, uint32_t period, tawny_error *err);

/* Layers from `own` on read the keys and values of the last two before it, which are a windowed and a full one. */
tawny_status load_shared_kv(model *m, uint32_t own, tawny_error *err);

/* Sections of multi-dimensional RoPE (rope.dimension_sections). All dimensions of a text are its position, but for
 * the fourth, which is 0: pairs of that section do not turn. */
tawny_status load_rope_sections(model *m, bool required, tawny_error *err);

/* ALiBi in every layer: head h of n adds -slope_h |q - k| to its scores, slopes fall from 2^(-max_bias / n) by that
 * factor; a max_bias of 0: none (Press et al., arXiv 2108.12409). */
tawny_status load_alibi(model *m, float max_bias, tawny_error *err);

/* Fails by name where RoPE does not turn whole heads. */
tawny_status load_turns_whole_heads(const model *m, tawny_error *err);

/* Experts from layer leading_dense_block_count on. */
tawny_status load_leading_dense(model *m, tawny_error *err);

/* expert_gating_func, or `fallback` (MOE_GATING_...) where the key is missing or 0. */
tawny_status load_gating(model *m, uint32_t fallback, tawny_error *err);

/* Fails by name where a layer has one of two tensors ("attn_norm.bias") without the other. */
tawny_status load_together(const model *m, const char *a, const char *b, tawny_error *err);

/* Fails by name where a layer is without this tensor. */
tawny_status load_needs_tensor(const model *m, uint32_t il, const char *name, tawny_error *err);

/* expert_gating_func, required. */
tawny_status load_needs_gating(model *m, tawny_error *err);

/* Experts without a width of their own share the feed-forward length. */
void load_expert_width(model *m);

/* What DeepSeek's mixtures have: leading dense layers, then experts of a width of their own, beside which
 * expert_shared_count of the same width take every token. */
tawny_status load_deepseek_experts(model *m, tawny_error *err);

/* Fails by name where expert_feed_forward_length is missing or 0. */
tawny_status load_needs_expert_width(const model *m, tawny_error *err);

/* Experts in the layers that have a router. */
void load_routed_layers(model *m);

/* Experts' weights are normed, and not scaled, whatever the metadata says. */
void load_normed_weights(model *m);

/* Fails by name where the model has no experts. */
tawny_status load_needs_experts(const model *m, tawny_error *err);

#endif
