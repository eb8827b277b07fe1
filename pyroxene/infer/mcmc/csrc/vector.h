/* Loops over vectors of doubles whose length is a multiple of four: pads are zero, so no loop has a tail.
 *
 * Sums keep four lanes in a fixed order, so that a draw is the same whatever the processor's vector width is. */
#ifndef PYROXENE_VECTOR_H
#define PYROXENE_VECTOR_H
#include <stdint.h>

#define LANES 4
/* two attributes: any double's address may be loaded from, and the loads may alias doubles */
typedef double lanes __attribute__((vector_size(32), aligned(8), may_alias));

static inline double sum_of(lanes v) { return (v[0] + v[1]) + (v[2] + v[3]); }

static inline int64_t padded(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

static inline double dot(const double *a, const double *b, int64_t n) {
    lanes even = {0.0}, odd = {0.0};
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        even += *(const lanes *)(a + i) * *(const lanes *)(b + i);
        odd += *(const lanes *)(a + i + LANES) * *(const lanes *)(b + i + LANES);
    }
    for (; i < n; i += LANES) even += *(const lanes *)(a + i) * *(const lanes *)(b + i);
    return sum_of(even + odd);
}

#define TOGETHER 4   /* rows that pass over a vector together: their sums need not wait for each other */

/* The products of four rows, one after the other in memory, with a vector: each as `dot` has it, to the last bit. */
static inline void dots(const double *rows, const double *b, int64_t n, int64_t stride, double *out) {
    lanes even[TOGETHER] = {{0.0}}, odd[TOGETHER] = {{0.0}};
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        const lanes first = *(const lanes *)(b + i), second = *(const lanes *)(b + i + LANES);
        for (int64_t k = 0; k < TOGETHER; k++) {
            even[k] += *(const lanes *)(rows + k * stride + i) * first;
            odd[k] += *(const lanes *)(rows + k * stride + i + LANES) * second;
        }
    }
    for (; i < n; i += LANES)
        for (int64_t k = 0; k < TOGETHER; k++) even[k] += *(const lanes *)(rows + k * stride + i) * *(const lanes *)(b + i);
    for (int64_t k = 0; k < TOGETHER; k++) out[k] = sum_of(even[k] + odd[k]);
}

/* out += factors[k] * row k, for four rows one after the other. */
static inline void add_multiples(double *restrict out, const double *restrict rows, const double *restrict factors, int64_t n, int64_t stride) {
    for (int64_t i = 0; i < n; i += LANES) {
        lanes total = *(const lanes *)(out + i);
        for (int64_t k = 0; k < TOGETHER; k++) total += factors[k] * *(const lanes *)(rows + k * stride + i);
        *(lanes *)(out + i) = total;
    }
}

/* out += factor * a */
static inline void add_multiple(double *restrict out, const double *restrict a, double factor, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) *(lanes *)(out + i) += factor * *(const lanes *)(a + i);
}
#endif
