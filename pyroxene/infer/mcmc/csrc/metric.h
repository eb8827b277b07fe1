/* What the metric does to vectors: F moves a momentum to position space, F^T a gradient to momentum space. */
#ifndef PYROXENE_METRIC_H
#define PYROXENE_METRIC_H
#include <string.h>

#include "sampler.h"
#include "vector.h"

static inline double *room(sampler *s, int64_t at) { return (double *)(s + 1) + at; }

static inline double *vector_of(sampler *s, int64_t point, int64_t which) {
    return room(s, s->points_at + (point * VECTORS + which) * s->stride);
}

/* out = (I + U diag(shrink) U^T) out; U: rank rows of stride, after them the rank numbers of shrink. */
static inline void stretch(sampler *s, double *out) {
    const double *rows = room(s, s->matrix_at) + s->stride, *shrink = rows + s->rank * s->stride;
    double *share = room(s, s->scratch_at) + s->stride;
    const int64_t n = s->stride, whole = s->rank / TOGETHER * TOGETHER;
    for (int64_t k = 0; k < whole; k += TOGETHER) dots(rows + k * n, out, n, n, share + k);
    for (int64_t k = whole; k < s->rank; k++) share[k] = dot(rows + k * n, out, n);
    for (int64_t k = 0; k < s->rank; k++) share[k] *= shrink[k];
    for (int64_t k = 0; k < whole; k += TOGETHER) add_multiples(out, rows + k * n, share + k, n, n);
    for (int64_t k = whole; k < s->rank; k++) add_multiple(out, rows + k * n, share[k], n);
}

/* out = F p */
static inline void to_position(sampler *s, const double *restrict p, double *restrict out) {
    const int64_t n = s->stride;
    const double *scale = room(s, s->matrix_at);
    if (s->metric == DENSE) {
        const int64_t whole = s->dim / TOGETHER * TOGETHER;   /* the factor is lower triangular: zeros change nothing */
        for (int64_t i = 0; i < whole; i += TOGETHER) dots(scale + (1 + i) * n, p, padded(i + TOGETHER), n, out + i);
        for (int64_t i = whole; i < s->dim; i++) out[i] = dot(scale + (1 + i) * n, p, padded(i + 1));
        return;
    }
    memcpy(out, p, (size_t)n * sizeof(double));
    if (s->metric == LOW_RANK) stretch(s, out);
    for (int64_t i = 0; i < n; i += LANES) *(lanes *)(out + i) *= *(const lanes *)(scale + i);
}

/* out = F^T g */
static inline void to_momentum(sampler *s, const double *restrict g, double *restrict out) {
    const int64_t n = s->stride;
    const double *scale = room(s, s->matrix_at);
    if (s->metric == DENSE) {
        memset(out, 0, (size_t)n * sizeof(double));
        const int64_t whole = s->dim / TOGETHER * TOGETHER;
        for (int64_t i = 0; i < whole; i += TOGETHER) add_multiples(out, scale + (1 + i) * n, g + i, padded(i + TOGETHER), n);
        for (int64_t i = whole; i < s->dim; i++) add_multiple(out, scale + (1 + i) * n, g[i], padded(i + 1));
        return;
    }
    for (int64_t i = 0; i < n; i += LANES) *(lanes *)(out + i) = *(const lanes *)(scale + i) * *(const lanes *)(g + i);
    if (s->metric == LOW_RANK) stretch(s, out);
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
    } else {
        to_momentum(s, g, w);
        for (int64_t i = 0; i < n; i += LANES) {
            const lanes kicked = *(const lanes *)(p + i) + half * *(const lanes *)(w + i);
            *(lanes *)(p + i) = kicked;
            square += kicked * kicked;
        }
    }
    return 0.5 * sum_of(square);
}
#endif
