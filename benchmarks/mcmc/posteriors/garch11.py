"""GARCH(1,1), 200 observations; data of posteriordb's garch11 where the references are there.

beta1 lies in (0, 1 - alpha1). Its support depends on another site, which languages treat differently, so the sampled
site is its share of that interval: beta1 = share (1 - alpha1), with log(1 - alpha1) added, the Jacobian of the step.
"""

from __future__ import annotations

import numpy as np

from posteriors import shared_arrays

REFERENCE = "garch11"


def data():
    found = shared_arrays("garch11")
    if found is not None:
        return {"y": found["y"], "sigma1": np.asarray(float(found["sigma1"]))}
    random = np.random.default_rng(5)
    y, scale = [], 0.5
    for _ in range(200):
        y.append(5.0 + scale * random.normal())
        scale = np.sqrt(1.5 + 0.55 * (y[-1] - 5.0) ** 2 + 0.3 * scale**2)
    return {"y": np.array(y), "sigma1": np.asarray(0.5)}


def sizes(data):
    return {"T": len(data["y"])}


def quantities(draws):
    share, alpha1 = draws["share"], draws["alpha1"]
    return {"mu": draws["mu"], "alpha0": draws["alpha0"], "alpha1": alpha1, "beta1": share * (1.0 - alpha1)}


def pyroxene_model():
    import torch

    import pyroxene
    import pyroxene.distributions as dist

    def model(y, sigma1):
        with pyroxene.poutine.mask(mask=False):  # flat
            mu = pyroxene.sample("mu", dist.Normal(0.0, 1.0))
            alpha0 = pyroxene.sample("alpha0", dist.LogNormal(0.0, 1.0))
        alpha1 = pyroxene.sample("alpha1", dist.Uniform(0.0, 1.0))
        share = pyroxene.sample("share", dist.Uniform(0.0, 1.0))
        pyroxene.factor("flat_in_beta1", torch.log1p(-alpha1))
        beta1 = share * (1.0 - alpha1)
        shock = alpha0 + alpha1 * (y - mu) ** 2

        def step(variance, shock_before):
            variance = shock_before + beta1 * variance
            return variance, variance

        _, variances = pyroxene.scan(step, sigma1**2, shock[:-1])
        scales = torch.cat([sigma1[None], variances.sqrt()])
        with pyroxene.plate("time", len(y)):
            pyroxene.sample("y", dist.Normal(mu, scales), obs=y)

    return model


def numpyro_model():
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    def model(y, sigma1):
        mu = numpyro.sample("mu", dist.ImproperUniform(dist.constraints.real, (), ()))
        alpha0 = numpyro.sample("alpha0", dist.ImproperUniform(dist.constraints.positive, (), ()))
        alpha1 = numpyro.sample("alpha1", dist.Uniform(0.0, 1.0))
        share = numpyro.sample("share", dist.Uniform(0.0, 1.0))
        numpyro.factor("flat_in_beta1", jnp.log1p(-alpha1))
        beta1 = share * (1.0 - alpha1)

        def step(variance, shock):
            variance = shock + beta1 * variance
            return variance, variance

        first = sigma1**2
        _, rest = jax.lax.scan(step, first, alpha0 + alpha1 * (y[:-1] - mu) ** 2)
        scale = jnp.sqrt(jnp.concatenate([first[None], rest]))
        with numpyro.plate("time", len(y)):
            numpyro.sample("y", dist.Normal(mu, scale), obs=y)

    return model


def pymc_model(data):
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    y = data["y"]
    with pm.Model() as model:
        mu = pm.Flat("mu", initval=0.0)
        alpha0 = pm.HalfFlat("alpha0", initval=1.0)
        alpha1 = pm.Uniform("alpha1", 0.0, 1.0)
        share = pm.Uniform("share", 0.0, 1.0)
        pm.Potential("flat_in_beta1", pt.log1p(-alpha1))
        beta1 = share * (1.0 - alpha1)
        first = pt.constant(np.asarray(data["sigma1"] ** 2), dtype="float64")
        rest = pytensor.scan(
            lambda shock, variance, beta1: shock + beta1 * variance,
            sequences=[alpha0 + alpha1 * (y[:-1] - mu) ** 2],
            outputs_info=[first],
            non_sequences=[beta1],
            strict=True,
            return_updates=False,
        )
        scale = pt.sqrt(pt.concatenate([first[None], rest]))
        pm.Normal("y", mu, scale, observed=y)
    return model


STAN = """
data { int<lower=0> T; vector[T] y; real<lower=0> sigma1; }
parameters {
  real mu; real<lower=0> alpha0;
  real<lower=0, upper=1> alpha1; real<lower=0, upper=1> share;
}
model {
  real beta1 = share * (1 - alpha1);
  vector[T] scale;
  scale[1] = sigma1;
  for (t in 2:T)
    scale[t] = sqrt(alpha0 + alpha1 * square(y[t - 1] - mu) + beta1 * square(scale[t - 1]));
  target += log1m(alpha1);
  y ~ normal(mu, scale);
}
"""
