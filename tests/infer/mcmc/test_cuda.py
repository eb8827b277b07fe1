"""Models whose data are on a graphics card: densities and chains are the processor's, draws come back to the card."""

from __future__ import annotations

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.density import log_density
from pyroxene.infer import MCMC, NUTS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no graphics card")


def regression(x, y):
    slopes = pyroxene.sample("slopes", dist.Normal(x.new_zeros(x.shape[1]), 1.0).to_event(1))
    scale = pyroxene.sample("scale", dist.HalfNormal(x.new_ones(())))
    with pyroxene.plate("rows", len(y)):
        pyroxene.sample("y", dist.Normal(x @ slopes, scale), obs=y)


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 3, generator=generator)
    return x, x @ torch.tensor([1.0, -1.0, 0.5]) + 0.5 * torch.randn(500, generator=generator)


@pytest.mark.parametrize("engine", ["eager", "inductor"])
def test_densities_agree_with_the_processor(data, engine):
    plain = log_density(regression, *data).compiled("eager")
    on_card = log_density(regression, *(tensor.cuda() for tensor in data)).compiled(engine)
    points = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for found, expected in (
        (on_card.value_and_grad(points[0]), plain.value_and_grad(points[0])),
        (on_card.batched_value_and_grad(points), plain.batched_value_and_grad(points)),
    ):
        for one, other in zip(found, expected):
            assert one.device.type == "cpu"
            assert torch.allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("engine", ["auto", "inductor"])
def test_hundreds_of_chains_on_the_card(data, engine):
    pyroxene.set_rng_seed(0)
    mcmc = MCMC(
        NUTS(regression, engine=engine), 50, 100, num_chains=200, chain_method="vectorized", disable_progbar=True
    )
    mcmc.run(*(tensor.cuda() for tensor in data))
    slopes = mcmc.get_samples()["slopes"]
    assert slopes.device.type == "cuda"
    assert slopes.mean(0).cpu().tolist() == pytest.approx([1.0, -1.0, 0.5], abs=0.1)
    mcmc.summary()
