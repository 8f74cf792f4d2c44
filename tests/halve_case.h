/* Activations that try what makes float16 of them: ties, all sizes, zeros, what is not finite; and two judges of
 * the result, the exact model's bits and the bound that callers are promised. */
#ifndef IQT_TESTS_HALVE_CASE_H
#define IQT_TESTS_HALVE_CASE_H

#include "kernels/quantized.h"
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HALVE_COLS = 3, HALVE_K = 32 * 37, HALVE_COUNT = HALVE_COLS * HALVE_K };
enum { HALVE_BLOCKS = HALVE_COUNT / IQT_X_BLOCK };

struct halves {
    uint16_t h[HALVE_COUNT];
    struct iqt_xs s[HALVE_BLOCKS];
};

static inline float halve_case_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* 13 bits, of which every fourth number is halfway between two of 11; 0 to 33 powers below the largest. */
static inline float halve_case_number(int power)
{
    const float part = 1 + ldexpf((float)(check_rand() % 4096), -12);

    return ldexpf(check_rand() % 2 ? part : -part, power - (int)(check_rand() % 34));
}

static inline void halve_case_fill(float x[HALVE_COUNT])
{
    static const float odd[] = { 0.0f, -0.0f, 1e-40f, INFINITY, -INFINITY, NAN };

    for (uint32_t b = 0; b < HALVE_BLOCKS; b++) {
        const int power = (int)(check_rand() % 241) - 114;
        float *block = x + b * IQT_X_BLOCK;

        for (uint32_t i = 0; i < IQT_X_BLOCK; i++)
            block[i] = halve_case_number(power);
        block[check_rand() % IQT_X_BLOCK] = ldexpf(1, power);
        if (b % 8 == 1)
            block[check_rand() % IQT_X_BLOCK] = odd[check_rand() % IQT_COUNT(odd)];
        for (uint32_t i = 0; b % 8 == 2 && i < IQT_X_BLOCK; i++)
            block[i] = halve_case_bits(check_rand());
        for (uint32_t i = 0; b % 16 == 3 && i < IQT_X_BLOCK; i++)
            block[i] = odd[check_rand() % 3];
    }
}

/* Blocks that are not, bit for bit, the model's; a NaN is like any other. */
static inline size_t halve_case_differ(const float *x, const struct halves *got)
{
    struct halves *want = malloc(sizeof *want);
    size_t count = 0;

    if (want == NULL)
        abort();
    iqt_halve_ref(x, HALVE_COUNT, want->h, want->s);
    for (size_t b = 0; b < HALVE_BLOCKS; b++) {
        const bool scale = memcmp(&got->s[b], &want->s[b], sizeof got->s[b]) == 0 ||
                           (isnan(got->s[b].d) && isnan(want->s[b].d));

        count += !scale || memcmp(got->h + b * IQT_X_BLOCK, want->h + b * IQT_X_BLOCK,
                                  IQT_X_BLOCK * sizeof *got->h) != 0;
    }
    free(want);
    return count;
}

/* Numbers that are further away from x than 2^-11 |x| + 2^-28 of the largest of their 32. Blocks that are not
 * finite or whose largest is below 2^-98 promise nothing. */
static inline size_t halve_case_outside(const float *x, const struct halves *got)
{
    size_t count = 0;

    for (size_t i = 0; i < HALVE_COUNT; i++) {
        const size_t b = i / IQT_X_BLOCK;
        double most = 0;

        for (size_t j = b * IQT_X_BLOCK; j < (b + 1) * IQT_X_BLOCK; j++)
            most = isnan(x[j]) ? INFINITY : fmax(most, fabs((double)x[j]));
        if (isinf(most) || most < 0x1p-98)
            continue;
        const double seen = (double)got->s[b].d * (double)iqt_f16_to_f32(got->h[i]);
        const double apart = fabs(seen - (double)x[i]);

        count += !(apart <= 0x1p-11 * fabs((double)x[i]) + 0x1p-28 * most);
    }
    return count;
}

#endif
