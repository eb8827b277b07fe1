/* The sampler's doors: make a state, start it, advance it by one gradient, run it over a density.
 *
 * Reverse communication: `sampler_advance` takes the log density (the gradient is written to `sampler_gradient` before)
 * and a chain then wants the next one at `sampler_position`. Nothing is allocated and nothing is global, so chains may
 * run in threads, and draws depend on seed and chain alone. */
#include "adaptation.h"
#include "fisher.h"

#define EXPORT __attribute__((visibility("default")))

static int64_t doubles_of(int64_t stride, int64_t dense, int64_t rank, int64_t depth) {
    return padded(rank * FACTORS) + stride * (1 + dense * stride + rank + 1 + VECTORS * 3 * (depth + 3) + depth + 2);
}

/* Bytes of a state: dense is 1 where a dense metric will be set; rank is the largest of a low-rank metric. */
EXPORT int64_t sampler_bytes(int64_t dim, int64_t dense, int64_t rank, int64_t depth) {
    return (int64_t)sizeof(sampler) + doubles_of(padded(dim), dense, rank, depth) * (int64_t)sizeof(double);
}

EXPORT void sampler_create(sampler *s, int64_t dim, int64_t dense, int64_t rank, int64_t depth, uint64_t seed, uint64_t chain) {
    const int64_t bytes = sampler_bytes(dim, dense, rank, depth), stride = padded(dim);
    memset(s, 0, (size_t)bytes);
    s->bytes = bytes;
    s->dim = dim;
    s->stride = stride;
    s->points = 3 * (depth + 3);
    s->factors_at = stride * (1 + dense * stride + rank);
    s->scratch_at = s->factors_at + padded(rank * FACTORS);
    s->points_at = s->scratch_at + stride;
    s->sums_at = s->points_at + VECTORS * s->points * stride;
    s->use_multinomial = 1;
    s->max_depth = depth;
    s->step_size = 1.0;
    s->target_accept_prob = 0.8;
    for (int64_t i = 0; i < dim; i++) room(s, 0)[i] = 1.0;
    random_seed(&s->random, seed, chain);
}

EXPORT void sampler_reseed(sampler *s, uint64_t seed, uint64_t chain) { random_seed(&s->random, seed, chain); }

/* Puts the chain at a position; the first gradient it wants is there. */
EXPORT void sampler_start(sampler *s, const double *position) {
    s->current = s->pending = 0;
    s->phase = STARTING;
    memcpy(vector_of(s, 0, POSITION), position, (size_t)s->dim * sizeof(double));
}

EXPORT double *sampler_position(sampler *s) { return vector_of(s, s->pending, POSITION); }
EXPORT double *sampler_gradient(sampler *s) { return vector_of(s, s->pending, GRADIENT); }
EXPORT double *sampler_draw(sampler *s) { return vector_of(s, s->current, POSITION); }
EXPORT double *sampler_draw_gradient(sampler *s) { return vector_of(s, s->current, GRADIENT); }

/* scale: dim numbers. DIAGONAL: F = diag(scale). DENSE: F = matrix, lower triangular, dim x dim, row major.
 * LOW_RANK: F = diag(scale) (I + U diag(shrink) U^T); matrix holds U's columns as rank rows, then shrink. */
EXPORT void sampler_set_metric(sampler *s, int64_t kind, int64_t rank, const double *scale, const double *matrix) {
    double *rows = room(s, s->matrix_at) + s->stride;
    const int64_t count = kind == DENSE ? s->dim : kind == LOW_RANK ? rank : 0;
    s->metric = kind;
    s->rank = rank;
    memcpy(room(s, s->matrix_at), scale, (size_t)s->dim * sizeof(double));
    for (int64_t k = 0; k < count; k++) memcpy(rows + k * s->stride, matrix + k * s->dim, (size_t)s->dim * sizeof(double));
    for (int64_t k = 0; kind == LOW_RANK && k < rank; k++) {
        const double shrink = matrix[rank * s->dim + k];
        factors_of(s)[ROOT * rank + k] = shrink;
        factors_of(s)[INVERSE_ROOT * rank + k] = -shrink / (1.0 + shrink);
        factors_of(s)[SQUARE * rank + k] = shrink * (2.0 + shrink);
    }
    if (s->phase == STARTING || s->phase == IMPOSSIBLE) return;
    s->phase = READY;   /* a transition that was under way is given up */
    to_force(s, vector_of(s, s->current, GRADIENT), vector_of(s, s->current, FORCE));
}

