"""Linear regression with an interaction and flat priors, 434 rows; posteriordb's kidscore_interaction."""

from __future__ import annotations

import numpy as np

from posteriors import shared_arrays

REFERENCE = "kidscore_interaction"


def data():
    found = shared_arrays("kidscore_interaction")
    if found is not None:
        high_school, iq, score = (np.asarray(found[k], dtype=float) for k in ("mom_hs", "mom_iq", "kid_score"))
    else:
        random = np.random.default_rng(12)
        high_school = (random.random(434) < 0.79).astype(float)
        iq = random.normal(100.0, 15.0, 434)
        score = -10.0 + 50.0 * high_school + iq - 0.5 * high_school * iq + 18.0 * random.normal(size=434)
    return {"design": np.stack([np.ones_like(iq), high_school, iq, high_school * iq], -1), "score": score}


def sizes(data):
    return {"N": len(data["score"])}


def pyroxene_model():
    import pyroxene
    import pyroxene.distributions as dist

    def model(design, score):
        with pyroxene.poutine.mask(mask=False):  # flat
            beta = pyroxene.sample("beta", dist.Normal(0.0, 1.0).expand([4]).to_event(1))
        sigma = pyroxene.sample("sigma", dist.HalfCauchy(2.5))
        with pyroxene.plate("rows", len(score)):
            pyroxene.sample("score", dist.Normal(design @ beta, sigma), obs=score)

    return model


def numpyro_model():
    import numpyro
    import numpyro.distributions as dist

    def model(design, score):
        beta = numpyro.sample("beta", dist.ImproperUniform(dist.constraints.real_vector, (), (4,)))
        sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
        with numpyro.plate("rows", len(score)):
            numpyro.sample("score", dist.Normal(design @ beta, sigma), obs=score)

    return model


def pymc_model(data):
    import pymc as pm

    with pm.Model() as model:
        beta = pm.Flat("beta", shape=4, initval=np.zeros(4))
        sigma = pm.HalfCauchy("sigma", 2.5)
        pm.Normal("score", pm.math.dot(data["design"], beta), sigma, observed=data["score"])
    return model


STAN = """
data { int<lower=0> N; matrix[N, 4] design; vector[N] score; }
parameters { vector[4] beta; real<lower=0> sigma; }
model {
  sigma ~ cauchy(0, 2.5);
  score ~ normal_id_glm(design, 0, beta, sigma);
}
"""
