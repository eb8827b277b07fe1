/* Matrices of any kind, row-major: factors with partial pivoting, and solves by them; after algebra.h. The factors of a are
 * those that LAPACK finds of its transpose, which is what a row-major matrix is to Fortran: a S_0 S_1 ... = L U with U's
 * diagonal ones, where S_k exchanges the columns k and pivots[k]. */

#ifdef PYROXENE_BLAS
static void (*blas_dgetrf)(int *, int *, matrix, int *, int *, int *);
#endif

/* out = L and U in one matrix, then a row of n pivots; nan where a is not finite. A pivot of zero, of a singular matrix, is
 * left as it is. */
static void pyroxene_lu(long n, const double *restrict a, long a0, long a1, double *restrict out) {
    double *pivots = out + n * n, finite = 0.0;
    for (long i = 0; i < n; i++)
        for (long j = 0; j < n; j++) finite += 0.0 * (out[i * n + j] = a[i * a0 + j * a1]);
    if (finite != 0.0) { /* LAPACK does not say what it makes of these */
        for (long i = 0; i < n * n; i++) out[i] = NAN;
        for (long i = 0; i < n; i++) pivots[i] = (double)i;
        return;
    }
#ifdef PYROXENE_BLAS
    if (n > PYROXENE_SMALL) {
        int size = (int)n, failed = 0, row;
        blas_dgetrf(&size, &size, out, &size, (int *)pivots, &failed);
        for (long i = n - 1; i >= 0; i--) { /* from the end: each number needs the room of two */
            memcpy(&row, (char *)pivots + i * (long)sizeof row, sizeof row);
            pivots[i] = row - 1.0;
        }
        return;
    }
#endif
    for (long k = 0; k < n; k++) {
        double *row = out + k * n;
        long best = k;
        for (long j = k + 1; j < n; j++)
            if (fabs(row[j]) > fabs(row[best])) best = j;
        pivots[k] = (double)best;
        if (best != k)
            for (long i = 0; i < n; i++) {
                const double moved = out[i * n + k];
                out[i * n + k] = out[i * n + best];
                out[i * n + best] = moved;
            }
        if (row[k] == 0.0) continue;
        for (long j = k + 1; j < n; j++) row[j] /= row[k];
        for (long i = k + 1; i < n; i++) {
            double *other = out + i * n;
            const double factor = other[k];
            for (long j = k + 1; j < n; j++) other[j] -= factor * row[j];
        }
    }
}

/* row -= the sum of factors[p] rows[p], rows of k elements. */
static void pyroxene_lu_gather(long count, long k, const double *restrict factors, const double *restrict rows,
                               double *restrict row) {
    if (k == 1) {
        double dot = 0.0;
#pragma omp simd reduction(+ : dot)
        for (long p = 0; p < count; p++) dot += factors[p] * rows[p];
        row[0] -= dot;
        return;
    }
    for (long p = 0; p < count; p++)
        for (long j = 0; j < k; j++) row[j] -= factors[p] * rows[p * k + j];
}

/* Each rows[p] -= factors[p] row. */
static void pyroxene_lu_scatter(long count, long k, const double *restrict factors, const double *restrict row,
                                double *restrict rows) {
    for (long p = 0; p < count; p++)
        for (long j = 0; j < k; j++) rows[p * k + j] -= factors[p] * row[j];
}

/* Exchange rows of k elements. */
static void pyroxene_lu_exchange(long k, double *row, double *other) {
    for (long j = 0; j < k; j++) {
        const double moved = row[j];
        row[j] = other[j];
        other[j] = moved;
    }
}

/* out = L^-1 out, then U^-1 out; or the other way round by their transposes. */
static void pyroxene_lu_triangles(int transpose, long n, long k, const double *restrict l, double *restrict out) {
#ifdef PYROXENE_BLAS
    if (n > PYROXENE_SMALL && k > 4) {
        int rows = (int)k, columns = (int)n;
        double one = 1.0;
        char *turned = transpose ? "T" : "N";
        if (!transpose) blas_dtrsm("R", "U", turned, "N", &rows, &columns, &one, (matrix)l, &columns, out, &rows);
        blas_dtrsm("R", "L", turned, "U", &rows, &columns, &one, (matrix)l, &columns, out, &rows);
        if (transpose) blas_dtrsm("R", "U", turned, "N", &rows, &columns, &one, (matrix)l, &columns, out, &rows);
        return;
    }
#endif
    for (long i = 0; i < n; i++) {
        double *row = out + i * k;
        if (transpose) {
            pyroxene_lu_scatter(n - 1 - i, k, l + i * n + i + 1, row, row + k);
        } else {
            pyroxene_lu_gather(i, k, l + i * n, out, row);
            for (long j = 0; j < k; j++) row[j] /= l[i * n + i];
        }
    }
    for (long i = n - 1; i >= 0; i--) {
        double *row = out + i * k;
        if (transpose) {
            for (long j = 0; j < k; j++) row[j] /= l[i * n + i];
            pyroxene_lu_scatter(i, k, l + i * n, row, out);
        } else {
            pyroxene_lu_gather(n - 1 - i, k, l + i * n + i + 1, row + k, row);
        }
    }
}

/* out = a^-1 b or a^-T b, b of shape (n, k), by the factors of a; inf or nan where a is singular. */
static void pyroxene_lu_solve(int transpose, long n, long k, const double *restrict factors, const double *restrict b,
                              long b0, long b1, double *restrict out) {
    const double *pivots = factors + n * n;
    for (long i = 0; i < n; i++)
        for (long j = 0; j < k; j++) out[i * k + j] = b[i * b0 + j * b1];
    if (transpose)
        for (long i = 0; i < n; i++)
            if ((long)pivots[i] != i) pyroxene_lu_exchange(k, out + i * k, out + (long)pivots[i] * k);
    pyroxene_lu_triangles(transpose, n, k, factors, out);
    if (!transpose)
        for (long i = n - 1; i >= 0; i--)
            if ((long)pivots[i] != i) pyroxene_lu_exchange(k, out + i * k, out + (long)pivots[i] * k);
}
