"""Hierarchical regression in the shape of the radon survey: 919 rows in 85 groups, intercepts and slopes by group.

The data are synthetic: group sizes are uneven as in the survey, from 1 to above 100.
"""

from __future__ import annotations

import numpy as np

ROWS, GROUPS = 919, 85


def data():
    random = np.random.default_rng(3)
    weights = random.lognormal(0.0, 1.0, GROUPS)
    group = np.concatenate([np.arange(GROUPS), random.choice(GROUPS, ROWS - GROUPS, p=weights / weights.sum())])
    group.sort()
    basement = (random.random(ROWS) < 0.17).astype(float)
    intercept = random.normal(1.4, 0.35, GROUPS)
    slope = random.normal(-0.65, 0.25, GROUPS)
    y = random.normal(intercept[group] + slope[group] * basement, 0.75)
    return {"group": group.astype(np.int64), "basement": basement, "y": y}


def sizes(data):
    return {"rows": ROWS, "groups": GROUPS}


def pyroxene_model():
    import pyroxene
    import pyroxene.distributions as dist

    def model(group, basement, y):
        mu_intercept = pyroxene.sample("mu_intercept", dist.Normal(0.0, 5.0))
        mu_slope = pyroxene.sample("mu_slope", dist.Normal(0.0, 5.0))
        sd_intercept = pyroxene.sample("sd_intercept", dist.HalfNormal(1.0))
        sd_slope = pyroxene.sample("sd_slope", dist.HalfNormal(1.0))
        sigma = pyroxene.sample("sigma", dist.HalfNormal(1.0))
        with pyroxene.plate("groups", GROUPS):
            intercept = mu_intercept + sd_intercept * pyroxene.sample("raw_intercept", dist.Normal(0.0, 1.0))
            slope = mu_slope + sd_slope * pyroxene.sample("raw_slope", dist.Normal(0.0, 1.0))
        with pyroxene.plate("rows", len(y)):
            pyroxene.sample("y", dist.Normal(intercept[group] + slope[group] * basement, sigma), obs=y)

    return model


def numpyro_model():
    import numpyro
    import numpyro.distributions as dist

    def model(group, basement, y):
        mu_intercept = numpyro.sample("mu_intercept", dist.Normal(0.0, 5.0))
        mu_slope = numpyro.sample("mu_slope", dist.Normal(0.0, 5.0))
        sd_intercept = numpyro.sample("sd_intercept", dist.HalfNormal(1.0))
        sd_slope = numpyro.sample("sd_slope", dist.HalfNormal(1.0))
        sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
        with numpyro.plate("groups", GROUPS):
            intercept = mu_intercept + sd_intercept * numpyro.sample("raw_intercept", dist.Normal(0.0, 1.0))
            slope = mu_slope + sd_slope * numpyro.sample("raw_slope", dist.Normal(0.0, 1.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Normal(intercept[group] + slope[group] * basement, sigma), obs=y)

    return model


def pymc_model(data):
    import pymc as pm

    group = data["group"]
    with pm.Model() as model:
        mu_intercept = pm.Normal("mu_intercept", 0.0, 5.0)
        mu_slope = pm.Normal("mu_slope", 0.0, 5.0)
        sd_intercept = pm.HalfNormal("sd_intercept", 1.0)
        sd_slope = pm.HalfNormal("sd_slope", 1.0)
        sigma = pm.HalfNormal("sigma", 1.0)
        intercept = mu_intercept + sd_intercept * pm.Normal("raw_intercept", 0.0, 1.0, shape=GROUPS)
        slope = mu_slope + sd_slope * pm.Normal("raw_slope", 0.0, 1.0, shape=GROUPS)
        pm.Normal("y", intercept[group] + slope[group] * data["basement"], sigma, observed=data["y"])
    return model


# Indices count from 1 in Stan.
STAN = """
data {
  int<lower=0> rows; int<lower=0> groups;
  array[rows] int<lower=0> group;
  vector[rows] basement; vector[rows] y;
}
transformed data {
  array[rows] int<lower=1> g;
  for (n in 1:rows) g[n] = group[n] + 1;
}
parameters {
  real mu_intercept; real mu_slope;
  real<lower=0> sd_intercept; real<lower=0> sd_slope; real<lower=0> sigma;
  vector[groups] raw_intercept; vector[groups] raw_slope;
}
model {
  vector[groups] intercept = mu_intercept + sd_intercept * raw_intercept;
  vector[groups] slope = mu_slope + sd_slope * raw_slope;
  mu_intercept ~ normal(0, 5);
  mu_slope ~ normal(0, 5);
  sd_intercept ~ std_normal();
  sd_slope ~ std_normal();
  sigma ~ std_normal();
  raw_intercept ~ std_normal();
  raw_slope ~ std_normal();
  y ~ normal(intercept[g] + slope[g] .* basement, sigma);
}
"""
