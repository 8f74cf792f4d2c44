/* The activation quantizer of the CPU: the bits of iqt_quantize_ref(), as loops over 32 that
 * compilers turn into vectors. */
#include "runtime/cpu.h"

#include <string.h>

/* Adding 1.5 * 2^23 leaves no room for fraction bits: the sum's low byte is the nearest integer,
 * ties to even, for |v| < 2^22. */
static const float round_magic = 12582912.0f;

static uint32_t bits_of(float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* Largest |x| by its bits: unlike a float maximum it keeps a NaN. */
static uint32_t largest_bits(const float *x)
{
    uint32_t most = 0;

    for (size_t i = 0; i < IQT_X_BLOCK; i++) {
        const uint32_t bits = bits_of(x[i]) & 0x7fffffffu;

        most = bits > most ? bits : most;
    }
    return most;
}

static int32_t round_half(const float *x, float inverse, int8_t *q)
{
    int32_t sum = 0;

    for (size_t i = 0; i < IQT_X_BLOCK / 2; i++) {
        const float shifted = x[i] * inverse + round_magic;
        const int32_t value = (int32_t)(bits_of(shifted) - bits_of(round_magic));

        q[i] = (int8_t)value;
        sum += value;
    }
    return sum;
}

static void quantize_block(const float *x, int8_t *q, struct iqt_xs *s)
{
    const uint32_t bits = largest_bits(x);
    float amax;

    memcpy(&amax, &bits, sizeof amax);
    *s = (struct iqt_xs){ .d = amax * (1.0f / 127.0f) };
    if (amax < 1e-30f || bits >= 0x7f800000u) {
        memset(q, 0, IQT_X_BLOCK);
        if (amax < 1e-30f)
            s->d = 0;
        return;
    }
    s->sum[0] = (int16_t)round_half(x, 127.0f / amax, q);
    s->sum[1] = (int16_t)round_half(x + 16, 127.0f / amax, q + 16);
}

/* Block number i. */
static void add_more(const int8_t *q, const struct iqt_xs *s, const struct iqt_x_more *m,
                     size_t i)
{
    for (size_t n = 0; n < IQT_X_STARTS; n++, q += 4)
        m->starts[IQT_X_STARTS * i + n] = IQT_X_START * (q[0] + q[1] + q[2] + q[3]);
    for (size_t half = 0; half < 2; half++) {
        m->dx[0][2 * i + half] = s->d;
        m->sums[0][2 * i + half] = s->d * s->sum[half];
    }
    m->dx[1][i] = s->d;
    m->sums[1][i] = s->d * (float)(s->sum[0] + s->sum[1]);
}

struct job {
    const float *x;
    size_t x_stride, blocks; /* blocks of a vector */
    int8_t *q;
    struct iqt_xs *s;
    struct iqt_x_more more;
};

static void quantize_slice(void *user, size_t begin, size_t count)
{
    const struct job *j = user;

    for (size_t i = begin; i < begin + count; i++) {
        quantize_block(j->x + i / j->blocks * j->x_stride + i % j->blocks * IQT_X_BLOCK,
                       j->q + i * IQT_X_BLOCK, j->s + i);
        add_more(j->q + i * IQT_X_BLOCK, j->s + i, &j->more, i);
    }
}

void iqt_cpu_quantize(struct iqt_pool *pool, const float *x, size_t x_stride, size_t k,
                      uint32_t cols, int8_t *q, struct iqt_xs *s)
{
    struct job job = {
        .x = x, .x_stride = x_stride, .blocks = k / IQT_X_BLOCK, .q = q, .s = s
    };

    job.more = iqt_x_more_of(s, job.blocks * cols);
    iqt_pool_run(pool, quantize_slice, &job, job.blocks * cols, 64);
}
