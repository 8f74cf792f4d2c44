/* Vectors of the host dialect in portable C: loops over lanes. Pasted into every emitted host text
 * under #else. */
typedef struct {
    uint8_t b[32];
} vbytes;
typedef struct {
    int32_t i[8];
} vints;
typedef struct {
    float f[8];
} vfloats;
typedef vints vlevels; /* a lane for each block */
typedef vfloats vscales;
#define levels lanes
#define set_levels set_i
#define or_levels or_i
#define bytes_levels bytes_i
#define load_levels load_i
#define set_scales set_f
#define mul_scales mul_f
#define add_scaled fma_f
#define BIAS 0
#define T(v) (v)
#define LANES(count, var) for (int var = 0; var < (count); var++)

FN float f16(const uint8_t *p)
{
    const uint32_t h = u16(p), exponent = h >> 10 & 31, fraction = h & 1023;
    float v = exponent == 0    ? ldexpf((float)fraction, -24)
              : exponent == 31 ? (fraction ? NAN : INFINITY)
                               : ldexpf((float)(fraction + 1024), (int)exponent - 25);
    return h >> 15 ? -v : v;
}

FN vbytes load32(const uint8_t *p)
{
    vbytes v;
    memcpy(v.b, p, 32);
    return v;
}

FN vbytes load16_16(const uint8_t *a, const uint8_t *b)
{
    vbytes v;
    memcpy(v.b, a, 16);
    memcpy(v.b + 16, b, 16);
    return v;
}

FN vbytes load16(const uint8_t *p)
{
    return load16_16(p, p);
}

FN vbytes field(vbytes x, int a, int b, int mask, int to)
{
    LANES(16, i) x.b[i] = (uint8_t)((x.b[i] >> a & mask) << to);
    LANES(16, i) x.b[i + 16] = (uint8_t)((x.b[i + 16] >> b & mask) << to);
    return x;
}

FN vbytes either(vbytes a, vbytes b)
{
    LANES(32, i) a.b[i] |= b.b[i];
    return a;
}

FN vbytes degray(vbytes w)
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

FN vbytes lut16(vbytes codes, const int8_t *t)
{
    LANES(32, i) codes.b[i] = (uint8_t)t[codes.b[i]];
    return codes;
}

FN vbytes lut32(vbytes codes, const int8_t *t)
{
    return lut16(codes, t);
}

FN vbytes lut64(vbytes codes, const int8_t *t)
{
    return lut16(codes, t);
}

FN vbytes lut_pairs(vbytes codes, const int8_t *even, const int8_t *odd)
{
    vbytes v;
    LANES(16, i)
    {
        v.b[2 * i] = (uint8_t)even[codes.b[i]];
        v.b[2 * i + 1] = (uint8_t)odd[codes.b[i]];
    }
    return v;
}

FN vfloats add_f(vfloats a, vfloats b)
{
    LANES(8, i) a.f[i] += b.f[i];
    return a;
}

FN uint32_t word_bits(const uint8_t *p, int bit)
{
    uint32_t bits = 0;
    LANES(8, i) bits |= (u16(p + 2 * i) >> bit & 1) << i;
    return bits;
}

FN vints start(const int32_t *starts)
{
    const vints zero = { { 0 } };
    (void)starts;
    return zero;
}

FN vints dot(vbytes v, vbytes x, vints s)
{
    LANES(32, i) s.i[i / 4] += (int8_t)v.b[i] * (int8_t)x.b[i];
    return s;
}

FN vints start_many(vbytes v)
{
    (void)v;
    return start(NULL);
}

FN vints dot_many(vbytes v, vbytes x, vints from)
{
    return dot(v, x, from);
}

FN vfloats set_f(float a)
{
    vfloats v;
    LANES(8, i) v.f[i] = a;
    return v;
}

FN vfloats zero_f(void)
{
    return set_f(0.0f);
}

FN vints lanes(vbytes in, const uint32_t *from, const uint32_t *by, int mask, int to)
{
    vints v;
    LANES(8, i)
    {
        const uint8_t *p = in.b + i / 4 * 16;
        const uint32_t low = from[i] & 0x80 ? 0 : p[from[i] & 15];
        const uint32_t high = from[i] >> 8 & 0x80 ? 0 : p[from[i] >> 8 & 15];
        v.i[i] = (int32_t)(((low | high << 8) >> by[i] & (uint32_t)mask) << to);
    }
    return v;
}

FN vints bytes_i(const uint64_t lane[2])
{
    vints v;
    LANES(8, i) v.i[i] = (int32_t)(lane[0] >> i * 8 & 255);
    return v;
}

FN vints load_i(const uint32_t *p)
{
    vints v;
    memcpy(v.i, p, sizeof(v));
    return v;
}

