/* Counts to the model's input. Activations are read once from memory, then from a cache. */
#include "stats/predict.h"

#include "kernels/quantized.h"

static uint32_t groups_unit(const struct iqt_stats *s, const struct iqt_plan *plan)
{
    const uint32_t wave = s->wave ? s->wave : 32;
    const uint32_t waves = (iqt_plan_threads(plan) + wave - 1) / wave;

    return s->occupancy.waves / waves;
}

void iqt_predict(const struct iqt_gpu *gpu, const struct iqt_stats *s, enum iqt_isa isa,
                 const struct iqt_plan *plan, const struct iqt_predict_product *p,
                 struct iqt_prediction *out)
{
    const double x = p->n * (double)p->k * (1.0 + sizeof(float) / (double)IQT_X_BLOCK);
    struct iqt_model_input in = {
        .bytes = p->weight_bytes + x + p->n * sizeof(float) * (double)p->m,
        .weights = (double)p->m * (double)p->k,
    };

    if (s != NULL && plan != NULL) {
        in.slots = iqt_stats_whole(s, isa, plan, p->k);
        in.groups = (double)((p->m + plan->rows_group - 1) / plan->rows_group);
        in.groups_unit = groups_unit(s, plan);
        in.iterations = iqt_stats_iterations(s, plan, p->k);
    }
    iqt_model_predict(gpu, &in, out);
}
