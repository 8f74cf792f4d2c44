/* The kernels without a plan as a table: name, workgroup, emitter. */
#include "codegen/codegen.h"

#include <assert.h>

static enum iqt_status emit_find4(enum iqt_dialect d, struct iqt_buf *out)
{
    return iqt_emit_find(d, 4, out);
}

static enum iqt_status emit_find8(enum iqt_dialect d, struct iqt_buf *out)
{
    return iqt_emit_find(d, 8, out);
}

static enum iqt_status emit_quantize(enum iqt_dialect d, struct iqt_buf *out)
{
    return iqt_emit_activations(IQT_HELPER_QUANTIZE, d, out);
}

static enum iqt_status emit_halve(enum iqt_dialect d, struct iqt_buf *out)
{
    return iqt_emit_activations(IQT_HELPER_HALVE, d, out);
}

static const struct helper {
    const char *name;
    uint32_t threads;
    enum iqt_status (*emit)(enum iqt_dialect d, struct iqt_buf *out);
} helpers[IQT_HELPERS] = {
    [IQT_HELPER_QUANTIZE] = { "quantize", 64, emit_quantize },
    [IQT_HELPER_HALVE] = { "halve", 64, emit_halve },
    [IQT_HELPER_COPY] = { "copy", 256, iqt_emit_copy },
    [IQT_HELPER_FIND4] = { "find4", 128, emit_find4 },
    [IQT_HELPER_FIND8] = { "find8", 128, emit_find8 },
};

enum iqt_status iqt_emit_helper(enum iqt_helper h, enum iqt_dialect d,
                                struct iqt_buf *out)
{
    assert(h < IQT_HELPERS);
    return helpers[h].emit(d, out);
}

const char *iqt_helper_name(enum iqt_helper h)
{
    assert(h < IQT_HELPERS);
    return helpers[h].name;
}

uint32_t iqt_helper_threads(enum iqt_helper h)
{
    assert(h < IQT_HELPERS);
    return helpers[h].threads;
}
