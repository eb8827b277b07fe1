"""Truth by reference draws: posteriors of posteriordb, sampled natively and by hand, agree with ../shared/posteriors.

For every parameter, the difference of means and of means of squares stays under 4.5 combined standard errors, the bound
that comes with the references. Were a bound of 4.5 met by chance alone, a right sampler would fail one of the 104
comparisons once in 1400 choices of seeds; the seeds are fixed, so that what passes here passes always.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.density import init_to_uniform
from pyroxene.diagnostics.draws import mcse_mean, rhat
from pyroxene.infer import MCMC, NUTS
from pyroxene.poutine import mask

LARGEST_Z = 4.5
Draws = dict[str, torch.Tensor]
Parameter = tuple[str, torch.Tensor, dict[str, float]]
"""Its name, its draws of shape (chains, draws), its reference figures."""


def eight_schools(data):
    mu = pyroxene.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyroxene.sample("tau", dist.HalfCauchy(5.0))
    with pyroxene.plate("schools", data["J"]):
        z = pyroxene.sample("z", dist.Normal(0.0, 1.0))
        theta = pyroxene.deterministic("theta", mu + tau * z)
        pyroxene.sample("y", dist.Normal(theta, data["sigma"]), obs=data["y"])


def schools(draws: Draws) -> Draws:
    return draws | {"theta": draws["mu"].unsqueeze(-1) + draws["tau"].unsqueeze(-1) * draws["z"]}


def autoregression(data):
    lags, y = data["K"], data["y"]
    alpha = pyroxene.sample("alpha", dist.Normal(0.0, 10.0))
    beta = pyroxene.sample("beta", dist.Normal(0.0, 10.0).expand([lags]).to_event(1))
    sigma = pyroxene.sample("sigma", dist.HalfCauchy(2.5))
    before = torch.stack([y[lags - k : len(y) - k] for k in range(1, lags + 1)], -1)
    with pyroxene.plate("time", len(y) - lags):
        pyroxene.sample("y", dist.Normal(alpha + before @ beta, sigma), obs=y[lags:])


def garch(data):
    y = data["y"]
    with mask(mask=False):  # flat on its support
        mu = pyroxene.sample("mu", dist.Normal(0.0, 1.0))
        alpha0 = pyroxene.sample("alpha0", dist.LogNormal(0.0, 1.0))
    alpha1 = pyroxene.sample("alpha1", dist.Uniform(0.0, 1.0))
    share = pyroxene.sample("share", dist.Uniform(0.0, 1.0))  # beta1 = share (1 - alpha1), flat under 1 - alpha1
    pyroxene.factor("flat_in_beta1", torch.log1p(-alpha1))
    shocks = alpha0 + alpha1 * (y - mu) ** 2

    def step(variance, shock):
        variance = shock + share * (1.0 - alpha1) * variance
        return variance, variance

    first = torch.as_tensor(data["sigma1"], dtype=y.dtype)
    _, variances = pyroxene.scan(step, first**2, shocks[:-1])
    with pyroxene.plate("time", len(y)):
        pyroxene.sample("y", dist.Normal(mu, torch.cat([first[None], variances.sqrt()])), obs=y)


def garch_quantities(draws: Draws) -> Draws:
    return draws | {"beta1": draws["share"] * (1.0 - draws["alpha1"])}


def ordered_pair(means: torch.Tensor, scale: float) -> torch.Tensor:
    """Sample two ordered means whose density is that of two independent normals."""
    with mask(mask=False):
        first = pyroxene.sample("first", dist.Normal(0.0, 1.0))
        gap = pyroxene.sample("gap", dist.LogNormal(0.0, 1.0))
    pair = torch.stack([first, first + gap])
    pyroxene.factor("prior_of_means", dist.Normal(means, scale).log_prob(pair).sum())
    return pair


def ordered(draws: Draws) -> Draws:
    return draws | {"mu": torch.stack([draws["first"], draws["first"] + draws["gap"]], -1)}


def hidden_markov(data):
    y = data["y"]
    rows = pyroxene.sample("rows", dist.Dirichlet(torch.ones(2, 2, dtype=y.dtype)).to_event(1))
    with mask(mask=False):
        first = pyroxene.sample("first", dist.LogNormal(0.0, 1.0))
        gap = pyroxene.sample("gap", dist.LogNormal(0.0, 1.0))
    means = torch.stack([first, first + gap])
    pyroxene.factor("prior", dist.Normal(torch.tensor([3.0, 10.0], dtype=y.dtype), 1.0).log_prob(means).sum())
    emitted = dist.Normal(means, 1.0).log_prob(y[:, None])
    moved = rows.log()

    def step(forward, log_emission):
        return torch.logsumexp(forward[:, None] + moved, 0) + log_emission, None

    forward, _ = pyroxene.scan(step, emitted[0], emitted[1:])
    pyroxene.factor("y", torch.logsumexp(forward, 0))


def markov_quantities(draws: Draws) -> Draws:
    return ordered(draws) | {"theta1": draws["rows"][..., 0, :], "theta2": draws["rows"][..., 1, :]}


def regression(data):
    with mask(mask=False):
        beta = pyroxene.sample("beta", dist.Normal(0.0, 1.0).expand([4]).to_event(1))
    sigma = pyroxene.sample("sigma", dist.HalfCauchy(2.5))
    school, score = data["mom_hs"], data["mom_iq"]
    mean = beta[0] + beta[1] * school + beta[2] * score + beta[3] * school * score
    with pyroxene.plate("children", len(score)):
        pyroxene.sample("kid_score", dist.Normal(mean, sigma), obs=data["kid_score"])


def mixture(data):
    y = data["y"]
    means = ordered_pair(torch.zeros(2, dtype=y.dtype), 2.0)
    sigma = pyroxene.sample("sigma", dist.HalfNormal(2.0).expand([2]).to_event(1))
    theta = pyroxene.sample("theta", dist.Beta(5.0, 5.0))
    weights = torch.stack([theta.log(), torch.log1p(-theta)])
    each = weights + dist.Normal(means, sigma).log_prob(y[:, None])
    pyroxene.factor("y", torch.logsumexp(each, -1).sum())


CASES: dict[str, tuple[Callable[[Any], None], Callable[[Draws], Draws]]] = {
    "eight_schools_noncentered": (eight_schools, schools),
    "arK": (autoregression, dict),
    "garch11": (garch, garch_quantities),
    "hmm_example": (hidden_markov, markov_quantities),
    "kidscore_interaction": (regression, dict),
    "low_dim_gauss_mix": (mixture, ordered),
}


def run(shared, name: str, engine: str, num_draws: int) -> list[Parameter]:
    """Sample a posterior with a fixed seed and return its parameters."""
    stored = json.loads((shared / "posteriors" / f"{name}.json").read_text())
    data = {
        key: torch.tensor(value, dtype=torch.get_default_dtype()) if isinstance(value, list) else value
        for key, value in stored["data"].items()
    }
    model, quantities = CASES[name]
    near = {"init_strategy": partial(init_to_uniform, radius=0.5)} if name == "low_dim_gauss_mix" else {}
    pyroxene.set_rng_seed(20)
    mcmc = MCMC(
        NUTS(model, engine=engine, **near),
        num_samples=num_draws,
        warmup_steps=min(500, num_draws),
        num_chains=4 if engine == "native" else 2,
        disable_progbar=True,
    )
    mcmc.run(data)
    draws = {key: value.double() for key, value in quantities(mcmc.get_samples(group_by_chain=True)).items()}
    parameters = []
    for full_name, figures in stored["reference"].items():
        site, _, index = full_name.rstrip("]").partition("[")
        parameters.append((full_name, draws[site][..., int(index) - 1] if index else draws[site], figures))
    return parameters


def assert_agrees(parameters: list[Parameter], largest_rhat: float) -> None:
    assert parameters
    for name, draws, figures in parameters:
        assert rhat(draws).item() < largest_rhat, name
        for values, key in ((draws, "mean"), (draws**2, "mean_sq")):
            error = (mcse_mean(values).item() ** 2 + figures[f"mcse_{key}"] ** 2) ** 0.5
            z = (values.mean().item() - figures[key]) / error
            assert abs(z) < LARGEST_Z, f"{key} of {name}: {values.mean().item()} for {figures[key]}, z {z:.2f}"


@pytest.mark.parametrize("name", CASES)
def test_native_nuts_agrees(shared, name):
    assert_agrees(run(shared, name, "native", 2000), 1.01)


@pytest.mark.parametrize("name", ["eight_schools_noncentered", "low_dim_gauss_mix"])
def test_nuts_on_eager_agrees(shared, name):
    assert_agrees(run(shared, name, "eager", 100), 1.1)
