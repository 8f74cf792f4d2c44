/* Tensors NAME.suffix that belong to the tensor NAME of a model, and keys: what files of statistics are made of. */
#ifndef IQT_IO_GGUF_NAMED_H
#define IQT_IO_GGUF_NAMED_H

#include "io/gguf_write.h"

/* A message that names file and tensor; IQT_ERR_FORMAT. */
enum iqt_status iqt_named_fail(const char *path, const struct iqt_gguf_tensor *t,
                               const char *why);
/* That it is float32, and all there. */
IQT_MUST_USE enum iqt_status iqt_named_check(const char *path,
                                             const struct iqt_gguf_tensor *t);
/* The bytes of a name that ends in suffix before it; 0 otherwise. */
size_t iqt_named_stem(const struct iqt_gguf_tensor *t, const char *suffix);
/* A key's number; 0 where it has none, or none of 32 bits. */
uint32_t iqt_named_number(const struct iqt_gguf *g, const char *key);
/* Adds t as `name` with suffix. */
IQT_MUST_USE enum iqt_status iqt_named_add(struct iqt_gguf_writer *w, const char *name,
                                           const char *suffix, struct iqt_gguf_tensor t);

#endif
