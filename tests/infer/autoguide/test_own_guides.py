"""Guides that a user writes on the bases AutoContinuous and AutoGuide."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.infer import SVI, Trace_ELBO
from pyroxene.infer.autoguide import AutoContinuous, AutoGuide
from pyroxene.nn import PyroParam
from pyroxene.optim import Adam


def model(y=None):
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    s = pyro.sample("s", dist.LogNormal(0.0, 0.5))
    with pyro.plate("data", 20):
        pyro.sample("y", dist.Normal(mu, s), obs=y)


class HeavyTails(AutoContinuous):
    """A latent vector of independent Student t variables with four degrees of freedom."""

    def _setup_prototype(self, *args, **kwargs):
        super()._setup_prototype(*args, **kwargs)
        self.loc = nn.Parameter(self._init_loc())
        self.scale = PyroParam(torch.full_like(self.loc, 0.1), constraint=dist.constraints.positive)

    def get_posterior(self, *args, **kwargs):
        return dist.StudentT(4.0, self.loc, self.scale).to_event(1)

    def _loc_scale(self, *args, **kwargs):
        return self.loc, self.scale


class Fixed(AutoGuide):
    """Every latent site at a value of one."""

    def forward(self, *args, **kwargs):
        self._begin(*args, **kwargs)
        return {
            name: pyro.sample(name, dist.Delta(torch.ones(site["value"].shape), event_dim=site["fn"].event_dim))
            for name, site in self._latent_sites()
        }

    def median(self, *args, **kwargs):
        return {name: torch.ones(site["value"].shape) for name, site in self._latent_sites()}


def test_a_continuous_guide_of_one_s_own_learns():
    y = 0.8 + 0.5 * torch.randn(20)
    guide = HeavyTails(model)
    SVI(model, guide, Adam({"lr": 0.02}), Trace_ELBO(num_particles=5)).run(600, y, progress=False)
    assert guide.latent_dim == 2 and list(guide.state_dict()) == ["loc", "scale_unconstrained"]
    # The data's mean has standard error 0.11 and the prior pulls by less: 0.35 is three of them from the data's mean.
    assert guide.median()["mu"].item() == pytest.approx(y.mean().item(), abs=0.35)
    assert 0.3 < guide.median()["s"].item() < 0.9
    assert guide.sample_latent().shape == (2,) and guide(y)["s"] > 0


def test_a_guide_on_the_plain_base():
    guide = Fixed(model)
    values = guide(torch.zeros(20))
    assert set(values) == {"mu", "s"} and all(value == 1 for value in values.values())
    assert guide.median() == {"mu": torch.tensor(1.0), "s": torch.tensor(1.0)}
    assert Trace_ELBO().loss(model, guide, torch.ones(20)) == pytest.approx(
        -pyro.poutine.trace(pyro.condition(model, data=values)).get_trace(torch.ones(20)).log_prob_sum().item(),
        rel=1e-5,
    )
