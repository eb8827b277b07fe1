/* What the metric does to vectors, and the two halves of a leapfrog. */
#ifndef PYROXENE_METRIC_H
#define PYROXENE_METRIC_H
#include <string.h>

#include "sampler.h"
#include "vector.h"

static inline double *room(sampler *s, int64_t at) { return (double *)(s + 1) + at; }

static inline double *vector_of(sampler *s, int64_t point, int64_t which) {
    return room(s, s->points_at + (point * VECTORS + which) * s->stride);
}

/* Factors of a low-rank metric, rank numbers each, after U's rows: R = I + U diag(.) U^T, its inverse, its square. */
enum { ROOT, INVERSE_ROOT, SQUARE, FACTORS };

static inline double *factors_of(sampler *s) { return room(s, s->factors_at); }   /* beyond all rows, whose pads stay zero */

/* out = (I + U diag(factors) U^T) in. Rows are taken four at a time, so that each is read from memory once. */
static inline void stretch(sampler *s, int64_t which, const double *restrict in, double *restrict out) {
    const double *rows = room(s, s->matrix_at) + s->stride, *factors = factors_of(s) + which * s->rank;
    const int64_t n = s->stride, whole = s->rank / TOGETHER * TOGETHER;
    memcpy(out, in, (size_t)n * sizeof(double));
    for (int64_t k = 0; k < whole; k += TOGETHER) {
        double share[TOGETHER];
        dots(rows + k * n, in, n, n, share);
        for (int64_t j = 0; j < TOGETHER; j++) share[j] *= factors[k + j];
        add_multiples(out, rows + k * n, share, n, n);
    }
    for (int64_t k = whole; k < s->rank; k++) add_multiple(out, rows + k * n, factors[k] * dot(rows + k * n, in, n), n);
}

/* out = F p, for a dense factor. */
static inline void to_position(sampler *s, const double *restrict p, double *restrict out) {
    const int64_t n = s->stride, whole = s->dim / TOGETHER * TOGETHER;   /* lower triangular: zeros change nothing */
    const double *rows = room(s, s->matrix_at) + n;
    for (int64_t i = 0; i < whole; i += TOGETHER) dots(rows + i * n, p, padded(i + TOGETHER), n, out + i);
    for (int64_t i = whole; i < s->dim; i++) out[i] = dot(rows + i * n, p, padded(i + 1));
}

/* out = the force of a gradient: F^T g, and R^2 D g of a low-rank metric. */
static inline void to_force(sampler *s, const double *restrict g, double *restrict out) {
    const int64_t n = s->stride;
    const double *scale = room(s, s->matrix_at);
    if (s->metric == DENSE) {
        memset(out, 0, (size_t)n * sizeof(double));
        const int64_t whole = s->dim / TOGETHER * TOGETHER;
        for (int64_t i = 0; i < whole; i += TOGETHER) add_multiples(out, scale + (1 + i) * n, g + i, padded(i + TOGETHER), n);
        for (int64_t i = whole; i < s->dim; i++) add_multiple(out, scale + (1 + i) * n, g[i], padded(i + 1));
        return;
    }
    double *restrict scaled = s->metric == LOW_RANK ? room(s, s->scratch_at) : out;
    for (int64_t i = 0; i < n; i += LANES) *(lanes *)(scaled + i) = *(const lanes *)(scale + i) * *(const lanes *)(g + i);
    if (s->metric == LOW_RANK) stretch(s, SQUARE, scaled, out);
}

/* The vector whose products with sums of momenta say whether a trajectory turns: see sampler.h. */
static inline int64_t sharp_of(const sampler *s) { return s->metric == LOW_RANK ? VELOCITY : MOMENTUM; }

/* Makes standard normals, in place, the momentum of a point, with its velocity. */
static inline void colour(sampler *s, int64_t point) {
    if (s->metric != LOW_RANK) return;
    double *momentum = vector_of(s, point, MOMENTUM), *normals = room(s, s->scratch_at);
    memcpy(normals, momentum, (size_t)s->stride * sizeof(double));
    stretch(s, ROOT, normals, vector_of(s, point, VELOCITY));
    stretch(s, INVERSE_ROOT, normals, momentum);
}

