"""Item response with two parameters an item (discrimination, difficulty): 200 persons, 20 items, all answers."""

from __future__ import annotations

import numpy as np

PERSONS, ITEMS = 200, 20


def data():
    random = np.random.default_rng(7)
    ability = random.normal(size=PERSONS)
    discrimination = random.lognormal(0.0, 0.5, ITEMS)
    difficulty = random.normal(0.0, 1.0, ITEMS)
    logits = discrimination * (ability[:, None] - difficulty)
    return {"answers": (random.random((PERSONS, ITEMS)) < 1.0 / (1.0 + np.exp(-logits))).astype(np.int64)}


def sizes(data):
    return {"persons": PERSONS, "items": ITEMS}


def pyroxene_model():
    import torch

    import pyroxene
    import pyroxene.distributions as dist

    def model(answers):
        persons = pyroxene.plate("persons", PERSONS, dim=-2)
        items = pyroxene.plate("items", ITEMS, dim=-1)
        with persons:
            ability = pyroxene.sample("ability", dist.Normal(0.0, 1.0))
        with items:
            discrimination = pyroxene.sample("discrimination", dist.LogNormal(0.0, 0.5))
            difficulty = pyroxene.sample("difficulty", dist.Normal(0.0, 1.5))
        with persons, items:
            logits = discrimination * (ability - difficulty)
            pyroxene.sample("answers", dist.Bernoulli(logits=logits), obs=answers.to(torch.get_default_dtype()))

    return model


def numpyro_model():
    import numpyro
    import numpyro.distributions as dist

    def model(answers):
        persons = numpyro.plate("persons", PERSONS, dim=-2)
        items = numpyro.plate("items", ITEMS, dim=-1)
        with persons:
            ability = numpyro.sample("ability", dist.Normal(0.0, 1.0))
        with items:
            discrimination = numpyro.sample("discrimination", dist.LogNormal(0.0, 0.5))
            difficulty = numpyro.sample("difficulty", dist.Normal(0.0, 1.5))
        with persons, items:
            numpyro.sample("answers", dist.Bernoulli(logits=discrimination * (ability - difficulty)), obs=answers)

    return model


def pymc_model(data):
    import pymc as pm

    with pm.Model() as model:
        ability = pm.Normal("ability", 0.0, 1.0, shape=(PERSONS, 1))
        discrimination = pm.LogNormal("discrimination", 0.0, 0.5, shape=ITEMS)
        difficulty = pm.Normal("difficulty", 0.0, 1.5, shape=ITEMS)
        pm.Bernoulli("answers", logit_p=discrimination * (ability - difficulty), observed=data["answers"])
    return model


STAN = """
data {
  int<lower=0> persons; int<lower=0> items;
  array[persons, items] int<lower=0, upper=1> answers;
}
transformed data {
  array[items, persons] int by_item;
  for (p in 1:persons) for (i in 1:items) by_item[i, p] = answers[p, i];
}
parameters { matrix[persons, 1] ability; vector<lower=0>[items] discrimination; vector[items] difficulty; }
model {
  vector[persons] a = ability[, 1];
  a ~ std_normal();
  discrimination ~ lognormal(0, 0.5);
  difficulty ~ normal(0, 1.5);
  for (i in 1:items) by_item[i] ~ bernoulli_logit(discrimination[i] * (a - difficulty[i]));
}
"""
