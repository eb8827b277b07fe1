/* What every emitted density begins with: vector forms of libm's functions, and the few functions that libm lacks. */
#include <math.h>
#include <string.h>

/* glibc declares its vector functions (4 ulp) only under -ffast-math, which emitted code must not use: infinities are values. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define PYROXENE_SIMD __attribute__((simd("notinbranch")))
#if __GLIBC_PREREQ(2, 22)
PYROXENE_SIMD double exp(double);
PYROXENE_SIMD double log(double);
PYROXENE_SIMD double sin(double);
PYROXENE_SIMD double cos(double);
PYROXENE_SIMD double pow(double, double);
#endif
#if __GLIBC_PREREQ(2, 35)
PYROXENE_SIMD double log1p(double);
PYROXENE_SIMD double expm1(double);
PYROXENE_SIMD double log2(double);
PYROXENE_SIMD double log10(double);
PYROXENE_SIMD double exp2(double);
PYROXENE_SIMD double tan(double);
PYROXENE_SIMD double asin(double);
PYROXENE_SIMD double acos(double);
PYROXENE_SIMD double atan(double);
PYROXENE_SIMD double atan2(double, double);
PYROXENE_SIMD double sinh(double);
PYROXENE_SIMD double cosh(double);
PYROXENE_SIMD double tanh(double);
PYROXENE_SIMD double asinh(double);
PYROXENE_SIMD double acosh(double);
PYROXENE_SIMD double atanh(double);
PYROXENE_SIMD double erf(double);
PYROXENE_SIMD double erfc(double);
PYROXENE_SIMD double hypot(double, double);
#endif
#endif

/* Both operands are loaded, whichever is chosen: gcc 12 vectorises conditional loads of neighbours under different masks wrongly. */
#define pyroxene_select(mask, a, b) ({ const __typeof__(a) chosen_a = (a); const __typeof__(b) chosen_b = (b); (mask) ? chosen_a : chosen_b; })

static inline long long pyroxene_floor_divide(long long a, long long b) {
    const long long quotient = a / b;
    return quotient * b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

static inline double pyroxene_sinc(double x) {
    const double angle = 3.14159265358979323846 * x;
    return x == 0.0 ? 1.0 : sin(angle) / angle;
}

/* The n-th derivative of digamma, n >= 1: upward recurrence to 20, then the asymptotic series (Abramowitz and Stegun 6.4.11). */
static double pyroxene_polygamma(int n, double x) {
    static const double bernoulli[] = {1.0 / 6, -1.0 / 30, 1.0 / 42, -1.0 / 30, 5.0 / 66, -691.0 / 2730, 7.0 / 6, -3617.0 / 510};
    double factorial = 1.0, sum = 0.0;
    if (!(x > 0.0)) return NAN;
    for (int k = 2; k < n; k++) factorial *= k; /* (n - 1)! */
    const double full = n > 1 ? factorial * n : 1.0;
    while (x < 20.0 + n) {
        sum += full / pow(x, n + 1);
        x += 1.0;
    }
    double term = factorial / pow(x, n) + full / (2.0 * pow(x, n + 1));
    double rising = full * (n + 1) / 2.0; /* (2k + n - 1)! / (2k)! */
    double power = pow(x, n + 2);
    for (int k = 0; k < 8; k++) {
        term += bernoulli[k] * rising / power;
        rising *= (2.0 * k + n + 2) * (2.0 * k + n + 3) / ((2.0 * k + 3) * (2.0 * k + 4));
        power *= x * x;
    }
    return (n % 2 ? 1.0 : -1.0) * (sum + term);
}
