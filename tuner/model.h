/* How long one product takes on a GPU that need not be here, and what limits it: a prediction.
 *
 * A launch is `groups` equal workgroups, of which R = units x groups_unit run at a time: floor(groups
 * / R) full rounds and a last one of the rest, the tail. A round of g groups takes the longest of
 *
 *     memory   g / groups x bytes / (bandwidth x efficiency)
 *     issue    ceil(g / units) x slots x weights / groups / (lanes x clock)
 *     latency  iterations x latency
 *
 * and the whole is the sum of the rounds plus one launch. Bandwidth, lanes, clock: the table of GPUs;
 * efficiency, latency, launch: its assumptions. `latency` is Little's law: a thread has the loads of
 * one iteration in flight, so a unit has bytes / groups x groups_unit / iterations, and needs
 * bandwidth x efficiency x latency / units to keep memory busy.
 *
 * Assumed: the limits overlap perfectly; nothing of the weights is in a cache, everything else is; a
 * unit's schedulers are never idle while a wave is ready; no limit on outstanding requests but
 * occupancy; clocks hold. So it errs on the fast side. Pure: knows no plan and no machine code. */
#ifndef IQT_TUNER_MODEL_H
#define IQT_TUNER_MODEL_H

#include "tuner/gpu_table.h"

enum iqt_model_limit {
    IQT_MODEL_MEMORY,
    IQT_MODEL_ISSUE,
    IQT_MODEL_LATENCY,
    IQT_MODEL_LAUNCH,
    IQT_MODEL_LIMITS,
};
const char *iqt_model_limit_name(enum iqt_model_limit limit);

struct iqt_model_input {
    double bytes; /* that must come from or go to memory: weights, activations, results */
    double weights;
    double
        slots; /* of a weight, the whole kernel's; 0: not counted, memory alone decides */
    double groups; /* workgroups of the launch */
    double
        groups_unit;   /* that fit a unit at a time: occupancy; less than 1 counts as 1 */
    double iterations; /* of a thread's loop, each with its loads in flight together */
};

struct iqt_prediction {
    double us;
    double part_us[IQT_MODEL_LIMITS]; /* what each would take alone */
    enum iqt_model_limit limit;       /* the one that most of the time is spent on */
    double gb_per_s;                  /* bytes / us */
    double flight, flight_needed;     /* bytes of a unit in flight; 0: not counted */
};

void iqt_model_predict(const struct iqt_gpu *gpu, const struct iqt_model_input *in,
                       struct iqt_prediction *out);

#endif
