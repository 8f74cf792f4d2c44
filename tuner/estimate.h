/* What the cost model makes of a plan that nobody has compiled: the terms of model.h from the plan's
 * parameters and a table of slots. `iqtile predict` and `iqtile stats` fill the same terms from machine
 * code; tests hold the two together. Knows no device. */
#ifndef IQT_TUNER_ESTIMATE_H
#define IQT_TUNER_ESTIMATE_H

#include "kernels/plan.h"
#include "tuner/model.h"

/* A product of n columns with m rows of k weights, which are weight_bytes in memory. */
struct iqt_predict_product {
    uint64_t m, k;
    uint32_t n;
    double weight_bytes;
};

/* Bytes, weights and workgroups (plan NULL: unknown): what needs no machine code. Activations are read
 * once from memory, then from a cache. */
void iqt_estimate_product(const struct iqt_plan *plan,
                          const struct iqt_predict_product *product,
                          struct iqt_model_input *in);

/* Slots (NVIDIA) or cycles (others) of a weight in the hot loop, as `iqtile stats` counts them for the target, which
 * says the generation of the matrix units. */
double iqt_estimate_slots(enum iqt_gpu_kind kind, const char *target,
                          const struct iqt_plan *plan);

void iqt_estimate(const struct iqt_gpu *gpu, const struct iqt_plan *plan,
                  const struct iqt_predict_product *product, struct iqt_prediction *out);

#endif
