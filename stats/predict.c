/* Counts to the model's input. */
#include "stats/predict.h"

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
    struct iqt_model_input in;

    iqt_estimate_product(plan, p, &in);
    if (s != NULL && plan != NULL) {
        in.slots = iqt_stats_whole(s, isa, plan, p->k);
        in.groups_unit = groups_unit(s, plan);
        in.iterations = iqt_stats_iterations(s, plan, p->k);
    }
    iqt_model_predict(gpu, &in, out);
}
