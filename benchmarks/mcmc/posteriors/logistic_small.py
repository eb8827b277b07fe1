"""Logistic regression, 1000 rows, 20 columns."""

from __future__ import annotations

import numpy as np


def make(rows, columns, seed):
    random = np.random.default_rng(seed)
    design = random.normal(size=(rows, columns))
    coefficients = random.normal(size=columns) / np.sqrt(columns)
    outcome = random.random(rows) < 1.0 / (1.0 + np.exp(-design @ coefficients))
    return {"design": design, "outcome": outcome.astype(np.int64)}


def data():
    return make(1000, 20, 1)


def sizes(data):
    rows, columns = data["design"].shape
    return {"rows": rows, "columns": columns}


def pyroxene_model():
    import pyroxene
    import pyroxene.distributions as dist

    def model(design, outcome):
        coefficients = pyroxene.sample("coefficients", dist.Normal(0.0, 1.0).expand([design.shape[-1]]).to_event(1))
        with pyroxene.plate("rows", len(outcome)):
            pyroxene.sample("outcome", dist.Bernoulli(logits=design @ coefficients), obs=outcome.to(design.dtype))

    return model


def numpyro_model():
    import numpyro
    import numpyro.distributions as dist

    def model(design, outcome):
        coefficients = numpyro.sample("coefficients", dist.Normal(0.0, 1.0).expand([design.shape[-1]]).to_event(1))
        with numpyro.plate("rows", len(outcome)):
            numpyro.sample("outcome", dist.Bernoulli(logits=design @ coefficients), obs=outcome)

    return model


def pymc_model(data):
    import pymc as pm

    with pm.Model() as model:
        coefficients = pm.Normal("coefficients", 0.0, 1.0, shape=data["design"].shape[1])
        pm.Bernoulli("outcome", logit_p=pm.math.dot(data["design"], coefficients), observed=data["outcome"])
    return model


STAN = """
data {
  int<lower=0> rows; int<lower=0> columns;
  matrix[rows, columns] design;
  array[rows] int<lower=0, upper=1> outcome;
}
parameters { vector[columns] coefficients; }
model {
  coefficients ~ std_normal();
  outcome ~ bernoulli_logit_glm(design, 0, coefficients);
}
"""
