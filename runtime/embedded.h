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

struct iqt_embedded_spirv {
    const char *plan; /* or the name of a helper */
    uint64_t text_hash;
    const uint32_t *word;
    size_t words;
};
extern const struct iqt_embedded_spirv iqt_embedded_spirv[]; /* ends with plan NULL */

/* PTX of the default cuda plans; empty when NVRTC was absent at build time. */
struct iqt_embedded_ptx {
    const char *plan; /* or the name of a helper */
    uint64_t text_hash;
    const uint32_t *packed; /* by zlib */
    size_t packed_bytes, bytes;
};
extern const struct iqt_embedded_ptx iqt_embedded_ptx[]; /* ends with plan NULL */
/* Appends the text with its NUL. */
IQT_MUST_USE enum iqt_status iqt_ptx_unpack(const struct iqt_embedded_ptx *e,
                                            struct iqt_buf *out);

#endif
