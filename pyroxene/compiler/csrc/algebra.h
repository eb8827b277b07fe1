/* Matrices, row-major: products, Cholesky factors, triangular solves. Small ones by loops, large ones by BLAS and LAPACK,
 * whose addresses (those that scipy exports) are bound when the library is loaded. To Fortran a row-major matrix is its
 * transpose: a lower factor L is upper there. */

#ifdef PYROXENE_BLAS
typedef double *matrix;
static void (*blas_dgemm)(char *, char *, int *, int *, int *, double *, matrix, int *, matrix, int *, double *, matrix, int *);
static void (*blas_dtrsm)(char *, char *, char *, char *, int *, int *, double *, matrix, int *, matrix, int *);
static void (*blas_dpotrf)(char *, int *, matrix, int *, int *);
#endif

#define PYROXENE_SMALL 24 /* up to here loops are faster than a call */

/* out = a b, (m, k) by (k, n); one of each pair of strides is 1. */
static void pyroxene_matmul(long m, long n, long k, const double *restrict a, const double *restrict b,
                            long a0, long a1, long b0, long b1, double *restrict out) {
#ifdef PYROXENE_BLAS
    if (m * n * k > (long)PYROXENE_SMALL * PYROXENE_SMALL * PYROXENE_SMALL) {
        int rows = (int)n, columns = (int)m, inner = (int)k;
        int lead_a = (int)(a1 == 1 ? a0 : a1), lead_b = (int)(b1 == 1 ? b0 : b1), lead = (int)n;
        double one = 1.0, zero = 0.0;
        if (lead_a < 1) lead_a = 1;
        if (lead_b < 1) lead_b = 1;
        blas_dgemm(b1 == 1 ? "N" : "T", a1 == 1 ? "N" : "T", &rows, &columns, &inner, &one, (matrix)b, &lead_b, (matrix)a,
                   &lead_a, &zero, out, &lead);
        return;
    }
#endif
    for (long i = 0; i < m; i++) {
        double *row = out + i * n;
        for (long j = 0; j < n; j++) row[j] = 0.0;
        for (long l = 0; l < k; l++) {
            const double factor = a[i * a0 + l * a1];
            for (long j = 0; j < n; j++) row[j] += factor * b[l * b0 + j * b1];
        }
    }
}

/* out = the lower factor of a, zeros above; nan everywhere where a is not positive definite. */
static void pyroxene_cholesky(long n, const double *restrict a, long a0, long a1, double *restrict out) {
#ifdef PYROXENE_BLAS
    if (n > PYROXENE_SMALL) {
        int size = (int)n, failed = 0;
        for (long i = 0; i < n; i++) {
            for (long j = 0; j <= i; j++) out[i * n + j] = a[i * a0 + j * a1];
            for (long j = i + 1; j < n; j++) out[i * n + j] = 0.0;
        }
        blas_dpotrf("U", &size, out, &size, &failed);
        if (failed)
            for (long i = 0; i < n * n; i++) out[i] = NAN;
        return;
    }
#endif
    for (long i = 0; i < n; i++) {
        double *row = out + i * n;
        for (long j = 0; j <= i; j++) {
            const double *other = out + j * n;
            double dot = 0.0;
#pragma omp simd reduction(+ : dot)
            for (long l = 0; l < j; l++) dot += row[l] * other[l];
            const double rest = a[i * a0 + j * a1] - dot;
            row[j] = i == j ? sqrt(rest) : rest / other[j];
        }
        for (long j = i + 1; j < n; j++) row[j] = 0.0;
    }
}

/* out = L^-1 b or L^-T b, b of shape (n, k); of l only the lower triangle is read, and one of its strides is 1. */
static void pyroxene_solve(int transpose, long n, long k, const double *restrict l, const double *restrict b,
                           long l0, long l1, long b0, long b1, double *restrict out) {
    for (long i = 0; i < n; i++)
        for (long j = 0; j < k; j++) out[i * k + j] = b[i * b0 + j * b1];
#ifdef PYROXENE_BLAS
    if (n > PYROXENE_SMALL && k > 4) {
        int rows = (int)k, columns = (int)n, lead = (int)(l1 == 1 ? l0 : l1);
        double one = 1.0;
        char *half = l1 == 1 ? "U" : "L", *turned = (l1 == 1) == (transpose != 0) ? "T" : "N";
        blas_dtrsm("R", half, turned, "N", &rows, &columns, &one, (matrix)l, &lead, out, &rows);
        return;
    }
#endif
    for (long step = 0; step < n; step++) {
        const long i = transpose ? n - 1 - step : step;
        double *row = out + i * k;
        if (k == 1 && !transpose) { /* along the row of l */
            double dot = 0.0;
#pragma omp simd reduction(+ : dot)
            for (long p = 0; p < i; p++) dot += l[i * l0 + p * l1] * out[p];
            out[i] = (out[i] - dot) / l[i * l0 + i * l1];
            continue;
        }
        const double inverse = 1.0 / l[i * l0 + i * l1];
        for (long j = 0; j < k; j++) row[j] *= inverse;
        if (transpose) {
            for (long p = 0; p < i; p++) {
                const double factor = l[i * l0 + p * l1];
                for (long j = 0; j < k; j++) out[p * k + j] -= factor * row[j];
            }
        } else {
            for (long p = i + 1; p < n; p++) {
                const double factor = l[p * l0 + i * l1];
                for (long j = 0; j < k; j++) out[p * k + j] -= factor * row[j];
            }
        }
    }
}
