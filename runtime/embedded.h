/* Kernels built into the library; the tables are generated at build time by iqt_gen. */
#ifndef IQT_RUNTIME_EMBEDDED_H
#define IQT_RUNTIME_EMBEDDED_H

#include "base/base.h"
#include "kernels/quantized.h"

/* Instruction sets of the embedded host kernels, weakest first: "portable", "avx2", "avx512". */
struct iqt_embedded_host {
    const char *plan, *isa;
    iqt_host_fn fn;
};
extern const struct iqt_embedded_host iqt_embedded_host[]; /* ends with plan NULL */

/* What a GPU's driver takes, made at build time. */
struct iqt_embedded_image {
    const char *plan; /* or the name of a helper */
    uint64_t text_hash;
    const void *packed; /* by zlib */
    size_t packed_bytes, bytes;
};
/* The default plans as SPIR-V words and as PTX with its NUL; either ends with plan NULL, and is empty
 * when its compiler was absent at build time. */
extern const struct iqt_embedded_image iqt_embedded_spirv[], iqt_embedded_ptx[];
/* Appends the image. */
IQT_MUST_USE enum iqt_status iqt_embedded_unpack(const struct iqt_embedded_image *e,
                                                 struct iqt_buf *out);

#endif
