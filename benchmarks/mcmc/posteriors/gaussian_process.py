"""A Gaussian process over 100 points with its function integrated out: squared-exponential kernel, normal noise."""

from __future__ import annotations

import numpy as np

JITTER = 1e-6


def data():
    random = np.random.default_rng(6)
    x = np.sort(random.uniform(0.0, 10.0, 100))
    return {"x": x, "y": np.sin(x) + 0.3 * np.cos(2.5 * x) + 0.3 * random.normal(size=100)}


def sizes(data):
    return {"N": len(data["y"])}


def pyroxene_model():
    import torch

    import pyroxene
    import pyroxene.distributions as dist

    def model(x, y):
        length = pyroxene.sample("length", dist.InverseGamma(5.0, 5.0))
        amplitude = pyroxene.sample("amplitude", dist.HalfNormal(1.0))
        noise = pyroxene.sample("noise", dist.HalfNormal(1.0))
        distance = x[:, None] - x
        kernel = amplitude**2 * torch.exp(-0.5 * (distance / length) ** 2)
        covariance = kernel + (noise**2 + JITTER) * torch.eye(len(x), dtype=x.dtype)
        pyroxene.sample("y", dist.MultivariateNormal(torch.zeros_like(y), covariance), obs=y)

    return model


def numpyro_model():
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    def model(x, y):
        length = numpyro.sample("length", dist.InverseGamma(5.0, 5.0))
        amplitude = numpyro.sample("amplitude", dist.HalfNormal(1.0))
        noise = numpyro.sample("noise", dist.HalfNormal(1.0))
        distance = x[:, None] - x
        kernel = amplitude**2 * jnp.exp(-0.5 * (distance / length) ** 2)
        covariance = kernel + (noise**2 + JITTER) * jnp.eye(len(x))
        numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(len(x)), covariance), obs=y)

    return model


def pymc_model(data):
    import pymc as pm
    import pytensor.tensor as pt

    x, y = data["x"], data["y"]
    squares = (x[:, None] - x) ** 2
    with pm.Model() as model:
        length = pm.InverseGamma("length", alpha=5.0, beta=5.0)
        amplitude = pm.HalfNormal("amplitude", 1.0)
        noise = pm.HalfNormal("noise", 1.0)
        kernel = amplitude**2 * pt.exp(-0.5 * squares / length**2)
        covariance = kernel + (noise**2 + JITTER) * pt.eye(len(x))
        pm.MvNormal("y", mu=np.zeros(len(x)), cov=covariance, observed=y)
    return model


STAN = """
data { int<lower=0> N; array[N] real x; vector[N] y; }
transformed data { vector[N] zero = rep_vector(0, N); }
parameters { real<lower=0> length; real<lower=0> amplitude; real<lower=0> noise; }
model {
  matrix[N, N] covariance = gp_exp_quad_cov(x, amplitude, length);
  for (n in 1:N) covariance[n, n] += square(noise) + 1e-6;
  length ~ inv_gamma(5, 5);
  amplitude ~ std_normal();
  noise ~ std_normal();
  y ~ multi_normal_cholesky(zero, cholesky_decompose(covariance));
}
"""
