"""Models that the tests of the interface share."""

from __future__ import annotations

import torch

import pyroxene
import pyroxene.distributions as dist

EFFECTS = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def eight_schools(effects=EFFECTS):
    mu = pyroxene.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyroxene.sample("tau", dist.HalfCauchy(5.0))
    with pyroxene.plate("schools", 8):
        theta = pyroxene.sample("theta", dist.Normal(0.0, 1.0))
        pyroxene.sample("effects", dist.Normal(mu + tau * theta, ERRORS), obs=effects)


def conjugate(y):
    """Posterior of mu: normal with mean sum(y) / (n + 1) and variance 1 / (n + 1)."""
    mu = pyroxene.sample("mu", dist.Normal(0.0, 1.0))
    with pyroxene.plate("data", len(y)):
        pyroxene.sample("y", dist.Normal(mu, 1.0), obs=y)


def mixed():
    """Sites of many shapes and supports, their names not in the order of the alphabet."""
    pyroxene.sample("w", dist.Dirichlet(torch.ones(3)))
    pyroxene.sample("b", dist.Normal(torch.zeros(2, 3), 1.0).to_event(2))
    with pyroxene.plate("rows", 4):
        pyroxene.sample("a", dist.Beta(2.0, 2.0))


def potential(params):
    return 0.5 * (params["x"] ** 2).sum()


def silent(kernel, num_samples=20, warmup_steps=20, **options):
    from pyroxene.infer import MCMC

    return MCMC(kernel, num_samples, warmup_steps, disable_progbar=True, **options)
