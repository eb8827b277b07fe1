/* Multinomial NUTS and HMC, one gradient at a time.
 *
 * NUTS: Hoffman and Gelman 2014; multinomial weights, biased progressive sampling and the generalised U-turn criterion:
 * Betancourt 2017, "A conceptual introduction to Hamiltonian Monte Carlo", appendix A. The recursion over subtrees is a
 * stack of finished branches: a new point is a branch of depth 0, and two neighbours of equal depth merge, as digits carry
 * in a binary counter. infer/mcmc/trajectory.py writes the same transition as a recursion. */
#ifndef PYROXENE_TRAJECTORY_H
#define PYROXENE_TRAJECTORY_H
#include <math.h>

#include "metric.h"

#define MAX_ENERGY_ERROR 1000.0   /* beyond it a trajectory has left the level set: a divergence (Betancourt 2017) */
#define COLLAPSED_STEP 1e-10      /* steps this small move nothing: no time is spent on long trajectories of them */
#define SAFE_EXPONENT 300.0       /* weights are kept as exp(. - weight_shift) below exp(SAFE_EXPONENT) */

/* Points are handed out and counted: a subtree refers to three of them. */
static inline int64_t take_point(sampler *s) { return s->free_point[--s->free_count]; }

static inline void release_point(sampler *s, int64_t point) {
    if (--s->references[point] == 0) s->free_point[s->free_count++] = point;
}

static inline void keep_only_current(sampler *s) {
    s->free_count = 0;
    for (int64_t k = s->points - 1; k >= 0; k--) {
        s->references[k] = 0;
        if (k != s->current) s->free_point[s->free_count++] = k;
    }
}

static inline subtree leaf(sampler *s, int64_t point, double weight) {
    s->references[point] = 3;
    return (subtree){.begin = point, .end = point, .sample = point, .depth = 0, .sum_at = -1, .weight = weight};
}

static inline double *sum_of_momenta(sampler *s, const subtree *tree) {
    return tree->sum_at < 0 ? vector_of(s, tree->begin, MOMENTUM) : room(s, tree->sum_at);
}

/* Adds two momentum sums into `out` and says whether the trajectory goes on straight: with sum the momenta of a span,
 * both ends' sharp momenta must have a positive product with it, for the whole and for each half with its neighbour's end. */
static inline __attribute__((always_inline)) int goes_on(sampler *s, const subtree *left, const subtree *right, double *out, const int64_t sharp) {
    const double *left_begin = vector_of(s, left->begin, sharp), *right_end = vector_of(s, right->end, sharp);
    const double *left_end = vector_of(s, left->end, sharp), *right_begin = vector_of(s, right->begin, sharp);
    const double *last = vector_of(s, left->end, MOMENTUM), *first = vector_of(s, right->begin, MOMENTUM);
    const double *left_sum = sum_of_momenta(s, left), *right_sum = sum_of_momenta(s, right);
    const int64_t n = s->stride;
    lanes a = {0.0}, b = {0.0}, c = {0.0}, d = {0.0}, e = {0.0}, f = {0.0};
    for (int64_t i = 0; i < n; i += LANES) {
        const lanes lb = *(const lanes *)(left_begin + i), le = *(const lanes *)(left_end + i);
        const lanes rb = *(const lanes *)(right_begin + i), re = *(const lanes *)(right_end + i);
        const lanes l = *(const lanes *)(left_sum + i), r = *(const lanes *)(right_sum + i);
        const lanes whole = l + r, left_and_one = l + *(const lanes *)(first + i), one_and_right = *(const lanes *)(last + i) + r;
        a += lb * whole;
        b += re * whole;
        c += lb * left_and_one;
        d += rb * left_and_one;
        e += le * one_and_right;
        f += re * one_and_right;
        *(lanes *)(out + i) = whole;
    }
    return sum_of(a) > 0.0 && sum_of(b) > 0.0 && sum_of(c) > 0.0 && sum_of(d) > 0.0 && sum_of(e) > 0.0 && sum_of(f) > 0.0;
}

/* The same for two single points, where the three spans are one. */
static inline __attribute__((always_inline)) int pair_goes_on(sampler *s, int64_t left, int64_t right, double *out, const int64_t sharp) {
    const double *left_sharp = vector_of(s, left, sharp), *right_sharp = vector_of(s, right, sharp);
    const double *one = vector_of(s, left, MOMENTUM), *other = vector_of(s, right, MOMENTUM);
    const int64_t n = s->stride;
    lanes a = {0.0}, b = {0.0};
    for (int64_t i = 0; i < n; i += LANES) {
        const lanes whole = *(const lanes *)(one + i) + *(const lanes *)(other + i);
        a += *(const lanes *)(left_sharp + i) * whole;
        b += *(const lanes *)(right_sharp + i) * whole;
        *(lanes *)(out + i) = whole;
    }
    return sum_of(a) > 0.0 && sum_of(b) > 0.0;
}

static inline __attribute__((always_inline)) int is_straight(sampler *s, const subtree *left, const subtree *right, double *out, const int64_t sharp) {
    return left->depth == 0 ? pair_goes_on(s, left->begin, right->end, out, sharp) : goes_on(s, left, right, out, sharp);
}

/* Merges `right`, which begins where `left` ends, into `left`, whose sum goes to `sum_at`. Returns whether it goes on.
 * Inside a branch the sample is drawn by weight; the trunk prefers its new half (biased progressive sampling). */
