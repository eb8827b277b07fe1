/* The metric of least Fisher divergence in few dimensions, from a window of draws and their gradients.
 *
 * metrics/fisher.py and metrics/auto.py write the same with numpy, where each of some forty calls costs a microsecond and
 * more: as much as a chain of a small posterior needs for a hundred leapfrogs. What is out of the ordinary is left to them. */
#ifndef PYROXENE_FISHER_H
#define PYROXENE_FISHER_H
#include <math.h>

#include "sampler.h"
#include "vector.h"

enum { UNSURE = -1 };

/* Numbers that metrics/fisher.py and metrics/auto.py name. */
typedef struct {
    double smallest, largest, constant_slope, shrinkage, round;
} fisher_numbers;

/* Writes columns of `from` (count x dim) as rows of `to` (dim x stride), less their means; pads are zero. */
static inline void centred_rows(const double *from, int64_t count, int64_t dim, double *to, int64_t stride, double *restrict means) {
    for (int64_t i = 0; i < dim; i++) means[i] = 0.0;
    for (int64_t n = 0; n < count; n++)
        for (int64_t i = 0; i < dim; i++) means[i] += from[n * dim + i];
    for (int64_t i = 0; i < dim; i++) {
        double *row = to + i * stride;
        means[i] /= (double)count;
        for (int64_t n = 0; n < count; n++) row[n] = from[n * dim + i] - means[i];
        for (int64_t n = count; n < stride; n++) row[n] = 0.0;
    }
}

static inline void products_of_rows(const double *rows, int64_t dim, int64_t stride, double *out) {
    for (int64_t i = 0; i < dim; i++)
        for (int64_t j = 0; j <= i; j++) out[i * dim + j] = out[j * dim + i] = dot(rows + i * stride, rows + j * stride, stride);
}

/* Replaces the lower triangle by the Cholesky factor, and clears the upper. Returns whether the matrix is positive definite. */
static inline int cholesky(double *a, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j <= i; j++) {
            double left = a[i * n + j];
            for (int64_t k = 0; k < j; k++) left -= a[i * n + k] * a[j * n + k];
            if (j < i) {
                a[i * n + j] = left / a[j * n + j];
            } else if (left > 0.0) {
                a[i * n + i] = sqrt(left);
            } else {
                return 0;
            }
        }
        for (int64_t j = i + 1; j < n; j++) a[i * n + j] = 0.0;
    }
    return 1;
}

/* Turns rows (n x stride) by plane rotations among them until they are orthogonal: each is then a singular vector times its
 * singular value (one-sided Jacobi; Golub and Van Loan, Matrix Computations, 8.6). For few dimensions nothing is faster, and
 * it is exact to the last digits. `tolerance` is the largest cosine that is left. Returns whether it converged. */
static inline int orthogonalise(double *rows, int64_t n, int64_t stride, double tolerance, double *squares) {
    for (int sweep = 0; sweep < 30; sweep++) {
        int is_done = 1;
        for (int64_t i = 0; i < n; i++) squares[i] = dot(rows + i * stride, rows + i * stride, stride);
        for (int64_t i = 0; i < n; i++) {
            double *restrict p = rows + i * stride;
            for (int64_t j = i + 1; j < n; j++) {
                double *restrict q = rows + j * stride;
                const double across = dot(p, q, stride);
                if (across * across <= tolerance * tolerance * (squares[i] * squares[j])) continue;
                is_done = 0;
                const double ratio = (squares[j] - squares[i]) / (2.0 * across);
                const double t = copysign(1.0, ratio) / (fabs(ratio) + sqrt(1.0 + ratio * ratio));
                const double c = 1.0 / sqrt(1.0 + t * t), s = t * c;
                for (int64_t k = 0; k < stride; k += LANES) {
                    const lanes x = *(const lanes *)(p + k), y = *(const lanes *)(q + k);
                    *(lanes *)(p + k) = c * x - s * y;
                    *(lanes *)(q + k) = s * x + c * y;
                }
                squares[i] -= t * across;
                squares[j] += t * across;
            }
        }
        if (is_done) return 1;
    }
    return 0;
}

