"""A hidden Markov model of two states, 100 observations, states summed out by the forward algorithm.

posteriordb's hmm_example. Of each row of the transition matrix the first entry is sampled, uniform on (0, 1), which is
the uniform law on the simplex; the ordered positive means are the first one and the gap. The first state has weight 1.
"""

from __future__ import annotations

import numpy as np

from posteriors import shared_arrays

REFERENCE = "hmm_example"


def data():
    found = shared_arrays("hmm_example")
    if found is not None:
        return {"y": found["y"]}
    random = np.random.default_rng(9)
    states = [1]
    for _ in range(99):
        states.append(int(random.random() > (0.66 if states[-1] == 0 else 0.07)))
    return {"y": np.array([3.0, 8.9])[states] + random.normal(size=100)}


def sizes(data):
    return {"N": len(data["y"])}


def quantities(draws):
    to_first, first, second = draws["to_first"], draws["first"], draws["first"] + draws["gap"]
    rows = np.stack([to_first, 1.0 - to_first], -1)
    return {"theta1": rows[..., 0, :], "theta2": rows[..., 1, :], "mu": np.stack([first, second], -1)}


def pyroxene_model():
    import torch

    import pyroxene
    import pyroxene.distributions as dist

    def model(y):
        to_first = pyroxene.sample("to_first", dist.Uniform(0.0, 1.0).expand([2]).to_event(1))
        with pyroxene.poutine.mask(mask=False):  # flat
            first = pyroxene.sample("first", dist.LogNormal(0.0, 1.0))
            gap = pyroxene.sample("gap", dist.LogNormal(0.0, 1.0))
        means = torch.stack([first, first + gap])
        prior_means = torch.tensor([3.0, 10.0], dtype=y.dtype)
        pyroxene.factor("prior_of_means", dist.Normal(prior_means, 1.0).log_prob(means).sum())
        log_transition = torch.stack([to_first, 1.0 - to_first], -1).log()
        emission = dist.Normal(means, 1.0).log_prob(y[:, None])

        def step(forward, log_emission):
            return torch.logsumexp(forward[:, None] + log_transition, 0) + log_emission, None

        forward, _ = pyroxene.scan(step, emission[0], emission[1:])
        pyroxene.factor("y", torch.logsumexp(forward, 0))

    return model


def numpyro_model():
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from jax.scipy.special import logsumexp

    def model(y):
        to_first = numpyro.sample("to_first", dist.Uniform(0.0, 1.0).expand([2]).to_event(1))
        first = numpyro.sample("first", dist.ImproperUniform(dist.constraints.positive, (), ()))
        gap = numpyro.sample("gap", dist.ImproperUniform(dist.constraints.positive, (), ()))
        means = jnp.stack([first, first + gap])
        numpyro.factor("prior_of_means", dist.Normal(jnp.array([3.0, 10.0]), 1.0).log_prob(means).sum())
        log_transition = jnp.log(jnp.stack([to_first, 1.0 - to_first], -1))
        emission = dist.Normal(means, 1.0).log_prob(y[:, None])

        def step(forward, emitted):
            return logsumexp(forward[:, None] + log_transition, 0) + emitted, None

        forward, _ = jax.lax.scan(step, emission[0], emission[1:])
        numpyro.factor("y", logsumexp(forward))

    return model


def pymc_model(data):
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    y = data["y"]
    with pm.Model() as model:
        to_first = pm.Uniform("to_first", 0.0, 1.0, shape=2)
        first = pm.HalfFlat("first", initval=1.0)
        gap = pm.HalfFlat("gap", initval=1.0)
        means = pt.stack([first, first + gap])
        pm.Potential("prior_of_means", pm.logp(pm.Normal.dist(np.array([3.0, 10.0]), 1.0), means).sum())
        log_transition = pt.log(pt.stack([to_first, 1.0 - to_first], -1))
        emission = -0.5 * (y[:, None] - means) ** 2 - 0.5 * np.log(2.0 * np.pi)

        # softplus: PyTensor's gradients of logsumexp and logaddexp lose their shift inside a scan and become nan
        def log_add(a, b):
            return a + pt.softplus(b - a)

        first_row, second_row = log_transition[0], log_transition[1]
        forward = pytensor.scan(
            lambda emitted, forward, first_row, second_row: (
                log_add(forward[0] + first_row, forward[1] + second_row) + emitted
            ),
            sequences=[emission[1:]],
            outputs_info=[emission[0]],
            non_sequences=[first_row, second_row],
            strict=True,
            return_updates=False,
        )
        pm.Potential("y", log_add(forward[-1][0], forward[-1][1]))
    return model


STAN = """
data { int<lower=0> N; vector[N] y; }
parameters { vector<lower=0, upper=1>[2] to_first; real<lower=0> first; real<lower=0> gap; }
model {
  real second = first + gap;
  matrix[2, 2] log_transition;
  vector[2] forward;
  first ~ normal(3, 1);
  second ~ normal(10, 1);
  log_transition[, 1] = log(to_first);
  log_transition[, 2] = log1m(to_first);
  forward[1] = normal_lpdf(y[1] | first, 1);
  forward[2] = normal_lpdf(y[1] | second, 1);
  for (t in 2:N) {
    vector[2] next;
    next[1] = log_sum_exp(forward + log_transition[, 1]) + normal_lpdf(y[t] | first, 1);
    next[2] = log_sum_exp(forward + log_transition[, 2]) + normal_lpdf(y[t] | second, 1);
    forward = next;
  }
  target += log_sum_exp(forward);
}
"""
