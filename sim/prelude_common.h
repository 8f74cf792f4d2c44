/* In front of every kernel text: the table of the machine, vectors of bytes, call-backs. */
extern "C" __attribute__((visibility("default"))) SimRuntime *sim_rt;
SimRuntime *sim_rt;
extern "C" char __start_sim_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_sim_shared[] __attribute__((weak, visibility("hidden")));

#define SIM static inline __attribute__((unused))
/* A primitive runs. */
#ifdef SIM_COUNTED
static void __attribute__((unused, noinline, no_sanitize("thread", "undefined")))
sim_primitive(int number)
{
    sim_rt->primitive[number]++;
}
#define SIM_DOES(what) sim_primitive(SIM_##what)
enum {
    SIM_DOT4,
    SIM_PERM,
    SIM_MUL,
    SIM_FMA,
    SIM_FMA_HALF,
    SIM_LOGIC,
    SIM_FUNNEL,
    SIM_CONVERT,
    SIM_SHUFFLE,
    SIM_BARRIER
};
#else
#define SIM_DOES(what) ((void)0)
#endif
SIM int sim_dp4a(unsigned a, unsigned b, int c)
{
    unsigned sum = (unsigned)c;
    SIM_DOES(DOT4);
    for (int i = 0; i < 32; i += 8)
        sum += (unsigned)((int)(signed char)(a >> i) * (int)(signed char)(b >> i));
    return (int)sum;
}
SIM unsigned sim_dp4a_u(unsigned a, unsigned b, unsigned c)
{
    SIM_DOES(DOT4);
    for (int i = 0; i < 32; i += 8)
        c += (a >> i & 255u) * (b >> i & 255u);
    return c;
}
/* Bits [by, by + 32) of high:low. */
SIM unsigned sim_funnel(unsigned high, unsigned low, unsigned by)
{
    SIM_DOES(FUNNEL);
    return (unsigned)(((unsigned long long)high << 32 | low) >> (by & 31u));
}
SIM float sim_half(unsigned short bits)
{
    const unsigned sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31u,
                   rest = bits & 1023u;
    if (exponent == 0) /* zero or subnormal */
        return (sign ? -0x1p-24f : 0x1p-24f) * (float)rest;
    return __builtin_bit_cast(
        float, sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | rest << 13);
}
/* Not every compiler for CPUs has the type. */
struct SimHalf {
    unsigned short bits;
    operator float() const
    {
        SIM_DOES(CONVERT);
        return sim_half(bits);
    }
};
#define _Float16 SimHalf
/* Rounded to the nearest half, ties to even. */
SIM unsigned sim_to_half(double v)
{
    const unsigned sign = __builtin_signbit(v) ? 0x8000u : 0u;
    double size = __builtin_fabs(v);
    int exponent = -14; /* of the smallest normal half, and of subnormals */
    if (!(size < 65520.0))
        return sign | (size != size ? 0x7e00u : 0x7c00u);
    while (exponent < 15 && size >= __builtin_ldexp(2.0, exponent))
        exponent++;
    size = __builtin_rint(__builtin_ldexp(size, 10 - exponent));
    return sign | (((unsigned)(exponent + 14) << 10) + (unsigned)size);
}
/* Products and sums of halves are exact in double unless they are far apart; then the first rounding
 * cannot change the second. */
SIM unsigned sim_fma_half2(unsigned a, unsigned b, unsigned c)
{
    unsigned d = 0;
    SIM_DOES(FMA_HALF);
    for (int i = 0; i < 32; i += 16)
        d |= sim_to_half(__builtin_fma((double)sim_half((unsigned short)(a >> i)),
                                       (double)sim_half((unsigned short)(b >> i)),
                                       (double)sim_half((unsigned short)(c >> i))))
             << i;
    return d;
}
template <class T> SIM unsigned long long sim_bits(T value)
{
    unsigned long long bits = 0;
    static_assert(sizeof(T) <= 8, "shuffles move up to 8 bytes");
    __builtin_memcpy(&bits, &value, sizeof value);
    return bits;
}
template <class T> SIM T sim_value(unsigned long long bits)
{
    T value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}
SIM unsigned sim_flat()
{
    return sim_rt->thread.x +
           sim_rt->threads.x * (sim_rt->thread.y + sim_rt->threads.y * sim_rt->thread.z);
}
SIM int sim_lane()
{
    return (int)(sim_flat() % sim_rt->warp);
}