static inline int merge(sampler *s, subtree *left, const subtree *right, int64_t sum_at, int biased) {
    const double against = biased ? left->weight : left->weight + right->weight;
    double *sum = room(s, sum_at);   /* two calls: where momenta are sharp themselves, each is loaded once */
    const int go = s->metric == LOW_RANK ? is_straight(s, left, right, sum, VELOCITY) : is_straight(s, left, right, sum, MOMENTUM);
    release_point(s, left->end);
    release_point(s, right->begin);
    if (random_uniform(&s->random) * against < right->weight) {
        release_point(s, left->sample);
        left->sample = right->sample;
    } else {
        release_point(s, right->sample);
    }
    left->end = right->end;
    left->weight += right->weight;
    left->sum_at = sum_at;
    left->depth++;
    return go;
}

/* Weights are linear numbers. Should one come near overflow, all that live are scaled down together. */
static inline double weight_of(sampler *s, double gain) {
    if (gain - s->weight_shift > SAFE_EXPONENT) {
        const double factor = exp(s->weight_shift - gain);
        s->trunk.weight *= factor;
        for (int64_t k = 0; k < s->branches; k++) s->branch[k].weight *= factor;
        s->weight_shift = gain;
    }
    return exp(gain - s->weight_shift);
}

static inline void next_leapfrog(sampler *s, int64_t from) {
    s->from = from;
    s->pending = take_point(s);
    leapfrog_begin(s, from, s->pending, s->step);
}

/* The end of the trunk that grows is always `end`; where the direction changes, the trunk turns round. */
static inline void next_doubling(sampler *s) {
    const int64_t forward = (int64_t)(random_bits(&s->random) >> 63);
    if (forward != s->forward) {
        const int64_t begin = s->trunk.begin;
        s->trunk.begin = s->trunk.end;
        s->trunk.end = begin;
        s->forward = forward;
    }
    s->step = forward ? s->step_size : -s->step_size;
    s->branches = 0;
    next_leapfrog(s, s->trunk.end);
}

/* Takes the point that was evaluated into the tree. Returns whether the transition wants another gradient. */
static inline int grow(sampler *s, double gain) {
    /* one exponential serves the weight and the acceptance, save where weights are scaled or are the slice's */
    const int is_plain = s->use_multinomial && s->weight_shift == 0.0 && gain <= SAFE_EXPONENT;
    const double ratio = exp(is_plain || gain < 0.0 ? gain : 0.0);
    s->accept_sum += ratio < 1.0 ? ratio : 1.0;
    s->diverged = !(gain - s->slice >= -MAX_ENERGY_ERROR);
    if (s->diverged) return 0;
    const double weight = is_plain ? ratio : s->use_multinomial ? weight_of(s, gain) : gain >= s->slice ? 1.0 : 0.0;
    const int64_t last = s->pending;
    s->branch[s->branches++] = leaf(s, last, weight);
    for (; s->branches > 1 && s->branch[s->branches - 2].depth == s->branch[s->branches - 1].depth; s->branches--) {
        const int64_t to = s->branches - 2, sum_at = s->sums_at + (to + 1) * s->stride;
        if (!merge(s, &s->branch[to], &s->branch[to + 1], sum_at, 0)) return 0;
    }
    if (s->branches > 1 || s->branch[0].depth < s->trunk.depth) {
        next_leapfrog(s, last);
        return 1;
    }
    const int go = merge(s, &s->trunk, &s->branch[0], s->sums_at, 1);
    if (!go || s->trunk.depth >= (s->step_size < COLLAPSED_STEP ? 1 : s->max_depth)) return 0;
    next_doubling(s);
    return 1;
}

/* HMC: on to the next step, or the Metropolis choice at the end. Returns whether the transition wants another gradient. */
static inline int move_on(sampler *s, double gain) {
    const int64_t last = s->pending;
    s->diverged = !(gain >= -MAX_ENERGY_ERROR);
    if (!s->diverged && --s->steps_left > 0) {
        if (s->from != s->current) s->free_point[s->free_count++] = s->from;
        next_leapfrog(s, last);
        return 1;
    }
    const double accept = s->diverged ? 0.0 : gain >= 0.0 ? 1.0 : exp(gain);
    s->accept_sum = accept * (double)s->steps_taken;
    s->trunk.sample = random_uniform(&s->random) < accept ? last : s->current;
    return 0;
}

/* Forgets every other point and draws a momentum at the current one. Pads stay zero. */
static inline void draw_momentum(sampler *s) {
    double *momentum = vector_of(s, s->current, MOMENTUM);
    keep_only_current(s);
    random_stream random = s->random;   /* in registers */
    for (int64_t i = 0; i < s->dim; i++) momentum[i] = random_normal(&random);
    s->random = random;
    colour(s, s->current);
    s->start_energy = kinetic_energy(s, s->current) - s->value[s->current];
}

/* Draws a momentum and takes the first half step of a transition. */
static inline void begin_transition(sampler *s) {
    draw_momentum(s);
    s->phase = MOVING;
    s->steps_taken = s->diverged = s->branches = 0;
    s->accept_sum = s->weight_shift = s->slice = 0.0;
    s->trunk = leaf(s, s->current, 1.0);
    if (s->algorithm == NUTS) {
        if (!s->use_multinomial) s->slice = log(1.0 - random_uniform(&s->random));
        s->forward = 1;
        next_doubling(s);
        return;
    }
    const double steps = s->fixed_steps > 0 ? (double)s->fixed_steps : floor(s->trajectory_length / s->step_size);
    /* a step size in the course of adaptation may be tiny: the longest trajectory is then as NUTS would have it */
    const double longest = s->adapting ? (double)((int64_t)1 << s->max_depth) : 1e15;
    s->steps_left = steps < 1.0 ? 1 : steps > longest ? (int64_t)longest : (int64_t)steps;
    s->step = s->step_size;
    next_leapfrog(s, s->current);
}
#endif
