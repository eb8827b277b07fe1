"""A mixture of two normals, 1000 observations, memberships summed out; posteriordb's low_dim_gauss_mix.

The ordered means are sampled as the lower one and the flat gap to the upper one, the same density.
"""

from __future__ import annotations

import numpy as np

from posteriors import shared_arrays

REFERENCE = "low_dim_gauss_mix"
INIT_RADIUS = 0.5  # a second mode at equal means holds a chain now and then in any sampler; see the references


def data():
    found = shared_arrays("low_dim_gauss_mix")
    if found is not None:
        return {"y": found["y"]}
    random = np.random.default_rng(8)
    first = random.random(1000) < 0.63
    return {"y": np.where(first, random.normal(-2.75, 1.0, 1000), random.normal(2.85, 1.0, 1000))}


def sizes(data):
    return {"N": len(data["y"])}


def quantities(draws):
    mu = np.stack([draws["low"], draws["low"] + draws["gap"]], -1)
    return {"mu": mu, "sigma": draws["sigma"], "theta": draws["theta"]}


def pyroxene_model():
    import torch

    import pyroxene
    import pyroxene.distributions as dist

    def model(y):
        low = pyroxene.sample("low", dist.Normal(0.0, 2.0))
        with pyroxene.poutine.mask(mask=False):  # flat
            gap = pyroxene.sample("gap", dist.LogNormal(0.0, 1.0))
        high = low + gap
        pyroxene.factor("prior_of_high", dist.Normal(0.0, 2.0).log_prob(high))
        sigma = pyroxene.sample("sigma", dist.HalfNormal(2.0).expand([2]).to_event(1))
        theta = pyroxene.sample("theta", dist.Beta(5.0, 5.0))
        weights = torch.stack([theta, 1.0 - theta])
        components = dist.Normal(torch.stack([low, high]), sigma)
        with pyroxene.plate("rows", len(y)):
            pyroxene.sample("y", dist.MixtureSameFamily(dist.Categorical(weights), components), obs=y)

    return model


def numpyro_model():
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    def model(y):
        low = numpyro.sample("low", dist.Normal(0.0, 2.0))
        gap = numpyro.sample("gap", dist.ImproperUniform(dist.constraints.positive, (), ()))
        high = low + gap
        numpyro.factor("prior_of_high", dist.Normal(0.0, 2.0).log_prob(high))
        sigma = numpyro.sample("sigma", dist.HalfNormal(2.0).expand([2]).to_event(1))
        theta = numpyro.sample("theta", dist.Beta(5.0, 5.0))
        weights = jnp.stack([theta, 1.0 - theta])
        components = dist.Normal(jnp.stack([low, high]), sigma)
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.MixtureSameFamily(dist.Categorical(weights), components), obs=y)

    return model


def pymc_model(data):
    import pymc as pm
    import pytensor.tensor as pt

    with pm.Model() as model:
        low = pm.Normal("low", 0.0, 2.0)
        gap = pm.HalfFlat("gap", initval=1.0)
        high = low + gap
        pm.Potential("prior_of_high", pm.logp(pm.Normal.dist(0.0, 2.0), high))
        sigma = pm.HalfNormal("sigma", 2.0, shape=2)
        theta = pm.Beta("theta", 5.0, 5.0)
        weights = pt.stack([theta, 1.0 - theta])
        pm.NormalMixture("y", w=weights, mu=pt.stack([low, high]), sigma=sigma, observed=data["y"])
    return model


STAN = """
data { int<lower=0> N; vector[N] y; }
parameters { real low; real<lower=0> gap; vector<lower=0>[2] sigma; real<lower=0, upper=1> theta; }
model {
  real high = low + gap;
  low ~ normal(0, 2);
  high ~ normal(0, 2);
  sigma ~ normal(0, 2);
  theta ~ beta(5, 5);
  for (n in 1:N)
    target += log_mix(theta, normal_lpdf(y[n] | low, sigma[1]), normal_lpdf(y[n] | high, sigma[2]));
}
"""
