/* The stream of torch's CPU generator: the Mersenne twister mt19937 (Matsumoto and Nishimura 1998), and the ways in which
 * torch makes uniforms, normals and subsets of its words. A run begins where torch stands and leaves torch where it ends, so
 * that a seed gives the same numbers here and on eager PyTorch. generator.py holds the two equal before it relies on it. */
#ifndef PYROXENE_GENERATOR_H
#define PYROXENE_GENERATOR_H
#include <math.h>
#include <stdint.h>

#define WORDS 624
#define MIDDLE 397

/* The layout of torch.get_rng_state(). */
typedef struct {
    uint64_t seed;
    int32_t left;
    int32_t seeded;
    uint64_t next;
    uint64_t word[WORDS];
    double normal_x, normal_y, normal_rho;
    int32_t normal_is_valid;
    int32_t pad;
    float float_normal;
    uint8_t float_normal_is_valid;
    uint8_t pads[3];
} generator;

static inline uint64_t twisted(uint64_t high, uint64_t low) {
    return (((high & 0x80000000u) | (low & 0x7fffffffu)) >> 1) ^ ((low & 1u) ? 0x9908b0dfu : 0u);
}

static void generator_refill(generator *g) {
    uint64_t *s = g->word;
    for (int k = 0; k < WORDS - MIDDLE; k++) s[k] = s[k + MIDDLE] ^ twisted(s[k], s[k + 1]);
    for (int k = WORDS - MIDDLE; k < WORDS - 1; k++) s[k] = s[k + MIDDLE - WORDS] ^ twisted(s[k], s[k + 1]);
    s[WORDS - 1] = s[MIDDLE - 1] ^ twisted(s[WORDS - 1], s[0]);
    g->left = WORDS;
    g->next = 0;
}

static void generator_seed(generator *g, uint64_t seed) {
    *g = (generator){.seed = seed, .left = 1, .seeded = 1};
    g->word[0] = seed & 0xffffffffu;
    for (int k = 1; k < WORDS; k++) {
        const uint64_t before = g->word[k - 1];
        g->word[k] = (1812433253u * (before ^ (before >> 30)) + (uint64_t)k) & 0xffffffffu;
    }
}

static inline uint32_t random_word(generator *g) {
    if (--g->left == 0) generator_refill(g);
    uint32_t y = (uint32_t)g->word[g->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static void skip_words(generator *g, int64_t count) {
    while (count >= g->left) {
        count -= g->left;
        generator_refill(g);
        g->next = 1; /* left counts one more than what remains: the word that refilled is the first of the new ones */
    }
    g->left -= (int32_t)count;
    g->next += (uint64_t)count;
}

/* On [0, 1), in steps of 2^-53 or, where the program works in single precision, of 2^-24. */
static inline double uniform_wide(generator *g) {
    const uint64_t high = random_word(g);
    return (double)(((high << 32) | random_word(g)) & ((1ull << 53) - 1)) * 0x1p-53;
}
static inline double uniform_narrow(generator *g) { return (double)(random_word(g) & ((1u << 24) - 1)) * 0x1p-24; }

/* Box and Muller 1958, one of each pair kept for the next call. */
static inline double normal_wide(generator *g) {
    if (g->normal_is_valid) {
        const double kept = g->normal_y;
        g->normal_is_valid = 0;
        g->normal_y = 0.0;
        return kept;
    }
    const double angle = 2.0 * M_PI * uniform_wide(g);
    const double radius = sqrt(-2.0 * log1p(-uniform_wide(g)));
    g->normal_y = radius * sin(angle);
    g->normal_is_valid = 1;
    return radius * cos(angle);
}

/* Sixteen at a time, as torch fills tensors of sixteen and more. */
static void normals_of_block(double *out) {
    for (int k = 0; k < 8; k++) {
        const double radius = sqrt(-2.0 * log(1.0 - out[k])), angle = 2.0 * M_PI * out[k + 8];
        out[k] = radius * cos(angle);
        out[k + 8] = radius * sin(angle);
    }
}

static void fill_uniforms(generator *g, double *out, int64_t count, int narrow) {
    for (int64_t i = 0; i < count; i++) out[i] = narrow ? uniform_narrow(g) : uniform_wide(g);
}

static void fill_normals(generator *g, double *out, int64_t count, int narrow) {
    if (count < 16) {
        for (int64_t i = 0; i < count; i++) out[i] = normal_wide(g);
    } else {
        fill_uniforms(g, out, count, narrow);
        for (int64_t i = 0; i + 16 <= count; i += 16) normals_of_block(out + i);
        if (count % 16) { /* the last sixteen anew */
            fill_uniforms(g, out + count - 16, 16, narrow);
            normals_of_block(out + count - 16);
        }
    }
    if (narrow)
        for (int64_t i = 0; i < count; i++) out[i] = (float)out[i];
}

/* Shuffles of so many are drawn to their end, as torch draws them, so that later numbers are torch's too; beyond, the end
 * would cost more (0.7 ns each) than most steps. */
#define WHOLE_SHUFFLE 16384

/* So many of 0, 1, ..., size - 1 without replacement: the beginning of a shuffle. order is 0, 1, ..., size - 1 before and
 * after: the exchanges are undone, so that a draw costs what it takes and not what it takes from. */
static void fill_subset(generator *g, double *out, int64_t count, int64_t *order, int64_t *moves, int64_t size) {
    for (int64_t i = 0; i < count; i++) { /* torch draws none for the last of all, and a subset is never all */
        const int64_t from = i + (int64_t)(random_word(g) % (uint64_t)(size - i)), taken = order[from];
        order[from] = order[i];
        order[i] = taken;
        moves[i] = from;
        out[i] = (double)taken;
    }
    if (size <= WHOLE_SHUFFLE && size - 1 > count) skip_words(g, size - 1 - count);
    for (int64_t i = count - 1; i >= 0; i--) {
        const int64_t taken = order[i];
        order[i] = order[moves[i]];
        order[moves[i]] = taken;
    }
}
#endif
