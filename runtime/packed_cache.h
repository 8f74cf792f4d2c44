/* Keeps packed rows on disk between runs, one file a matrix: docs/packed-rows.md. An upload looks here first, and
 * what goes wrong is told by the context's note and is no failure: rows are packed as without it. */
#ifndef IQT_RUNTIME_PACKED_CACHE_H
#define IQT_RUNTIME_PACKED_CACHE_H

#include "io/packed_file.h"
#include "kernels/packer.h"
#include "runtime/cpu_pool.h"
#include "runtime/runtime.h"

/* What is uploaded. */
struct iqt_packed_source {
    const struct iqt_matrix *w; /* its sizes are known */
    const struct iqt_format *from;
    const uint8_t *bytes; /* all rows, in `from` */
    size_t native_row;
    const struct iqt_packer *packer;
    struct iqt_pool *pool;
};

struct iqt_packed_cache {
    struct iqt_context *ctx;
    struct iqt_packed_source source;
    uint64_t weights; /* their hash when the cache was opened */
    char *path;
    struct iqt_map map;  /* a file that was found; who takes it over leaves it empty */
    const uint8_t *rows; /* in it, all checked; NULL: they have to be packed */
    struct iqt_packed_writer writer;
    bool writing;
};

/* Looks for the rows; where they are not found, what is added is kept. Without a folder in the context
 * neither. */
void iqt_packed_cache_open(struct iqt_packed_cache *c, const struct iqt_packed_source *s);
/* The next packed rows. */
void iqt_packed_cache_add(struct iqt_packed_cache *c, const uint8_t *rows, size_t bytes);
/* complete: all rows were added. */
void iqt_packed_cache_close(struct iqt_packed_cache *c, bool complete);

#endif
