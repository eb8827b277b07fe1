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

/* Turn bar, the gradient by a lower factor l, into the gradient by the lower triangle of the matrix; both n by n with rows of
 * `lead` elements. Row by row from the last (Murray 2016, section 3.1). */
static void pyroxene_cholesky_adjoint_small(long n, const double *restrict l, double *restrict bar, long lead) {
    for (long j = n - 1; j >= 0; j--) {
        const double *r = l + j * lead;
        double *r_bar = bar + j * lead;
        const double inverse = 1.0 / r[j];
        double d_bar = r_bar[j];
        for (long i = j + 1; i < n; i++) d_bar -= l[i * lead + j] * bar[i * lead + j] * inverse;
        d_bar *= inverse;
        for (long p = 0; p < j; p++) r_bar[p] -= d_bar * r[p];
        for (long i = j + 1; i < n; i++) {
            const double *row = l + i * lead;
            double *row_bar = bar + i * lead;
            const double c_bar = row_bar[j] *= inverse;
            for (long p = 0; p < j; p++) {
                r_bar[p] -= c_bar * row[p];
                row_bar[p] -= c_bar * r[p];
            }
        }
        r_bar[j] = 0.5 * d_bar;
    }
}

#ifdef PYROXENE_BLAS
/* c -= a b, or a^T b, of (m, k) and (k, n), row-major. */
static void pyroxene_subtract(char *turned, long m, long n, long k, const double *a, long lead_a, const double *b, long lead_b,
                              double *c, long lead_c) {
    int rows = (int)n, columns = (int)m, inner = (int)k, la = (int)lead_a, lb = (int)lead_b, lc = (int)lead_c;
    double minus = -1.0, one = 1.0;
    if (m && n && k) blas_dgemm("N", turned, &rows, &columns, &inner, &minus, (matrix)b, &lb, (matrix)a, &la, &one, c, &lc);
}
#endif

#define PYROXENE_PANEL 32 /* rows that are done one by one; the rest of the work is products */

/* out = the gradient by the lower triangle of a matrix, from g, that by its factor l (Murray 2016, section 3.2). */
static void pyroxene_cholesky_adjoint(long n, const double *restrict l, const double *restrict g, double *restrict out) {
    for (long i = 0; i < n; i++) {
        for (long j = 0; j <= i; j++) out[i * n + j] = g[i * n + j];
        for (long j = i + 1; j < n; j++) out[i * n + j] = 0.0;
    }
#ifdef PYROXENE_BLAS
    for (long end = n; end > 0; end -= end % PYROXENE_PANEL ? end % PYROXENE_PANEL : PYROXENE_PANEL) {
        const long size = end % PYROXENE_PANEL ? end % PYROXENE_PANEL : PYROXENE_PANEL, start = end - size, below = n - end;
        const double *r = l + start * n, *d = r + start, *b = l + end * n, *c = b + start;
        double *r_bar = out + start * n, *d_bar = r_bar + start, *b_bar = out + end * n, *c_bar = b_bar + start;
        double both[PYROXENE_PANEL * PYROXENE_PANEL];
        if (below) {
            int rows = (int)size, columns = (int)below, lead = (int)n;
            double one = 1.0;
            blas_dtrsm("L", "U", "N", "N", &rows, &columns, &one, (matrix)d, &lead, c_bar, &lead);
            pyroxene_subtract("N", below, start, size, c_bar, n, r, n, b_bar, n);
            pyroxene_subtract("T", size, size, below, c_bar, n, c, n, d_bar, n);
        }
        pyroxene_cholesky_adjoint_small(size, d, d_bar, n);
        for (long i = 0; i < size; i++) {
            for (long j = 0; j < i; j++) both[i * size + j] = both[j * size + i] = d_bar[i * n + j];
            both[i * size + i] = 2.0 * d_bar[i * n + i];
        }
        pyroxene_subtract("T", size, start, below, c_bar, n, b, n, r_bar, n);
        pyroxene_subtract("N", size, start, size, both, size, r, n, r_bar, n);
        for (long i = 0; i < size; i++)
            for (long j = i + 1; j < size; j++) d_bar[i * n + j] = 0.0; /* the product filled the upper triangle too */
    }
#else
    pyroxene_cholesky_adjoint_small(n, l, out, n);
#endif
}
