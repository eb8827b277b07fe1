"""Eight schools (Rubin 1981), centred: a funnel that gradient samplers find hard."""

from __future__ import annotations

from posteriors.eight_schools_noncentred import REFERENCE, data, sizes

__all__ = ["REFERENCE", "STAN", "data", "numpyro_model", "pymc_model", "pyroxene_model", "sizes"]


def pyroxene_model():
    import pyroxene
    import pyroxene.distributions as dist

    def model(y, sigma):
        mu = pyroxene.sample("mu", dist.Normal(0.0, 5.0))
        tau = pyroxene.sample("tau", dist.HalfCauchy(5.0))
        with pyroxene.plate("schools", len(y)):
            theta = pyroxene.sample("theta", dist.Normal(mu, tau))
            pyroxene.sample("y", dist.Normal(theta, sigma), obs=y)

    return model


def numpyro_model():
    import numpyro
    import numpyro.distributions as dist

    def model(y, sigma):
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        with numpyro.plate("schools", len(y)):
            theta = numpyro.sample("theta", dist.Normal(mu, tau))
            numpyro.sample("y", dist.Normal(theta, sigma), obs=y)

    return model


def pymc_model(data):
    import pymc as pm

    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 5.0)
        tau = pm.HalfCauchy("tau", 5.0)
        theta = pm.Normal("theta", mu, tau, shape=len(data["y"]))
        pm.Normal("y", theta, data["sigma"], observed=data["y"])
    return model


STAN = """
data { int<lower=0> J; vector[J] y; vector<lower=0>[J] sigma; }
parameters { real mu; real<lower=0> tau; vector[J] theta; }
model {
  mu ~ normal(0, 5);
  tau ~ cauchy(0, 5);
  theta ~ normal(mu, tau);
  y ~ normal(theta, sigma);
}
"""
