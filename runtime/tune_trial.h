/* Runs single plans on an opened device: right or wrong, and how long. What is a plan's own
 * fault comes back as a verdict with its sentence in iqt_last_error(); a status other than
 * IQT_OK says that nothing more can be tried here. Knows nothing of searching. */
#ifndef IQT_RUNTIME_TUNE_TRIAL_H
#define IQT_RUNTIME_TUNE_TRIAL_H

#include "tuner/tuner.h"
#include "runtime/runtime.h"

struct iqt_trial;

/* The device must outlive the trial. */
IQT_MUST_USE enum iqt_status iqt_trial_create(struct iqt_device *dev,
                                              struct iqt_trial **out);
void iqt_trial_destroy(struct iqt_trial *t); /* NULL is allowed */

/* The job and its m rows of GGUF bytes, borrowed until the next load or destroy. */
IQT_MUST_USE enum iqt_status iqt_trial_load(struct iqt_trial *t,
                                            const struct iqt_tune_job *job,
                                            const void *weights);
/* Compares with the exact model: first and last rows of the whole matrix, then a matrix of a
 * prime number of rows with every number of columns 1 .. n. Results lie between NaN guards. */
IQT_MUST_USE enum iqt_status iqt_trial_verify(struct iqt_trial *t,
                                              const struct iqt_plan *plan,
                                              enum iqt_validity *verdict);
IQT_MUST_USE enum iqt_status iqt_trial_measure(struct iqt_trial *t,
                                               const struct iqt_plan *plan,
                                               uint32_t iterations, bool rotate,
                                               uint64_t *ns, enum iqt_validity *verdict);

#endif
