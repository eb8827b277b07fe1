/* The sampler's state: one flat block of memory for each chain, without pointers, so that a copy of its bytes is a checkpoint.
 *
 * The block begins with `sampler`; vectors of `stride` doubles follow: the metric, scratch, the points, the momentum sums.
 *
 * Momenta are whitened: for an inverse mass M^-1 = F F^T a momentum p of the sampler is F^T times the usual one, so that it
 * is standard normal, moves the position by F p and feels the force w = F^T gradient. The sharp momentum of the
 * generalised U-turn criterion is then p itself.
 *
 * A low-rank F = D R is applied in no leapfrog: momenta p are whitened by D alone, and beside each its velocity v = R^2 p is
 * kept. Both are kicked, p by D gradient and v by the force w = R^2 D gradient; so a leapfrog multiplies by R^2 once, where F
 * and F^T cost two. The sharp momentum is v. */
#ifndef PYROXENE_SAMPLER_H
#define PYROXENE_SAMPLER_H
#include <stdint.h>

#include "random.h"

#define MAX_DEPTH 20                  /* a trajectory of 2^20 leapfrogs */
#define MAX_POINTS (3 * MAX_DEPTH + 12)

typedef void (*batch_function)(const double *positions, double *values, double *gradients, void *context);
typedef double (*density_function)(const double *z, double *gradient, void *context);

enum { NUTS = 0, HMC = 1 };
enum { DIAGONAL = 0, DENSE = 1, LOW_RANK = 2 };
enum { READY = 0, STARTING = 1, SEARCHING = 2, MOVING = 3, IMPOSSIBLE = 4 };   /* phase */
enum { WANTS_GRADIENT = 0, DRAW_READY = 1, IMPOSSIBLE_START = 2, STARTED = 3 };   /* what advance says */
enum { POSITION, GRADIENT, FORCE, MOMENTUM, VELOCITY, VECTORS };   /* vectors of a point; only a low-rank metric keeps VELOCITY */
enum { ACCEPT_PROB, STEP_SIZE, TREE_DEPTH, NUM_STEPS, ENERGY, DIVERGING, LOG_DENSITY, STATISTICS };
enum { COUNT_DRAWS, COUNT_LEAPFROGS, COUNT_DIVERGENCES, COUNT_PHASE, COUNTERS = 8 };   /* a cache line for each chain */

/* A piece of trajectory: its two ends, the point drawn from it, the sum of its momenta and of its weights. */
typedef struct {
    int64_t begin, end, sample, depth, sum_at;   /* sum_at: the momentum sum's vector; -1: one point, its momentum */
    double weight;
} subtree;

typedef struct {
    int64_t bytes, dim, stride, rank, metric, algorithm, use_multinomial, max_depth, fixed_steps, adapting, search;
    double step_size, trajectory_length, target_accept_prob;
    random_stream random;
    /* dual averaging (Hoffman and Gelman 2014) */
    double adapt_center, adapt_error, adapt_log_mean, adapt_count;
    /* where the chain stands */
    int64_t phase, current, from, pending, search_direction, steps_left;
    double step, start_energy, weight_shift, slice;
    int64_t steps_taken, diverged;
    double accept_sum;
    /* the tree: trunk is the whole trajectory so far, branches the new half in the making */
    subtree trunk, branch[MAX_DEPTH + 2];
    int64_t branches, forward;
    int64_t references[MAX_POINTS], free_point[MAX_POINTS], free_count;
    double value[MAX_POINTS];
    int64_t points, matrix_at, factors_at, scratch_at, points_at, sums_at;   /* offsets in doubles from the end of this struct */
    double statistics[STATISTICS];
    int64_t total_leapfrogs, total_draws, total_divergences;
} __attribute__((aligned(64))) sampler;   /* so that the vectors after it are aligned */

/* Where a run writes: the caller owns every array. Divergences beyond divergence_capacity are counted, not kept. */
typedef struct {
    double *positions, *gradients, *statistics, *divergences;
    int64_t *divergence_draws, *counters;
    int64_t wanted, recorded, thinning, seen, divergence_capacity, divergence_count;
} recording;
#endif
