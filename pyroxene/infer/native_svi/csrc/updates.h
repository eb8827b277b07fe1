/* What optimisers do to a vector of parameters, given its gradient: the rules of torch.optim and of ClippedAdam.
 *
 * A group is a range of the vector that shares options and a count of steps. Its state is three vectors beside the
 * parameters; updates.py says what each rule keeps in which. */
#ifndef PYROXENE_UPDATES_H
#define PYROXENE_UPDATES_H
#include <math.h>
#include <stdint.h>

enum { SGD, ADAM, ADAMW, CLIPPED_ADAM, RMSPROP, ADAGRAD };

typedef struct {
    double rule, first, count, first_member, members; /* members: parameters, each clipped by itself */
    double step, rate, decay, beta1, beta2, epsilon, momentum, dampening, nesterov, variant, maximize;
    double clip_norm, clip_value, largest, rate_decay;
} group;

typedef struct {
    double *restrict parameters, *restrict gradient, *restrict first, *restrict second, *restrict third;
} vectors;

static void clip_members(const group *o, double *g, const int64_t *starts) {
    const int64_t from = (int64_t)o->first_member, to = from + (int64_t)o->members;
    for (int64_t m = from; m < to && isfinite(o->clip_norm); m++) {
        double square = 0.0;
        for (int64_t i = starts[m]; i < starts[m + 1]; i++) square += g[i] * g[i];
        const double shrink = fmin(o->clip_norm / (sqrt(square) + 1e-6), 1.0);
        for (int64_t i = starts[m]; i < starts[m + 1]; i++) g[i] *= shrink;
    }
    if (!isfinite(o->clip_value)) return;
    for (int64_t i = starts[from]; i < starts[to]; i++) g[i] = fmax(fmin(g[i], o->clip_value), -o->clip_value);
}

static inline double clamped(double x, double bound) { return x > bound ? bound : x < -bound ? -bound : x; }

static void update_sgd(const group *o, vectors v, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double g = (o->maximize ? -v.gradient[i] : v.gradient[i]) + o->decay * v.parameters[i];
        if (o->momentum != 0.0) {
            const double buffer = v.first[i] = o->momentum * v.first[i] + (1.0 - o->dampening) * g;
            g = o->nesterov ? g + o->momentum * buffer : buffer;
        }
        v.parameters[i] -= o->rate * g;
    }
}

static void update_adam(const group *o, vectors v, int64_t n) {
    const double bias1 = 1.0 - pow(o->beta1, o->step), root = sqrt(1.0 - pow(o->beta2, o->step));
    const double size = o->rate / bias1, keep = o->rule == ADAMW ? 1.0 - o->rate * o->decay : 1.0;
    const double decay = o->rule == ADAMW ? 0.0 : o->decay;
    const int largest = o->variant != 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double p = v.parameters[i] * keep, g = (o->maximize ? -v.gradient[i] : v.gradient[i]) + decay * p;
        const double mean = v.first[i] += (1.0 - o->beta1) * (g - v.first[i]);
        double square = v.second[i] = o->beta2 * v.second[i] + (1.0 - o->beta2) * g * g;
        if (largest) square = v.third[i] = fmax(v.third[i], square);
        v.parameters[i] = p - size * mean / (sqrt(square) / root + o->epsilon);
    }
}

static void update_clipped_adam(group *o, vectors v, int64_t n) {
    o->rate *= o->rate_decay;
    const double size = o->rate * sqrt(1.0 - pow(o->beta2, o->step)) / (1.0 - pow(o->beta1, o->step));
    for (int64_t i = 0; i < n; i++) {
        const double g = clamped(v.gradient[i], o->largest) + o->decay * v.parameters[i];
        const double mean = v.first[i] += (1.0 - o->beta1) * (g - v.first[i]), around = o->variant ? g - mean : g;
        const double square = v.second[i] = o->beta2 * v.second[i] + (1.0 - o->beta2) * around * around;
        v.parameters[i] -= size * mean / (sqrt(square) + o->epsilon);
    }
}

static void update_rmsprop(const group *o, vectors v, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const double g = (o->maximize ? -v.gradient[i] : v.gradient[i]) + o->decay * v.parameters[i];
        double square = v.first[i] = o->beta2 * v.first[i] + (1.0 - o->beta2) * g * g;
        if (o->variant) {
            v.third[i] += (1.0 - o->beta2) * (g - v.third[i]);
            square -= v.third[i] * v.third[i];
        }
        double move = g / (sqrt(square) + o->epsilon);
        if (o->momentum > 0.0) move = v.second[i] = o->momentum * v.second[i] + move;
        v.parameters[i] -= o->rate * move;
    }
}

static void update_adagrad(const group *o, vectors v, int64_t n) {
    const double rate = o->rate / (1.0 + (o->step - 1.0) * o->rate_decay);
    for (int64_t i = 0; i < n; i++) {
        const double g = (o->maximize ? -v.gradient[i] : v.gradient[i]) + o->decay * v.parameters[i];
        v.first[i] += g * g;
        v.parameters[i] -= rate * g / (sqrt(v.first[i]) + o->epsilon);
    }
}

static void update(group *o, vectors v, const int64_t *starts) {
    const int64_t first = (int64_t)o->first, n = (int64_t)o->count;
    if (isfinite(o->clip_norm) || isfinite(o->clip_value)) clip_members(o, v.gradient, starts);
    o->step += 1.0;
    const vectors own = {v.parameters + first, v.gradient + first, v.first + first, v.second + first, v.third + first};
    switch ((int)o->rule) {
    case SGD: update_sgd(o, own, n); break;
    case ADAM:
    case ADAMW: update_adam(o, own, n); break;
    case CLIPPED_ADAM: update_clipped_adam(o, own, n); break;
    case RMSPROP: update_rmsprop(o, own, n); break;
    default: update_adagrad(o, own, n);
    }
}
#endif
