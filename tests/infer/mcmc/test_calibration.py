"""Truth by simulation: where parameters come from the prior and data from them, their posterior ranks are uniform.

Each replicate draws parameters and data from a model, samples the posterior, and ranks each parameter among draws that
are thinned until they are nearly independent. The ranks of right posteriors are uniform whatever the model: Talts,
Betancourt, Simpson, Vehtari and Gelman 2018, "Validating Bayesian Inference Algorithms with Simulation-Based
Calibration". A chi-squared test rejects at 1e-6, shared by all parameters of all cases; seeds are fixed.

    pytest -m slow tests/infer/mcmc/test_calibration.py       the long runs, about 12 minutes
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.infer import MCMC, NUTS
from pyroxene.poutine import condition, trace

REJECT = 1e-6 / 100  # for each of at most 100 parameters
KEPT, BINS = 15, 8  # 16 possible ranks, two in a bin


def location_and_scale(y=None):
    mu = pyroxene.sample("mu", dist.Normal(0.0, 1.0))
    sigma = pyroxene.sample("sigma", dist.LogNormal(0.0, 0.5))
    with pyroxene.plate("data", 10):
        return pyroxene.sample("y", dist.Normal(mu, sigma), obs=y)


def hierarchy(y=None):
    mu = pyroxene.sample("mu", dist.Normal(0.0, 2.0))
    tau = pyroxene.sample("tau", dist.HalfNormal(1.0))
    with pyroxene.plate("groups", 4):
        z = pyroxene.sample("z", dist.Normal(0.0, 1.0))
        return pyroxene.sample("y", dist.Normal(mu + tau * z, 0.7), obs=y)


def shared_counts(y=None):
    rate = pyroxene.sample("rate", dist.Gamma(3.0, 1.0))
    shares = pyroxene.sample("shares", dist.Dirichlet(torch.full((3,), 2.0)))
    with pyroxene.plate("kinds", 3):
        return pyroxene.sample("y", dist.Poisson(5.0 * rate * shares), obs=y)


MODELS = (location_and_scale, hierarchy, shared_counts)


@dataclass(frozen=True)
class Plan:
    """How many replicates, and draws of each before thinning."""

    replicates: int
    warmup: int = 100
    draws: int = 150


LONG = {"native": Plan(1000), "eager": Plan(100), "inductor": Plan(300)}
"""An eager replicate takes a second, one of torch.compile, whose code serves all data, a quarter."""


def ranks(model: Callable, plan: Plan, engine: str, posterior: Callable | None = None) -> dict[str, torch.Tensor]:
    """Return each parameter's rank among the kept draws, shape (replicates, size).

    Args:
        model: what parameters and data come from.
        plan: how much is done.
        engine: as NUTS takes it.
        posterior: the model whose posterior is sampled, where it is another one.
    """
    found: dict[str, list[torch.Tensor]] = {}
    for replicate in range(plan.replicates):
        pyroxene.set_rng_seed(1000 + replicate)
        truth = trace(model).get_trace()
        y = truth.nodes["y"]["value"]
        mcmc = MCMC(NUTS(posterior or model, engine=engine), plan.draws, plan.warmup, disable_progbar=True)
        mcmc.run(y)
        for name, draws in mcmc.get_samples().items():
            kept = draws[plan.draws // KEPT - 1 :: plan.draws // KEPT].reshape(KEPT, -1)
            found.setdefault(name, []).append((kept < truth.nodes[name]["value"].reshape(-1)).sum(0))
    return {name: torch.stack(values) for name, values in found.items()}


def chance(counted: torch.Tensor) -> float:
    """Return the probability that uniform ranks, shape (replicates,), are as uneven as these or more."""
    counts = torch.bincount(counted * BINS // (KEPT + 1), minlength=BINS).double()
    expected = len(counted) / BINS
    statistic = ((counts - expected) ** 2 / expected).sum()
    return torch.special.gammaincc(torch.tensor((BINS - 1) / 2).double(), statistic / 2).item()


def least_chance(found: dict[str, torch.Tensor]) -> float:
    return min(chance(column) for values in found.values() for column in values.T)


@pytest.mark.parametrize("model", MODELS)
def test_native_is_calibrated(model):
    assert least_chance(ranks(model, Plan(48), "native")) > REJECT


def test_eager_is_calibrated():
    assert least_chance(ranks(location_and_scale, Plan(16, 20, 30), "eager")) > REJECT


def test_a_wrong_posterior_is_found_out():
    """Data that are not the ones simulated: the same test with the same replicates rejects."""

    def wrong(y):
        return condition(location_and_scale, {"y": y + 1.0})()

    assert least_chance(ranks(location_and_scale, Plan(48), "native", wrong)) < REJECT


@pytest.mark.slow
@pytest.mark.parametrize("engine", LONG)
@pytest.mark.parametrize("model", MODELS)
def test_every_engine_is_calibrated(model, engine):
    assert least_chance(ranks(model, LONG[engine], engine)) > REJECT
