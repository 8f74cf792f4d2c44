/* Text to tokens: byte-level byte pair encoding with the vocabulary that a GGUF file carries. */
#ifndef IQT_EVAL_TOKENS_H
#define IQT_EVAL_TOKENS_H

#include <iqtile/gguf.h>

struct iqt_vocabulary;

/* Points into g, which outlives it. IQT_ERR_UNSUPPORTED for other tokenizers (tokenizer.ggml.model "gpt2" with
 * pre-tokenizer "gpt-2" is known), IQT_ERR_FORMAT for a vocabulary without its keys. */
IQT_MUST_USE enum iqt_status iqt_vocabulary_create(const struct iqt_gguf *g,
                                                   struct iqt_vocabulary **out);
void iqt_vocabulary_destroy(struct iqt_vocabulary *v); /* NULL is allowed */
size_t iqt_vocabulary_count(const struct iqt_vocabulary *v);
/* The token that windows of text begin with; -1: none. */
int64_t iqt_vocabulary_begin(const struct iqt_vocabulary *v);
/* The caller frees *out. Texts of special tokens are ordinary text. */
IQT_MUST_USE enum iqt_status iqt_tokens_encode(const struct iqt_vocabulary *v,
                                               const char *text, size_t bytes,
                                               uint32_t **out, size_t *count);

/* The tokens of a text file with g's vocabulary, and iqt_vocabulary_begin(). The caller frees *out. */
IQT_MUST_USE enum iqt_status iqt_tokens_read(const struct iqt_gguf *g, const char *path,
                                             int64_t *begin, uint32_t **out,
                                             size_t *count);

#endif
