/* What a compiled kernel uses, read from its ELF file: a cubin or an AMD code object. */
#ifndef IQT_RUNTIME_BINARY_INFO_H
#define IQT_RUNTIME_BINARY_INFO_H

#include "base/base.h"

struct iqt_binary_info {
    uint32_t registers; /* of a thread (AMD: vector registers) */
    uint32_t scalars;   /* AMD: scalar registers of a wave */
    uint32_t
        stack_bytes; /* local or private memory of a thread: spills and indexed arrays */
    uint32_t spills; /* AMD: registers spilled, vector and scalar */
    uint32_t shared_bytes; /* of a workgroup */
};

/* bytes may be hostile. Reads the first kernel. IQT_ERR_FORMAT says what is no such file. */
IQT_MUST_USE enum iqt_status iqt_binary_info(const void *bytes, size_t size,
                                             struct iqt_binary_info *out);

#endif