static inline double kinetic_energy(sampler *s, int64_t point) {
    return 0.5 * dot(vector_of(s, point, MOMENTUM), vector_of(s, point, sharp_of(s)), s->stride);
}

/* The first half of a leapfrog: half a kick at `from`, a drift to `to`, where the density is wanted next. */
static inline void leapfrog_begin(sampler *s, int64_t from, int64_t to, double step) {
    const int64_t n = s->stride;
    const double half = 0.5 * step;
    const double *restrict q = vector_of(s, from, POSITION), *restrict w = vector_of(s, from, FORCE);
    const double *restrict p = vector_of(s, from, MOMENTUM);
    double *restrict new_q = vector_of(s, to, POSITION), *restrict new_p = vector_of(s, to, MOMENTUM);
    if (s->metric == DIAGONAL) {
        const double *restrict scale = room(s, s->matrix_at);
        for (int64_t i = 0; i < n; i += LANES) {
            const lanes kicked = *(const lanes *)(p + i) + half * *(const lanes *)(w + i);
            *(lanes *)(new_p + i) = kicked;
            *(lanes *)(new_q + i) = *(const lanes *)(q + i) + step * (*(const lanes *)(scale + i) * kicked);
        }
        return;
    }
    if (s->metric == LOW_RANK) {
        const double *restrict scale = room(s, s->matrix_at), *restrict g = vector_of(s, from, GRADIENT);
        const double *restrict v = vector_of(s, from, VELOCITY);
        double *restrict new_v = vector_of(s, to, VELOCITY);
        for (int64_t i = 0; i < n; i += LANES) {
            const lanes width = *(const lanes *)(scale + i);
            const lanes velocity = *(const lanes *)(v + i) + half * *(const lanes *)(w + i);
            *(lanes *)(new_p + i) = *(const lanes *)(p + i) + half * (width * *(const lanes *)(g + i));
            *(lanes *)(new_v + i) = velocity;
            *(lanes *)(new_q + i) = *(const lanes *)(q + i) + step * (width * velocity);
        }
        return;
    }
    double *restrict velocity = room(s, s->scratch_at);
    for (int64_t i = 0; i < n; i += LANES) *(lanes *)(new_p + i) = *(const lanes *)(p + i) + half * *(const lanes *)(w + i);
    to_position(s, new_p, velocity);
    for (int64_t i = 0; i < n; i += LANES) *(lanes *)(new_q + i) = *(const lanes *)(q + i) + step * *(const lanes *)(velocity + i);
}

/* The second half, once the gradient at `to` is there: the other half kick. Returns the kinetic energy. */
static inline double leapfrog_end(sampler *s, int64_t to, double step) {
    const int64_t n = s->stride;
    const double half = 0.5 * step;
    const double *restrict g = vector_of(s, to, GRADIENT);
    double *restrict w = vector_of(s, to, FORCE), *restrict p = vector_of(s, to, MOMENTUM);
    lanes square = {0.0};
    if (s->metric == DIAGONAL) {
        const double *restrict scale = room(s, s->matrix_at);
        for (int64_t i = 0; i < n; i += LANES) {
            const lanes force = *(const lanes *)(scale + i) * *(const lanes *)(g + i);
            const lanes kicked = *(const lanes *)(p + i) + half * force;
            *(lanes *)(w + i) = force;
            *(lanes *)(p + i) = kicked;
            square += kicked * kicked;
        }
    } else if (s->metric == LOW_RANK) {
        const double *restrict scale = room(s, s->matrix_at);
        double *restrict v = vector_of(s, to, VELOCITY);
        to_force(s, g, w);
        for (int64_t i = 0; i < n; i += LANES) {
            const lanes kicked = *(const lanes *)(p + i) + half * (*(const lanes *)(scale + i) * *(const lanes *)(g + i));
            const lanes velocity = *(const lanes *)(v + i) + half * *(const lanes *)(w + i);
            *(lanes *)(p + i) = kicked;
            *(lanes *)(v + i) = velocity;
            square += kicked * velocity;
        }
    } else {
        to_force(s, g, w);
        for (int64_t i = 0; i < n; i += LANES) {
            const lanes kicked = *(const lanes *)(p + i) + half * *(const lanes *)(w + i);
            *(lanes *)(p + i) = kicked;
            square += kicked * kicked;
        }
    }
    return 0.5 * sum_of(square);
}
#endif
