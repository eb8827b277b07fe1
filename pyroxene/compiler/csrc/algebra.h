/* Matrices, row-major, of any strides on input: products, Cholesky factors, triangular solves. */

static void pyroxene_matmul(long m, long n, long k, const double *restrict a, const double *restrict b,
                            long a0, long a1, long b0, long b1, double *restrict out) {
    for (long i = 0; i < m; i++) {
        double *row = out + i * n;
        for (long j = 0; j < n; j++) row[j] = 0.0;
        for (long l = 0; l < k; l++) {
            const double factor = a[i * a0 + l * a1];
            for (long j = 0; j < n; j++) row[j] += factor * b[l * b0 + j * b1];
        }
    }
}

static void pyroxene_cholesky(long n, const double *restrict a, long a0, long a1, double *restrict out) {
    for (long i = 0; i < n; i++) {
        double *row = out + i * n;
        for (long j = 0; j <= i; j++) {
            const double *other = out + j * n;
            double sum = a[i * a0 + j * a1];
            double dot = 0.0;
#pragma omp simd reduction(+ : dot)
            for (long l = 0; l < j; l++) dot += row[l] * other[l];
            sum -= dot;
            row[j] = i == j ? sqrt(sum) : sum / other[j];
        }
        for (long j = i + 1; j < n; j++) row[j] = 0.0;
    }
}

static void pyroxene_solve(int transpose, long n, long k, const double *restrict l, const double *restrict b,
                           long l0, long l1, long b0, long b1, double *restrict out) {
    for (long i = 0; i < n; i++)
        for (long j = 0; j < k; j++) out[i * k + j] = b[i * b0 + j * b1];
    for (long step = 0; step < n; step++) {
        const long i = transpose ? n - 1 - step : step;
        double *row = out + i * k;
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
