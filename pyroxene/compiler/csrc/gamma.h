/* Gamma variates as a pure function of shape and key, and their derivative. compiler/gamma.py has the same in PyTorch, and the
 * sources; the tests hold the two equal. */
#include <stdint.h>

static inline double pyroxene_keyed_uniform(uint64_t key, uint64_t number) {
    uint64_t z = key * 0xd1342543de82ef95u + (number + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
}

static double pyroxene_gamma_sample(double alpha, double uniform) {
    const uint64_t key = (uint64_t)(uniform * 0x1p53);
    const double d = (alpha < 1.0 ? alpha + 1.0 : alpha) - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);
    double result = d;
    for (uint64_t round = 0; round < 64; round++) {
        const double first = pyroxene_keyed_uniform(key, 1 + 3 * round), second = pyroxene_keyed_uniform(key, 2 + 3 * round);
        const double third = pyroxene_keyed_uniform(key, 3 + 3 * round);
        const double normal = sqrt(-2.0 * log(first)) * cos(2.0 * 3.14159265358979323846 * second);
        const double root = 1.0 + c * normal, v = root * root * root;
        if (v > 0.0 && log(third) < 0.5 * normal * normal + d - d * v + d * log(v)) {
            result = d * v;
            break;
        }
    }
    if (alpha < 1.0) result *= exp(log(pyroxene_keyed_uniform(key, 0)) / alpha);
    return result > 2.2250738585072014e-308 ? result : alpha == alpha ? 2.2250738585072014e-308 : alpha;
}

static double pyroxene_gamma_slope(double alpha, double x, double digamma_of_next) {
    double term = 1.0, total = 1.0, harmonic = 0.0, weighted = 0.0;
    for (int n = 1; n < 200000; n++) {
        term *= x / (alpha + n);
        harmonic += 1.0 / (alpha + n);
        total += term;
        weighted += term * harmonic;
        if (!(x > alpha + n) && !(term * harmonic > 1e-17 * weighted)) break;
    }
    return x / alpha * (weighted - total * (log(x) - digamma_of_next));
}