/* Settings and figures by number, so that nobody outside needs the layout of the block. */
enum { GET_STEP_SIZE, GET_MAX_DEPTH, GET_ADAPTING, GET_TARGET, GET_ALGORITHM, GET_FIXED_STEPS, GET_LENGTH, GET_MULTINOMIAL,
       GET_PHASE, GET_LEAPFROGS, GET_DRAWS, GET_DIVERGENCES, GET_MEAN_STEP, GET_LOG_DENSITY };

EXPORT double sampler_get(sampler *s, int64_t which) {
    switch (which) {
        case GET_STEP_SIZE: return s->step_size;
        case GET_MAX_DEPTH: return (double)s->max_depth;
        case GET_PHASE: return (double)s->phase;
        case GET_LEAPFROGS: return (double)s->total_leapfrogs;
        case GET_DRAWS: return (double)s->total_draws;
        case GET_DIVERGENCES: return (double)s->total_divergences;
        case GET_MEAN_STEP: return s->adapt_count > 0.0 ? exp(s->adapt_log_mean) : s->step_size;
        case GET_LOG_DENSITY: return s->value[s->current];
        default: return NAN;
    }
}

EXPORT void sampler_set(sampler *s, int64_t which, double value) {
    switch (which) {
        case GET_STEP_SIZE: s->step_size = value; break;
        case GET_MAX_DEPTH: s->max_depth = (int64_t)value; break;
        case GET_ADAPTING: s->adapting = value != 0.0; break;
        case GET_TARGET: s->target_accept_prob = value; break;
        case GET_ALGORITHM: s->algorithm = (int64_t)value; break;
        case GET_FIXED_STEPS: s->fixed_steps = (int64_t)value; break;
        case GET_LENGTH: s->trajectory_length = value; break;
        case GET_MULTINOMIAL: s->use_multinomial = value != 0.0; break;
        default: break;
    }
}

/* The next transition will begin with a search for the step size. */
EXPORT void sampler_search(sampler *s) { s->search = 1; }
EXPORT void sampler_restart_averaging(sampler *s, double center_factor) { restart_averaging(s, center_factor); }

/* Begins a transition (or the search before it): to be called once after a draw, before the next advance. */
EXPORT void sampler_begin(sampler *s) {
    if (s->search) {
        s->search = 0;
        s->search_direction = 0;
        probe(s);
    } else {
        begin_transition(s);
    }
}

static int64_t end_transition(sampler *s) {
    const double accept = s->accept_sum / (double)s->steps_taken;
    s->current = s->trunk.sample;
    s->statistics[ACCEPT_PROB] = accept;
    s->statistics[STEP_SIZE] = s->step_size;
    s->statistics[TREE_DEPTH] = (double)s->trunk.depth;
    s->statistics[NUM_STEPS] = (double)s->steps_taken;
    s->statistics[ENERGY] = kinetic_energy(s, s->current) - s->value[s->current];
    s->statistics[DIVERGING] = (double)s->diverged;
    s->statistics[LOG_DENSITY] = s->value[s->current];
    if (s->adapting) average_step(s, accept);
    s->phase = READY;
    s->total_draws++;
    s->total_divergences += s->diverged;
    return DRAW_READY;
}

/* Takes the log density at the position that was wanted. */
EXPORT int64_t sampler_advance(sampler *s, double value) {
    s->value[s->pending] = value;
    if (s->phase == STARTING) {
        const double *gradient = vector_of(s, s->pending, GRADIENT);
        if (!isfinite(value) || !isfinite(dot(gradient, gradient, s->stride))) {
            s->phase = IMPOSSIBLE;
            return IMPOSSIBLE_START;
        }
        to_force(s, gradient, vector_of(s, s->pending, FORCE));
        s->phase = READY;
        return STARTED;
    }
    s->total_leapfrogs++;
    const double kinetic = leapfrog_end(s, s->pending, s->step), gain = s->start_energy - (kinetic - value);
    const double safe_gain = isfinite(gain) ? gain : -INFINITY;
    if (s->phase == SEARCHING) {
        if (search_on(s, safe_gain)) {
            probe(s);
        } else {
            restart_averaging(s, 10.0);
            begin_transition(s);
        }
        return WANTS_GRADIENT;
    }
    s->steps_taken++;
    const int more = s->algorithm == NUTS ? grow(s, safe_gain) : move_on(s, safe_gain);
    return more ? WANTS_GRADIENT : end_transition(s);
}

