/* The step size: a search for its order of magnitude, and dual averaging towards a target acceptance probability.
 *
 * Both are from Hoffman and Gelman 2014 (algorithms 4 and 6). */
#ifndef PYROXENE_ADAPTATION_H
#define PYROXENE_ADAPTATION_H
#include "trajectory.h"

#define GAMMA 0.05
#define KAPPA 0.75
#define DELAY 10.0
#define SEARCH_THRESHOLD -0.22314355131420976   /* log 0.8 */
#define SMALLEST_STEP 1e-12
#define LARGEST_STEP 1e7

/* Begins dual averaging anew around `center_factor` times the present step size. */
static inline void restart_averaging(sampler *s, double center_factor) {
    s->adapt_center = log(center_factor * s->step_size);
    s->adapt_error = s->adapt_log_mean = s->adapt_count = 0.0;
}

static inline void average_step(sampler *s, double accept_prob) {
    const double count = s->adapt_count += 1.0, share = 1.0 / (count + DELAY), decay = pow(count, -KAPPA);
    s->adapt_error += share * (s->target_accept_prob - accept_prob - s->adapt_error);
    const double log_step = s->adapt_center - sqrt(count) / GAMMA * s->adapt_error;
    s->adapt_log_mean += decay * (log_step - s->adapt_log_mean);
    s->step_size = exp(log_step);
}

static inline void probe(sampler *s) {
    draw_momentum(s);
    s->phase = SEARCHING;
    s->step = s->step_size;
    next_leapfrog(s, s->current);
}

/* Doubles or halves the step size until one leapfrog's energy error crosses the threshold. Returns whether to go on. */
static inline int search_on(sampler *s, double gain) {
    const int64_t fine = gain > SEARCH_THRESHOLD ? 1 : -1;
    if (s->search_direction == 0) s->search_direction = fine;
    if (fine != s->search_direction || s->step_size < SMALLEST_STEP || s->step_size > LARGEST_STEP) return 0;
    s->step_size *= fine > 0 ? 2.0 : 0.5;
    return 1;
}
#endif