/* ---- The table of kernels ---- */
struct SimEntry {
    const char *name;
    void (*call)(void *kernel, void *const *arguments);
    void *kernel;
    unsigned max_threads, count;
    unsigned short bytes[32];
};
/* The numbers 0, 1, .. as template arguments; <utility> has them, too, and doubles a compilation. */
template <unsigned... I> struct SimNumbers {
};
template <unsigned N, unsigned... I> struct SimCount : SimCount<N - 1, N - 1, I...> {
};
template <unsigned... I> struct SimCount<0, I...> {
    using Numbers = SimNumbers<I...>;
};
template <class... A, unsigned... I>
static void sim_invoke(void (*kernel)(A...), void *const *a, SimNumbers<I...>)
{
    kernel(*(A *)a[I]...);
}
template <class... A> struct SimCall {
    static void call(void *kernel, void *const *a)
    {
        sim_invoke((void (*)(A...))kernel, a, typename SimCount<sizeof...(A)>::Numbers());
    }
};
template <class... A>
static SimEntry sim_entry(const char *name, void (*kernel)(A...), unsigned max_threads)
{
    return { name,        SimCall<A...>::call, (void *)kernel,
             max_threads, sizeof...(A),        { sizeof(A)... } };
}

/* Before the machine gives its table, the object sets up its own: nothing to watch. */
#ifdef SIM_CHECKED
extern "C" {
#define SIM_QUIET \
    __attribute__((no_sanitize("thread", "undefined"), used, visibility("hidden")))
#define SIM_ACCESS(n)                                                 \
    SIM_QUIET void __tsan_read##n(void *p)                            \
    {                                                                 \
        if (sim_rt)                                                   \
            sim_rt->access(p, n, false, __builtin_return_address(0)); \
    }                                                                 \
    SIM_QUIET void __tsan_write##n(void *p)                           \
    {                                                                 \
        if (sim_rt)                                                   \
            sim_rt->access(p, n, true, __builtin_return_address(0));  \
    }                                                                 \
    SIM_QUIET void __tsan_unaligned_read##n(void *p)                  \
    {                                                                 \
        if (sim_rt)                                                   \
            sim_rt->access(p, n, false, __builtin_return_address(0)); \
    }                                                                 \
    SIM_QUIET void __tsan_unaligned_write##n(void *p)                 \
    {                                                                 \
        if (sim_rt)                                                   \
            sim_rt->access(p, n, true, __builtin_return_address(0));  \
    }
SIM_ACCESS(1);
SIM_ACCESS(2);
SIM_ACCESS(4);
SIM_ACCESS(8);
SIM_ACCESS(16);
/* Under other names: compilers know these functions, each with other parameters. */
SIM_QUIET void sim_read_range(void *p, long n) __asm__("__tsan_read_range");
SIM_QUIET void sim_write_range(void *p, long n) __asm__("__tsan_write_range");
SIM_QUIET void sim_func_entry(void *) __asm__("__tsan_func_entry");
SIM_QUIET void sim_func_exit(void *) __asm__("__tsan_func_exit");
SIM_QUIET void sim_init() __asm__("__tsan_init");
SIM_QUIET void sim_read_range(void *p, long n)
{
    if (sim_rt)
        sim_rt->access(p, (unsigned)n, false, __builtin_return_address(0));
}
SIM_QUIET void sim_write_range(void *p, long n)
{
    if (sim_rt)
        sim_rt->access(p, (unsigned)n, true, __builtin_return_address(0));
}
SIM_QUIET void sim_func_entry(void *)
{
}
SIM_QUIET void sim_func_exit(void *)
{
}
SIM_QUIET void sim_init()
{
}
#define SIM_UB(name, ...)                                            \
    SIM_QUIET void __ubsan_handle_##name(void *where, ##__VA_ARGS__) \
    {                                                                \
        if (sim_rt)                                                  \
            sim_rt->undefined(#name, where);                         \
    }
SIM_UB(shift_out_of_bounds, void *, void *);
SIM_UB(out_of_bounds, void *);
SIM_UB(add_overflow, void *, void *);
SIM_UB(sub_overflow, void *, void *);
SIM_UB(mul_overflow, void *, void *);
SIM_UB(negate_overflow, void *);
SIM_UB(divrem_overflow, void *, void *);
SIM_UB(type_mismatch_v1, void *);
SIM_UB(load_invalid_value, void *);
SIM_UB(pointer_overflow, void *, void *);
SIM_UB(float_cast_overflow, void *);
}
#endif
