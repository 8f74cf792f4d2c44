/* A case's tensors in the file, its decode check, and the counting of results. */
#include "tools/golden_case.h"
#include "kernels/format.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TYPE_F32 = 0, TYPE_F64 = 28 }; /* GGUF's numbers */

static bool name_is(const struct iqt_gguf_tensor *t, const char *base, size_t base_bytes,
                    const char *suffix)
{
    const size_t bytes = strlen(suffix);

    return t->name_bytes == base_bytes + bytes &&
           memcmp(t->name, base, base_bytes) == 0 &&
           memcmp(t->name + base_bytes, suffix, bytes) == 0;
}

static bool find_tensor(const struct iqt_gguf *g, const char *base, size_t base_bytes,
                        const char *suffix, struct iqt_gguf_tensor *out)
{
    for (size_t i = 0; i < iqt_gguf_tensor_count(g); i++) {
        *out = iqt_gguf_tensor_at(g, i);
        if (name_is(out, base, base_bytes, suffix))
            return true;
    }
    return false;
}

/* A companion's data, which must be `count` numbers of `bytes` bytes. */
static enum iqt_status companion_data(const struct iqt_golden_case *c, const char *suffix,
                                      const struct iqt_gguf_tensor *t, uint32_t type,
                                      uint32_t bytes, uint64_t count, const uint8_t **out)
{
    uint64_t items, want, have;

    if (t->type != type)
        return iqt_fail(IQT_ERR_FORMAT, "%s%s has type %u, expected %u", c->name, suffix,
                        t->type, type);
    if (!iqt_mul(t->ne[0], t->ne[1], &items) || !iqt_mul(items, t->ne[2], &items) ||
        !iqt_mul(items, t->ne[3], &items) || items != count ||
        !iqt_mul(items, bytes, &want))
        return iqt_fail(IQT_ERR_SHAPE, "%s%s does not have %llu elements", c->name,
                        suffix, (unsigned long long)count);
    have = t->data != NULL ? t->bytes : 0;
    if (have < want)
        return iqt_fail(IQT_ERR_FORMAT, "%s%s does not lie inside the file", c->name,
                        suffix);
    *out = t->data;
    return IQT_OK;
}

static enum iqt_status find_companions(const struct iqt_gguf *g, const char *base,
                                       size_t bytes, struct iqt_golden_case *c)
{
    static const char tail[] =
        "_im"; /* shares x with the case quantized without imatrix */
    struct iqt_gguf_tensor t;
    size_t x_bytes = bytes;

    if (!find_tensor(g, base, bytes, ".deq", &t))
        return iqt_fail(IQT_ERR_FORMAT, "%s.q has no %s.deq beside it", c->name, c->name);
    if (t.ne[0] != c->k)
        return iqt_fail(IQT_ERR_SHAPE, "%s.deq has rows of %llu, %s.q of %zu", c->name,
                        (unsigned long long)t.ne[0], c->name, c->k);
    IQT_TRY(companion_data(c, ".deq", &t, TYPE_F32, 4, (uint64_t)c->m * c->k, &c->deq));
    if (find_tensor(g, base, bytes, ".y", &t))
        IQT_TRY(companion_data(c, ".y", &t, TYPE_F64, 8, c->m, &c->y));
    if (bytes >= strlen(tail) &&
        memcmp(base + bytes - strlen(tail), tail, strlen(tail)) == 0)
        x_bytes -= strlen(tail);
    if (find_tensor(g, base, bytes, ".x", &t) || find_tensor(g, base, x_bytes, ".x", &t))
        IQT_TRY(companion_data(c, ".x", &t, TYPE_F32, 4, c->k, &c->x));
    if (c->y != NULL && c->x == NULL)
        return iqt_fail(IQT_ERR_FORMAT, "%s.y has no activations %s.x", c->name, c->name);
    return IQT_OK;
}

static enum iqt_status take_apart(struct iqt_golden_case *c, size_t bytes)
{
    const struct iqt_format *f = c->format;

    c->apart = malloc(bytes);
    if (c->apart == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the %zu bytes of %s.q", bytes,
                        c->name);
    if (iqt_rows_separate(f, c->m, c->k, c->q, c->apart) != IQT_OK) {
        iqt_golden_free(c);
        return IQT_ERR_SHAPE;
    }
    c->format = iqt_format_base(f);
    c->q = c->apart;
    return IQT_OK;
}

