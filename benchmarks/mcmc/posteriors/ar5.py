"""Autoregression of order 5, 200 observations; data and priors of posteriordb's arK where the references are there."""

from __future__ import annotations

import numpy as np

from posteriors import shared_arrays

REFERENCE = "arK"
ORDER = 5


def data():
    found = shared_arrays("arK")
    if found is not None:
        return {"y": found["y"]}
    random = np.random.default_rng(4)
    y = list(random.normal(size=ORDER))
    for _ in range(200 - ORDER):
        y.append(0.7 * y[-1] + 0.4 * y[-2] + 0.1 * y[-3] - 0.05 * y[-4] - 0.25 * y[-5] + 0.15 * random.normal())
    return {"y": np.array(y)}


def sizes(data):
    return {"T": len(data["y"])}


def quantities(draws):
    return {"alpha": draws["alpha"], "beta": draws["beta"], "sigma": draws["sigma"]}


def pyroxene_model():
    import torch

    import pyroxene
    import pyroxene.distributions as dist

    def model(y):
        alpha = pyroxene.sample("alpha", dist.Normal(0.0, 10.0))
        beta = pyroxene.sample("beta", dist.Normal(0.0, 10.0).expand([ORDER]).to_event(1))
        sigma = pyroxene.sample("sigma", dist.HalfCauchy(2.5))
        lags = torch.stack([y[ORDER - k : len(y) - k] for k in range(1, ORDER + 1)], -1)
        with pyroxene.plate("time", len(y) - ORDER):
            pyroxene.sample("y", dist.Normal(alpha + lags @ beta, sigma), obs=y[ORDER:])

    return model


def pyroxene_loop():
    import pyroxene
    import pyroxene.distributions as dist

    # A scan whose carry is the last five observations says the same without unrolling.
    def model(y):
        alpha = pyroxene.sample("alpha", dist.Normal(0.0, 10.0))
        beta = pyroxene.sample("beta", dist.Normal(0.0, 10.0).expand([ORDER]).to_event(1))
        sigma = pyroxene.sample("sigma", dist.HalfCauchy(2.5))
        for t in range(ORDER, len(y)):
            mean = alpha
            for k in range(ORDER):
                mean = mean + beta[k] * y[t - 1 - k]
            pyroxene.sample(f"y_{t}", dist.Normal(mean, sigma), obs=y[t])

    return model


def numpyro_model():
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    def model(y):
        alpha = numpyro.sample("alpha", dist.Normal(0.0, 10.0))
        beta = numpyro.sample("beta", dist.Normal(0.0, 10.0).expand([ORDER]).to_event(1))
        sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
        lags = jnp.stack([y[ORDER - k : len(y) - k] for k in range(1, ORDER + 1)], -1)
        with numpyro.plate("time", len(y) - ORDER):
            numpyro.sample("y", dist.Normal(alpha + lags @ beta, sigma), obs=y[ORDER:])

    return model


def pymc_model(data):
    import pymc as pm

    y = data["y"]
    lags = np.stack([y[ORDER - k : len(y) - k] for k in range(1, ORDER + 1)], -1)
    with pm.Model() as model:
        alpha = pm.Normal("alpha", 0.0, 10.0)
        beta = pm.Normal("beta", 0.0, 10.0, shape=ORDER)
        sigma = pm.HalfCauchy("sigma", 2.5)
        pm.Normal("y", alpha + pm.math.dot(lags, beta), sigma, observed=y[ORDER:])
    return model


STAN = """
data { int<lower=0> T; vector[T] y; }
transformed data {
  matrix[T - 5, 5] lags;
  for (k in 1:5) lags[, k] = y[(6 - k):(T - k)];
}
parameters { real alpha; vector[5] beta; real<lower=0> sigma; }
model {
  alpha ~ normal(0, 10);
  beta ~ normal(0, 10);
  sigma ~ cauchy(0, 2.5);
  y[6:T] ~ normal_id_glm(lags, alpha, beta, sigma);
}
"""
