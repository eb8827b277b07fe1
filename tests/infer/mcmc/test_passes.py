"""Chains side by side over machine code that takes several in one pass."""

from __future__ import annotations

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.infer import MCMC, NUTS

torch.set_num_threads(1)
Y = torch.tensor([1.2, -0.4, 0.3, 2.2, 0.9])


def conjugate(y):
    mean = pyroxene.sample("mean", dist.Normal(0.0, 2.0))
    with pyroxene.plate("rows", len(y)):
        pyroxene.sample("y", dist.Normal(mean, 1.0), obs=y)


def draw(num_chains, **options):
    pyroxene.set_rng_seed(3)
    mcmc = MCMC(NUTS(conjugate), 500, 200, num_chains=num_chains, disable_progbar=True, **options)
    mcmc.run(Y)
    return mcmc


@pytest.mark.parametrize("num_chains", [1, 3, 11])
def test_chains_in_passes_draw_from_the_posterior(num_chains):
    """The posterior is normal, precision 5 + 1/4. |z| of the mean under 5 with 500 draws a chain, of which at least a
    quarter count: below 1e-6 for each; the seed is fixed."""
    mcmc = draw(num_chains, chain_method="vectorized")
    draws = mcmc.get_samples(group_by_chain=True)["mean"]
    assert draws.shape == (num_chains, 500)
    variance = 1 / (len(Y) + 0.25)
    z = (draws.mean().item() - variance * Y.sum().item()) / (variance / (num_chains * 125)) ** 0.5
    assert abs(z) < 5
    assert draws.var().item() == pytest.approx(variance, rel=0.35)
    assert len({row[0].item() for row in draws}) == num_chains


def test_they_repeat_by_seed():
    first, second = (draw(4, chain_method="vectorized").get_samples()["mean"] for _ in range(2))
    assert torch.equal(first, second)


def test_one_pass_and_threads_differ_by_rounding_alone_at_first():
    """The same streams: the first draws agree until a last bit decides otherwise."""
    passes = draw(4, chain_method="vectorized").get_samples(group_by_chain=True)["mean"]
    threads = draw(4).get_samples(group_by_chain=True)["mean"]
    assert passes.shape == threads.shape
    assert passes.mean().item() == pytest.approx(threads.mean().item(), abs=0.15)
