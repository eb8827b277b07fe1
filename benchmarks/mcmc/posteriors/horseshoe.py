"""Linear regression under a horseshoe prior (Carvalho, Polson, Scott 2010): 100 rows, 50 columns, 5 that matter."""

from __future__ import annotations

import numpy as np


def data():
    random = np.random.default_rng(10)
    design = random.normal(size=(100, 50))
    coefficients = np.zeros(50)
    coefficients[:5] = [2.0, -1.5, 1.0, -1.0, 0.5]
    return {"design": design, "y": design @ coefficients + random.normal(size=100)}


def sizes(data):
    rows, columns = data["design"].shape
    return {"rows": rows, "columns": columns}


def pyroxene_model():
    import pyroxene
    import pyroxene.distributions as dist

    def model(design, y):
        sigma = pyroxene.sample("sigma", dist.HalfNormal(2.0))
        overall = pyroxene.sample("overall", dist.HalfCauchy(1.0))
        with pyroxene.plate("columns", design.shape[-1]):
            local = pyroxene.sample("local", dist.HalfCauchy(1.0))
            raw = pyroxene.sample("raw", dist.Normal(0.0, 1.0))
        with pyroxene.plate("rows", len(y)):
            pyroxene.sample("y", dist.Normal(design @ (overall * local * raw), sigma), obs=y)

    return model


def numpyro_model():
    import numpyro
    import numpyro.distributions as dist

    def model(design, y):
        sigma = numpyro.sample("sigma", dist.HalfNormal(2.0))
        overall = numpyro.sample("overall", dist.HalfCauchy(1.0))
        with numpyro.plate("columns", design.shape[-1]):
            local = numpyro.sample("local", dist.HalfCauchy(1.0))
            raw = numpyro.sample("raw", dist.Normal(0.0, 1.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Normal(design @ (overall * local * raw), sigma), obs=y)

    return model


def pymc_model(data):
    import pymc as pm

    columns = data["design"].shape[1]
    with pm.Model() as model:
        sigma = pm.HalfNormal("sigma", 2.0)
        overall = pm.HalfCauchy("overall", 1.0)
        local = pm.HalfCauchy("local", 1.0, shape=columns)
        raw = pm.Normal("raw", 0.0, 1.0, shape=columns)
        pm.Normal("y", pm.math.dot(data["design"], overall * local * raw), sigma, observed=data["y"])
    return model


STAN = """
data { int<lower=0> rows; int<lower=0> columns; matrix[rows, columns] design; vector[rows] y; }
parameters {
  real<lower=0> sigma; real<lower=0> overall;
  vector<lower=0>[columns] local; vector[columns] raw;
}
model {
  sigma ~ normal(0, 2);
  overall ~ cauchy(0, 1);
  local ~ cauchy(0, 1);
  raw ~ std_normal();
  y ~ normal_id_glm(design, 0, overall * local .* raw, sigma);
}
"""
