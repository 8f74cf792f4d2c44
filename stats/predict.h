/* From a counted kernel and a matrix to the cost model's input: where `iqtile stats` and `iqtile
 * predict` get the same numbers from. */
#ifndef IQT_STATS_PREDICT_H
#define IQT_STATS_PREDICT_H

#include "stats/stats.h"
#include "tuner/estimate.h"

/* stats and plan NULL: not counted, memory alone decides. */
void iqt_predict(const struct iqt_gpu *gpu, const struct iqt_stats *stats,
                 enum iqt_isa isa, const struct iqt_plan *plan,
                 const struct iqt_predict_product *product, struct iqt_prediction *out);

#endif