FN vints set_i(int a)
{
    vints v;
    LANES(8, i) v.i[i] = a;
    return v;
}

FN vints or_i(vints a, vints b)
{
    LANES(8, i) a.i[i] |= b.i[i];
    return a;
}

FN vlevels signed_levels(vints v, int half)
{
    LANES(8, i) v.i[i] = (v.i[i] ^ half) - half;
    return v;
}

FN vlevels affine_levels(vints v, int mul, int add)
{
    LANES(8, i) v.i[i] = v.i[i] * mul + add;
    return v;
}

FN vlevels table_levels(vints v, const int8_t *t)
{
    LANES(8, i) v.i[i] = t[v.i[i]];
    return v;
}

FN vlevels negate_levels(vints v, vints negative)
{
    LANES(8, i) v.i[i] = negative.i[i] ? -v.i[i] : v.i[i];
    return v;
}

FN vscales scaled(float d, vints v)
{
    vfloats f;
    LANES(8, i) f.f[i] = d * (float)v.i[i];
    return f;
}

FN vscales times_if(vfloats f, float factor, vints lane)
{
    LANES(8, i) f.f[i] = lane.i[i] ? f.f[i] * factor : 0.0f;
    return f;
}

FN vscales load_scales(const float *p)
{
    vscales v;
    memcpy(v.f, p, sizeof(v));
    return v;
}

/* Of one block of x: its scale, and that times the sum, in the first lane. */
FN vscales first_lane(float a)
{
    const vscales v = { { a } };
    return v;
}

FN vscales first_dx(const struct iqt_xs *xs)
{
    return first_lane(xs->d);
}

FN vscales first_sums(const struct iqt_xs *xs)
{
    return first_lane(xs->d * (float)(xs->sum[0] + xs->sum[1]));
}

FN vfloats load_dx(const struct iqt_xs *xs)
{
    return set_f(xs->d);
}

FN vfloats spread(vfloats v, int a, int b)
{
    vfloats s;
    LANES(8, i) s.f[i] = v.f[i < 4 ? a : b];
    return s;
}

FN vfloats mul_f(vfloats a, vfloats b)
{
    LANES(8, i) a.f[i] *= b.f[i];
    return a;
}

FN vfloats fma_f(vfloats a, vfloats b, vfloats sum)
{
    LANES(8, i) sum.f[i] += a.f[i] * b.f[i];
    return sum;
}

FN vfloats fma_i(vfloats factor, vints i, vfloats sum)
{
    vfloats f;
    LANES(8, j) f.f[j] = (float)i.i[j];
    return fma_f(factor, f, sum);
}

FN vfloats load_f32(const uint8_t *a, const uint8_t *b)
{
    vfloats v;
    memcpy(v.f, a, 16);
    memcpy(v.f + 4, b, 16);
    return v;
}

FN vfloats load_f16(const uint8_t *a, const uint8_t *b)
{
    vfloats v;
    LANES(4, i) v.f[i] = f16(a + 2 * i);
    LANES(4, i) v.f[i + 4] = f16(b + 2 * i);
    return v;
}

FN vfloats load_bf16(const uint8_t *a, const uint8_t *b)
{
    vfloats v;
    LANES(4, i) v.f[i] = bf16(a + 2 * i);
    LANES(4, i) v.f[i + 4] = bf16(b + 2 * i);
    return v;
}

FN float sum_f(vfloats v)
{
    LANES(4, i) v.f[i] += v.f[i + 4];
    return (v.f[0] + v.f[2]) + (v.f[1] + v.f[3]);
}

FN vbytes trellis(const uint32_t *seed, int group, const uint32_t *power, uint32_t mask,
                  int centre)
{
    vbytes v;
    LANES(32, i)
    {
        const uint32_t m = seed[i / group] * power[i % 8] & mask;
        const uint32_t s = (m & 255) + (m >> 8 & 255) + (m >> 16 & 255) + (m >> 24);
        v.b[i] = (uint8_t)((int)s - centre);
    }
    return v;
}

FN vbytes magnitude(vbytes v, vbytes sign)
{
    LANES(32, i)
    {
        const int a = (int8_t)v.b[i] < 0 ? -(int8_t)v.b[i] : (int8_t)v.b[i];
        v.b[i] = (uint8_t)(sign.b[i] ? -a : a);
    }
    return v;
}

FN vbytes add_bytes(vbytes v, int a)
{
    LANES(32, i) v.b[i] = (uint8_t)(v.b[i] + a);
    return v;
}

FN vbytes xor_bytes(vbytes v, int a)
{
    LANES(32, i) v.b[i] ^= (uint8_t)a;
    return v;
}