/* Writes the finished draw where the run wants it. */
static void record(sampler *s, recording *out) {
    const size_t bytes = (size_t)s->dim * sizeof(double);
    if (s->diverged && out->divergence_count++ < out->divergence_capacity) {
        const int64_t row = out->divergence_count - 1;
        memcpy(out->divergences + row * s->dim, vector_of(s, s->from, POSITION), bytes);
        out->divergence_draws[row] = out->seen;
    }
    if (++out->seen % out->thinning) return;
    memcpy(out->positions + out->recorded * s->dim, vector_of(s, s->current, POSITION), bytes);
    if (out->gradients) memcpy(out->gradients + out->recorded * s->dim, vector_of(s, s->current, GRADIENT), bytes);
    memcpy(out->statistics + out->recorded * STATISTICS, s->statistics, sizeof s->statistics);
    out->recorded++;
}

static void count(const sampler *s, int64_t *counters) {
    counters[COUNT_DRAWS] = s->total_draws;
    counters[COUNT_LEAPFROGS] = s->total_leapfrogs;
    counters[COUNT_DIVERGENCES] = s->total_divergences;
}

/* Draws until `wanted` are recorded or `stop` is set; where none is wanted it evaluates the start. Returns 0, 1 where it was
 * stopped, 2 at an impossible start. */
EXPORT int64_t sampler_run(sampler *s, recording *out, density_function density, void *context, const volatile int32_t *stop) {
    if (out->recorded >= out->wanted && s->phase != STARTING) return 0;
    if (s->phase == READY) sampler_begin(s);
    while (!*stop) {
        const double value = density(sampler_position(s), sampler_gradient(s), context);
        const int64_t status = sampler_advance(s, value);
        out->counters[COUNT_LEAPFROGS] = s->total_leapfrogs;
        if (status == WANTS_GRADIENT) continue;
        if (status == IMPOSSIBLE_START) return 2;
        if (status == DRAW_READY) record(s, out);
        count(s, out->counters);
        if (out->recorded >= out->wanted) return 0;
        sampler_begin(s);
    }
    return 1;
}

/* Where live chains want their gradients, packed as (chains, dim); chains that rest after a draw begin anew. */
EXPORT void sampler_wanted(sampler **states, int64_t chains, const int8_t *live, double *positions) {
    for (int64_t c = 0; c < chains; c++) {
        sampler *s = states[c];
        if (live[c] != 1) continue;
        if (s->phase == READY) sampler_begin(s);
        memcpy(positions + c * s->dim, sampler_position(s), (size_t)s->dim * sizeof(double));
    }
}

/* One step of many chains. values: (chains,), gradients and positions: (chains, dim), chain by chain; `live` says which
 * chains take part (1), and is set to 0 for a chain that has all its draws and to 2 for one with an impossible start.
 * Returns how many are still live. */
EXPORT int64_t sampler_step_chains(sampler **states, recording *out, int64_t chains, const double *values, const double *gradients,
                                   double *positions, int8_t *live) {
    int64_t going = 0;
    for (int64_t c = 0; c < chains; c++) {
        sampler *s = states[c];
        if (live[c] != 1) continue;
        memcpy(sampler_gradient(s), gradients + c * s->dim, (size_t)s->dim * sizeof(double));
        const int64_t status = sampler_advance(s, values[c]);
        out[c].counters[COUNT_LEAPFROGS] = s->total_leapfrogs;
        if (status == IMPOSSIBLE_START) {
            live[c] = 2;
            continue;
        }
        if (status != WANTS_GRADIENT) {
            if (status == DRAW_READY) record(s, &out[c]);
            count(s, out[c].counters);
            if (out[c].recorded >= out[c].wanted) {
                live[c] = 0;
                continue;
            }
            sampler_begin(s);
        }
        memcpy(positions + c * s->dim, sampler_position(s), (size_t)s->dim * sizeof(double));
        going++;
    }
    return going;
}

/* Steps many chains over a density that takes `width` of them in one pass, until one has its draws or `stop` is set. The arrays
 * have room for a whole number of passes. */
EXPORT void sampler_run_chains(sampler **states, recording *out, int64_t chains, int64_t width, batch_function density, void *context,
                               double *values, double *gradients, double *positions, int8_t *live, const volatile int32_t *stop) {
    const int64_t dim = states[0]->dim;
    int64_t first = 0;
    for (int64_t c = 0; c < chains; c++) first += live[c] == 1;
    int64_t going = first;
    while (going == first && going > 0 && !*stop) {
        for (int64_t c = 0; c < chains; c += width) density(positions + c * dim, values + c, gradients + c * dim, context);
        going = sampler_step_chains(states, out, chains, values, gradients, positions, live);
    }
}

/* See fisher.h. */
EXPORT int64_t sampler_least_divergence(const double *draws, const double *gradients, int64_t count, int64_t dim,
                                        const fisher_numbers *numbers, double *work, double *scale, double *factor) {
    return least_divergence(draws, gradients, count, dim, numbers, work, scale, factor);
}