enum iqt_status iqt_golden_find(const struct iqt_gguf *g, size_t at,
                                const struct iqt_format *f, bool *found,
                                struct iqt_golden_case *out)
{
    const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, at);
    struct iqt_golden_case c = { .format = f };
    uint64_t weights, bytes;

    *found = t.name_bytes > 2 && memcmp(t.name + t.name_bytes - 2, ".q", 2) == 0;
    if (!*found)
        return IQT_OK;
    iqt_escape(c.name, sizeof c.name, t.name, t.name_bytes - 2);
    snprintf(out->name, sizeof out->name, "%s", c.name); /* for the caller's message */
    if (t.format != f)
        return iqt_fail(IQT_ERR_FORMAT, "%s.q has type %u, but golden.type_id says %u",
                        c.name, t.type, f->gguf_type);
    c.k = t.ne[0];
    c.m = iqt_gguf_rows(&t);
    if (c.m == 0)
        return iqt_fail(IQT_ERR_SHAPE, "%s.q has no rows", c.name);
    IQT_TRY(iqt_format_row_bytes(f, c.k, &c.row_bytes));
    if (t.data == NULL || !iqt_mul(c.m, c.row_bytes, &bytes) || bytes > t.bytes ||
        !iqt_mul(c.m, c.k, &weights))
        return iqt_fail(IQT_ERR_FORMAT, "%s.q does not lie inside the file", c.name);
    c.q = t.data;
    IQT_TRY(find_companions(g, t.name, t.name_bytes - 2, &c));
    if (f->base_type != 0)
        IQT_TRY(take_apart(&c, bytes));
    *out = c;
    return IQT_OK;
}

void iqt_golden_free(struct iqt_golden_case *c)
{
    free(c->apart);
    c->apart = NULL;
}

void iqt_golden_note(struct iqt_golden_tally *t, enum iqt_golden_kind kind,
                     const char *name, enum iqt_status status)
{
    static const char *const kinds[IQT_GOLDEN_KINDS] = {
        [IQT_GOLDEN_DECODE] = "decode",
        [IQT_GOLDEN_MATVEC] = "matvec",
        [IQT_GOLDEN_COLUMNS] = "columns",
        [IQT_GOLDEN_ONE_HOT] = "one-hot",
        [IQT_GOLDEN_Y] = "y",
    };

    if (status == IQT_OK) {
        t->passed[kind]++;
        return;
    }
    t->failed[kind]++;
    iqt_cli_progress_hide();
    fprintf(stderr, "FAIL %s %s %s: %s\n", t->where, name, kinds[kind], iqt_last_error());
}

/* Bit for bit, but any NaN equals any other. */
static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static enum iqt_status compare_row(const struct iqt_golden_case *c, size_t r,
                                   const float *row)
{
    for (size_t j = 0; j < c->k; j++) {
        const float want = iqt_read_f32(c->deq + 4 * (r * c->k + j));

        if (!same_bits(row[j], want))
            return iqt_fail(IQT_ERR_INTERNAL,
                            "row %zu column %zu decodes to %.9g (%a), expected %.9g (%a)",
                            r, j, (double)row[j], (double)row[j], (double)want,
                            (double)want);
    }
    return IQT_OK;
}

/* Weights that compute uses may differ from the reference by the format's gain and by the
 * rounding of a codebook (IQ6_K: at most half a step of some 70), not by more. Guards the checks
 * that take these weights for the truth. */
static enum iqt_status check_compute(const struct iqt_golden_case *c, float *row)
{
    const double gain = c->format->gain == 0 ? 1 : (double)c->format->gain;
    double off = 0, size = 0;

    for (size_t r = 0; r < c->m; r++) {
        IQT_TRY(iqt_decode_row(c->format, c->q + r * c->row_bytes, c->k,
                               IQT_DECODE_COMPUTE, row));
        for (size_t j = 0; j < c->k; j++) {
            const double want = gain * (double)iqt_read_f32(c->deq + 4 * (r * c->k + j));
            const double difference = (double)row[j] - want;

            if (!isfinite(want))
                continue;
            off += difference * difference;
            size += want * want;
        }
    }
    if (off <= size * 0.02 * 0.02)
        return IQT_OK;
    return iqt_fail(IQT_ERR_INTERNAL,
                    "weights of compute are %.2g %% off the reference's (times %g)",
                    100 * sqrt(off / size), gain);
}

static enum iqt_status check_decode(const struct iqt_golden_case *c, float *row)
{
    for (size_t r = 0; r < c->m; r++) {
        IQT_TRY(iqt_decode_row(c->format, c->q + r * c->row_bytes, c->k,
                               IQT_DECODE_REFERENCE, row));
        IQT_TRY(compare_row(c, r, row));
    }
    return check_compute(c, row);
}

void iqt_golden_decode(const struct iqt_golden_case *c, struct iqt_golden_tally *tally)
{
    float *row = malloc(c->k * sizeof *row);
    enum iqt_status status;

    if (row == NULL)
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a row of %zu weights", c->k);
    else
        status = check_decode(c, row);
    free(row);
    iqt_golden_note(tally, IQT_GOLDEN_DECODE, c->name, status);
}
