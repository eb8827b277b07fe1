/* One stream of random numbers for each chain: xoshiro256++ (Blackman and Vigna 2021), keyed by seed and chain.
 *
 * infer/mcmc/random_stream.py is the same generator in Python; the tests hold them equal. */
#ifndef PYROXENE_RANDOM_H
#define PYROXENE_RANDOM_H
#include <math.h>
#include <stdint.h>

#include "ziggurat.h"

typedef struct {
    uint64_t word[4];
} random_stream;

static inline uint64_t rotate_left(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

static inline uint64_t random_bits(random_stream *r) {
    uint64_t *s = r->word;
    const uint64_t result = rotate_left(s[0] + s[3], 23) + s[0], shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* SplitMix64, the generator that xoshiro's authors seed it with. */
static inline uint64_t split_mix(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Seed and chain are mixed one after the other: streams of neighbouring seeds and chains are unrelated. */
static inline void random_seed(random_stream *r, uint64_t seed, uint64_t chain) {
    uint64_t state = seed;
    state = split_mix(&state) ^ chain;
    for (int k = 0; k < 4; k++) r->word[k] = split_mix(&state);
}

/* Uniform on [0, 1), in steps of 2^-53. */
static inline double random_uniform(random_stream *r) { return (double)(random_bits(r) >> 11) * 0x1p-53; }

/* The slow part of the ziggurat, one draw in eighty: the tail beyond the lowest layer, or the wedge of a layer's edge. */
static double random_normal_outside(random_stream *r, int layer, double x, int *accepted) {
    *accepted = 1;
    if (layer == 0) {
        double beyond, height;
        do {
            beyond = -log(1.0 - random_uniform(r)) / ziggurat_edge[1];
            height = -log(1.0 - random_uniform(r));
        } while (2.0 * height < beyond * beyond);
        return x > 0.0 ? ziggurat_edge[1] + beyond : -(ziggurat_edge[1] + beyond);
    }
    const double outer = ziggurat_edge[layer], inner = ziggurat_edge[layer + 1];
    const double low = exp(-0.5 * (outer * outer - x * x)), high = exp(-0.5 * (inner * inner - x * x));
    *accepted = low + random_uniform(r) * (high - low) < 1.0;
    return x;
}

/* A standard normal by the ziggurat of 128 layers (Marsaglia and Tsang 2000, in the form of Doornik 2005): 53 bits say where
 * in a layer, 7 others say which. ziggurat.h holds the tables; infer/mcmc/random_stream.py writes it. */
static inline double random_normal(random_stream *r) {
    for (;;) {
        const uint64_t bits = random_bits(r);
        const int layer = (int)(bits & 127u);
        const double where = 2.0 * ((double)(bits >> 11) * 0x1p-53) - 1.0;
        if (fabs(where) < ziggurat_inside[layer]) return where * ziggurat_edge[layer];
        int accepted;
        const double x = random_normal_outside(r, layer, where * ziggurat_edge[layer], &accepted);
        if (accepted) return x;
    }
}
#endif
