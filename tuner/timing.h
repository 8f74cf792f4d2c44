/* A contest of verified plans against the clock, round by round. */
#ifndef IQT_TUNER_TIMING_H
#define IQT_TUNER_TIMING_H

#include "tuner/tuner.h"

enum { IQT_MOST_ROUNDS = 48 };

struct iqt_entrant {
    struct iqt_plan plan;
    double cost, rough;        /* the estimates that ranked it, the second among equals */
    bool fallback;             /* the default plan of its layout: never eliminated */
    bool out;                  /* too slow to go on, or failed while measured */
    enum iqt_validity verdict; /* of a failure while measured */
    char reason[IQT_TUNE_REASON_BYTES];
    uint32_t iterations;            /* of a batch */
    double sample[IQT_MOST_ROUNDS]; /* ns of a call; 0: none in this round */
    double ns, spread_ns;           /* over the rounds that count */
    uint32_t samples;
};

struct iqt_contest {
    const struct iqt_tune_calls *calls;
    const struct iqt_tune_job *job;
    double bytes_per_ns;
    uint32_t rounds_wanted;
    uint64_t deadline_ns;        /* no new round after it, once two count */
    struct iqt_entrant *entrant; /* entrant[0] is the anchor */
    size_t count;
    uint32_t rounds;                /* run so far */
    double anchor[IQT_MOST_ROUNDS]; /* the better of a round's two anchor times */
    double anchor_middle;           /* their median */
    bool rotate;
};

/* Runs the contest and fills ns, spread_ns and samples of each entrant. IQT_ERR_INTERRUPTED when
 * stop() said so. */
IQT_MUST_USE enum iqt_status iqt_contest_run(struct iqt_contest *c);
/* Rounds that count: their anchor is within a tenth of its median. */
uint32_t iqt_contest_steady(const struct iqt_contest *c);
/* Whether enough rounds count to decide by: two, and a quarter of all. */
bool iqt_contest_settled(const struct iqt_contest *c);
/* Whether a replaces b: faster by more than 2 % and by more than either's spread, and in three of
 * four rounds. */
bool iqt_contest_beats(const struct iqt_contest *c, const struct iqt_entrant *a,
                       const struct iqt_entrant *b);

#endif
