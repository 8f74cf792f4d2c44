/* The cost model. Its formulas stand in model.h. */
#include "tuner/model.h"

#include <math.h>

const char *iqt_model_limit_name(enum iqt_model_limit limit)
{
    static const char *const names[IQT_MODEL_LIMITS] = {
        [IQT_MODEL_MEMORY] = "memory",
        [IQT_MODEL_ISSUE] = "issue",
        [IQT_MODEL_LATENCY] = "latency",
        [IQT_MODEL_LAUNCH] = "launch",
    };

    return names[limit];
}

static enum iqt_model_limit longest(const double us[IQT_MODEL_LIMITS])
{
    enum iqt_model_limit most = IQT_MODEL_MEMORY;

    for (int l = 0; l < IQT_MODEL_LIMITS; l++)
        if (us[l] > us[most])
            most = (enum iqt_model_limit)l;
    return most;
}

/* Microseconds of a round of so many groups, by each limit. */
static void round_us(const struct iqt_gpu *gpu, const struct iqt_model_input *in,
                     double groups, double us[IQT_MODEL_LIMITS])
{
    const struct iqt_gpu_kind_facts *kind = &iqt_gpu_kinds[gpu->kind];
    const double bytes = in->bytes / in->groups * groups;
    const double slots = in->slots * in->weights / in->groups * ceil(groups / gpu->units);

    us[IQT_MODEL_MEMORY] = bytes / (gpu->gb_per_s * kind->efficiency * 1e3);
    us[IQT_MODEL_ISSUE] = slots / (gpu->lanes * gpu->clock_ghz * 1e3);
    us[IQT_MODEL_LATENCY] = in->iterations * kind->latency_ns * 1e-3;
    us[IQT_MODEL_LAUNCH] = 0;
}

struct sum {
    double alone[IQT_MODEL_LIMITS]; /* if nothing else took time */
    double spent[IQT_MODEL_LIMITS]; /* rounds, by what limits them */
};

static void add_rounds(const struct iqt_gpu *gpu, const struct iqt_model_input *in,
                       double groups, double times, struct sum *to)
{
    double us[IQT_MODEL_LIMITS];

    if (groups <= 0 || times <= 0)
        return;
    round_us(gpu, in, groups, us);
    to->spent[longest(us)] += times * us[longest(us)];
    for (int l = 0; l < IQT_MODEL_LIMITS; l++)
        to->alone[l] += times * us[l];
}

static void add_flight(const struct iqt_gpu *gpu, const struct iqt_model_input *in,
                       double groups_unit, struct iqt_prediction *p)
{
    const struct iqt_gpu_kind_facts *kind = &iqt_gpu_kinds[gpu->kind];
    const double resident = fmin(groups_unit, ceil(in->groups / gpu->units));

    p->flight = in->bytes / in->groups * resident / in->iterations;
    p->flight_needed =
        gpu->gb_per_s * kind->efficiency * kind->latency_ns / (double)gpu->units;
}

void iqt_model_predict(const struct iqt_gpu *gpu, const struct iqt_model_input *in,
                       struct iqt_prediction *out)
{
    const bool counted = in->slots > 0 && in->groups > 0 && in->iterations > 0;
    const struct iqt_model_input whole = { .bytes = in->bytes, .groups = 1 };
    const double groups_unit = fmax(1, floor(in->groups_unit));
    const double resident = gpu->units * groups_unit;
    const double full = counted ? floor(in->groups / resident) : 0;
    struct iqt_prediction p = { 0 };
    struct sum sum = { 0 };

    if (counted) {
        add_rounds(gpu, in, resident, full, &sum);
        add_rounds(gpu, in, in->groups - full * resident, 1, &sum);
        add_flight(gpu, in, groups_unit, &p);
    } else {
        add_rounds(gpu, &whole, 1, 1, &sum);
    }
    sum.alone[IQT_MODEL_LAUNCH] = sum.spent[IQT_MODEL_LAUNCH] =
        iqt_gpu_kinds[gpu->kind].launch_us;
    for (int l = 0; l < IQT_MODEL_LIMITS; l++) {
        p.us += sum.spent[l];
        p.part_us[l] = sum.alone[l];
    }
    p.limit = longest(sum.spent);
    p.gb_per_s = in->bytes / (p.us * 1e3);
    *out = p;
}
