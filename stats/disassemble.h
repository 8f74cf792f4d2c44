/* From a binary to a listing: NVIDIA's and LLVM's programs, found at run time. */
#ifndef IQT_STATS_DISASSEMBLE_H
#define IQT_STATS_DISASSEMBLE_H

#include "stats/listing.h"

/* Appends the listing of a cubin. The program is $IQT_NVDISASM, nvdisasm from $PATH, or PyPI's
 * nvidia-cuda-nvdisasm in $VIRTUAL_ENV or .venv. IQT_ERR_UNSUPPORTED says where it was looked for. */
IQT_MUST_USE enum iqt_status iqt_disassemble_cubin(const void *bytes, size_t size,
                                                   struct iqt_buf *out);
/* The same for an AMD code object: $IQT_OBJDUMP or the newest llvm-objdump in $PATH. arch: "gfx1100". */
IQT_MUST_USE enum iqt_status iqt_disassemble_amd(const char *arch, const void *bytes,
                                                 size_t size, struct iqt_buf *out);

#endif
