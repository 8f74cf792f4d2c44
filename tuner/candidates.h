/* The plans that take part in a job, in the order of the cost estimate. */
#ifndef IQT_TUNER_CANDIDATES_H
#define IQT_TUNER_CANDIDATES_H

#include "tuner/timing.h"

enum { IQT_MOST_CANDIDATES = 4096 }; /* of a layout, besides the default */

/* For each wanted layout the default plan and the `most` best estimates; ranks of the layouts
 * alternate, so that time running out hits both alike. *out is malloc'ed (caller frees). */
IQT_MUST_USE enum iqt_status iqt_candidates(const struct iqt_tune_options *options,
                                            const struct iqt_tune_job *job,
                                            const bool wanted[IQT_LAYOUTS], size_t most,
                                            struct iqt_entrant **out, size_t *count);
/* The estimate's winner among all legal plans of the layout. */
IQT_MUST_USE enum iqt_status iqt_candidates_estimate(
    const struct iqt_tune_options *options, const struct iqt_tune_job *job,
    enum iqt_layout layout, struct iqt_plan *out);

#endif
