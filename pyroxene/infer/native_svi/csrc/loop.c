/* Steps of stochastic variational inference: noise, loss and gradient, update, again. loop.py holds the other side. */
#include <stdint.h>
#include <string.h>

#include "generator.h"
#include "updates.h"

typedef void (*program)(const double *const *inputs, double *const *outputs, const void *const *context);

enum { UNIFORM, NORMAL, SUBSET, WIDE };

/* A number of theirs, in torch's memory, and the one of ours that stands for it. */
typedef struct {
    double *ours;
    void *theirs;
    int64_t count, narrow;
} mirror;

typedef struct {
    program function;
    const double *const *inputs; /* parameters, indices, noise, data */
    double *const *outputs;      /* loss, gradient */
    const void *const *context;
    double *parameters, *gradient, *total, *indices, *noise, *loss;
    double *first, *second, *third;
    int64_t dim, particles, draw_count, group_count, mirror_count, narrow;
    const int64_t *draws;  /* kind and size of each, in the order of a step; of a subset, its number in place of a size */
    const int64_t *plates; /* of each that draws a subset: size, subset's size, where its indices and its order begin */
    int64_t *order, *moves;
    group *groups;
    const int64_t *starts;
    mirror *mirrors;
    generator *random;
    double *losses;
    int64_t done;
} run;

void svi_seed(generator *g, uint64_t seed) { generator_seed(g, seed); }

void svi_normals(generator *g, double *out, int64_t count, int64_t narrow) { fill_normals(g, out, count, (int)narrow); }

void svi_uniforms(generator *g, double *out, int64_t count, int64_t narrow) { fill_uniforms(g, out, count, (int)narrow); }

void svi_subset(generator *g, double *out, int64_t count, int64_t *order, int64_t *moves, int64_t size) {
    fill_subset(g, out, count, order, moves, size);
}

static void draw_subset(run *r, int64_t number) {
    const int64_t *plate = r->plates + 4 * number;
    fill_subset(r->random, r->indices + plate[2], plate[1], r->order + plate[3], r->moves, plate[0]);
}

/* The numbers of one particle; subsets are the first's, for all. */
static void draw_noise(run *r, int64_t particle) {
    double *out = r->noise;
    for (int64_t k = 0; k < r->draw_count; k++) {
        const int64_t kind = r->draws[2 * k], count = r->draws[2 * k + 1];
        if (kind == SUBSET) {
            if (particle == 0) draw_subset(r, count);
            continue;
        }
        if (kind == NORMAL) fill_normals(r->random, out, count, (int)r->narrow);
        else fill_uniforms(r->random, out, count, kind == UNIFORM && r->narrow);
        out += count;
    }
}

/* What someone else wrote to their numbers since holds; where they are what ours round to, ours stay, exact. */
static void read_mirrors(run *r) {
    for (int64_t m = 0; m < r->mirror_count; m++) {
        const mirror *a = r->mirrors + m;
        for (int64_t i = 0; i < a->count; i++) {
            if (!a->narrow) a->ours[i] = ((double *)a->theirs)[i];
            else if ((float)a->ours[i] != ((float *)a->theirs)[i]) a->ours[i] = (double)((float *)a->theirs)[i];
        }
    }
}

static void write_mirrors(run *r) {
    for (int64_t m = 0; m < r->mirror_count; m++) {
        const mirror *a = r->mirrors + m;
        for (int64_t i = 0; i < a->count; i++) {
            if (a->narrow) ((float *)a->theirs)[i] = (float)a->ours[i];
            else ((double *)a->theirs)[i] = a->ours[i];
        }
    }
}

/* One estimate of the loss and its gradient; each particle draws noise of its own, unless it is given. */
static double estimate(run *r, int given) {
    if (r->particles == 1) {
        if (!given) draw_noise(r, 0);
        r->function(r->inputs, r->outputs, r->context);
        return *r->loss;
    }
    double loss = 0.0;
    memset(r->total, 0, (size_t)r->dim * sizeof(double));
    for (int64_t p = 0; p < r->particles; p++) {
        if (!given) draw_noise(r, p);
        r->function(r->inputs, r->outputs, r->context);
        loss += *r->loss / (double)r->particles;
        for (int64_t i = 0; i < r->dim; i++) r->total[i] += r->gradient[i] / (double)r->particles;
    }
    memcpy(r->gradient, r->total, (size_t)r->dim * sizeof(double));
    return loss;
}

static void step_groups(run *r) {
    const vectors v = {r->parameters, r->gradient, r->first, r->second, r->third};
    for (int64_t k = 0; k < r->group_count; k++) update(r->groups + k, v, r->starts);
}

/* So many steps. given: whether noise and indices are there already; then it is one step of one particle. */
void svi_steps(run *r, int64_t steps, int64_t given) {
    read_mirrors(r);
    for (int64_t step = 0; step < steps; step++) {
        *r->losses++ = estimate(r, (int)given);
        step_groups(r);
        r->done++;
    }
    write_mirrors(r);
}

/* Updates alone, on the gradient that is there: for the tests. */
void svi_update(run *r) {
    read_mirrors(r);
    step_groups(r);
    write_mirrors(r);
}
