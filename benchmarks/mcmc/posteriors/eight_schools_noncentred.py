"""Eight schools (Rubin 1981), non-centred."""

from __future__ import annotations

import numpy as np

REFERENCE = "eight_schools_noncentered"


def data():
    return {
        "y": np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]),
        "sigma": np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]),
    }


def sizes(data):
    return {"J": len(data["y"])}


def quantities(draws):
    theta = draws["mu"][..., None] + draws["tau"][..., None] * draws["theta_raw"]
    return {"mu": draws["mu"], "tau": draws["tau"], "theta": theta}


def pyroxene_model():
    import pyroxene
    import pyroxene.distributions as dist

    def model(y, sigma):
        mu = pyroxene.sample("mu", dist.Normal(0.0, 5.0))
        tau = pyroxene.sample("tau", dist.HalfCauchy(5.0))
        with pyroxene.plate("schools", len(y)):
            raw = pyroxene.sample("theta_raw", dist.Normal(0.0, 1.0))
            pyroxene.sample("y", dist.Normal(mu + tau * raw, sigma), obs=y)

    return model


def numpyro_model():
    import numpyro
    import numpyro.distributions as dist

    def model(y, sigma):
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        with numpyro.plate("schools", len(y)):
            raw = numpyro.sample("theta_raw", dist.Normal(0.0, 1.0))
            numpyro.sample("y", dist.Normal(mu + tau * raw, sigma), obs=y)

    return model


def pymc_model(data):
    import pymc as pm

    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 5.0)
        tau = pm.HalfCauchy("tau", 5.0)
        raw = pm.Normal("theta_raw", 0.0, 1.0, shape=len(data["y"]))
        pm.Normal("y", mu + tau * raw, data["sigma"], observed=data["y"])
    return model


STAN = """
data { int<lower=0> J; vector[J] y; vector<lower=0>[J] sigma; }
parameters { real mu; real<lower=0> tau; vector[J] theta_raw; }
model {
  mu ~ normal(0, 5);
  tau ~ cauchy(0, 5);
  theta_raw ~ std_normal();
  y ~ normal(mu + tau * theta_raw, sigma);
}
"""
