"""Wrapped flows: with a stand-in that has zuko's methods, and with zuko where it is installed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.contrib.zuko import ZukoToPyro
from pyroxene.infer import SVI, Trace_ELBO


class Affine(torch.nn.Module):
    """Makes distributions as zuko's flows do."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.loc = torch.nn.Parameter(torch.zeros(size))
        self.log_scale = torch.nn.Parameter(torch.zeros(size))

    def forward(self, context: torch.Tensor | float = 0.0) -> Scored:
        return Scored(torch.distributions.Normal(self.loc + context, self.log_scale.exp()), 1)


class Scored(torch.distributions.Independent):
    """A distribution that draws and scores at once, and counts how often it scores otherwise."""

    scored = 0

    def rsample_and_log_prob(self, shape: torch.Size = torch.Size()) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: B008
        draw = self.rsample(shape)
        return draw, super().log_prob(draw)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        type(self).scored += 1
        return super().log_prob(value)

    @property
    def support(self) -> Any:
        raise NotImplementedError


def test_shapes_and_densities_are_those_of_the_wrapped() -> None:
    inner = Affine(3)(torch.arange(2.0)[:, None])
    d = ZukoToPyro(inner)
    assert d.batch_shape == (2,) and d.event_shape == (3,) and d.has_rsample
    assert d.support.event_dim == 1
    assert d().shape == (2, 3) and d.sample((4,)).shape == (4, 2, 3) and not d.sample().requires_grad
    value = torch.randn(5, 2, 3)
    torch.testing.assert_close(d.log_prob(value), inner.log_prob(value))
    wide = d.expand([4, 2])
    assert isinstance(wide, ZukoToPyro) and wide.batch_shape == (4, 2) and wide().shape == (4, 2, 3)
    assert d.to_event(1).log_prob(value).shape == (5,)
    plain = ZukoToPyro(torch.distributions.Poisson(torch.ones(2)))
    assert not plain.has_rsample and plain.support is torch.distributions.constraints.nonnegative_integer
    assert plain((3,)).shape == (3, 2)


def test_a_draw_brings_its_score() -> None:
    d = ZukoToPyro(Affine(3)())
    draw = d((2,))
    Scored.scored = 0
    score = d.log_prob(draw)
    assert Scored.scored == 0
    torch.testing.assert_close(score, d.log_prob(draw.clone()))
    assert Scored.scored == 1


def test_copies_leave_the_score_behind() -> None:
    d = ZukoToPyro(Scored(torch.distributions.Normal(torch.zeros(3), torch.ones(3)), 1))
    draw = d()
    assert d._last_draw is not None
    for other in (copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert other._last_draw is None
        torch.testing.assert_close(other.log_prob(draw), d.log_prob(draw))


def fit(flow: torch.nn.Module) -> tuple[float, float]:
    """Fit a flow to a Gaussian by SVI; return the first and the last losses."""
    pyroxene.set_rng_seed(0)
    target = dist.Normal(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 2.0])).to_event(1)

    def model() -> None:
        pyroxene.sample("z", target)

    def guide() -> None:
        pyroxene.module("flow", flow)
        pyroxene.sample("z", ZukoToPyro(flow()))

    svi = SVI(model, guide, pyroxene.optim.Adam({"lr": 0.05}), Trace_ELBO(num_particles=5))
    losses = [svi.step() for _ in range(60)]
    return sum(losses[:5]) / 5, sum(losses[-5:]) / 5


def test_a_guide_of_the_stand_in_learns() -> None:
    first, last = fit(Affine(2))
    assert last < first - 1


def test_a_flow_of_zuko() -> None:
    zuko = pytest.importorskip("zuko", reason="needs zuko")
    torch.manual_seed(0)
    flow = zuko.flows.NSF(2, transforms=1, hidden_features=(8,))
    d = ZukoToPyro(flow())
    draw = d((4,))
    torch.testing.assert_close(d.log_prob(draw), flow().log_prob(draw), atol=1e-4, rtol=1e-4)
    assert d.expand([3])().shape == (3, 2)
    first, last = fit(flow)
    assert last < first - 0.5
