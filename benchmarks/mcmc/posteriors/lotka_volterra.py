"""Predator and prey (Lotka 1925, Volterra 1926) over 20 years, solved by fixed-step Runge-Kutta of order 4.

The data are synthetic, in the shape of the pelts of hare and lynx. Rates: growth of the prey, death by predation,
decline of the predator, growth by predation. Five steps a year; the solver is part of the model, the same in every
language.
"""

from __future__ import annotations

import numpy as np

YEARS, STEPS = 20, 5
RATE_MEDIANS = (0.5, 0.025, 0.8, 0.025)


def runge_kutta(derivative, u, v, step):
    """Return the populations one step later; derivative(u, v) gives their two rates of change."""
    u1, v1 = derivative(u, v)
    u2, v2 = derivative(u + 0.5 * step * u1, v + 0.5 * step * v1)
    u3, v3 = derivative(u + 0.5 * step * u2, v + 0.5 * step * v2)
    u4, v4 = derivative(u + step * u3, v + step * v3)
    sixth = step / 6.0
    return u + sixth * (u1 + 2.0 * (u2 + u3) + u4), v + sixth * (v1 + 2.0 * (v2 + v3) + v4)


def change(rates):
    """Return the derivative of the populations under four rates."""
    return lambda u, v: (u * (rates[0] - rates[1] * v), v * (rates[3] * u - rates[2]))


def data():
    random = np.random.default_rng(11)
    u, v = 33.0, 6.0
    path = [(u, v)]
    for _ in range(YEARS):
        for _ in range(STEPS):
            u, v = runge_kutta(change((0.55, 0.028, 0.84, 0.026)), u, v, 1.0 / STEPS)
        path.append((u, v))
    return {"pelts": np.array(path) * np.exp(0.25 * random.normal(size=(YEARS + 1, 2)))}


def sizes(data):
    return {"years": YEARS, "steps": STEPS}


def pyroxene_model():
    import torch

    import pyroxene
    import pyroxene.distributions as dist

    def model(pelts):
        medians = torch.tensor(RATE_MEDIANS, dtype=pelts.dtype)
        rates = pyroxene.sample("rates", dist.LogNormal(medians.log(), 0.5).to_event(1))
        start = pyroxene.sample("start", dist.LogNormal(np.log(10.0), 1.0).expand([2]).to_event(1))
        sigma = pyroxene.sample("sigma", dist.LogNormal(-1.0, 1.0).expand([2]).to_event(1))
        derivative = change((rates[0], rates[1], rates[2], rates[3]))

        def year(populations, _):
            u, v = populations
            for _ in range(STEPS):
                u, v = runge_kutta(derivative, u, v, 1.0 / STEPS)
            return (u, v), torch.stack([u, v])

        _, path = pyroxene.scan(year, (start[0], start[1]), length=YEARS)
        populations = torch.cat([start[None], path])
        pyroxene.sample("pelts", dist.LogNormal(populations.log(), sigma).to_event(2), obs=pelts)

    return model


def numpyro_model():
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    def model(pelts):
        rates = numpyro.sample("rates", dist.LogNormal(jnp.log(jnp.array(RATE_MEDIANS)), 0.5).to_event(1))
        start = numpyro.sample("start", dist.LogNormal(np.log(10.0), 1.0).expand([2]).to_event(1))
        sigma = numpyro.sample("sigma", dist.LogNormal(-1.0, 1.0).expand([2]).to_event(1))
        derivative = change(rates)

        def year(state, _):
            for _ in range(STEPS):
                state = runge_kutta(derivative, *state, 1.0 / STEPS)
            return state, jnp.stack(state)

        _, rest = jax.lax.scan(year, (start[0], start[1]), None, length=YEARS)
        populations = jnp.concatenate([start[None], rest])
        numpyro.sample("pelts", dist.LogNormal(jnp.log(populations), sigma).to_event(2), obs=pelts)

    return model


def pymc_model(data):
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    def year(u, v, rates):
        for _ in range(STEPS):
            u, v = runge_kutta(change(rates), u, v, 1.0 / STEPS)
        return u, v

    with pm.Model() as model:
        rates = pm.LogNormal("rates", np.log(RATE_MEDIANS), 0.5, shape=4)
        start = pm.LogNormal("start", np.log(10.0), 1.0, shape=2)
        sigma = pm.LogNormal("sigma", -1.0, 1.0, shape=2)
        u, v = pytensor.scan(
            year,
            outputs_info=[start[0], start[1]],
            non_sequences=[rates],
            n_steps=YEARS,
            strict=True,
            return_updates=False,
        )
        populations = pt.concatenate([start[None], pt.stack([u, v], -1)])
        pm.LogNormal("pelts", pt.log(populations), sigma, observed=data["pelts"])
    return model


STAN = """
functions {
  vector change(vector z, vector rates) {
    return [z[1] * (rates[1] - rates[2] * z[2]), z[2] * (rates[4] * z[1] - rates[3])]';
  }
}
data { int<lower=0> years; int<lower=0> steps; array[years + 1, 2] real<lower=0> pelts; }
transformed data {
  real step = 1.0 / steps;
  array[2] vector[years + 1] by_kind;
  for (k in 1:2) by_kind[k] = to_vector(pelts[, k]);
}
parameters { vector<lower=0>[4] rates; vector<lower=0>[2] start; vector<lower=0>[2] sigma; }
model {
  vector[2] z = start;
  matrix[years + 1, 2] populations;
  rates ~ lognormal(log([0.5, 0.025, 0.8, 0.025]'), 0.5);
  start ~ lognormal(log(10), 1);
  sigma ~ lognormal(-1, 1);
  populations[1] = z';
  for (t in 1:years) {
    for (s in 1:steps) {
      vector[2] k1 = change(z, rates);
      vector[2] k2 = change(z + 0.5 * step * k1, rates);
      vector[2] k3 = change(z + 0.5 * step * k2, rates);
      vector[2] k4 = change(z + step * k3, rates);
      z += step / 6.0 * (k1 + 2.0 * (k2 + k3) + k4);
    }
    populations[t + 1] = z';
  }
  for (k in 1:2) by_kind[k] ~ lognormal(log(populations[, k]), sigma[k]);
}
"""
