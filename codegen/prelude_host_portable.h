/* Vectors of the host dialect in portable C: loops over lanes. Pasted into every emitted host text
 * under #else. */
typedef struct {
    uint8_t b[32];
} v32;
typedef struct {
    int32_t i[8];
} v8i;
typedef struct {
    float f[8];
} v8f;
#define LANES(count, var) for (int var = 0; var < (count); var++)

FN float f16(const uint8_t *p)
{
    const uint32_t h = u16(p), exponent = h >> 10 & 31, fraction = h & 1023;
    float v = exponent == 0    ? ldexpf((float)fraction, -24)
              : exponent == 31 ? (fraction ? NAN : INFINITY)
                               : ldexpf((float)(fraction + 1024), (int)exponent - 25);
    return h >> 15 ? -v : v;
}

FN v32 load32(const uint8_t *p)
{
    v32 v;
    memcpy(v.b, p, 32);
    return v;
}

FN v32 load16_16(const uint8_t *a, const uint8_t *b)
{
    v32 v;
    memcpy(v.b, a, 16);
    memcpy(v.b + 16, b, 16);
    return v;
}

FN v32 load16(const uint8_t *p)
{
    return load16_16(p, p);
}

/* The top bits of a vector's eight elements of 16 bits. */
FN uint32_t tops(const uint8_t *p)
{
    uint32_t bits = 0;
    LANES(8, i) bits |= (uint32_t)p[2 * i + 1] >> 7 << i;
    return bits;
}

FN v32 field(v32 x, int a, int b, int mask, int to)
{
    LANES(16, i) x.b[i] = (uint8_t)((x.b[i] >> a & mask) << to);
    LANES(16, i) x.b[i + 16] = (uint8_t)((x.b[i + 16] >> b & mask) << to);
    return x;
}

FN v32 either(v32 a, v32 b)
{
    LANES(32, i) a.b[i] |= b.b[i];
    return a;
}

FN v32 degray(v32 w)
{
    LANES(16, i)
    {
        const uint32_t v = (w.b[2 * i] | (uint32_t)w.b[2 * i + 1] << 8) & 0xfffe;
        const uint32_t t = v ^ v >> 1;
        w.b[2 * i] = (uint8_t)t;
        w.b[2 * i + 1] = (uint8_t)(t >> 8);
    }
    return w;
}

FN v32 add_halves(v32 v, int a, int b)
{
    LANES(16, i) v.b[i] = (uint8_t)(v.b[i] + a);
    LANES(16, i) v.b[i + 16] = (uint8_t)(v.b[i + 16] + b);
    return v;
}

FN v32 lut16_16(v32 codes, const int8_t *a, const int8_t *b)
{
    LANES(16, i) codes.b[i] = (uint8_t)a[codes.b[i]];
    LANES(16, i) codes.b[i + 16] = (uint8_t)b[codes.b[i + 16]];
    return codes;
}

FN v32 lut16(v32 codes, const int8_t *t)
{
    return lut16_16(codes, t, t);
}

FN v32 lut32(v32 codes, const int8_t *t)
{
    return lut16_16(codes, t, t);
}

FN v32 lut64(v32 codes, const int8_t *t)
{
    return lut16_16(codes, t, t);
}

FN v32 lut_pairs(v32 codes, const int8_t *even, const int8_t *odd)
{
    v32 v;
    LANES(16, i)
    {
        v.b[2 * i] = (uint8_t)even[codes.b[i]];
        v.b[2 * i + 1] = (uint8_t)odd[codes.b[i]];
    }
    return v;
}

FN v8f add_f(v8f a, v8f b)
{
    LANES(8, i) a.f[i] += b.f[i];
    return a;
}

FN v8i dot(v32 v, v32 x)
{
    v8i s = { { 0 } };
    LANES(32, i) s.i[i / 4] += (int8_t)v.b[i] * (int8_t)x.b[i];
    return s;
}

FN v8f set_f(float a)
{
    v8f v;
    LANES(8, i) v.f[i] = a;
    return v;
}

FN v8f zero_f(void)
{
    return set_f(0.0f);
}

FN v8f halves_f(float a, float b)
{
    v8f v;
    LANES(8, i) v.f[i] = i < 4 ? a : b;
    return v;
}

FN v8f mul_f(v8f a, v8f b)
{
    LANES(8, i) a.f[i] *= b.f[i];
    return a;
}

FN v8f fma_f(v8f a, v8f b, v8f sum)
{
    LANES(8, i) sum.f[i] += a.f[i] * b.f[i];
    return sum;
}

FN v8f fma_i(v8f factor, v8i i, v8f sum)
{
    v8f f;
    LANES(8, j) f.f[j] = (float)i.i[j];
    return fma_f(factor, f, sum);
}

FN v8f load_f32(const uint8_t *a, const uint8_t *b)
{
    v8f v;
    memcpy(v.f, a, 16);
    memcpy(v.f + 4, b, 16);
    return v;
}

FN v8f load_f16(const uint8_t *a, const uint8_t *b)
{
    v8f v;
    LANES(4, i) v.f[i] = f16(a + 2 * i);
    LANES(4, i) v.f[i + 4] = f16(b + 2 * i);
    return v;
}

FN v8f load_bf16(const uint8_t *a, const uint8_t *b)
{
    v8f v;
    LANES(4, i) v.f[i] = bf16(a + 2 * i);
    LANES(4, i) v.f[i + 4] = bf16(b + 2 * i);
    return v;
}

FN float sum_f(v8f v)
{
    LANES(4, i) v.f[i] += v.f[i + 4];
    return (v.f[0] + v.f[2]) + (v.f[1] + v.f[3]);
}

FN v32 trellis(const uint32_t *seed, int group, const uint32_t *power, uint32_t mask,
               int centre)
{
    v32 v;
    LANES(32, i)
    {
        const uint32_t m = seed[i / group] * power[i % 8] & mask;
        const uint32_t s = (m & 255) + (m >> 8 & 255) + (m >> 16 & 255) + (m >> 24);
        v.b[i] = (uint8_t)((int)s - centre);
    }
    return v;
}

FN v32 magnitude(v32 v, v32 sign)
{
    LANES(32, i)
    {
        const int a = (int8_t)v.b[i] < 0 ? -(int8_t)v.b[i] : (int8_t)v.b[i];
        v.b[i] = (uint8_t)(sign.b[i] ? -a : a);
    }
    return v;
}

FN v32 add_bytes(v32 v, int a)
{
    return add_halves(v, a, a);
}

FN v32 xor_bytes(v32 v, int a)
{
    LANES(32, i) v.b[i] ^= (uint8_t)a;
    return v;
}
