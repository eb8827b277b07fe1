/* What roofline.py measures of a machine: each kernel does its work `repeats` times on one thread. It is built with the
 * flags and the prelude of emitted densities, so that vector functions are those that they call. */
#include "prelude.h"

#define SIGNATURE const double *restrict in, double *restrict out, const long long *restrict index, long size, long repeats
#define REPEAT for (long r = 0; r < repeats; r++, keep(in), keep(out))

typedef double vector __attribute__((vector_size(64)));

/* The compiler must believe that memory has changed. */
static inline void keep(const double *memory) { __asm__ volatile("" : : "r"(memory) : "memory"); }

/* A stream of reads, `size` bytes: eight sums, for an addition takes longer than a read. */
void read_stream(SIGNATURE) {
    REPEAT {
        vector sums[8] = {{0.0}};
        const vector *from = (const vector *)in;
        for (long i = 0; i < size / 512; i++)
            for (int k = 0; k < 8; k++) sums[k] += from[8 * i + k];
        for (int k = 0; k < 8; k++) ((vector *)out)[k] = sums[k];
    }
}

/* `size` multiplications and additions whose operands stay in registers. */
void throughput_fma(SIGNATURE) {
    REPEAT {
        vector sums[16] = {{0.0}}, factor = ((const vector *)in)[0];
        for (long i = 0; i < size / 128; i++)
            for (int k = 0; k < 16; k++) {
                sums[k] = sums[k] * factor + factor;
                __asm__ volatile("" : "+v"(sums[k]));
            }
        for (int k = 0; k < 16; k++) ((vector *)out)[k] = sums[k];
    }
}

/* Functions of `size` elements that lie in the first cache; in[i] is between 0 and 1. */
#define ELEMENTWISE(name, result)                         \
    void vector_##name(SIGNATURE) {                       \
        REPEAT {                                          \
            _Pragma("omp simd") for (long i = 0; i < size; i++) { \
                const double x = in[i];                   \
                out[i] = result;                          \
            }                                             \
        }                                                 \
    }
ELEMENTWISE(exp, exp(x))
ELEMENTWISE(log, log(x))
ELEMENTWISE(log1p, log1p(x))
ELEMENTWISE(divide, 1.0 / x)
ELEMENTWISE(sqrt, sqrt(x))

/* The same one by one. */
#define SCALAR(name)                                      \
    void scalar_##name(SIGNATURE) {                       \
        REPEAT for (long i = 0; i < size; i++) {          \
            double x = name(in[i]);                       \
            __asm__ volatile("" : "+x"(x));               \
            out[i] = x;                                   \
        }                                                 \
    }
SCALAR(exp)
SCALAR(log)
SCALAR(log1p)

/* Chains of `size` operations, each of which waits for the one before. */
#define CHAIN(name, result)                               \
    void chain_##name(SIGNATURE) {                        \
        REPEAT {                                          \
            const double a = in[0], b = in[1];            \
            double x = in[2];                             \
            for (long i = 0; i < size; i++) x = result;   \
            out[0] = x + a + b;                           \
        }                                                 \
    }
CHAIN(add, x + a)
CHAIN(multiply, x * a)
CHAIN(fma, a * x + b)
CHAIN(exp, exp(-x))
CHAIN(log, log(x + 2.0)) /* with an addition, lest it end at nan */

/* The sum of `size` elements read by an index, one by one: vector gathers took longer. */
void gather(SIGNATURE) {
    REPEAT {
        double sums[8] = {0.0};
        for (long i = 0; i + 8 <= size; i += 8)
            for (int k = 0; k < 8; k++) {
                sums[k] += in[index[i + k]];
                __asm__ volatile("" : "+x"(sums[k]));
            }
        for (int k = 0; k < 8; k++) out[k] = sums[k];
    }
}

/* `size` elements added to places by an index, into eight copies of the 85 places lest neighbours wait for each other. */
void scatter_add(SIGNATURE) {
    REPEAT for (long i = 0; i + 8 <= size; i += 8)
        for (int k = 0; k < 8; k++) out[128 * k + index[i + k]] += in[i + k];
}

/* Of the positive definite matrix `in` of `size` rows: factor, solution for one right side, inverse. */
static void (*potrf)(char *, int *, double *, int *, int *);
static void (*potrs)(char *, int *, int *, double *, int *, double *, int *, int *);
static void (*potri)(char *, int *, double *, int *, int *);
void bind(void **lapack) { potrf = lapack[0], potrs = lapack[1], potri = lapack[2]; }

#define LAPACK(name, half)                                \
    void lapack_##name(SIGNATURE) {                       \
        int n = (int)size, one = 1, failed = 0;           \
        double *right = out + size * size;                \
        REPEAT {                                          \
            memcpy(out, in, size * size * sizeof(double)); \
            memcpy(right, in, size * sizeof(double));     \
            potrf(half, &n, out, &n, &failed);            \
            potrs(half, &n, &one, out, &n, right, &n, &failed); \
            potri(half, &n, out, &n, &failed);            \
        }                                                 \
    }
LAPACK(lower, "L")
LAPACK(upper, "U")
