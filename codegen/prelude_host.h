/* Prelude of the host dialect: 32 lanes of int8, spelled for AVX2 (with or without AVX-512 VNNI and
 * VBMI) and for portable C. Becomes the head of every emitted host text; pasted, not included. */
#include <math.h>
#include <stdint.h>
#include <string.h>

/* The launch contract of kernels/quantized.h. */
struct iqt_xs {
    float d;
    int16_t sum[2];
};
struct iqt_params {
    uint32_t rows, k, row0, row_bytes, w_base, gate_base, cols, y_stride, y_base, flags,
        act, skip;
    float limit;
};
struct iqt_x_more {
    int32_t *starts;
    float *dx[2], *sums[2];
};
struct iqt_host_args {
    const uint8_t *w, *gate;
    const void *xq;
    const struct iqt_xs *xs;
    struct iqt_x_more more;
    const float *bias, *gate_bias, *residual;
    float *y;
    struct iqt_params p;
};

#ifndef IQT_SUFFIX
#define IQT_SUFFIX
#endif
#define IQT_PASTE2(a, b) a##b
#define IQT_PASTE(a, b) IQT_PASTE2(a, b)
#define IQT_SYMBOL(name) IQT_PASTE(name, IQT_SUFFIX)
#define FN static inline __attribute__((always_inline, unused))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

FN void prefetch(const uint8_t *p)
{
    __builtin_prefetch(p, 0, 3);
}

FN uint32_t u8(const uint8_t *p)
{
    return *p;
}

FN uint32_t u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

FN uint32_t u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

FN float f32(const uint8_t *p)
{
    float v;
    memcpy(&v, p, sizeof(v));
    return v;
}

FN float bf16(const uint8_t *p)
{
    const uint32_t bits = u16(p) << 16;
    float v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

FN float gated(uint32_t act, float limit, float g, float u)
{
    if (act == 2) /* ReLU */
        return g > 0.0f ? g * u : 0.0f * u;
    if (act == 1) { /* GELU, tanh form written as a sigmoid */
        const float z = 1.5957691216f * g * (1.0f + 0.044715f * g * g);
        return g / (1.0f + expf(-z)) * u;
    }
    if (act == 3) { /* SwiGLU-OAI */
        g = g > limit ? limit : g;
        u = u > limit ? limit : u < -limit ? -limit : u;
        return g / (1.0f + expf(-1.702f * g)) * (u + 1.0f);
    }
    return g / (1.0f + expf(-g)) * u; /* SiLU */
}