/* Writes rows (n x stride, pads zero) whose columns H have H H^T = S, with S precision S = covariance: the geometric mean of
 * `covariance` and the inverse of `precision`, which are replaced by their Cholesky factors K and L. With L^T K = V diag(x)
 * W^T it is H = L^-T V diag(sqrt x). Returns whether all went well. */
static inline int root_of_geometric_mean(double *covariance, double *precision, double *rows, double *squares, int64_t n) {
    const int64_t stride = padded(n);
    if (!cholesky(covariance, n) || !cholesky(precision, n)) return 0;
    for (int64_t j = 0; j < n; j++)   /* row j = column j of L^T K */
        for (int64_t i = 0; i < stride; i++) {
            double total = 0.0;
            if (i < n)
                for (int64_t k = i > j ? i : j; k < n; k++) total += precision[k * n + i] * covariance[k * n + j];
            rows[j * stride + i] = total;
        }
    if (!orthogonalise(rows, n, stride, 1e-14, squares)) return 0;
    for (int64_t e = 0; e < n; e++) {
        double *row = rows + e * stride;
        if (!(squares[e] > 0.0)) return 0;
        const double factor = 1.0 / sqrt(sqrt(squares[e]));
        for (int64_t i = n - 1; i >= 0; i--) {
            double left = factor * row[i];
            for (int64_t k = i + 1; k < n; k++) left -= precision[k * n + i] * row[k];
            row[i] = left / precision[i * n + i];
        }
    }
    return 1;
}

/* The metric of draws and gradients, both count x dim. DIAGONAL: `scale` is set; DENSE: `factor` is, lower triangular, dim x
 * dim; UNSURE: something is not finite or not positive definite. `work`: 2 dim (padded(count) + 1) + dim (2 dim + padded(dim)) doubles. */
static inline int64_t least_divergence(const double *draws, const double *gradients, int64_t count, int64_t dim,
                                       const fisher_numbers *numbers, double *work, double *scale, double *factor) {
    const int64_t stride = padded(count), square = dim * dim;
    double *positions = work, *slopes = positions + dim * stride, *means = slopes + dim * stride, *constant = means + dim;
    double *covariance = constant + dim, *precision = covariance + square, *rows = precision + square;
    centred_rows(draws, count, dim, positions, stride, means);
    centred_rows(gradients, count, dim, slopes, stride, means);
    products_of_rows(positions, dim, stride, covariance);
    products_of_rows(slopes, dim, stride, precision);
    for (int64_t i = 0; i < dim; i++) {
        constant[i] = numbers->constant_slope * means[i] * means[i];
        const double spread = covariance[i * (dim + 1)] / (double)count, slope = precision[i * (dim + 1)] / (double)count + constant[i];
        if (!(spread >= numbers->smallest && spread <= numbers->largest)) return UNSURE;
        if (!(slope >= numbers->smallest && slope <= numbers->largest)) return UNSURE;
        scale[i] = sqrt(sqrt(spread / slope));
    }
    const double all = (double)count + numbers->shrinkage;
    for (int64_t i = 0; i < dim; i++) {
        for (int64_t j = 0; j < dim; j++) {
            covariance[i * dim + j] /= scale[i] * scale[j] * all;
            precision[i * dim + j] *= scale[i] * scale[j] / all;
        }
        covariance[i * (dim + 1)] += numbers->shrinkage / all;
        precision[i * (dim + 1)] += (numbers->shrinkage + (double)count * constant[i] * scale[i] * scale[i]) / all;
    }
    if (!root_of_geometric_mean(covariance, precision, rows, means, dim)) return UNSURE;
    for (int64_t i = 0; i < dim; i++)
        for (int64_t j = 0; j <= i; j++) {
            double total = 0.0;
            for (int64_t e = 0; e < dim; e++) total += rows[e * padded(dim) + i] * rows[e * padded(dim) + j];
            factor[i * dim + j] = factor[j * dim + i] = total * scale[i] * scale[j];
        }
    if (!orthogonalise(rows, dim, padded(dim), 1e-6, means)) return UNSURE;
    int is_round = 1;   /* the squares are the eigenvalues of what the diagonal leaves */
    for (int64_t i = 0; i < dim; i++) is_round &= means[i] > 1.0 / numbers->round && means[i] < numbers->round;
    if (is_round) return DIAGONAL;
    return cholesky(factor, dim) ? DENSE : UNSURE;
}
#endif
